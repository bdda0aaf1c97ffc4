"""Segmentations on the grid of an image, as its labels: one for each segment, for segments may overlap."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.dicom.model.image_model import frame_groups, source_images
from dicomzarr.dicom.model.values import AttributeReader
from dicomzarr.dicom.segmentation import Segment
from dicomzarr.dicom.volume.frame import frames_of
from dicomzarr.dicom.volume.grid import ABSENT
from dicomzarr.errors import GridError, MetadataError
from dicomzarr.plan.attributes import ImageAttributes, LevelAttributes
from dicomzarr.plan.facts import padding_value, source_series
from dicomzarr.plan.placing import stepped
from dicomzarr.plan.plan import ImagePlan, LevelPlan
from dicomzarr.plan.slides import plan_slide
from dicomzarr.plan.tile_lists import is_tile_list
from dicomzarr.plan.volumes import GridFrameIndex, segment_number

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.instance import FrameRef, Instance
    from dicomzarr.dicom.model.image_model import ImageItem
    from dicomzarr.dicom.series import Series
    from dicomzarr.dicom.volume.frame import Frame
    from dicomzarr.plan.attributes import Affine, FrameCoordinate
    from dicomzarr.plan.plan import FrameIndex, SeriesPlan

    Numbers = npt.NDArray[np.float64]

_ON_GRID: Final = 0.05
"""Part of a voxel by which a corner may lie off the grid: headers round, and differences of steps add up to it."""

_ON_MATRIX: Final = 0.25
"""Pixels by which a corner of a slide may lie off: rounded spacings add up over a hundred thousand of them."""

_FAR: Final = 10.0
"""Voxels up to which it is said how far off the grid something lies."""

_BY_SOURCE: Final = (
    "frames have no ImagePositionPatient: they lie on those that they were derived from (DerivationImageSequence)."
)

_SAME_SPACING: Final = 1e-3
"""Relative difference up to which the pixels of two images are of one size."""

_NOWHERE: Final = np.full(3, np.nan)

_WHOLE: Final = 0.01
"""Part by which a step may differ from several of another."""

_BYTE: Final = 255
_NUMBERS: Final = range(1, 2**16)
"""Of segments that masks can show: from 1, in 16 bits (PS3.3 section C.8.20.4); a label is 0 where there is none."""

_DIGITS: Final = 8
"""Of the digest in the name of a label."""


@dataclass(frozen=True, slots=True, eq=False)
class Masked:
    """Makes labels of a mask: where it is set, the number of its segment."""

    number: int
    dtype: np.dtype[np.generic]

    def __call__(self, frame: FrameRef, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:  # noqa: ARG002  # all alike
        """Both of shape (1, rows, columns)."""
        labels: npt.NDArray[Any] = np.where(pixels != 0, self.number, 0).astype(self.dtype)
        return labels

    def state(self) -> Iterator[bytes]:
        """See `plan.FrameView.state`."""
        yield repr((self.number, self.dtype.str)).encode()


@dataclass(frozen=True, slots=True, eq=False)
class OneChannel:
    """The frames of one channel, by chunk indices without c."""

    frames: FrameIndex
    channel: int

    def locate(self, chunk: tuple[int, ...]) -> FrameRef | None:
        """See `plan.FrameIndex.locate`."""
        return self.frames.locate((self.channel, *chunk))

    def state(self) -> Iterator[bytes]:
        """See `plan.FrameIndex.state`."""
        yield repr(self.channel).encode()
        yield from self.frames.state()


def refers_to(segmentation: Series, series: Series) -> bool:
    """Whether a series of segmentations says that it was made of another series, or of instances of it.

    Raises:
        MetadataError: Its functional groups are no DICOM JSON.
    """
    if any(series.series_uid in source_series(item) for item in segmentation.items.values()):
        return True
    uids = {instance.sop_instance_uid for instance in series.instances}
    nameless = (item for item in segmentation.items.values() if not any(source_series(item)))
    return any(not uids.isdisjoint(_source_uids(item)) for item in nameless)


def _source_uids(item: ImageItem) -> Iterator[str]:
    """The SOP Instance UIDs of what the frames of an instance were derived from."""
    read = AttributeReader("")
    per_frame = () if item.per_frame_groups is None else frame_groups(item.per_frame_groups)
    for groups in chain(item.shared_groups.items, per_frame):
        yield from filter(None, (read.address(source.sop_instance_uid) for source in source_images(groups)))


def may_be_of(segmentation: Series, series: Series) -> bool:
    """Whether a segmentation names no series, and lies in the space of this one (PS3.3 section A.51.3 allows both)."""
    spaces = {instance.frame_of_reference_uid for instance in series.instances} - {None, ""}
    return any(
        not any(source_series(item)) and instance.frame_of_reference_uid in spaces
        for instance, item in segmentation.items.items()
    )


def add_labels(plan: SeriesPlan, segmentations: Sequence[Series]) -> SeriesPlan:
    """A plan with what lies on the grid of one of its images as that image's labels; what does not is said.

    Args:
        plan: The images.
        segmentations: Series of segmentations that refer to them.
    """
    labels: defaultdict[int, list[ImagePlan]] = defaultdict(list)
    notices = list(plan.notices)
    for series in segmentations:
        try:
            placed = list(_placed(plan.images, series, notices))
        except MetadataError as error:
            notices.append(f"Segmentation series {series.series_uid} is no label: {error}")
            continue
        for place, label in placed:
            labels[place].append(label)
    images = tuple(replace(image, labels=tuple(labels[place])) for place, image in enumerate(plan.images))
    notices += _without_times(images)
    for series in segmentations:
        notices += [f"Segmentation series {series.series_uid}: {each}" for each in series.remarks.sentences()]
    return replace(plan, images=images, notices=tuple(notices))


def _without_times(images: Iterable[ImagePlan]) -> Iterator[str]:
    """That labels have no times where the images that they lie on have several."""
    for image in images:
        times = dict(zip((axis.name for axis in image.axes), image.levels[0].shape, strict=True)).get("t", 1)
        for uid in dict.fromkeys(label.levels[0].series for label in image.labels if times > 1):
            yield (
                f"Segmentation series {uid} lies over all {times} times of the image, whichever it was made of: labels "
                "have no t."
            )


def _placed(images: Sequence[ImagePlan], series: Series, notices: list[str]) -> Iterator[tuple[int, ImagePlan]]:
    """(place of the image, label) of each segment that lies on one; a notice of each that does not."""
    if series.is_slide:
        yield from _placed_tiles(images, series, notices)
        return
    for shown in _segments(frames_of(series.items, series.remarks), series, notices):
        placed = [(place, cells) for place, image in enumerate(images) if (cells := _cells(image, shown)) is not None]
        count = len({int(cell) for _, cells in placed for cell in cells.reshape(-1)} - {ABSENT})
        if count < len(shown.frames):
            which = "it" if shown.segment is None else f"segment {shown.segment.number}"
            reason = f"{len(shown.frames) - count} of {len(shown.frames)} frames of {which} lie on no image's grid"
            reason += _beside(images, shown.frames)
            notices.append(_no_label(series, reason))
            continue
        if any(frame.position is None for frame in shown.frames):
            series.remarks.say(_BY_SOURCE)
        for place, cells in placed:
            index = GridFrameIndex(cells, tuple(frame.ref for frame in shown.frames))
            first = shown.frames[0]
            fill = padding_value(first.instance, first.item) or 0 if shown.segment is None else 0
            yield place, _label(images[place], images[place].levels[0], index, shown, series, fill=fill)


def _placed_tiles(images: Sequence[ImagePlan], series: Series, notices: list[str]) -> Iterator[tuple[int, ImagePlan]]:
    """The same of segmented slides."""
    for found in plan_slide(series).images:
        header = _header_of(found, series)
        if is_tile_list(found):
            notices.append(_no_label(series, f"instance {header.sop_instance_uid} is a list of tiles"))
            continue
        levels = [_level_of(image, found) for image in images]
        if header.segmentation is None or header.segmentation.kind == "FRACTIONAL" or not any(levels):
            reason = f"instance {header.sop_instance_uid} {_why_on_no_level(images, found, header)}"
            notices.append(_no_label(series, reason))
            continue
        for place, level in enumerate(levels):
            if level is not None:
                yield from ((place, label) for label in _tiled(images[place], level, found, header, series))
        notices += [
            _no_label(series, _why_no_number("tiles", header, number))
            for number in found.numbers
            if not _is_label(header, number)
        ]


def _no_label(series: Series, reason: str) -> str:
    return f"Segmentation series {series.series_uid} is no label: {reason}. It opens by its own URL."


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """One segment of an instance, or a label map."""

    header: Instance
    """Of its instance, or of the first part of its concatenation."""
    segment: Segment | None
    """None for a label map."""
    instances: tuple[str, ...]
    """SOP Instance UIDs."""
    frames: tuple[Frame, ...] = ()

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of a label map its own type; of a mask the smallest that holds its number."""
        return self.header.pixel.dtype if self.segment is None else _number_type(self.segment)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """What its values are."""
        if self.segment is not None:
            return (self.segment,)
        return () if self.header.segmentation is None else self.header.segmentation.segments

    @property
    def name(self) -> str:
        """The same whatever else there is: a digest of its instance, for UIDs identify, and the segment number."""
        concatenation = self.header.concatenation
        whole = (concatenation.uid if concatenation else "") or self.header.sop_instance_uid
        digest = hashlib.sha256(whole.encode()).hexdigest()[:_DIGITS]
        return digest if self.segment is None else f"{digest}-{self.segment.number}"


