"""Whether metadata say what an image needs: some servers send only the attributes that they index."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from dicomzarr.dicom.model.json_model import ABSENT, EMPTY, Leaf
from dicomzarr.dicom.uids import (
    CONFOCAL_MICROSCOPY_TILED_PYRAMIDAL_IMAGE_STORAGE,
    VL_WHOLE_SLIDE_MICROSCOPY_IMAGE_STORAGE,
)

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
# SOP classes (PS3.6 table A-1) without an image: only these are taken to need no Rows.
_NO_IMAGES: Final = tuple(
    _STORAGE + end
    for end in (
        "9.",  # waveforms
        "11.",  # presentation states
        "66",  # raw data; those with pixels are below
        "67",  # real world value mapping
        "68.",  # surfaces
        "88.",  # structured reports, key objects
        "91.",  # annotations
        "104.",  # encapsulated documents
        "481.",  # radiotherapy; those with pixels are below
    )
)
_IMAGES: Final = frozenset(_STORAGE + end for end in ("66.4", "66.7", "481.1", "481.2"))
_TILED: Final = frozenset({VL_WHOLE_SLIDE_MICROSCOPY_IMAGE_STORAGE, CONFOCAL_MICROSCOPY_TILED_PYRAMIDAL_IMAGE_STORAGE})
_YEN: Final = "\u00a5"
"""What the separator of values is in ISO 2022 IR 13: a server that reads it so loses all values that there are several
of, positions and spacings among them (Orthanc 1.10 does)."""


class _Summary(msgspec.Struct, gc=False, frozen=True):
    """What is looked at; of most attributes only whether they are there."""

    sop_class_uid: Leaf = msgspec.field(name="00080016", default=EMPTY)
    sop_instance_uid: Leaf = msgspec.field(name="00080018", default=EMPTY)
    image_type: Leaf = msgspec.field(name="00080008", default=EMPTY)
    rows: msgspec.Raw = msgspec.field(name="00280010", default=ABSENT)
    columns: msgspec.Raw = msgspec.field(name="00280011", default=ABSENT)
    bits_allocated: msgspec.Raw = msgspec.field(name="00280100", default=ABSENT)
    matrix_columns: msgspec.Raw = msgspec.field(name="00480006", default=ABSENT)
    matrix_rows: msgspec.Raw = msgspec.field(name="00480007", default=ABSENT)


class ReducedInstance(NamedTuple):
    """An instance whose metadata lack what an image needs."""

    place: int
    """Its place among the instances of the series."""
    sop_instance_uid: str


_SUMMARIES = msgspec.json.Decoder(list[_Summary])


def reduced_instances(body: bytes) -> list[ReducedInstance]:
    """The instances that may be images, and whose metadata cannot be all that the server knows of them.

    An image has Rows, Columns and BitsAllocated (PS3.3 section C.7.6.3), one of tiles also TotalPixelMatrixRows and
    TotalPixelMatrixColumns (PS3.3 section C.8.12.4). What cannot be read is left to whoever reads all of it.

    Args:
        body: Metadata of a series, or of one instance, in the DICOM JSON model.
    """
    try:
        summaries = _SUMMARIES.decode(body)
    except (ValueError, RecursionError):
        return []
    named = ((place, summary, _text(summary.sop_instance_uid)) for place, summary in enumerate(summaries))
    return [ReducedInstance(place, uid) for place, summary, uid in named if uid and _is_reduced(summary)]


def _is_reduced(summary: _Summary) -> bool:
    if any(_YEN in str(value) for value in summary.image_type.values):
        return True
    sop_class = _text(summary.sop_class_uid)
    if sop_class.startswith(_NO_IMAGES) and sop_class not in _IMAGES:
        return False
    needed = [summary.rows, summary.columns, summary.bits_allocated]
    if sop_class in _TILED:
        needed += [summary.matrix_rows, summary.matrix_columns]
    return any(raw == ABSENT for raw in needed)


def _text(leaf: Leaf) -> str:
    return str(leaf.values[0]).strip(" \0") if leaf.values and leaf.values[0] is not None else ""
