"""Colours of slides as sRGB, by the ICC profiles of their levels: the option ``icc``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dicomzarr.dicom.lut.icc import managed_color
from dicomzarr.errors import UnsupportedSeriesError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.plan.plan import ImagePlan, LevelPlan, SeriesPlan


def with_managed_colors(plan: SeriesPlan, bulk: Mapping[str, bytes]) -> SeriesPlan:
    """The same plan, its colour images in sRGB; what has no colours stays as it is.

    Args:
        plan: Of a slide.
        bulk: The profiles that the metadata only name, by their URI.

    Raises:
        InvalidAttributeError: A profile is broken, or is not there.
        UnsupportedSeriesError: Colours have more than 8 bits.
        UsageError: What computes colours is not installed.
    """
    notices = [f"{image.name}: {why}" for image in _all_images(plan) if (why := _why_not(image)) is not None]
    return replace(
        plan,
        images=tuple(_managed(image, bulk) for image in plan.images),
        associated=tuple((name, _managed(image, bulk)) for name, image in plan.associated),
        notices=(*plan.notices, *notices),
    )


def _all_images(plan: SeriesPlan) -> tuple[ImagePlan, ...]:
    return (*plan.images, *(image for _, image in plan.associated))


def _why_not(image: ImagePlan) -> str | None:
    """Why colours are as they are stored, in a sentence; None where they are not, or there are none."""
    if not image.color:
        return None
    if len(image.channels) > 3:  # noqa: PLR2004  # R, G, B
        return "colours of several optical paths are as they are stored."
    if image.levels[0].attributes.icc_profile is None:
        return "there is no ICC profile; its colours are taken for sRGB."
    return None


def _managed(image: ImagePlan, bulk: Mapping[str, bytes]) -> ImagePlan:
    if not image.color or _why_not(image) is not None:
        return image
    return replace(
        image,
        levels=tuple(_managed_level(image, level, bulk) for level in image.levels),
        attributes=replace(image.attributes, color_space="sRGB"),
    )


def _managed_level(image: ImagePlan, level: LevelPlan, bulk: Mapping[str, bytes]) -> LevelPlan:
    if level.dtype != np.uint8:
        raise UnsupportedSeriesError(
            f"{image.name}: icc='srgb' was asked for colours of {level.dtype}; 8 bits can be turned into sRGB.",
            remedy="Open it without icc.",
        )
    profile = level.attributes.icc_profile or image.levels[0].attributes.icc_profile
    assert profile is not None  # noqa: S101  # else `_why_not` said so
    return replace(level, view=managed_color(profile, bulk))
