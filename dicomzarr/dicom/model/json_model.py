"""The DICOM JSON model (PS3.18 Annex F), read into typed structures.

Only attributes that are used are decoded; everything else, patient data included, is skipped by the
decoder and never reaches memory. Values may be numbers or strings whatever the VR, as servers send both.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from dicomzarr.dicom.model.binary import NO_BYTES, BinaryLeaf, Scalar
from dicomzarr.dicom.model.json_size import check_batch, check_values
from dicomzarr.errors import MetadataError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Leaf(msgspec.Struct, gc=False, frozen=True):
    """An attribute that holds scalars."""

    values: tuple[Scalar, ...] = msgspec.field(name="Value", default=())

    @property
    def first(self) -> Scalar:
        """The first value; None where there is none."""
        return self.values[0] if self.values else None


class AnyLeaf(msgspec.Struct, frozen=True):
    """An attribute whose values may be anything, as a person name's object."""

    values: list[object] = msgspec.field(name="Value", default_factory=list)


_Item = TypeVar("_Item")
_Decoded = TypeVar("_Decoded")


class Sequence(msgspec.Struct, Generic[_Item], gc=False, frozen=True):
    """An attribute of VR SQ."""

    values: tuple[_Item | None, ...] = msgspec.field(name="Value", default=())

    @property
    def items(self) -> list[_Item]:
        """The items that are not null."""
        return [item for item in self.values if item is not None] if self.values else []


class RawSequence(msgspec.Struct, frozen=True):
    """A sequence so long that its items are decoded batch by batch, when they are read."""

    values: list[msgspec.Raw] = msgspec.field(name="Value", default_factory=list)


EMPTY = Leaf()
NO_ITEMS: Sequence[Any] = Sequence()
"""What stands for a sequence that is not there; one for all, since frames lack most of them."""
ABSENT = msgspec.Raw(b"")
"""What stands for an attribute that is not there, where its content does not matter."""


def _tag(tag: str) -> Leaf:
    return msgspec.field(name=tag, default=EMPTY)


def _sequence(tag: str) -> Sequence[_Item]:
    return msgspec.field(name=tag, default=NO_ITEMS)


def _binary(tag: str) -> BinaryLeaf:
    return msgspec.field(name=tag, default=NO_BYTES)


class PixelMeasuresItem(msgspec.Struct, gc=False, frozen=True):
    """Pixel Measures Macro, PS3.3 section C.7.6.16.2.1."""

    pixel_spacing: Leaf = _tag("00280030")
    spacing_between_slices: Leaf = _tag("00180088")


class PlanePositionSlideItem(msgspec.Struct, gc=False, frozen=True):
    """Plane Position (Slide) Macro, PS3.3 section C.8.12.6.1."""

    column_position: Leaf = _tag("0048021E")
    row_position: Leaf = _tag("0048021F")
    z_offset: Leaf = _tag("0040074A")


class OpticalPathIdentificationItem(msgspec.Struct, gc=False, frozen=True):
    """Optical Path Identification Macro, PS3.3 section C.8.12.6.2."""

    optical_path_identifier: Leaf = _tag("00480106")


class SegmentIdentificationItem(msgspec.Struct, gc=False, frozen=True):
    """Segment Identification Macro, PS3.3 section C.8.20.5.1."""

    segment_number: Leaf = _tag("0062000B")


class FunctionalGroupsItem(msgspec.Struct, gc=False, frozen=True):
    """An item of the Per-Frame Functional Groups Sequence of a slide, PS3.3 section C.7.6.16.

    What `image_model.FrameGroups` has of tiles, in half the time: a slide has up to hundreds of thousands of frames.
    """

    pixel_measures: Sequence[PixelMeasuresItem] = _sequence("00289110")
    plane_position_slide: Sequence[PlanePositionSlideItem] = _sequence("0048021A")
    optical_path_identification: Sequence[OpticalPathIdentificationItem] = _sequence("00480207")
    segment_identification: Sequence[SegmentIdentificationItem] = _sequence("0062000A")


