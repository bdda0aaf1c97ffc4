"""Frames at a fraction of their size: what levels are made of that a slide lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_SUM_OF: Final = {"u": np.uint64, "i": np.int64, "f": np.float64}
_BYTE_SUMS: Final = 16
"""The largest factor at which sums of bytes fit 16 bits."""


def averaged(values: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    """Means of squares, halves rounded up; what is left over at the far edges is left out.

    Args:
        values: Shape (samples, rows, columns), in any layout.
        factor: Side of a square.

    Returns:
        Shape (samples, rows // factor, columns // factor), of the same type.
    """
    _, rows, columns = values.shape
    whole = values[:, : rows // factor * factor, : columns // factor * factor]
    is_small = values.dtype == np.uint8 and factor <= _BYTE_SUMS
    sums = _summed(_summed(whole, factor, 1, np.uint16 if is_small else _SUM_OF[values.dtype.kind]), factor, 2)
    area = factor * factor
    if values.dtype.kind != "f":
        sums += sums.dtype.type(area // 2)
        sums //= sums.dtype.type(area)
    else:
        sums /= area
    means: npt.NDArray[Any] = sums.astype(values.dtype)
    return means


def picked(values: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    """One value of each square, that in its middle: for numbers, which have no means. As `averaged`."""
    _, rows, columns = values.shape
    return values[:, factor // 2 :: factor, factor // 2 :: factor][:, : rows // factor, : columns // factor]


def _summed(values: npt.NDArray[Any], factor: int, axis: int, dtype: Any = None) -> npt.NDArray[Any]:
    """Neighbours along an axis added up."""
    lead = (slice(None),) * axis
    total = values[(*lead, slice(0, None, factor))].astype(dtype or values.dtype)
    for place in range(1, factor):
        total += values[(*lead, slice(place, None, factor))]
    return total
