"""Slides to multiscale plans: axes, chunks, spacing, geometry, channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dicomzarr.dicom.colour import lab16_to_srgb
from dicomzarr.dicom.slide import assemble_slide
from dicomzarr.errors import UnsupportedSeriesError
from dicomzarr.multiscale.plan import Affine, Axis, Channel, ImagePlan, LevelPlan, SeriesPlan

if TYPE_CHECKING:
    from dicomzarr.dicom.instance import FrameRef
    from dicomzarr.dicom.positions import OpticalPath
    from dicomzarr.dicom.series import Series
    from dicomzarr.dicom.slide import SlideLevel, SlideTiles

MICROMETRES = 1000.0
"""Micrometres in a millimetre, DICOM's unit."""

_SPACING_DISAGREES = 0.01
"""PixelSpacing and the imaged volume differ noticeably above this relative difference."""

_PATH_COLORS = ("0000FF", "00FF00", "FF0000", "00FFFF", "FF00FF", "FFFF00")
"""Shown for optical paths that name no colour, in turn."""

_NAMED_COLORS = {
    "blue": "0000FF",
    "green": "00FF00",
    "red": "FF0000",
    "cyan": "00FFFF",
    "magenta": "FF00FF",
    "yellow": "FFFF00",
    "orange": "FF8000",
    "violet": "8000FF",
}


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


def plan_slide(series: Series, *, associated_label: bool = False) -> SeriesPlan:
    """Plan a slide series.

    Args:
        series: Instances of a slide.
        associated_label: Offer the label image too; it shows who the patient is.

    Raises:
        UnsupportedSeriesError: Nothing but a label is there, and it was not asked for.
        TilingError: Tiles fit no chunk grid.
    """
    slide = assemble_slide(series.instances)
    notices = list(series.notices)
    images = [
        _plan_image(f"slide {number}" if number else "slide", pyramid.levels, notices)
        for number, pyramid in enumerate(slide.pyramids)
    ]
    shown = [pair for pair in slide.associated if associated_label or pair[0] != "label"]
    if len(shown) < len(slide.associated):
        notices.append("A label image was left out; associated_label=True shows it.")
    associated = [(name, _plan_image(name, (level,), notices)) for name, level in _distinct_names(shown)]
    if not images:
        images, associated = [image for _, image in associated], []
    if not images:
        raise UnsupportedSeriesError(
            f"Series {series.series_uid} holds only a label image, which may identify the patient.",
            remedy="associated_label=True opens it.",
        )
    return SeriesPlan(tuple(images), tuple(associated), tuple(notices))


def _distinct_names(pairs: list[tuple[str, SlideLevel]]) -> list[tuple[str, SlideLevel]]:
    """A second overview becomes ``overview-1``."""
    seen: dict[str, int] = {}
    named = []
    for name, level in pairs:
        count = seen.get(name, 0)
        seen[name] = count + 1
        named.append((f"{name}-{count}" if count else name, level))
    return named


def _plan_image(name: str, levels: tuple[SlideLevel, ...], notices: list[str]) -> ImagePlan:
    finest = levels[0]
    _check_samples(finest)
    for level in levels:
        _note_spacing(level, notices)
    samples = finest.header.pixel.samples
    has_c = samples > 1 or len(finest.paths) > 1
    has_z = len(finest.planes) > 1
    steps = [_steps(level, finest) for level in levels]
    known = finest.spacing is not None
    unit = "micrometer" if known else None
    axes = [
        *([Axis("c", "channel")] if has_c else []),
        *([Axis("z", "space", unit if finest.plane_spacing else None)] if has_z else []),
        Axis("y", "space", unit),
        Axis("x", "space", unit),
    ]
    return ImagePlan(
        name=name,
        axes=tuple(axes),
        levels=tuple(
            _plan_level(level, step, steps[0], has_c=has_c, has_z=has_z)
            for level, step in zip(levels, steps, strict=True)
        ),
        channels=_channels(finest),
        affine=_affine(finest),
        color=samples == 3,  # noqa: PLR2004  # R, G, B
        attributes=_attributes(finest, notices),
    )


def _check_samples(level: SlideLevel) -> None:
    pixel = level.header.pixel
    if pixel.samples not in {1, 3} or pixel.bits_allocated == 1:
        raise UnsupportedSeriesError(
            f"Instance {level.header.uid}: {pixel.samples} samples of {pixel.bits_allocated} bits "
            f"are no slide pixels that can be read (1 or 3 samples of 8 bits or more)."
        )


def _note_spacing(level: SlideLevel, notices: list[str]) -> None:
    header = level.header
    height, width = header.imaged_volume
    if header.pixel_spacing is None or not height or not width:
        return
    told = (height / level.grid.matrix_rows, width / level.grid.matrix_columns)
    if any(abs(a - b) > _SPACING_DISAGREES * max(a, b) for a, b in zip(header.pixel_spacing, told, strict=True)):
        notices.append(
            f"Instance {header.uid}: PixelSpacing and the imaged volume disagree by more than 1 %; "
            f"PixelSpacing is used."
        )


def _steps(level: SlideLevel, finest: SlideLevel) -> tuple[float, float, float]:
    """(z, y, x) steps in micrometres; ratios to the finest level where DICOM gives no spacing."""
    plane_spacing = level.plane_spacing or finest.plane_spacing
    z = _micrometres(plane_spacing) if plane_spacing else 1.0
    if finest.spacing is not None and level.spacing is not None:
        return z, _micrometres(level.spacing[0]), _micrometres(level.spacing[1])
    return (
        z,
        finest.grid.matrix_rows / level.grid.matrix_rows,
        finest.grid.matrix_columns / level.grid.matrix_columns,
    )


