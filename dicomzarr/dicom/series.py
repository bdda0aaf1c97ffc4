"""A series: its instances, typed, and what was left out of it and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dicomzarr.dicom.instance_parser import InstanceParser
from dicomzarr.dicom.model.json_model import patient_of
from dicomzarr.dicom.model.values import AttributeReader
from dicomzarr.dicom.notices import Notices
from dicomzarr.dicom.uids import (
    CONFOCAL_MICROSCOPY_TILED_PYRAMIDAL_IMAGE_STORAGE,
    VL_WHOLE_SLIDE_MICROSCOPY_IMAGE_STORAGE,
    is_ordinary,
)
from dicomzarr.errors import InvalidAttributeError, MetadataError, UnsupportedSeriesError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dicomzarr.dicom.instance import Instance
    from dicomzarr.dicom.model.image_model import ImageItem

_SLIDE_SOP_CLASSES = frozenset(
    {VL_WHOLE_SLIDE_MICROSCOPY_IMAGE_STORAGE, CONFOCAL_MICROSCOPY_TILED_PYRAMIDAL_IMAGE_STORAGE}
)


_MOST_KINDS = 3
"""That messages name."""

_ABOUT = 2
"""How much larger than others an image may be to count as of about their size."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The image instances of a series."""

    study_uid: str
    series_uid: str
    modality: str
    instances: tuple[Instance, ...]
    items: Mapping[Instance, ImageItem] = field(default_factory=dict)
    """What of each is not typed, as decoded; levels of slides that are no segmentations do without."""
    notices: tuple[str, ...] = ()
    """What was left out, and why, in sentences without patient text."""
    has_others: bool = False
    """There are instances without pixels in it, too."""
    patient: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """(name, value) of patient attributes, for those who asked for them."""
    remarks: Notices = field(default_factory=Notices)
    """What is odd about its instances, as far as they have been looked at: planning it reads more of them."""

    @property
    def slices(self) -> dict[str, Instance]:
        """The instances by SOP Instance UID, if all of the series are images of one frame and of about one size."""
        if self.has_others or any(instance.number_of_frames > 1 for instance in self.instances):
            return {}
        sizes = [instance.pixel.nbytes for instance in self.instances]
        if max(sizes) > _ABOUT * min(sizes):
            return {}
        return {instance.sop_instance_uid: instance for instance in self.instances}

    @property
    def is_slide(self) -> bool:
        """Whether the instances are tiles of whole slides."""
        return any(is_slide(instance) for instance in self.instances)


def is_slide(instance: Instance) -> bool:
    """A whole-slide SOP class, or tiles of a Total Pixel Matrix under another, as of segmentations of slides."""
    tiled = instance.modality == "SM" or instance.dimension_organization_type.startswith("TILED")
    tiled = tiled or instance.positions is not None
    return instance.sop_class_uid in _SLIDE_SOP_CLASSES or (tiled and instance.total_pixel_matrix is not None)


def parse_series(items: Sequence[ImageItem], study: str, series: str) -> Series:
    """Type the reply to a series-level metadata request.

    Args:
        items: The metadata of its instances, in the server's order; see `instances.decode_instances`.
        study: Study Instance UID that was asked for.
        series: Series Instance UID that was asked for.

    Raises:
        MetadataError: It speaks of another series.
        UnsupportedSeriesError: It holds no instance with pixels.
    """
    _check_identity(items, study, series)
    distinct = {_named(item): item for item in items}
    remarks = Notices()
    parser = InstanceParser(remarks, tiled=_may_be_slide(items))
    parsed, broken = [], []
    for item in distinct.values():
        try:
            parsed.append((item, parser.parse(item)))
        except InvalidAttributeError as error:
            broken.append(error)
    if broken and not any(instance for _, instance in parsed):
        raise broken[0]
    found = {instance: item for item, instance in parsed if instance is not None}
    instances = tuple(found)
    if not instances:
        only = "its only instance holds no image"
        held = only if len(items) == 1 else f"none of its {len(items)} instances holds an image"
        raise UnsupportedSeriesError(
            f"Series {series}: {held}: {_kinds(items)}.",
            remedy=(
                "Reports, plans, contours and documents have no pixels to open. image.contours(url) draws contours on "
                "an image; dicomzarr.measurements(url) and key_objects(url) read reports and selections."
            ),
        )
    notices = []
    if without := [item for item, instance in parsed if instance is None]:
        notices.append(f"{len(without)} instances without pixels were left out: {_kinds(without)}.")
    if broken:
        notices.append(
            f"{len(broken)} instances were left out, as no pixels are as their headers say: {broken[0].args[0]}"
        )
    if (patients := _patients(items)) > 1:
        notices.append(f"The instances name {patients} different patients (PatientID): this may be no one series.")
    if len(distinct) < len(items):
        others = sum(item != distinct[_named(item)] for item in items)
        but = f", {others} of which say something else than the one of their UID that is shown" if others else ""
        notices.append(f"{len(items) - len(distinct)} repeated instances were left out{but}.")
    return Series(
        study,
        series,
        instances[0].modality,
        instances,
        found if _needs_items(instances) else {i: item for i, item in found.items() if not is_slide(i)},
        tuple(notices),
        len(instances) < len(parsed),
        tuple(patient_of(items[0]).items()),
        remarks,
    )


def _named(item: ImageItem) -> str:
    """Tells it from others: its SOPInstanceUID, however it is written."""
    return str(item.sop_instance_uid.values[:1])


def _patients(items: Iterable[ImageItem]) -> int:
    """How many patients the instances name."""
    spelled = {bytes(item.patient_id): item for item in items}
    return len({patient_of(item).get("patient_id", "").strip() for item in spelled.values()} - {""})


def _may_be_slide(items: Iterable[ImageItem]) -> bool:
    """Whether `is_slide` can hold of any: then functional groups are read as those of tiles."""
    classes = {item.sop_class_uid for item in items}
    read = AttributeReader("of the reply")
    matrix = any(item.total_pixel_matrix_rows.values for item in items)
    return matrix or not _SLIDE_SOP_CLASSES.isdisjoint(map(read.uid, classes))


def _needs_items(instances: Iterable[Instance]) -> bool:
    """Slides do without, and are large; of segmented ones it matters what they refer to, and palettes are in them."""
    indexed = any(instance.pixel.photometric_interpretation == "PALETTE COLOR" for instance in instances)
    return indexed or not any(map(is_slide, instances)) or any(instance.segmentation for instance in instances)


def _check_identity(items: Iterable[ImageItem], study: str, series: str) -> None:
    read = AttributeReader("of the reply")
    for of_study, of_series in dict.fromkeys((item.study_instance_uid, item.series_instance_uid) for item in items):
        said = read.text(of_series) or series
        within = read.text(of_study) or study
        if (within, said) != (study, series):
            other = f"series {read.uid(of_series) or series} of study "
            raise MetadataError(
                f"Asked for series {series} of study {study}, the server's metadata speaks of "
                f"{other}{read.uid(of_study) or 'without a readable UID'}.",
                remedy="The server or a proxy in between mixes up replies.",
            )


def _kinds(items: Sequence[ImageItem]) -> str:
    """What instances are, by names of SOP classes (PS3.6 table A-1) without what all of these end in."""
    from pydicom.uid import UID  # noqa: PLC0415  # images do without

    uids = dict.fromkeys(str(uid) for item in items for uid in item.sop_class_uid.values[:1])
    names = [UID(uid).name.removesuffix(" Storage") for uid in uids if is_ordinary(uid)]
    return ", ".join(names[:_MOST_KINDS]) or "nothing says what they are"
