"""A large region, and many small patches, of a level of 50 625 tiles."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from codings import CODINGS
from measuring import Results, Target, take_turns, warm_task
from readers import Region, contestant, converted, ez_wsi, limit
from slide_server import TILE, Contents, served

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from measuring import Contestant, Row
    from settings import Settings

_THREADS = (1, 2, 4, 8)
_AT_ONCE = (2, 8, 32)
"""Patches that wsidicom reads at the same time, in so many threads of its user."""
_READS = 4
"""How many times as much each process reads, one after the other: the first time is apart."""
_ONE_BY_ONE = {0: 4.0, 20: 15.0, 80: 40.0}
"""How many times faster than wsidicom patches shall be read, by milliseconds."""
_FETCHED = "limit by http.client"
_ARRAY, _LOCAL = "wsidicom, array", "zarr, the same chunks on this disk"


@dataclass(frozen=True)
class Task:
    """What each process reads."""

    name: str
    reads: Sequence[Sequence[Region]]
    """One list of regions after the other; none touches a tile of another."""

    @property
    def is_patches(self) -> bool:
        """Whether readers that take one after the other are slow at it."""
        return len(self.reads[0]) > 1


def region_task(settings: Settings, tiles: int) -> Task:
    """Regions along tiles that lie apart, so that nothing is read in order, of a level of so many tiles a side."""
    side = settings.size(4096, 512)
    last = (tiles * TILE - side) // TILE * TILE
    corners = ((0, last), (last, 0), (0, 0), (last, last))[:_READS]
    return Task(f"region of {side} x {side}", [[Region(y, x, side, side)] for y, x in corners])


def patches_task(settings: Settings, tiles: int) -> Task:
    """Patches anywhere, across tiles; the next ones in another band of the level of so many tiles a side."""
    count = settings.size(200, 4)
    band, random = tiles // _READS, np.random.default_rng(20)
    reads = []
    for number in range(_READS):
        top = number * band * TILE
        rows = random.integers(top, top + (band - 2) * TILE, count).tolist()
        columns = random.integers(0, (tiles - 2) * TILE, count).tolist()
        reads.append([Region(y, x, 256, 256) for y, x in zip(rows, columns, strict=True)])
    return Task(f"{count} random patches of 256 x 256", reads)


def measure_region(settings: Settings) -> Results:
    """Targets 1."""
    return _measure(settings, region_task(settings, tiles := settings.size(225, 8)), tiles)


def measure_codings(settings: Settings) -> Results:
    """Regions in other transfer syntaxes, beside their decoders alone."""
    results = Results()
    tiles, side = settings.size(32, 4), settings.size(2048, 512)
    last = tiles * TILE - side
    reads = [[Region(y, x, side, side)] for y, x in ((0, last), (last, 0), (0, 0), (last, last))]
    for name in CODINGS:
        task = f"region of {side} x {side} in {name}"
        with served(Contents(tiles=tiles, coding=name)) as server:
            contestants = [
                contestant("limit", "limit", server.url, reads, tiles=tiles, coding=name),
                contestant(_FETCHED, "plain HTTP", server.url, reads, tiles=tiles, coding=name),
                contestant("dicomzarr", "dicomzarr", server.url, reads),
            ]
            results.rows += take_turns(task, 0, contestants, settings.rounds)
        rows = results.of(warm_task(task), 0)
        for limits, allowed in (("limit", 1.2), (_FETCHED, 1.0)):
            times = rows["dicomzarr"].seconds / rows[limits].seconds
            results.targets.append(Target(f"{warm_task(task)}: times the {limits}", times, allowed, at_least=False))
    return results


def measure_patches(settings: Settings) -> Results:
    """Targets 2."""
    return _measure(settings, patches_task(settings, tiles := settings.size(225, 16)), tiles)


def _measure(settings: Settings, task: Task, tiles: int) -> Results:
    results = Results()
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / "local.zarr"
        converted(tiles, task.reads, local)
        for milliseconds in settings.latencies:
            with served(Contents(tiles=tiles, milliseconds=milliseconds)) as server:
                contestants = list(_contestants(server.url, task, tiles, settings, milliseconds))
                if not milliseconds:
                    contestants.append(contestant(_LOCAL, "zarr", server.url, task.reads, path=str(local)))
                results.rows += take_turns(task.name, milliseconds, contestants, settings.rounds)
            targets = _patches_targets if task.is_patches else _region_targets
            for name in (task.name, warm_task(task.name)):
                results.targets += targets(name, milliseconds, results.of(name, milliseconds))
    if not settings.ez_wsi:
        results.note("ez-wsi-dicomweb took no part: --ez-wsi names a Python that has it")
    return results


def _contestants(url: str, task: Task, tiles: int, settings: Settings, milliseconds: float) -> Iterator[Contestant]:
    for order in ("cyx", "yxc"):
        yield limit(tiles, milliseconds, task.reads, order, url)
    yield contestant("dicomzarr", "dicomzarr", url, task.reads)
    yield contestant("dicomzarr, yxc", "dicomzarr", url, task.reads, order="yxc")
    yield from _wsidicom(url, task, settings, milliseconds)
    if settings.ez_wsi:
        yield ez_wsi(settings.ez_wsi, url, task.reads)


def _wsidicom(url: str, task: Task, settings: Settings, milliseconds: float) -> Iterator[Contestant]:
    few = settings.few(milliseconds) if task.is_patches else None
    # One patch is a tile or four: threads do not help there. What takes many round trips is read once.
    reads = task.reads[:1] if task.is_patches and milliseconds else task.reads
    for threads in (1,) if task.is_patches else _THREADS:
        yield contestant(f"{_ARRAY}, threads={threads}", "wsidicom", url, reads, few, threads=threads)
    if task.is_patches:
        for at_once in _AT_ONCE:
            options = {"threads": 1, "at_once": at_once}
            yield contestant(f"{_ARRAY}, {at_once} patches at once", "wsidicom", url, task.reads, **options)
    else:
        yield contestant("wsidicom, picture, threads=2", "wsidicom", url, reads, few, threads=2, picture=True)


def _best_peer(rows: dict[str, Row]) -> float:
    return min(row.seconds for name, row in rows.items() if name.startswith((_ARRAY, "ez-wsi")))


def _region_targets(task: str, milliseconds: float, rows: dict[str, Row]) -> Iterator[Target]:
    at, best = f"{task} at {milliseconds:g} ms", _best_peer(rows)
    yield Target(f"{at}: times as fast as the best peer", best / rows["dicomzarr"].seconds, 1.0)
    yield Target(f"{at}: yxc, times as fast as the best peer", best / rows["dicomzarr, yxc"].seconds, 1.1)
    allowed = 1.3 if task.endswith("warm") else 1.6
    for name in ("", ", yxc"):
        times = rows[f"dicomzarr{name}"].seconds / rows[f"limit{name}"].seconds
        yield Target(f"{at}{name}: times the limit", times, allowed, at_least=False)


def _patches_targets(task: str, milliseconds: float, rows: dict[str, Row]) -> Iterator[Target]:
    ours, at = rows["dicomzarr"].seconds, f"{task} at {milliseconds:g} ms"
    peer = rows.get(f"{_ARRAY}, threads=1")
    if peer and milliseconds in _ONE_BY_ONE:
        yield Target(f"{at}: times faster than wsidicom", peer.seconds / ours, _ONE_BY_ONE[int(milliseconds)])
    other = rows.get("ez-wsi with preload")
    if other:
        yield Target(f"{at}: times faster than ez-wsi", other.seconds / ours, 1.0)
    yield Target(f"{at}: times the limit", ours / rows["limit"].seconds, 2.0, at_least=False)