class PaletteItem(msgspec.Struct, frozen=True):
    """One item of the Palette Color Lookup Table Sequence, PS3.3 section C.7.9."""

    red_descriptor: Leaf = _tag("00281101")
    green_descriptor: Leaf = _tag("00281102")
    blue_descriptor: Leaf = _tag("00281103")
    red_data: BinaryLeaf = _binary("00281201")
    green_data: BinaryLeaf = _binary("00281202")
    blue_data: BinaryLeaf = _binary("00281203")
    red_segmented: BinaryLeaf = _binary("00281221")
    green_segmented: BinaryLeaf = _binary("00281222")
    blue_segmented: BinaryLeaf = _binary("00281223")


class OpticalPathItem(msgspec.Struct, frozen=True):
    """One item of the Optical Path Sequence, PS3.3 section C.8.12.5."""

    identifier: Leaf = _tag("00480106")
    description: Leaf = _tag("00480107")
    wavelength: Leaf = _tag("00220055")
    objective_power: Leaf = _tag("00480112")
    icc_profile: BinaryLeaf = _binary("00282000")
    color_code: Sequence[CodeItem] = _sequence("00480108")
    palette: Sequence[PaletteItem] = _sequence("00480120")


class SegmentItem(msgspec.Struct, frozen=True):
    """One item of the Segment Sequence, PS3.3 section C.8.20.4."""

    number: Leaf = _tag("00620004")
    label: Leaf = _tag("00620005")
    color: Leaf = _tag("0062000D")


class CodeItem(msgspec.Struct, frozen=True):
    """One coded concept, PS3.3 section 8."""

    meaning: Leaf = _tag("00080104")
    value: Leaf = _tag("00080100")


class OriginItem(msgspec.Struct, frozen=True):
    """One item of the Total Pixel Matrix Origin Sequence, PS3.3 section C.8.12.4."""

    x_offset: Leaf = _tag("0040072A")
    y_offset: Leaf = _tag("0040073A")
    z_offset: Leaf = _tag("0040074A")


class InstanceItem(msgspec.Struct, gc=False, frozen=True):
    """What is read of the metadata of any instance; see `image_model.ImageItem` for the rest."""

    patient_name: msgspec.Raw = msgspec.field(name="00100010", default=ABSENT)
    patient_id: msgspec.Raw = msgspec.field(name="00100020", default=ABSENT)
    patient_birth_date: msgspec.Raw = msgspec.field(name="00100030", default=ABSENT)
    patient_sex: msgspec.Raw = msgspec.field(name="00100040", default=ABSENT)
    study_date: msgspec.Raw = msgspec.field(name="00080020", default=ABSENT)
    accession_number: msgspec.Raw = msgspec.field(name="00080050", default=ABSENT)
    container_identifier: msgspec.Raw = msgspec.field(name="00400512", default=ABSENT)
    sop_class_uid: Leaf = _tag("00080016")
    sop_instance_uid: Leaf = _tag("00080018")
    study_instance_uid: Leaf = _tag("0020000D")
    series_instance_uid: Leaf = _tag("0020000E")
    modality: Leaf = _tag("00080060")
    image_type: Leaf = _tag("00080008")
    available_transfer_syntax_uid: Leaf = _tag("00083002")
    instance_number: Leaf = _tag("00200013")
    frame_of_reference_uid: Leaf = _tag("00200052")
    pyramid_uid: Leaf = _tag("00080019")
    acquisition_uid: Leaf = _tag("00080017")
    concatenation_uid: Leaf = _tag("00209161")
    in_concatenation_number: Leaf = _tag("00209162")
    in_concatenation_total_number: Leaf = _tag("00209163")
    concatenation_frame_offset: Leaf = _tag("00209228")
    concatenation_source: Leaf = _tag("00200242")
    dimension_organization_type: Leaf = _tag("00209311")
    samples_per_pixel: Leaf = _tag("00280002")
    photometric_interpretation: Leaf = _tag("00280004")
    planar_configuration: Leaf = _tag("00280006")
    number_of_frames: Leaf = _tag("00280008")
    rows: Leaf = _tag("00280010")
    columns: Leaf = _tag("00280011")
    pixel_spacing: Leaf = _tag("00280030")
    bits_allocated: Leaf = _tag("00280100")
    bits_stored: Leaf = _tag("00280101")
    high_bit: Leaf = _tag("00280102")
    pixel_representation: Leaf = _tag("00280103")
    icc_profile: BinaryLeaf = _binary("00282000")
    lossy_image_compression: Leaf = _tag("00282110")
    segmentation_type: Leaf = _tag("00620001")
    segments: Sequence[SegmentItem] = _sequence("00620002")
    imaged_volume_width: Leaf = _tag("00480001")
    imaged_volume_height: Leaf = _tag("00480002")
    total_pixel_matrix_columns: Leaf = _tag("00480006")
    total_pixel_matrix_rows: Leaf = _tag("00480007")
    total_pixel_matrix_origin: Sequence[OriginItem] = _sequence("00480008")
    specimen_label_in_image: Leaf = _tag("00480010")
    extended_depth_of_field: Leaf = _tag("00480012")
    recommended_absent_pixel: Leaf = _tag("00480015")
    image_orientation_slide: Leaf = _tag("00480102")
    optical_paths: Sequence[OpticalPathItem] = _sequence("00480105")
    number_of_optical_paths: Leaf = _tag("00480302")
    focal_planes: Leaf = _tag("00480303")
    per_frame_groups: RawSequence | None = msgspec.field(name="52009230", default=None)
    float_pixels: msgspec.Raw = msgspec.field(name="7FE00008", default=ABSENT)
    """FloatPixelData, of which only matters whether it is there."""
    double_pixels: msgspec.Raw = msgspec.field(name="7FE00009", default=ABSENT)
    """DoubleFloatPixelData, likewise."""


