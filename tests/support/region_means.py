"""Means over areas of a plane, by integrals: another way than that of the code."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from slides_model import Pixels


class Integral(NamedTuple):
    """A plane, as sums of all that lies above and to the left."""

    sums: Pixels
    """(y, x, c), less the filling."""
    fill: float
    """What lies around it."""


def integral_of(plane: Pixels, fill: float) -> Integral:
    """The integral of a plane, (y, x, c), with a filling around it."""
    return Integral(np.pad(plane - np.float64(fill), ((1, 0), (1, 0), (0, 0))).cumsum(0).cumsum(1), fill)


def averaged(
    integral: Integral, corner: tuple[float, float], size: tuple[int, int], step: tuple[float, float]
) -> Pixels:
    """Means over areas, whose every edge may lie within a pixel.

    Args:
        integral: Of the plane that is averaged.
        corner: (x, y) in its pixels.
        size: (width, height) of the result.
        step: (x, y) pixels that one of the result is wide and high.
    """
    sums = integral.sums
    for axis in (0, 1):
        edges = corner[1 - axis] + step[1 - axis] * np.arange(size[1 - axis] + 1)
        low = np.floor(edges).astype(int)
        share = (edges - low).reshape([-1 if each == axis else 1 for each in range(3)])
        last = sums.shape[axis] - 1
        lower, upper = (sums.take(at.clip(0, last), axis) for at in (low, low + 1))
        sums = np.diff(lower * (1 - share) + upper * share, axis=axis)
    return sums / step[0] / step[1] + integral.fill
