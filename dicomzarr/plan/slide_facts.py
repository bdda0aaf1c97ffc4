"""What the headers of a slide say, whether tiles fit a grid or not: attributes, channels, and where pixels are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from dicomzarr.dicom.model.values import shown_code
from dicomzarr.dicom.segmentation import lab16_to_srgb
from dicomzarr.plan.attributes import ImageAttributes, LevelAttributes, RescaleFactors
from dicomzarr.plan.plan import Channel
from dicomzarr.plan.views import stored_range

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dicomzarr.dicom.instance import Instance
    from dicomzarr.dicom.pixels.pixels import PixelDescription
    from dicomzarr.dicom.slide.level import SlideLevel
    from dicomzarr.dicom.slide.positions import OpticalPath
    from dicomzarr.plan.attributes import Affine

    Step = tuple[float, float, float]

_PATH_COLORS = ("0000FF", "00FF00", "FF0000", "00FFFF", "FF00FF", "FFFF00")
"""Shown for optical paths that name no colour, in turn."""

_HEXADECIMAL = re.compile("[0-9A-F]{6}")

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
"""By the code meaning of the illumination colour."""


def absent_tile(header: Instance) -> tuple[tuple[float, ...], float]:
    """(value of each sample of an absent tile, Zarr's scalar fill value): of grey values what no pixel plausibly is."""
    pixel = header.pixel
    white = 2**pixel.bits_stored - 1
    if pixel.samples == 1:
        nothing = 0.0 if header.segmentation is not None else stored_range(pixel)[0]
        absent = float("nan") if pixel.floating else nothing
        return (absent,), absent
    return absent_color(header, white)


def absent_color(header: Instance, white: int) -> tuple[tuple[float, ...], float]:
    """`absent_tile` of colours: RecommendedAbsentPixelCIELabValue (0048,0015), else white.

    Args:
        header: Of the level.
        white: The highest value of a sample.
    """
    if header.absent_pixel_lab is None:
        return (white,) * 3, white
    color = tuple(round(value / 255 * white) for value in lab16_to_srgb(header.absent_pixel_lab))
    return color, color[0] if len(set(color)) == 1 else white


def slide_attributes(parts: Sequence[Instance]) -> ImageAttributes:
    """What headers say of the image, the first for all but the scale of values."""
    header, scales = parts[0], {part.rescale for part in parts}
    return ImageAttributes(
        rescale=RescaleFactors(header.rescale.slope, header.rescale.intercept) if len(scales) == 1 else None,
        real_world_values=header.real_world if all(part.real_world == header.real_world for part in parts) else (),
        modality=shown_code(header.modality),
        image_type=tuple(map(shown_code, header.image_type)),
        segmentation=header.segmentation,
    )


def level_attributes(header: Instance, parts: Iterable[Instance], paths: Sequence[OpticalPath]) -> LevelAttributes:
    """What the header says of a level, which shows some of its optical paths."""
    shown = tuple(parts)
    profiles = tuple(part.icc_profile_of(paths) for part in shown)
    return LevelAttributes(
        sop_instance_uids=tuple(part.sop_instance_uid for part in shown),
        photometric_interpretation=header.pixel.photometric_interpretation,
        lossy=header.pixel.lossy,
        icc_profile=next((profile for profile in profiles if profile is not None), None),
        icc_profiles=profiles,
        available_transfer_syntax_uid=header.available_transfer_syntax_uid,
    )


def channels(pixels: Sequence[PixelDescription], paths: Sequence[OpticalPath]) -> tuple[Channel, ...]:
    """One channel for every optical path, three for every path of a colour image.

    Args:
        pixels: Those of each path: it may have fewer bits than others.
        paths: In the order of the channels.
    """
    return tuple(
        channel
        for number, (pixel, path) in enumerate(zip(pixels, paths, strict=True))
        for channel in _channels_of(pixel, path, number, len(paths))
    )


def _channels_of(pixel: PixelDescription, path: OpticalPath, number: int, count: int) -> Iterator[Channel]:
    window = stored_range(pixel)
    label = path_label(path, number)
    if pixel.samples == 1:
        inverted = pixel.photometric_interpretation == "MONOCHROME1"
        yield Channel(label, _color(path, number, count), window, inverted)
        return
    for name, color in (("R", "FF0000"), ("G", "00FF00"), ("B", "0000FF")):
        yield Channel(f"{label} {name}" if count > 1 else name, color, window)


def path_label(path: OpticalPath, number: int) -> str:
    """Its description, else its wavelength, else its identifier, else its place."""
    if path.description:
        return path.description
    if path.wavelength:
        return f"{path.wavelength:g} nm"
    return path.identifier or str(number)


def _color(path: OpticalPath, number: int, count: int) -> str:
    named = path.color if _HEXADECIMAL.fullmatch(path.color) else _NAMED_COLORS.get(path.color.lower())
    if named:
        return named
    return "FFFFFF" if count == 1 else _PATH_COLORS[number % len(_PATH_COLORS)]


def micrometres(millimetres: float) -> float:
    """Without the noise that the multiplication puts behind the twelfth digit."""
    return float(f"{millimetres * 1000:.12g}")


def steps(level: SlideLevel, finest: SlideLevel) -> Step:
    """(z, y, x) steps in micrometres; ratios to the finest level where DICOM gives no spacing."""
    plane_step = level.plane_step or finest.plane_step
    z = micrometres(abs(plane_step)) if plane_step else 1.0
    if finest.spacing is not None and level.spacing is not None:
        return z, micrometres(level.spacing[0]), micrometres(level.spacing[1])
    return (
        z,
        finest.grid.matrix_rows / level.grid.matrix_rows,
        finest.grid.matrix_columns / level.grid.matrix_columns,
    )


def shift(level: SlideLevel, finest: SlideLevel) -> tuple[float, float]:
    """(y, x) from the centre of the finest level's first pixel to that of this level, in the unit of `steps`.

    Corners of levels coincide, so centres of first pixels are half a difference of steps apart. Where the headers'
    origins differ by more than a pixel of this level, they say that the corners do not coincide, and how.
    """
    own, base = steps(level, finest)[1:], steps(finest, finest)[1:]
    half = [(coarse - fine) / 2 for coarse, fine in zip(own, base, strict=True)]
    apart = _origin_difference(level, finest)
    if all(abs(distance) <= step for distance, step in zip(apart, own, strict=True)):
        return half[0], half[1]
    return half[0] + apart[0], half[1] + apart[1]


def _origin_difference(level: SlideLevel, finest: SlideLevel) -> tuple[float, float]:
    """(y, x) from the finest level's origin to this level's, along its rows and columns, in micrometres."""
    axes = _axes(finest)
    one, other = finest.header.origin, level.header.origin
    if axes is None or one is None or other is None or finest.spacing is None:
        return 0.0, 0.0
    difference = np.subtract(other[:2], one[:2])
    along_row, along_column = axes
    return micrometres(float(along_column[:2] @ difference)), micrometres(float(along_row[:2] @ difference))


def affine(level: SlideLevel) -> Affine | None:
    """Pixel (column, row, plane) to the slide coordinate system, PS3.3 section C.8.12.2.1.1.

    The origin is taken for the centre of the first pixel of the finest level; where the header has none, the affine
    starts at 0, 0 (see `origin_known`).
    """
    axes = _axes(level)
    if axes is None or level.spacing is None:
        return None
    row_step, column_step = level.spacing
    x, y, bottom = level.header.origin or (0.0, 0.0, 0.0)
    matrix = np.eye(4)
    matrix[:3, 0] = axes[0] * column_step
    matrix[:3, 1] = axes[1] * row_step
    matrix[:3, 2] = (0.0, 0.0, level.plane_step or 1.0)
    matrix[:3, 3] = (x, y, level.plane_offsets[0] if level.plane_step else bottom)
    rows = (tuple(float(value) for value in row) for row in matrix)
    return tuple((a, b, c, d) for a, b, c, d in rows)


def origin_known(level: SlideLevel) -> bool:
    """Whether the header has a TotalPixelMatrixOriginSequence."""
    return level.header.origin is not None


def _axes(level: SlideLevel) -> tuple[np.ndarray, np.ndarray] | None:
    """(direction along a row, direction along a column), or None where they are missing."""
    cosines = level.header.orientation_slide
    return None if cosines is None else (np.array(cosines[:3]), np.array(cosines[3:]))