def _number_type(segment: Segment) -> np.dtype[np.generic]:
    return np.dtype("u1" if segment.number <= _BYTE else "<u2")


def _segments(frames: Iterable[Frame], series: Series, notices: list[str]) -> Iterator[_Shown]:
    """Segments with their frames; fractions are no labels."""
    members: defaultdict[tuple[str, int | None], list[Frame]] = defaultdict(list)
    for frame in frames:
        segmentation = frame.instance.segmentation
        if segmentation is None:
            continue
        if segmentation.kind == "FRACTIONAL":
            notices.append(_no_label(series, "it is fractional"))
            return
        members[frame.whole, None if segmentation.is_label_map else segment_number(frame)].append(frame)
    for (_, number), each in sorted(members.items(), key=lambda item: (item[0][0], item[0][1] or 0)):
        header = each[0].instance
        if _is_label(header, number):
            uids = dict.fromkeys(frame.instance.sop_instance_uid for frame in each)
            yield _Shown(header, _segment(header, number), tuple(uids), tuple(each))
        else:
            notices.append(_no_label(series, _why_no_number(f"{len(each)} frames", header, number)))


def _is_label(header: Instance, number: int | None) -> bool:
    """Whether there is a label of a number: a label map needs none."""
    return number in _NUMBERS or (header.segmentation is not None and header.segmentation.is_label_map)


