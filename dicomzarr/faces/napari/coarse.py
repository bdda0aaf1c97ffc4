"""Coarse pixels in the place of fine ones that have not come yet. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from dicomzarr.faces.napari.layout import Item

    Pixels = npt.NDArray[Any]
    Index = tuple[Item, ...]
    Positions = npt.NDArray[np.intp]


def enlarge(coarse: Pixels, target: Pixels, index: Index, shape: tuple[int, ...]) -> None:
    """Fill a piece of a level with the pixels of a coarser one, each the nearest.

    Args:
        coarse: All of the coarser level.
        target: The piece; of the same axes but for those that the index drops.
        index: Of the piece in its level.
        shape: Of that level.
    """
    places = [_nearest(_positions(item), new, old) for item, new, old in zip(index, shape, coarse.shape, strict=True)]
    target[...] = _taken(coarse, places)[tuple(slice(None) if isinstance(item, slice) else 0 for item in index)]


def overlay(
    seen: Pixels, where: Index, target: Pixels, index: Index, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    """Fill what a piece of a level shares with one that was seen before, of another level or the same.

    Args:
        seen: The pixels that were seen.
        where: Their index in their level.
        target: The piece; of as many axes.
        index: Of the piece in its level.
        shapes: Of the level that was seen, and of that of the piece.
    """
    into: list[slice] = []
    wanted: list[Positions] = []
    for axis, (old, new) in enumerate(zip(where, index, strict=True)):
        if not (isinstance(old, slice) and isinstance(new, slice)):
            if old != new:
                return
            continue
        places = _nearest(_positions(new), shapes[1][axis], shapes[0][axis]) - old.start
        first, last = np.searchsorted(places, [0, old.stop - old.start])
        if first == last:
            return
        wanted.append(places[first:last])
        into.append(slice(int(first), int(last)))
    target[tuple(into)] = _taken(seen, wanted)


def _positions(item: Item) -> Positions:
    return np.arange(item.start, item.stop) if isinstance(item, slice) else np.array([item])


def _nearest(positions: Positions, length: int, other: int) -> Positions:
    """The pixels of an axis of another length that lie where these do: both reach from edge to edge."""
    found: Positions = np.minimum(((2 * positions + 1) * other) // (2 * length), other - 1)
    return found


def _taken(pixels: Pixels, places: Sequence[Positions]) -> Pixels:
    """Pixels at places along each axis, which ascend; the last axes first, so that long runs are copied at once."""
    pixels = pixels[tuple(slice(int(each[0]), int(each[-1]) + 1) for each in places)]
    for axis, each in reversed(list(enumerate(places))):
        if not np.array_equal(each - each[0], np.arange(pixels.shape[axis])):
            pixels = np.take(pixels, each - each[0], axis=axis)
    return pixels
