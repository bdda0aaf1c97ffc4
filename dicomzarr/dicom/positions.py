"""Positions of frames on the Total Pixel Matrix, read into compact arrays.

A slide has up to hundreds of thousands of frames: columns of numbers, no object per frame, are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomzarr.dicom.tiling import FramePositions
from dicomzarr.errors import InvalidAttributeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from dicomzarr.dicom.json_model import (
        FunctionalGroupsItem,
        InstanceItem,
        Leaf,
        OpticalPathIdentificationItem,
        PlanePositionSlideItem,
    )

_LARGEST_POSITION = 2**40
"""Pixels; far above any matrix, far below what integers of 64 bits overflow at."""


@dataclass(frozen=True, slots=True)
class OpticalPath:
    """One optical path (PS3.3 section C.8.12.5); equal paths are the same channel."""

    identifier: str
    """OpticalPathIdentifier (0048,0106)."""
    description: str = ""
    """OpticalPathDescription (0048,0107)."""
    wavelength: float | None = None
    """IlluminationWaveLength (0022,0055), nanometres."""
    color: str = ""
    """Code meaning of the IlluminationColorCodeSequence (0048,0108)."""


def frame_positions(uid: str, item: InstanceItem, paths: tuple[OpticalPath, ...], frames: int) -> FramePositions | None:
    """The positions that the functional groups give, or None when they give none.

    A macro may stand in the per-frame or in the shared groups; the frame's own wins (C.7.6.16).

    Raises:
        InvalidAttributeError: Positions are broken, or not one for every frame.
    """
    planes, identifications = _macros(item, frames)
    if not any(planes):
        return None
    placed = [plane for plane in planes if plane]
    if len(placed) != frames:
        raise InvalidAttributeError(
            f"Instance {uid}: {len(placed)} positions for {frames} frames.",
            remedy="Every frame of a sparse tiling needs its position.",
        )
    return FramePositions(
        rows=_pixels(uid, "RowPositionInTotalImagePixelMatrix", (p.row_position for p in placed)),
        columns=_pixels(uid, "ColumnPositionInTotalImagePixelMatrix", (p.column_position for p in placed)),
        z_offsets=_numbers(uid, "ZOffsetInSlideCoordinateSystem", (plane.z_offset for plane in placed)),
        paths=_path_indices(uid, identifications, paths),
    )


def _macros(
    item: InstanceItem, frames: int
) -> tuple[list[PlanePositionSlideItem | None], list[OpticalPathIdentificationItem | None]]:
    shared: list[FunctionalGroupsItem] = item.shared_groups.items[:1]
    shared_plane = next((p for group in shared for p in group.plane_position_slide.items), None)
    shared_path = next((p for group in shared for p in group.optical_path.items), None)
    groups = item.per_frame_groups.items
    if not groups:
        return ([shared_plane], [shared_path]) if frames == 1 else ([], [])
    return (
        [(g.plane_position_slide.items or (shared_plane,))[0] for g in groups],
        [(g.optical_path.items or (shared_path,))[0] for g in groups],
    )


def _path_indices(
    uid: str,
    identifications: list[OpticalPathIdentificationItem | None],
    paths: tuple[OpticalPath, ...],
) -> npt.NDArray[np.int64]:
    known: dict[str | None, int] = {path.identifier: index for index, path in enumerate(paths)}
    known.setdefault(None, 0)
    found = [_identifier(item) for item in identifications]
    try:
        return np.array([known[name] for name in found], dtype=np.int64)
    except KeyError as missing:
        raise InvalidAttributeError(
            f"Instance {uid}: a frame names the optical path {missing}, which its OpticalPathSequence lacks."
        ) from None


def identified_paths(item: InstanceItem) -> tuple[OpticalPath, ...]:
    """The optical paths that frames name, for headers that lack the OpticalPathSequence."""
    groups = [*item.shared_groups.items[:1], *item.per_frame_groups.items]
    named = (_identifier(path) for group in groups for path in group.optical_path.items[:1])
    return tuple(OpticalPath(name) for name in dict.fromkeys(named) if name is not None)


def _identifier(item: OpticalPathIdentificationItem | None) -> str | None:
    return str(item.identifier.values[0]).strip() if item and item.identifier.values else None


def _pixels(uid: str, name: str, leaves: Iterable[Leaf]) -> npt.NDArray[np.int64]:
    numbers = _numbers(uid, name, leaves)
    if np.isnan(numbers).any() or (abs(numbers) > _LARGEST_POSITION).any():
        raise InvalidAttributeError(f"Instance {uid}: a frame lacks a usable {name}.")
    return numbers.astype(np.int64)


def _numbers(uid: str, name: str, leaves: Iterable[Leaf]) -> npt.NDArray[np.float64]:
    """The first value of each leaf; NaN where there is none."""
    values: list[Any] = [leaf.values[0] if leaf.values else None for leaf in leaves]
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidAttributeError(f"Instance {uid}: {name} of a frame is no number.") from None
