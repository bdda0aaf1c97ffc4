"""Voxels whose centres lie within a closed contour. Pure (no I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


def inside(points: npt.NDArray[np.float64], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The pixels whose centres a contour goes around an odd number of times.

    So a keyhole, which goes in and out on one line, leaves the hole out (PS3.3 section C.8.8.6.3).

    Args:
        points: (n, 2): columns and rows, 0 at the centre of the first pixel; the last is joined to the first.
        shape: Rows and columns.

    Returns:
        Truth values of that shape.
    """
    mask = np.zeros(shape, np.bool_)
    x, y = points.T
    after_x, after_y = np.roll(x, -1), np.roll(y, -1)
    first = max(0, int(np.ceil(y.min())))
    last = min(shape[0] - 1, int(np.floor(y.max())))
    columns: npt.NDArray[Any] = np.arange(shape[1])
    for row in range(first, last + 1):
        crossed = (y <= row) != (after_y <= row)  # half-open: an end that two sides share counts once
        part = (row - y[crossed]) / (after_y[crossed] - y[crossed])
        at = np.sort(x[crossed] + part * (after_x[crossed] - x[crossed]))
        mask[row] = (len(at) - np.searchsorted(at, columns, side="right")) % 2 == 1
    return mask
