"""What may tell frames at one place apart: one table of attributes, each with where it stands and what it counts.

A dimension exists only where one of these says so. A new one is one more row, which names attributes as the fields of
`image_model` are called. One that is not read yet needs a field there: of `ImageItem`, where it stands in the instance,
or of `Macro`, where it stands in a functional group.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.model.image_model import NO_GROUPS
from dicomzarr.dicom.model.private import creator_of, private_value, private_values
from dicomzarr.dicom.model.values import AttributeReader
from dicomzarr.dicom.volume.clock import acquired_at, date_and_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dicomzarr.dicom.instance import Instance
    from dicomzarr.dicom.model.binary import Scalar
    from dicomzarr.dicom.model.image_model import FrameGroups, ImageItem, Macro
    from dicomzarr.dicom.model.values import Value

_VECTOR: Final = 3
_B_OF_SEQUENCE: Final = re.compile(r"_b(\d{1,5})(?!\d)", re.ASCII)
"""The b-value in what Siemens calls sequences of diffusion, as ``*ep_b1000#2``."""

_DIGITS: Final = 6
_GE_OFFSET: Final = 1_000_000_000
"""What GE adds to b-values of some images."""

_COMPONENTS: Final = {
    "M": "magnitude",
    "P": "phase",
    "R": "real",
    "I": "imaginary",
    "MAGNITUDE": "magnitude",
    "PHASE": "phase",
    "REAL": "real",
    "IMAGINARY": "imaginary",
}


@dataclass(frozen=True, slots=True, repr=False)
class FrameContext:
    """All that the metadata say of one frame."""

    instance: Instance
    item: ImageItem
    """What of its instance is not typed, as decoded."""
    groups: FrameGroups
    shared: FrameGroups
    number: int
    """Frame number, 1-based."""
    time: float | None
    """Milliseconds since the first frame of the instance, of FrameTime or FrameTimeVector."""
    read: AttributeReader

    def macro(self, name: str) -> Macro | None:
        """The macro of this frame, else that of all frames (PS3.3 section C.7.6.16)."""
        if self.groups is NO_GROUPS and self.shared is NO_GROUPS:
            return None
        for groups in (self.groups, self.shared):
            items = getattr(groups, name).items
            if items:
                found: Macro = items[0]
                return found
        return None


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
    macro: tuple[str, str] | None = None
    """(functional group, attribute) of frames, by the names of fields of `FrameGroups` and `Macro`."""
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
    instance: tuple[str, ...] = ()
    """Attributes of the instance, by the names of fields of `ImageItem`: the first that has a value."""
    vector: str = ""
    """An attribute of the instance with one value for each frame."""
    compute: Callable[[FrameContext], Value] | None = None
    """For what is no plain number."""
    reads: tuple[str, ...] = ()
    """Attributes of the instance that ``compute`` looks at."""
    macros: tuple[tuple[str, str], ...] = ()
    """(functional group, attribute) of frames that it looks at."""

    def of(self, frame: FrameContext) -> Value:
        """The value of a frame; None where it has none."""
        if self.compute is not None:
            return self.compute(frame)
        found = next((number for leaf in self._leaves(frame) if (number := number_of(leaf)) is not None), None)
        return found if found is None or not self.rounded else float(f"{found:.{_DIGITS}g}")

    @property
    def sources(self) -> tuple[str, ...]:
        """The attributes of the instance that it depends on, but for those with a value for each frame."""
        return (*self.instance, *self.reads)

    @property
    def macro_sources(self) -> tuple[tuple[str, str], ...]:
        """The (functional group, attribute) that it depends on."""
        return (*([self.macro] if self.macro else []), *self.macros)

    def _leaves(self, frame: FrameContext) -> Iterator[Scalar]:
        if self.vector:
            values = getattr(frame.item, self.vector).values
            yield values[frame.number - 1] if frame.number <= len(values) else None
        if self.macro is not None and (macro := frame.macro(self.macro[0])) is not None:
            yield getattr(macro, self.macro[1]).first
        for name in self.instance:
            yield getattr(frame.item, name).first


