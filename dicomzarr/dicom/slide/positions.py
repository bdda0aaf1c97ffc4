"""Positions of frames on the Total Pixel Matrix, read into compact arrays.

A slide has up to hundreds of thousands of frames: columns of numbers, no object per frame, are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from dicomzarr.dicom.model.image_model import NO_GROUPS, NO_MACRO
from dicomzarr.dicom.model.json_model import NO_ITEMS, RawSequence, functional_groups
from dicomzarr.dicom.slide.tiling import UNPLACED, FramePositions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.model.image_model import FrameGroups, ImageItem, Macro
    from dicomzarr.dicom.model.json_model import (
        FunctionalGroupsItem,
        Leaf,
        OpticalPathIdentificationItem,
        SegmentIdentificationItem,
    )
    from dicomzarr.dicom.model.json_model import Sequence as ItemSequence
    from dicomzarr.dicom.model.values import AttributeReader

_Item = TypeVar("_Item")
_Default = TypeVar("_Default")
_LARGEST_POSITION = 2**40
"""Pixels; far above any matrix, far below what integers of 64 bits overflow at."""
_NO_NUMBER = (TypeError, ValueError, OverflowError)
_LARGEST_HEIGHT = 1e9
"""Micrometres; a focal plane that lies a kilometre away lies nowhere."""


@dataclass(frozen=True, slots=True, repr=False)
class OpticalPath:
    """One optical path (PS3.3 section C.8.12.5); equal paths are the same channel."""

    identifier: str
    """OpticalPathIdentifier (0048,0106)."""
    description: str = ""
    """OpticalPathDescription (0048,0107)."""
    wavelength: float | None = None
    """IlluminationWaveLength (0022,0055), nanometres."""
    color: str = ""
    """RRGGBB by its palette or of a segment, or the code meaning of the IlluminationColorCodeSequence (0048,0108)."""
    occurrence: int = 0
    """How many paths before it in the sequence read alike."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameScan:
    """What the functional groups say of each frame."""

    rows: npt.NDArray[np.float64]
    """RowPositionInTotalImagePixelMatrix; NaN where a frame has none, infinite where it is no number."""
    columns: npt.NDArray[np.float64]
    """ColumnPositionInTotalImagePixelMatrix; NaN where a frame has none, infinite where it is no number."""
    z_offsets: npt.NDArray[np.float64]
    """ZOffsetInSlideCoordinateSystem; NaN where a frame has none."""
    identifiers: npt.NDArray[np.int64]
    """Place in ``names`` of the frame's optical path."""
    names: tuple[str | None, ...]
    """The optical path identifiers that frames name; None for frames that name none."""


def scan_frames(read: AttributeReader, item: ImageItem, frames: int) -> FrameScan:
    """Read the functional groups of all frames, batch by batch.

    A macro may stand in the per-frame or in the shared groups; the frame's own wins (C.7.6.16). Where a height is
    impossible none counts, so that no frame is shown in a plane that is not its own.
    """
    shared = next(iter(item.shared_groups.items), NO_GROUPS)
    codes: dict[str | None, int] = {}
    batches = functional_groups(item.per_frame_groups or RawSequence())
    scanned = [_scan_batch(groups, shared, codes) for groups in batches]
    if not scanned and frames == 1:
        scanned = [_scan_batch([shared], shared, codes)]
    columns = [np.concatenate([batch[place] for batch in scanned]) if scanned else np.empty(0) for place in range(4)]
    heights = columns[2]
    beyond = heights[np.abs(heights) > _LARGEST_HEIGHT]
    if beyond.size:
        read.leave_out("ZOffsetInSlideCoordinateSystem", beyond[:1].tolist(), "its frames count as one focal plane")
        heights = np.full_like(heights, np.nan)
    return FrameScan(columns[0], columns[1], heights, columns[3].astype(np.int64), tuple(codes))


def _scan_batch(
    groups: Sequence[FunctionalGroupsItem | FrameGroups],
    shared: FrameGroups,
    codes: dict[str | None, int],
) -> tuple[npt.NDArray[np.float64], ...]:
    fallback = _first(shared.plane_position_slide.values, NO_MACRO)
    planes = [(own[0] or fallback) if (own := group.plane_position_slide.values) else fallback for group in groups]
    segment = _first(shared.segment_identification.values, NO_MACRO)
    names = _names([group.segment_identification for group in groups], segment, _number)
    if names.count(None) == len(names):  # of masks the path would be that of the image that they were made of
        path = _first(shared.optical_path_identification.values, NO_MACRO)
        names = _names([group.optical_path_identification for group in groups], path, _identifier)
    return (
        _positions([plane.row_position for plane in planes]),
        _positions([plane.column_position for plane in planes]),
        _heights([plane.z_offset for plane in planes]),
        _codes(names, codes),
    )


def _names(told: Sequence[ItemSequence[Any]], shared: object, name_of: Callable[[Any], str | None]) -> list[str | None]:
    """What each frame says that it shows; what is shared where it says nothing."""
    name = name_of(shared)
    if told.count(NO_ITEMS) == len(told):  # the same object, mostly: at memory speed
        return [name] * len(told)
    return [name_of(items.values[0] or shared) if items.values else name for items in told]


def _codes(names: list[str | None], codes: dict[str | None, int]) -> npt.NDArray[np.float64]:
    """The number of each name, by when it was first met."""
    if names.count(names[0]) == len(names):
        return np.full(len(names), codes.setdefault(names[0], len(codes)), dtype=np.float64)
    return np.array([codes.setdefault(name, len(codes)) for name in names], dtype=np.float64)


