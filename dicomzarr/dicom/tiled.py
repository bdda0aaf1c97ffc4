"""A tiled image: one instance, or the parts of a concatenation joined (PS3.3 section C.7.6.16)."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dicomzarr.dicom.instance import FrameRef
from dicomzarr.dicom.positions import OpticalPath
from dicomzarr.dicom.tiling import (
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

    from dicomzarr.dicom.instance import Instance, StoredInstance

_Z_DECIMALS = 6
"""Focal planes nearer than this many decimals of their offset are one."""


@dataclass(frozen=True, slots=True)
class FrameSequence:
    """The frames of a concatenation, numbered through its parts; one part is the ordinary case."""

    uid: str
    """ConcatenationUID, or the SOP Instance UID of the only part."""
    offsets: tuple[int, ...]
    """Frames before each part, ascending."""
    parts: tuple[StoredInstance, ...]
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
            f"Concatenation {self.uid}: {what} is in a part that the series lacks.",
            remedy="Send the missing instance to the server.",
        )


@dataclass(frozen=True, slots=True, eq=False)
class TiledImage:
    """Tiles of one Total Pixel Matrix at one resolution."""

    header: Instance
    """The header of the first part: everything but frames is the same in all."""
    frames: FrameSequence
    tiling: FullTiling | SparseTiling
    paths: tuple[OpticalPath, ...]
    planes: tuple[float, ...]
    """Z offset of each focal plane in the slide coordinate system, as the header gives it."""

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


def tiled_images(instances: Iterable[Instance]) -> list[TiledImage]:
    """Join concatenations and index the tiles of every image.

    Raises:
        TilingError: Frame counts or positions contradict the tile grid.
    """
    groups: defaultdict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        groups[instance.concatenation.uid if instance.concatenation else instance.uid].append(instance)
    return [_tiled_image(uid, group) for uid, group in groups.items()]


def _tiled_image(uid: str, parts: Sequence[Instance]) -> TiledImage:
    ordered = sorted(parts, key=lambda part: part.concatenation.number if part.concatenation else 0)
    header = ordered[0]
    frames = FrameSequence(uid, _offsets(uid, ordered), tuple(part.stored for part in ordered), _complete(ordered))
    pixel = header.pixel
    rows, columns = header.total_pixel_matrix or (pixel.rows, pixel.columns)
    grid = TileGrid(rows, columns, pixel.rows, pixel.columns)
    paths = tuple(dict.fromkeys(path for part in ordered for path in part.optical_paths))
    positions = _all_positions(ordered, paths)
    full = header.dimension_organization_type == "TILED_FULL"
    if positions is None or full:
        return _full(header, frames, grid)
    return _sparse(header, frames, grid, positions, paths or (OpticalPath(""),))


def _complete(parts: Sequence[Instance]) -> bool:
    numbered = [part.concatenation for part in parts if part.concatenation]
    total = max((part.total or 0 for part in numbered), default=0) or len(numbered)
    return [part.number for part in numbered] == list(range(1, total + 1))


def _offsets(uid: str, parts: Sequence[Instance]) -> tuple[int, ...]:
    """Frames before each part; by their own account, else by adding up when none is missing."""
    counts = [part.stored.number_of_frames for part in parts]
    told = [part.concatenation.frame_offset if part.concatenation else 0 for part in parts]
    numbers = [part.concatenation.number if part.concatenation else 1 for part in parts]
    added = np.concatenate([[0], np.cumsum(counts)[:-1]]).tolist()
    if None in told and numbers != list(range(1, len(parts) + 1)):
        raise TilingError(
            f"Concatenation {uid} lacks parts and does not say where the others begin.",
            remedy="Send the missing instances to the server.",
        )
    offsets = [a if t is None else t for a, t in zip(added, told, strict=True)]
    ends = [offset + count for offset, count in zip(offsets, counts, strict=True)]
    if any(end > begin for end, begin in zip(ends[:-1], offsets[1:], strict=True)):
        raise TilingError(f"Concatenation {uid}: its parts overlap or are out of order.")
    return tuple(offsets)


def _full(header: Instance, frames: FrameSequence, grid: TileGrid) -> TiledImage:
    paths = _full_paths(header)
    tiles = grid.rows * grid.columns * len(paths)
    planes = header.focal_planes or max(1, frames.end // tiles)
    tiling = FullTiling(grid, len(paths), planes)
    may_lack_end = header.concatenation is not None and (not frames.complete or header.concatenation.total is None)
    if frames.end > tiling.frame_count or (frames.end < tiling.frame_count and not may_lack_end):
        raise TilingError(
            f"Instance {header.uid}: {frames.end} frames for {tiling.frame_count} tiles "
            f"({len(paths)} optical paths, {planes} focal planes, {grid.rows} rows and "
            f"{grid.columns} columns of tiles).",
            remedy="Without positions of frames (TILED_SPARSE) every tile needs one.",
        )
    step = header.spacing_between_slices
    bottom = header.origin[2] if header.origin else 0.0
    offsets = tuple(round(bottom + k * (step or 0.0), _Z_DECIMALS) for k in range(planes))
    return TiledImage(header, frames, tiling, paths, offsets)


def _full_paths(header: Instance) -> tuple[OpticalPath, ...]:
    """As many paths as NumberOfOpticalPaths says, named by the OpticalPathSequence where it can."""
    named = header.optical_paths
    count = header.optical_path_count or len(named) or 1
    if count == len(named):
        return named
    if named:
        raise TilingError(
            f"Instance {header.uid}: NumberOfOpticalPaths is {count}, its OpticalPathSequence names {len(named)}."
        )
    return tuple(OpticalPath(str(number) if count > 1 else "") for number in range(1, count + 1))


def _sparse(
    header: Instance,
    frames: FrameSequence,
    grid: TileGrid,
    positions: FramePositions,
    paths: tuple[OpticalPath, ...],
) -> TiledImage:
    planes, plane_of_frame = _planes(header, positions)
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
    tiling = sparse_tiling(
        grid,
        renumbered,
        plane_of_frame,
        paths=len(used),
        planes=len(planes),
        first_frames=numbers,
        where=f"Instance {header.uid}",
    )
    return TiledImage(
        header,
        frames,
        tiling,
        tuple(paths[index] for index in used),
        planes,
    )


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
    )


def _renumber(own: tuple[OpticalPath, ...], joined: tuple[OpticalPath, ...]) -> npt.NDArray[np.int64]:
    """The place in ``joined`` of each of a part's own paths."""
    return np.array([joined.index(path) for path in own] or [0], dtype=np.int64)