def _why_no_number(what: str, header: Instance, number: int | None) -> str:
    named = "name no segment" if number is None else f"name segment {number}, which no label can have as its value"
    return f"{what} of instance {header.sop_instance_uid} {named}"


def _segment(header: Instance, number: int | None) -> Segment | None:
    """What an instance says of one of its segments; None for a label map."""
    if number is None or header.segmentation is None:
        return None
    return header.segmentation.numbered(number) or Segment(number, "", "")


def _cells(image: ImagePlan, shown: _Shown) -> npt.NDArray[np.int64] | None:
    """The frame of each slice of an image, as far as frames lie on its grid; None where none does.

    Raises:
        GridError: Two frames show one segment in one slice.
    """
    level = image.levels[0]
    names = [axis.name for axis in image.axes]
    slices = level.shape[names.index("z")] if "z" in names else 1
    places = _slices_of(image, shown.frames)
    on_grid = np.flatnonzero((places >= 0) & (places < slices))
    if not on_grid.size:
        return None
    cells = np.full(slices, ABSENT, np.int64)
    cells[places[on_grid]] = on_grid
    if np.count_nonzero(cells != ABSENT) < on_grid.size:
        raise GridError(
            f"Two frames of instance {shown.frames[0].instance.sop_instance_uid} show one segment at one place."
        )
    return cells if "z" in names else cells.reshape(())


