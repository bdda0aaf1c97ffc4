"""A CT of a few slices, for segmentations to lie on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from radiology_model import AXIAL, distinct, series_of
from radiology_volumes import volume
from segmentations import IDENTIFIED, ascending

if TYPE_CHECKING:
    from pydicom import Dataset

SHAPE = (5, 30, 34)
"""(z, y, x), of bits that begin within a byte."""


def slices(count: int) -> list[Dataset]:
    """So many slices of the CT, from the lowest on."""
    attributes: dict[str, Any] = dict(IDENTIFIED)
    return ascending(volume(AXIAL, distinct((count, *SHAPE[1:])), name="segmentable", **attributes), AXIAL)


SOURCES = slices(SHAPE[0])
CT = series_of(SOURCES)
