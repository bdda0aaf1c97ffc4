"""A large region, and many small patches, of a level of 50 625 tiles."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from measuring import Results, Target, take_turns
from readers import EzWsi, Ours, Region, Wsidicom, contestant, limit
from slide_server import TILE, Contents, served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from measuring import Contestant, Row
    from settings import Settings

_THREADS = (1, 2, 4, 8)
_ONE_BY_ONE = {0: 3.5, 20: 12.0, 80: 30.0}
"""How many times faster than wsidicom patches shall be read, by milliseconds."""


@dataclass(frozen=True)
class Task:
    """What is read."""

    name: str
    regions: tuple[Region, ...]

    @property
    def is_patches(self) -> bool:
        """Whether readers that take one after the other are slow at it."""
        return len(self.regions) > 1


def region_task(settings: Settings) -> Task:
    """One region in the middle, along tiles."""
    tiles, side = settings.size(225, 8), settings.size(4096, 512)
    corner = (tiles * TILE - side) // 2 // TILE * TILE
    return Task(f"region of {side} x {side}", (Region(corner, corner, side, side),))


def patches_task(settings: Settings) -> Task:
    """Patches anywhere, across tiles."""
    tiles, count = settings.size(225, 8), settings.size(200, 4)
    corners = np.random.default_rng(20).integers(0, (tiles - 2) * TILE, (count, 2)).tolist()
    return Task(f"{count} random patches of 256 x 256", tuple(Region(y, x, 256, 256) for y, x in corners))


def measure_region(settings: Settings) -> Results:
    """Targets 1."""
    return _measure(settings, region_task(settings))


def measure_patches(settings: Settings) -> Results:
    """Targets 2."""
    return _measure(settings, patches_task(settings))


def _measure(settings: Settings, task: Task) -> Results:
    results = Results()
    tiles = settings.size(225, 8)
    for milliseconds in settings.latencies:
        with served(Contents(tiles=tiles, milliseconds=milliseconds)) as server, ExitStack() as stack:
            contestants = [
                limit(task.regions, tiles, milliseconds),
                *_ours(server.url, task),
                *_wsidicom(server.url, task, settings, milliseconds),
            ]
            if settings.ez_wsi:
                peer = stack.enter_context(EzWsi(settings.ez_wsi))
                contestants.append(peer.contestant(server.url, task.regions))
            contestants[1].take()  # the server is met once before it is measured
            results.rows += take_turns(task.name, milliseconds, contestants, settings.rounds, server)
        targets = _patches_targets if task.is_patches else _region_targets
        results.targets += targets(task.name, milliseconds, results.of(task.name, milliseconds))
    if not settings.ez_wsi:
        results.note("ez-wsi-dicomweb took no part: --ez-wsi names a Python that has it")
    return results


def _ours(url: str, task: Task) -> list[Contestant]:
    return [
        contestant("dicomzarr", lambda: Ours(url), task.regions),
        contestant("dicomzarr, new server", lambda: Ours(url, fresh=True), task.regions),
    ]


def _wsidicom(url: str, task: Task, settings: Settings, milliseconds: float) -> Iterator[Contestant]:
    few = settings.few(milliseconds) if task.is_patches else None
    yield contestant("wsidicom", lambda: Wsidicom(url), task.regions, few)
    for threads in () if task.is_patches else _THREADS:
        name = f"wsidicom, threads={threads}"
        yield contestant(name, lambda threads=threads: Wsidicom(url, threads), task.regions)  # type: ignore[misc]  # its default


def _region_targets(task: str, milliseconds: float, rows: dict[str, Row]) -> Iterator[Target]:
    ours, at = rows["dicomzarr"].seconds, f"{task} at {milliseconds:g} ms"
    best = min(row.seconds for name, row in rows.items() if name.startswith("wsidicom"))
    if milliseconds in (0, 20):
        yield Target(f"{at}: times faster than wsidicom", rows["wsidicom"].seconds / ours, 1.8)
        yield Target(f"{at}: times faster than wsidicom's best threads", best / ours, 1.3)
        allowed = 1.5 if milliseconds else 1.8
        yield Target(f"{at}: times the limit", ours / rows["limit"].seconds, allowed, at_least=False)


def _patches_targets(task: str, milliseconds: float, rows: dict[str, Row]) -> Iterator[Target]:
    ours, at = rows["dicomzarr"].seconds, f"{task} at {milliseconds:g} ms"
    if milliseconds in _ONE_BY_ONE:
        faster = rows["wsidicom"].seconds / ours
        yield Target(f"{at}: times faster than wsidicom", faster, _ONE_BY_ONE[int(milliseconds)])
    peer = rows.get("ez-wsi with preload")
    if peer:
        yield Target(f"{at}: times faster than ez-wsi", peer.seconds / ours, 1.0)
    yield Target(f"{at}: times the limit", ours / rows["limit"].seconds, 2.0, at_least=False)
