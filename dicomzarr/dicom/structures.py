"""Regions of interest of a structure set (PS3.3 section C.8.8.5 and C.8.8.6), out of its Dataset. Pure (no I/O)."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.dicom.model.json_model import Leaf
from dicomzarr.dicom.model.values import AttributeReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    from pydicom import Dataset

CLOSED: Final = frozenset({"CLOSED_PLANAR", "CLOSED_PLANAR_XOR", "CLOSEDPLANAR_XOR"})
"""Contours that enclose something. The second is longer than a code may be, so the standard has the third."""

_AXES: Final = 3
_BYTE: Final = 255


@dataclass(frozen=True, slots=True, eq=False)
class Contour:
    """One contour."""

    kind: str
    """ContourGeometricType (3006,0042), as ``CLOSED_PLANAR``."""
    points: npt.NDArray[np.float64]
    """(n, 3), in LPS millimetres."""
    offset: npt.NDArray[np.float64]
    """ContourOffsetVector (3006,0045): how far from these points what it encloses lies, (3,), in LPS millimetres."""


@dataclass(frozen=True, slots=True, eq=False)
class RegionOfInterest:
    """One region of interest."""

    number: int
    """ROINumber (3006,0022)."""
    name: str
    """ROIName (3006,0026)."""
    color: str
    """ROIDisplayColor (3006,002A) as RRGGBB; empty where there is none."""
    frame_of_reference: str
    """ReferencedFrameOfReferenceUID (3006,0024); empty where there is none."""
    contours: tuple[Contour, ...]
    unreadable: int = 0
    """Contours whose ContourData (3006,0050) or offset is no list of points in three dimensions."""
    sharing: int = 1
    """Regions that have its number, and so the same contours: one where the standard is kept."""


def regions_of(dataset: Dataset) -> Iterator[RegionOfInterest]:
    """The regions of interest, in their order, those without contours too."""
    reader = AttributeReader(str(dataset.get("SOPInstanceUID", "")))
    drawn: defaultdict[int, list[Dataset]] = defaultdict(list)
    for item in dataset.get("ROIContourSequence") or ():
        drawn[_number(item.get("ReferencedROINumber"))].append(item)
    regions = list(dataset.get("StructureSetROISequence") or ())
    numbers = [_number(item.get("ROINumber")) for item in regions]
    counts = Counter(numbers)
    for item, number in zip(regions, numbers, strict=True):
        read = [_contour(contour) for each in drawn[number] for contour in each.get("ContourSequence") or ()]
        contours = tuple(contour for contour in read if contour is not None)
        yield RegionOfInterest(
            number=number,
            name=str(item.get("ROIName") or "").strip() or f"region {number}",
            color=next(filter(None, map(_color, drawn[number])), ""),
            frame_of_reference=reader.identity(Leaf((str(item.get("ReferencedFrameOfReferenceUID") or ""),))) or "",
            contours=contours,
            unreadable=len(read) - len(contours),
            sharing=counts[number],
        )


def _contour(item: Dataset) -> Contour | None:
    """A contour; None for one that is no list of points."""
    points, offset = _vectors(item.get("ContourData")), _vectors(item.get("ContourOffsetVector"))
    if points is None or offset is None or not len(points) or len(offset) > 1:
        return None
    kind = str(item.get("ContourGeometricType") or "").strip().upper()
    return Contour(kind, points, offset[0] if len(offset) else np.zeros(_AXES))


def _vectors(value: Any) -> npt.NDArray[np.float64] | None:
    """(n, 3), empty where there is no value; None for what is anything else."""
    try:
        numbers = np.array(_listed(value), np.float64)
    except (TypeError, ValueError):
        return None
    return None if len(numbers) % _AXES or not np.isfinite(numbers).all() else numbers.reshape(-1, _AXES)


def _color(item: Dataset) -> str:
    values = _listed(item.get("ROIDisplayColor"))
    try:
        numbers = [int(value) for value in values]
    except (TypeError, ValueError):
        return ""
    whole = len(numbers) == _AXES and all(0 <= number <= _BYTE for number in numbers)
    return "".join(f"{number:02X}" for number in numbers) if whole else ""


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else [value]


def _number(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0
