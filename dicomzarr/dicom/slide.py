"""Instances of a slide series to pyramids of levels and associated images (PS3.3 section C.8.12)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dicomzarr.dicom.tiled import TiledImage, tiled_images
from dicomzarr.dicom.tiling import FullTiling

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from dicomzarr.dicom.instance import FrameRef, Instance
    from dicomzarr.dicom.positions import OpticalPath
    from dicomzarr.dicom.tiling import TileGrid

FLAVORS = ("LABEL", "OVERVIEW", "THUMBNAIL", "LOCALIZER")
"""Values of ImageType that mark an image as no level of the pyramid (section C.8.12.4.1.1)."""

_SAME_SPACING = 1e-3
"""Relative difference below which two pixel spacings are one."""
_SAME_EXTENT = 2.0
"""Levels of a pyramid show the same area; Philips pads coarse levels, hence the width of this."""
_MICROMETRE_STEP = 0.1
"""Focal planes are micrometres apart: a larger number is an offset in micrometres, not millimetres."""


@dataclass(frozen=True, slots=True, eq=False)
class SlideLevel:
    """One resolution: tiled images that complement one another in paths, planes or tiles."""

    images: tuple[TiledImage, ...]

    @property
    def header(self) -> Instance:
        """The header that speaks for the level."""
        return self.images[0].header

    @property
    def grid(self) -> TileGrid:
        """The tile grid, the same for all images of the level."""
        return self.images[0].tiling.grid

    @property
    def paths(self) -> tuple[OpticalPath, ...]:
        """Optical paths: in the order of the sequence, of several instances by identifier."""
        found = tuple(dict.fromkeys(path for image in self.images for path in image.paths))
        one_names_all = any(set(image.header.optical_paths) >= set(found) for image in self.images)
        if len(self.images) == 1:
            return found
        if one_names_all:
            declared = next(
                image.header.optical_paths for image in self.images if set(image.header.optical_paths) >= set(found)
            )
            return tuple(path for path in declared if path in found)
        return tuple(sorted(found, key=_by_identifier))

    @property
    def planes(self) -> tuple[float, ...]:
        """Distinct z offsets, ascending, as the headers give them."""
        images = self.images
        if len(images) == 1:
            return images[0].planes
        return tuple(sorted({plane for image in images for plane in image.planes}))

    @property
    def spacing(self) -> tuple[float, float] | None:
        """(row spacing, column spacing) in millimetres, None where DICOM gives none."""
        return level_spacing(self.header)

    @property
    def plane_offsets(self) -> tuple[float, ...]:
        """Z offset of each focal plane in millimetres; older headers give micrometres."""
        step = _mean_step(self.planes)
        stepped = any(isinstance(image.tiling, FullTiling) and len(image.planes) > 1 for image in self.images)
        if stepped or abs(step) <= _MICROMETRE_STEP:
            return self.planes
        return tuple(plane / 1000 for plane in self.planes)

    @property
    def plane_spacing(self) -> float | None:
        """Mean distance of focal planes in millimetres, None for one plane or an unknown distance."""
        return abs(_mean_step(self.plane_offsets)) or None

    def sources(self) -> SlideTiles:
        """An index of the tiles over all images of the level."""
        return SlideTiles(
            tuple(
                tuple(
                    tuple(
                        (image, image.paths.index(path), image.planes.index(plane))
                        for image in self.images
                        if path in image.paths and plane in image.planes
                    )
                    for plane in self.planes
                )
                for path in self.paths
            )
        )


@dataclass(frozen=True, slots=True, eq=False)
class SlideTiles:
    """Which frame shows the tile at (path, plane, row, column) of a level."""

    _candidates: tuple[tuple[tuple[tuple[TiledImage, int, int], ...], ...], ...]

    def locate(self, path: int, plane: int, row: int, column: int) -> FrameRef | None:
        """The frame of a tile; None where the metadata says that there is none.

        Raises:
            MissingInstanceError: The tile is in an instance that the series lacks.
        """
        for image, own_path, own_plane in self._candidates[path][plane]:
            frame = image.locate(own_path, own_plane, row, column)
            if frame is not None:
                return frame
        return None


@dataclass(frozen=True, slots=True, eq=False)
class Pyramid:
    """Levels of one image, finest first."""

    levels: tuple[SlideLevel, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Slide:
    """What a slide series holds."""

    pyramids: tuple[Pyramid, ...]
    associated: tuple[tuple[str, SlideLevel], ...]
    """(flavour in lower case, image) of label, overview and thumbnail."""


def assemble_slide(instances: Iterable[Instance]) -> Slide:
    """Group the instances of a slide series.

    Raises:
        TilingError: Tiles fit no grid.
    """
    images = sorted(tiled_images(instances), key=_stable_order)
    levels = _join_levels([image for image in images if flavor(image.header) is None])
    return Slide(
        pyramids=tuple(_stack_pyramids(levels)),
        associated=tuple(
            (str(flavor(image.header)).lower(), SlideLevel((image,)))
            for image in images
            if flavor(image.header) is not None
        ),
    )


def flavor(header: Instance) -> str | None:
    """LABEL, OVERVIEW, THUMBNAIL or LOCALIZER; None for a level of the pyramid."""
    values = header.image_type[2:3] or header.image_type
    return next((value for value in values if value in FLAVORS), None)


def level_spacing(header: Instance) -> tuple[float, float] | None:
    """PixelSpacing, else the imaged volume over the matrix; (y, x) in millimetres."""
    if header.pixel_spacing is not None:
        return header.pixel_spacing
    height, width = header.imaged_volume
    rows, columns = header.total_pixel_matrix or (header.pixel.rows, header.pixel.columns)
    if not height or not width or min(height, width) <= 0:
        return None
    return (height / rows, width / columns)


def _mean_step(planes: tuple[float, ...]) -> float:
    return (planes[-1] - planes[0]) / max(1, len(planes) - 1)


def _stable_order(image: TiledImage) -> tuple[int, str]:
    return (image.header.instance_number, image.frames.uid)


def _by_identifier(path: OpticalPath) -> tuple[bool, int, str, str, float]:
    number = int(path.identifier) if path.identifier.isdecimal() else 0
    return (
        not path.identifier.isdecimal(),
        number,
        path.identifier,
        path.description,
        path.wavelength or 0.0,
    )


@dataclass(slots=True)
class _Joining:
    """A level that still takes images."""

    images: list[TiledImage]
    tiles: dict[tuple[OpticalPath, float], list[npt.NDArray[np.int64] | None]] = field(default_factory=dict)

    def takes(self, image: TiledImage) -> bool:
        first = self.images[0].header
        return (
            _level_key(first) == _level_key(image.header)
            and _same_spacing(level_spacing(first), level_spacing(image.header))
            and _near(first, image.header)
            and not any(self._overlaps(place, own) for place, own in _cover(image).items())
        )

    def add(self, image: TiledImage) -> None:
        if image not in self.images:
            self.images.append(image)
        for place, own in _cover(image).items():
            self.tiles.setdefault(place, []).append(own)

    def _overlaps(self, place: tuple[OpticalPath, float], own: npt.NDArray[np.int64] | None) -> bool:
        return any(
            own is None or other is None or bool(np.intersect1d(own, other).size) for other in self.tiles.get(place, [])
        )


def _join_levels(images: list[TiledImage]) -> list[SlideLevel]:
    """Images that complement one another become one level; a second of the same stays apart."""
    joining: list[_Joining] = []
    for image in images:
        level = next((level for level in joining if level.takes(image)), None)
        if level is None:
            level = _Joining([image])
            joining.append(level)
        level.add(image)
    return [SlideLevel(tuple(level.images)) for level in joining]


def _cover(
    image: TiledImage,
) -> dict[tuple[OpticalPath, float], npt.NDArray[np.int64] | None]:
    """The tiles an image holds of each path and plane; None means all."""
    tiling = image.tiling
    places = [(path, plane) for path in image.paths for plane in image.planes]
    if isinstance(tiling, FullTiling):
        return dict.fromkeys(places)
    per_place = tiling.grid.rows * tiling.grid.columns
    ordinal, tiles = np.divmod(tiling.keys, per_place)
    cuts = np.searchsorted(ordinal, np.arange(1, len(places)))
    return dict(zip(places, np.split(tiles, cuts), strict=True))


def _level_key(header: Instance) -> tuple[object, ...]:
    pixel = header.pixel
    matrix = header.total_pixel_matrix or (pixel.rows, pixel.columns)
    return (*_pyramid_key(header), matrix, pixel.rows, pixel.columns)


def _pyramid_key(header: Instance) -> tuple[object, ...]:
    pixel = header.pixel
    return (
        header.pyramid_uid,
        header.extended_depth_of_field,
        pixel.samples,
        pixel.dtype,
        pixel.bits_stored,
    )


def _same_spacing(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(abs(a - b) <= _SAME_SPACING * max(a, b) for a, b in zip(one, other, strict=True))


def _near(one: Instance, other: Instance) -> bool:
    """Origins within half a tile of the finer image; an absent origin is near to any."""
    if one.origin is None or other.origin is None:
        return True
    tiles = [
        max(spacing) * max(header.pixel.rows, header.pixel.columns)
        for header in (one, other)
        if (spacing := level_spacing(header)) is not None
    ]
    tolerance = 0.5 * min(tiles, default=0.0)
    return all(abs(a - b) <= tolerance for a, b in zip(one.origin[:2], other.origin[:2], strict=True))


def _stack_pyramids(levels: list[SlideLevel]) -> list[Pyramid]:
    """Stack levels of one area, finest first, into as many pyramids as it takes."""
    stacks: list[list[SlideLevel]] = []
    for level in sorted(levels, key=_finest_first):
        stack = next((stack for stack in stacks if _belongs(stack, level)), None)
        if stack is None:
            stacks.append([level])
        else:
            stack.append(level)
    return [Pyramid(tuple(stack)) for stack in stacks]


def _finest_first(level: SlideLevel) -> tuple[bool, int, int]:
    grid = level.grid
    return (level.header.extended_depth_of_field, -grid.matrix_columns, -grid.matrix_rows)


def _belongs(stack: list[SlideLevel], level: SlideLevel) -> bool:
    first, last = stack[0], stack[-1]
    return (
        _pyramid_key(first.header) == _pyramid_key(level.header)
        and set(first.paths) == set(level.paths)
        and _same_planes(first.planes, level.planes)
        and _finest_first(last) != _finest_first(level)
        and _near(first.header, level.header)
        and _same_area(first, level)
    )


def _same_planes(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """As many focal planes, at about the same offsets where there are several."""
    if len(one) != len(other):
        return False
    return len(one) == 1 or np.allclose(one, other, rtol=1e-3, atol=1e-4)


def _same_area(one: SlideLevel, other: SlideLevel) -> bool:
    """Whether two levels show about the same area; one coarse pixel of rounding is allowed."""
    if one.spacing is None or other.spacing is None:
        return one.spacing is other.spacing
    sizes = [
        (level.grid.matrix_rows * step[0], level.grid.matrix_columns * step[1])
        for level, step in ((one, one.spacing), (other, other.spacing))
    ]
    return all(max(a, b) <= _SAME_EXTENT * (min(a, b) + step) for a, b, step in zip(*sizes, other.spacing, strict=True))