number_of: Final = AttributeReader("").lenient
"""What cannot be read as a number tells nothing apart."""


def _component(frame: FrameContext) -> Value:
    """Magnitude, phase, real or imaginary (PS3.3 sections C.8.3.1.1.1 and C.8.13.3.3.1)."""
    macro = frame.macro("mr_frame_type")
    told = [macro.complex_image_component.first] if macro is not None else []
    told += [frame.item.complex_image_component.first, *frame.instance.image_type[2:]]
    names = (_COMPONENTS.get(str(value).strip().upper()) for value in told if value)
    return next((name for name in names if name), None)


def _kind(frame: FrameContext) -> Value:
    """What the values of ImageType or FrameType say, as WATER and FAT."""
    for name in ("mr_frame_type", "ct_frame_type"):
        macro = frame.macro(name)
        if macro is not None and macro.frame_type.values:
            return _word(frame.read.texts(macro.frame_type))
    return _word(frame.instance.image_type)


def _word(values: tuple[str, ...]) -> Value:
    """All values, whether they are code strings or not (PS3.5 section 6.2): of these only known words are shown."""
    return " ".join(value.upper() for value in values if value) or None


def _b_value(frame: FrameContext) -> Value:
    """DiffusionBValue (0018,9087); that of a vendor where the standard's is absent, or the one in SequenceName."""
    item, macro = frame.item, frame.macro("diffusion")
    told = [macro.diffusion_b_value.first] if macro is not None else []
    told += [item.diffusion_b_value.first]
    told += [private_value(item, name) for name in ("siemens_b_value", "philips_b_value", "uih_b_value")]
    found = next((number for value in told if (number := number_of(value)) is not None), None)
    if found is None and (number := number_of(private_value(item, "ge_b_value"))) is not None:
        found = number % _GE_OFFSET
    if found is None and (named := _B_OF_SEQUENCE.search(frame.read.text(item.sequence_name) or "")):
        found = float(named[1])
    return None if found is None else float(f"{found:.{_DIGITS}g}")


def _direction(frame: FrameContext) -> Value:
    """The diffusion gradient direction, a unit vector; that of a vendor where the standard's is absent."""
    macro = frame.macro("diffusion")
    item = frame.item
    told: list[Sequence[Scalar]]
    told = [macro.gradient_directions.items[0].orientation.values] if macro and macro.gradient_directions.items else []
    told += [item.gradient_orientation.values]
    told += [private_values(item, name) for name in ("siemens_gradient", "uih_gradient")]
    for vendor in ("philips", "ge"):
        told += [[private_value(item, f"{vendor}_gradient_{axis}") for axis in "xyz"]]
    return next((_vector(values) for values in told if len(values) == _VECTOR and any(values)), None)


def _arterial_label(frame: FrameContext) -> Value:
    """ASLContext (0018,9257), which Philips keeps for itself in classic images: LABEL or CONTROL."""
    macro = frame.macro("arterial_spin_labeling")
    told = macro.asl_context.first if macro is not None else None
    told = told or private_value(frame.item, "philips_label")
    return _word((str(told).strip(),)) if told else None


def _ge_kind(frame: FrameContext) -> Value:
    """What GE says that an image is: a direction of diffusion, a combination of them, a component."""
    return number_of(private_value(frame.item, "ge_kind"))


def _ge_time(frame: FrameContext) -> Value:
    return number_of(private_value(frame.item, "ge_time"))


def _text(name: str) -> Callable[[FrameContext], Value]:
    """A text, of which only known words may be shown."""
    return lambda frame: " ".join(filter(None, frame.read.texts(getattr(frame.item, name)))) or None


def _content(frame: FrameContext) -> Value:
    return date_and_time(frame.item.content_date, frame.item.content_time)


def _vector(values: Sequence[Scalar]) -> Value:
    numbers = [number for value in values if (number := number_of(value)) is not None]
    if len(numbers) != _VECTOR or not any(numbers):
        return None
    return tuple(round(number, 6) + 0.0 for number in numbers)  # no negative zero


