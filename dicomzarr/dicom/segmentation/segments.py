"""Segmentations: what each segment is called and how it is shown (PS3.3 section C.8.20)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.segmentation.colour import lab16_to_srgb
from dicomzarr.dicom.uids import LABEL_MAP_SEGMENTATION_STORAGE, SEGMENTATION_STORAGE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dicomzarr.dicom.model.json_model import InstanceItem, SegmentItem
    from dicomzarr.dicom.model.values import AttributeReader

_SEGMENTATIONS: Final = frozenset({SEGMENTATION_STORAGE, LABEL_MAP_SEGMENTATION_STORAGE})


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment."""

    number: int
    """SegmentNumber (0062,0004)."""
    label: str
    """SegmentLabel (0062,0005)."""
    color: str
    """RecommendedDisplayCIELabValue (0062,000D) as RRGGBB; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """What an instance of a segmentation SOP class says of its pixels."""

    kind: str
    """BINARY, FRACTIONAL or LABELMAP: SegmentationType (0062,0001)."""
    segments: tuple[Segment, ...]

    @property
    def is_label_map(self) -> bool:
        """Values are segment numbers; else each frame shows one segment."""
        return self.kind == "LABELMAP"

    def numbered(self, number: object) -> Segment | None:
        """The segment of a number."""
        return next((segment for segment in self.segments if segment.number == number), None)


def parse_segmentation(read: AttributeReader, item: InstanceItem) -> Segmentation | None:
    """The segmentation that an instance is; None for any other image.

    Raises:
        InvalidAttributeError: A segment has no number.
    """
    sop_class = read.text(item.sop_class_uid)
    if sop_class not in _SEGMENTATIONS:
        return None
    default = "LABELMAP" if sop_class == LABEL_MAP_SEGMENTATION_STORAGE else "BINARY"
    kind = (read.text(item.segmentation_type) or default).upper()
    if kind not in {"BINARY", "FRACTIONAL", "LABELMAP"}:
        raise read.invalid("SegmentationType", "another word", "BINARY, FRACTIONAL or LABELMAP")
    return Segmentation(kind, tuple(_segments(read, item.segments.items)))


def _segments(read: AttributeReader, items: Iterable[SegmentItem]) -> Iterable[Segment]:
    for item in items:
        number = read.integer(item.number, "SegmentNumber")
        if number is None or number < 0:  # a label map may describe its background, 0
            raise read.invalid("SegmentNumber", number, "a whole number")
        yield Segment(number, read.text(item.label) or "", _color(read, item))


def _color(read: AttributeReader, item: SegmentItem) -> str:
    lab = read.facts(
        item.color, "RecommendedDisplayCIELabValue", 3, lambda _: True, "the segment is shown in a colour of our own"
    )
    return "" if lab is None else "".join(f"{round(value):02X}" for value in lab16_to_srgb(lab))
