"""Regions of interest of a structure set (PS3.3 section C.8.8.5 and C.8.8.6), out of its Dataset. Pure (no I/O)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.dicom.model.json_model import Leaf
from dicomzarr.dicom.model.values import AttributeReader
from dicomzarr.errors import InvalidAttributeError

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


def regions_of(dataset: Dataset) -> Iterator[RegionOfInterest]:
    """The regions of interest, in their order, those without contours too.

    Raises:
        InvalidAttributeError: A contour is no list of points.
    """
    uid = str(dataset.get("SOPInstanceUID", ""))
    drawn = {_number(item.get("ReferencedROINumber")): item for item in dataset.get("ROIContourSequence") or ()}
    for item in dataset.get("StructureSetROISequence") or ():
        number = _number(item.get("ROINumber"))
        contours = drawn.get(number)
        yield RegionOfInterest(
            number=number,
            name=str(item.get("ROIName") or "").strip() or f"region {number}",
            color=_color(contours),
            frame_of_reference=AttributeReader(uid).identity(
                Leaf((str(item.get("ReferencedFrameOfReferenceUID") or ""),))
            )
            or "",
            contours=() if contours is None else tuple(_contours(contours, uid)),
        )


def _contours(item: Dataset, uid: str) -> Iterator[Contour]:
    for contour in item.get("ContourSequence") or ():
        try:
            numbers = np.array(_listed(contour.get("ContourData")), np.float64)
        except (TypeError, ValueError):
            numbers = np.array([np.nan])
        if len(numbers) % _AXES or not np.isfinite(numbers).all() or not len(numbers):
            raise InvalidAttributeError(
                f"Instance {uid}: ContourData (3006,0050) is no list of points in three dimensions.",
                remedy="The region of interest cannot be drawn without it.",
            )
        yield Contour(str(contour.get("ContourGeometricType") or "").strip().upper(), numbers.reshape(-1, _AXES))


def _identity(uid: Any) -> str:
    """A UID as images have it: of what is none, a digest."""
    return (AttributeReader("").identity(Leaf((str(uid),))) or "") if uid else ""


def _color(item: Dataset | None) -> str:
    values = [] if item is None else _listed(item.get("ROIDisplayColor"))
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
