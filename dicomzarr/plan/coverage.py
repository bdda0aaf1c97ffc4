"""Where levels of a slide lie beside level 0: what of it they show, and what they lack. Pure (no I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.plan.plan import ImagePlan, LevelPlan

Area: TypeAlias = "tuple[tuple[int, int], tuple[int, int]]"
"""(first, behind the last) of rows, and of columns."""

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


def area(image: ImagePlan, level: LevelPlan) -> Area:
    """The rows and the columns of a level that level 0 lies on; a few may be beyond it."""
    rows, columns = (_whole(extent(image, level, axis), level.shape[axis]) for axis in (-2, -1))
    return rows, columns


def edge_to_edge(image: ImagePlan) -> Iterator[tuple[int, tuple[slice, slice]]]:
    """For those who take all levels to reach from edge to edge of level 0, whatever their spacing and origin say.

    Yields:
        The number of each level that shows all of level 0, finest first, and the rows and columns of it that do: levels
        may be padded to whole tiles.
    """
    for number, level in enumerate(image.levels):
        if number == 0 or covers(image, level):
            rows, columns = (
                slice(max(0, start), min(stop, size))
                for (start, stop), size in zip(area(image, level), level.shape[-2:], strict=True)
            )
            yield number, (rows, columns)


def _whole(place: tuple[float, float], size: int) -> tuple[int, int]:
    """Whole pixels: the edges of the level where they are less than one apart from that."""
    begin, end = place
    first = 0 if abs(begin) < 1 else round(begin)
    return first, max(first + 1, size if abs(end - size) < 1 else round(end))