def frame_positions(scan: FrameScan, paths: tuple[OpticalPath, ...], frames: int) -> FramePositions | None:
    """The positions of all frames, or None when the metadata places none.

    Where there are more or fewer groups than frames, no position is known: nothing says which group is lost.
    """
    placed = ~(np.isnan(scan.rows) | np.isnan(scan.columns))
    if not placed.any():
        return None
    usable = placed & _is_pixel(scan.rows) & _is_pixel(scan.columns)
    places = _places(scan.names, paths)[scan.identifiers]
    lacking = _lacking(usable, places, frames)
    if lacking and None in scan.names and (places[scan.identifiers == scan.names.index(None)] < 0).any():
        lacking = f"frames do not name their optical path, and the OpticalPathSequence has {len(paths)}."
    usable &= len(usable) == frames
    return FramePositions(
        rows=_whole(scan.rows, usable),
        columns=_whole(scan.columns, usable),
        z_offsets=scan.z_offsets,
        paths=places,
        lacking=lacking,
    )


def _lacking(usable: npt.NDArray[np.bool_], places: npt.NDArray[np.int64], frames: int) -> str:
    count = int(usable.sum())
    if count != frames or len(usable) != frames:
        return (
            f"{count} usable positions (RowPositionInTotalImagePixelMatrix and ColumnPositionInTotalImagePixelMatrix) "
            f"for {frames} frames."
        )
    unknown = int(np.count_nonzero(places < 0))
    return f"{unknown} frames name an optical path that the OpticalPathSequence lacks." if unknown else ""


def _whole(positions: npt.NDArray[np.float64], usable: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    return np.where(usable, np.where(usable, positions, 0.0).astype(np.int64), UNPLACED)


def _is_pixel(positions: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    usable: npt.NDArray[np.bool_] = (abs(positions) < _LARGEST_POSITION) & (positions == np.round(positions))
    return usable


def shared_path_identifier(item: ImageItem, *, of_segments: bool) -> str | None:
    """The optical path, or the segment of masks, that the shared functional groups name for all frames."""
    shared = item.shared_groups.items[:1]
    if of_segments:
        return next((_number(segment) for group in shared for segment in group.segment_identification.items), None)
    return next((_identifier(path) for group in shared for path in group.optical_path_identification.items), None)


def paths_of_frames(declared: tuple[OpticalPath, ...], scan: FrameScan | None) -> tuple[OpticalPath, ...]:
    """Those of the OpticalPathSequence; those that frames name, where it has none of them.

    Of one path, frames may name it otherwise, and name it where it has no name.
    """
    names = () if scan is None else scan.names
    if len(declared) == 1 and not declared[0].identifier and len(names) == 1:
        return (replace(declared[0], identifier=names[0] or ""),)
    known = {None, *(path.identifier for path in declared)}
    if len(declared) == 1 or (declared and (not names or any(name in known for name in names))):
        return declared
    return tuple(OpticalPath(name) for name in names if name is not None)


def oddly_named(declared: tuple[OpticalPath, ...], paths: tuple[OpticalPath, ...], scan: FrameScan) -> str:
    """What is odd about how frames name the paths that were found, a sentence; empty where nothing is."""
    if declared and [path.identifier for path in declared] not in ([path.identifier for path in paths], [""]):
        return "frames name other optical paths than the OpticalPathSequence: channels are called as frames name them."
    if len(declared) == 1 and not {None, declared[0].identifier}.issuperset(scan.names):
        return "frames name an optical path that the OpticalPathSequence lacks: it is taken for the only one there is."
    return ""


def _places(names: tuple[str | None, ...], paths: tuple[OpticalPath, ...]) -> npt.NDArray[np.int64]:
    """The place among an instance's paths of each name; -1 where none, or more than one, may be meant."""
    known: dict[str | None, int] = {}
    for place, path in enumerate(paths):
        known[path.identifier] = -1 if path.identifier in known else place
    if len(paths) <= 1:
        only = names if len({*names} - {None}) == 1 else (None,)
        known.update(dict.fromkeys((*only, None), 0))
    return np.array([known.get(name, -1) for name in names], dtype=np.int64)


def _first(values: tuple[_Item | None, ...], default: _Default) -> _Item | _Default:
    return (values[0] or default) if values else default


def _identifier(item: OpticalPathIdentificationItem | Macro) -> str | None:
    return _name(item.optical_path_identifier)


def _number(item: SegmentIdentificationItem | Macro) -> str | None:
    """Of the segment, which takes the place of the optical path in segmentations (PS3.3 section C.7.6.17.3)."""
    number = item.segment_number.first
    return str(int(number)) if isinstance(number, float) and number.is_integer() else _name(item.segment_number)


def _name(leaf: Leaf) -> str | None:
    return None if leaf.first is None else str(leaf.first).strip()


def _positions(leaves: list[Leaf]) -> npt.NDArray[np.float64]:
    """Positions; an infinite one for what is no number."""
    try:
        return _numbers(leaves)
    except _NO_NUMBER:
        return np.concatenate([_heights([leaf]) for leaf in leaves])


def _heights(leaves: list[Leaf]) -> npt.NDArray[np.float64]:
    """Z offsets; infinite ones for frames one of which has what is no number."""
    try:
        return _numbers(leaves)
    except _NO_NUMBER:
        return np.full(len(leaves), np.inf)


def _numbers(leaves: list[Leaf]) -> npt.NDArray[np.float64]:
    """The first value of each leaf; NaN where there is none."""
    values: list[Any] = [leaf.values[0] if leaf.values else None for leaf in leaves]
    return np.array(values, dtype=np.float64)
