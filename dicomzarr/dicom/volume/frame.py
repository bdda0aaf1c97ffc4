"""Frames of images that are no slides: where each lies, how it is scaled, what tells it from its neighbours."""

from __future__ import annotations

import itertools
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
import numpy as np

from dicomzarr.dicom.instance import FrameRef
from dicomzarr.dicom.instance_parser import pixel_spacing, spacing_between
from dicomzarr.dicom.lut.modality import IDENTITY, Rescale, parts_of_one, read_rescale
from dicomzarr.dicom.model.image_model import NO_GROUPS, NONE, ImageItem, frame_groups, source_images
from dicomzarr.dicom.model.values import FARTHEST, AttributeReader, is_given, is_right_angled
from dicomzarr.dicom.segmentation import NO_SEGMENT, ONE_SEGMENT
from dicomzarr.dicom.volume.computed import frame_times, goes_forward, goes_round
from dicomzarr.dicom.volume.diffusion import Turns
from dicomzarr.dicom.volume.dimensions import ATTRIBUTES, SEGMENT
from dicomzarr.dicom.volume.frame_context import FrameContext
from dicomzarr.dicom.volume.frame_values import dimension_values
from dicomzarr.dicom.volume.lattice import normal_of
from dicomzarr.errors import InvalidAttributeError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.instance import Instance
    from dicomzarr.dicom.model.binary import Scalar
    from dicomzarr.dicom.model.image_model import Macro, MappingItem
    from dicomzarr.dicom.model.json_model import Leaf
    from dicomzarr.dicom.model.values import Value
    from dicomzarr.dicom.notices import Notices
    from dicomzarr.dicom.segmentation import Segmentation

Vector: TypeAlias = "npt.NDArray[np.float64]"

_MOST_FRAMES: Final = 2**17
"""Of a series; metadata can claim any number, and each is held with all that is said of it."""

_SAME_PLACE: Final = 0.01
"""Millimetres."""

_SKEW: Final = 0.01
"""How far direction cosines may be from unit length and a right angle: headers round to a few digits."""

_COSINES: Final = 6

_SCALING: Final = ("rescale_slope", "rescale_intercept")

_OF_CLASSIC: Final = tuple(
    dict.fromkeys(
        (*(name for row in ATTRIBUTES for name in row.instance if name in ImageItem.__struct_fields__), *_SCALING)
    )
)
"""Attributes of the instance that tell frames apart, and what scales them."""

_NOWHERE: Final = "where the frame lies is not known"

_COUNTING: Final = tuple(row.vector for row in ATTRIBUTES if row.vector)
"""Attributes of nuclear medicine that count frames."""

MOSAICS: Final = frozenset({"MOSAIC", "VFRAME"})
"""Values of ImageType (0008,0008) of frames that show all slices of a volume, as Siemens and UIH write them."""

_AXIAL: Final = 1e-4
"""By how much the cosine of a normal may differ from that of the body's axis."""


