"""How many optical paths and focal planes the frames of TILED_FULL make (PS3.3 section C.7.6.17.3)."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from dicomzarr.dicom.slide.positions import OpticalPath
from dicomzarr.errors import TilingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.dicom.instance import Instance
    from dicomzarr.dicom.slide.tiling import TileGrid

_MOST_PLANES = 2**16
_MOST_PATHS = 2**16
_SHARED = (
    "its shared functional groups name one optical path for frames of all that NumberOfOpticalPaths counts: these are "
    "those of the OpticalPathSequence, in its order."
)


class FullLayout(NamedTuple):
    """The axes beside rows and columns of tiles."""

    paths: tuple[OpticalPath, ...]
    planes: int
    remark: str = ""
    """What of the header it contradicts, a sentence."""


def full_layout(header: Instance, frames: int, grid: TileGrid, *, may_lack_frames: bool) -> FullLayout:
    """As the header says it, else as its frames make it, where they can in one way only.

    Args:
        header: Of the image.
        frames: How many there are, or the number of the last that is there.
        grid: Its rows and columns of tiles.
        may_lack_frames: Some may be in instances that are not in the series.

    Raises:
        TilingError: Neither fits.
    """
    tiles, named = grid.rows * grid.columns, _named(header)
    paths = header.optical_path_count or len(named) or 1
    if paths > min(frames, _MOST_PATHS):
        why = f"NumberOfOpticalPaths is {paths}, with {len(named)} paths named for {frames} frames."
    else:
        told = _told(header, named, paths, frames, tiles)
        count = paths * told.planes * tiles
        if frames == count or (frames < count and may_lack_frames):
            return told
        why = (
            f"{frames} frames are not the {count} tiles that there should be ({paths} optical paths, {told.planes} "
            f"focal planes, {grid.rows} rows and {grid.columns} columns of tiles)."
        )
    ways = {(len(way.paths), way.planes): way for way in _ways(header, frames, tiles)}
    if len(ways) == 1 and not may_lack_frames:
        (found,) = ways.values()
        return found._replace(
            remark=f"its frames make {len(found.paths)} optical paths and {found.planes} focal planes, and not as "
            f"many as NumberOfOpticalPaths, OpticalPathSequence or TotalPixelMatrixFocalPlanes say."
        )
    raise TilingError(why)


def _told(header: Instance, named: tuple[OpticalPath, ...], count: int, frames: int, tiles: int) -> FullLayout:
    if len(named) < count == len(header.optical_paths) <= frames // tiles:
        return FullLayout(header.optical_paths, _planes(header, frames, tiles * count), _SHARED)
    paths = named if count == len(named) else _numbered(named, count)
    remark = (
        f"OpticalPathSequence names {len(header.optical_paths)} of {count} optical paths; the others have numbers."
        if 0 < len(header.optical_paths) < count
        else ""
    )
    return FullLayout(paths, _planes(header, frames, tiles * count), remark)


def _ways(header: Instance, frames: int, tiles: int) -> Iterator[FullLayout]:
    """How the header's contradictory counts make up all the frames."""
    named, count = _named(header), header.optical_path_count
    several = [named or (OpticalPath(""),), header.optical_paths]
    if count is not None and count <= min(frames, _MOST_PATHS):
        several.append(_numbered(header.optical_paths, count))
    for paths, planes in product(several, {1, header.focal_planes or 1}):
        if len(paths) * planes * tiles == frames:
            yield FullLayout(paths, planes)


def _named(header: Instance) -> tuple[OpticalPath, ...]:
    """Those of the OpticalPathSequence, of which the shared functional groups may name one."""
    named = header.optical_paths
    if header.shared_optical_path is not None and len(named) > 1:
        return tuple(path for path in named if path.identifier == header.shared_optical_path)
    return named


def _numbered(named: tuple[OpticalPath, ...], count: int) -> tuple[OpticalPath, ...]:
    """As many paths as there should be: those that have no name are called by their numbers."""
    own = {path.identifier for path in named}
    numbers = (str(number) for number in range(1, count + len(own) + 1))
    free = (number for number in numbers if number not in own)
    unnamed = tuple(OpticalPath(next(free) if count > 1 else "") for _ in range(count - len(named)))
    return (*named[:count], *unnamed)


def _planes(header: Instance, frames: int, tiles: int) -> int:
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
    if planes >= _MOST_PLANES:
        raise TilingError(f"{planes} focal planes are more than any slide has.")
    return planes
