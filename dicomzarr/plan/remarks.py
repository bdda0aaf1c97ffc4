"""What someone who trusts the arrays should know of a grid of frames, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.model.values import AttributeReader
from dicomzarr.dicom.notices import Notices
from dicomzarr.dicom.volume.dimensions import FRAME_NUMBER
from dicomzarr.dicom.volume.grid import ABSENT, ORDER_ONLY
from dicomzarr.dicom.volume.words import Words
from dicomzarr.plan.facts import padding_value, real_world_values
from dicomzarr.plan.placing import place, poses
from dicomzarr.plan.views import has_table, shows_stored, stored_range

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.dicom.volume.grid import Grid
    from dicomzarr.dicom.volume.lattice import Slices

_TILTED: Final = 0.1
"""Degrees off the normal from which slices count as tilted."""

_NAMED: Final = 4
"""Absent cells that a sentence names."""

_ROUNDED: Final = 0.01
"""Part of a step, or millimetres, from which it is said how far slices lie off the lattice."""

_TURNED: Final = 1e-4
"""Differences of direction cosines that are more than rounding."""

_APART: Final = 0.5
"""Millimetres that SliceLocations of one slice never differ by."""

_PLANAR: Final = frozenset({"DISTORTED", "SAMPLED"})
"""Values of VolumetricProperties (0008,9206) of frames that are not quite planar (PS3.3 section C.8.16.2.1.2)."""


def remarks(grid: Grid, *, many: bool = False) -> Iterator[str]:
    """Sentences on one grid, each of which holds for all of it.

    Args:
        grid: The frames.
        many: The series has other images too.
    """
    yield from grid.notices
    if grid.first.is_mosaic and grid.cells.shape[2] == 1:  # the word may stay where mosaics were taken apart
        yield "Frames are mosaics of slices, shown as they are stored; positions are those of a mosaic's corner."
    if grid.kind == ORDER_ONLY:
        yield _of_order(times=grid.cells.shape[0] > 1)
    if grid.stack.own_references:
        yield "Each slice has a FrameOfReferenceUID of its own, as de-identification leaves it: they were not compared."
    counted = any(FRAME_NUMBER.name in dimension.names for dimension in grid.dimensions)
    if counted and grid.shows_segments and grid.cells.shape[1] > 1:
        yield "Nothing tells which frames of segments belong together: at each t one of them has a frame."
    yield from _of_places(grid)
    yield from _of_few(grid)
    yield from _of_mappings(grid)
    told = (AttributeReader("").text(grid.first.item.volumetric_properties) or "").upper()
    if told in _PLANAR and grid.slices is not None:
        yield f"VolumetricProperties is {told}: frames may not be quite planar; positions and orientations are used."
    if grid.stack.moved:
        where = "attribute poses has one for each" if poses(grid) else "coordinate position has one for each"
        yield (
            f"Times have poses of their own, by up to {grid.stack.moved:.3g} mm, as motion correction records them: "
            f"the affine is that of the first time, and the {where}."
        )
    if not all(frame.gradient_in_patient for frame in grid.frames):
        yield (
            "Directions of diffusion gradients are those along frequency, phase and slices that the vendor wrote: how"
            " they lie in the patient is not known for pictures of this orientation or position."
        )
    if grid.slices is not None:
        if grid.slices.jitter and not grid.slices.absent:
            yield f"Frames of one slice lie up to {grid.slices.jitter:.3g} mm apart; the place of the first counts."
        yield from _of_slices(grid.slices, many=many) if grid.slices.even else [_of_uneven(grid, grid.slices)]
    yield from _absent(grid)


def _of_places(grid: Grid) -> Iterator[str]:
    """What is odd about where frames lie."""
    if not grid.first.in_patient:
        yield "Frames lie in the coordinates of an ultrasound volume: nothing leads to the patient. There is no affine."
    if grid.stack.turned > _TURNED:
        yield f"Direction cosines of slices differ by up to {grid.stack.turned:.2g}: those of the first count for all."
    if grid.slices is not None and not grid.stack.moved:
        yield from _contradicted(grid, grid.slices)
    if grid.first.is_placed_as_of_old:
        yield "Frames lie where ImagePosition (0020,0030) and ImageOrientation (0020,0035), retired, say: as if in LPS."


def _of_few(grid: Grid) -> Iterator[str]:
    """What some of the frames lack that others have."""
    frames = grid.frames
    lacking = sum(frame.instance.frame_of_reference_uid is None for frame in frames)
    if 0 < lacking < len(frames) and not grid.stack.own_references:
        yield f"{lacking} of {len(frames)} frames have no FrameOfReferenceUID: they count as of that of the others."
    unscaled = [frame for frame in frames if not frame.is_scaled]
    if 0 < len(unscaled) < len(frames) and not has_table(grid.first):
        yield (
            f"{len(unscaled)} of {len(frames)} frames have no RescaleSlope, and others do: their modality values are "
            f"the stored ones. The first is in instance {unscaled[0].instance.sop_instance_uid}."
        )
    if len({frame.item.pixel_padding_value for frame in frames}) > 1:
        yield "PixelPaddingValue differs from instance to instance: which pixels are padding is not said for all."
    for value, bits, cut in _cut_paddings(grid):
        yield (
            f"PixelPaddingValue {value} does not fit in the {bits} bits of BitsStored: pixels of padding are read as "
            f"{cut}."
        )


def _cut_paddings(grid: Grid) -> Iterator[tuple[int, int, int]]:
    """PixelPaddingValues that no stored value can be, with BitsStored and what is left of them in so many bits."""
    padded = [frame for frame in grid.frames if frame.item.pixel_padding_value.values]
    told = {(frame.item.pixel_padding_value, frame.instance.pixel): frame for frame in padded}
    for (_, pixel), frame in told.items():
        low, high = map(int, stored_range(pixel))
        value = None if pixel.floating or pixel.samples > 1 else padding_value(frame.instance, frame.item)
        if value is not None and not low <= value <= high:
            yield value, pixel.bits_stored, (value - low) % (high - low + 1) + low


def _of_mappings(grid: Grid) -> Iterator[str]:
    """Which real-world values are not told, and what a table leads to that is not drawn."""
    if shows_stored(grid.first):
        yield (
            "The Modality LUT leads to X-ray intensities (PixelIntensityRelationship is LOG or DISP): stored values "
            "are drawn, and windows are of these."
        )
    notices = Notices()
    if real_world_values(grid, AttributeReader(grid.first.instance.sop_instance_uid, notices)) is None:
        yield "RealWorldValueMappingSequence differs from frame to frame: the image has no real_world_values."
    yield from notices.sentences()


def _contradicted(grid: Grid, slices: Slices) -> Iterator[str]:
    """Whether frames of one place have SliceLocations of several slices: then one of both attributes is wrong."""
    read = AttributeReader("")
    told = [read.lenient_number(frame.item.slice_location) for frame in grid.frames]
    locations = np.array([np.nan if location is None else location for location in told])
    if np.isnan(locations).any():
        return
    low, high = np.full(len(slices.distances), np.inf), np.full(len(slices.distances), -np.inf)
    np.minimum.at(low, slices.places, locations)
    np.maximum.at(high, slices.places, locations)
    apart = float((high - low).max())
    if apart > max((grid.first.thickness or 0.0) / 2, _APART):
        yield (
            f"Frames at one ImagePositionPatient have SliceLocations up to {apart:.4g} mm apart: the positions may be "
            f"wrong, and frames of other slices."
        )


def _of_order(*, times: bool) -> str:
    order = "by InstanceNumber or the order of instances and frames"
    if times:
        return f"Only the order of acquisition tells times apart, {order}: t counts them, and no times are known."
    return f"Only the order of acquisition tells frames at one place apart, {order}: they are images of their own."


def _of_uneven(grid: Grid, slices: Slices) -> str:
    gaps = np.diff(slices.distances)
    apart = f"{gaps.min():.6g} to {gaps.max():.6g} mm apart" + ("" if slices.straight else ", not one above the other")
    sentence = (
        f"The {len(slices.distances)} slices are not evenly spaced ({apart}): z counts them, the coordinate z holds "
        f"their places, and there is no affine."
    )
    if place(grid).plane_affine is None:
        return sentence
    return (
        f"{sentence} The attribute plane_affine leads from (column, row, millimetres along the normal from the first "
        f"slice, 1) to the patient."
    )


def _of_slices(slices: Slices, *, many: bool) -> Iterator[str]:
    spacing = slices.spacing or 0.0
    if slices.rounding > max(_ROUNDED * spacing, _ROUNDED):
        yield f"Positions are rounded: slices lie up to {slices.rounding:.3g} mm off even steps of {spacing:.6g} mm."
    if slices.tilt > _TILTED:
        yield f"Slices are sheared by {slices.tilt:.2f} degrees (a tilted gantry): the affine says so, scale cannot."
    if slices.absent:
        where = ", ".join(f"{slices.distances[place]:.6g}" for place in slices.absent[:_NAMED])
        more = ", ..." if len(slices.absent) > _NAMED else ""
        why = "were lost: InstanceNumber leaves room for them" if slices.lost else "were left out or renumbered"
        why += ", if they are not those of another image" if many else ""
        yield (
            f"{len(slices.absent)} of {len(slices.distances)} slices {why}. They are absent chunks of z: at "
            f"{where}{more} mm along the normal."
        )


def _absent(grid: Grid) -> Iterator[str]:
    """Cells that are absent beside slices that all of the image lacks."""
    if grid.sparse:
        return
    without = set() if grid.slices is None else set(grid.slices.absent)
    cells = [cell for cell in grid.absent.tolist() if cell[2] not in without]
    if not cells:
        return
    words = Words(grid.frames)
    named = "; ".join(_named(grid, cell, words) for cell in cells[:_NAMED])
    more = "; ..." if len(cells) > _NAMED else ""
    yield f"{len(cells)} of {grid.cells.size} frames are absent, and their chunks with them: {named}{more}."


def _named(grid: Grid, cell: list[int], told: Words) -> str:
    """A cell in words: by what others along its axes have."""
    time, channel, plane = cell
    words = []
    for dimension in grid.dimensions:
        across = grid.cells[time] if dimension.axis == "t" else grid.cells[:, channel]
        there = across[across != ABSENT]
        words += [told.of(int(there[0]), name) for name in dimension.names[:1] if there.size]
        words[-1:] = [f"{dimension.axis} {time if dimension.axis == 't' else channel} ({word})" for word in words[-1:]]
    if grid.slices is not None:
        words.append(f"z {plane} (at {grid.slices.distances[plane]:.6g} mm)")
    return ", ".join(words)