class Frame(msgspec.Struct, frozen=True, eq=False):
    """One frame; lengths in millimetres."""

    __repr__ = object.__repr__

    ref: FrameRef
    item: ImageItem
    """What of its instance is not typed, as decoded."""
    position: Vector | None
    """ImagePositionPatient (0020,0032): the centre of the first pixel, in LPS; None where nothing places the frame."""
    orientation: Vector | None
    """ImageOrientationPatient (0020,0037): six cosines, along a row and along a column."""
    in_patient: bool
    """False where both are those of an ultrasound volume (PS3.3 section C.8.24.3), from which nothing leads to LPS."""
    spacing: tuple[float, float] | None
    """PixelSpacing (0028,0030): (row spacing, column spacing), that is (y, x)."""
    between: float | None
    """SpacingBetweenSlices (0018,0088), without its sign."""
    thickness: float | None
    """SliceThickness (0018,0050)."""
    stack: str
    """StackID (0020,9056); empty where there is none."""
    side: str
    """L or R, of FrameLaterality (0020,9072) or ImageLaterality (0020,0062); empty for what is of neither alone."""
    rescale: Rescale
    """To modality values; the identity where it is impossible."""
    has_rescale: bool
    """False where it is impossible: then values have no unit."""
    is_scaled: bool
    """False where nothing is said of it."""
    rescale_type: str
    """RescaleType (0028,1054): anything that somebody wrote."""
    real_world: tuple[MappingItem, ...]
    """The Real World Value Mapping Sequence (0040,9096) of this frame, else of its instance."""
    voi: Macro | None
    """The window of this frame, where it has one of its own."""
    values: Mapping[str, Value]
    """What may tell it from others at its place, by the name of the dimension."""
    gradient_in_patient: bool = True
    """False where its direction of diffusion is along the picture, and nothing says how that lies in the patient."""
    to_suv: float | None = None
    """What leads from modality values to SUV, where ``rescale`` leads there; see `volume.suv`."""
    sources: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Of a frame of a segmentation that nothing places: (SOP Instance UID, frame numbers) of what it was made of."""

    @property
    def instance(self) -> Instance:
        """The instance that it is in."""
        return self.ref.instance

    @property
    def order(self) -> tuple[int, int]:
        """(InstanceNumber, frame number): how people know it; no order of anything in space."""
        return self.instance.instance_number, self.ref.number

    @property
    def whole(self) -> str:
        """The concatenation that its instance is a part of, else the instance."""
        concatenation = self.instance.concatenation
        return (concatenation.uid if concatenation else "") or self.instance.sop_instance_uid

    @property
    def number_in_whole(self) -> tuple[int, int]:
        """(frames or parts before its own, frame number): its order within `whole`."""
        concatenation = self.instance.concatenation
        if concatenation is None:
            return 0, self.ref.number
        number = concatenation.frame_offset if concatenation.number is None else concatenation.number
        return number or 0, self.ref.number

    @property
    def is_placed_as_of_old(self) -> bool:
        """By ImagePosition (0020,0030) and ImageOrientation (0020,0035) of ACR-NEMA, in want of the standard's."""
        item = self.item
        elsewhere = is_given(item.image_position) or bool(item.shared_groups.values)
        return self.position is not None and is_given(item.retired_position) and not elsewhere

    @property
    def is_mosaic(self) -> bool:
        """Whether it shows the slices of a volume beside each other."""
        return not MOSAICS.isdisjoint(self.instance.image_type)

    @property
    def normal(self) -> Vector | None:
        """The unit vector along which slices ascend: row cosines times column cosines."""
        return None if self.orientation is None else normal_of(self.orientation)


def frames_of(items: Mapping[Instance, ImageItem], notices: Notices) -> Iterator[Frame]:
    """The frames of instances, those of each in their order.

    Args:
        items: What of each instance is not typed, as decoded.
        notices: Takes what is said of attributes that are left out, as they are impossible.

    Raises:
        InvalidAttributeError: There are more frames than any series has.
    """
    frames = sum(instance.number_of_frames for instance in items)
    if frames > _MOST_FRAMES:
        most = max(items, key=lambda instance: instance.number_of_frames)
        raise InvalidAttributeError(
            f"NumberOfFrames makes {frames} frames in the series, {most.number_of_frames} of them in "
            f"instance {most.sop_instance_uid}; {_MOST_FRAMES} are the most that can be placed one by one."
        )
    contexts = [_contexts(instance, item, notices) for instance, item in items.items()]
    values = iter(dimension_values([context for each in contexts for context in each]))
    turns = Turns()
    alike: dict[Hashable, Frame] = {}
    for each in contexts:
        for context, (position, orientation) in zip(each, _placement(each), strict=True):
            told, in_patient = turns.turned(context, orientation, _with_segment(context, next(values)))
            yield _frame_like(alike, context, position, orientation, told, notices, in_patient=in_patient)


def _with_segment(context: FrameContext, told: Mapping[str, Value]) -> Mapping[str, Value]:
    """What tells a frame apart, with the segment that it shows where it names none and there is one."""
    segmentation = context.instance.segmentation
    if segmentation is None or segmentation.is_label_map or SEGMENT in told:
        return told
    context.read.remark(NO_SEGMENT if segmentation.only is None else ONE_SEGMENT)
    return told if segmentation.only is None else {**told, SEGMENT: float(segmentation.only.number)}


