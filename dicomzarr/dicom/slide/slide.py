"""Instances of a slide series to pyramids of levels and associated images (PS3.3 section C.8.12)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dicomzarr.dicom.model.values import shown_code
from dicomzarr.dicom.slide.level import SlideLevel
from dicomzarr.dicom.slide.pyramid import Pyramid, join_levels, stack_pyramids
from dicomzarr.dicom.slide.spacing import own_sizes
from dicomzarr.dicom.slide.tiled import LooseTiles, TiledImage, tiled_image, tiled_images
from dicomzarr.errors import TilingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dicomzarr.dicom.instance import Instance

FLAVORS = ("LABEL", "OVERVIEW", "THUMBNAIL", "LOCALIZER")
"""Values of ImageType that mark an image as no level of the pyramid (section C.8.12.4.1.1)."""

_BARCODE = "BARCODE"
"""No term of the standard: an image of nothing but the label."""
_NO_FLAVORS = frozenset({"", "NONE", "RESAMPLED"})
"""Found in their place where that was left out."""
_IMAGE_FLAVOR = 2
"""Place in ImageType of what an image is of."""


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
    flavors = _flavors(list(instances))
    volumes = [instance for instance, found in flavors.items() if found is None]
    tiled, loose = tiled_images(volumes)
    sizes = own_sizes([image.header for image in tiled])
    tiled = [replace(image, size=size) for image, size in zip(tiled, sizes, strict=True)]
    associated, notices = _associated({instance: found for instance, found in flavors.items() if found is not None})
    pyramids = stack_pyramids(join_levels(sorted(tiled, key=_stable_order)))
    return Slide(tuple(pyramids), tuple(sorted(loose, key=_stable_order)), associated, notices)


def _flavors(instances: Sequence[Instance]) -> dict[Instance, str | None]:
    """LABEL, OVERVIEW, THUMBNAIL, LOCALIZER, or a word of the writer's own; None for levels of pyramids."""
    volumes = [instance for instance in instances if "VOLUME" in instance.image_type]
    without_label = any(not volume.label_in_image for volume in volumes)
    return {
        instance: _flavor_of_volume(instance, without_label=without_label)
        if "VOLUME" in instance.image_type
        else _flavor_of_other(instance, has_volumes=bool(volumes))
        for instance in instances
    }


def _flavor_of_volume(header: Instance, *, without_label: bool) -> str | None:
    """A single frame that shows the label is nothing but that, if other levels do not show it."""
    told = next((word for word in header.image_type if word in FLAVORS), None)
    return (
        "LABEL" if told is None and header.label_in_image and without_label and header.number_of_frames == 1 else told
    )


def _flavor_of_other(header: Instance, *, has_volumes: bool) -> str | None:
    """Where levels say that they are VOLUME, what says something else is none."""
    told = next((word for word in header.image_type if word in FLAVORS), None)
    own = next(iter(header.image_type[_IMAGE_FLAVOR : _IMAGE_FLAVOR + 1]), "")
    if told is None and (header.label_in_image or own == _BARCODE):
        return "LABEL"
    return told or (own if has_volumes and own not in _NO_FLAVORS else None)


def _associated(flavors: Mapping[Instance, str]) -> tuple[tuple[AssociatedImage, ...], tuple[str, ...]]:
    """Associated images; a broken one is left out with a notice, for the slide does not need it."""
    associated, notices = [], []
    images: list[TiledImage] = []
    for instance in flavors:
        try:
            images.append(tiled_image([instance]))
        except TilingError as error:
            notices.append(f"An associated image was left out: Instance {instance.sop_instance_uid}: {error}")
    for image in sorted(images, key=_stable_order):
        name = flavors[image.header]
        shows_label = name == "LABEL" or image.header.label_in_image
        shown = shown_code(name).replace(" ", "_").lower()
        associated.append(AssociatedImage(shown, shows_label, SlideLevel((image,))))
    return tuple(associated), tuple(notices)


def _stable_order(image: TiledImage | LooseTiles) -> tuple[int, str, str]:
    return (image.header.instance_number, image.frames.uid, image.header.sop_instance_uid)
