"""The DICOM JSON model of an instance as it is decoded, once: images that are no slides are placed and scaled by it.

As in `json_model`, whatever is not named here is skipped by the decoder and never reaches memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from dicomzarr.dicom.model.binary import NO_BYTES, BinaryLeaf
from dicomzarr.dicom.model.json_model import (
    ABSENT,
    EMPTY,
    CodeItem,
    InstanceItem,
    Leaf,
    RawSequence,
    Sequence,
    batches,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_Item = TypeVar("_Item")
NOTHING: Any = Sequence()
"""What stands for a sequence that is not there."""
NONE: Final = frozenset({id(EMPTY), id(NO_BYTES), id(NOTHING)})
"""The identities of what stands for attributes that are not there."""


def _tag(tag: str) -> Leaf:
    return msgspec.field(name=tag, default=EMPTY)


def _sequence(tag: str) -> Sequence[_Item]:
    return msgspec.field(name=tag, default=NOTHING)


def _binary(tag: str) -> BinaryLeaf:
    return msgspec.field(name=tag, default=NO_BYTES)


class Macro(msgspec.Struct, gc=False, frozen=True):
    """One item of any functional group, PS3.3 section C.7.6.16.2: its macros share no attribute."""

    pixel_spacing: Leaf = _tag("00280030")
    slice_thickness: Leaf = _tag("00180050")
    spacing_between_slices: Leaf = _tag("00180088")
    image_position: Leaf = _tag("00200032")
    image_orientation: Leaf = _tag("00200037")
    position_volume: Leaf = _tag("00209301")
    orientation_volume: Leaf = _tag("00209302")
    data_type: Leaf = _tag("00189808")
    frame_laterality: Leaf = _tag("00209072")
    stack_id: Leaf = _tag("00209056")
    temporal_position_index: Leaf = _tag("00209128")
    dimension_index_values: Leaf = _tag("00209157")
    frame_acquisition_datetime: Leaf = _tag("00189074")
    frame_reference_datetime: Leaf = _tag("00189151")
    temporal_position_time_offset: Leaf = _tag("0020930D")
    trigger_delay: Leaf = _tag("00209153")
    actual_trigger_delay: Leaf = _tag("00209252")
    cardiac_phase: Leaf = _tag("00209241")
    acquisition_number: Leaf = _tag("00209156")
    frame_label: Leaf = _tag("00209453")
    effective_echo_time: Leaf = _tag("00189082")
    repetition_time: Leaf = _tag("00180080")
    inversion_times: Leaf = _tag("00189079")
    magnetization_transfer: Leaf = _tag("00189020")
    spectral_suppression: Leaf = _tag("00189025")
    flip_angle: Leaf = _tag("00181314")
    diffusion_b_value: Leaf = _tag("00189087")
    directionality: Leaf = _tag("00189075")
    gradient_directions: Sequence[GradientDirectionItem] = _sequence("00189076")
    acquisition_contrast: Leaf = _tag("00089209")
    frame_type: Leaf = _tag("00089007")
    asl_context: Leaf = _tag("00189257")
    complex_image_component: Leaf = _tag("00089208")
    rescale_slope: Leaf = _tag("00281053")
    rescale_intercept: Leaf = _tag("00281052")
    rescale_type: Leaf = _tag("00281054")
    window_center: Leaf = _tag("00281050")
    window_width: Leaf = _tag("00281051")
    window_explanation: Leaf = _tag("00281055")
    voi_lut_function: Leaf = _tag("00281056")
    segment_number: Leaf = _tag("0062000B")
    column_position: Leaf = _tag("0048021E")
    row_position: Leaf = _tag("0048021F")
    optical_path_identifier: Leaf = _tag("00480106")
    z_offset: Leaf = _tag("0040074A")


class RareMacro(msgspec.Struct, gc=False, frozen=True):
    """One item of functional groups that few images have, likewise."""

    velocity_direction: Leaf = _tag("00189090")
    velocity_limit: Leaf = _tag("00189217")
    respiratory_phase: Leaf = _tag("00209245")
    respiratory_delay: Leaf = _tag("00209255")
    kvp: Leaf = _tag("00180060")
    convolution_kernel: Leaf = _tag("00181210")
    reconstruction_algorithm: Leaf = _tag("00189315")
    contrast_phase: Leaf = _tag("00189344")
    contrast_administered: Leaf = _tag("00189342")
    energy: Leaf = _tag("0018937C")
    number_of_averages: Leaf = _tag("00180083")
    receive_coil_name: Leaf = _tag("00181250")
    materials: Sequence[MaterialItem] = _sequence("00189381")
    metabolite: Leaf = _tag("00189080")
    excitation_wavelength: Leaf = _tag("00189826")
    agent_number: Leaf = _tag("00189729")


class MaterialItem(msgspec.Struct, frozen=True):
    """One item of the Decomposition Material Sequence, PS3.3 section C.8.15.3.12."""

    codes: Sequence[CodeItem] = _sequence("0018937D")


class GradientDirectionItem(msgspec.Struct, gc=False, frozen=True):
    """Diffusion Gradient Direction Sequence, PS3.3 section C.8.13.5.9."""

    orientation: Leaf = _tag("00189089")


class ContentItem(msgspec.Struct, frozen=True):
    """One item of the Quantity Definition Sequence, PS3.3 section 10.2, of those that have a code."""

    codes: Sequence[CodeItem] = _sequence("0040A168")


class MappingItem(msgspec.Struct, frozen=True):
    """One item of the Real World Value Mapping Sequence, PS3.3 section C.7.6.16.2.11."""

    label: Leaf = _tag("00409210")
    first: Leaf = _tag("00409216")
    last: Leaf = _tag("00409211")
    first_double: Leaf = _tag("00409214")
    last_double: Leaf = _tag("00409213")
    slope: Leaf = _tag("00409225")
    intercept: Leaf = _tag("00409224")
    units: Sequence[CodeItem] = _sequence("004008EA")
    quantity: Sequence[ContentItem] = _sequence("00409220")
    table: Leaf = _tag("00409212")


class SourceImageItem(msgspec.Struct, frozen=True):
    """One item of the Source Image Sequence, PS3.3 section C.7.6.16.2.6."""

    sop_instance_uid: Leaf = _tag("00081155")
    frame_numbers: Leaf = _tag("00081160")
    locations_preserved: Leaf = _tag("0028135A")


class DerivationItem(msgspec.Struct, frozen=True):
    """One item of the Derivation Image Sequence, likewise."""

    sources: Sequence[SourceImageItem] = _sequence("00082112")


class FrameGroups(msgspec.Struct, gc=False, frozen=True):
    """One item of the Shared or Per-Frame Functional Groups Sequence, PS3.3 section C.7.6.16."""

    pixel_measures: Sequence[Macro] = _sequence("00289110")
    plane_position: Sequence[Macro] = _sequence("00209113")
    plane_orientation: Sequence[Macro] = _sequence("00209116")
    plane_position_volume: Sequence[Macro] = _sequence("0020930E")
    plane_orientation_volume: Sequence[Macro] = _sequence("0020930F")
    frame_anatomy: Sequence[Macro] = _sequence("00209071")
    us_image_description: Sequence[Macro] = _sequence("00189806")
    image_data_type: Sequence[Macro] = _sequence("00189807")
    frame_content: Sequence[Macro] = _sequence("00209111")
    temporal_position: Sequence[Macro] = _sequence("00209310")
    cardiac_synchronization: Sequence[Macro] = _sequence("00189118")
    echo: Sequence[Macro] = _sequence("00189114")
    timing: Sequence[Macro] = _sequence("00189112")
    modifier: Sequence[Macro] = _sequence("00189115")
    imaging_modifier: Sequence[Macro] = _sequence("00189006")
    diffusion: Sequence[Macro] = _sequence("00189117")
    arterial_spin_labeling: Sequence[Macro] = _sequence("00189251")
    mr_frame_type: Sequence[Macro] = _sequence("00189226")
    ct_frame_type: Sequence[Macro] = _sequence("00189329")
    pet_frame_type: Sequence[Macro] = _sequence("00189751")
    xray_3d_frame_type: Sequence[Macro] = _sequence("00189504")
    map_frame_type: Sequence[Macro] = _sequence("00409092")
    slide_frame_type: Sequence[Macro] = _sequence("00400710")
    respiratory_synchronization: Sequence[RareMacro] = _sequence("00209253")
    velocity_encoding: Sequence[RareMacro] = _sequence("00189197")
    averages: Sequence[RareMacro] = _sequence("00189119")
    receive_coil: Sequence[RareMacro] = _sequence("00189042")
    ct_x_ray_details: Sequence[RareMacro] = _sequence("00189325")
    ct_reconstruction: Sequence[RareMacro] = _sequence("00189314")
    contrast_usage: Sequence[RareMacro] = _sequence("00189341")
    multi_energy: Sequence[RareMacro] = _sequence("00189364")
    multi_energy_processing: Sequence[RareMacro] = _sequence("00189363")
    metabolite_map: Sequence[RareMacro] = _sequence("00189152")
    photoacoustic_excitation: Sequence[RareMacro] = _sequence("00189821")
    radiopharmaceutical_usage: Sequence[RareMacro] = _sequence("00189737")
    pixel_value_transformation: Sequence[Macro] = _sequence("00289145")
    frame_voi_lut: Sequence[Macro] = _sequence("00289132")
    real_world_value_mapping: Sequence[MappingItem] = _sequence("00409096")
    segment_identification: Sequence[Macro] = _sequence("0062000A")
    derivation_image: msgspec.Raw = msgspec.field(name="00089124", default=ABSENT)
    """As it was sent: most frames have it, and few are asked; see `source_images`."""
    plane_position_slide: Sequence[Macro] = _sequence("0048021A")
    optical_path_identification: Sequence[Macro] = _sequence("00480207")
    converted: Sequence[ImageItem] = _sequence("00209171")
    """Unassigned Per-Frame Converted Attributes Sequence: those of the classic image that a frame was."""
    converted_of_all: Sequence[ImageItem] = _sequence("00209170")
    """Unassigned Shared Converted Attributes Sequence, likewise."""


class DimensionIndexItem(msgspec.Struct, frozen=True):
    """One item of the Dimension Index Sequence, PS3.3 section C.7.6.17."""

    pointer: Leaf = _tag("00209165")


class LookupItem(msgspec.Struct, frozen=True):
    """One item of the Modality LUT Sequence, PS3.3 section C.11.1."""

    descriptor: Leaf = _tag("00283002")
    kind: Leaf = _tag("00283004")
    data: BinaryLeaf = _binary("00283006")


class VoiLookupItem(msgspec.Struct, frozen=True):
    """One item of the VOI LUT Sequence, PS3.3 section C.11.2, of which only matters which values it tells apart."""

    descriptor: Leaf = _tag("00283002")


class DetectorItem(msgspec.Struct, frozen=True):
    """One item of the Detector Information Sequence, PS3.3 section C.8.4.11."""

    image_position: Leaf = _tag("00200032")
    image_orientation: Leaf = _tag("00200037")


class RegionItem(msgspec.Struct, frozen=True):
    """One item of the Sequence of Ultrasound Regions, PS3.3 section C.8.5.5."""

    spatial_format: Leaf = _tag("00186012")
    data_type: Leaf = _tag("00186014")
    min_x: Leaf = _tag("00186018")
    min_y: Leaf = _tag("0018601A")
    max_x: Leaf = _tag("0018601C")
    max_y: Leaf = _tag("0018601E")
    units_x: Leaf = _tag("00186024")
    units_y: Leaf = _tag("00186026")
    delta_x: Leaf = _tag("0018602C")
    delta_y: Leaf = _tag("0018602E")


class PhaseItem(msgspec.Struct, frozen=True):
    """One item of the Phase Information Sequence, PS3.3 section C.8.4.14."""

    frames: Leaf = _tag("00540033")
    delay: Leaf = _tag("00540036")
    duration: Leaf = _tag("00181242")
    pause: Leaf = _tag("00540038")


class RadiopharmaceuticalItem(msgspec.Struct, frozen=True):
    """One item of the Radiopharmaceutical Information Sequence, PS3.3 section C.8.9.2."""

    start_time: Leaf = _tag("00181072")
    total_dose: Leaf = _tag("00181074")
    half_life: Leaf = _tag("00181075")
    start_datetime: Leaf = _tag("00181078")


class ReferencedSeriesItem(msgspec.Struct, frozen=True):
    """One item of the Referenced Series Sequence, PS3.3 section C.12.1.2."""

    series_instance_uid: Leaf = _tag("0020000E")


class ImageItem(InstanceItem, gc=False, frozen=True):
    """All that is read of one instance's metadata, in one decoding: images that are no slides need the rest too."""

    acquisition_number: Leaf = _tag("00200012")
    acquisition_datetime: Leaf = _tag("0008002A")
    acquisition_date: Leaf = _tag("00080022")
    acquisition_time: Leaf = _tag("00080032")
    temporal_position_identifier: Leaf = _tag("00200100")
    trigger_time: Leaf = _tag("00181060")
    frame_reference_time: Leaf = _tag("00541300")
    cardiac_phase: Leaf = _tag("00209241")
    respiratory_phase: Leaf = _tag("00209245")
    echo_time: Leaf = _tag("00180081")
    echo_numbers: Leaf = _tag("00180086")
    image_index: Leaf = _tag("00541330")
    low_rr_value: Leaf = _tag("00181081")
    temporal_position_index: Leaf = _tag("00209128")
    temporal_position_time_offset: Leaf = _tag("0020930D")
    trigger_delay: Leaf = _tag("00209153")
    frame_acquisition_datetime: Leaf = _tag("00189074")
    effective_echo_time: Leaf = _tag("00189082")
    inversion_times: Leaf = _tag("00189079")
    repetition_time: Leaf = _tag("00180080")
    inversion_time: Leaf = _tag("00180082")
    flip_angle: Leaf = _tag("00181314")
    kvp: Leaf = _tag("00180060")
    convolution_kernel: Leaf = _tag("00181210")
    reconstruction_algorithm: Leaf = _tag("00189315")
    multi_energy: Sequence[RareMacro] = _sequence("00189364")
    multi_energy_processing: Sequence[RareMacro] = _sequence("00189363")
    multi_energy_acquisition: Leaf = _tag("00189361")
    filter_type: Leaf = _tag("00181160")
    scanning_sequence: Leaf = _tag("00180020")
    sequence_variant: Leaf = _tag("00180021")
    number_of_averages: Leaf = _tag("00180083")
    receive_coil_name: Leaf = _tag("00181250")
    imaged_nucleus: Leaf = _tag("00180085")
    acquisition_contrast: Leaf = _tag("00089209")
    randoms_correction: Leaf = _tag("00541100")
    scatter_correction: Leaf = _tag("00541105")
    image_comments: Leaf = _tag("00204000")
    protocol_name: Leaf = _tag("00181030")
    derivation: Leaf = _tag("00082111")
    patient_position: Leaf = _tag("00185100")
    series_number: Leaf = _tag("00200011")
    series_description: Leaf = _tag("0008103E")
    attenuation_correction: Leaf = _tag("00541101")
    reconstruction_method: Leaf = _tag("00541103")
    diffusion_b_value: Leaf = _tag("00189087")
    directionality: Leaf = _tag("00189075")
    gradient_orientation: Leaf = _tag("00189089")
    phase_direction: Leaf = _tag("00181312")
    creator_0009: Leaf = _tag("00090010")
    creator_0019: Leaf = _tag("00190010")
    creator_0021: Leaf = _tag("00210010")
    creator_0043: Leaf = _tag("00430010")
    creator_0051: Leaf = _tag("00510010")
    creator_0065: Leaf = _tag("00650010")
    creator_2001: Leaf = _tag("20010010")
    creator_2005: Leaf = _tag("20050010")
    creator_2005_14: Leaf = _tag("20050014")
    creator_7053: Leaf = _tag("70530010")
    siemens_b_value: BinaryLeaf = _binary("0019100C")
    siemens_gradient: BinaryLeaf = _binary("0019100E")
    siemens_coil: BinaryLeaf = _binary("0051100F")
    philips_b_value: BinaryLeaf = _binary("20011003")
    philips_gradient_x: BinaryLeaf = _binary("200510B0")
    philips_gradient_y: BinaryLeaf = _binary("200510B1")
    philips_gradient_z: BinaryLeaf = _binary("200510B2")
    philips_label: BinaryLeaf = _binary("20051429")
    ge_b_value: BinaryLeaf = _binary("00431039")
    ge_gradient_x: BinaryLeaf = _binary("001910BB")
    ge_gradient_y: BinaryLeaf = _binary("001910BC")
    ge_gradient_z: BinaryLeaf = _binary("001910BD")
    ge_directions: BinaryLeaf = _binary("001910E0")
    ge_component: BinaryLeaf = _binary("0043102F")
    ge_kind: BinaryLeaf = _binary("00431030")
    ge_time: BinaryLeaf = _binary("0021105E")
    ge_scan_start: BinaryLeaf = _binary("0009100D")
    philips_suv_factor: BinaryLeaf = _binary("70531000")
    philips_activity_factor: BinaryLeaf = _binary("70531009")
    uih_b_value: BinaryLeaf = _binary("00651009")
    uih_gradient: BinaryLeaf = _binary("00651037")
    sequence_name: Leaf = _tag("00180024")
    contrast_agent: Leaf = _tag("00180010")
    scan_options: Leaf = _tag("00180022")
    content_date: Leaf = _tag("00080023")
    content_time: Leaf = _tag("00080033")
    creation_date: Leaf = _tag("00080012")
    creation_time: Leaf = _tag("00080013")
    number_of_temporal_positions: Leaf = _tag("00200105")
    complex_image_component: Leaf = _tag("00089208")
    image_position: Leaf = _tag("00200032")
    image_orientation: Leaf = _tag("00200037")
    slice_location: Leaf = _tag("00201041")
    retired_position: Leaf = _tag("00200030")
    retired_orientation: Leaf = _tag("00200035")
    slice_thickness: Leaf = _tag("00180050")
    spacing_between_slices: Leaf = _tag("00180088")
    imager_pixel_spacing: Leaf = _tag("00181164")
    estimated_magnification: Leaf = _tag("00181114")
    nominal_scanned_pixel_spacing: Leaf = _tag("00182010")
    image_plane_pixel_spacing: Leaf = _tag("30020011")
    pixel_spacing_calibration_type: Leaf = _tag("00280A02")
    pixel_aspect_ratio: Leaf = _tag("00280034")
    laterality: Leaf = _tag("00200060")
    image_laterality: Leaf = _tag("00200062")
    view_position: Leaf = _tag("00185101")
    views: Sequence[CodeItem] = _sequence("00540220")
    burned_in_annotation: Leaf = _tag("00280301")
    anatomical_orientation: Leaf = _tag("00102210")
    volumetric_properties: Leaf = _tag("00089206")
    rescale_slope: Leaf = _tag("00281053")
    rescale_intercept: Leaf = _tag("00281052")
    rescale_type: Leaf = _tag("00281054")
    units: Leaf = _tag("00541001")
    series_date: Leaf = _tag("00080021")
    series_time: Leaf = _tag("00080031")
    timezone: Leaf = _tag("00080201")
    patient_weight: Leaf = _tag("00101030")
    actual_frame_duration: Leaf = _tag("00181242")
    corrected_image: Leaf = _tag("00280051")
    suv_type: Leaf = _tag("00541006")
    decay_correction: Leaf = _tag("00541102")
    radiopharmaceuticals: Sequence[RadiopharmaceuticalItem] = _sequence("00540016")
    dose_grid_scaling: Leaf = _tag("3004000E")
    dose_units: Leaf = _tag("30040002")
    grid_frame_offsets: Leaf = _tag("3004000C")
    pixel_intensity_relationship: Leaf = _tag("00281040")
    modality_lut: Sequence[LookupItem] = _sequence("00283000")
    voi_lut: Sequence[VoiLookupItem] = _sequence("00283010")
    real_world_value_mapping: Sequence[MappingItem] = _sequence("00409096")
    window_center: Leaf = _tag("00281050")
    window_width: Leaf = _tag("00281051")
    window_explanation: Leaf = _tag("00281055")
    voi_lut_function: Leaf = _tag("00281056")
    pixel_padding_value: Leaf = _tag("00280120")
    pixel_padding_range_limit: Leaf = _tag("00280121")
    red_descriptor: Leaf = _tag("00281101")
    green_descriptor: Leaf = _tag("00281102")
    blue_descriptor: Leaf = _tag("00281103")
    red_data: BinaryLeaf = _binary("00281201")
    green_data: BinaryLeaf = _binary("00281202")
    blue_data: BinaryLeaf = _binary("00281203")
    red_segmented: BinaryLeaf = _binary("00281221")
    green_segmented: BinaryLeaf = _binary("00281222")
    blue_segmented: BinaryLeaf = _binary("00281223")
    frame_increments: Leaf = _tag("00280009")
    frame_time: Leaf = _tag("00181063")
    frame_time_vector: Leaf = _tag("00181065")
    slice_location_vector: Leaf = _tag("00182005")
    phases: Sequence[PhaseItem] = _sequence("00540032")
    energy_window_vector: Leaf = _tag("00540010")
    detector_vector: Leaf = _tag("00540020")
    phase_vector: Leaf = _tag("00540030")
    rotation_vector: Leaf = _tag("00540050")
    rr_interval_vector: Leaf = _tag("00540060")
    time_slot_vector: Leaf = _tag("00540070")
    slice_vector: Leaf = _tag("00540080")
    angular_view_vector: Leaf = _tag("00540090")
    time_slice_vector: Leaf = _tag("00540100")
    detectors: Sequence[DetectorItem] = _sequence("00540022")
    regions: Sequence[RegionItem] = _sequence("00186011")
    maximum_fractional_value: Leaf = _tag("0062000E")
    referenced_series: Sequence[ReferencedSeriesItem] = _sequence("00081115")
    dimension_indices: Sequence[DimensionIndexItem] = _sequence("00209222")
    shared_groups: Sequence[FrameGroups] = _sequence("52009229")