def lacks_layout(item: InstanceItem) -> bool:
    """Whether neither what integers are described by is there, nor a name of other pixel data.

    Integers have BitsStored, HighBit and PixelRepresentation, floating-point numbers none of them (PS3.3 sections
    C.7.6.3, C.7.6.24 and C.7.6.25).

    Args:
        item: The metadata of an image.
    """
    of_integers = (item.bits_stored, item.high_bit, item.pixel_representation)
    named = item.float_pixels != ABSENT or item.double_pixels != ABSENT
    return not named and all(leaf.first is None for leaf in of_integers)


PATIENT: Final = (
    "patient_name",
    "patient_id",
    "patient_birth_date",
    "patient_sex",
    "study_date",
    "accession_number",
    "container_identifier",
)
"""Fields of an `InstanceItem` that ``include_phi`` asks for: as they were sent, for few ever read them."""

_GROUPS = msgspec.json.Decoder(list[FunctionalGroupsItem | None])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_BATCH = 2000
"""Items that are held decoded at a time."""
_ANY = msgspec.json.Decoder(AnyLeaf)
_TAG = re.compile("[0-9A-Fa-f]{8}")
_LOWER_CASE_TAG = re.compile(rb'"([0-9A-Fa-f]{8})"(?=\s*:)')
_OF_ALL = (b'"0020000d"', b'"0020000e"')
"""Tags that any instance has: found in the first, they spare looking through the others."""
_LETTERED_TAGS = (*_OF_ALL, b'"0048021a"', b'"0048021e"', b'"0048021f"')


def decode_bodies(decoder: msgspec.json.Decoder[_Decoded], body: bytes) -> _Decoded:
    """The reply to a request for metadata, as a decoder reads it.

    Raises:
        MetadataError: The body is no DICOM JSON.
    """
    return _decode(decoder, _upper_case_tags(body), "The series metadata")


def functional_groups(sequence: RawSequence) -> Iterator[list[FunctionalGroupsItem]]:
    """The items of a Per-Frame Functional Groups Sequence, in batches.

    Raises:
        MetadataError: An item is no DICOM JSON.
    """
    for items in batches(_GROUPS, sequence):
        yield [FunctionalGroupsItem() if item is None else item for item in items]


