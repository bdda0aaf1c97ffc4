"""Those who read at random, each by another face, and compare every pixel."""

from __future__ import annotations

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import zarr

import dicomzarr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from numpy.typing import NDArray

    Index = tuple[Any, ...]

OPTIONS: dict[str, Any] = {"cache_bytes": 2**20, "timeout": 60}
"""The cache holds a few tiles, so that nearly all is fetched anew."""
_NEWCOMERS = 48
"""Users, each with an endpoint."""


class WrongPixelsError(Exception):
    """What was read is not what is stored."""


@dataclass
class Readers:
    """All ways of reading one slide."""

    url: str
    expected: list[NDArray[np.uint8]]
    """(c, y, x) of each level."""
    tile: tuple[int, int]
    faces: dict[str, Callable[[Random], None]] = field(init=False)
    """Each reads something once, and compares it."""
    _newcomers: Iterator[int] = field(default_factory=lambda: itertools.cycle(range(_NEWCOMERS)))

    def __post_init__(self) -> None:
        self.faces = {
            "level.read": self._patches,
            "level[...]": self._region,
            "zarr": self._zarr,
            "dask": self._dask,
            "async, cancelled": self._cancelled,
            "newcomer": self._newcomer,
        }

    def _patches(self, random: Random) -> None:
        number = self._any_level(random)
        indices = [self._box(random, number, 80) for _ in range(random.randint(1, 30))]
        for index, pixels in zip(indices, self._level(number).read(indices), strict=True):
            self._check(pixels, number, index)

    def _region(self, random: Random) -> None:
        number = self._any_level(random)
        index = self._box(random, number, 900, steps=(1, 1, 1, 3))
        self._check(self._level(number)[index], number, index)

    def _zarr(self, random: Random) -> None:
        number = self._any_level(random)
        index = self._box(random, number, 500)
        group: Any = zarr.open_group(self.url, mode="r", storage_options=OPTIONS)
        self._check(group[str(number)][index], number, index)

    def _dask(self, random: Random) -> None:
        number = self._any_level(random)
        index = self._box(random, number, 1200)
        blocks = ("auto", (3, 192, 256))[random.randrange(2)]
        part = self._level(number).to_dask(blocks)[index]
        with ThreadPoolExecutor(2) as pool:  # dask's own would stay for a while
            self._check(part.compute(scheduler="threads", pool=pool), number, index)

    def _newcomer(self, random: Random) -> None:
        """Opens anew, as another user: metadata and all."""
        number = self._any_level(random)
        index = self._box(random, number, 300)
        options = {**OPTIONS, "headers": {"X-Newcomer": str(next(self._newcomers))}}
        self._check(dicomzarr.open(self.url, **options).levels[number][index], number, index)

    def _cancelled(self, random: Random) -> None:
        asyncio.run(self._read_and_cancel(random))

    async def _read_and_cancel(self, random: Random) -> None:
        """Chunks on a loop of its own; some are given up at some moment."""
        filesystem = fsspec.filesystem("dicomweb", asynchronous=True, **OPTIONS)
        rows, columns = (-(-side // tile) for side, tile in zip(self.expected[0].shape[1:], self.tile, strict=True))
        chunks = [(random.randrange(rows), random.randrange(columns)) for _ in range(24)]
        tasks = [
            asyncio.create_task(filesystem._cat_file(f"{self.url}/0/c/0/{row}/{column}")) for row, column in chunks
        ]
        await asyncio.sleep(random.uniform(0, 0.1))
        given_up = [task for task in tasks if random.random() < 0.5 and task.cancel()]
        read = await asyncio.gather(*tasks, return_exceptions=True)
        for chunk, task, body in zip(chunks, tasks, read, strict=True):
            if isinstance(body, asyncio.CancelledError) and task in given_up:
                continue
            if isinstance(body, BaseException):
                raise body
            self._check_chunk(body, chunk)

    def _check_chunk(self, body: bytes, chunk: tuple[int, int]) -> None:
        pixels = np.frombuffer(body, np.uint8).reshape(3, *self.tile)
        starts = [number * side for number, side in zip(chunk, self.tile, strict=True)]
        box = [slice(start, start + side) for start, side in zip(starts, self.tile, strict=True)]
        rows, columns = self.expected[0][(slice(None), *box)].shape[1:]
        self._check(pixels[:, :rows, :columns], 0, (slice(None), *box))

    def _level(self, number: int) -> Any:
        return dicomzarr.open(self.url, **OPTIONS).levels[number]

    def _any_level(self, random: Random) -> int:
        return random.randrange(len(self.expected))

    def _box(self, random: Random, number: int, largest: int, steps: tuple[int, ...] = (1,)) -> Index:
        """Any box of a level, up to a number of pixels a side."""
        box: list[Any] = [slice(None)]
        for size in self.expected[number].shape[1:]:
            length = random.randint(1, min(largest, size))
            start = random.randint(0, size - length)
            box.append(slice(start, start + length, random.choice(steps)))
        return tuple(box)

    def _check(self, pixels: Any, number: int, index: Index) -> None:
        right = self.expected[number][index]
        if pixels.shape != right.shape or not np.array_equal(pixels, right):
            raise WrongPixelsError(f"Level {number}, {index}: not what is stored")
