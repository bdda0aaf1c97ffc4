"""Frames to images: what must be the same in one array keeps the others apart, and says so."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from dicomzarr.dicom.frame import Frame

_SAME_DIRECTION: Final = 1e-4
"""Difference of direction cosines up to which two orientations are one."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Frames that may be one array."""

    frames: tuple[Frame, ...]
    why: tuple[str, ...]
    """The attributes in which the groups of its series differ."""


def group_frames(frames: Iterable[Frame]) -> list[Group]:
    """Split frames into groups; those with the most frames first."""
    found = list(frames)
    columns = {name: [key(frame) for frame in found] for name, key in _KEYS.items()}
    columns["orientation"] = list(_orientations(found))
    differing = tuple(name for name, values in columns.items() if len(set(values)) > 1)
    members: defaultdict[tuple[Hashable, ...], list[Frame]] = defaultdict(list)
    for place, frame in enumerate(found):
        members[tuple(columns[name][place] for name in differing)].append(frame)
    groups = [Group(tuple(each), differing) for each in members.values()]
    return sorted(groups, key=lambda group: (-len(group.frames), min(frame.order for frame in group.frames)))


def _pixels(frame: Frame) -> Hashable:
    pixel = frame.ref.instance.pixel
    colours = pixel.photometric_interpretation if pixel.samples == 1 else "colour"
    return pixel.samples, pixel.dtype.str, pixel.bits_stored, colours


def _spacing(frame: Frame) -> Hashable:
    """Four digits: headers round."""
    return frame.spacing and tuple(float(f"{step:.4g}") for step in frame.spacing)


def _instance(frame: Frame) -> Hashable:
    """Without a place in space, frames of different instances have nothing in common."""
    if frame.position is not None:
        return ""
    concatenation = frame.image.header.concatenation
    return concatenation.uid if concatenation else frame.image.header.uid


_KEYS: Final[dict[str, Callable[[Frame], Hashable]]] = {
    "SOP class": lambda frame: frame.image.header.sop_class_uid,
    "rows and columns": lambda frame: frame.ref.instance.pixel.shape[1:],
    "bits, sign and colours": _pixels,
    "localizer": lambda frame: "LOCALIZER" in frame.image.header.image_type,
    "stack": lambda frame: frame.stack,
    "frame of reference": lambda frame: frame.image.header.frame_of_reference_uid,
    "pixel spacing": _spacing,
    "instance": _instance,
}


def _orientations(frames: Sequence[Frame]) -> Iterable[int]:
    """A number for each frame's orientation; those that differ by rounding have the same."""
    known = np.empty((0, 6))
    for frame in frames:
        if frame.orientation is None:
            yield -1
            continue
        near = np.flatnonzero(np.abs(known - frame.orientation).max(axis=1, initial=0.0) <= _SAME_DIRECTION)
        if len(near):
            yield int(near[0])
        else:
            known = np.vstack([known, frame.orientation])
            yield len(known) - 1