def _slices_of(image: ImagePlan, frames: Sequence[Frame]) -> npt.NDArray[np.int64]:
    """The slice of an image that each frame covers, voxel for voxel; -1 where it covers none."""
    nearest, off = _nearest(image, frames)
    places = np.where(off <= _ON_GRID, nearest, ABSENT).astype(np.int64)
    if _are_coarser(places, frames[0].between, image):
        return np.full_like(places, ABSENT)
    unplaced = [place for place, frame in enumerate(frames) if frame.position is None]
    if unplaced and _has_pixels_of(image, frames[0]):
        known = _slices_of_frames(image)
        places[unplaced] = [_slice_of_sources(known, frames[place]) for place in unplaced]
    return places


def _slices_of_frames(image: ImagePlan) -> dict[str, dict[int, int]]:
    """The slice of each frame of an image, by SOP Instance UID and frame number."""
    index, names = image.levels[0].frames, [axis.name for axis in image.axes]
    found: defaultdict[str, dict[int, int]] = defaultdict(dict)
    if isinstance(index, GridFrameIndex):
        for cell in np.argwhere(index.cells != ABSENT).tolist():
            frame = index.frames[int(index.cells[tuple(cell)])]
            found[frame.instance.sop_instance_uid][frame.number] = cell[names.index("z")] if "z" in names else 0
    return found


def _slice_of_sources(known: Mapping[str, Mapping[int, int]], frame: Frame) -> int:
    """The one slice that a frame was derived from; of an instance that is named without frame numbers, all count."""
    found = {
        known[uid][number]
        for uid, numbers in frame.sources
        if uid in known
        for number in (numbers or known[uid])
        if number in known[uid]
    }
    return found.pop() if len(found) == 1 else ABSENT


def _has_pixels_of(image: ImagePlan, frame: Frame) -> bool:
    """Whether frames have the rows and columns of an image, pixels of its size, and no other frame of reference."""
    pixel, level = frame.instance.pixel, image.levels[0]
    spaces = {frame.instance.frame_of_reference_uid, image.frame_of_reference_uid} - {None, ""}
    ours = level.scale[-2:]
    theirs = ours if frame.spacing is None or image.axes[-1].unit is None else frame.spacing
    alike = len(spaces) <= 1 and level.shape[-2:] == (pixel.rows, pixel.columns)
    return alike and np.allclose(theirs, ours, rtol=_SAME_SPACING, atol=0)


def _beside(images: Sequence[ImagePlan], frames: Sequence[Frame]) -> str:
    """How far frames lie off the grid of the image that they lie next to, in words; nothing where that is far."""
    off = min((float(_nearest(image, frames)[1].max()) for image in images), default=np.inf)
    return f", and up to {off:.2g} voxels beside it" if _ON_GRID < off < _FAR else ""


def _nearest(image: ImagePlan, frames: Sequence[Frame]) -> tuple[Numbers, Numbers]:
    """(the slice next to each frame, by how many voxels a corner of the frame lies off it at most).

    They are -1 and infinite for frames of other rows and columns, and where nothing leads from frame to image.
    """
    first = frames[0].instance
    shape = (first.pixel.rows, first.pixel.columns)
    spaces = {first.frame_of_reference_uid, image.frame_of_reference_uid} - {None, ""}
    matrix = image.affine or image.attributes.plane_affine
    if matrix is None or len(spaces) > 1 or image.levels[0].shape[-2:] != shape:
        return np.full(len(frames), float(ABSENT)), np.full(len(frames), np.inf)
    affine, corners = np.array(matrix), _corners(shape)
    positions = np.array([_NOWHERE if frame.position is None else frame.position for frame in frames])
    at = _steps(frames) @ corners[:2] + positions[..., None]
    column, row, along = np.linalg.solve(affine[:3, :3], at - affine[:3, 3:]).transpose(1, 0, 2)
    nearest, beside = _slice_beside(image, along)
    off = np.abs([column - corners[0], row - corners[1], beside]).max(axis=(0, 2))
    return np.where(np.isnan(off), ABSENT, nearest), np.where(np.isnan(off), np.inf, off)


