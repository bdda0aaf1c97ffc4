"""Frames of images that are no slides: where each lies, how it is scaled, what tells it from its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from dicomzarr.dicom.dimensions import FrameContext, dimension_values, frame_times
from dicomzarr.dicom.image_model import FrameGroups, frame_groups
from dicomzarr.dicom.instance import FrameRef
from dicomzarr.dicom.json_model import RawSequence
from dicomzarr.dicom.modality import Rescale
from dicomzarr.dicom.values import FARTHEST, Reader
from dicomzarr.errors import InvalidAttributeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.dimensions import Value
    from dicomzarr.dicom.image_model import ImageItem, Macro, MappingItem
    from dicomzarr.dicom.instance import Instance
    from dicomzarr.dicom.json_model import Leaf
    from dicomzarr.dicom.segments import Segmentation

Vector: TypeAlias = "npt.NDArray[np.float64]"

_IDENTITY: Final = Rescale(1.0, 0.0)
_NO_GROUPS: Final = FrameGroups()
_IRREGULAR: Final = frozenset({"DISTORTED", "SAMPLED"})
"""Values of VolumetricProperties (0008,9206) of frames that lie on no plane in the patient (section C.8.16.2.1.2)."""

_MOST_FRAMES: Final = 2**17
"""Of a series; metadata can claim any number, and each is held with all that is said of it."""

_SAME_PLACE: Final = 0.01
"""Millimetres."""

_AXIAL: Final = 1e-4
"""By how much the cosine of a normal may differ from that of the body's axis."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Image:
    """One instance that holds frames, with the attributes that slides do not have."""

    header: Instance
    item: ImageItem


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Frame:
    """One frame; lengths in millimetres."""

    ref: FrameRef
    image: Image
    position: Vector | None
    """ImagePositionPatient (0020,0032): the centre of the first pixel, in LPS; None where nothing places the frame."""
    orientation: Vector | None
    """ImageOrientationPatient (0020,0037): six cosines, along a row and along a column."""
    spacing: tuple[float, float] | None
    """PixelSpacing (0028,0030): (row spacing, column spacing), that is (y, x)."""
    between: float | None
    """SpacingBetweenSlices (0018,0088), without its sign."""
    thickness: float | None
    """SliceThickness (0018,0050)."""
    stack: str
    """StackID (0020,9056); empty where there is none."""
    rescale: Rescale
    rescale_type: str
    """RescaleType (0028,1054): anything that somebody wrote."""
    real_world: tuple[MappingItem, ...]
    """The Real World Value Mapping Sequence (0040,9096) of this frame, else of its instance."""
    voi: Macro | None
    """The window of this frame, where it has one of its own."""
    values: Mapping[str, Value]
    """What may tell it from others at its place, by the name of the dimension."""

    @property
    def order(self) -> tuple[int, int]:
        """(InstanceNumber, frame number): how people know it; no order of anything in space."""
        return self.image.header.instance_number, self.ref.number

    @property
    def whole(self) -> str:
        """The concatenation that its instance is a part of, else the instance."""
        concatenation = self.image.header.concatenation
        return concatenation.uid if concatenation else self.image.header.uid

    @property
    def number_in_whole(self) -> tuple[int, int]:
        """(frames or parts before its own, frame number): its order within `whole`."""
        concatenation = self.image.header.concatenation
        return (concatenation.number if concatenation else 0), self.ref.number

    @property
    def normal(self) -> Vector | None:
        """The unit vector along which slices ascend: row cosines times column cosines."""
        if self.orientation is None:
            return None
        normal: Vector = np.cross(self.orientation[:3], self.orientation[3:])
        return normal / np.linalg.norm(normal)


def frames_of(images: Sequence[Image]) -> Iterator[Frame]:
    """The frames of instances, those of each in their order.

    Raises:
        InvalidAttributeError: An attribute that places or scales a frame has an impossible value, or there are more
            frames than any series has.
    """
    frames = sum(image.header.stored.number_of_frames for image in images)
    if frames > _MOST_FRAMES:
        most = max(images, key=lambda image: image.header.stored.number_of_frames)
        raise InvalidAttributeError(
            f"NumberOfFrames makes {frames} frames in the series, {most.header.stored.number_of_frames} of them in "
            f"instance {most.header.uid}; {_MOST_FRAMES} are the most that can be placed one by one."
        )
    for image in images:
        yield from _frames(image)


