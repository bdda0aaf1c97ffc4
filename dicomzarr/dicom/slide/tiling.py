"""Where the tiles of a Total Pixel Matrix are: computed when full, looked up when sparse.

Frame numbers here are 1-based and run through a whole concatenation (PS3.3 sections C.7.6.16, C.7.6.17.3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.errors import TilingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

UNPLACED: Final = np.iinfo(np.int64).min
"""The position of a frame of which none is known."""


@dataclass(frozen=True, slots=True)
class TileGrid:
    """The Total Pixel Matrix cut into tiles of one size (PS3.3 section C.8.12.14)."""

    matrix_rows: int
    """TotalPixelMatrixRows (0048,0007), pixels."""
    matrix_columns: int
    """TotalPixelMatrixColumns (0048,0006), pixels."""
    tile_rows: int
    """Rows (0028,0010), pixels; edge tiles have the same size and undefined content outside."""
    tile_columns: int
    """Columns (0028,0011), pixels."""

    @property
    def rows(self) -> int:
        """Tiles down the matrix."""
        return -(-self.matrix_rows // self.tile_rows)

    @property
    def columns(self) -> int:
        """Tiles across the matrix."""
        return -(-self.matrix_columns // self.tile_columns)


@dataclass(frozen=True, slots=True)
class FullTiling:
    """TILED_FULL: columns fastest, then rows, focal planes, optical paths."""

    grid: TileGrid
    paths: int
    planes: int

    @property
    def frame_count(self) -> int:
        """Frames of the complete tiling."""
        return self.paths * self.planes * self.grid.rows * self.grid.columns

    def state(self) -> Iterator[bytes]:
        """What tells it from other tilings: see `cell_state`."""
        yield repr(("full", self.grid, self.paths, self.planes)).encode()

    def frame(self, path: int, plane: int, row: int, column: int) -> int | None:
        """The number of the frame of a tile; every tile exists."""
        ordinal = (path * self.planes + plane) * self.grid.rows + row
        return ordinal * self.grid.columns + column + 1


@dataclass(frozen=True, slots=True, eq=False)
class SparseTiling:
    """TILED_SPARSE: each frame says where it is; tiles without a frame do not exist."""

    grid: TileGrid
    paths: int
    planes: int
    keys: npt.NDArray[np.int64]
    """Tile ordinals, in TILED_FULL order, ascending."""
    frames: npt.NDArray[np.int32] | npt.NDArray[np.int64]
    """The number of the frame of each key."""

    def state(self) -> Iterator[bytes]:
        """What tells it from other tilings: see `cell_state`."""
        yield repr(("sparse", self.grid, self.paths, self.planes)).encode()
        yield self.keys.astype(np.int64, copy=False).tobytes()
        yield self.frames.astype(np.int64, copy=False).tobytes()

    def frame(self, path: int, plane: int, row: int, column: int) -> int | None:
        """The number of the frame of a tile, or None where the metadata places none."""
        ordinal = (path * self.planes + plane) * self.grid.rows + row
        key = ordinal * self.grid.columns + column
        place = int(np.searchsorted(self.keys, key))
        if place == len(self.keys) or self.keys[place] != key:
            return None
        return int(self.frames[place])


@dataclass(frozen=True, slots=True, eq=False)
class FramePositions:
    """Where each frame lies, as compact arrays of one value a frame."""

    rows: npt.NDArray[np.int64]
    """RowPositionInTotalImagePixelMatrix (0048,021F), 1-based pixels; `UNPLACED` where it is not known."""
    columns: npt.NDArray[np.int64]
    """ColumnPositionInTotalImagePixelMatrix (0048,021E), 1-based pixels; `UNPLACED` where it is not known."""
    z_offsets: npt.NDArray[np.float64]
    """ZOffsetInSlideCoordinateSystem (0040,074A); NaN where not given."""
    paths: npt.NDArray[np.int64]
    """Index of the frame's optical path among the instance's paths; -1 where it is none of them."""
    lacking: str = ""
    """Why not every frame has its place, in a sentence; empty where each has."""

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, frames: npt.NDArray[np.bool_]) -> FramePositions:
        """Those of some frames."""
        return FramePositions(self.rows[frames], self.columns[frames], self.z_offsets[frames], self.paths[frames])

    def counts_from_zero(self, grid: TileGrid) -> bool:
        """Whether each lies on the grid if the first pixel is number 0, and so none if it is 1, as it should be."""
        known = (self.rows != UNPLACED) & (self.columns != UNPLACED)
        rows, columns = self.rows[known], self.columns[known]
        even = not (rows % grid.tile_rows).any() and not (columns % grid.tile_columns).any()
        return even and bool(known.any()) and min(rows.min(), columns.min()) == 0

    def moved(self, pixels: int) -> FramePositions:
        """Those so many pixels further down and across."""
        rows, columns = (
            np.where(places == UNPLACED, UNPLACED, places + pixels) for places in (self.rows, self.columns)
        )
        return replace(self, rows=rows, columns=columns)

    def reach(self, rows: int, columns: int) -> tuple[int, int] | None:
        """How far tiles reach that have so many rows and columns, in pixels; None where none lies on a matrix."""
        if min(self.rows.max(initial=0), self.columns.max(initial=0)) < 1:
            return None
        zero = int(min(self.rows.min(), self.columns.min()) == 0)  # see `counts_from_zero`
        return int(self.rows.max()) + rows - 1 + zero, int(self.columns.max()) + columns - 1 + zero

    def within(self, grid: TileGrid) -> npt.NDArray[np.bool_]:
        """Which frames show any of the Total Pixel Matrix."""
        return _meets(self.rows, grid.tile_rows, grid.matrix_rows) & _meets(
            self.columns, grid.tile_columns, grid.matrix_columns
        )


def _meets(positions: npt.NDArray[np.int64], tile: int, size: int) -> npt.NDArray[np.bool_]:
    return (positions <= size) & (positions + tile > 1)


def sparse_tiling(  # noqa: PLR0913  # each is one column of what a tiling is
    grid: TileGrid,
    positions: FramePositions,
    plane_of_frame: npt.NDArray[np.int64],
    *,
    paths: int,
    planes: int,
    first_frames: npt.NDArray[np.int64],
) -> SparseTiling:
    """Place frames by their positions.

    Args:
        grid: The tile grid.
        positions: One position a frame.
        plane_of_frame: Index of each frame's focal plane.
        paths: Number of optical paths.
        planes: Number of focal planes.
        first_frames: The number of each frame within the concatenation.

    Raises:
        TilingError: A tile lies off the grid, outside the matrix, or twice at one place.
    """
    rows = _on_grid(positions.rows, grid.tile_rows, grid.rows, "row")
    columns = _on_grid(positions.columns, grid.tile_columns, grid.columns, "column")
    if paths * planes * grid.rows * grid.columns > np.iinfo(np.int64).max:
        raise TilingError(f"{grid.rows} x {grid.columns} tiles of {paths} optical paths are more than can be counted.")
    keys = ((positions.paths * planes + plane_of_frame) * grid.rows + rows) * grid.columns + columns
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    doubled = np.flatnonzero(keys[1:] == keys[:-1])
    if doubled.size:
        one, other = (int(first_frames[order[doubled[0] + step]]) for step in (0, 1))
        raise TilingError(f"frames {one} and {other} claim the same tile.")
    small = first_frames.max(initial=0) <= np.iinfo(np.int32).max  # a part of a concatenation may claim any offset
    frames = first_frames[order]
    return SparseTiling(grid, paths, planes, keys, frames.astype(np.int32) if small else frames)


def _on_grid(positions: npt.NDArray[np.int64], tile: int, count: int, axis: str) -> npt.NDArray[np.int64]:
    index, rest = np.divmod(positions - 1, tile)
    off = np.flatnonzero((rest != 0) | (index < 0) | (index >= count))
    if off.size:
        raise TilingError(
            f"a frame at {axis} position {int(positions[off[0]])} is not on the grid of {count} tiles of {tile} pixels."
        )
    return index
