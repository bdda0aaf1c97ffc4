"""Where levels of a slide lie beside level 0: what of it they show, and what they lack. Pure (no I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dicomzarr.plan.plan import ImagePlan, LevelPlan

_LACKING: Final = 0.01
"""The part of a side that a level may lack, and still show level 0: spacings are rounded."""


def extent(image: ImagePlan, level: LevelPlan, axis: int) -> tuple[float, float]:
    """Where level 0 begins and ends, in pixels of a level, whose own first one begins at 0.

    Args:
        image: The slide.
        level: One of its levels.
        axis: -1 for x, -2 for y.
    """
    finest, scale = image.levels[0], level.scale[axis]
    edge, own = (each.translation[axis] - each.scale[axis] / 2 for each in (finest, level))
    begin = (edge - own) / scale
    return begin, begin + finest.shape[axis] * finest.scale[axis] / scale


def covers(image: ImagePlan, level: LevelPlan) -> bool:
    """Whether a level shows all of level 0, but for a pixel of its own or 1 % at each edge: sizes are rounded too."""
    for axis in (-1, -2):
        begin, end = extent(image, level, axis)
        room = max(1.0, _LACKING * (end - begin))
        if begin < -room or end > level.shape[axis] + room:
            return False
    return True
