"""Parallel frames in space: which slice each is, and whether slices are evenly spaced (PS3.3 section C.7.6.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.values import FARTHEST
from dicomzarr.errors import GridError

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.dicom.frame import Vector

_SAME: Final = 0.01
"""Millimetres, and part of a step, up to which two places are one: headers round."""

_PART: Final = 0.05
"""Of a pixel, likewise: small animals have small pixels."""

_UNEVEN: Final = 0.1
"""Part of a step that is never rounding."""

_MOST_SLICES: Final = 2**16


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """Slices of one orientation, ascending along the normal; lengths in millimetres."""

    normal: Vector
    distances: Vector
    """Of each slice along the normal, from the origin of the patient coordinate system."""
    origins: npt.NDArray[np.float64]
    """(slices, 3): the centre of the first pixel of each, in LPS."""
    places: npt.NDArray[np.int64]
    """The slice of each frame that was given."""
    step: Vector | None
    """From the origin of one slice to the next, sheared where the gantry was tilted; None where slices are not evenly
    spaced, or where there is one."""

    @property
    def even(self) -> bool:
        """Whether one step leads from each slice to the next."""
        return self.step is not None or len(self.distances) == 1

    @property
    def spacing(self) -> float | None:
        """The step along the normal; None for one slice or uneven ones."""
        return None if self.step is None else float(self.step @ self.normal)

    @property
    def tilt(self) -> float:
        """Degrees between the step and the normal."""
        if self.step is None:
            return 0.0
        return float(np.degrees(np.arccos(np.clip(self.step @ self.normal / np.linalg.norm(self.step), -1, 1))))


def find_slices(positions: npt.NDArray[np.float64], normal: Vector, pixel: float | None) -> Slices:
    """Sort positions into slices.

    Args:
        positions: (frames, 3) positions of first pixels.
        normal: Unit vector along which slices ascend.
        pixel: The larger pixel spacing; None where it is unknown.

    Raises:
        GridError: Positions are beyond reason.
    """
    if np.abs(positions).max() > FARTHEST:
        raise GridError("ImagePositionPatient of a frame lies beyond any patient.")
    along = positions @ normal
    tolerance = _rounding(pixel)
    order = np.argsort(along, kind="stable")
    begins = np.concatenate([[True], np.diff(along[order]) > tolerance])
    places = np.empty(len(along), np.int64)
    places[order] = np.cumsum(begins) - 1
    first = order[begins]
    slices = Slices(normal, along[first], positions[first], places, None)
    apart = off_slices(positions, slices).max() > max(_SAME, _PART * (pixel or 0.0))
    return slices if apart else _with_step(slices, pixel)


def _rounding(pixel: float | None) -> float:
    return _SAME if pixel is None else min(_SAME, _PART * pixel)


def off_slices(positions: npt.NDArray[np.float64], slices: Slices) -> Vector:
    """How far each frame lies beside the first of its slice, in millimetres."""
    distances: Vector = np.linalg.norm(positions - slices.origins[slices.places], axis=1)
    return distances


def _with_step(slices: Slices, pixel: float | None) -> Slices:
    """The same slices, with the step from each to the next where there is one."""
    count = len(slices.distances)
    if count == 1:
        return slices
    step = (slices.origins[-1] - slices.origins[0]) / (count - 1)
    lattice = slices.origins[0] + np.arange(count)[:, None] * step
    even = _same_steps(np.diff(slices.distances), float(step @ slices.normal))
    return replace(slices, step=step if even and _straight(slices, lattice, pixel) else None)


def _same_steps(gaps: Vector, spacing: float) -> bool:
    return bool((abs(gaps - spacing) <= max(_SAME * spacing, min(_SAME, _UNEVEN * spacing))).all())


def _straight(slices: Slices, lattice: npt.NDArray[np.float64], pixel: float | None) -> bool:
    """Whether slices lie one above the other, if perhaps sheared: each where the lattice has it."""
    off = np.linalg.norm(slices.origins - lattice, axis=1).max()
    return bool(off <= max(_rounding(pixel), _PART * (pixel or 0.0)))


def with_holes(slices: Slices, spacing: float | None, pixel: float | None) -> Slices:
    """The same on a regular lattice that may have empty places: for objects that leave out empty slices.

    Args:
        slices: Those that are there.
        spacing: What the header says of the lattice; else the smallest gap counts.
        pixel: The larger pixel spacing; None where it is unknown.
    """
    if len(slices.distances) == 1:
        return slices
    gaps = np.diff(slices.distances)
    unit = spacing if spacing and spacing <= gaps.min() * (1 + _SAME) else float(gaps.min())
    extent = float(slices.distances[-1] - slices.distances[0])
    if extent / unit > _MOST_SLICES:
        return slices
    steps = np.rint((slices.distances - slices.distances[0]) / unit).astype(np.int64)
    count = int(steps[-1]) + 1
    unit = extent / max(1, count - 1)
    lattice = slices.distances[0] + steps * unit
    if abs(lattice - slices.distances).max() > max(_SAME, _SAME * unit):
        return slices
    step = (slices.origins[-1] - slices.origins[0]) / (count - 1)
    if not _straight(slices, slices.origins[0] + steps[:, None] * step, pixel):
        return replace(slices, step=None)
    index = np.arange(count)
    origins = slices.origins[0] + index[:, None] * step
    distances = slices.distances[0] + index * unit
    return Slices(slices.normal, distances, origins, steps[slices.places], step)