def _acquired(frame: FrameContext) -> Value:
    macro = frame.macro("frame_content")
    of_frame = None
    if macro is not None:
        of_frame = macro.frame_acquisition_datetime.first or macro.frame_reference_datetime.first
    return acquired_at(frame.item, of_frame)


def _created(frame: FrameContext) -> Value:
    return date_and_time(frame.item.creation_date, frame.item.creation_time)


def frame_times(item: ImageItem) -> Iterator[float | None]:
    """Milliseconds since the first frame of each, by FrameTimeVector or FrameTime (PS3.3 section C.7.6.5); endless."""
    elapsed = 0.0
    for number, value in enumerate(item.frame_time_vector.values):
        elapsed += (number_of(value) or 0.0) if number else 0.0
        yield round(elapsed, 6)
    step = number_of(item.frame_time.first)
    if item.frame_time_vector.values or not step:
        while True:
            yield None
    for number in itertools.count():
        yield round(step * number, 6)


def _thickness(frame: FrameContext) -> Value:
    """SliceThickness (0018,0050) in hundredths of a millimetre: headers compute it."""
    macro = frame.macro("pixel_measures")
    number = number_of((frame.item if macro is None else macro).slice_thickness.first)
    return None if number is None else round(number, 2)


def _frame_time(frame: FrameContext) -> Value:
    return frame.time


def _frame_number(frame: FrameContext) -> Value:
    return float(frame.number)


def _private(*names: str) -> tuple[str, ...]:
    """Private attributes, and what says whose they are."""
    return tuple(dict.fromkeys(part for name in names for part in (name, creator_of(name))))


ACQUISITION_TIME: Final = "acquisition_time"
"""Seconds since a fixed day."""

FRAME_TIME: Final = "frame_time"

SEGMENT: Final = "segment"

