"""Who reads a box block by block in C order will read the next blocks soon: which are they? Pure (no I/O).

A block is one chunk for those who read chunk by chunk, or the chunks of one selection. Nothing is foreseen before a
few blocks came in order, the more of them the farther, and never beyond a row whose end is not known yet by more than
half of what came. A read that begins in a corner of the array is taken for one of the whole array until a row ends.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Indices = tuple[int, ...]
"""Chunk indices."""

_SCANS = 4
"""Reads that are followed at the same time."""

_SKIPPED = 4
"""Blocks that may come out of order, as those of several threads do."""

_LEAST_BLOCKS = 2
_LEAST_CHUNKS = 16
"""What must have come in order before anything is foreseen: more than a small patch."""


@dataclass(frozen=True, slots=True)
class Block:
    """A box of chunks."""

    first: Indices
    size: Indices

    def chunks(self, grid: Indices) -> Iterator[Indices]:
        """The chunks in it that the grid has."""
        return itertools.product(
            *(
                range(first, min(first + size, along))
                for first, size, along in zip(self.first, self.size, grid, strict=True)
            )
        )


@dataclass(slots=True, eq=False)
class _Scan:
    """One read of a box, block by block, forwards or backwards: dask takes the last task first."""

    sign: int
    """1 or -1; places are indices times this, so that they always grow."""
    origin: Indices
    size: Indices
    grid: Indices
    at: Indices
    ends: list[int | None]
    """Where the box ends along each axis, once a row has ended, or where the array does."""
    seen: int = 1
    ahead: int = 0
    """Blocks after ``at`` that have been foreseen."""
    passed: deque[Indices] = field(default_factory=lambda: deque(maxlen=2 * _SKIPPED))

    @classmethod
    def beginning(cls, sign: int, block: Block, grid: Indices) -> _Scan:
        """A scan of which one block has been seen."""
        place = tuple(sign * index for index in block.first)
        is_in_corner = not any(block.first) if sign > 0 else _is_last(block, grid)
        ends: list[int | None] = [_last_end(sign, along) if is_in_corner else None for along in grid]
        return cls(sign, place, block.size, grid, place, ends)

    def take(self, block: Block) -> bool:
        """Go on to a block, if it belongs to this scan."""
        if not self._fits(block):
            return False
        place = tuple(self.sign * index for index in block.first)
        if place in self.passed:
            return True
        skipped = self._following(_SKIPPED)
        if place in skipped:
            steps = skipped.index(place) + 1
            self.passed.extend(skipped[:steps])
            self._go(place, steps)
            return True
        return self._wrap(place)

    def foresee(self, most: Callable[[], int]) -> list[Block]:
        """Blocks to fetch now, in order: none while enough of them are on their way."""
        chunks = math.prod(self.size)
        if self.seen < max(_LEAST_BLOCKS, _LEAST_CHUNKS // chunks):
            return []
        window = min(most() // chunks, self.seen if self._knows_rows else self.seen // 2)
        if self.ahead > window // 2:
            return []
        found = self._following(window)[self.ahead :]
        self.ahead += len(found)
        return [Block(tuple(self.sign * index for index in place), self.size) for place in found]

    @property
    def _knows_rows(self) -> bool:
        return self.ends[-1] is not None

    def _fits(self, block: Block) -> bool:
        """Whether a block is of the size of the others, but for what the edge of the grid cuts off.

        Backwards it is the first ones that are cut off, along one axis after the other.
        """
        full = tuple(map(max, block.size, self.size))
        if not _is_cut(block, full, self.grid):
            return False
        if full != self.size:
            last = Block(tuple(self.sign * index for index in self.at), self.size)
            if not _is_cut(last, full, self.grid):
                return False
            self.size, self.ahead = full, 0
        return True

    def _go(self, place: Indices, steps: int) -> None:
        self.at = place
        self.seen += steps
        self.ahead = max(0, self.ahead - steps)

    def _following(self, steps: int) -> list[Indices]:
        """The next places, as far as they are known."""
        found: list[Indices] = []
        place = self._after(self.at)
        while place is not None and len(found) < steps:
            found.append(place)
            place = self._after(place)
        return found

    def _after(self, place: Indices) -> Indices | None:
        for axis in reversed(range(len(place))):
            following = place[axis] + self.size[axis]
            if following < self._end(axis):
                return (*place[:axis], following, *self.origin[axis + 1 :])
        return None

    def _end(self, axis: int) -> int:
        end = self.ends[axis]
        return _last_end(self.sign, self.grid[axis]) if end is None else end

    def _wrap(self, place: Indices) -> bool:
        """Take the start of the next row, which tells where rows end."""
        for axis in reversed(range(len(place) - 1)):
            start = (*self.at[:axis], self.at[axis] + self.size[axis], *self.origin[axis + 1 :])
            if place == start:
                for inner in range(axis + 1, len(place)):
                    self.ends[inner] = self.at[inner] + self.size[inner]
                self.ahead = 0
                self._go(place, 1)
                return True
        return False


def _is_last(block: Block, grid: Indices) -> bool:
    return all(first + size >= along for first, size, along in zip(block.first, block.size, grid, strict=True))


def _last_end(sign: int, along: int) -> int:
    """Where a scan ends at the latest: see `_Scan.sign`."""
    return along if sign > 0 else 1


def _is_cut(block: Block, size: Indices, grid: Indices) -> bool:
    """Whether a block is one of ``size`` but for what the edge of the grid cuts off."""
    return all(
        own == full or (own < full and first + own == along)
        for first, own, full, along in zip(block.first, block.size, size, grid, strict=True)
    )


class ReadAhead:
    """Follows the reads of one array.

    Args:
        grid: Chunks along each axis.
    """

    def __init__(self, grid: Indices) -> None:
        self._grid = grid
        self._scans: deque[_Scan] = deque(maxlen=2 * _SCANS)

    def follow(self, block: Block, most: Callable[[], int]) -> list[Block]:
        """A block is read: the blocks that are worth fetching now.

        Args:
            block: What is read.
            most: Gives how many chunks may be fetched ahead; asked when something is foreseen.
        """
        for scan in reversed(self._scans):
            if scan.take(block):
                self._scans.remove(scan)
                self._scans.append(scan)
                return scan.foresee(most)
        self._scans.extend(_Scan.beginning(sign, block, self._grid) for sign in (-1, 1))
        return []
