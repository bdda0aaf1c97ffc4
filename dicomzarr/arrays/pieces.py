"""Positions along axes, cut into what each chunk gives. Pure (no I/O)."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    Positions = npt.NDArray[np.intp]


class Piece(NamedTuple):
    """What one chunk gives to the result."""

    chunk: tuple[int, ...]
    """Chunk indices."""
    source: tuple[Any, ...]
    """NumPy index into the chunk."""
    target: tuple[Any, ...]
    """NumPy index into the result."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Evenly spaced positions along one axis."""

    axis: int
    positions: range
    """Ascending."""
    chunk: int
    """Length of a chunk along the axis."""

    @property
    def touches_a_run(self) -> bool:
        """Whether some chunks are met, and none between them is passed over."""
        return bool(self.positions) and (self.positions.step <= self.chunk or len(self.positions) == 1)

    @property
    def axes(self) -> tuple[int]:
        """The one axis."""
        return (self.axis,)

    def parts(self) -> Iterator[Piece]:
        """One for each chunk that is met, seen along the axis."""
        done = 0
        while done < len(self.positions):
            number, first = divmod(self.positions[done], self.chunk)
            count = min(len(self.positions) - done, -(-(self.chunk - first) // self.positions.step))
            last = first + (count - 1) * self.positions.step + 1
            source = slice(first, last, self.positions.step)
            yield Piece((number,), (source,), (slice(done, done + count, 1),))
            done += count


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points in the plane of several axes; the result has them along the first, and one place along the others."""

    axes: tuple[int, ...]
    positions: tuple[Positions, ...]
    """Coordinates of the points, one 1-D array an axis."""
    chunks: tuple[int, ...]
    """Length of a chunk along each axis."""

    def parts(self) -> Iterator[Piece]:
        """One for each chunk that holds a point, seen along the axes."""
        if not self.positions[0].size:
            return
        numbers = np.stack([each // chunk for each, chunk in zip(self.positions, self.chunks, strict=True)])
        order = np.lexsort(numbers)
        cuts = np.flatnonzero(np.diff(numbers[:, order]).any(axis=0)) + 1
        for members in np.split(order, cuts):
            places = zip(self.positions, self.chunks, strict=True)
            source = tuple([positions[members] % chunk for positions, chunk in places])
            yield Piece(tuple(numbers[:, members[0]].tolist()), source, (members, *(0 for _ in self.axes[1:])))


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """A planned selection.

    Read the pieces into an array of ``shape``, index it by ``finish``, and the index is answered.
    """

    shape: tuple[int, ...]
    strands: tuple[Steps | Points, ...]
    """They cover the axes between them; every combination of their parts is a piece."""
    finish: tuple[Any, ...]

    @property
    def box(self) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """The first chunk and the number of chunks along each axis, where whole runs of chunks are touched."""
        if not all(isinstance(strand, Steps) and strand.touches_a_run for strand in self.strands):
            return None
        runs = sorted(
            (strand.axis, strand.positions[0] // strand.chunk, strand.positions[-1] // strand.chunk)
            for strand in self.strands
            if isinstance(strand, Steps)
        )
        return tuple(first for _, first, _ in runs), tuple(last - first + 1 for _, first, last in runs)

    @property
    def kept_axes(self) -> list[int] | None:
        """The axes that the result has, which are those of the array without some; None where it has others."""
        plain = all(isinstance(strand, Steps) for strand in self.strands)
        if not plain or any(item is None or item is True or isinstance(item, np.ndarray) for item in self.finish):
            return None
        finish = list(self.finish)
        if Ellipsis in finish:
            at = finish.index(Ellipsis)
            finish[at : at + 1] = [slice(None)] * (len(self.shape) - len(finish) + 1)
        return [axis for axis, item in enumerate(finish) if isinstance(item, slice)]

    @property
    def pieces(self) -> Iterator[Piece]:
        """One for each chunk that is touched."""
        # As many arrays as strands of points would be one set of points for NumPy: a mesh keeps them apart.
        is_mesh = sum(isinstance(strand, Points) for strand in self.strands) > 1
        pieces: Iterable[Piece] = (Piece((), (), ()),)
        for strand in self.strands:
            pieces = _crossed(pieces, list(strand.parts()))
        axes = [axis for strand in self.strands for axis in strand.axes]
        if axes == sorted(axes) and not is_mesh:
            return iter(pieces)
        by_axis, index = itemgetter(*np.argsort(axes)), _mesh if is_mesh else tuple
        return (
            Piece(by_axis(chunk), index(by_axis(source)), index(by_axis(target))) for chunk, source, target in pieces
        )


def _crossed(pieces: Iterable[Piece], parts: Sequence[Piece]) -> Iterator[Piece]:
    """Each with each."""
    for one in pieces:
        for other in parts:
            yield Piece(one.chunk + other.chunk, one.source + other.source, one.target + other.target)


def _mesh(index: tuple[Any, ...]) -> tuple[Any, ...]:
    """A NumPy index that takes each axis on its own."""
    return np.ix_(*(np.arange(item.start, item.stop, item.step) if isinstance(item, slice) else item for item in index))
