"""A tiled image: one instance, or the parts of a concatenation joined (PS3.3 section C.7.6.16)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dicomzarr.dicom.slide.concatenation import added_up, frame_sequence, images_of, in_order
from dicomzarr.dicom.slide.layout import full_layout
from dicomzarr.dicom.slide.positions import OpticalPath
from dicomzarr.dicom.slide.spacing import PixelSize, pixel_size
from dicomzarr.dicom.slide.tiling import (
    FramePositions,
    FullTiling,
    SparseTiling,
    TileGrid,
    sparse_tiling,
)
from dicomzarr.errors import TilingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.instance import FrameRef, Instance
    from dicomzarr.dicom.slide.concatenation import FrameSequence

_Z_DECIMALS = 6
"""Focal planes nearer than this many decimals of their offset are one."""
_SAME_HEIGHT = 0.05
"""Part of the height of a stack by which its planes may lie elsewhere than those of another tile."""
_LARGEST_STEP = 0.1
"""Millimetres; focal planes are micrometres apart."""
_MOST_TILES = 2**20
"""Along one side; the largest slides have thousands."""
_FROM_ZERO = "positions of frames count from 0, and not from 1: tiles lie where they are meant."
_LOWEST = "they are taken to lie at the height where the total pixel matrix begins."
_STEP_IN_MICROMETRES = "SpacingBetweenSlices is in micrometres: as millimetres no focal planes are so far apart."
_NOT_FULL = "its frames are not all tiles of TILED_FULL: they lie where their own positions say."


@dataclass(frozen=True, slots=True, eq=False)
class TiledImage:
    """Tiles of one Total Pixel Matrix at one resolution."""

    frames: FrameSequence
    tiling: FullTiling | SparseTiling
    paths: tuple[OpticalPath, ...]
    planes: tuple[float, ...]
    """Z offset of each focal plane in the slide coordinate system, as the header gives it; no two are equal."""
    size: PixelSize
    """How large its pixels are."""
    spaced: bool = True
    """Whether offsets are known; else they only count the planes."""
    stepped: bool = False
    """Offsets are those of SpacingBetweenSlices, which is in millimetres."""
    heights: tuple[float, ...] = ()
    """Z offsets at which tiles of what is one plane were focused, where the scanner followed the tissue."""
    outside: int = 0
    """Frames that lie outside the Total Pixel Matrix, and are no tiles of it."""
    elsewhere: int = 0
    """Frames that say that they show another tile, optical path or plane than by TILED_FULL, which counts."""
    remarks: tuple[str, ...] = ()
    """What else is odd about how its frames lie, in sentences."""

    @property
    def header(self) -> Instance:
        """The first part: everything but frames is the same in all."""
        return self.frames.parts[0]

    @property
    def complete(self) -> bool:
        """Whether all parts are there, by their own account and by the count of tiles."""
        count = self.tiling.frame_count if isinstance(self.tiling, FullTiling) else 0
        return self.frames.complete and self.frames.end >= count

    def locate(self, path: int, plane: int, row: int, column: int) -> FrameRef | None:
        """The frame of a tile, None for a tile that the metadata says does not exist.

        Raises:
            MissingInstanceError: It is, or may be, in a part that the series lacks.
        """
        number = self.tiling.frame(path, plane, row, column)
        if number is not None:
            return self.frames.ref(number)
        if not self.frames.complete:
            raise self.frames.lost(f"the tile at row {row}, column {column}, if it exists,")
        return None


@dataclass(frozen=True, slots=True, eq=False)
class LooseTiles:
    """Tiles that fit no grid: the frames of an instance, or of a concatenation whose parts are alike."""

    frames: FrameSequence
    """Those that are there, numbered without gaps."""
    positions: FramePositions | None
    """Where each of the frames lies, as far as that is known; None where of some part nothing is."""
    paths: tuple[OpticalPath, ...]
    why: str
    """Why they fit no grid, in a sentence that names no instance."""

    @property
    def header(self) -> Instance:
        """The first part."""
        return self.frames.parts[0]


def tiled_images(instances: Iterable[Instance]) -> tuple[list[TiledImage], list[LooseTiles]]:
    """Join concatenations and index the tiles of every image; what fits no grid is beside those that do."""
    tiled: list[TiledImage] = []
    loose: list[LooseTiles] = []
    for parts in images_of(instances):
        try:
            tiled.append(tiled_image(parts))
        except TilingError as error:
            loose += _loose_tiles(parts, str(error))
    return tiled, loose


def tiled_image(parts: Iterable[Instance]) -> TiledImage:
    """Index the tiles of one image.

    Args:
        parts: An instance, or those of a concatenation.

    Raises:
        TilingError: Frame counts or positions contradict the tile grid; the message names no instance.
    """
    ordered = in_order(parts)
    header = ordered[0]
    _check_parts(ordered)
    frames = frame_sequence(ordered)
    grid = _grid(header)
    paths = _paths(ordered)
    positions = _all_positions(ordered, paths)
    remarks: tuple[str, ...] = ()
    if positions is not None and positions.counts_from_zero(grid):
        positions, remarks = positions.moved(1), (_FROM_ZERO,)
    told = _in_order(positions, frames)
    if _is_full(ordered, positions):
        try:
            full = _full(header, frames, grid, told, paths)
        except TilingError:
            if positions is None or positions.lacking:
                raise
            remarks = (*remarks, _NOT_FULL)
        else:
            elsewhere = 0 if told is None else _elsewhere(full, told, paths)
            return replace(full, elsewhere=elsewhere, remarks=full.remarks + remarks)
    if positions is None:
        raise TilingError(f"the metadata gives no position of {frames.end} frames that are placed one by one.")
    if positions.lacking:
        raise TilingError(positions.lacking)
    found = _sparse(header, frames, grid, positions, paths or (OpticalPath(""),))
    return replace(found, remarks=found.remarks + remarks)


def _loose_tiles(parts: Sequence[Instance], why: str) -> list[LooseTiles]:
    """Parts that differ share no array: each is a list of its own."""
    ordered = in_order(parts)
    alike = len(set(map(_sameness, ordered))) == 1
    return [
        LooseTiles(frame_sequence(group, gapless=True), _all_positions(group, paths), paths, why)
        for group in ([ordered] if alike else [[part] for part in ordered])
        for paths in (_paths(group),)
    ]


def _paths(parts: Sequence[Instance]) -> tuple[OpticalPath, ...]:
    return tuple(dict.fromkeys(path for part in parts for path in part.optical_paths))


def _check_parts(parts: Sequence[Instance]) -> None:
    """All parts of a concatenation are one image (C.7.6.16.2.2.4)."""
    if len(set(map(_sameness, parts))) > 1:
        raise TilingError(
            "the parts of their concatenation differ in the size of tiles or matrix, in bits, samples or organization."
        )


def _sameness(part: Instance) -> tuple[object, ...]:
    pixel = part.pixel
    layout = (pixel.shape, pixel.dtype, pixel.bits_stored, pixel.photometric_interpretation == "MONOCHROME1")
    return (layout, part.total_pixel_matrix, part.dimension_organization_type, part.pyramid_uid)


def _grid(header: Instance) -> TileGrid:
    pixel = header.pixel
    if header.total_pixel_matrix is None and header.number_of_frames > 1:
        raise TilingError("without TotalPixelMatrixRows and TotalPixelMatrixColumns nothing says how they lie.")
    rows, columns = header.total_pixel_matrix or (pixel.rows, pixel.columns)
    grid = TileGrid(rows, columns, pixel.rows, pixel.columns)
    if max(grid.rows, grid.columns) > _MOST_TILES:
        raise TilingError(f"{grid.rows} x {grid.columns} tiles are more than any slide has.")
    return grid


def _is_full(parts: Sequence[Instance], positions: FramePositions | None) -> bool:
    """TILED_FULL by name, or nothing at all that would place frames one by one (C.7.6.17.3)."""
    organization = parts[0].dimension_organization_type
    if organization == "TILED_FULL":
        return True
    nothing_places = not any(part.places_frames for part in parts)
    one_frame = len(parts) == 1 and parts[0].number_of_frames == 1
    return positions is None and (one_frame or (not organization and nothing_places))


def _in_order(positions: FramePositions | None, frames: FrameSequence) -> FramePositions | None:
    """What frames say of themselves, numbered through all parts; None where not all do, or parts lack between."""
    usable = positions is not None and not positions.lacking and frames.offsets == added_up(frames.parts)
    return positions if usable else None


def _full(
    header: Instance,
    frames: FrameSequence,
    grid: TileGrid,
    told: FramePositions | None,
    known: tuple[OpticalPath, ...],
) -> TiledImage:
    """Tiles in the order of TILED_FULL.

    Args:
        header: Of the image.
        frames: They.
        grid: Its rows and columns of tiles.
        told: What frames say of themselves: which path is the only one, and at which height planes lie, if nothing
            else says it.
        known: What that counts paths by.
    """
    may_lack_end = header.concatenation is not None and (not frames.complete or header.concatenation.total is None)
    layout = full_layout(header, frames.end, grid, may_lack_frames=may_lack_end)
    step, planes, paths = header.spacing_between_slices, layout.planes, layout.paths
    bottom = header.origin[2] if header.origin else 0.0
    stepped = planes > 1 and bool(step)
    remarks = [layout.remark] if layout.remark else []
    if stepped and step and abs(step) > _LARGEST_STEP:
        step /= 1000
        remarks.append(_STEP_IN_MICROMETRES)
    by_frames = None
    if told is not None:
        if len(paths) == 1 < len(known) and told.paths.min() == told.paths.max():
            paths = (known[told.paths[0]],)
        if not (stepped or (planes == 1 and bottom)):
            by_frames = _heights(told, grid.rows * grid.columns, planes)
    spaced = planes == 1 or stepped or by_frames is not None
    counted = (round(bottom + k * (step or 0.0), _Z_DECIMALS) if spaced else float(k) for k in range(planes))
    return TiledImage(
        frames,
        FullTiling(grid, len(paths), planes),
        paths,
        by_frames or tuple(counted),
        pixel_size(header),
        spaced=spaced,
        stepped=stepped,
        remarks=tuple(remarks),
    )


def _heights(positions: FramePositions, tiles: int, planes: int) -> tuple[float, ...] | None:
    """The height of each plane of TILED_FULL, where all of its frames say the same and planes ascend as they should."""
    plane = np.arange(len(positions)) // tiles % planes
    low, high = np.full(planes, np.inf), np.full(planes, -np.inf)
    np.minimum.at(low, plane, positions.z_offsets)
    np.maximum.at(high, plane, positions.z_offsets)
    found = np.round(low, _Z_DECIMALS)
    is_told = np.array_equal(found, np.round(high, _Z_DECIMALS)) and bool((np.diff(found) > 0).all())
    return tuple(found.tolist()) if is_told else None


def _elsewhere(full: TiledImage, positions: FramePositions, paths: tuple[OpticalPath, ...]) -> int:
    """How many frames say that they show another tile, path or plane than they do in the order of TILED_FULL.

    Args:
        full: The image in that order.
        positions: Of its frames, in their order.
        paths: What they count paths by.
    """
    grid, count = full.tiling.grid, full.tiling.grid.rows * full.tiling.grid.columns
    place, tile = np.divmod(np.arange(len(positions)), count)
    row, column = np.divmod(tile, grid.columns)
    same = (positions.rows == row * grid.tile_rows + 1) & (positions.columns == column * grid.tile_columns + 1)
    path, plane = np.divmod(place, len(full.planes))
    if set(paths).issuperset(full.paths):
        same &= positions.paths == _renumber(full.paths, paths)[path]
    upwards = 1 if full.planes[0] <= full.planes[-1] else -1
    steps = upwards * (positions.z_offsets[count:] - positions.z_offsets[:-count])
    same[count:] &= ~((steps < 0) & (plane[count:] > 0))
    return int(np.count_nonzero(~same))


def _sparse(
    header: Instance,
    frames: FrameSequence,
    grid: TileGrid,
    positions: FramePositions,
    paths: tuple[OpticalPath, ...],
) -> TiledImage:
    within = positions.within(grid)
    if not within.any():
        raise TilingError(f"all {len(within)} frames lie outside the total pixel matrix.")
    positions = positions.at(within)
    planes, plane_of_frame = _planes(header, positions)
    unplaced = int(np.count_nonzero(np.isnan(positions.z_offsets)))
    told = len(planes) > 1 and unplaced > 0
    remarks = (f"{unplaced} frames have no ZOffsetInSlideCoordinateSystem: {_LOWEST}",) if told else ()
    heights: tuple[float, ...] = ()
    if len(planes) > 1 and (stack := _focused_stack(positions, planes, plane_of_frame)) is not None:
        heights = planes
        planes, plane_of_frame = stack
    used = np.flatnonzero(np.bincount(positions.paths))
    renumbered = FramePositions(
        positions.rows,
        positions.columns,
        positions.z_offsets,
        np.searchsorted(used, positions.paths),
    )
    numbers = np.concatenate(
        [
            np.arange(offset + 1, offset + part.number_of_frames + 1)
            for offset, part in zip(frames.offsets, frames.parts, strict=True)
        ]
    )
    outside = int(np.count_nonzero(~within))
    tiling = sparse_tiling(
        grid,
        renumbered,
        plane_of_frame,
        paths=len(used),
        planes=len(planes),
        first_frames=numbers[within],
    )
    shown = tuple(paths[index] for index in used)
    return TiledImage(
        frames, tiling, shown, planes, pixel_size(header), heights=heights, outside=outside, remarks=remarks
    )


def _focused_stack(
    positions: FramePositions, planes: tuple[float, ...], plane_of_frame: npt.NDArray[np.int64]
) -> tuple[tuple[float, ...], npt.NDArray[np.int64]] | None:
    """The planes of each tile counted from its own lowest, where a scanner followed the tissue; None where it did not.

    Each tile has as many then, at the same distances, and most of the planes that there are have none of it.
    """
    tiles = np.stack([positions.paths, positions.rows, positions.columns])
    distinct, tile_of_frame = np.unique(tiles, axis=1, return_inverse=True)
    count, rest = divmod(len(positions), distinct.shape[1])
    if rest or 2 * count > len(planes):
        return None
    order = np.lexsort((plane_of_frame, tile_of_frame.reshape(-1)))
    if (np.bincount(tile_of_frame.reshape(-1)) != count).any():
        return None
    heights = np.array(planes)[plane_of_frame[order]].reshape(-1, count)
    distances = heights - heights[:, :1]
    if not np.allclose(distances, distances[0], rtol=0, atol=_SAME_HEIGHT * np.ptp(distances[0])):
        return None
    own = np.empty_like(plane_of_frame)
    own[order] = np.tile(np.arange(count), len(heights))
    return tuple(np.round(planes[0] + distances.mean(axis=0), _Z_DECIMALS).tolist()), own


def _planes(header: Instance, positions: FramePositions) -> tuple[tuple[float, ...], npt.NDArray[np.int64]]:
    """Distinct focal planes, lowest first, and the plane of each frame."""
    told = positions.z_offsets[~np.isnan(positions.z_offsets)]
    is_one = told.size > 0 and told.min() == told.max()
    bottom = told[0] if is_one else header.origin[2] if header.origin else 0.0
    offsets = np.where(np.isnan(positions.z_offsets), bottom, positions.z_offsets)
    distinct, inverse = np.unique(np.round(offsets, _Z_DECIMALS), return_inverse=True)
    return tuple(distinct.tolist()), inverse.astype(np.int64)


def _all_positions(parts: Sequence[Instance], paths: tuple[OpticalPath, ...]) -> FramePositions | None:
    """The positions of all parts in frame order; None unless every part has them."""
    found = [part.positions for part in parts if part.positions is not None]
    if len(found) != len(parts):
        return None
    return FramePositions(
        rows=np.concatenate([each.rows for each in found]),
        columns=np.concatenate([each.columns for each in found]),
        z_offsets=np.concatenate([each.z_offsets for each in found]),
        paths=np.concatenate(
            [_renumber(part.optical_paths, paths)[each.paths] for part, each in zip(parts, found, strict=True)]
        ),
        lacking=next((each.lacking for each in found if each.lacking), ""),
    )


def _renumber(own: tuple[OpticalPath, ...], joined: tuple[OpticalPath, ...]) -> npt.NDArray[np.int64]:
    """The place in ``joined`` of each of a part's own paths, and at the end -1, of which there is none."""
    places = {path: place for place, path in enumerate(joined)}
    return np.array([*([places[path] for path in own] or [0]), -1], dtype=np.int64)
