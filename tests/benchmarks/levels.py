"""A whole level of 6241 frames: at once, by dask, and in less memory than it has pixels."""

from __future__ import annotations

import functools
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import dask.array
import fsspec
import numpy as np
from alone import alone
from measuring import MEGA, Contestant, Results, Target, take_turns, timed
from readers import EzWsi, Ours, Region, Wsidicom, contestant, limit
from slide_server import TILE, Contents, served

import dicomzarr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from measuring import Pixels, Row, Take
    from settings import Settings

_da: Any = dask.array
"""dask.array is typed in part only."""
_WORKERS = 2
_BLOCK = 2048
"""Pixels along each side of a block that ``to_dask()`` makes."""
_ARRAY, _COMPUTED, _STORED = "dicomzarr, level[...]", "dicomzarr, to_dask().compute()", "dicomzarr, to_dask() stored"


def measure_level(settings: Settings) -> Results:
    """Targets 3, but for memory."""
    results = Results()
    tiles = settings.size(79, 9)
    task = f"whole level of {tiles * tiles} frames"
    whole = [Region(0, 0, tiles * TILE, tiles * TILE)]
    for milliseconds in settings.latencies:
        with served(Contents(tiles=tiles, milliseconds=milliseconds)) as server, ExitStack() as stack:
            contestants = [limit(whole, tiles, milliseconds), *_ours(server.url)]
            contestants.append(
                Contestant("dask alone, the pixels at hand", functools.partial(_dask_alone, server.url), 2)
            )
            contestants.append(contestant("wsidicom", functools.partial(Wsidicom, server.url), whole))
            if settings.ez_wsi:
                peer = stack.enter_context(EzWsi(settings.ez_wsi))
                contestants.append(peer.contestant(server.url, whole))
            results.rows += take_turns(task, milliseconds, contestants, settings.rounds, server)
        results.targets += _targets(f"{task} at {milliseconds:g} ms", results.of(task, milliseconds))
    if not settings.ez_wsi:
        results.note("ez-wsi-dicomweb took no part: --ez-wsi names a Python that has it")
    return results


def _ours(url: str) -> Iterator[Contestant]:
    reads: dict[str, Callable[[Any], Pixels]] = {
        _ARRAY: lambda level: level[...],
        _COMPUTED: lambda level: level.to_dask().compute(),
        _STORED: _stored,
    }
    for name, read in reads.items():
        yield Contestant(name, functools.partial(_timed, url, read))


def _timed(url: str, read: Callable[[Any], Pixels]) -> Take:
    """As anybody reads, by the default options, but for the frames of the round before."""
    fsspec.filesystem("dicomweb").invalidate_cache(url)
    level = dicomzarr.open(url).levels[0]

    def once() -> Sequence[Pixels]:
        return [read(level)]

    return timed(once)


def _stored(level: Any) -> Pixels:
    """Block by block into an array that is there."""
    array = np.empty(level.shape, level.dtype)
    _da.store(level.to_dask(), array, lock=False)
    return array


def _dask_alone(url: str) -> Take:
    """What dask takes to put together blocks that need not be read."""
    level = Ours(url).level
    array = level[...]
    blocks = _da.from_array(array, chunks=level.to_dask().chunks, name=False)
    return timed(lambda: [blocks.compute()])


def _targets(at: str, rows: dict[str, Row]) -> Iterator[Target]:
    for name in (_COMPUTED, _STORED):
        way = name.partition(", ")[2]
        yield Target(f"{at}: {way}, times faster than wsidicom", rows["wsidicom"].seconds / rows[name].seconds, 1.8)
        overhead = rows[name].seconds / rows[_ARRAY].seconds
        yield Target(f"{at}: {way}, times level[...]", overhead, 1.1, at_least=False)


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
            contestant = Contestant("dicomzarr, to_dask().max()", reduce)
            results.rows += take_turns(task, 0, [contestant], min(3, settings.rounds), server)
        peak = results.of(task, 0)[contestant.name].peak
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