def batches(decoder: msgspec.json.Decoder[_Decoded], sequence: RawSequence) -> Iterator[_Decoded]:
    """The items of a Per-Frame Functional Groups Sequence, as a decoder of lists reads them.

    Raises:
        MetadataError: An item is no DICOM JSON.
    """
    for start in range(0, len(sequence.values), _BATCH):
        batch = b"[" + b",".join(sequence.values[start : start + _BATCH]) + b"]"
        check_batch(batch)
        yield _decode(decoder, batch, "A PerFrameFunctionalGroupsSequence")


def patient_of(item: InstanceItem) -> dict[str, str]:
    """What identifies the patient, for those who ask with ``include_phi``; what cannot be read is left out."""
    found: dict[str, str] = {}
    for name in PATIENT:
        with suppress(ValueError):  # msgspec.DecodeError is one
            values = _ANY.decode(getattr(item, name)).values
            if values:
                found[name] = _text(values[0])
    return found


def _text(value: object) -> str:
    if isinstance(value, dict):
        value = value.get("Alphabetic")
    return "" if value is None else str(value)


def _decode(decoder: msgspec.json.Decoder[_Decoded], body: bytes, what: str) -> _Decoded:
    """Decode, and where that fails once more without what some send: nulls, and values that none of their VR can be.

    Single values are lists then.
    """
    try:
        with suppress(msgspec.ValidationError):
            return decoder.decode(body)
        return decoder.decode(b"[" + b",".join(map(_cleaned, _ITEMS.decode(body))) + b"]")
    except (ValueError, RecursionError) as error:  # msgspec.DecodeError is a ValueError, and not the only one raised
        problem = str(error)
    # Raised out here, as what is in the context of an error may hold a whole text of the body.
    raise MetadataError(
        f"{what} is no DICOM JSON that can be read: {problem}.",
        remedy="Ask the server's operator what it sends for /metadata.",
    )


def _cleaned(item: msgspec.Raw) -> bytes:
    text = bytes(item)
    if text == b"null":
        return text
    check_values(text)
    return msgspec.json.encode(_without_nulls(msgspec.json.decode(text)))


def _without_nulls(value: Any) -> Any:
    """Drop what is null in an object, an attribute or its Value; a null in an array keeps its place."""
    if isinstance(value, dict):
        fitting = ((name, _fitting(name, member)) for name, member in value.items() if member is not None)
        return {name: _without_nulls(_listed(name, member)) for name, member in fitting}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _fitting(name: str, member: Any) -> Any:
    """An attribute without values that none of its VR can be: objects among scalars, and scalars among items."""
    if not (_TAG.fullmatch(name) and isinstance(member, dict) and isinstance(member.get("Value"), list)):
        return member
    vr = _vr_of(int(name, 16), str(member.get("vr")))
    return {**member, "Value": [each for each in member["Value"] if each is None or _may_be(each, vr)]}


def _may_be(value: object, vr: str) -> bool:
    if isinstance(value, dict):
        return vr in {"SQ", "PN"}
    return vr != "SQ" and isinstance(value, str | int | float) and not isinstance(value, bool)


def _vr_of(tag: int, told: str) -> str:
    from pydicom.datadict import dictionary_has_tag, dictionary_VR  # noqa: PLC0415  # few replies need it

    return dictionary_VR(tag) if dictionary_has_tag(tag) else told


def _listed(name: str, member: Any) -> Any:
    """A value that stands for itself as the only one of its attribute."""
    return [member] if name == "Value" and not isinstance(member, list) else member


def _upper_case_tags(body: bytes) -> bytes:
    """Tags are upper-case hexadecimal; some servers spell them in lower case, and then all of them."""
    if any(tag.upper() in body for tag in _OF_ALL) or not any(tag in body for tag in _LETTERED_TAGS):
        return body
    return _LOWER_CASE_TAG.sub(lambda match: match.group(0).upper(), body)
