"""How the axes of a layer lie in those of a level: colour last, channels apart, an axis for one slice. Pure."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Pixels = npt.NDArray[Any]

Item: TypeAlias = "int | slice"


@dataclass(frozen=True)
class Layout:
    """Which axis of a level is which of a layer."""

    axes: tuple[int | None, ...]
    """The axis of the level that each of the layer is; None for one that the level lacks, of length 1."""
    channels: Mapping[int, Item] = field(default_factory=dict)
    """What of the level is shown, along the axes of which not all is."""

    def within(self, level: tuple[int, ...], rows: slice, columns: slice) -> Layout:
        """The layout of a level of which only some rows and columns are shown.

        Args:
            level: Its shape; rows and columns are its last axes.
            rows: Those that are shown, with a start and a stop.
            columns: Likewise.
        """
        axes = range(len(level) - 2, len(level))
        cut = {axis: each for axis, each in zip(axes, (rows, columns), strict=True) if each != slice(0, level[axis])}
        return replace(self, channels={**self.channels, **cut})

    def shape(self, level: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the layer, of that of the level."""
        return tuple(1 if axis is None else self._length(axis, level[axis]) for axis in self.axes)

    def chunks(self, level: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a chunk of the layer, of that of the level."""
        return tuple(1 if axis is None else level[axis] for axis in self.axes)

    def _length(self, axis: int, length: int) -> int:
        return len(range(*_slice(self.channels.get(axis, slice(None))).indices(length)))

    @property
    def order(self) -> tuple[int, ...]:
        """The axes of the level as they lie in memory: those that no layer has first, the others as in the layer."""
        kept = [axis for axis in self.axes if axis is not None]
        return (*(axis for axis in self.channels if axis not in kept), *kept)

    def in_level(self, index: tuple[Item, ...]) -> tuple[Item, ...]:
        """The index into the level that an index into the layer means; an item an axis, both."""
        items = dict(self.channels)
        for axis, item in zip(self.axes, index, strict=True):
            if axis is not None:
                items[axis] = _within(_slice(items[axis]), item) if axis in items else item
        return tuple(items[axis] for axis in range(len(items)))

    def laid_out(self, pixels: Pixels, index: tuple[Item, ...]) -> Pixels:
        """What an index into the layer gives, of what that into the level gave, whole numbers as axes of length 1.

        Args:
            pixels: In the order of the level's axes.
            index: Into the layer.

        Returns:
            A view with an axis for each slice of the index, in the order of the layer's axes.
        """
        shown = pixels.transpose(self.order)[(0,) * (len(self.order) - sum(axis is not None for axis in self.axes))]
        shown = shown[tuple(np.newaxis if axis is None else slice(None) for axis in self.axes)]
        laid: Pixels = shown[tuple(slice(None) if isinstance(item, slice) else 0 for item in index)]
        return laid


def parse_index(index: Any, shape: tuple[int, ...]) -> tuple[Item, ...] | None:
    """An item for each axis: a number from 0, or a slice that has a start, a stop and no step.

    Args:
        index: As NumPy takes it.
        shape: What is indexed.

    Returns:
        None for what is no mere piece: steps, arrays, new axes.

    Raises:
        IndexError: As NumPy would.
    """
    items = list(index) if isinstance(index, tuple) else [index]
    if any(item is Ellipsis for item in items):
        place = next(number for number, item in enumerate(items) if item is Ellipsis)
        items[place : place + 1] = [slice(None)] * (len(shape) - len(items) + 1)
    items += [slice(None)] * (len(shape) - len(items))
    if len(items) > len(shape):
        return None
    parsed = [_parse(item, length) for item, length in zip(items, shape, strict=True)]
    return None if any(item is None for item in parsed) else tuple(item for item in parsed if item is not None)


def _parse(item: Any, length: int) -> Item | None:
    if isinstance(item, slice):
        start, stop, step = item.indices(length)
        return slice(start, max(start, stop)) if step == 1 else None
    if isinstance(item, bool) or not hasattr(item, "__index__") or np.ndim(item):
        return None
    number = operator.index(item)
    if not -length <= number < length:
        raise IndexError(f"index {number} is out of bounds for an axis of length {length}")
    return number % length


def compose(outer: tuple[Item, ...], inner: tuple[Item, ...]) -> tuple[Item, ...]:
    """The index that is an index into what another one gave; both as of `parse_index`."""
    rest = iter(inner)
    return tuple(_within(item, next(rest)) if isinstance(item, slice) else item for item in outer)


def shape_of(index: tuple[Item, ...]) -> tuple[int, ...]:
    """The shape of what an index of `parse_index` gives."""
    return tuple(item.stop - item.start for item in index if isinstance(item, slice))


def _slice(item: Item) -> slice:
    return item if isinstance(item, slice) else slice(item, item + 1)


def _within(outer: slice, inner: Item) -> Item:
    start = outer.start or 0
    return slice(start + inner.start, start + inner.stop) if isinstance(inner, slice) else start + inner