def _contexts(instance: Instance, item: ImageItem, notices: Notices) -> list[FrameContext]:
    shared = next(iter(item.shared_groups.items), NO_GROUPS)
    groups = [] if item.per_frame_groups is None else list(frame_groups(item.per_frame_groups))
    count = instance.number_of_frames
    if groups and len(groups) != count:
        text = f"the PerFrameFunctionalGroupsSequence has {len(groups)} items for {count} frames: "
        rest = (
            "the last frames are described by nothing else" if len(groups) < count else "the last items were left out"
        )
        notices.add(instance.sop_instance_uid, f"{text}{rest}.")
    read = AttributeReader(instance.sop_instance_uid, notices)
    of_all = _converted(item, shared.converted_of_all.items)
    owns = itertools.chain(groups, itertools.repeat(NO_GROUPS))
    return [
        FrameContext(instance, _converted(of_all, own.converted.items), own, shared, number, time, read)
        for number, own, time in zip(range(1, count + 1), owns, frame_times(item), strict=False)
    ]


def _converted(item: ImageItem, classic: Sequence[ImageItem]) -> ImageItem:
    """The instance as if it were that of a classic image which became a frame: what tells frames apart, and values."""
    if not classic:
        return item
    told = {name: getattr(classic[0], name) for name in _OF_CLASSIC}
    return msgspec.structs.replace(item, **{name: leaf for name, leaf in told.items() if id(leaf) not in NONE})


_told = attrgetter(
    *("spacing_between_slices", "slice_thickness", "dose_grid_scaling", "maximum_fractional_value"),
    *("rescale_slope", "rescale_intercept", "rescale_type", "image_laterality"),
)
"""What is read here of an instance that has no functional groups, as most that are one of thousands."""


def _frame_like(  # noqa: PLR0913, PLR0917  # as `_frame`, and what is known of others
    alike: dict[Hashable, Frame],
    context: FrameContext,
    position: Vector | None,
    orientation: Vector | None,
    values: Mapping[str, Value],
    notices: Notices,
    *,
    in_patient: bool,
) -> Frame:
    """A frame; what many instances of a series say alike is read once, unless it has to be noticed for each."""
    is_classic = context.groups is context.shared is NO_GROUPS and not context.item.real_world_value_mapping.values
    if not is_classic:
        return _frame(context, position, orientation, values, in_patient=in_patient)
    key = (id(context.instance.segmentation), context.instance.pixel_spacing, *_told(context.item))
    known = alike.get(key)
    if known is not None:
        ref = FrameRef(context.instance, context.number)
        return msgspec.structs.replace(
            known,
            ref=ref,
            item=context.item,
            position=position,
            orientation=orientation,
            values=values,
            gradient_in_patient=in_patient,
        )
    before = len(notices)
    frame = _frame(context, position, orientation, values, in_patient=in_patient)
    if len(notices) == before:
        alike[key] = frame
    return frame


def _frame(
    context: FrameContext,
    position: Vector | None,
    orientation: Vector | None,
    values: Mapping[str, Value],
    *,
    in_patient: bool,
) -> Frame:
    item = context.item
    rescale = _rescale(context, context.instance.segmentation)
    return Frame(
        ref=FrameRef(context.instance, context.number),
        item=item,
        position=position,
        orientation=orientation,
        in_patient=not context.macros("plane_position_volume"),
        spacing=_spacing(context),
        between=_length(
            context, context.attribute("pixel_measures", "spacing_between_slices", item.spacing_between_slices)
        ),
        thickness=_length(context, context.attribute("pixel_measures", "slice_thickness", item.slice_thickness)),
        stack=context.read.text(context.attribute("frame_content", "stack_id")) or "",
        side=_side(context),
        rescale=rescale or IDENTITY,
        has_rescale=rescale is not None,
        is_scaled=is_given(item.dose_grid_scaling) or is_given(_scaling(context, "rescale_slope")),
        rescale_type="" if rescale is None else context.read.text(_scaling(context, "rescale_type")) or "",
        real_world=_real_world(context),
        voi=next((macro for macro in context.macros("frame_voi_lut") if is_given(macro.window_center)), None),
        values=values,
        gradient_in_patient=in_patient,
        sources=() if position is not None or context.instance.segmentation is None else tuple(_sources(context)),
    )


