"""Values of frames that are no plain number or text: what several attributes say together, or each vendor its own way.

Functions of the table in `dimensions`, each of one frame; None where nothing is said.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.dicom.model.json_model import EMPTY
from dicomzarr.dicom.model.private import private_value
from dicomzarr.dicom.model.values import AttributeReader
from dicomzarr.dicom.volume.clock import acquired_at, date_and_time, date_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dicomzarr.dicom.model.binary import Scalar
    from dicomzarr.dicom.model.image_model import ContentItem, ImageItem, MaterialItem
    from dicomzarr.dicom.model.json_model import Sequence as Items
    from dicomzarr.dicom.model.values import Value
    from dicomzarr.dicom.volume.frame_context import FrameContext

_VECTOR: Final = 3
_COSINE: Final = r"-?[0-9]\.[0-9]{1,6}"
GRADIENT: Final = re.compile(rf"b=[0-9]{{1,5}}\({_COSINE},{_COSINE},{_COSINE}\)", re.ASCII)
"""How Canon comments on images of diffusion, as ``b=1500(0.445,0.000,0.895)``, in axes that it does not document."""

_FRAME_TIME: Final = "00181063"
_FRAME_TIME_VECTOR: Final = "00181065"
_ANGLES: Final = frozenset({"00181520", "00181521", "00182003", "00182004"})
"""Attributes of angles that frames are seen at: of the positioner, and of captures that turn."""
_R_WAVE_TIME_VECTOR: Final = "00186060"
_MOST_TAGS: Final = 2**32

_TIME_OF_DAY: Final = re.compile(r"(?<!\d)\d{1,2}([:-])[0-5]\d\1[0-5]\d(?:\.\d+)?(?!\d)")
"""Hours, minutes and seconds in a text."""
_DIGITS: Final = 6
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

_GE_COMPONENTS: Final = ("magnitude", "phase", "real", "imaginary")
"""By what GE counts in (0043,102F)."""

FRAME_TYPES: Final = (
    *("mr_frame_type", "ct_frame_type", "pet_frame_type", "xray_3d_frame_type", "map_frame_type"),
    "us_image_description",
)
"""Functional groups that have FrameType (0008,9007), by their names in the model."""

number_of: Final = AttributeReader("").lenient
"""What cannot be read as a number tells nothing apart."""


def in_single_precision(number: float) -> float:
    """A number as writers compute it: six digits count."""
    return float(f"{number:.{_DIGITS}g}")


def component(frame: FrameContext) -> Value:
    """Magnitude, phase, real or imaginary (PS3.3 sections C.8.3.1.1.1 and C.8.13.3.3.1); of GE its own."""
    told = [frame.attribute("mr_frame_type", "complex_image_component").first]
    told += [frame.item.complex_image_component.first, *frame.instance.image_type[2:]]
    names = (_COMPONENTS.get(str(value).strip().upper()) for value in told if value)
    found = next((name for name in names if name), None)
    number = number_of(private_value(frame.item, "ge_component")) if found is None else None
    return found if number is None or number not in range(len(_GE_COMPONENTS)) else _GE_COMPONENTS[int(number)]


def kind(frame: FrameContext) -> Value:
    """What the values of ImageType or FrameType say, as WATER and FAT."""
    for name in FRAME_TYPES:
        told = frame.attribute(name, "frame_type")
        if told.values:
            return _word(frame.read.texts(told))
    return _word(frame.instance.image_type)


def _word(values: tuple[str, ...]) -> Value:
    """All values, whether they are code strings or not (PS3.5 section 6.2): of these only known words are shown."""
    return " ".join(value.upper() for value in values if value) or None


def gradient_comment(frame: FrameContext) -> Value:
    """What Canon says of the gradient in ImageComments (0020,4000)."""
    told = frame.read.text(frame.item.image_comments) or ""
    return told if GRADIENT.fullmatch(told) else None


def velocity_direction(frame: FrameContext) -> Value:
    """VelocityEncodingDirection (0018,9090), a unit vector; None of frames that encode none."""
    return _vector(frame.attribute("velocity_encoding", "velocity_direction").values)


def _vector(values: Sequence[Scalar]) -> Value:
    numbers = [number for value in values if (number := number_of(value)) is not None]
    if len(numbers) != _VECTOR or not any(numbers):
        return None
    return tuple(round(number, 6) + 0.0 for number in numbers)  # no negative zero


def arterial_label(frame: FrameContext) -> Value:
    """ASLContext (0018,9257), which Philips keeps for itself in classic images: LABEL or CONTROL."""
    told = frame.attribute("arterial_spin_labeling", "asl_context").first or private_value(frame.item, "philips_label")
    return _word((str(told).strip(),)) if told else None


def energy(frame: FrameContext) -> Value:
    """MonoenergeticEnergyEquivalent (0018,937C) of an image of several energies, keV."""
    root = next((each.energy for each in frame.item.multi_energy.items), EMPTY)
    return number_of(frame.attribute("multi_energy", "energy", root).first)


def material(frame: FrameContext) -> Value:
    """What an image of several energies was decomposed into (PS3.3 section C.8.15.3.12), as WATER and IODINE."""
    found: Any = frame.macro("multi_energy_processing")
    found = found or next(iter(frame.item.multi_energy_processing.items), None)
    return None if found is None else _concepts(frame, found.materials)


def quantity(frame: FrameContext) -> Value:
    """What real-world values are, by the Quantity Definition Sequence (0040,9220) (PS3.3 section C.7.6.16.2.11)."""
    found: Any = frame.macro("real_world_value_mapping")
    return None if found is None else _concepts(frame, found.quantity)


def measurement_units(frame: FrameContext) -> Value:
    """The unit of real-world values, by the Measurement Units Code Sequence (0040,08EA), likewise."""
    found: Any = frame.macro("real_world_value_mapping")
    return None if found is None else next((frame.read.text(code.value) for code in found.units.items), None)


def _concepts(frame: FrameContext, items: Items[MaterialItem] | Items[ContentItem]) -> Value:
    """What the first code of each item means."""
    codes = (code for item in items.items for code in item.codes.items[:1])
    return _word(tuple(frame.read.text(code.meaning) or frame.read.text(code.value) or "" for code in codes))


def receive_coil(frame: FrameContext) -> Value:
    """ReceiveCoilName (0018,1250), and the elements that Siemens names beside it: of coils that are not combined."""
    told = frame.attribute("receive_coil", "receive_coil_name", frame.item.receive_coil_name).first
    names = (told, private_value(frame.item, "siemens_coil"))
    return " ".join(str(name).strip() for name in names if name) or None


def ge_kind(frame: FrameContext) -> Value:
    """What GE says that an image is: a direction of diffusion, a combination of them."""
    return number_of(private_value(frame.item, "ge_kind"))


def ge_time(frame: FrameContext) -> Value:
    """The time of GE: in seconds or in ten-thousandths of them, by its software, so that no unit can be told."""
    return number_of(private_value(frame.item, "ge_time"))


def acquired(frame: FrameContext) -> Value:
    """Seconds since a fixed day at which the frame was acquired."""
    told = (frame.attribute("frame_content", f"frame_{word}_datetime").first for word in ("acquisition", "reference"))
    found = acquired_at(frame.item, next((value for value in told if value), None))
    return found if found is not None else acquired_at(frame.item, frame.item.frame_acquisition_datetime.first)


def referred_to(frame: FrameContext) -> Value:
    """FrameReferenceDateTime (0018,9151) alone, likewise."""
    return date_time(str(frame.attribute("frame_content", "frame_reference_datetime").first or ""))


def acquired_by_time(frame: FrameContext) -> Value:
    """AcquisitionDate (0008,0022) and AcquisitionTime (0008,0032) alone, likewise."""
    return date_and_time(frame.item.acquisition_date, frame.item.acquisition_time)


def content(frame: FrameContext) -> Value:
    """ContentDate (0008,0023) and ContentTime (0008,0033), likewise."""
    return date_and_time(frame.item.content_date, frame.item.content_time)


def described(frame: FrameContext) -> Value:
    """SeriesDescription (0008,103E) but for a time of day, which GE writes when it computed the slice."""
    told = " ".join(filter(None, frame.read.texts(frame.item.series_description)))
    return _TIME_OF_DAY.sub("", told) or None


def created(frame: FrameContext) -> Value:
    """InstanceCreationDate (0008,0012) and InstanceCreationTime (0008,0013), likewise."""
    return date_and_time(frame.item.creation_date, frame.item.creation_time)


def slice_thickness(frame: FrameContext) -> Value:
    """SliceThickness (0018,0050) in hundredths of a millimetre: headers compute it."""
    number = number_of(frame.attribute("pixel_measures", "slice_thickness", frame.item.slice_thickness).first)
    return None if number is None else round(number, 2)


def frame_time(frame: FrameContext) -> Value:
    """Milliseconds since the first frame of the instance."""
    return frame.time


def frame_number(frame: FrameContext) -> Value:
    """The place in the instance, from 1."""
    return float(frame.number)


def frame_times(item: ImageItem) -> Iterator[float | None]:
    """Milliseconds since the first frame of each, by FrameTimeVector or FrameTime (PS3.3 section C.7.6.5); endless."""
    vector = item.frame_time_vector.values
    known: Iterator[float | None] = iter(())
    if item.phases.values and item.time_slice_vector.values:
        known = _times_in_phases(item)
    elif vector and not _counts_evenly(item):
        increments = [number_of(value) or 0.0 for value in vector[1:]]
        if min(increments, default=0.0) >= 0:  # frames go forward, or the vector says nothing
            known = (round(elapsed, 6) for elapsed in itertools.accumulate([0.0, *increments]))
    elif step := number_of(item.frame_time.first):
        known = (round(step * number, 6) for number in itertools.count())
    return itertools.chain(known, itertools.repeat(None))


def _counts_evenly(item: ImageItem) -> bool:
    """Whether FrameIncrementPointer (0028,0009) names FrameTime alone, though a FrameTimeVector is there too."""
    told = {pointer_of(value) for value in item.frame_increments.values}
    return _FRAME_TIME in told and _FRAME_TIME_VECTOR not in told


def goes_forward(item: ImageItem) -> bool:
    """Whether FrameIncrementPointer (0028,0009) says that frames follow each other in time."""
    times = {_FRAME_TIME, _FRAME_TIME_VECTOR, _R_WAVE_TIME_VECTOR}
    return not times.isdisjoint(map(pointer_of, item.frame_increments.values))


def goes_round(item: ImageItem) -> bool:
    """Whether FrameIncrementPointer says that frames show one thing from several sides."""
    return not _ANGLES.isdisjoint(map(pointer_of, item.frame_increments.values))


def pointer_of(value: Scalar) -> str:
    """A tag as eight hexadecimal digits; servers send texts as ``00209056``, with or without brackets, or numbers."""
    if isinstance(value, int | float):
        return f"{int(value):08X}" if 0 <= value < _MOST_TAGS else ""
    bare = re.sub(r"[^0-9A-Fa-f]", "", str(value or "").removeprefix("0x"))
    return bare.upper() if len(bare) == 8 else ""  # noqa: PLR2004  # group and element


def _times_in_phases(item: ImageItem) -> Iterator[float | None]:
    """When frames of a dynamic acquisition began, by its phases (PS3.3 section C.8.4.14), milliseconds."""
    begins: list[tuple[float, float]] = []
    now = 0.0
    for phase in item.phases.items:
        frames, delay, duration, pause = (
            number_of(leaf.first) for leaf in (phase.frames, phase.delay, phase.duration, phase.pause)
        )
        if frames is None or not duration:
            return
        step = duration + (pause or 0.0)
        begins.append((now + (delay or 0.0), step))
        now += (delay or 0.0) + frames * step - (pause or 0.0)
    phases = item.phase_vector.values or (1,) * len(item.time_slice_vector.values)
    for number, place in zip(map(number_of, phases), map(number_of, item.time_slice_vector.values), strict=False):
        if number is None or place is None or not 1 <= number <= len(begins):
            yield None
            continue
        begin, step = begins[int(number) - 1]
        yield round(begin + (place - 1) * step, 6)
