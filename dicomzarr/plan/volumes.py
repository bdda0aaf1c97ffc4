"""Series that are no slides to multiscale plans: volumes, time series, projections, pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.cell_state import state_of_frames
from dicomzarr.dicom.model.values import shown_code
from dicomzarr.dicom.segmentation import segment_name
from dicomzarr.dicom.volume.arrangement import arrange
from dicomzarr.dicom.volume.dimensions import SEGMENT
from dicomzarr.dicom.volume.frame import frames_of
from dicomzarr.dicom.volume.grid import ABSENT, GUESSED, LIST
from dicomzarr.dicom.volume.grouping import are_one_if_rescaled, stack_words, stacks_of
from dicomzarr.errors import MetadataError, UnsupportedSeriesError
from dicomzarr.options.limits import LIMITS
from dicomzarr.plan.attributes import LevelAttributes
from dicomzarr.plan.coordinates import channel_labels, coordinates, time_step
from dicomzarr.plan.facts import image_attributes, padding_value, windows
from dicomzarr.plan.placing import MILLIMETER, origin_of, place, poses
from dicomzarr.plan.plan import Axis, Channel, ImagePlan, LevelPlan, SeriesPlan
from dicomzarr.plan.remarks import remarks
from dicomzarr.plan.views import MEASURED, has_table, instances_of, view_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.instance import FrameRef
    from dicomzarr.dicom.segmentation import Segmentation
    from dicomzarr.dicom.series import Series
    from dicomzarr.dicom.volume.frame import Frame
    from dicomzarr.dicom.volume.grid import Grid
    from dicomzarr.dicom.volume.grouping import Stack
    from dicomzarr.plan.attributes import ImageAttributes
    from dicomzarr.plan.placing import Placing
    from dicomzarr.plan.views import View

_COLORS: Final = (("R", "FF0000"), ("G", "00FF00"), ("B", "0000FF"))
_GREY: Final = "FFFFFF"


@dataclass(frozen=True, slots=True, eq=False)
class GridFrameIndex:
    """Chunk indices along the axes that a grid has, to its frames."""

    cells: npt.NDArray[np.int64]
    """Along the axes before y and x."""
    frames: tuple[FrameRef, ...]

    def locate(self, chunk: tuple[int, ...]) -> FrameRef | None:
        """The frame of the chunk at ([t,] [c,] [z,] y, x)."""
        cell = int(self.cells[chunk[:-2]])
        return None if cell == ABSENT else self.frames[cell]

    def state(self) -> Iterator[bytes]:
        """See `plan.FrameIndex.state`."""
        cells = self.cells.reshape(-1).tolist()
        return state_of_frames(None if cell == ABSENT else self.frames[cell] for cell in cells)


def plan_volumes(
    series: Series,
    *,
    values: str = "stored",
    bulk: Mapping[str, bytes] | None = None,
    most_images: int = LIMITS.images,
) -> SeriesPlan:
    """Plan a series of frames that are no tiles.

    Args:
        series: Its images.
        values: ``stored``, ``modality``, ``color`` or ``suv``: what the arrays hold.
        bulk: Values that the metadata only name, by their URI.
        most_images: How many images there may be.

    Raises:
        UnsupportedSeriesError: There is nothing to show.
        MetadataError: There are more images than that.
        InvalidAttributeError: The header lacks what its values are computed by.
    """
    notices = [*series.notices, *_lost_parts(series)]
    stacks = stacks_of(frames_of(series.items, series.remarks), any_sign=values in MEASURED)
    if not stacks:
        raise UnsupportedSeriesError(f"Series {series.series_uid} holds no frame.")
    _check_number(len(stacks), most_images, stacks[0].why)
    grids = [(stack, grid) for stack in stacks for grid in arrange(stack)]
    _check_number(len(grids), most_images, stacks[0].why)
    if values == "suv":
        from dicomzarr.dicom.volume.suv import earliest_of, in_suv  # noqa: PLC0415  # few want it

        earliest = earliest_of(frame for _, grid in grids for frame in grid.frames)
        grids = [(stack, in_suv(grid, earliest)) for stack, grid in grids]
    notices += _why_several(stacks, [grid for _, grid in grids])
    for _, grid in grids:
        _remark(series, grid, many=len(grids) > 1)
    images = [
        _plan_image(stack, grid, values, bulk or {}, _name(grid, number, len(grids)))
        for number, (stack, grid) in enumerate(grids, 1)
    ]
    guesses = tuple(dict.fromkeys(notice for _, grid in grids if grid.kind == GUESSED for notice in grid.notices))
    return SeriesPlan(tuple(images), (), tuple(dict.fromkeys(notices)), guesses)


def _check_number(images: int, most: int, why: Sequence[str]) -> None:
    if images > most:
        differing = f" (they differ in {', '.join(why)})" if why else ""
        raise MetadataError(
            f"The series would be {images} images{differing}, which is refused.",
            remedy=f"If that is right, raise the bound: limits={{'images': {images}}}.",
        )


def _remark(series: Series, grid: Grid, *, many: bool) -> None:
    """Say what is odd about a grid, in the name of its first instance where others are not so."""
    for sentence in remarks(grid, many=many):
        where = f" In the image of instance {grid.first.instance.sop_instance_uid}." if many else ""
        series.remarks.say(sentence + where)


def _lost_parts(series: Series) -> Iterator[str]:
    """Concatenations of which instances are not there (PS3.3 section C.7.6.16.2.2.4)."""
    told = [each.concatenation for each in series.instances if each.concatenation]
    parts = [part for part in told if part.uid]
    for uid in dict.fromkeys(part.uid for part in parts):
        there = {part.number for part in parts if part.number is not None and part.uid == uid}
        total = max(part.total or 0 for part in parts if part.uid == uid) or max(there, default=0)
        if len(there) < total:
            yield f"Concatenation {uid}: {total - len(there)} of {total} parts are missing, and their frames with them."


def _why_several(stacks: Sequence[Stack], grids: Sequence[Grid]) -> list[str]:
    found = []
    if len(stacks) > 1:
        found.append(f"The series holds {len(stacks)} images: they differ in {', '.join(stacks[0].why)}.")
        if are_one_if_rescaled(stacks):
            found.append('Values of "modality" are one image, whatever bits and sign they are stored with.')
    parts = [grid.part for grid in grids if grid.part]
    if len(grids) > len(stacks):
        found.append(
            f"Frames that cannot share axes are {len(grids)} images (values that cover other slices, slices that are "
            f"no lattice, or more dimensions than t and c): {'; '.join(parts)}."
        )
    return found


def _plan_image(stack: Stack, grid: Grid, values: str, bulk: Mapping[str, bytes], name: str) -> ImagePlan:
    view = view_of(grid, values, bulk)
    placing = place(grid)
    origin = origin_of(placing.affine)
    t, c, z = grid.cells.shape
    samples = view.samples
    step, time_unit = time_step(grid)
    axes = [
        (Axis("t", "time", time_unit), t > 1, t, 1, step),
        (Axis("c", "channel"), c * samples > 1, c * samples, samples, 1.0),
        (Axis("z", "space", placing.units[0]), z > 1, z, 1, placing.scale[0]),
    ]
    kept = [row for row in axes if row[1]]
    pixel = grid.first.instance.pixel
    absent = _absent(grid, view)
    cells = grid.cells.reshape([row[2] // row[3] for row in kept])  # axes that are left out have one place
    level = LevelPlan(
        shape=(*(row[2] for row in kept), pixel.rows, pixel.columns),
        chunks=(*(row[3] for row in kept), pixel.rows, pixel.columns),
        dtype=view.dtype,
        scale=(*(row[4] for row in kept), *placing.scale[1:]),
        translation=(*(origin[0] if row[0].unit == MILLIMETER else 0.0 for row in kept), *origin[1:]),
        absent=absent,
        fill_value=absent[0],
        frames=GridFrameIndex(cells, tuple(frame.ref for frame in grid.frames)),
        view=view.apply,
        attributes=_level_attributes(grid),
    )
    return ImagePlan(
        name=name,
        axes=(*(row[0] for row in kept), Axis("y", "space", placing.units[1]), Axis("x", "space", placing.units[2])),
        levels=(level,),
        channels=_channels(grid, view),
        affine=placing.affine,
        color=samples > 1,
        attributes=_attributes(stack, grid, values, samples, placing),
        numbers=_segment_numbers(grid),
        frame_of_reference_uid=None if stack.own_references else _reference(grid),
    )


def _reference(grid: Grid) -> str | None:
    """The FrameOfReferenceUID of the frames that have one."""
    return next(filter(None, (frame.instance.frame_of_reference_uid for frame in grid.frames)), None)


def _attributes(stack: Stack, grid: Grid, values: str, samples: int, placing: Placing) -> ImageAttributes:
    return replace(
        image_attributes(stack, grid, values),
        coordinates=coordinates(grid, samples),
        absent=() if grid.sparse else tuple(_absent_frames(grid, samples)),
        plane_affine=placing.plane_affine,
        poses=tuple(poses(grid)),
        pixel_spacing=grid.first.spacing if grid.kind == LIST else None,
    )


def _absent_frames(grid: Grid, samples: int) -> Iterator[dict[str, int]]:
    """Indices of frames that are absent, by the axes that the image has; each sample takes a place along c."""
    sizes = dict(zip("tcz", grid.cells.shape, strict=True))
    for cell in grid.absent.tolist():
        named = zip("tcz", cell, strict=True)
        yield {axis: int(index) * (samples if axis == "c" else 1) for axis, index in named if sizes[axis] > 1}


def _absent(grid: Grid, view: View) -> tuple[float, ...]:
    """Each sample of what was left out: of a label map what its header pads with (PS3.3 section C.8.20.2)."""
    segmentation = grid.first.instance.segmentation
    if segmentation is None:
        return (view.absent,) * view.samples
    padding = padding_value(grid.first.instance, grid.first.item) or 0 if segmentation.is_label_map else 0
    if view.samples == 1 or view.apply is None:
        return (padding,)
    pixel = grid.first.instance.pixel
    colour = view.apply(grid.first.ref, np.full((1, 1, 1), padding, pixel.dtype))
    return tuple(float(sample) for sample in colour.reshape(-1).tolist())


def _modality(grid: Grid) -> str:
    return shown_code(grid.first.instance.modality) or "image"


def _name(grid: Grid, number: int, count: int) -> str:
    """The modality, and which part of the series this is, as ``MR 2 of 3: b_value 1000 s/mm2, 4 of 6 slices``."""
    words = ", ".join(dict.fromkeys(word for word in (stack_words(grid.stack), grid.part, grid.kind) if word))
    name = f"{_modality(grid)} {number} of {count}" if count > 1 else _modality(grid)
    return f"{name}: {words}" if words else name


def _channels(grid: Grid, view: View) -> tuple[Channel, ...]:
    segmentation = grid.first.instance.segmentation
    if segmentation is not None and grid.shows_segments and grid.kind != LIST:
        return _segment_channels(grid, segmentation, view)
    labels = channel_labels(grid)
    shown = [windows(grid, channel).shown(view) for channel in range(len(labels))]
    inverted = _is_inverted(grid, view)
    if view.samples > 1:
        return tuple(
            Channel(f"{label} {name}".strip(), color, view.range, shown=None)
            for label in labels
            for name, color in _COLORS
        )
    return tuple(
        Channel(label or f"{_modality(grid)} {grid.part}".strip(), _GREY, view.range, inverted, own)
        for label, own in zip(labels, shown, strict=True)
    )


def _is_inverted(grid: Grid, view: View) -> bool:
    """Whether low values of the array are bright: with MONOCHROME1 low modality values, whatever the slope's sign."""
    stored = view.apply is None and not has_table(grid.first)
    negative = stored and all(frame.rescale.slope < 0 for frame in grid.frames)
    return (grid.first.instance.pixel.photometric_interpretation == "MONOCHROME1") != negative


