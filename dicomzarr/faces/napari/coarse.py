"""Coarse pixels in the place of fine ones that have not come yet. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
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
    for axis in range(coarse.ndim):
        places = _nearest(_positions(index[axis]), shape[axis], coarse.shape[axis])
        if not np.array_equal(places, np.arange(coarse.shape[axis])):
            coarse = _take(coarse, places, axis)
    target[...] = coarse[tuple(slice(None) if isinstance(item, slice) else 0 for item in index)]


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
    for axis, (old, new) in enumerate(zip(where, index, strict=True)):
        if not (isinstance(old, slice) and isinstance(new, slice)):
            if old != new:
                return
            continue
        places = _nearest(_positions(new), shapes[1][axis], shapes[0][axis]) - old.start
        first, last = np.searchsorted(places, [0, old.stop - old.start])
        if first == last:
            return
        seen = _take(seen, places[first:last], len(into))
        into.append(slice(int(first), int(last)))
    target[tuple(into)] = seen


def _positions(item: Item) -> Positions:
    return np.arange(item.start, item.stop) if isinstance(item, slice) else np.array([item])


def _nearest(positions: Positions, length: int, other: int) -> Positions:
    """The pixels of an axis of another length that lie where these do: both reach from edge to edge."""
    found: Positions = np.minimum(((2 * positions + 1) * other) // (2 * length), other - 1)
    return found


def _take(pixels: Pixels, places: Positions, axis: int) -> Pixels:
    """A run of places as a slice, which costs nothing."""
    if len(places) and places[-1] - places[0] == len(places) - 1 and (len(places) == 1 or (np.diff(places) == 1).all()):
        return pixels[(slice(None),) * axis + (slice(int(places[0]), int(places[-1]) + 1),)]
    return np.take(pixels, places, axis=axis)