def _slice_beside(image: ImagePlan, along: Numbers) -> tuple[Numbers, Numbers]:
    """(the slice next to the first corner of each frame, by how many slices each corner lies beside it).

    Args:
        image: With an affine; or with a `plane_affine` and the coordinate z, where slices are not evenly spaced.
        along: (frames, corners): the places of corners, in slices, or in millimetres likewise.
    """
    if image.affine is not None:
        nearest = np.rint(along[:, :1])
        return nearest[:, 0], along - nearest
    slices = np.array(image.attributes.coordinates["z"].values, np.float64)
    slices -= slices[0]
    next_to = np.abs(along[:, :1] - slices).argmin(axis=1)
    return next_to.astype(np.float64), (along - slices[next_to, None]) / np.diff(slices).min()


def _steps(frames: Sequence[Frame]) -> Numbers:
    """(frames, 3, 2): millimetres of LPS from column to column and from row to row; NaN where they are not known."""
    known: dict[Hashable, Numbers] = {}
    keys = [(id(frame.orientation), frame.spacing) for frame in frames]
    for key, frame in zip(keys, frames, strict=True):
        if key not in known:
            down, across = frame.spacing or (np.nan, np.nan)
            row, column = (
                _NOWHERE.repeat(2).reshape(2, 3) if frame.orientation is None else frame.orientation.reshape(2, 3)
            )
            known[key] = np.stack([row * across, column * down], axis=1)
    return np.array([known[key] for key in keys])


def _corners(shape: tuple[int, ...]) -> Numbers:
    """(3, 4): (column, row, 1) of the pixels at the corners of so many rows and columns."""
    return np.array([[x, y, 1.0] for y in (0, shape[0] - 1) for x in (0, shape[1] - 1)]).T


def _are_coarser(places: npt.NDArray[np.int64], between: float | None, image: ImagePlan) -> bool:
    """Whether a segmentation says that its slices are several of the image's apart, as its frames are."""
    names = [axis.name for axis in image.axes]
    if between is None or image.affine is None or "z" not in names:
        return False
    steps = between / image.levels[0].scale[names.index("z")]
    count = round(steps)
    on_grid = places[places != ABSENT]
    return on_grid.size > 1 < count and abs(steps - count) < _WHOLE * count and not np.ptp(on_grid % count)


def _header_of(image: ImagePlan, series: Series) -> Instance:
    """The header of the finest level of a segmentation."""
    uids = image.levels[0].attributes.sop_instance_uids
    return next(instance for instance in series.instances if instance.sop_instance_uid in uids)


def _tiled(
    image: ImagePlan, level: LevelPlan, found: ImagePlan, header: Instance, series: Series
) -> Iterator[ImagePlan]:
    """Of a segmented slide: labels of the level of the image that has the same matrix."""
    source = found.levels[0]
    uids = source.attributes.sop_instance_uids
    has_c = "c" in (axis.name for axis in found.axes)
    for channel, number in enumerate(found.numbers or (None,)):
        if _is_label(header, number):
            shown = _Shown(header, _segment(header, number), uids)
            index = OneChannel(source.frames, channel) if has_c else source.frames
            yield _label(image, level, index, shown, series, fill=int(source.fill_value), tiles=source.chunks)


def _level_of(image: ImagePlan, found: ImagePlan) -> LevelPlan | None:
    """The level that has the matrix of a segmentation, and lies where it does."""
    flat = not {"t", "z"} & {axis.name for axis in (*image.axes, *found.axes)}
    levels = image.levels if flat and not _is_elsewhere(image, found) else ()
    return next((level for level in levels if _off_matrix(image, level, found) <= _ON_MATRIX), None)


def _is_elsewhere(image: ImagePlan, found: ImagePlan) -> bool:
    """Whether a segmentation has a frame of reference that no level of an image has."""
    known = {level.frame_of_reference_uid for level in image.levels} - {None}
    return bool(known) and found.frame_of_reference_uid not in {None, *known}


