"""Means over areas of a plane, by integrals: another way than that of the code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from slides_model import Pixels

BEYOND = 1000
"""Pixels around a plane that its averages may touch."""


def integral_of(plane: Pixels, fill: Any) -> Pixels:
    """Sums of all that lies above and to the left in a plane, (y, x, c), with a filling around it."""
    wide = np.full((plane.shape[0] + 2 * BEYOND, plane.shape[1] + 2 * BEYOND, plane.shape[2]), fill, np.float64)
    wide[BEYOND:-BEYOND, BEYOND:-BEYOND] = plane
    return np.pad(wide, ((1, 0), (1, 0), (0, 0))).cumsum(0).cumsum(1)


def averaged(integral: Pixels, corner: tuple[float, float], size: tuple[int, int], step: tuple[float, float]) -> Pixels:
    """Means over areas, whose every edge may lie within a pixel.

    Args:
        integral: Of the plane that is averaged.
        corner: (x, y) in its pixels.
        size: (width, height) of the result.
        step: (x, y) pixels that one of the result is wide and high.
    """
    for axis in (0, 1):
        edges = BEYOND + corner[1 - axis] + step[1 - axis] * np.arange(size[1 - axis] + 1)
        low = np.floor(edges).astype(int)
        share = (edges - low).reshape([-1 if each == axis else 1 for each in range(3)])
        integral = np.diff(integral.take(low, axis) * (1 - share) + integral.take(low + 1, axis) * share, axis=axis)
    return integral / step[0] / step[1]
