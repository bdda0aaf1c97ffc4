"""Colours of slides as sRGB, by the ICC profiles of their instances: the option ``icc``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dicomzarr.dicom.lut.icc import managed_color
from dicomzarr.errors import InvalidAttributeError, UnsupportedSeriesError
from dicomzarr.plan.views import Chained

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from dicomzarr.dicom.instance import FrameRef
    from dicomzarr.dicom.lut.icc import ManagedColor
    from dicomzarr.plan.plan import FrameView, ImagePlan, LevelPlan, SeriesPlan


@dataclass(frozen=True, slots=True, eq=False)
class ManagedColors:
    """Turns the colours of frames into sRGB, each by the profile of its instance."""

    own: Mapping[str, ManagedColor]
    """By SOP Instance UID; instances with the same profile have the same one."""

    def __call__(self, frame: FrameRef, pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Both of shape (3, rows, columns), 8 bits."""
        return self.own[frame.instance.sop_instance_uid].apply(pixels)

    def state(self) -> Iterator[bytes]:
        """See `plan.FrameView.state`."""
        numbers: dict[ManagedColor, int] = {}
        for uid in sorted(self.own):
            color = self.own[uid]
            if color not in numbers:
                numbers[color] = len(numbers)
                yield from color.state()
        if len(numbers) > 1:
            yield repr([(uid, numbers[self.own[uid]]) for uid in sorted(self.own)]).encode()


def with_managed_colors(plan: SeriesPlan, bulk: Mapping[str, bytes]) -> SeriesPlan:
    """The same plan, its colour images in sRGB; what has no colours stays as it is.

    An associated image that cannot be turned stays as it is too, and a notice says why.

    Args:
        plan: Of a slide.
        bulk: The profiles that the metadata only name, by their URI.

    Raises:
        InvalidAttributeError: A profile is broken, or is not there.
        UnsupportedSeriesError: Colours have more than 8 bits.
        UsageError: What computes colours is not installed.
    """
    notices = [f"{image.name}: {why}" for image in _all_images(plan) if (why := _why_not(image)) is not None]
    images = tuple(_managed(image, bulk) for image in plan.images)
    associated = []
    for name, image in plan.associated:
        shown = image
        try:
            shown = _managed(image, bulk)
        except (InvalidAttributeError, UnsupportedSeriesError) as error:
            notices.append(f"{image.name}: its colours are as they are stored. {error.args[0]}")
        associated.append((name, shown))
    managed = replace(plan, images=images, associated=tuple(associated))
    notices += [f"{image.name}: {_BORROWED}" for image in _all_images(managed) if _borrows(image)]
    return replace(managed, notices=(*plan.notices, *notices))


_BORROWED = (
    "some of its instances have no ICC profile; the first one of their level, or of level 0, is taken for theirs."
)


def _borrows(image: ImagePlan) -> bool:
    """Whether colours of some instances were turned by the profile of another."""
    lacking = (profile is None for level in image.levels for profile in level.attributes.icc_profiles)
    return image.attributes.color_space is not None and any(lacking)


def _all_images(plan: SeriesPlan) -> tuple[ImagePlan, ...]:
    return (*plan.images, *(image for _, image in plan.associated))


def _why_not(image: ImagePlan) -> str | None:
    """Why colours are as they are stored, in a sentence; None where they are not, or there are none."""
    if not image.color:
        return None
    if len(image.channels) > 3:  # noqa: PLR2004  # R, G, B
        return "colours of several optical paths are as they are stored."
    if image.levels[0].attributes.icc_profile is None:
        return "the metadata hold no ICC profile; its colours are taken for sRGB."  # some servers leave it out
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
    known = level.attributes
    borrowed = known.icc_profile or image.levels[0].attributes.icc_profile
    assert borrowed is not None  # noqa: S101  # else `_why_not` said so
    same: dict[bytes, ManagedColor] = {}
    own: dict[str, ManagedColor] = {}
    for uid, profile in zip(known.sop_instance_uids, known.icc_profiles, strict=True):
        color = managed_color(profile or borrowed, bulk)
        own[uid] = same.setdefault(color.profile, color)
    view: FrameView = ManagedColors(own)
    return replace(level, view=view if level.view is None else Chained(level.view, view))