def _frames(image: Image) -> list[Frame]:
    contexts = list(_contexts(image))
    placed = _placement(image, contexts)
    rows = zip(contexts, placed, dimension_values(contexts), strict=True)
    return [_frame(image, context, *place, values) for context, place, values in rows]


def _contexts(image: Image) -> Iterator[FrameContext]:
    item, header = image.item, image.header
    shared = next(iter(item.shared_groups.items), _NO_GROUPS)
    groups = list(frame_groups(item.per_frame_groups or RawSequence()))
    count = header.stored.number_of_frames
    if groups and len(groups) != count:
        raise InvalidAttributeError(
            f"Instance {header.uid}: the PerFrameFunctionalGroupsSequence has {len(groups)} items for {count} frames."
        )
    read = Reader(header.uid)
    for number, time in zip(range(1, count + 1), frame_times(item), strict=False):
        own = groups[number - 1] if groups else _NO_GROUPS
        yield FrameContext(item, header.image_type, own, shared, number, time, read)


def _frame(
    image: Image,
    context: FrameContext,
    position: Vector | None,
    orientation: Vector | None,
    values: Mapping[str, Value],
) -> Frame:
    measures, content = context.macro("pixel_measures"), context.macro("frame_content")
    return Frame(
        ref=FrameRef(image.header.stored, context.number),
        image=image,
        position=position,
        orientation=orientation,
        spacing=image.header.pixel_spacing if measures is None else _spacing(context.read, measures.pixel_spacing),
        between=_length(context, (measures or image.item).spacing_between_slices),
        thickness=_length(context, (measures or image.item).slice_thickness),
        stack="" if content is None else context.read.text(content.stack_id) or "",
        rescale=_rescale(context, image.header.segmentation),
        rescale_type=context.read.text(_scaling(context).rescale_type) or "",
        real_world=_real_world(context),
        voi=context.macro("frame_voi_lut"),
        values=values,
    )


def _spacing(read: Reader, leaf: Leaf) -> tuple[float, float] | None:
    values = read.numbers(leaf, "PixelSpacing", 2)
    if values is None:
        return None
    if min(values) <= 0:
        raise InvalidAttributeError(f"PixelSpacing {values} of a frame is no spacing of pixels.")
    return values[0], values[1]


def _length(context: FrameContext, leaf: Leaf) -> float | None:
    return abs(context.read.lenient_number(leaf) or 0.0) or None


def _rescale(context: FrameContext, segmentation: Segmentation | None) -> Rescale:
    """Of the frame, else of the instance; a dose is scaled by its own attribute (PS3.3 section C.8.8.3.1)."""
    read, item = context.read, context.item
    scaling = read.number(item.dose_grid_scaling, "DoseGridScaling")
    if scaling is not None:
        return Rescale(scaling, 0.0)
    most = read.number(item.maximum_fractional_value, "MaximumFractionalValue")
    if most and segmentation is not None and segmentation.kind == "FRACTIONAL":  # parts of 1 (section C.8.20.2.3)
        return Rescale(1 / most, 0.0)
    source = _scaling(context)
    slope = read.number(source.rescale_slope, "RescaleSlope")
    intercept = read.number(source.rescale_intercept, "RescaleIntercept")
    if slope is None and intercept is None:
        return _IDENTITY
    return Rescale(1.0 if slope is None else slope, intercept or 0.0)


def _real_world(context: FrameContext) -> tuple[MappingItem, ...]:
    sources = (context.groups, context.shared, context.item)
    return next((tuple(found) for source in sources if (found := source.real_world_value_mapping.items)), ())


def _scaling(context: FrameContext) -> Any:
    """What has the attributes of the Pixel Value Transformation (PS3.3 section C.7.6.16.2.9): macro or instance."""
    return context.macro("pixel_value_transformation") or context.item


def _placement(image: Image, contexts: list[FrameContext]) -> list[tuple[Vector | None, Vector | None]]:
    """(position, orientation) of each frame."""
    item = image.item
    read = Reader(image.header.uid)
    if (read.text(item.volumetric_properties) or "").upper() in _IRREGULAR:
        return [(None, None)] * len(contexts)
    if read.text(item.grid_frame_offsets) is not None:
        return _dose_placement(read, item, len(contexts))
    if item.detectors.items or item.slice_vector.values:
        return [_detector_placement(read, context) for context in contexts]
    return [_own_placement(context) for context in contexts]


