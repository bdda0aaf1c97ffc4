"""A whole level of 6241 frames: at once, by dask, and in less memory than it has pixels."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from alone import alone
from measuring import MEGA, Contestant, Results, Target, take_turns
from readers import Region, contestant, ez_wsi, limit
from slide_server import TILE, Contents, served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from measuring import Row
    from settings import Settings

_WORKERS = 2
_BLOCK = 2048
"""Pixels along each side of a block that ``to_dask()`` makes."""
_ARRAY, _COMPUTED, _STORED = "dicomzarr, level[...]", "dicomzarr, to_dask().compute()", "dicomzarr, to_dask() stored"
_WAYS = {"dicomzarr": _ARRAY, "dask": _COMPUTED, "dask stored": _STORED}
"""Names of rows by those of `readers.READERS`."""
_THREADS = (1, 2, 4)


def measure_level(settings: Settings) -> Results:
    """Targets 3, but for memory."""
    results = Results()
    tiles = settings.size(79, 9)
    task = f"whole level of {tiles * tiles} frames"
    whole = [[Region(0, 0, tiles * TILE, tiles * TILE)]]
    for milliseconds in settings.latencies:
        with served(Contents(tiles=tiles, milliseconds=milliseconds)) as server:
            contestants = [limit(tiles, milliseconds, whole, "cyx", server.url)]
            contestants += [contestant(name, way, server.url, whole) for way, name in _WAYS.items()]
            contestants.append(contestant("dask alone, the pixels at hand", "dask alone", server.url, whole, 2))
            for threads in _THREADS:
                name = f"wsidicom, array, threads={threads}"
                contestants.append(contestant(name, "wsidicom", server.url, whole, threads=threads))
            if settings.ez_wsi:
                contestants.append(ez_wsi(settings.ez_wsi, server.url, whole))
            results.rows += take_turns(task, milliseconds, contestants, settings.rounds)
        results.targets += _targets(f"{task} at {milliseconds:g} ms", results.of(task, milliseconds))
    if not settings.ez_wsi:
        results.note("ez-wsi-dicomweb took no part: --ez-wsi names a Python that has it")
    return results


def _targets(at: str, rows: dict[str, Row]) -> Iterator[Target]:
    peers = [row.seconds for name, row in rows.items() if name.startswith(("wsidicom", "ez-wsi"))]
    ours = rows[_ARRAY].seconds
    yield Target(f"{at}: times as fast as the best peer", min(peers) / ours, 1.2)
    yield Target(f"{at}: times the limit", ours / rows["limit"].seconds, 1.6, at_least=False)
    for name in (_COMPUTED, _STORED):
        overhead = rows[name].seconds / ours
        yield Target(f"{at}: {name.partition(', ')[2]}, times level[...]", overhead, 1.15, at_least=False)


def measure_memory(settings: Settings) -> Results:
    """Targets 3 on memory: a maximum over levels much larger than what may be held."""
    results = Results()
    cache = settings.size(32, 1)
    allowed = cache + _WORKERS * 3 * _BLOCK * _BLOCK / MEGA
    peaks: dict[int, float] = {}
    for tiles in (settings.size(60, 6), settings.size(79, 9)):  # both fill the cache
        task = f"maximum of {tiles * tiles} frames by dask, {_WORKERS} workers, cache of {cache} MB"
        with served(Contents(tiles=tiles)) as server:
            reduce = functools.partial(alone, "reduce", url=server.url, cache_bytes=cache * MEGA, workers=_WORKERS)
            ours = Contestant("dicomzarr, to_dask().max()", reduce)
            results.rows += take_turns(task, 0, [ours], min(3, settings.rounds), server)
        peak = results.of(task, 0)[ours.name].peak
        if peak is None:
            results.note("peak memory is not known here: /proc lacks it")
            return results
        peaks[tiles] = peak
    small, large = peaks.values()
    level = 3 * (tiles * TILE) ** 2 / MEGA
    text = f"{task}: peak, times cache + blocks in flight ({allowed:.0f} MB; the level has {level:.0f} MB)"
    results.targets.append(Target(text, large / allowed, 1.0, at_least=False))
    text = f"{task}: peak, times that of a smaller level"
    results.targets.append(Target(text, large / small, 1.1, at_least=False))
    return results