def _micrometres(millimetres: float) -> float:
    """Without the noise that the multiplication puts behind the twelfth digit."""
    return float(f"{millimetres * MICROMETRES:.12g}")


def _plan_level(
    level: SlideLevel,
    step: tuple[float, float, float],
    finest: tuple[float, float, float],
    *,
    has_c: bool,
    has_z: bool,
) -> LevelPlan:
    pixel = level.header.pixel
    grid = level.grid
    absent, fill_value = _absent(level)
    c, z = len(level.paths) * pixel.samples, len(level.planes)
    lead_shape = [*([c] if has_c else []), *([z] if has_z else [])]
    lead_chunk = [*([pixel.samples] if has_c else []), *([1] if has_z else [])]
    lead_scale = [*([1.0] if has_c else []), *([step[0]] if has_z else [])]
    # Corners of levels coincide, so centres of first pixels are half a difference of steps apart.
    shift = [(own - base) / 2 for own, base in zip(step[1:], finest[1:], strict=True)]
    return LevelPlan(
        shape=(*lead_shape, grid.matrix_rows, grid.matrix_columns),
        chunks=(*lead_chunk, grid.tile_rows, grid.tile_columns),
        dtype=pixel.dtype,
        scale=(*lead_scale, *step[1:]),
        translation=(*(0.0 for _ in lead_scale), *shift),
        absent=absent,
        fill_value=fill_value,
        frames=SlideFrameIndex(level.sources(), has_c, has_z),
        attributes={
            "sop_instance_uids": [part.sop_instance_uid for image in level.images for part in image.frames.parts],
            "photometric_interpretation": pixel.photometric_interpretation,
            "lossy": pixel.lossy,
            "available_transfer_syntax_uid": level.header.stored.available_transfer_syntax_uid,
        },
    )


def _absent(level: SlideLevel) -> tuple[tuple[int, ...], int]:
    """(value of each sample of an absent tile, Zarr's scalar fill value)."""
    header = level.header
    pixel = header.pixel
    white = 2**pixel.bits_stored - 1
    if pixel.samples == 1:
        return (0,), 0
    if header.absent_pixel_lab is None:
        return (white,) * 3, white
    color = tuple(round(value / 255 * white) for value in lab16_to_srgb(header.absent_pixel_lab))
    return color, color[0] if len(set(color)) == 1 else white


def _channels(level: SlideLevel) -> tuple[Channel, ...]:
    pixel = level.header.pixel
    low = -(2 ** (pixel.bits_stored - 1)) if pixel.signed else 0
    window = (float(low), float(low + 2**pixel.bits_stored - 1))
    if pixel.samples == 1:
        return tuple(
            Channel(_path_label(path, number), _path_color(path, number, len(level.paths)), window)
            for number, path in enumerate(level.paths)
        )
    several = len(level.paths) > 1
    return tuple(
        Channel(f"{_path_label(path, number)} {name}" if several else name, color, window)
        for number, path in enumerate(level.paths)
        for name, color in (("R", "FF0000"), ("G", "00FF00"), ("B", "0000FF"))
    )


def _path_label(path: OpticalPath, number: int) -> str:
    if path.description:
        return path.description
    if path.wavelength:
        return f"{path.wavelength:g} nm"
    return path.identifier or str(number)


def _path_color(path: OpticalPath, number: int, count: int) -> str:
    named = _NAMED_COLORS.get(path.color.lower())
    if named:
        return named
    return "FFFFFF" if count == 1 else _PATH_COLORS[number % len(_PATH_COLORS)]


def _affine(level: SlideLevel) -> Affine | None:
    """Pixel (column, row, plane) to the slide coordinate system, PS3.3 section C.8.12.2.1.1.

    The origin is taken for the centre of the first pixel of the finest level.
    """
    header = level.header
    if header.orientation_slide is None or level.spacing is None:
        return None
    along_row = np.array(header.orientation_slide[:3])
    along_column = np.array(header.orientation_slide[3:])
    row_step, column_step = level.spacing
    x, y, _ = header.origin or (0.0, 0.0, 0.0)
    thickness = level.plane_spacing or 1.0
    matrix = np.eye(4)
    matrix[:3, 0] = along_row * column_step
    matrix[:3, 1] = along_column * row_step
    matrix[:3, 2] = (0.0, 0.0, thickness)
    matrix[:3, 3] = (x, y, level.plane_offsets[0])
    rows = (tuple(float(value) for value in row) for row in matrix)
    return tuple((a, b, c, d) for a, b, c, d in rows)


def _attributes(level: SlideLevel, notices: list[str]) -> dict[str, object]:
    planes = level.plane_offsets
    attributes: dict[str, object] = {
        "modality": level.header.modality,
        "image_type": list(level.header.image_type),
        "affine_reference": "slide",
    }
    if len(planes) > 1:
        attributes["z_offsets"] = list(planes)
        steps = np.diff(planes)
        if not np.allclose(steps, steps[0], rtol=0.01):
            notices.append(
                f"Instance {level.header.uid}: focal planes are unevenly spaced; the scale of z is "
                f"their mean step, z_offsets hold their places."
            )
    return attributes