def _sources(context: FrameContext) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The images that a frame was derived from (PS3.3 section C.7.6.16.2.6), with its pixels where theirs are."""
    for source in source_images(context.groups) or source_images(context.shared):
        uid = context.read.address(source.sop_instance_uid)
        if uid is not None and context.read.text(source.locations_preserved) in {None, "YES"}:
            numbers = (context.read.lenient(value) for value in source.frame_numbers.values)
            yield uid, tuple(int(number) for number in numbers if number is not None)


def _side(context: FrameContext) -> str:
    told = context.read.text(context.attribute("frame_anatomy", "frame_laterality", context.item.image_laterality))
    return told if told in {"L", "R"} else ""


def _spacing(context: FrameContext) -> tuple[float, float] | None:
    if not context.macros("pixel_measures"):
        return context.instance.pixel_spacing
    return pixel_spacing(context.read, context.attribute("pixel_measures", "pixel_spacing"))


def _length(context: FrameContext, leaf: Leaf) -> float | None:
    return abs(context.read.lenient_number(leaf) or 0.0) or None


def _rescale(context: FrameContext, segmentation: Segmentation | None) -> Rescale | None:
    """Of the frame, else of the instance; a dose is scaled by its own attribute alone (PS3.3 section C.8.8.3).

    None where it is impossible: half of a rescale would be a wrong one.
    """
    read, item = context.read, context.item
    lost = "values are shown as they are stored, and are no dose"
    if is_given(item.dose_grid_scaling):
        scaling = read.fact(item.dose_grid_scaling, "DoseGridScaling", bool, lost)
        return None if scaling is None else Rescale(scaling, 0.0)
    if context.instance.modality == "RTDOSE":
        read.remark(f"DoseGridScaling is absent: {lost}.")
        return None
    if segmentation is not None and segmentation.kind == "FRACTIONAL":
        parts = parts_of_one(read, item.maximum_fractional_value)
        if parts is not None:
            return parts
    return read_rescale(read, _scaling(context, "rescale_slope"), _scaling(context, "rescale_intercept"))


def _real_world(context: FrameContext) -> tuple[MappingItem, ...]:
    sources = (context.groups, context.shared, context.item)
    return next((tuple(found) for source in sources if (found := source.real_world_value_mapping.items)), ())


def _scaling(context: FrameContext, name: str) -> Leaf:
    """An attribute of the Pixel Value Transformation (PS3.3 section C.7.6.16.2.9), of the frame or of its instance."""
    return context.attribute("pixel_value_transformation", name, getattr(context.item, name))


def _placement(contexts: list[FrameContext]) -> list[tuple[Vector | None, Vector | None]]:
    """(position, orientation) of each frame of an instance."""
    item, read = contexts[0].item, contexts[0].read
    if is_given(item.grid_frame_offsets):
        return _dose_placement(read, item, len(contexts))
    if contexts[0].instance.modality == "NM" or item.slice_vector.values:
        return _detector_placement(read, contexts)
    if _are_slices(contexts):
        return _stacked_placement(contexts)
    if _places_first_alone(contexts):
        return [(None, None)] * len(contexts)
    return [_own_placement(context) for context in contexts]


def _places_first_alone(contexts: list[FrameContext]) -> bool:
    """Whether frames lie elsewhere than the first, which alone the header places, and it does not say where."""
    first = contexts[0]
    lie_apart = first.instance.modality == "RTDOSE" or goes_round(first.item)
    lie_apart = lie_apart or len(set(first.item.slice_location_vector.values)) > 1
    return len(contexts) > 1 and lie_apart and not _is_described(first)


def _is_described(context: FrameContext) -> bool:
    """Whether functional groups say anything of its frames."""
    return context.groups is not NO_GROUPS or context.shared is not NO_GROUPS


def _are_slices(contexts: list[FrameContext]) -> bool:
    """Whether the header places the first frame alone, and says how far others are from it: slices, and no times.

    So SOP classes of one frame are written with many, as of cone beams.
    """
    first = contexts[0]
    if _is_counted(first.item) or _holds_times(first.item):
        return False
    header = first.instance
    other = header.segmentation is not None or header.concatenation is not None or header.modality == "RTDOSE"
    counts_else = first.time is not None or goes_forward(first.item) or goes_round(first.item)
    return len(contexts) > 1 and not (_is_described(first) or other or counts_else)


def _holds_times(item: ImageItem) -> bool:
    """Whether NumberOfTemporalPositions (0020,0105) is that of the instance: it does not say which one it shows."""
    many = AttributeReader("").lenient_number(item.number_of_temporal_positions)
    return many is not None and many > 1 and not is_given(item.temporal_position_identifier)


def _is_counted(item: ImageItem) -> bool:
    """Whether vectors of nuclear medicine tell frames apart (PS3.3 section C.8.4.8)."""
    return any(len(set(getattr(item, name).values)) > 1 for name in _COUNTING)


def _stacked_placement(contexts: list[FrameContext]) -> list[tuple[Vector | None, Vector | None]]:
    """Slices in the order of frames, along the normal from the first (as PS3.3 section C.8.4.15 has it)."""
    first, read = contexts[0], contexts[0].read
    position, orientation = _own_placement(first)
    step = _step_of_slices(read, first) if position is not None else _length(first, first.item.spacing_between_slices)
    if step is None:
        return [(position, orientation)] * len(contexts)
    which = "nothing places them" if position is None else "nothing but the first of them is placed"
    read.remark(f"Its frames are taken to be slices in their order: {which}, and no times are told.")
    return [_slice_of(position, orientation, float(context.number), step) for context in contexts]


def _own_placement(context: FrameContext) -> tuple[Vector | None, Vector | None]:
    item = context.item
    if context.macros("plane_position_volume"):
        position = context.attribute("plane_position_volume", "position_volume")
        orientation = context.attribute("plane_orientation_volume", "orientation_volume")
        return _placed(context.read, position, orientation)
    position = context.attribute("plane_position", "image_position", item.image_position)
    orientation = context.attribute("plane_orientation", "image_orientation", item.image_orientation)
    if not (is_given(position) or is_given(orientation)):
        position, orientation = item.retired_position, item.retired_orientation
    return _placed(context.read, position, orientation)


def _placed(read: AttributeReader, position: Leaf, orientation: Leaf) -> tuple[Vector | None, Vector | None]:
    """The position and the directions, or neither."""
    at = read.facts(position, "ImagePositionPatient", 3, lambda at: max(map(abs, at)) <= FARTHEST, _NOWHERE)
    cosines = _directions(orientation.values)
    if cosines is None:
        read.facts(orientation, "ImageOrientationPatient", 6, lambda _: False, _NOWHERE)
    return (None, None) if at is None or cosines is None else (np.array(at), cosines)


@lru_cache(maxsize=256)
def _directions(values: tuple[Scalar, ...]) -> Vector | None:
    """Six cosines, which most frames of a series share; None where they are no directions at a right angle."""
    numbers = [number for value in values if (number := AttributeReader("").lenient(value)) is not None]
    if not len(numbers) == len(values) == _COSINES or not is_right_angled(numbers, _SKEW):
        return None
    directions = np.array(numbers)
    directions.flags.writeable = False
    return directions


def _dose_placement(read: AttributeReader, item: ImageItem, count: int) -> list[tuple[Vector | None, Vector | None]]:
    """Planes at GridFrameOffsetVector, along the normal or in absolute z (PS3.3 section C.8.8.3.2)."""
    position, orientation = _placed(read, item.image_position, item.image_orientation)
    if position is None or orientation is None:
        return [(None, None)] * count
    first = position[2] if abs(np.cross(orientation[:3], orientation[3:])[2]) > 1 - _AXIAL else 0.0

    def possible(offsets: Sequence[float]) -> bool:
        return max(map(abs, offsets)) <= FARTHEST and min(abs(offsets[0]), abs(offsets[0] - first)) <= _SAME_PLACE

    lost = (
        "it should hold an offset for each frame, from 0 or from the z of the image, and without it frames are a list"
    )
    offsets = read.facts(item.grid_frame_offsets, "GridFrameOffsetVector", count, possible, lost)
    if offsets is None:
        return [(None, None)] * count
    if abs(offsets[0]) <= _SAME_PLACE:
        return [(_moved(position, orientation, offset), orientation) for offset in offsets]
    return [(np.array([*position[:2], offset]), orientation) for offset in offsets]


def _detector_placement(
    read: AttributeReader, contexts: list[FrameContext]
) -> list[tuple[Vector | None, Vector | None]]:
    """Nuclear medicine: the first slice of each frame's detector, and slices from there (PS3.3 section C.8.4.15)."""
    firsts = [_first_of_detector(read, context) for context in contexts]
    planes = [_plane(context) for context in contexts]
    if all(position is None for position, _ in firsts):
        return firsts
    several = not {None, 1.0}.issuperset(planes)
    if not several and _lie_apart(firsts):
        read.remark("Frames are what several detectors saw, and no slices: there is no affine.")
        return [(None, None)] * len(contexts)
    step = _step_of_slices(read, contexts[0]) if several else 0.0
    if step is None:  # the first slice alone would be one of nothing
        return [(None, None)] * len(contexts)
    if several and not contexts[0].item.slice_vector.values:
        read.remark("There is no SliceVector: frames of a reconstruction are taken to be slices in their order.")
    return [_slice_of(*first, plane, step) for first, plane in zip(firsts, planes, strict=True)]


