"""What may tell frames at one place apart: one table of attributes, each with where it stands and what it counts.

A dimension exists only where one of these says so. A new one is one more row, which names attributes as the fields of
`image_model` are called. One that is not read yet needs a field there: of `ImageItem`, where it stands in the instance,
or of `Macro`, where it stands in a functional group. What no plain number or text says is a function in `computed`,
or in `diffusion`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.model.image_model import Macro, RareMacro
from dicomzarr.dicom.model.json_model import Leaf
from dicomzarr.dicom.model.private import creator_of
from dicomzarr.dicom.volume import computed, diffusion
from dicomzarr.dicom.volume.computed import FRAME_TYPES, in_single_precision, number_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dicomzarr.dicom.model.values import Value
    from dicomzarr.dicom.volume.frame_context import FrameContext


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row of the table: where a value stands, in the order in which places count."""

    name: str
    unit: str = ""
    """That of all its places, as UCUM spells it; empty where it has none."""
    axis: str = "c"
    """The axis of images that it becomes: t, c, or z where nothing else places slices."""
    strong: bool = True
    """It is meant to tell frames apart; others differ for many reasons, and are asked last."""
    last_resort: bool = False
    """People write it, who may mean anything: it is asked after the order of acquisition."""
    contrast: bool = False
    """Two of its values that each hold two slices or more never lie in one stack of slices."""
    of_each_slice: bool = False
    """A contrast that may as well be one of each slice, as with the heartbeat: only if no value holds a single one."""
    clock: bool = False
    """Seconds of a date, of which only differences may be shown."""
    as_acquired: bool = False
    """Its values have no order of their own."""
    cyclic: bool = False
    """It counts from the heartbeat, which may be faster in one slice than in another: its rank says more than it."""
    rounded: bool = False
    """Writers compute it in single precision: six digits count."""
    text: bool = False
    """It is a text, all values of which count, and of which only known words may be shown."""
    macros: tuple[tuple[str, str], ...] = ()
    """(functional group, attribute) of frames, by the names of fields of `FrameGroups` and `Macro`."""
    instance: tuple[str, ...] = ()
    """Attributes of the instance, by the names of fields of `ImageItem`: the first that has a value."""
    vector: str = ""
    """An attribute of the instance with one value for each frame."""
    within: str = ""
    """The attribute within each value of which it begins to count anew: both are one axis."""
    compute: Callable[[FrameContext], Value] | None = None
    """For what is no plain number or text: it looks at ``macros`` and ``instance``, and nothing else."""
    otherwise: Attribute | None = None
    """What counts where all frames have one value of this: of several clocks in a header, some may stand still."""

    def of(self, frame: FrameContext) -> Value:
        """The value of a frame; None where it has none."""
        if self.compute is not None:
            return self.compute(frame)
        if self.text:
            texts = (" ".join(filter(None, frame.read.texts(leaf))) for leaf in self._leaves(frame))
            return next(filter(None, texts), None)
        found = next((number for leaf in self._leaves(frame) if (number := number_of(leaf.first)) is not None), None)
        return found if found is None or not self.rounded else in_single_precision(found)

    def _leaves(self, frame: FrameContext) -> Iterator[Leaf]:
        if self.vector:
            yield Leaf(getattr(frame.item, self.vector).values[frame.number - 1 : frame.number])
        for group, name in self.macros:
            yield frame.attribute(group, name)
        for name in self.instance:
            yield getattr(frame.item, name)


def _private(*names: str) -> tuple[str, ...]:
    """Private attributes, and what says whose they are."""
    return tuple(dict.fromkeys(part for name in names for part in (name, creator_of(name))))


def _gradient(vendor: str) -> tuple[str, ...]:
    return tuple(f"{vendor}_gradient_{axis}" for axis in "xyz")


ACQUISITION_TIME: Final = "acquisition_time"
"""Seconds since a fixed day."""

CONTENT_TIME: Final = "content_time"
"""When an image was computed, likewise."""

FRAME_TIME: Final = "frame_time"

SEGMENT: Final = "segment"

