"""The tables that an image's header holds or names: its palette and its modality table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.lut.lookup import read_descriptor, read_table
from dicomzarr.dicom.lut.palette import build_palette, read_segmented_table
from dicomzarr.dicom.model.binary import invalid_content
from dicomzarr.dicom.model.values import AttributeReader
from dicomzarr.dicom.uids import (
    X_RAY_ANGIOGRAPHIC_BI_PLANE_IMAGE_STORAGE,
    X_RAY_ANGIOGRAPHIC_IMAGE_STORAGE,
    X_RAY_RADIOFLUOROSCOPIC_IMAGE_STORAGE,
)
from dicomzarr.errors import InvalidAttributeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dicomzarr.dicom.instance import Instance
    from dicomzarr.dicom.lut.lookup import LookupTable
    from dicomzarr.dicom.lut.palette import Palette
    from dicomzarr.dicom.model.binary import BinaryLeaf
    from dicomzarr.dicom.model.image_model import ImageItem
    from dicomzarr.dicom.model.json_model import PaletteItem

_COLORS: Final = ("Red", "Green", "Blue")
_HIGHEST: Final = 2**16 - 1
_OF_INTENSITIES: Final = frozenset(
    {
        X_RAY_ANGIOGRAPHIC_IMAGE_STORAGE,
        X_RAY_RADIOFLUOROSCOPIC_IMAGE_STORAGE,
        X_RAY_ANGIOGRAPHIC_BI_PLANE_IMAGE_STORAGE,
    }
)
_OTHER_THAN_INTENSITY: Final = frozenset({"LOG", "DISP"})


def bulk_uris(instance: Instance, item: ImageItem, values: str) -> Iterator[str]:
    """The URIs of what has to be fetched before the values of an instance can be shown so."""
    wanted: list[BinaryLeaf] = []
    if values == "color" and instance.pixel.photometric_interpretation == "PALETTE COLOR":
        wanted = [_color_data(item, color)[0] for color in _COLORS]
    if values in {"modality", "suv"}:
        wanted = [lookup.data for lookup in item.modality_lut.items[:1]]
    for leaf in wanted:
        if leaf.bulk_data_uri and not (leaf.values or leaf.inline):
            yield leaf.bulk_data_uri


def image_palette(instance: Instance, item: ImageItem, bulk: Mapping[str, bytes]) -> Palette:
    """The palette of an instance, PS3.3 section C.7.6.3.1.5.

    Raises:
        InvalidAttributeError: It has none, or a broken one.
    """
    return _palette(item, instance.sop_instance_uid, bulk, signed=instance.pixel.signed)


def brightest_color(item: PaletteItem, instance: str) -> str:
    """The last colour of a palette that the metadata hold, as RRGGBB; empty where it is not there, or broken.

    Args:
        item: That of an optical path (PS3.3 section C.8.12.5).
        instance: SOP Instance UID.
    """
    try:
        palette = _palette(item, instance, {}, signed=False)
    except InvalidAttributeError:
        return ""
    top = palette.apply(np.full((1, 1, 1), _HIGHEST, np.uint16)).reshape(-1)
    return "".join(f"{int(value) >> 8 * (palette.dtype.itemsize - 1):02X}" for value in top)


def modality_table(instance: Instance, item: ImageItem, bulk: Mapping[str, bytes]) -> LookupTable:
    """The table that leads to modality values, PS3.3 section C.11.1.

    Raises:
        InvalidAttributeError: It is broken.
    """
    lookup, uid = item.modality_lut.items[0], instance.sop_instance_uid
    descriptor = read_descriptor(lookup.descriptor, signed=instance.pixel.signed, name="LUTDescriptor", instance=uid)
    octets = lookup.data.octets("LUTData", uid, _fetched(lookup.data, bulk))
    if octets is None:
        raise invalid_content(uid, "LUTData", "is not in the metadata")
    return read_table(descriptor, octets, name="LUTData", instance=uid)


def leads_to_intensities(instance: Instance, item: ImageItem) -> bool:
    """Whether its Modality LUT leads from what is looked at to X-ray intensities, and not to what windows are of.

    So it is where PixelIntensityRelationship (0028,1040) of angiography or radiofluoroscopy is LOG or DISP (PS3.3
    section C.8.7.1.1.2).
    """
    told = AttributeReader("").text(item.pixel_intensity_relationship) or ""
    of_intensities = instance.sop_class_uid in _OF_INTENSITIES and told.upper() in _OTHER_THAN_INTENSITY
    return of_intensities and bool(item.modality_lut.items)


def _palette(item: ImageItem | PaletteItem, uid: str, bulk: Mapping[str, bytes], *, signed: bool) -> Palette:
    return build_palette(*(_color_table(item, color, uid, bulk, signed=signed) for color in _COLORS))


def _color_table(
    item: ImageItem | PaletteItem, color: str, uid: str, bulk: Mapping[str, bytes], *, signed: bool
) -> LookupTable:
    name = f"{color}PaletteColorLookupTableDescriptor"
    leaf = getattr(item, f"{color.lower()}_descriptor")
    descriptor = read_descriptor(leaf, signed=signed, name=name, instance=uid)
    data, segmented = _color_data(item, color)
    name = f"{'Segmented' if segmented else ''}{color}PaletteColorLookupTableData"
    octets = data.octets(name, uid, _fetched(data, bulk))
    if octets is None:
        raise invalid_content(uid, name, "is not in the metadata")
    read = read_segmented_table if segmented else read_table
    return read(descriptor, octets, name=name, instance=uid)


def _color_data(item: ImageItem | PaletteItem, color: str) -> tuple[BinaryLeaf, bool]:
    """(the data of a colour, whether they are in segments)."""
    plain: BinaryLeaf = getattr(item, f"{color.lower()}_data")
    segmented: BinaryLeaf = getattr(item, f"{color.lower()}_segmented")
    return (segmented, True) if segmented.present and not plain.present else (plain, False)


def _fetched(leaf: BinaryLeaf, bulk: Mapping[str, bytes]) -> bytes | None:
    return None if leaf.bulk_data_uri is None else bulk.get(leaf.bulk_data_uri)
