"""Whether metadata say what an image needs: some servers send only the attributes that they index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from dicomzarr.dicom.model.binary import BinaryLeaf
from dicomzarr.dicom.model.image_model import FrameGroups, ImageItem, Macro, RareMacro
from dicomzarr.dicom.model.json_model import EMPTY, Leaf, lacks_layout
from dicomzarr.dicom.model.spellings import MEMBER_OF_BULK, as_standard, referred
from dicomzarr.dicom.uids import (
    CONFOCAL_MICROSCOPY_TILED_PYRAMIDAL_IMAGE_STORAGE,
    VL_WHOLE_SLIDE_MICROSCOPY_IMAGE_STORAGE,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
# SOP classes (PS3.6 table A-1) without an image: only these are taken to need no Rows.
_NO_IMAGES: Final = tuple(
    _STORAGE + end
    for end in (
        "4.2",  # spectra, which have Rows
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
_READ: Final = frozenset(
    field.encode_name
    for struct in (ImageItem, FrameGroups, Macro, RareMacro)
    for field in msgspec.structs.fields(struct)
    if field.type not in {"BinaryLeaf", BinaryLeaf} and field.name not in {"float_pixels", "double_pixels"}
)
"""Tags of numbers, codes and sequences that are read of metadata."""
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_YEN: Final = "\u00a5"
"""What the separator of values is in ISO 2022 IR 13: a server that reads it so loses all values that there are several
of, positions and spacings among them (Orthanc 1.10 does)."""


class ReducedInstance(NamedTuple):
    """An instance whose metadata lack what an image needs."""

    place: int
    """Its place among the instances of the series."""
    sop_instance_uid: str


def reduced_instances(items: Iterable[ImageItem]) -> list[ReducedInstance]:
    """The instances that may be images, and whose metadata cannot be all that the server knows of them.

    An image has Rows, Columns and BitsAllocated (PS3.3 section C.7.6.3), one of tiles also TotalPixelMatrixRows and
    TotalPixelMatrixColumns (PS3.3 section C.8.12.4).

    Args:
        items: Metadata of the instances of a series.
    """
    named = ((place, item, _text(item.sop_instance_uid)) for place, item in enumerate(items))
    return [ReducedInstance(place, uid) for place, item, uid in named if uid and _is_reduced(item)]


def referring_instances(items: Iterable[ImageItem], body: bytes) -> list[ReducedInstance]:
    """The instances of which values that are read here are somewhere else: some servers send long ones so.

    Args:
        items: Metadata of the instances of a series.
        body: The JSON array that they were read from.
    """
    if MEMBER_OF_BULK not in body:
        return []
    uids = (_text(item.sop_instance_uid) for item in items)
    texts = enumerate(zip(uids, _ITEMS.decode(as_standard(body)), strict=True))
    return [ReducedInstance(place, uid) for place, (uid, text) in texts if uid and referred(bytes(text)) & _READ]


def lacking_instances(items: Iterable[ImageItem]) -> list[ReducedInstance]:
    """The images that open without what their values are read by.

    Some servers send what a search gives, and so not BitsStored and PixelRepresentation; some no binary attributes, and
    so neither tables nor the name of floating-point pixel data.

    Args:
        items: Metadata of the instances of a series.
    """
    named = ((place, item, _text(item.sop_instance_uid)) for place, item in enumerate(items))
    return [ReducedInstance(place, uid) for place, item, uid in named if uid and _lacks(item)]


def _lacks(item: ImageItem) -> bool:
    is_image = item.rows is not EMPTY and not _is_no_image(_text(item.sop_class_uid))
    return is_image and (lacks_layout(item) or _lacks_table(item))


def _lacks_table(item: ImageItem) -> bool:
    """Whether a palette or a Modality LUT is described, and its entries are neither there nor named."""
    if any(lookup.descriptor.values and not lookup.data.present for lookup in item.modality_lut.items):
        return True
    is_palette = item.red_descriptor.values and _text(item.photometric_interpretation).upper() == "PALETTE COLOR"
    return bool(is_palette) and not (item.red_data.present or item.red_segmented.present)


def _is_no_image(sop_class: str) -> bool:
    return sop_class.startswith(_NO_IMAGES) and sop_class not in _IMAGES


def _is_reduced(item: ImageItem) -> bool:
    if any(_YEN in str(value) for value in item.image_type.values):
        return True
    sop_class = _text(item.sop_class_uid)
    if _is_no_image(sop_class):
        return False
    needed = [item.rows, item.columns, item.bits_allocated]
    if sop_class in _TILED:
        needed += [item.total_pixel_matrix_columns, item.total_pixel_matrix_rows]
    return any(leaf is EMPTY for leaf in needed)  # an attribute without a value is another leaf, and is there


def _text(leaf: Leaf) -> str:
    return "" if leaf.first is None else str(leaf.first).strip(" \0")
