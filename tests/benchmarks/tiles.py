"""How long one tile takes whose frame is in memory: through each face, and through a bare decoder."""

from __future__ import annotations

import functools
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from alone import alone
from measuring import Contestant, Results, Take, Target, take_turns
from slide_server import TILE, Contents, served

from dicomzarr.codecs.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from settings import Settings

    Tiles = Sequence[tuple[int, int]]

_SIDE = 8
_TIMES = 4
"""How often each tile is read."""


def measure_tiles(settings: Settings) -> Results:
    """What a face costs beyond decoding."""
    results = Results()
    side = settings.size(_SIDE, 2)
    numbers = [[row, column] for row in range(side) for column in range(side)]
    task = "one tile of 256 x 256, its frame in memory"
    with served(Contents(tiles=side)) as server:
        contestants = [
            Contestant(name, functools.partial(alone, "tiles", url=server.url, face=face, numbers=numbers))
            for face, name in _NAMES.items()
        ]
        results.rows += take_turns(task, 0, contestants, settings.rounds, server)
    rows = results.of(task, 0)
    for face, most in (("level", 0.4), ("zarr", 1.0)):
        beyond = (rows[_NAMES[face]].seconds - rows[_NAMES["limit"]].seconds) * 1000
        results.targets.append(Target(f"{task}: {_NAMES[face]}, ms beyond decoding", beyond, most, at_least=False))
    return results


def _measured(read: Callable[[int, int], Any], tiles: Tiles) -> Take:
    """The medians of all reads but the first of each tile."""
    for tile in tiles:
        assert read(*tile) is not None
    seconds, cpu = [], time.process_time()
    for _ in range(_TIMES):
        for tile in tiles:
            began = time.perf_counter()
            read(*tile)
            seconds.append(time.perf_counter() - began)
    return Take(statistics.median(seconds), (time.process_time() - cpu) / len(seconds), None)


def _index(row: int, column: int) -> tuple[slice, slice, slice]:
    return (
        slice(None),
        slice(row * TILE, (row + 1) * TILE),
        slice(column * TILE, (column + 1) * TILE),
    )


def _level(url: str, tiles: Tiles) -> Take:
    import dicomzarr  # noqa: PLC0415  # each face has imports of its own

    level = dicomzarr.open(url).levels[0]
    return _measured(lambda row, column: level[_index(row, column)], tiles)


def _zarr(url: str, tiles: Tiles) -> Take:
    import zarr  # noqa: PLC0415  # as above

    array: Any = zarr.open_group(url, mode="r")["0"]
    return _measured(lambda row, column: array[_index(row, column)], tiles)


def _fsspec(url: str, tiles: Tiles) -> Take:
    import fsspec  # noqa: PLC0415  # as above

    fs, path = fsspec.url_to_fs(url)
    return _measured(lambda row, column: fs.cat_file(f"{path}/0/c/0/{row}/{column}"), tiles)


def _limit(_: str, tiles: Tiles) -> Take:
    import imagecodecs  # noqa: PLC0415  # as above
    from readers import frames_at_hand  # noqa: PLC0415  # as above

    side = max(row for row, _ in tiles) + 1
    frames = frames_at_hand(side, tiles)
    scratch = Scratch().array((TILE, TILE, 3), np.uint8)

    def decode(row: int, column: int) -> Any:
        array = np.empty((3, TILE, TILE), np.uint8)
        array[:] = np.moveaxis(imagecodecs.jpeg8_decode(frames[row, column], out=scratch), -1, 0)
        return array

    return _measured(decode, tiles)


FACES: dict[str, Callable[[str, Tiles], Take]] = {
    "level": _level,
    "zarr": _zarr,
    "fsspec": _fsspec,
    "limit": _limit,
}
"""By the names that a process is told."""
_NAMES = {
    "limit": "limit",
    "level": "dicomzarr, level[...]",
    "fsspec": "dicomzarr, fsspec.cat_file",
    "zarr": "zarr.open_group(url)[...]",
}
