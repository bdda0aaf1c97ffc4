"""Instances of a slide series to pyramids of levels and associated images (PS3.3 section C.8.12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dicomzarr.dicom.slide.level import SlideLevel
from dicomzarr.dicom.slide.pyramid import Pyramid, join_levels, stack_pyramids
from dicomzarr.dicom.slide.tiled import LooseTiles, TiledImage, tiled_image, tiled_images
from dicomzarr.errors import TilingError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dicomzarr.dicom.instance import Instance

FLAVORS = ("LABEL", "OVERVIEW", "THUMBNAIL", "LOCALIZER")
"""Values of ImageType that mark an image as no level of the pyramid (section C.8.12.4.1.1)."""


@dataclass(frozen=True, slots=True, eq=False)
class AssociatedImage:
    """A label, overview or thumbnail."""

    name: str
    """Its flavour in lower case."""
    shows_label: bool
    """The slide's label, and so perhaps the patient's name, can be read in it."""
    level: SlideLevel


@dataclass(frozen=True, slots=True, eq=False)
class Slide:
    """What a slide series holds."""

    pyramids: tuple[Pyramid, ...]
    loose: tuple[LooseTiles, ...]
    """What belongs to the slide, and fits no grid."""
    associated: tuple[AssociatedImage, ...]
    notices: tuple[str, ...]
    """What was left out, in sentences."""


def assemble_slide(instances: Iterable[Instance]) -> Slide:
    """Group the instances of a slide series."""
    volumes: list[Instance] = []
    others: list[Instance] = []
    for instance in instances:
        (volumes if flavor(instance) is None else others).append(instance)
    tiled, loose = tiled_images(volumes)
    associated, notices = _associated(others)
    pyramids = stack_pyramids(join_levels(sorted(tiled, key=_stable_order)))
    return Slide(tuple(pyramids), tuple(sorted(loose, key=_stable_order)), associated, notices)


def flavor(header: Instance) -> str | None:
    """LABEL, OVERVIEW, THUMBNAIL or LOCALIZER; None for a level of the pyramid."""
    found = next((value for value in header.image_type if value in FLAVORS), None)
    if found is None and header.label_in_image and "VOLUME" not in header.image_type:
        return "LABEL"
    return found


def _associated(instances: list[Instance]) -> tuple[tuple[AssociatedImage, ...], tuple[str, ...]]:
    """Associated images; a broken one is left out with a notice, for the slide does not need it."""
    associated, notices = [], []
    images: list[TiledImage] = []
    for instance in instances:
        try:
            images.append(tiled_image([instance]))
        except TilingError as error:
            notices.append(f"An associated image was left out: Instance {instance.sop_instance_uid}: {error}")
    for image in sorted(images, key=_stable_order):
        name = str(flavor(image.header))
        shows_label = name == "LABEL" or image.header.label_in_image
        associated.append(AssociatedImage(name.lower(), shows_label, SlideLevel((image,))))
    return tuple(associated), tuple(notices)


def _stable_order(image: TiledImage | LooseTiles) -> tuple[int, str, str]:
    return (image.header.instance_number, image.frames.uid, image.header.sop_instance_uid)
