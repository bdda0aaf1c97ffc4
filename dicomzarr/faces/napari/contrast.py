"""Which values are shown from black to white. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.plan import Channel

_BRIGHTEST: Final = 99.9
"""Percentile that is shown as full brightness where the header has no window."""


def needs_pixels(channel: Channel, dtype: np.dtype[np.generic]) -> bool:
    """Whether nothing but the pixels tells: the header has no window, and bytes are not shown as they are."""
    return channel.shown is None and dtype != np.uint8


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
