"""Levels that a slide lacks, made of the frames of the next finer one: the option ``virtual_levels``.

A chunk of such a level is one frame, reduced while it is decoded. So a level is halved as often as its tiles can be.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dicomzarr.plan.plan import Reduction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.plan.plan import ImagePlan, LevelPlan, SeriesPlan

_WORTH_A_LEVEL: Final = 1.8
"""Between two levels there is room for another where the coarser one is more than this often coarser than that."""

_SMALL: Final = 512
"""Pixels of the longer side of a level that needs no coarser one."""


def with_virtual_levels(plan: SeriesPlan) -> SeriesPlan:
    """The same plan, its pyramids without gaps, each level twice as coarse as the one before, down to 512 pixels."""
    return replace(plan, images=tuple(map(_filled, plan.images)))


def _filled(image: ImagePlan) -> ImagePlan:
    if image.attributes.affine_reference != "slide":
        return image  # a list of tiles, whose frames make no plane
    levels: list[LevelPlan] = []
    for level, coarser in zip(image.levels, (*image.levels[1:], None), strict=True):
        levels += [level, *(_reduced(image, level, factor) for factor in _factors(level, coarser))]
    virtual = tuple(number for number, level in enumerate(levels) if level.reduction is not None)
    return replace(image, levels=tuple(levels), attributes=replace(image.attributes, virtual_levels=virtual))


def _factors(level: LevelPlan, coarser: LevelPlan | None) -> Iterator[int]:
    """By what a level is reduced to fill the gap to the next one."""
    room = float("inf") if coarser is None else min(coarser.scale[axis] / level.scale[axis] for axis in (-1, -2))
    factor = 2
    while factor * _WORTH_A_LEVEL <= room and all(_divides(level, axis, factor) for axis in (-1, -2)):
        if coarser is None and max(level.shape[-2:]) * 2 // factor <= _SMALL:
            return
        yield factor
        factor *= 2


def _divides(level: LevelPlan, axis: int, factor: int) -> bool:
    """Whether frames that are reduced still lie side by side."""
    whole = level.grid[axis] == 1 or level.chunks[axis] % factor == 0
    return whole and level.shape[axis] >= factor


def _reduced(image: ImagePlan, level: LevelPlan, factor: int) -> LevelPlan:
    """Corners coincide; what is left over at the far edges is left out."""
    lead = len(level.shape) - 2
    step = tuple(each * factor for each in level.scale[lead:])
    shift = tuple(
        first + (coarse - fine) / 2
        for first, coarse, fine in zip(level.translation[lead:], step, level.scale[lead:], strict=True)
    )
    return replace(
        level,
        shape=(*level.shape[:lead], *(size // factor for size in level.shape[lead:])),
        chunks=(*level.chunks[:lead], *(size // factor for size in level.chunks[lead:])),
        scale=(*level.scale[:lead], *step),
        translation=(*level.translation[:lead], *shift),
        affine=None,
        reduction=Reduction(factor, averaged=not image.holds_numbers),
    )
