"""Frames to images: what must be the same in one array keeps the others apart, and says so."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.dicom.slices import find_slices, off_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from dicomzarr.dicom.frame import Frame, Vector

_SAME_DIRECTION: Final = 1e-4
"""Difference of direction cosines up to which two orientations are one: headers round."""

_SAME_SPACING: Final = 1e-3
"""Relative difference up to which two pixel spacings are one, likewise."""

_SAME_PLACE: Final = 0.05
"""Part of a pixel by which slices one above the other may lie beside each other, likewise."""

_MOST_STATIONS: Final = 64
"""Stacks beside each other that are told apart; scans have a few."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Frames that may be one array."""

    frames: tuple[Frame, ...]
    why: tuple[str, ...]
    """The attributes in which the groups of its series differ."""


def group_frames(frames: Iterable[Frame]) -> list[Group]:
    """Split frames into groups; those with the most frames first."""
    found = list(frames)
    columns: dict[str, list[Hashable]] = {name: [key(frame) for frame in found] for name, key in _KEYS.items()}
    columns["orientation"] = list(_alike([frame.orientation for frame in found], _SAME_DIRECTION))
    spacings = [None if frame.spacing is None else np.log(frame.spacing) for frame in found]
    columns["pixel spacing"] = list(_alike(spacings, _SAME_SPACING))
    columns[_STATION] = list(_stations(found, _members(columns)))
    differing = tuple(name for name, values in columns.items() if len(set(values)) > 1)
    groups = [Group(tuple(found[place] for place in places), differing) for places in _members(columns)]
    return sorted(groups, key=lambda group: (-len(group.frames), min(frame.order for frame in group.frames)))


def _members(columns: Mapping[str, Sequence[Hashable]]) -> list[list[int]]:
    """The places of frames that are alike in everything."""
    members: defaultdict[tuple[Hashable, ...], list[int]] = defaultdict(list)
    for place, key in enumerate(zip(*columns.values(), strict=True)):
        members[key].append(place)
    return list(members.values())


def _stations(frames: Sequence[Frame], groups: Iterable[list[int]]) -> list[int]:
    """A number for the stack of each frame, where parallel stacks lie beside each other, as of a whole spine."""
    stations = [0] * len(frames)
    for places in groups:
        members = [frames[place] for place in places]
        for place, station in zip(places, _stations_of(members), strict=True):
            stations[place] = station
    return stations


def _stations_of(frames: Sequence[Frame]) -> Sequence[int]:
    first = frames[0]
    normal, orientation, spacing = first.normal, first.orientation, first.spacing
    positions = [frame.position for frame in frames if frame.position is not None]
    if normal is None or orientation is None or spacing is None or len(positions) < len(frames):
        return [0] * len(frames)
    pixel = max(spacing)
    slices = find_slices(np.stack(positions), normal, pixel)
    if off_slices(np.stack(positions), slices).max() <= max(_SAME_PLACE * pixel, _LEAST):
        return [0] * len(frames)
    # Beside each other at one place: whatever leads from slice to slice, stacks differ in the plane.
    shifts = np.stack(positions) @ np.stack([orientation[:3], orientation[3:]]).T
    stations = list(_alike(list(shifts), max(_SAME_PLACE * pixel, _LEAST)))
    return stations if len(set(stations)) <= _MOST_STATIONS else [0] * len(frames)


def _pixels(frame: Frame) -> Hashable:
    pixel = frame.ref.instance.pixel
    colours = pixel.photometric_interpretation if pixel.samples == 1 else "colour"
    return pixel.samples, pixel.dtype.str, colours


def _instance(frame: Frame) -> Hashable:
    """Its instance, where frames of different ones have nothing in common: unplaced ones, segments, doses."""
    header = frame.image.header
    own = frame.position is None or header.segmentation is not None or header.modality == "RTDOSE"
    return frame.whole if own else ""


_STATION: Final = "place in the plane"
_LEAST: Final = 0.01
"""Millimetres of rounding that even the smallest pixels may have."""

_KEYS: Final[dict[str, Callable[[Frame], Hashable]]] = {
    "SOP class": lambda frame: frame.image.header.sop_class_uid,
    "rows and columns": lambda frame: frame.ref.instance.pixel.shape[1:],
    "bits, sign and colours": _pixels,
    "localizer": lambda frame: "LOCALIZER" in frame.image.header.image_type,
    "stack": lambda frame: frame.stack,
    "frame of reference": lambda frame: frame.image.header.frame_of_reference_uid,
    "modality table": lambda frame: bool(frame.image.item.modality_lut.items),
    "instance": _instance,
}


def _alike(vectors: Sequence[Vector | None], tolerance: float) -> Iterable[int]:
    """A number for each vector, the same for those that differ by no more than rounding; -1 for None."""
    known: Any = None
    for vector in vectors:
        if vector is None:
            yield -1
            continue
        known = np.empty((0, len(vector))) if known is None else known
        near = np.flatnonzero(np.abs(known - vector).max(axis=1, initial=0.0) <= tolerance)
        if len(near):
            yield int(near[0])
        else:
            known = np.vstack([known, vector])
            yield len(known) - 1
