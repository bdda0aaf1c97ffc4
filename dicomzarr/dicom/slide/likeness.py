"""Whether images of a slide are of one kind, size, place and scan: what levels and pyramids are joined by."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dicomzarr.dicom.slide.positions import OpticalPath

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.dicom.instance import Instance
    from dicomzarr.dicom.slide.level import SlideLevel
    from dicomzarr.dicom.slide.tiled import TiledImage

_UNTOLD = OpticalPath("")
"""The optical path of a header that has none."""
_SAME_SPACING = 1e-3
"""Relative difference below which two pixel spacings are one."""
_SAME_WAVE = 0.01
"""Relative difference up to which two wavelengths are one."""
_SAME_DIRECTION = 1e-3
"""Largest difference of direction cosines that are one."""
_COARSER = 1.05
"""A level of a pyramid is at least so much coarser than the one before."""
_SAME_EXTENT = 1.1
"""Levels of a pyramid show the same area, but for rounding; Philips pads each to whole tiles."""


def level_key(header: Instance) -> tuple[object, ...]:
    """What is the same in all images of a level."""
    pixel = header.pixel
    return (*kind_key(header), matrix_of(header), pixel.rows, pixel.columns)


def matrix_of(header: Instance) -> tuple[int, int]:
    """Rows and columns of its total pixel matrix."""
    return header.total_pixel_matrix or (header.pixel.rows, header.pixel.columns)


def kind_key(header: Instance) -> tuple[object, ...]:
    """What is the same in all levels of a pyramid."""
    return (header.extended_depth_of_field, *pixel_key(header))


def pixel_key(header: Instance) -> tuple[object, ...]:
    """What is the same of pixels that share an array."""
    pixel, kind = header.pixel, header.segmentation.kind if header.segmentation else ""
    if pixel.samples > 1:
        return (pixel.samples, pixel.dtype, pixel.bits_stored)
    return (pixel.dtype, pixel.photometric_interpretation, kind)


def same_spacing(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    """Whether pixels are of one size; what is not known is another than any that is."""
    if one is None or other is None:
        return one is other
    return all(abs(a - b) <= _SAME_SPACING * max(a, b) for a, b in zip(one, other, strict=True))


def origins_within(one: TiledImage, other: TiledImage, *, pixels: float) -> bool:
    """Whether origins lie within so many pixels of the finer image; an absent origin is near to any."""
    first, second = one.header.origin, other.header.origin
    if first is None or second is None:
        return True
    spacings = [max(spacing) for image in (one, other) if (spacing := image.size.spacing) is not None]
    tolerance = pixels * min(spacings, default=0.0)
    return all(abs(a - b) <= tolerance for a, b in zip(first[:2], second[:2], strict=True))


def same_directions(one: Instance, other: Instance) -> bool:
    """Whether rows and columns run the same ways; a header that does not say it goes with any."""
    first, second = one.orientation_slide, other.orientation_slide
    if first is None or second is None or first == second:
        return True
    return all(abs(a - b) <= _SAME_DIRECTION for a, b in zip(first, second, strict=True))


def is_one_pyramid(one: Instance, other: Instance) -> bool:
    """Whether PyramidUID says so."""
    return one.pyramid_uid == other.pyramid_uid is not None


def may_be_one_pyramid(one: Instance, other: Instance) -> bool:
    """Whether PyramidUID does not say otherwise."""
    return one.pyramid_uid is None or other.pyramid_uid is None or one.pyramid_uid == other.pyramid_uid


def same_meaning(one: Instance, other: Instance) -> bool:
    """Whether values stand for the same: of parametric maps one quantity, of label maps the segments of the first."""
    first, second = one.segmentation, other.segmentation
    if first is None or second is None or not second.is_label_map:
        return one.quantity == other.quantity
    named = {(each.number, each.label) for each in first.segments}
    return named.issuperset((each.number, each.label) for each in second.segments)


def may_be_one_slide(one: Instance, other: Instance) -> bool:
    """Whether ContainerIdentifier does not say otherwise, or PyramidUID knows better."""
    glass, other_glass = one.acquisition[0], other.acquisition[0]
    return not (glass and other_glass) or glass == other_glass or is_one_pyramid(one, other)


def same_paths(one: SlideLevel, other: SlideLevel) -> bool:
    """Whether levels show the same optical paths; of colours, some writers name the only one anew for each level.

    Of masks, the other may have fewer: a segment so small that it has no pixel in a coarser level has no tile there.
    """
    known = known_paths(other.paths, one.paths, one.header)
    return len(known) == len(other.paths) and (len(known) == len(one.paths) or _leaves_out_empty(other))


def _leaves_out_empty(level: SlideLevel) -> bool:
    """Whether what has no tiles is empty: of masks (PS3.3 section C.8.20), unless a part lacks that may have some."""
    segmentation = level.header.segmentation
    is_mask = segmentation is not None and not segmentation.is_label_map
    return is_mask and all(image.frames.complete for image in level.images)


def known_paths(
    paths: Sequence[OpticalPath], others: Sequence[OpticalPath], header: Instance
) -> dict[OpticalPath, OpticalPath]:
    """As `matched`; of colours also the only path there is, where nothing but its name tells it from the other."""
    found = matched(paths, others)
    if found or header.pixel.samples == 1 or not len(paths) == len(others) == 1:
        return found
    unnamed = {replace(path, identifier="") for path in (*paths, *others)} - {_UNTOLD}
    return {paths[0]: others[0]} if len(unnamed) <= 1 else {}


def matched(paths: Sequence[OpticalPath], others: Sequence[OpticalPath]) -> dict[OpticalPath, OpticalPath]:
    """The one among others that each path is, as far as there is one."""
    left = dict.fromkeys(others)
    found: dict[OpticalPath, OpticalPath] = {}
    for path in paths:
        own = path if path in left else next((each for each in left if _is_one_path(path, each)), None)
        if own is not None:
            found[path] = own
            del left[own]
    return found


def _is_one_path(one: OpticalPath, other: OpticalPath) -> bool:
    """Whether two levels describe one path, of which one may say more, or round."""
    first, second = one.wavelength, other.wavelength
    return (
        one.identifier == other.identifier
        and one.occurrence == other.occurrence
        and (one.description.casefold() == other.description.casefold() or not one.description or not other.description)
        and (first is None or second is None or abs(first - second) <= _SAME_WAVE * max(first, second))
    )


def is_coarser(fine: SlideLevel, level: SlideLevel) -> bool:
    """Whether a level is a next one; by size where DICOM gives no spacing."""
    if fine.spacing is None or level.spacing is None:
        return level.grid.matrix_columns * _COARSER <= max(fine.grid.matrix_columns, 1) or (
            level.grid.matrix_rows * _COARSER <= fine.grid.matrix_rows
        )
    times = [coarse / step for coarse, step in zip(level.spacing, fine.spacing, strict=True)]
    return max(times) >= _COARSER and all(
        each >= _COARSER or abs(size / max(times) - own) < 1  # a side of few pixels cannot become shorter
        for each, size, own in zip(times, _matrix(fine), _matrix(level), strict=True)
    )


def _matrix(level: SlideLevel) -> tuple[int, int]:
    return level.grid.matrix_rows, level.grid.matrix_columns


def is_one_size(one: SlideLevel, other: SlideLevel) -> bool:
    """Whether matrices are of about one size."""
    return all(max(a, b) < _COARSER * min(a, b) for a, b in zip(_matrix(one), _matrix(other), strict=True))


def same_planes(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """As many focal planes, at about the same offsets where there are several."""
    if len(one) != len(other):
        return False
    return len(one) == 1 or np.allclose(one, other, rtol=1e-3, atol=1e-4)


def area_ratio(one: SlideLevel, other: SlideLevel) -> float:
    """By how much the sides of the areas that two levels show differ; 1 where they do not, or it is not known."""
    if one.spacing is None or other.spacing is None:
        return 1.0
    ratios = [a / b for a, b in zip(_extent(one, one.spacing), _extent(other, other.spacing), strict=True)]
    return max(max(ratio, 1 / ratio) for ratio in ratios)


def _extent(level: SlideLevel, spacing: tuple[float, float]) -> tuple[float, float]:
    return level.grid.matrix_rows * spacing[0], level.grid.matrix_columns * spacing[1]


def same_area(one: SlideLevel, other: SlideLevel) -> bool:
    """Whether two levels show about the same area; one coarse pixel of rounding is allowed, or padding of tiles."""
    if one.spacing is None or other.spacing is None:
        return one.spacing is other.spacing and _same_shape(one, other)
    sizes = (_extent(one, one.spacing), _extent(other, other.spacing))
    return all(
        max(a, b) <= _SAME_EXTENT * (min(a, b) + step) or -before < b - a < after
        for a, b, step, before, after in zip(
            *sizes, other.spacing, _most_padding(one, other), _most_padding(other, one), strict=True
        )
    )


def _same_shape(one: SlideLevel, other: SlideLevel) -> bool:
    """Whether matrices have about the same proportions: all that there is where nothing says how large pixels are."""
    (rows, columns), (own_rows, own_columns) = _matrix(one), _matrix(other)
    down, across = rows / own_rows, columns / own_columns
    rounded = abs(rows / across - own_rows) < 1 or abs(columns / down - own_columns) < 1
    return rounded or 1 / _SAME_EXTENT <= down / across <= _SAME_EXTENT


def _most_padding(level: SlideLevel, other: SlideLevel) -> tuple[float, float]:
    """Less than which a level of nothing but whole tiles, of the size of the other's, may be larger than the slide."""
    grid, spacing = level.grid, level.spacing or (0.0, 0.0)
    tile = (grid.tile_rows, grid.tile_columns)
    if tile != (other.grid.tile_rows, other.grid.tile_columns) or any(np.remainder(_matrix(level), tile)):
        return 0.0, 0.0
    return tile[0] * spacing[0], tile[1] * spacing[1]
