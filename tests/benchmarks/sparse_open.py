"""Opening TILED_SPARSE slides: 50 000 and 200 000 frames, each with its place in the metadata."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from alone import alone
from measuring import Contestant, Results, Target, take_turns
from slide_server import Contents, served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from measuring import Row
    from settings import Settings


def measure_sparse(settings: Settings) -> Results:
    """Targets 5."""
    results = Results()
    for frames, with_peer in ((settings.size(50_000, 400), True), (settings.size(200_000, 800), False)):
        task = f"open a sparse level of {frames} frames"
        with served(Contents(sparse_frames=frames)) as server:
            contestants = [Contestant("dicomzarr", functools.partial(alone, "open", url=server.url))]
            if with_peer:
                peer = functools.partial(alone, "open_wsidicom", url=server.url)
                contestants.append(Contestant("wsidicom", peer, most_rounds=1))
            results.rows += take_turns(task, 0, contestants, settings.rounds, server)
        targets = _targets if with_peer else _large_targets
        results.targets += targets(task, results.of(task, 0))
    return results


def _targets(task: str, rows: dict[str, Row]) -> Iterator[Target]:
    ours = rows["dicomzarr"]
    yield Target(f"{task}: times faster than wsidicom", rows["wsidicom"].seconds / ours.seconds, 40)
    if ours.peak is not None:
        yield Target(f"{task}: megabytes more than after the imports", ours.peak, 60, at_least=False)


def _large_targets(task: str, rows: dict[str, Row]) -> Iterator[Target]:
    yield Target(f"{task}: seconds of CPU", rows["dicomzarr"].cpu, 1.0, at_least=False)
