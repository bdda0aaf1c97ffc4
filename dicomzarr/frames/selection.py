"""A NumPy index to the chunks it touches. Pure (no I/O).

Basic indexing (integers, slices, ``...``, ``None``) plans exactly the chunks it meets. Integer and boolean
arrays follow NumPy too: each point is taken from its chunk, so scattered points cost their chunks alone.
"""

from __future__ import annotations

import itertools
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

Pick = slice | tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """What one chunk gives to the result."""

    chunk: tuple[int, ...]
    """Chunk indices."""
    source: tuple[Any, ...]
    """NumPy index into the chunk."""
    target: tuple[Any, ...]
    """NumPy index into the result."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A planned selection.

    Read the pieces into an array of ``shape``, index it by ``finish``, and the index is answered.
    """

    shape: tuple[int, ...]
    pieces: tuple[Piece, ...]
    finish: tuple[Any, ...]


def plan_selection(index: Any, shape: tuple[int, ...], chunks: tuple[int, ...]) -> Selection:
    """Plan a NumPy index.

    Args:
        index: Anything that a NumPy array of this shape would take.
        shape: Shape of the array.
        chunks: Shape of one chunk.

    Raises:
        IndexError: As NumPy would.
    """
    items = index if isinstance(index, tuple) else (index,)
    if any(_is_array(item) for item in items):
        return _plan_points(items, shape, chunks)
    return _plan_basic(items, shape, chunks)


def _is_array(item: Any) -> bool:
    """A truth value counts as one, also without axes: NumPy gives it an axis."""
    return isinstance(item, bool) or np.ndim(item) > 0 or getattr(item, "dtype", None) == np.bool_


def _plan_basic(items: tuple[Any, ...], shape: tuple[int, ...], chunks: tuple[int, ...]) -> Selection:
    ranges: list[range] = []
    finish: list[Any] = []
    for item in _expand(items, len(shape)):
        if item is None:
            finish.append(None)
            continue
        axis = len(ranges)
        positions, after = _axis_positions(item, shape[axis], axis)
        ranges.append(positions)
        finish.append(after)
    pieces = tuple(
        Piece(
            tuple(number for number, _, _ in parts),
            tuple(source for _, source, _ in parts),
            tuple(target for _, _, target in parts),
        )
        for parts in itertools.product(
            *(list(_axis_pieces(positions, chunk)) for positions, chunk in zip(ranges, chunks, strict=True))
        )
    )
    if any(item is Ellipsis for item in items):
        finish.append(...)  # NumPy then gives an array even where no axis is left
    return Selection(tuple(map(len, ranges)), pieces, tuple(finish))


def _expand(items: tuple[Any, ...], ndim: int) -> list[Any]:
    """Replace the ellipsis, or append one."""
    places = [place for place, item in enumerate(items) if item is Ellipsis]
    if len(places) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    consumed = sum(item is not None and item is not Ellipsis for item in items)
    if consumed > ndim:
        raise IndexError(f"too many indices for array: array is {ndim}-dimensional, but {consumed} were indexed")
    place = places[0] if places else len(items)
    return [*items[:place], *[slice(None)] * (ndim - consumed), *items[place + 1 :]]


def _axis_positions(item: Any, size: int, axis: int) -> tuple[range, Any]:
    """Ascending positions along an axis, and what to do with them afterwards."""
    if isinstance(item, slice):
        positions = range(*item.indices(size))
        if positions.step < 0:
            return positions[::-1], slice(None, None, -1)
        return positions, slice(None)
    try:
        position = operator.index(item)
    except TypeError:
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and integer or boolean arrays "
            f"are valid indices, found {type(item).__name__}"
        ) from None
    if not -size <= position < size:
        raise IndexError(f"index {position} is out of bounds for axis {axis} with size {size}")
    position %= size
    return range(position, position + 1), 0


def _axis_pieces(positions: range, chunk: int) -> Iterator[tuple[int, slice, slice]]:
    """(chunk number, slice of the chunk, slice of the result) for each chunk met."""
    done = 0
    while done < len(positions):
        number, first = divmod(positions[done], chunk)
        count = min(len(positions) - done, -(-(chunk - first) // positions.step))
        last = first + (count - 1) * positions.step + 1
        yield number, slice(first, last, positions.step), slice(done, done + count)
        done += count


def _plan_points(items: tuple[Any, ...], shape: tuple[int, ...], chunks: tuple[int, ...]) -> Selection:
    """Arrays in the index: let NumPy index the positions themselves, then group them by chunk."""
    # One ordinal array per axis, broadcast without memory, indexed as NumPy would index the data.
    wanted = [
        np.broadcast_to(np.arange(size).reshape([-1 if axis == at else 1 for at in range(len(shape))]), shape)[items]
        for axis, size in enumerate(shape)
    ]
    result = wanted[0].shape
    flat: list[npt.NDArray[np.intp]] = [np.asarray(axis).reshape(-1) for axis in wanted]
    numbers = [axis // chunk for axis, chunk in zip(flat, chunks, strict=True)]
    grid = [-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True)]
    if not flat[0].size:
        return Selection((0,), (), _reshaped(result))
    ordinals = np.ravel_multi_index(tuple(numbers), grid)
    order = np.argsort(ordinals, kind="stable")
    cuts = np.flatnonzero(np.diff(ordinals[order])) + 1
    pieces = tuple(
        Piece(
            tuple(int(axis[members[0]]) for axis in numbers),
            tuple(axis[members] % chunk for axis, chunk in zip(flat, chunks, strict=True)),
            (members,),
        )
        for members in np.split(order, cuts)
    )
    return Selection((flat[0].size,), pieces, _reshaped(result))


def _reshaped(shape: tuple[int, ...]) -> tuple[Any, ...]:
    """An index that gives a flat array its final shape."""
    return (np.arange(int(np.prod(shape))).reshape(shape),)
