"""A tiled image: one instance, or the parts of a concatenation joined (PS3.3 section C.7.6.16)."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from dicomzarr.dicom.instance import FrameRef
from dicomzarr.dicom.slide.positions import OpticalPath
from dicomzarr.dicom.slide.tiling import (
    FramePositions,
    FullTiling,
    SparseTiling,
    TileGrid,
    sparse_tiling,
)
from dicomzarr.errors import MissingInstanceError, TilingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.instance import Instance

_Z_DECIMALS = 6
"""Focal planes nearer than this many decimals of their offset are one."""
_MOST_PLANES = 2**16
_MOST_PATHS = 2**16
_MOST_TILES = 2**20
"""Along one side; the largest slides have thousands."""


@dataclass(frozen=True, slots=True)
class FrameSequence:
    """The frames of a concatenation, numbered through its parts; one part is the ordinary case."""

    uid: str
    """ConcatenationUID, or the SOP Instance UID of the only part."""
    offsets: tuple[int, ...]
    """Frames before each part, ascending."""
    parts: tuple[Instance, ...]
    complete: bool
    """No part is known to be lost."""

    @property
    def end(self) -> int:
        """The number of the last frame that a part holds."""
        return self.offsets[-1] + self.parts[-1].number_of_frames

    def ref(self, number: int) -> FrameRef:
        """The frame of this number within the concatenation.

        Raises:
            MissingInstanceError: The part that should hold it is not in the series.
        """
        index = bisect_right(self.offsets, number - 1) - 1
        if index >= 0:
            local = number - self.offsets[index]
            if local <= self.parts[index].number_of_frames:
                return FrameRef(self.parts[index], local)
        raise self.lost(f"frame {number}")

    def lost(self, what: str) -> MissingInstanceError:
        """The error for what a lost part may hold."""
        return MissingInstanceError(
            f"{self.parts[0].series}, concatenation {self.uid}: {what} is in a part that the series lacks.",
            remedy="Send the missing instance to the server.",
        )


@dataclass(frozen=True, slots=True, eq=False)
class TiledImage:
    """Tiles of one Total Pixel Matrix at one resolution."""

    frames: FrameSequence
    tiling: FullTiling | SparseTiling
    paths: tuple[OpticalPath, ...]
    planes: tuple[float, ...]
    """Z offset of each focal plane in the slide coordinate system, as the header gives it; no two are equal."""
    spaced: bool = True
    """Whether offsets are known; else they only count the planes."""
    heights: tuple[float, ...] = ()
    """Z offsets at which tiles of what is one plane were focused, where the scanner followed the tissue."""
    outside: int = 0
    """Frames that lie outside the Total Pixel Matrix, and are no tiles of it."""
    elsewhere: int = 0
    """Frames whose own positions are not those that they have by TILED_FULL, which counts."""

    @property
    def header(self) -> Instance:
        """The first part: everything but frames is the same in all."""
        return self.frames.parts[0]

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
    groups: defaultdict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        groups[_uid(instance)].append(instance)
    tiled: list[TiledImage] = []
    loose: list[LooseTiles] = []
    for parts in groups.values():
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
    ordered = _in_order(parts)
    header = ordered[0]
    _check_parts(ordered)
    frames = _frames(ordered, _offsets(ordered))
    grid = _grid(header)
    paths = _paths(ordered)
    positions = _all_positions(ordered, paths)
    if _is_full(ordered, positions):
        full = _full(header, frames, grid)
        return full if positions is None else replace(full, elsewhere=_elsewhere(positions, frames, grid))
    if positions is None:
        raise TilingError(f"the metadata gives no position of {frames.end} frames that are placed one by one.")
    if positions.lacking:
        raise TilingError(positions.lacking)
    return _sparse(header, frames, grid, positions, paths or (OpticalPath(""),))


def _loose_tiles(parts: Sequence[Instance], why: str) -> list[LooseTiles]:
    """Parts that differ share no array: each is a list of its own."""
    ordered = _in_order(parts)
    alike = len(set(map(_sameness, ordered))) == 1
    return [
        LooseTiles(_frames(group, _added(group)), _all_positions(group, paths), paths, why)
        for group in ([ordered] if alike else [[part] for part in ordered])
        for paths in (_paths(group),)
    ]


def _uid(part: Instance) -> str:
    return part.concatenation.uid if part.concatenation else part.sop_instance_uid


def _in_order(parts: Iterable[Instance]) -> list[Instance]:
    return sorted(
        parts, key=lambda part: (part.concatenation.number if part.concatenation else 0, part.sop_instance_uid)
    )


def _frames(parts: Sequence[Instance], offsets: tuple[int, ...]) -> FrameSequence:
    return FrameSequence(_uid(parts[0]), offsets, tuple(parts), _complete(parts))


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


def _complete(parts: Sequence[Instance]) -> bool:
    numbered = [part.concatenation for part in parts if part.concatenation]
    total = max((part.total or 0 for part in numbered), default=0) or len(numbered)
    return len(numbered) == total and _numbered_through([part.number for part in numbered])


def _numbered_through(numbers: Sequence[int]) -> bool:
    return list(numbers) == list(range(1, len(numbers) + 1))


def _added(parts: Sequence[Instance]) -> tuple[int, ...]:
    """Frames before each part, by adding up."""
    return tuple(accumulate((part.number_of_frames for part in parts[:-1]), initial=0))


def _offsets(parts: Sequence[Instance]) -> tuple[int, ...]:
    """Frames before each part; by their own account, else by adding up when none is missing."""
    counts = [part.number_of_frames for part in parts]
    told = [part.concatenation.frame_offset if part.concatenation else 0 for part in parts]
    numbers = [part.concatenation.number if part.concatenation else 1 for part in parts]
    if None in told and not _numbered_through(numbers):
        raise TilingError("their concatenation lacks parts and does not say where the others begin.")
    offsets = [a if t is None else t for a, t in zip(_added(parts), told, strict=True)]
    ends = [offset + count for offset, count in zip(offsets, counts, strict=True)]
    if min(offsets) < 0 or any(end > begin for end, begin in zip(ends[:-1], offsets[1:], strict=True)):
        raise TilingError("the parts of their concatenation overlap or are out of order.")
    return tuple(offsets)


def _full(header: Instance, frames: FrameSequence, grid: TileGrid) -> TiledImage:
    paths = _full_paths(header, frames.end)
    planes = _full_planes(header, frames.end, grid.rows * grid.columns * len(paths))
    tiling = FullTiling(grid, len(paths), planes)
    may_lack_end = header.concatenation is not None and (not frames.complete or header.concatenation.total is None)
    if frames.end > tiling.frame_count or (frames.end < tiling.frame_count and not may_lack_end):
        raise TilingError(
            f"{frames.end} frames are not the {tiling.frame_count} tiles that there should be ({len(paths)} optical "
            f"paths, {planes} focal planes, {grid.rows} rows and {grid.columns} columns of tiles)."
        )
    step = header.spacing_between_slices
    if planes > 1 and not step:
        return TiledImage(frames, tiling, paths, tuple(map(float, range(planes))), spaced=False)
    bottom = header.origin[2] if header.origin else 0.0
    offsets = tuple(round(bottom + k * (step or 0.0), _Z_DECIMALS) for k in range(planes))
    return TiledImage(frames, tiling, paths, offsets)


def _elsewhere(positions: FramePositions, frames: FrameSequence, grid: TileGrid) -> int:
    """How many frames say that they lie elsewhere than in the order of TILED_FULL."""
    if positions.lacking or frames.offsets != _added(frames.parts):
        return 0
    row, column = np.divmod(np.arange(len(positions)) % (grid.rows * grid.columns), grid.columns)
    same = (positions.rows == row * grid.tile_rows + 1) & (positions.columns == column * grid.tile_columns + 1)
    return int(np.count_nonzero(~same))


def _full_planes(header: Instance, frames: int, tiles: int) -> int:
    """TotalPixelMatrixFocalPlanes, else as many as the frames make up when the optical paths are told."""
    if header.focal_planes is not None:
        planes = header.focal_planes
    elif frames <= tiles:
        planes = 1
    elif header.optical_paths or header.optical_path_count:
        planes = frames // tiles
    else:
        raise TilingError(
            f"there are {frames} frames for {tiles} tiles, and neither TotalPixelMatrixFocalPlanes nor an "
            f"OpticalPathSequence says whether they are focal planes or optical paths."
        )
    if planes > _MOST_PLANES:
        raise TilingError(f"{planes} focal planes are more than any slide has.")
    return planes


def _full_paths(header: Instance, frames: int) -> tuple[OpticalPath, ...]:
    """As many paths as NumberOfOpticalPaths says, named by the OpticalPathSequence where it can."""
    named = header.optical_paths
    if header.shared_optical_path is not None and len(named) > 1:
        named = tuple(path for path in named if path.identifier == header.shared_optical_path)
    count = header.optical_path_count or len(named) or 1
    if count == len(named):
        return named
    if named or count > min(frames, _MOST_PATHS):
        raise TilingError(f"NumberOfOpticalPaths is {count}, with {len(named)} paths named for {frames} frames.")
    return tuple(OpticalPath(str(number) if count > 1 else "") for number in range(1, count + 1))


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
    heights: tuple[float, ...] = ()
    if len(planes) > 1 and _seen_once(positions):
        heights, planes, plane_of_frame = planes, planes[:1], np.zeros_like(plane_of_frame)
    used = np.unique(positions.paths)
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
    return TiledImage(frames, tiling, shown, planes, heights=heights, outside=outside)


def _seen_once(positions: FramePositions) -> bool:
    """Whether no tile has two focal planes: their offsets are then heights of focus, and no axis."""
    tiles = np.stack([positions.paths, positions.rows, positions.columns])
    return bool(np.unique(tiles, axis=1).shape[1] == len(positions))


def _planes(header: Instance, positions: FramePositions) -> tuple[tuple[float, ...], npt.NDArray[np.int64]]:
    """Distinct focal planes, lowest first, and the plane of each frame."""
    bottom = header.origin[2] if header.origin else 0.0
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