def _why_on_no_level(images: Sequence[ImagePlan], found: ImagePlan, header: Instance) -> str:
    """Why a segmentation of a slide is a label of none of the images."""
    if header.segmentation is not None and header.segmentation.kind == "FRACTIONAL":
        return "is fractional"
    if all(_is_elsewhere(image, found) for image in images):
        return "is in another frame of reference"
    off = min((_off_matrix(image, level, found) for image in images for level in image.levels), default=np.inf)
    beside = f", and lies up to {off:.2g} pixels beside that of one" if _ON_MATRIX < off < _FAR else ""
    return f"has the matrix of no level{beside}"


def _off_matrix(image: ImagePlan, level: LevelPlan, other: ImagePlan) -> float:
    """By how many pixels a corner of a level and of the finest of another image differ at most."""
    shape = level.shape[-2:]
    if shape != other.levels[0].shape[-2:] or image.affine is None or other.affine is None:
        return np.inf
    theirs, corners, off = np.array(other.affine)[:3, [0, 1, 3]], _corners(shape), []
    for ours in _places_of(image, level):
        apart = theirs - ours
        apart[2, 2] = 0  # at which height the matrix lies counts for nothing
        off.append(float(np.linalg.norm(apart @ corners, axis=0).max() / np.linalg.norm(ours[:, :2], axis=0).min()))
    return min(off)


def _places_of(image: ImagePlan, level: LevelPlan) -> Iterator[Numbers]:
    """(column, row, 1) of a level to the slide by its header; of one without by either reading of the finest's origin.

    That is the corner of the first pixel, which all levels share, or its centre (PS3.3 section C.8.12.2.1.1).
    """
    if level.affine is not None:
        yield np.array(level.affine)[:3, [0, 1, 3]]
        return
    ours, finest = np.array(image.affine)[:3, [0, 1, 3]], image.levels[0]
    for centres in (False, True):
        scaled = ours.copy()
        for column, axis in ((0, -1), (1, -2)):
            scaled[:, column] *= level.scale[axis] / finest.scale[axis]
            scaled[:, 2] += centres * ours[:, column] * level.translation[axis] / finest.scale[axis]
        yield scaled


def _affine_of(image: ImagePlan, level: LevelPlan) -> Affine | None:
    """The affine of a level: that of the image leads from the finest."""
    finest = image.levels[0]
    if image.affine is None or level is finest:
        return image.affine
    return stepped(
        image.affine,
        [
            (
                level.scale[axis] / finest.scale[axis],
                (level.translation[axis] - finest.translation[axis]) / finest.scale[axis],
            )
            for axis in (-1, -2)
        ],
    )


def _uneven_slices(image: ImagePlan) -> dict[str, FrameCoordinate]:
    """The coordinate of slices that no scale tells."""
    known = image.attributes
    return {} if known.plane_affine is None else {"z": known.coordinates["z"]}


def _label(  # noqa: PLR0913  # what a label is made of
    image: ImagePlan,
    level: LevelPlan,
    frames: FrameIndex,
    shown: _Shown,
    series: Series,
    *,
    fill: int = 0,
    tiles: tuple[int, ...] | None = None,
) -> ImagePlan:
    """A label image on a level's grid: its axes of space."""
    kept = [place for place, axis in enumerate(image.axes) if axis.type == "space"]
    return ImagePlan(
        name=shown.name,
        axes=tuple(image.axes[place] for place in kept),
        levels=(
            LevelPlan(
                shape=tuple(level.shape[place] for place in kept),
                chunks=(*(1 for _ in kept[:-2]), *(tiles or level.chunks)[-2:]),
                dtype=shown.dtype,
                scale=tuple(level.scale[place] for place in kept),
                translation=tuple(level.translation[place] for place in kept),
                absent=(fill,),
                fill_value=fill,
                frames=frames,
                view=None if shown.segment is None else Masked(shown.segment.number, shown.dtype),
                series=series.series_uid,
                attributes=LevelAttributes(shown.instances),
            ),
        ),
        channels=(),
        affine=_affine_of(image, level),
        color=False,
        attributes=ImageAttributes(
            modality="SEG",
            affine_reference=image.attributes.affine_reference,
            plane_affine=image.attributes.plane_affine,
            coordinates=_uneven_slices(image),
            anatomical_orientation=image.attributes.anatomical_orientation,
        ),
        segments=shown.segments,
        frame_of_reference_uid=image.frame_of_reference_uid,
    )