def _own_placement(context: FrameContext) -> tuple[Vector | None, Vector | None]:
    plane, direction = context.macro("plane_position"), context.macro("plane_orientation")
    item = context.item
    position = item.image_position if plane is None else plane.image_position
    orientation = item.image_orientation if direction is None else direction.image_orientation
    return _placed(context.read, position, orientation)


def _placed(read: Reader, position: Leaf, orientation: Leaf) -> tuple[Vector | None, Vector | None]:
    at = read.numbers(position, "ImagePositionPatient", 3)
    cosines = read.numbers(orientation, "ImageOrientationPatient", 6)
    if at is None or cosines is None:
        return None, None
    return np.array(at), _directions(read, np.array(cosines), orientation)


def _directions(read: Reader, cosines: Vector, leaf: Leaf) -> Vector:
    if np.abs(cosines).max() > 2:  # noqa: PLR2004  # far from any cosine, and from any product that would overflow
        raise read.invalid("ImageOrientationPatient", leaf.values, "two unit vectors at a right angle")
    row, column = cosines[:3], cosines[3:]
    off = [row @ row - 1, column @ column - 1, row @ column]
    if max(map(abs, off)) > 0.01:  # noqa: PLR2004  # headers round to a few digits
        raise read.invalid("ImageOrientationPatient", leaf.values, "two unit vectors at a right angle")
    return cosines


def _dose_placement(read: Reader, item: ImageItem, count: int) -> list[tuple[Vector | None, Vector | None]]:
    """Planes at GridFrameOffsetVector, along the normal or in absolute z (PS3.3 section C.8.8.3.2)."""
    position, orientation = _placed(read, item.image_position, item.image_orientation)
    offsets = read.numbers(item.grid_frame_offsets, "GridFrameOffsetVector", count)
    if position is None or orientation is None or offsets is None:
        return [(None, None)] * count
    if abs(offsets[0]) <= _SAME_PLACE:
        names = ("GridFrameOffsetVector", offsets)
        return [(_moved(read, position, orientation, offset, names), orientation) for offset in offsets]
    axial = abs(np.cross(orientation[:3], orientation[3:])[2]) > 1 - _AXIAL
    if not axial or abs(offsets[0] - position[2]) > _SAME_PLACE:
        wanted = "0 at first, or of axial planes the z of ImagePositionPatient"
        raise read.invalid("GridFrameOffsetVector", offsets[0], wanted)
    return [(np.array([*position[:2], offset]), orientation) for offset in offsets]


def _detector_placement(read: Reader, context: FrameContext) -> tuple[Vector | None, Vector | None]:
    """Nuclear medicine: the first slice of the frame's detector, and slices from there (PS3.3 section C.8.4.15)."""
    item = context.item
    detectors: list[Any] = item.detectors.items or [item]
    number = int(_entry(item.detector_vector, context.number) or 1)
    detector = detectors[number - 1] if 0 < number <= len(detectors) else detectors[0]
    position, orientation = _placed(read, detector.image_position, detector.image_orientation)
    if position is None or orientation is None:
        position, orientation = _placed(read, item.image_position, item.image_orientation)
    turns = item.rotation_vector.values or item.angular_view_vector.values
    if position is None or orientation is None or (turns and not item.slice_vector.values):
        return None, None  # projections from many sides: the header places the first of them only
    plane = _entry(item.slice_vector, context.number)
    step = read.number(item.spacing_between_slices, "SpacingBetweenSlices")
    step = read.number(item.slice_thickness, "SliceThickness") if step is None else step
    if plane is None:
        return position, orientation
    if step is None:
        return None, None
    return _moved(read, position, orientation, step * (plane - 1), ("SpacingBetweenSlices", step)), orientation


def _moved(read: Reader, position: Vector, orientation: Vector, away: float, source: tuple[str, object]) -> Vector:
    """A position so many millimetres further along the normal; ``source`` is the attribute that says so."""
    if not abs(away) <= FARTHEST:
        raise read.invalid(*source, f"at most {FARTHEST:g} millimetres from slice to slice")
    return position + np.cross(orientation[:3], orientation[3:]) * away


def _entry(leaf: Leaf, number: int) -> float | None:
    """What a vector with one entry for each frame says of a frame."""
    return Reader("").lenient(leaf.values[number - 1]) if number <= len(leaf.values) else None
