"""Times of which each has a pose of its own: a patient who moved, as motion correction of the scanner records it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.volume.columns import combined
from dicomzarr.dicom.volume.lattice import JITTER

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.volume.columns import Column
    from dicomzarr.dicom.volume.frame import Frame

    Numbers = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.int64]

_MOST_TURNED: Final = np.cos(np.radians(2.0))
_MOST_MOVED: Final = 1 / 2
"""Part of a step."""

_SAME_DIRECTION: Final = 1e-4
_FEWEST: Final = 2
"""Slices of a time, and times."""


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """Frames of times with poses of their own, as if all times had that of the first."""

    positions: Numbers
    """(frames, 3): where the frame of the first time lies that each frame corresponds to."""
    orientation: Numbers
    """Six cosines, of the first time."""
    most: float
    """Millimetres by which the centre of a frame moved at most."""


def moved(frames: Sequence[Frame], columns: Sequence[Column]) -> Moved | None:
    """Positions as those of the first time, if times have poses of their own; else None.

    Times may differ by half a step and 2 degrees. Contrasts never may: each time must have the same ones, and those of
    one time one pose.

    Args:
        frames: Alike, each placed.
        columns: The attributes that vary over them.
    """
    positions = np.stack([frame.position for frame in frames if frame.position is not None])
    orientations = np.stack([frame.orientation for frame in frames if frame.orientation is not None])
    if len(positions) != len(frames) or len(orientations) != len(frames):
        return None
    centres = positions + _half(frames, orientations)
    contrasts = [column for column in columns if column.is_contrast]
    one = np.zeros(len(frames), np.int64)
    kinds = [one, combined([one, *(column.codes for column in contrasts)])][: 1 + bool(contrasts)]
    for times in (column for column in columns if column.axis == "t"):
        if any(_differs(times, contrast) for contrast in contrasts):
            continue
        within = _slice_of_mosaic(frames[0])
        tried = (_corresponding(times.codes, each, positions, orientations, centres, within) for each in kinds)
        found = next(filter(None, tried), None)
        if found is not None:
            return found
    return None


def _half(frames: Sequence[Frame], orientations: Numbers) -> Numbers:
    """From the centre of the first pixel to that of the frame."""
    pixel = frames[0].instance.pixel
    down, across = frames[0].spacing or (0.0, 0.0)
    along_row, along_column = across * (pixel.columns - 1) / 2, down * (pixel.rows - 1) / 2
    half: Numbers = orientations[:, :3] * along_row + orientations[:, 3:] * along_column
    return half


def _differs(times: Column, contrast: Column) -> bool:
    """Whether times have other contrasts than each other."""
    pairs = np.unique(times.codes * contrast.count + contrast.codes)
    return len(pairs) < times.count * contrast.count


def _slice_of_mosaic(frame: Frame) -> float:
    """Millimetres from slice to slice within a mosaic, each of which is a whole time; 0 for other frames."""
    return (frame.between or frame.thickness or 0.0) if frame.is_mosaic else 0.0


def _corresponding(  # noqa: PLR0913, PLR0917  # what frames are, and where
    times: Codes, kinds: Codes, positions: Numbers, orientations: Numbers, centres: Numbers, within: float
) -> Moved | None:
    first = np.flatnonzero((times == 0) & (kinds == 0))
    held = np.bincount(times)
    if len(held) < _FEWEST or held[0] < held.max() or (len(first) < _FEWEST and not within):
        return None
    reference = orientations[first[0]]
    normal = np.cross(reference[:3], reference[3:])
    first = first[np.argsort(positions[first] @ normal, kind="stable")]
    step = np.linalg.norm(np.diff(positions[first], axis=0), axis=1).min(initial=within or np.inf)
    if step == 0 or not _turned_together(times, orientations, reference):
        return None
    distances = np.linalg.norm(centres[:, None] - centres[first][None], axis=2)
    nearest = np.argmin(distances, axis=1)
    most = float(distances[np.arange(len(times)), nearest].max())
    cells = times * len(first) + nearest
    each = cells * (int(kinds.max()) + 1) + kinds
    if most > _MOST_MOVED * step or len(np.unique(each)) < len(times) or _apart(cells, positions) > JITTER * step:
        return None
    return Moved(positions[first][nearest], reference, most)


def _apart(cells: Codes, positions: Numbers) -> float:
    """How far frames of one time and place, as of several contrasts, lie apart at most."""
    _, first, of = np.unique(cells, return_index=True, return_inverse=True)
    return float(np.linalg.norm(positions - positions[first[of.reshape(-1)]], axis=1).max())


def _turned_together(times: Codes, orientations: Numbers, reference: Numbers) -> bool:
    """Whether all frames of a time have one orientation, at most 2 degrees off the first time's."""
    first = np.zeros(int(times.max()) + 1, np.int64)
    first[times[::-1]] = np.arange(len(times))[::-1]
    own = np.abs(orientations - orientations[first[times]]).max() <= _SAME_DIRECTION
    row = orientations[:, :3] @ reference[:3]
    column = orientations[:, 3:] @ reference[3:]
    return bool(own and min(row.min(), column.min()) >= _MOST_TURNED)