def _segment_numbers(grid: Grid) -> tuple[int | None, ...]:
    if not grid.shows_segments or grid.kind == LIST:
        return ()
    shown = (grid.frames[int(cells[cells != ABSENT][0])] for cells in grid.cells.swapaxes(0, 1))
    return tuple(segment_number(frame) for frame in shown)


def segment_number(frame: Frame) -> int | None:
    """ReferencedSegmentNumber (0062,000B) of a frame; None where there is none, or a part of one."""
    number = frame.values.get(SEGMENT)
    return int(number) if isinstance(number, float | int) and float(number).is_integer() else None


def _segment_channels(grid: Grid, segmentation: Segmentation, view: View) -> tuple[Channel, ...]:
    """One channel for each segment that has frames, by its label and in its colour."""
    numbers = _segment_numbers(grid)
    segments = [segmentation.numbered(number) for number in numbers]
    return tuple(
        Channel(segment_name(segment, number), (segment and segment.color) or _GREY, view.range)
        for segment, number in zip(segments, numbers, strict=True)
    )


def _level_attributes(grid: Grid) -> LevelAttributes:
    instances = list(instances_of(grid))
    return LevelAttributes(
        sop_instance_uids=tuple(instance.sop_instance_uid for instance in instances),
        photometric_interpretation=instances[0].pixel.photometric_interpretation,
        lossy=any(instance.pixel.lossy for instance in instances),
        available_transfer_syntax_uid=instances[0].available_transfer_syntax_uid,
    )