ATTRIBUTES: Final = (
    Attribute(SEGMENT, macros=(("segment_identification", "segment_number"),)),
    Attribute(
        "temporal_position",
        axis="t",
        macros=(("frame_content", "temporal_position_index"),),
        instance=("temporal_position_identifier", "temporal_position_index"),
    ),
    Attribute(
        "component",
        contrast=True,
        compute=computed.component,
        macros=(("mr_frame_type", "complex_image_component"),),
        instance=("complex_image_component", "image_type", *_private("ge_component")),
    ),
    Attribute(
        "arterial_label",
        contrast=True,
        compute=computed.arterial_label,
        macros=(("arterial_spin_labeling", "asl_context"),),
        instance=_private("philips_label"),
    ),
    Attribute(
        "velocity_direction",
        contrast=True,
        compute=computed.velocity_direction,
        macros=(("velocity_encoding", "velocity_direction"),),
    ),
    Attribute("velocity_limit", "cm/s", contrast=True, macros=(("velocity_encoding", "velocity_limit"),)),
    Attribute(
        "echo_time",
        "ms",
        contrast=True,
        rounded=True,
        macros=(("echo", "effective_echo_time"),),
        instance=("echo_time", "effective_echo_time"),
    ),
    Attribute(
        diffusion.B_VALUE,
        "s/mm2",
        contrast=True,
        compute=diffusion.b_value,
        macros=(("diffusion", "diffusion_b_value"),),
        instance=(
            "diffusion_b_value",
            "sequence_name",
            *_private("siemens_b_value", "philips_b_value", "uih_b_value", "ge_b_value", "ge_kind", "ge_directions"),
            *_private(*_gradient("ge")),
        ),
    ),
    Attribute(
        diffusion.DIRECTION,
        contrast=True,
        compute=diffusion.gradient_direction,
        macros=(("diffusion", "gradient_directions"), ("diffusion", "directionality")),
        instance=(
            "gradient_orientation",
            "directionality",
            "phase_direction",
            *_private("siemens_gradient", "uih_gradient", *_gradient("philips"), *_gradient("ge")),
        ),
    ),
    Attribute(
        "gradient_comment",
        contrast=True,
        as_acquired=True,
        compute=computed.gradient_comment,
        instance=("image_comments",),
    ),
    Attribute(
        "inversion_time",
        "ms",
        contrast=True,
        of_each_slice=True,
        rounded=True,
        macros=(("modifier", "inversion_times"),),
        instance=("inversion_time", "inversion_times"),
    ),
    Attribute(
        "flip_angle",
        "deg",
        contrast=True,
        of_each_slice=True,
        rounded=True,
        macros=(("timing", "flip_angle"),),
        instance=("flip_angle",),
    ),
    Attribute(
        "repetition_time", "ms", rounded=True, macros=(("timing", "repetition_time"),), instance=("repetition_time",)
    ),
    Attribute(
        "trigger_time",
        "ms",
        "t",
        cyclic=True,
        macros=(("cardiac_synchronization", "trigger_delay"), ("cardiac_synchronization", "actual_trigger_delay")),
        instance=("trigger_time", "trigger_delay"),
    ),
    Attribute(
        "cardiac_phase", "%", "t", macros=(("cardiac_synchronization", "cardiac_phase"),), instance=("cardiac_phase",)
    ),
    Attribute(
        "respiratory_phase",
        "%",
        "t",
        macros=(("respiratory_synchronization", "respiratory_phase"),),
        instance=("respiratory_phase",),
    ),
    Attribute(
        "respiratory_delay", "ms", "t", cyclic=True, macros=(("respiratory_synchronization", "respiratory_delay"),)
    ),
    Attribute(
        "temporal_offset",
        "s",
        "t",
        macros=(("temporal_position", "temporal_position_time_offset"),),
        instance=("temporal_position_time_offset",),
    ),
    Attribute("frame_reference_time", "ms", axis="t", instance=("frame_reference_time",)),
    Attribute("energy_window", vector="energy_window_vector"),
    Attribute("detector", vector="detector_vector"),
    Attribute("rotation", vector="rotation_vector"),
    Attribute("phase", axis="t", vector="phase_vector"),
    Attribute("rr_interval", vector="rr_interval_vector"),
    Attribute("time_slot", axis="t", vector="time_slot_vector"),
    Attribute("time_slice", axis="t", vector="time_slice_vector", within="phase"),
    Attribute("angular_view", axis="t", vector="angular_view_vector"),
    Attribute("slice", axis="z", vector="slice_vector"),
    Attribute("slice_location", "mm", axis="z", vector="slice_location_vector"),
    Attribute(
        "energy",
        "keV",
        contrast=True,
        compute=computed.energy,
        macros=(("multi_energy", "energy"),),
        instance=("multi_energy",),
    ),
    Attribute(
        "material",
        contrast=True,
        compute=computed.material,
        macros=(("multi_energy_processing", "materials"),),
        instance=("multi_energy_processing",),
    ),
    Attribute(
        "data_type",
        contrast=True,
        text=True,
        macros=(("image_data_type", "data_type"), ("us_image_description", "data_type")),
    ),
    Attribute(
        "excitation_wavelength",
        "nm",
        contrast=True,
        macros=(("photoacoustic_excitation", "excitation_wavelength"),),
    ),
    Attribute("metabolite", contrast=True, text=True, macros=(("metabolite_map", "metabolite"),)),
    Attribute("radiopharmaceutical_agent", contrast=True, macros=(("radiopharmaceutical_usage", "agent_number"),)),
    Attribute("real_world_label", contrast=True, text=True, macros=(("real_world_value_mapping", "label"),)),
    Attribute("quantity", contrast=True, compute=computed.quantity, macros=(("real_world_value_mapping", "quantity"),)),
    Attribute(
        "measurement_units",
        contrast=True,
        compute=computed.measurement_units,
        macros=(("real_world_value_mapping", "units"),),
    ),
    Attribute("low_rr_value", "ms", contrast=True, strong=False, of_each_slice=True, instance=("low_rr_value",)),
    Attribute("sequence_name", contrast=True, strong=False, as_acquired=True, text=True, instance=("sequence_name",)),
    Attribute("contrast_agent", contrast=True, strong=False, as_acquired=True, text=True, instance=("contrast_agent",)),
    Attribute(
        "contrast_phase",
        strong=False,
        as_acquired=True,
        text=True,
        macros=(("contrast_usage", "contrast_phase"), ("contrast_usage", "contrast_administered")),
    ),
    Attribute(
        "convolution_kernel",
        contrast=True,
        strong=False,
        text=True,
        macros=(("ct_reconstruction", "convolution_kernel"),),
        instance=("convolution_kernel",),
    ),
    Attribute(
        "reconstruction_algorithm",
        contrast=True,
        strong=False,
        text=True,
        macros=(("ct_reconstruction", "reconstruction_algorithm"),),
        instance=("reconstruction_algorithm",),
    ),
    Attribute(
        "slice_thickness",
        "mm",
        contrast=True,
        strong=False,
        compute=computed.slice_thickness,
        macros=(("pixel_measures", "slice_thickness"),),
        instance=("slice_thickness",),
    ),
    Attribute("kvp", "kV", strong=False, macros=(("ct_x_ray_details", "kvp"),), instance=("kvp",)),
    Attribute("echo_number", contrast=True, strong=False, instance=("echo_numbers",)),
    Attribute(
        "image_type",
        strong=False,
        compute=computed.kind,
        macros=tuple((group, "frame_type") for group in FRAME_TYPES),
        instance=("image_type",),
    ),
    Attribute("ge_kind", strong=False, compute=computed.ge_kind, instance=_private("ge_kind")),
    Attribute("scan_options", strong=False, as_acquired=True, text=True, instance=("scan_options",)),
    Attribute(
        "magnetization_transfer",
        strong=False,
        text=True,
        macros=(("imaging_modifier", "magnetization_transfer"), ("modifier", "magnetization_transfer")),
    ),
    Attribute("spectral_suppression", strong=False, text=True, macros=(("modifier", "spectral_suppression"),)),
    Attribute("scanning_sequence", strong=False, text=True, instance=("scanning_sequence",)),
    Attribute("sequence_variant", strong=False, text=True, instance=("sequence_variant",)),
    Attribute("averages", strong=False, macros=(("averages", "number_of_averages"),), instance=("number_of_averages",)),
    Attribute(
        "receive_coil",
        strong=False,
        compute=computed.receive_coil,
        macros=(("receive_coil", "receive_coil_name"),),
        instance=("receive_coil_name", *_private("siemens_coil")),
    ),
    Attribute("imaged_nucleus", contrast=True, strong=False, text=True, instance=("imaged_nucleus",)),
    Attribute("phase_encoding", contrast=True, strong=False, text=True, instance=("phase_direction",)),
    Attribute(
        "diffusion_directionality",
        strong=False,
        text=True,
        macros=(("diffusion", "directionality"),),
        instance=("directionality",),
    ),
    Attribute(
        "acquisition_contrast",
        strong=False,
        text=True,
        macros=(("mr_frame_type", "acquisition_contrast"),),
        instance=("acquisition_contrast",),
    ),
    Attribute("patient_position", contrast=True, strong=False, text=True, instance=("patient_position",)),
    Attribute("filter_type", strong=False, text=True, instance=("filter_type",)),
    Attribute("corrections", contrast=True, strong=False, text=True, instance=("corrected_image",)),
    Attribute("attenuation_correction", contrast=True, strong=False, text=True, instance=("attenuation_correction",)),
    Attribute("randoms_correction", contrast=True, strong=False, text=True, instance=("randoms_correction",)),
    Attribute("scatter_correction", contrast=True, strong=False, text=True, instance=("scatter_correction",)),
    Attribute("reconstruction_method", contrast=True, strong=False, text=True, instance=("reconstruction_method",)),
    Attribute(
        "rescale_type",
        strong=False,
        text=True,
        macros=(("pixel_value_transformation", "rescale_type"),),
        instance=("rescale_type",),
    ),
    Attribute("units", contrast=True, strong=False, text=True, instance=("units",)),
    Attribute("series_number", contrast=True, strong=False, instance=("series_number",)),
    Attribute(
        "series_description",
        contrast=True,
        strong=False,
        as_acquired=True,
        text=True,
        compute=computed.described,
        instance=("series_description",),
    ),
    Attribute("frame_label", strong=False, as_acquired=True, text=True, macros=(("frame_content", "frame_label"),)),
    Attribute(
        "acquisition_number",
        axis="t",
        strong=False,
        macros=(("frame_content", "acquisition_number"),),
        instance=("acquisition_number",),
    ),
    Attribute(
        ACQUISITION_TIME,
        "s",
        "t",
        strong=False,
        clock=True,
        compute=computed.acquired,
        macros=(("frame_content", "frame_acquisition_datetime"), ("frame_content", "frame_reference_datetime")),
        instance=("frame_acquisition_datetime", "acquisition_datetime", "acquisition_date", "acquisition_time"),
        otherwise=Attribute(
            ACQUISITION_TIME,
            compute=computed.referred_to,
            macros=(("frame_content", "frame_reference_datetime"),),
            otherwise=Attribute(
                ACQUISITION_TIME, compute=computed.acquired_by_time, instance=("acquisition_date", "acquisition_time")
            ),
        ),
    ),
    Attribute(
        CONTENT_TIME,
        "s",
        "t",
        strong=False,
        clock=True,
        compute=computed.content,
        instance=("content_date", "content_time"),
    ),
    Attribute("ge_time", axis="t", strong=False, compute=computed.ge_time, instance=_private("ge_time")),
    Attribute(FRAME_TIME, "ms", axis="t", strong=False, compute=computed.frame_time),
    Attribute(
        "protocol_name", strong=False, last_resort=True, as_acquired=True, text=True, instance=("protocol_name",)
    ),
    Attribute(
        "image_comments", strong=False, last_resort=True, as_acquired=True, text=True, instance=("image_comments",)
    ),
    Attribute("derivation", strong=False, last_resort=True, as_acquired=True, text=True, instance=("derivation",)),
)
"""In the order of preference: where two tell frames apart equally well, the earlier names the axis."""

CREATION_TIME: Final = Attribute(
    "creation_time",
    "s",
    strong=False,
    clock=True,
    compute=computed.created,
    instance=("creation_date", "creation_time"),
)
"""For series that were sent twice: InstanceCreationDate (0008,0012) and InstanceCreationTime (0008,0013)."""

_TIMES: Final = {name for row in ATTRIBUTES if row.axis == "t" for _, name in row.macros}

TIME_TAGS: Final = frozenset(
    tag
    for macro in (Macro, RareMacro)
    for name, tag in zip(macro.__struct_fields__, macro.__struct_encode_fields__, strict=True)
    if name in _TIMES
)
"""Attributes of functional groups that become t, as eight hexadecimal digits."""

FRAME_NUMBER: Final = Attribute("frame", axis="t", strong=False, compute=computed.frame_number)
"""For the frames of one instance of which nothing else is said."""

BY_NAME: Final[Mapping[str, Attribute]] = {row.name: row for row in (*ATTRIBUTES, CREATION_TIME, FRAME_NUMBER)}
