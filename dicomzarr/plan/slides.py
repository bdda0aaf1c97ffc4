"""Slides to multiscale plans: axes, chunks, spacing, geometry, channels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.slide.pyramid import why_several
from dicomzarr.dicom.slide.slide import assemble_slide
from dicomzarr.errors import UnsupportedSeriesError
from dicomzarr.plan.coverage import covers
from dicomzarr.plan.plan import Axis, ImagePlan, LevelPlan, SeriesPlan
from dicomzarr.plan.readable import why_not_decoded
from dicomzarr.plan.slide_facts import (
    absent_tile,
    affine,
    channels,
    level_attributes,
    origin_known,
    shift,
    slide_attributes,
    steps,
)
from dicomzarr.plan.tile_lists import plan_tile_list

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dicomzarr.dicom.instance import FrameRef, Instance
    from dicomzarr.dicom.notices import Notices
    from dicomzarr.dicom.series import Series
    from dicomzarr.dicom.slide.level import SlideLevel, SlideTiles
    from dicomzarr.dicom.slide.slide import AssociatedImage
    from dicomzarr.plan.attributes import ImageAttributes


_LACKING: Final = (
    "its level lacks a part of what level 0 shows; regions at a resolution and thumbnails take that from finer levels."
)


@dataclass(frozen=True, slots=True, eq=False)
class SlideFrameIndex:
    """Chunk indices along the axes that a slide has, to its tiles."""

    tiles: SlideTiles
    has_c: bool
    has_z: bool

    def locate(self, chunk: tuple[int, ...]) -> FrameRef | None:
        """The frame of the chunk at ([c,] [z,] y, x)."""
        path = chunk[0] if self.has_c else 0
        plane = chunk[-3] if self.has_z else 0
        return self.tiles.locate(path, plane, chunk[-2], chunk[-1])

    def state(self) -> Iterator[bytes]:
        """See `plan.FrameIndex.state`."""
        return self.tiles.state()


def plan_slide(series: Series, *, associated_label: bool = False, alone: bool = True) -> SeriesPlan:
    """Plan a slide series.

    Args:
        series: Instances of a slide.
        associated_label: Offer the label image too; it shows who the patient is.
        alone: Nothing else is in the series, so that there must be something to show.

    Raises:
        UnsupportedSeriesError: Nothing but a label is there, and it was not asked for.
    """
    slide = assemble_slide(series.instances)
    why = why_several(slide.pyramids, len(slide.loose))
    notices = [*series.notices, *slide.notices, *([why] if why else [])]
    images = [
        _plan_image(f"slide {number}" if number else "slide", pyramid.levels, series)
        for number, pyramid in enumerate(slide.pyramids)
    ]
    count = len(images) + len(slide.loose)
    images += [
        plan_tile_list(loose, f"slide {number} of {count}" if count > 1 else "slide", series.remarks)
        for number, loose in enumerate(slide.loose, len(images) + 1)
    ]
    shown = [image for image in slide.associated if associated_label or not image.shows_label]
    if len(shown) < len(slide.associated):
        notices.append("An image that shows the slide's label was left out; associated_label=True shows it.")
    associated = _plan_associated(shown, notices, series)
    if not images:
        images, associated = [image for _, image in associated], []
        if images:
            notices.append("The series holds no level of a slide: what is shown are its associated images.")
    if not images and alone:
        raise UnsupportedSeriesError(
            f"Series {series.series_uid} holds no image that can be shown. {' '.join(notices)}".strip(),
            remedy="associated_label=True opens a label, which may identify the patient."
            if len(shown) < len(slide.associated)
            else "",
        )
    return SeriesPlan(tuple(images), tuple(associated), tuple(notices))


def _plan_associated(images: list[AssociatedImage], notices: list[str], series: Series) -> list[tuple[str, ImagePlan]]:
    """A second overview becomes ``overview-1``; one that cannot be read is left out, the slide does not need it."""
    seen: Counter[str] = Counter()
    planned = []
    for image in images:
        error = why_not_decoded(image.level.header)
        if error is not None:
            notices.append(f"An associated image was left out: {error.args[0]}")
            continue
        name = f"{image.name}-{seen[image.name]}" if seen[image.name] else image.name
        seen[image.name] += 1
        plan = _plan_image(name, (image.level,), series)
        planned.append((name, replace(plan, attributes=replace(plan.attributes, flavor=image.name))))
    return planned


def _plan_image(name: str, levels: tuple[SlideLevel, ...], series: Series) -> ImagePlan:
    finest, remarks = levels[0], series.remarks
    for level in levels:
        _note_places(level, remarks)
    samples = finest.header.pixel.samples
    has_c = samples > 1 or len(finest.paths) > 1
    has_z = len(finest.planes) > 1
    known = finest.spacing is not None
    unit = "micrometer" if known else None
    axes = [
        *([Axis("c", "channel")] if has_c else []),
        *([Axis("z", "space", unit if finest.plane_step else None)] if has_z else []),
        Axis("y", "space", unit),
        Axis("x", "space", unit),
    ]
    image = ImagePlan(
        name=name,
        axes=tuple(axes),
        levels=tuple(_plan_level(level, finest, _absent(level, series), has_c=has_c, has_z=has_z) for level in levels),
        channels=channels(finest.pixels, finest.paths),
        affine=affine(finest),
        color=samples == 3,  # noqa: PLR2004  # R, G, B
        attributes=_attributes(levels, remarks),
        numbers=_segment_numbers(finest),
        frame_of_reference_uid=finest.header.frame_of_reference_uid,
    )
    for level, planned in zip(levels, image.levels, strict=True):
        if not covers(image, planned):
            remarks.add(level.header.sop_instance_uid, _LACKING)
    return image


def _segment_numbers(level: SlideLevel) -> tuple[int | None, ...]:
    segmentation = level.header.segmentation
    if segmentation is None or segmentation.is_label_map:
        return ()
    return tuple(int(path.identifier) if path.identifier.isdecimal() else None for path in level.paths)


def _note_places(level: SlideLevel, remarks: Notices) -> None:
    for image in level.images:
        uid = image.header.sop_instance_uid
        for sentence in filter(None, (*image.remarks, image.size.remark)):
            remarks.add(uid, sentence)
        if not image.complete:
            remarks.add(uid, "other parts of its concatenation are not in the series: tiles in them cannot be read.")
        if image.outside:
            remarks.add(uid, f"{image.outside} frames outside the total pixel matrix were left out.")
        if image.elsewhere:
            remarks.add(
                uid,
                f"{image.elsewhere} frames say that they show other tiles, optical paths or focal planes than in the "
                "order of TILED_FULL, by which they lie here.",
            )


def _absent(level: SlideLevel, series: Series) -> tuple[tuple[float, ...], float]:
    """`absent_tile`; of a label map what its header pads with (PS3.3 section C.8.20.2)."""
    header = level.header
    if header.segmentation is None or not header.segmentation.is_label_map:
        return absent_tile(header)
    from dicomzarr.plan.facts import padding_value  # noqa: PLC0415  # most slides do without

    padding = float(padding_value(header, series.items[header]) or 0)
    return (padding,), padding


def _plan_level(
    level: SlideLevel,
    finest: SlideLevel,
    absent: tuple[tuple[float, ...], float],
    *,
    has_c: bool,
    has_z: bool,
) -> LevelPlan:
    pixel = level.header.pixel
    grid = level.grid
    step = steps(level, finest)
    c, z = len(level.paths) * pixel.samples, len(level.planes)
    lead_shape = [*([c] if has_c else []), *([z] if has_z else [])]
    lead_chunk = [*([pixel.samples] if has_c else []), *([1] if has_z else [])]
    lead_scale = [*([1.0] if has_c else []), *([step[0]] if has_z else [])]
    return LevelPlan(
        shape=(*lead_shape, grid.matrix_rows, grid.matrix_columns),
        chunks=(*lead_chunk, grid.tile_rows, grid.tile_columns),
        dtype=pixel.dtype,
        scale=(*lead_scale, *step[1:]),
        translation=(*(0.0 for _ in lead_scale), *shift(level, finest)),
        absent=absent[0],
        fill_value=absent[1],
        frames=SlideFrameIndex(level.sources(), has_c, has_z),
        attributes=level_attributes(
            level.header, (part for image in level.images for part in image.frames.parts), level.paths
        ),
        affine=affine(level) if origin_known(level) else None,
        frame_of_reference_uid=level.header.frame_of_reference_uid,
    )


def _attributes(levels: Sequence[SlideLevel], remarks: Notices) -> ImageAttributes:
    finest, parts = levels[0], [part for level in levels for image in level.images for part in image.frames.parts]
    for odd in (*_oddities(finest), *_differences(parts)):
        remarks.add(finest.header.sop_instance_uid, odd)
    return replace(
        slide_attributes(parts),
        affine_reference="slide",
        affine_origin_known=origin_known(finest),
        objective_power=finest.header.objective_power,
        z_offsets=tuple(finest.plane_offsets) if finest.plane_step else (),
        focus_heights=(min(finest.heights), max(finest.heights)) if finest.heights else None,
    )


def _differences(parts: Sequence[Instance]) -> Iterator[str]:
    """What one image cannot say of all of its instances, in sentences."""
    if len({part.rescale for part in parts}) > 1:
        yield "RescaleSlope or RescaleIntercept differs among instances of its image, each of which has its own."
    if any(part.real_world != parts[0].real_world for part in parts):
        yield "the Real World Value Mapping differs among instances of its image, and none is told."


def _oddities(level: SlideLevel) -> Iterator[str]:
    """What someone who trusts the arrays should know, in sentences."""
    known = np.diff(level.plane_offsets) if level.plane_step else np.empty(0)
    if known.size and not np.allclose(known, known[0], rtol=0.01):
        yield (
            "focal planes are unevenly spaced; the scale of z is their mean step, z_offsets hold their places in mm."
        )
    if len(level.planes) > 1 and not level.plane_step:
        yield "nothing says how far its focal planes are apart; z counts them."
    if level.heights:
        yield "tiles were focused at different heights, which are no axis; focus_heights hold their range."
