"""Arrays cut into blocks: each is read in one plan, written at once, and noted when it is done. Pure (no I/O)."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomzarr.errors import MissingInstanceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from dicomzarr.faces.export.selection import Part
    from dicomzarr.plan import LevelPlan

Box = tuple[tuple[int, int], ...]
"""First index, and that behind the last, along each axis."""


@dataclass(frozen=True, slots=True)
class Block:
    """A box of whole chunks, or shards, of an exported array."""

    part: Part
    box: Box

    @property
    def name(self) -> str:
        """Names it in a journal: the path of its array, and where it begins."""
        return f"{self.part.path}@{','.join(str(start) for start, _ in self.box)}"

    @property
    def nbytes(self) -> int:
        """Bytes of its pixels."""
        return math.prod(stop - start for start, stop in self.box) * self.part.level.dtype.itemsize

    @property
    def index(self) -> tuple[slice, ...]:
        """NumPy's index of it in the exported array."""
        return tuple(slice(*ends) for ends in self.box)


def blocks_of(part: Part, unit: Sequence[int], most_bytes: int) -> Iterator[Block]:
    """The blocks of an array, in the order of its chunks.

    Args:
        part: The array.
        unit: Shape of what is written at once: a chunk, or a shard.
        most_bytes: Of the pixels of a block, unless one unit has more.
    """
    level = part.level
    room = max(1, most_bytes // (math.prod(unit) * level.dtype.itemsize))
    steps: list[int] = []
    for size, step in zip(reversed(level.shape), reversed(unit), strict=True):
        count = min(room, -(-size // step))
        room //= count
        steps.insert(0, count * step)
    yield from (Block(part, box) for box in boxes(tuple((0, size) for size in level.shape), steps))


def boxes(box: Box, steps: Sequence[int]) -> Iterator[Box]:
    """A box cut into smaller ones, at multiples of ``steps``."""
    sides = []
    for (start, stop), step in zip(box, steps, strict=True):
        edges = [start, *range((start // step + 1) * step, stop, step), stop]
        sides.append(list(itertools.pairwise(edges)))
    return itertools.product(*sides)


def shifted(box: Box, by: Sequence[int]) -> Box:
    """A box elsewhere."""
    return tuple((start + step, stop + step) for (start, stop), step in zip(box, by, strict=True))


def is_absent(part: Part, box: Box) -> bool:
    """Whether a box of an exported array shows no frame, and looks as Zarr fills it in by itself."""
    level = part.whole
    return level.absent_is_fill and all(has_no_frame(level, chunk) for chunk in frames_of(part, box))


def has_absent(part: Part) -> bool:
    """Whether some chunk of an exported array shows no frame."""
    return any(has_no_frame(part.whole, chunk) for chunk in frames_of(part, tuple((0, n) for n in part.level.shape)))


def frames_of(part: Part, box: Box) -> Iterator[tuple[int, ...]]:
    """The chunks of the series, by their indices, that a box of an exported array is taken from."""
    factor = 2**part.halvings
    lead = box[:-2]
    plane = tuple((start * factor, stop * factor) for start, stop in box[-2:])
    taken = shifted((*lead, *plane), part.taken.start)
    ranges = (
        range(start // chunk, -(-min(stop, size) // chunk))
        for (start, stop), chunk, size in zip(taken, part.whole.chunks, part.whole.shape, strict=True)
    )
    return itertools.product(*ranges)


def has_no_frame(level: LevelPlan, chunk: tuple[int, ...]) -> bool:
    """Whether the metadata say that there is no such frame."""
    try:
        return level.frames.locate(chunk) is None
    except MissingInstanceError:
        return False  # reading it says what is lost


def halve(pixels: npt.NDArray[Any], *, averages: bool) -> npt.NDArray[Any]:
    """An array of half the rows and columns, the last axes; a side of one stays.

    Args:
        pixels: Of an even number of rows and columns, or one.
        averages: Each pixel is the mean of four, rounded half to even; else the first of them.

    Returns:
        (..., rows / 2, columns / 2), of the same type.
    """
    rows, columns = (min(2, size) for size in pixels.shape[-2:])
    if not averages:
        return pixels[..., ::rows, ::columns]
    lead, (height, width) = pixels.shape[:-2], pixels.shape[-2:]
    wide = np.float64 if pixels.dtype.itemsize > 2 else np.float32  # noqa: PLR2004  # four values of 16 bits are exact
    mean = pixels.reshape(*lead, height // rows, rows, width // columns, columns).mean(axis=(-3, -1), dtype=wide)
    halved: npt.NDArray[Any] = (mean if pixels.dtype.kind == "f" else np.rint(mean)).astype(pixels.dtype)
    return halved
