"""The order in which frames were acquired, where nothing else tells times apart: by InstanceNumber (0020,0013).

In a series that goes through all places again and again, whichever loop is the inner one,
InstanceNumber = a + k z, where z is the place on the lattice, k one whole number for all frames, and a the same for the
frames of one time. A lost file is a hole in that, never a shift. Pure arithmetic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.volume.columns import ACQUISITION_ORDER, LAST, ORDER, Column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    Codes = npt.NDArray[np.int64]
    Numbers = npt.NDArray[np.float64]

RUN: Final = "run"

_FEWEST_PLACES: Final = 3
_MOSTLY: Final = 3 / 4
"""Part of the frames that must be in times that hold this part of the places."""

_LOST: Final = 4
"""Part of the times, or one of them, that may lack a frame at the place that has the most: more are a chance."""

_REFERENCES: Final = 3
"""Frames from which steps to the next place are tried."""

_SAME_STEP: Final = 1 / 20
"""Part of a step by which those of one run may differ: headers round."""

_NEAR: Final = 32
"""Frames of the next place that are tried before and behind the one of the same rank: files may be lost."""


def order_of(
    numbers: Codes, places: Codes, *, contrasts: Sequence[Column], clocks: Sequence[Column], most: int | None
) -> Column | None:
    """The times of frames as InstanceNumber orders them; None where it does not.

    Args:
        numbers: InstanceNumber of each frame, or its place in the order of instances and frames; all different.
        places: Of each frame, on the lattice.
        contrasts: Attributes that must not vary within one time.
        clocks: Attributes that must not fall as times rise, at any place.
        most: NumberOfTemporalPositions (0020,0105); None where it is unknown.
    """
    there = np.unique(places)
    begins_at_first = int(numbers.min()) in {0, 1}
    if len(there) < _FEWEST_PLACES and not (len(there) == _FEWEST_PLACES - 1 and begins_at_first):
        return None
    if len(np.unique(numbers)) < len(numbers):
        return None
    starts = _fewest_starts(numbers, places, there)
    if starts is None:
        return None
    codes = np.unique(starts, return_inverse=True)[1].reshape(-1)
    count = int(codes.max()) + 1
    held = np.bincount(codes, minlength=count)
    doubled = int(np.bincount(places).max())
    most_times = _most_of_one_contrast(codes, contrasts)
    refused = (
        len(np.unique(places * count + codes)) < len(codes)
        or count > doubled + max(1, doubled // _LOST)
        or held[held >= _MOSTLY * len(there)].sum() < _MOSTLY * len(codes)
        or (most is not None and most_times > most)
        or any(_varies(column.codes, codes) for column in contrasts)
        or any(_falls(clock, codes, places) for clock in clocks)
    )
    return None if refused or count == 1 else Column(ACQUISITION_ORDER, codes, count, strength=ORDER)


def _most_of_one_contrast(codes: Codes, contrasts: Sequence[Column]) -> int:
    if not contrasts:
        return int(codes.max()) + 1
    kinds = np.unique(np.stack([codes, *(column.codes for column in contrasts)]), axis=1)[1:]
    return int(np.unique(kinds, axis=1, return_counts=True)[1].max())


def _fewest_starts(numbers: Codes, places: Codes, there: Codes) -> Codes | None:
    """The a of each frame, by the k of which there are the fewest; None where several are as good."""
    best: list[tuple[int, Codes]] = []
    for k in sorted(_steps(numbers, places, there), key=abs):
        starts = numbers - k * places
        count = len(np.unique(starts))
        if not best or count <= best[0][0]:
            best = [(count, starts), *(each for each in best if each[0] == count)]
    if not best or len({_partition(starts) for _, starts in best}) > 1:
        return None
    return best[0][1]


def _partition(codes: Codes) -> bytes:
    return np.unique(codes, return_inverse=True)[1].reshape(-1).astype(np.int64).tobytes()


def _steps(numbers: Codes, places: Codes, there: Codes) -> set[int]:
    """Whole numbers that lead from some frame to one at the next place."""
    found: set[int] = set()
    between = np.diff(there)
    for first in np.unique(np.linspace(0, len(between) - 1, _REFERENCES).astype(int)).tolist():
        own, others = np.sort(numbers[places == there[first]]), np.sort(numbers[places == there[first + 1]])
        middle = len(own) // 2
        steps = others[max(0, middle - _NEAR) : middle + _NEAR + 1] - own[middle]
        whole = steps[steps % between[first] == 0] // between[first]
        found |= set(whole.tolist())
    return found - {0}


def _varies(column: Codes, codes: Codes) -> bool:
    return len(np.unique(codes * (int(column.max()) + 1) + column)) > int(codes.max()) + 1


def mixes(order: Codes, told: Column, places: Codes) -> bool:
    """Whether a time of an order holds two values that the same places tell apart; beds, which share no value, it may.

    Args:
        order: Of each frame.
        told: What the header says of its time.
        places: Of each frame.
    """
    known = np.array([level is not None for level in told.levels])[told.codes]
    order, values, places = order[known], told.codes[known], places[known]
    beds = _beds(values, places)
    own = np.unique(np.stack([order, beds, values]), axis=1)[:2]
    return len(np.unique(own, axis=1).T) < len(own.T)


def _beds(values: Codes, places: Codes) -> Codes:
    """The least place, for each frame, of all that are reached from its own by values that two of them have."""
    least = np.arange(int(places.max(initial=0)) + 1)
    while True:
        of_value = np.full(int(values.max(initial=0)) + 1, len(least))
        np.minimum.at(of_value, values, least[places])
        found = least.copy()
        np.minimum.at(found, places, of_value[values])
        if (found == least).all():
            return least[places]
        least = found


def _falls(clock: Column, codes: Codes, places: Codes) -> bool:
    order = np.lexsort((codes, places))
    same = np.diff(places[order]) == 0
    return bool((np.diff(clock.codes[order])[same] < 0).any())


def runs_of(numbers: Codes, places: Codes, distances: Numbers) -> Column | None:
    """Runs of instances that go from place to place in one direction and step, as of one bed or slab each.

    None where there is one run, some have fewer than three places, or two cover the same places: then the order tells
    nothing of beds.

    Args:
        numbers: InstanceNumber of each frame.
        places: Of each frame.
        distances: Of each frame along the normal, millimetres.
    """
    if len(np.unique(numbers)) < len(numbers) or len(numbers) < 2 * _FEWEST_PLACES:
        return None
    order = np.argsort(numbers, kind="stable")
    begins = np.array(list(_begins(np.diff(distances[order]).tolist())))
    ends = [*begins[1:].tolist(), len(order)]
    lengths = np.array(ends) - begins
    covered = {np.sort(places[order[begin:end]]).tobytes() for begin, end in zip(begins.tolist(), ends, strict=True)}
    if len(begins) == 1 or lengths.min() < _FEWEST_PLACES or len(covered) < len(begins):
        return None
    codes = np.empty(len(order), np.int64)
    codes[order] = np.repeat(np.arange(len(begins)), lengths)
    return Column(RUN, codes, len(begins), strength=LAST, apart=True)


def _begins(steps: Sequence[float]) -> Iterator[int]:
    yield 0
    step = 0.0
    for place, each in enumerate(steps, 1):
        if step == 0:
            step = each
        elif abs(each - step) > _SAME_STEP * abs(step):
            yield place
            step = 0.0
