"""Parallel frames in space: which place each has, and whether places lie on a lattice (PS3.3 section C.7.6.2).

Pure arithmetic on positions in millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.int64]

ROUNDING: Final = 0.01
"""Millimetres, and part of a step, up to which two places are one without a word: headers round."""

PART_OF_PIXEL: Final = 0.05
"""Of a pixel, likewise: small animals have small pixels."""

MOST_WRITTEN: Final = 0.1
"""Part of a step that is never rounding, whatever digits were written."""

JITTER: Final = 1 / 20
"""Part of a step by which frames at one place may differ, as from one run of the table to the next."""

_PART_OF_SLICE: Final = 0.25
"""Of the thickness of a slice: what is farther apart is another place, whatever the step."""

_CANDIDATES: Final = 32
"""Distances up to which places are tried to be one, the largest first."""

_MOST_SLICES: Final = 2**16

_MOST_LACKING: Final = 2
"""Slices for each that is there, up to which numbers prove where the others were."""

_SINGLE: Final = 1e-4
"""Millimetres that sums of positions in single precision may be off."""

_FEWEST_FOR_PROOF: Final = 3
"""Slices whose numbers prove where one is lost; two are always in proportion."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What counts as rounding in one stack; millimetres."""

    pixel: float | None = None
    """The larger pixel spacing; None where it is unknown."""
    thickness: float | None = None
    """SliceThickness, else SpacingBetweenSlices."""
    written: float = 0.0
    """What the last digit of positions is worth: 0.1 for tenths; 0 where digits say nothing."""
    jitter: float = 0.0
    """How far frames of one place lie apart."""

    @property
    def along(self) -> float:
        """Along the normal, whatever the step."""
        return ROUNDING if self.pixel is None else min(ROUNDING, PART_OF_PIXEL * self.pixel)

    @property
    def across(self) -> float:
        """In the plane."""
        return max(ROUNDING, PART_OF_PIXEL * (self.pixel or 0.0), self.jitter)

    @property
    def apart(self) -> float:
        """From here on, frames are never at one place."""
        slice_part = _PART_OF_SLICE * self.thickness if self.thickness else (self.pixel or 2 * ROUNDING) / 2
        return max(slice_part, self.along)


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Distinct places, ascending along the normal."""

    normal: Numbers
    codes: Codes
    """The place of each frame."""
    distances: Numbers
    """Of each place along the normal, from the origin of the patient coordinate system."""
    origins: Numbers
    """(places, 3): the centre of the first pixel, in LPS."""
    tolerance: Tolerance

    def __len__(self) -> int:
        return len(self.distances)

    def of(self, frames: Codes) -> Places:
        """The places of some of the frames alone."""
        kept, codes = np.unique(self.codes[frames], return_inverse=True)
        return replace(self, codes=codes.reshape(-1), distances=self.distances[kept], origins=self.origins[kept])

    def only(self, kept: Codes) -> Places:
        """Some of the places; ``codes`` of frames elsewhere are -1."""
        number = np.full(len(self), -1, np.int64)
        number[kept] = np.arange(len(kept))
        return replace(self, codes=number[self.codes], distances=self.distances[kept], origins=self.origins[kept])


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """Slices of one orientation, ascending along the normal; lengths in millimetres."""

    normal: Numbers
    distances: Numbers
    """Of each slice along the normal, from the origin of the patient coordinate system; absent ones too."""
    origins: Numbers
    """(slices, 3): the centre of the first pixel of each, in LPS."""
    places: Codes
    """The slice of each frame that was given."""
    step: Numbers | None
    """From the origin of one slice to the next, sheared where the gantry was tilted; None where slices are not evenly
    spaced, or where there is one."""
    absent: tuple[int, ...] = ()
    """Slices that the lattice has and no frame."""
    lost: bool = False
    """Instance numbers show that absent slices were there once."""
    rounding: float = 0.0
    """How far a slice lies off the lattice at most."""
    jitter: float = 0.0
    """How far frames of one slice lie apart at most."""

    @property
    def even(self) -> bool:
        """Whether one step leads from each slice to the next."""
        return self.step is not None or len(self.distances) == 1

    @property
    def spacing(self) -> float | None:
        """The step along the normal; None for one slice or uneven ones."""
        return None if self.step is None else float(self.step @ self.normal)

    @property
    def straight(self) -> bool:
        """Whether slices lie one above the other along the normal, whatever their distances."""
        across = self.origins - self.origins[0] - np.outer(self.distances - self.distances[0], self.normal)
        return bool(np.linalg.norm(across, axis=1).max() <= max(ROUNDING, self.jitter))

    @property
    def tilt(self) -> float:
        """Degrees between the step and the normal."""
        if self.step is None:
            return 0.0
        return float(np.degrees(np.arccos(np.clip(self.step @ self.normal / np.linalg.norm(self.step), -1, 1))))


def normal_of(orientation: Numbers) -> Numbers:
    """The unit vector along which slices ascend: row cosines times column cosines.

    Args:
        orientation: ImageOrientationPatient (0020,0037), six cosines.
    """
    normal: Numbers = np.cross(orientation[:3], orientation[3:])
    return normal / np.linalg.norm(normal)


def find_places(positions: Numbers, normal: Numbers, tolerance: Tolerance) -> Places:
    """Sort positions into places.

    Frames are at one place where they differ by rounding; by less than a twentieth of the distance to the next place;
    or by the digits that were written.

    Args:
        positions: (frames, 3) positions of first pixels.
        normal: Unit vector along which slices ascend.
        tolerance: What counts as rounding; ``written`` and ``jitter`` are found here.
    """
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order])
    tolerance = replace(tolerance, written=_last_digit(positions))
    limit = _limit(along[order], gaps, tolerance)
    codes = np.empty(len(along), np.int64)
    codes[order] = np.concatenate([[0], np.cumsum(gaps > limit)])
    first = np.full(int(codes.max()) + 1, len(along))
    np.minimum.at(first, codes, np.arange(len(along)))
    origins = positions[first]
    jitter = float(np.abs(along - along[first][codes]).max())
    across = float(np.linalg.norm(positions - origins[codes], axis=1).max())
    jitter = max(jitter, across)
    return Places(normal, codes, along[first], origins, replace(tolerance, jitter=jitter))


def off_places(positions: Numbers, places: Places) -> Numbers:
    """How far each frame lies beside the first of its place, in millimetres."""
    distances: Numbers = np.linalg.norm(positions - places.origins[places.codes], axis=1)
    return distances


def _limit(along: Numbers, gaps: Numbers, tolerance: Tolerance) -> float:
    """The largest distance along the normal up to which neighbours are at one place."""
    small = np.unique(gaps[(gaps > tolerance.along) & (gaps < tolerance.apart)])[::-1]
    for limit in small[:_CANDIDATES]:
        begins = np.flatnonzero(np.concatenate([[True], gaps > limit]))
        ends = np.concatenate([begins[1:] - 1, [len(along) - 1]])
        extent = float((along[ends] - along[begins]).max())
        if extent > tolerance.apart:
            continue
        between = float((along[begins[1:]] - along[ends[:-1]]).min()) if len(begins) > 1 else 0.0
        alone = tolerance.thickness or tolerance.pixel or 0.0 if len(begins) == 1 else between
        if extent < max(JITTER * alone, min(tolerance.written, MOST_WRITTEN * between)):
            return float(limit)
    return tolerance.along


def _last_digit(positions: Numbers) -> float:
    """What the last written digit is worth, millimetres; 0 beyond hundredths.

    Positions that were moved after they were rounded show it by how far they are from each other: along one axis that
    may be their step, along two or more it is none by chance.
    """
    for digits in range(3):
        if np.abs(np.round(positions, digits) - positions).max() < 1e-9:  # noqa: PLR2004  # noise of doubles
            return float(10.0**-digits)
    apart = positions - positions[0]
    for digits in (1, 2) if (np.ptp(apart, axis=0) > ROUNDING).sum() > 1 else ():
        if np.abs(np.round(apart, digits) - apart).max() < _SINGLE:
            return float(10.0**-digits)
    return 0.0


def find_lattice(places: Places, numbers: Numbers | None = None) -> Slices | None:
    """The lattice on which places lie, with what it lacks; None where there is none.

    Args:
        places: Of one stack.
        numbers: InstanceNumber at each place of one time or contrast, which may prove what is lost; NaN where none is.
    """
    if len(places) == 1:
        return _slices(places, np.zeros(1, np.int64), None)
    return _fitted(places, np.arange(len(places))) or _with_holes(places, numbers)


def uneven(places: Places) -> Slices:
    """The places as slices that z counts."""
    return _slices(places, np.arange(len(places)), None)


def sparse_lattice(places: Places, spacing: float | None) -> Slices:
    """Places on a lattice of which most may be absent: for objects that leave out empty slices.

    Args:
        places: Those that are there.
        spacing: What the header says of the lattice; else the smallest gap counts.
    """
    even = find_lattice(places) if len(places) == 1 else _fitted(places, np.arange(len(places)))
    gaps = np.diff(places.distances)
    unit = spacing if spacing and len(gaps) and spacing <= gaps.min() * (1 + ROUNDING) else None
    unit = unit or (float(gaps.min()) if len(gaps) else 0.0)
    extent = float(places.distances[-1] - places.distances[0])
    if not unit or extent / unit > _MOST_SLICES:
        return even or uneven(places)
    index = np.rint((places.distances - places.distances[0]) / unit).astype(np.int64)
    found = _fitted(places, index)
    return replace(found, absent=()) if found is not None else even or uneven(places)


def even_as_written(places: Places) -> bool:
    """Whether steps differ by no more than the last digits of positions: rounding, and no runs of other steps."""
    written = np.sqrt(3) * places.tolerance.written  # of a position, each coordinate of which was rounded
    line = np.linspace(places.origins[0], places.origins[-1], len(places))
    off = np.linalg.norm(places.origins - line, axis=1).max()
    return bool(max(off, np.ptp(np.diff(places.distances))) <= written * (1 + ROUNDING))


def runs(places: Places) -> list[Codes] | None:
    """Runs of even steps, from the first place on; None where they explain nothing.

    They do if each has two places or more and is even, and if they hold three places on average, or all have one step
    and the gaps between them are no rounding of it. Where all steps are even but for the digits of positions, none are.
    """
    if even_as_written(places):
        return None
    found = list(_runs(places))
    if len(found) < 2 or min(map(len, found)) < 2:  # noqa: PLR2004  # a run has two places
        return None
    if any(_fitted(places.only(run), np.arange(len(run))) is None for run in found):
        return None
    steps = np.diff(places.origins, axis=0)
    first, between = steps[0], steps[[run[0] - 1 for run in found[1:]]]
    alike = all(np.linalg.norm(steps[run[0]] - first) <= _along(first, places.tolerance) for run in found)
    rounded = bool((np.abs(between - first) <= 2 * places.tolerance.written + ROUNDING).all())
    return found if len(places) >= 3 * len(found) or (alike and not rounded) else None


def _runs(places: Places) -> Iterator[Codes]:
    steps = np.diff(places.origins, axis=0)
    begin = 0
    while begin < len(places):
        end = begin + 1
        while end < len(places) and _same_step(steps[begin], steps[end - 1], places.tolerance):
            end += 1
        yield np.arange(begin, end)
        begin = end


def _same_step(one: Numbers, other: Numbers, tolerance: Tolerance) -> bool:
    """Whether two steps are one, but for rounding and jitter, which end no run."""
    limit = max(2 * _along(one, tolerance), JITTER * float(np.linalg.norm(one)))
    return bool(np.linalg.norm(other - one) <= limit)


def _along(step: Numbers, tolerance: Tolerance) -> float:
    """How far a slice may lie off the lattice along its step."""
    length = float(np.linalg.norm(step))
    rounding = min(max(ROUNDING, 2 * tolerance.written), MOST_WRITTEN * length)
    return max(ROUNDING * length, rounding, tolerance.jitter)


def _fitted(places: Places, index: Codes) -> Slices | None:
    """The lattice from the first place to the last on which each has this index, if all lie there."""
    count = int(index[-1]) + 1
    if count - 1 < len(index) - 1 or len(np.unique(index)) < len(index):
        return None
    step = (places.origins[-1] - places.origins[0]) / (count - 1)
    off = places.origins - (places.origins[0] + index[:, None] * step)
    along = np.abs(off @ places.normal)
    across = np.linalg.norm(off - np.outer(off @ places.normal, places.normal), axis=1)
    limit = _along(step, places.tolerance)
    beside = max(places.tolerance.across, min(2 * places.tolerance.written, MOST_WRITTEN * float(np.linalg.norm(step))))
    if along.max() > limit or across.max() > beside:
        return None
    return _slices(places, index, step, float(np.linalg.norm(off, axis=1).max()))


def _slices(places: Places, index: Codes, step: Numbers | None, rounding: float = 0.0) -> Slices:
    count = int(index[-1]) + 1
    origins, distances = places.origins, places.distances
    if count > len(places) and step is not None:
        origins = origins[0] + np.arange(count)[:, None] * step
        distances = distances[0] + np.arange(count) * float(step @ places.normal)
    absent = tuple(np.setdiff1d(np.arange(count), index).tolist())
    codes = np.where(places.codes < 0, -1, index[places.codes])
    jitter = places.tolerance.jitter if places.tolerance.jitter > places.tolerance.along else 0.0
    return Slices(places.normal, distances, origins, codes, step, absent, rounding=rounding, jitter=jitter)


def _with_holes(places: Places, numbers: Numbers | None) -> Slices | None:
    """A lattice that lacks few slices, as the commonest gap or the instance numbers show it."""
    if numbers is not None and (index := _proportional(places, numbers)) is not None:
        found = _fitted(places, index)
        if found is not None:
            return replace(found, lost=True)
    index = _by_gaps(np.diff(places.distances), places.tolerance)
    return None if index is None else _fitted(places, index)


def _proportional(places: Places, numbers: Numbers) -> Codes | None:
    """The index of each place, if instance numbers rise or fall in proportion to distance."""
    if len(places) < _FEWEST_FOR_PROOF or np.isnan(numbers).any():
        return None
    steps = np.diff(numbers)
    if not ((steps > 0).all() or (steps < 0).all()):
        return None
    unit = np.gcd.reduce(np.abs(steps).astype(np.int64))
    index: Codes = np.concatenate([[0], np.cumsum(np.abs(steps).astype(np.int64) // unit)])
    return index if len(places) < index[-1] + 1 <= _MOST_LACKING * len(places) else None


def _by_gaps(gaps: Numbers, tolerance: Tolerance) -> Codes | None:
    """The index of each place, if most gaps are one step and the others a few holes."""
    ascending = np.sort(gaps)
    near = np.maximum(ROUNDING * ascending, tolerance.along)
    begins, ends = np.searchsorted(ascending, ascending - near), np.searchsorted(ascending, ascending + near, "right")
    commonest = int(np.argmax(ends - begins))
    alike = ascending[begins[commonest] : ends[commonest]]
    unit = float(alike.mean())
    if 2 * len(alike) <= len(gaps) or ascending[0] <= 0 or gaps.sum() / unit > _MOST_SLICES:
        return None
    widths = np.rint(gaps / unit).astype(np.int64) - 1
    holes = np.flatnonzero(widths > 0)
    index: Codes = np.concatenate([[0], np.cumsum(widths + 1)])
    few = 4 * int(widths.sum()) <= int(index[-1]) + 1
    bounds = np.concatenate([[-1], holes, [len(gaps)]])
    lengths = np.diff(bounds)  # places in the runs between holes
    narrow = all(widths[hole] <= min(lengths[at], lengths[at + 1]) for at, hole in enumerate(holes))
    return index if widths.min() >= 0 and few and narrow and (np.diff(holes) > 1).all() else None
