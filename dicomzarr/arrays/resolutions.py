"""How fine the levels of a slide are, in micrometres a pixel and beside one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.plan import ImagePlan, LevelPlan

Resolution: TypeAlias = float | tuple[float, float]
"""Micrometres a pixel, of squares or along x and y."""

Pair: TypeAlias = tuple[float, float]
"""Along x and y."""

COARSER = 1.01
"""A level that is so much coarser than what is wanted still serves: rounded spacings cost no finer level."""


_COARSEST = 1e9
"""Micrometres: a kilometre, which is beyond every slide."""


def level_mpp(image: ImagePlan, level: LevelPlan) -> Pair | None:
    """Micrometres a pixel along x and y; None where DICOM gives none, or the image is no slide."""
    if image.axes[-1].unit != "micrometer":
        return None
    return level.scale[-1], level.scale[-2]


def downsamples(image: ImagePlan, level: LevelPlan) -> Pair:
    """Pixels of level 0 that a pixel of a level is wide and high."""
    finest = image.levels[0].scale
    return level.scale[-1] / finest[-1], level.scale[-2] / finest[-2]


def downsample(image: ImagePlan, level: LevelPlan) -> float:
    """`downsamples` as one number, as OpenSlide has it: their mean."""
    across, down = downsamples(image, level)
    return (across + down) / 2


def corner(image: ImagePlan, level: LevelPlan) -> Pair:
    """Where a level's first pixel begins, (x, y) in pixels of level 0 from where that begins; mostly 0, 0."""
    finest = image.levels[0]
    x, y = (
        (level.translation[axis] - finest.translation[axis] - (level.scale[axis] - finest.scale[axis]) / 2)
        / finest.scale[axis]
        for axis in (-1, -2)
    )
    return x, y


def level_number(image: ImagePlan, mpp: Resolution) -> int:
    """The coarsest level that is as fine as a resolution, else the finest.

    Raises:
        UsageError: The resolution is none, or nothing says how large pixels are.
    """
    wanted = resolution(mpp)
    finest = level_mpp(image, image.levels[0])
    if finest is None:
        raise UsageError(
            f"{mpp!r:.40} micrometres a pixel were asked for, and nothing says how large the pixels of"
            f" {image.name!r} are in micrometres.",
            remedy="Choose by level=, or by the level's downsample.",
        )
    fitting = [
        number
        for number, level in enumerate(image.levels)
        if all(
            own * factor <= limit * COARSER
            for own, factor, limit in zip(finest, downsamples(image, level), wanted, strict=True)
        )
    ]
    return fitting[-1] if fitting else 0


def resolution(mpp: Resolution) -> Pair:
    """Along x and y.

    Raises:
        UsageError: It is no number above zero, nor two.
    """
    both: Any = mpp if np.ndim(mpp) else (mpp, mpp)
    try:
        values: Sequence[float] = [float(value) for value in both]
    except (TypeError, ValueError):
        values = ()
    if len(values) != 2 or not all(0 < value <= _COARSEST for value in values):  # noqa: PLR2004  # x and y
        raise UsageError(
            f"mpp is {mpp!r:.40}, and should be micrometres a pixel: a number above zero, or two, of x and y.",
            remedy="Write mpp=0.5, for what is called 20x.",
        )
    return values[0], values[1]