TAGS: Final = frozenset(int(each.encode_name, 16) for each in msgspec.structs.fields(ImageItem))
"""Of an instance, that are read here."""

_CHARACTERS: Final = 0x00080005
_LAST_CREATOR: Final = 0xFF
_PRIVATE: Final = {
    group: {tag & 0xFF for tag in TAGS if tag >> 16 == group} for group in {tag >> 16 for tag in TAGS} if group % 2
}
"""Private ones by their group: what each has behind the number of its block."""

_GROUPS = msgspec.json.Decoder(list[FrameGroups | None])
_DERIVATION = msgspec.json.Decoder(Sequence[DerivationItem])
NO_GROUPS = FrameGroups()
"""What stands for the functional groups of a frame that has none."""
NO_MACRO = Macro()
"""What stands for a macro that a frame does not have."""


def is_read(tag: int) -> bool:
    """Whether an attribute of an instance is read here, or how others are to be read depends on it."""
    group, element = tag >> 16, tag & 0xFFFF
    if group % 2 == 0:
        return tag in TAGS or tag == _CHARACTERS
    if element <= _LAST_CREATOR:
        return group in _PRIVATE
    return element & 0xFF in _PRIVATE.get(group, ())  # whatever block it is in (PS3.5 section 7.8.1)


def frame_groups(sequence: RawSequence) -> Iterator[FrameGroups]:
    """The items of a Per-Frame Functional Groups Sequence.

    Raises:
        MetadataError: An item is no DICOM JSON.
    """
    for batch in batches(_GROUPS, sequence):
        for item in batch:
            yield item or NO_GROUPS


def source_images(groups: FrameGroups) -> list[SourceImageItem]:
    """What frames were derived from, by their Derivation Image Sequence; nothing where that is no DICOM JSON."""
    if groups.derivation_image == ABSENT:
        return []
    try:
        derivations = _DERIVATION.decode(groups.derivation_image).items
    except msgspec.DecodeError:
        return []
    return [source for derivation in derivations for source in derivation.sources.items]