def _lie_apart(placed: list[tuple[Vector | None, Vector | None]]) -> bool:
    """Whether frames that look the same way lie in several places."""
    told = {(tuple(at), tuple(way)) for at, way in placed if at is not None and way is not None}
    return len(told) > len({way for _, way in told})


def _first_of_detector(read: AttributeReader, context: FrameContext) -> tuple[Vector | None, Vector | None]:
    item = context.item
    detectors: list[Any] = item.detectors.items or [item]
    number = int(_entry(item.detector_vector, context.number) or 1)
    detector = detectors[number - 1] if 0 < number <= len(detectors) else detectors[0]
    position, orientation = _placed(read, detector.image_position, detector.image_orientation)
    if position is None or orientation is None:
        position, orientation = _placed(read, item.image_position, item.image_orientation)
    views = [vector.values for vector in (item.rotation_vector, item.angular_view_vector) if vector.values]
    are_views = any(len(set(values)) > 1 or not _is_reconstructed(context) for values in views)
    if are_views and not item.slice_vector.values:
        return None, None  # projections from many sides: the header places the first of them only
    return position, orientation


def _step_of_slices(read: AttributeReader, context: FrameContext) -> float | None:
    step = spacing_between(read, context.item.spacing_between_slices)
    if step is None and (step := _length(context, context.item.slice_thickness)) is not None:
        read.remark("Slices are taken to be as far apart as SliceThickness says: nothing else tells it.")
    return step


