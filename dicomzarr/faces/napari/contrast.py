"""Which values are shown from black to white. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from dicomzarr.plan import Channel
    from dicomzarr.plan.plan import ImagePlan

_BRIGHTEST: Final = 99.9
"""Percentile that is shown as full brightness where the header has no window."""


def needs_pixels(channel: Channel, dtype: np.dtype[np.generic]) -> bool:
    """Whether nothing but the pixels tells: the header has no window, and bytes are not shown as they are."""
    return channel.shown is None and dtype != np.uint8


def middle_frame(image: ImagePlan, names: Sequence[str], channel: int) -> tuple[int | slice, ...]:
    """Where the frame of a channel lies that is nearest to the middle of those that are there: all along y and x.

    Args:
        image: What the layer shows.
        names: The axis of the image that each of the layer is.
        channel: Its index along c.
    """
    sizes = {axis.name: size for axis, size in zip(image.axes, image.levels[0].shape, strict=True)}
    across = [place for place, name in enumerate(names) if name not in {"y", "x"}]
    there = np.ones([sizes.get(names[place], 1) for place in across], np.bool_)
    for cell in image.attributes.absent:
        if cell.get("c", channel) == channel:
            there[tuple(cell.get(names[place], 0) for place in across)] = False
    frames = np.argwhere(there)
    nearest = frames[np.abs(frames - np.array(there.shape, np.intp) // 2).sum(axis=1).argmin()].tolist()
    return tuple(nearest[across.index(place)] if place in across else slice(None) for place in range(len(names)))


def limits(channel: Channel, plane: npt.NDArray[Any] | None) -> tuple[float, float]:
    """The values that are shown black and white.

    Args:
        channel: What the header says.
        plane: Pixels to go by where it says nothing; None to show all that there can be.
    """
    low, high = channel.shown or channel.window
    if plane is not None:
        finite = plane[np.isfinite(plane)]
        if finite.size:
            low, high = float(finite.min()), float(np.percentile(finite, _BRIGHTEST))
    return (low, high) if low < high else (low, low + 1.0)
