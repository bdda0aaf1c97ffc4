"""An index to the chunks it touches, as NumPy means it or each axis on its own. Pure (no I/O).

Slices are never spelled out: a plan costs what its chunks and its arrays cost, however large the level.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomzarr.arrays.pieces import Points, Selection, Steps

if TYPE_CHECKING:
    from dicomzarr.arrays.pieces import Positions

    Axis = range | Positions


def plan_selection(index: Any, shape: tuple[int, ...], chunks: tuple[int, ...]) -> Selection:
    """Plan a NumPy index.

    Args:
        index: Anything that a NumPy array of this shape would take.
        shape: Shape of the array.
        chunks: Shape of one chunk.

    Raises:
        IndexError: As NumPy would.
    """
    items = _items(index, len(shape))
    if any(item is False for item in items):
        nothing = np.broadcast_to(np.int8(0), shape)[index]
        return Selection((0,), (Steps(0, range(0), 1),), (np.empty(nothing.shape, np.int8),))
    axes, finish = _parse(items, shape)
    joint = [axis for axis, positions in enumerate(axes) if not isinstance(positions, range)]
    if not joint:
        return _selection([], axes, chunks, finish)
    points = _broadcast([axes[axis] for axis in joint])
    first, *others = joint
    axes[first] = points[0].reshape(-1)
    for axis in others:
        axes[axis] = range(1)
    strand = Points(tuple(joint), tuple(each.reshape(-1) for each in points), tuple(chunks[axis] for axis in joint))
    # Arrays and integers stand in `finish` where they stood: NumPy itself then says where their axes go.
    order = np.arange(points[0].size).reshape(points[0].shape)
    stand_ins = iter((order, *(0 for _ in others)))
    return _selection(
        [strand], axes, chunks, [next(stand_ins) if isinstance(item, np.ndarray) else item for item in finish]
    )


def plan_orthogonal(index: Any, shape: tuple[int, ...], chunks: tuple[int, ...]) -> Selection:
    """Plan an index that takes each axis on its own, as zarr's ``oindex``.

    Args:
        index: Integers, slices and 1-D arrays of integers or truth values, one an axis.
        shape: Shape of the array.
        chunks: Shape of one chunk.

    Raises:
        IndexError: An axis is indexed by something else, or beyond its end.
    """
    items = _items(index, len(shape))
    if any(isinstance(item, bool) or np.ndim(item) > 1 for item in items):
        raise IndexError("axes are indexed one by one: only integers, slices and 1-D arrays can do that")
    axes, finish = _parse(items, shape)
    strands = [
        Points((axis,), (positions,), (chunks[axis],))
        for axis, positions in enumerate(axes)
        if not isinstance(positions, range)
    ]
    return _selection(strands, axes, chunks, [slice(None) if isinstance(item, np.ndarray) else item for item in finish])


def checked_chunk(chunk: Any, grid: tuple[int, ...]) -> tuple[int, ...]:
    """The indices of a chunk, none of which counts from the end.

    Args:
        chunk: What was given.
        grid: Number of chunks along each axis.

    Raises:
        IndexError: There is no such chunk.
    """
    try:
        found = tuple(map(_index, chunk))
    except TypeError:
        found = ()
    if len(found) != len(grid) or not all(0 <= index < count for index, count in zip(found, grid, strict=True)):
        raise IndexError(f"there is no chunk {chunk!r:.80}: the level has a grid of {grid} chunks, counted from 0")
    return found


def _index(item: Any) -> int:
    if isinstance(item, bool):
        raise TypeError("a truth value is no index")
    return operator.index(item)


def _selection(points: list[Points], axes: list[Axis], chunks: tuple[int, ...], finish: list[Any]) -> Selection:
    pointed = {axis for strand in points for axis in strand.axes}
    steps = [
        Steps(axis, positions, chunks[axis])
        for axis, positions in enumerate(axes)
        if isinstance(positions, range) and axis not in pointed
    ]
    return Selection(tuple(map(len, axes)), (*points, *steps), tuple(finish))


def _items(index: Any, ndim: int) -> list[Any]:
    """The items of an index, arrays as such; as many as there are axes, but for an ellipsis."""
    items = [_item(item) for item in (index if isinstance(index, tuple) else (index,))]
    ellipses = sum(item is Ellipsis for item in items)
    if ellipses > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    consumed = sum(map(_consumed, items))
    if consumed > ndim:
        raise IndexError(f"too many indices for array: array is {ndim}-dimensional, but {consumed} were indexed")
    return items if ellipses else [*items, *[slice(None)] * (ndim - consumed)]


def _item(item: Any) -> Any:
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    array = np.asarray(item)
    if not array.ndim:
        return bool(array) if array.dtype == np.bool_ else item
    if not array.size and not isinstance(item, np.ndarray):
        return array.astype(np.intp)  # NumPy has an empty list for one of integers
    if array.dtype.kind not in "iub":
        raise IndexError("arrays used as indices must be of integer (or boolean) type")
    return array


def _consumed(item: Any) -> int:
    """How many axes an item speaks of."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    return item.ndim if isinstance(item, np.ndarray) and item.dtype == np.bool_ else 1


def _parse(items: list[Any], shape: tuple[int, ...]) -> tuple[list[Axis], list[Any]]:
    """Positions along each axis, and the index that what was read there needs afterwards.

    Arrays stand in that index as themselves, for the caller to replace.
    """
    axes: list[Axis] = []
    finish: list[Any] = []
    left = len(shape) - sum(map(_consumed, items))
    for item in items:
        axis = len(axes)
        if item is Ellipsis:
            axes.extend(map(range, shape[axis : axis + left]))
            finish.append(item)  # NumPy then gives an array even where no axis is left
        elif item is None or item is True:
            finish.append(item)
        elif isinstance(item, np.ndarray):
            arrays = _array_positions(item, shape, axis)
            axes.extend(arrays)
            finish.extend(arrays)
        else:
            positions, after = _positions(item, shape[axis], axis)
            axes.append(positions)
            finish.append(after)
    return axes, finish


def _positions(item: Any, size: int, axis: int) -> tuple[range, Any]:
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
        raise _out_of_bounds(position, axis, size)
    position %= size
    return range(position, position + 1), 0


def _array_positions(array: Any, shape: tuple[int, ...], axis: int) -> tuple[Positions, ...]:
    """Positions along the axes that an array speaks of: one, but for a mask."""
    if array.dtype == np.bool_:
        along = shape[axis : axis + array.ndim]
        if array.shape != along:
            raise IndexError(f"boolean index did not match indexed array: its shape is {array.shape}, not {along}")
        found: tuple[Positions, ...] = array.nonzero()
        return found
    size = shape[axis]
    outside = (array < -size) | (array >= size)
    if outside.any():
        raise _out_of_bounds(int(array[outside][0]), axis, size)
    positions: Positions = array.astype(np.intp)
    return (np.where(positions < 0, positions + size, positions),)


def _out_of_bounds(position: int, axis: int, size: int) -> IndexError:
    return IndexError(f"index {position} is out of bounds for axis {axis} with size {size}")


def _broadcast(arrays: list[Any]) -> tuple[Positions, ...]:
    try:
        return np.broadcast_arrays(*arrays)
    except ValueError:
        shapes = " ".join(str(array.shape) for array in arrays)
        raise IndexError(
            f"shape mismatch: indexing arrays could not be broadcast together with shapes {shapes}"
        ) from None
