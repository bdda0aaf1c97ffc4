"""Segmentations: what each segment is called and how it is shown (PS3.3 section C.8.20)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.uids import LABEL_MAP_SEGMENTATION_STORAGE, SEGMENTATION_STORAGE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dicomzarr.dicom.model.json_model import InstanceItem, SegmentItem
    from dicomzarr.dicom.model.values import AttributeReader

_SEGMENTATIONS: Final = frozenset({SEGMENTATION_STORAGE, LABEL_MAP_SEGMENTATION_STORAGE})

ONE_SEGMENT: Final = (
    "frames name no segment (ReferencedSegmentNumber), and the SegmentSequence has one: they are taken to show it."
)
"""What is said of masks without a Segment Identification Sequence (PS3.3 section C.8.20)."""

NO_SEGMENT: Final = (
    "frames name no segment (ReferencedSegmentNumber), and the SegmentSequence has not one alone: which they show is "
    "not known."
)

_D50_WHITE = np.array([0.96422, 1.0, 0.82521])
_XYZ_D50_TO_LINEAR_SRGB = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
)
_LINEAR_BELOW = 0.0031308
_CUBE_ABOVE = 6 / 29


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

    @property
    def only(self) -> Segment | None:
        """The segment of masks that have one, whether their frames name it or not."""
        return self.segments[0] if len(self.segments) == 1 and not self.is_label_map else None

    def numbered(self, number: object) -> Segment | None:
        """The segment of a number."""
        return next((segment for segment in self.segments if segment.number == number), None)


def segment_name(segment: Segment | None, number: int | None) -> str:
    """The SegmentLabel, else the number; that the segment is not known where frames name none."""
    if segment is not None and segment.label:
        return segment.label
    return "unknown segment" if number is None else f"segment {number}"


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


def lab16_to_srgb(lab: tuple[float, ...]) -> tuple[int, int, int]:
    """A CIELab value scaled to 16 bits, white point D50, as 8-bit sRGB.

    L* runs from 0 to 100 over 0 to 65535; a* and b* from -128 to 127, with 0 at 32896.
    """
    lab = tuple(min(max(value, 0.0), 65535.0) for value in lab)
    lightness = lab[0] / 65535 * 100
    a, b = ((value / 65535) * 255 - 128 for value in lab[1:])
    base = (lightness + 16) / 116
    roots = np.array([base + a / 500, base, base - b / 200])
    cubes = np.where(roots > _CUBE_ABOVE, roots**3, 3 * _CUBE_ABOVE**2 * (roots - 4 / 29))
    linear = np.clip(_XYZ_D50_TO_LINEAR_SRGB @ (cubes * _D50_WHITE), 0, 1)
    curved = np.where(linear <= _LINEAR_BELOW, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = (int(value) for value in np.rint(curved * 255))
    return red, green, blue