ATTRIBUTES: Final = (
    Attribute(SEGMENT, macro=("segment_identification", "segment_number")),
    Attribute(
        "temporal_position",
        axis="t",
        macro=("frame_content", "temporal_position_index"),
        instance=("temporal_position_identifier",),
    ),
    Attribute(
        "component",
        contrast=True,
        compute=_component,
        reads=("complex_image_component", "image_type"),
        macros=(("mr_frame_type", "complex_image_component"),),
    ),
    Attribute(
        "arterial_label",
        contrast=True,
        compute=_arterial_label,
        reads=_private("philips_label"),
        macros=(("arterial_spin_labeling", "asl_context"),),
    ),
    Attribute(
        "echo_time",
        "ms",
        contrast=True,
        macro=("echo", "effective_echo_time"),
        instance=("echo_time",),
        rounded=True,
    ),
    Attribute(
        "b_value",
        "s/mm2",
        contrast=True,
        compute=_b_value,
        reads=(
            "diffusion_b_value",
            "sequence_name",
            *_private("siemens_b_value", "philips_b_value", "uih_b_value", "ge_b_value"),
        ),
        macros=(("diffusion", "diffusion_b_value"),),
    ),
    Attribute(
        "gradient_direction",
        contrast=True,
        compute=_direction,
        reads=(
            "gradient_orientation",
            *_private("siemens_gradient", "uih_gradient"),
            *_private(*(f"{vendor}_gradient_{axis}" for vendor in ("philips", "ge") for axis in "xyz")),
        ),
        macros=(("diffusion", "gradient_directions"),),
    ),
    Attribute(
        "inversion_time",
        "ms",
        contrast=True,
        of_each_slice=True,
        macro=("modifier", "inversion_times"),
        instance=("inversion_time",),
        rounded=True,
    ),
    Attribute(
        "flip_angle",
        "deg",
        contrast=True,
        of_each_slice=True,
        macro=("timing", "flip_angle"),
        instance=("flip_angle",),
        rounded=True,
    ),
    Attribute(
        "repetition_time", "ms", macro=("timing", "repetition_time"), instance=("repetition_time",), rounded=True
    ),
    Attribute(
        "trigger_time",
        "ms",
        "t",
        macro=("cardiac_synchronization", "trigger_delay"),
        instance=("trigger_time",),
        cyclic=True,
    ),
    Attribute(
        "cardiac_phase", "%", "t", macro=("cardiac_synchronization", "cardiac_phase"), instance=("cardiac_phase",)
    ),
    Attribute("temporal_offset", "s", "t", macro=("temporal_position", "temporal_position_time_offset")),
    Attribute("frame_reference_time", "ms", axis="t", instance=("frame_reference_time",)),
    Attribute("energy_window", vector="energy_window_vector"),
    Attribute("detector", vector="detector_vector"),
    Attribute("rotation", vector="rotation_vector"),
    Attribute("phase", axis="t", vector="phase_vector"),
    Attribute("rr_interval", axis="t", vector="rr_interval_vector"),
    Attribute("time_slot", axis="t", vector="time_slot_vector"),
    Attribute("time_slice", axis="t", vector="time_slice_vector"),
    Attribute("angular_view", axis="t", vector="angular_view_vector"),
    Attribute("slice", axis="z", vector="slice_vector"),
    Attribute(
        "sequence_name",
        contrast=True,
        strong=False,
        as_acquired=True,
        compute=_text("sequence_name"),
        reads=("sequence_name",),
    ),
    Attribute(
        "contrast_agent",
        contrast=True,
        strong=False,
        as_acquired=True,
        compute=_text("contrast_agent"),
        reads=("contrast_agent",),
    ),
    Attribute(
        "convolution_kernel",
        contrast=True,
        strong=False,
        compute=_text("convolution_kernel"),
        reads=("convolution_kernel",),
    ),
    Attribute(
        "slice_thickness",
        "mm",
        contrast=True,
        strong=False,
        compute=_thickness,
        reads=("slice_thickness",),
        macros=(("pixel_measures", "slice_thickness"),),
    ),
    Attribute("kvp", "kV", strong=False, instance=("kvp",)),
    Attribute("echo_number", contrast=True, strong=False, instance=("echo_numbers",)),
    Attribute(
        "image_type",
        strong=False,
        compute=_kind,
        reads=("image_type",),
        macros=(("mr_frame_type", "frame_type"), ("ct_frame_type", "frame_type")),
    ),
    Attribute("ge_kind", strong=False, compute=_ge_kind, reads=_private("ge_kind")),
    Attribute("scan_options", strong=False, as_acquired=True, compute=_text("scan_options"), reads=("scan_options",)),
    Attribute("acquisition_number", axis="t", strong=False, instance=("acquisition_number",)),
    Attribute(
        ACQUISITION_TIME,
        "s",
        "t",
        strong=False,
        clock=True,
        compute=_acquired,
        reads=("acquisition_datetime", "acquisition_date", "acquisition_time"),
        macros=(("frame_content", "frame_acquisition_datetime"), ("frame_content", "frame_reference_datetime")),
    ),
    Attribute(
        "content_time", "s", "t", strong=False, clock=True, compute=_content, reads=("content_date", "content_time")
    ),
    Attribute("ge_time", "ms", "t", strong=False, compute=_ge_time, reads=_private("ge_time")),
    Attribute(FRAME_TIME, "ms", axis="t", strong=False, compute=_frame_time),
)
"""In the order of preference: where two tell frames apart equally well, the earlier names the axis."""

CREATION_TIME: Final = Attribute(
    "creation_time", "s", strong=False, clock=True, compute=_created, reads=("creation_date", "creation_time")
)
"""For series that were sent twice: InstanceCreationDate (0008,0012) and InstanceCreationTime (0008,0013)."""

FRAME_NUMBER: Final = Attribute("frame", axis="t", strong=False, compute=_frame_number)
"""For the frames of one instance of which nothing else is said."""

BY_NAME: Final[Mapping[str, Attribute]] = {row.name: row for row in (*ATTRIBUTES, CREATION_TIME, FRAME_NUMBER)}