def _slice_of(
    position: Vector | None, orientation: Vector | None, plane: float | None, step: float
) -> tuple[Vector | None, Vector | None]:
    if position is None or orientation is None or plane is None or not abs(step * (plane - 1)) <= FARTHEST:
        return None, None
    return _moved(position, orientation, step * (plane - 1)), orientation


def _plane(context: FrameContext) -> float | None:
    """The number of the slice that a frame is, from 1; None where a vector should say it and does not."""
    item = context.item
    if item.slice_vector.values:
        return _entry(item.slice_vector, context.number)
    if _is_counted(item) or context.instance.number_of_frames == 1 or not _is_reconstructed(context):
        return 1.0
    return float(context.number)


def _is_reconstructed(context: FrameContext) -> bool:
    """Whether ImageType (0008,0008) of nuclear medicine says so, as RECON TOMO (PS3.3 section C.8.4.9.1.1)."""
    return "RECON" in " ".join(context.instance.image_type[2:3])


def _moved(position: Vector, orientation: Vector, away: float) -> Vector:
    """A position so many millimetres further along the normal."""
    return position + np.cross(orientation[:3], orientation[3:]) * away


def _entry(leaf: Leaf, number: int) -> float | None:
    """What a vector with one entry for each frame says of a frame."""
    return AttributeReader("").lenient(leaf.values[number - 1]) if number <= len(leaf.values) else None
