"""Values by their rank among those that others at their place have: times that differ a little from place to place.

Ranks hide what is lacking, so they count only where nothing shows that anything is. Pure arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.volume.acquisition_order import mixes
from dicomzarr.dicom.volume.dimensions import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.volume.columns import Column

    Codes = npt.NDArray[np.int64]

_EVEN_BEATS: Final = 0.2
"""Part of a mean step by which those within a heartbeat may differ from it."""

_MOST_COLLISIONS: Final = 1 / 20
"""Part of the frames whose time another frame at their place has too; above it times tell nothing."""

_MOSTLY_HELD: Final = 1 / 2
"""Part of the cells above which values that some places have and others lack were lost there."""

_A_PAUSE: Final = 3
"""Times a gap from which another is a pause, and not one of the same kind."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranks:
    """The place of each frame's value among the values that others of its group have."""

    codes: Codes
    count: int
    collisions: int = 0
    """Frames whose value another of their group has too."""


def ranks(codes: Codes, groups: Codes, numbers: Codes | None = None) -> Ranks | None:
    """Ranks of values within groups; None unless each group has equally many.

    Args:
        codes: Of values, in their order.
        groups: Of frames, from 0.
        numbers: Order the frames that have one value; else those have one rank.
    """
    order = np.lexsort((codes, groups) if numbers is None else (numbers, codes, groups))
    by_group, by_code = groups[order], codes[order]
    new_group = np.concatenate([[True], np.diff(by_group) != 0])
    new_code = new_group | np.concatenate([[True], np.diff(by_code) != 0])
    steps = new_code if numbers is None else np.ones_like(new_code)
    running = np.cumsum(steps) - 1
    first = running[np.maximum.accumulate(np.where(new_group, np.arange(len(order)), 0))]
    found = np.empty(len(codes), np.int64)
    found[order] = running - first
    each = np.zeros(int(groups.max()) + 1, np.int64)
    np.maximum.at(each, groups, found)
    if each.min() != each.max():
        return None
    return Ranks(found, int(each[0]) + 1, int(len(codes) - new_code.sum()))


def ranked(  # noqa: PLR0913, PLR0917  # all that may show that values are lacking
    column: Column, places: Codes, groups: Codes, order: Column | None, numbers: Codes, told: Sequence[Column] = ()
) -> Column | None:
    """A column by the rank of its values at each place; None where ranks could hide that some are lacking.

    Times that differ a little from place to place have a rank that does not. Contrasts are ranked only where the
    ranges of ranks do not overlap over the places, or where the order of acquisition has the same ranks.

    Args:
        column: Of numbers.
        places: The place of each frame.
        groups: Place and contrast of each frame: within them values are ranked.
        order: Of acquisition, if it is known.
        numbers: InstanceNumber of each frame.
        told: Other attributes that tell times.
    """
    if any(not isinstance(level, float | int) for level in column.levels):
        return None
    found = ranks(column.codes, groups)
    if found is None or found.count * (int(groups.max()) + 1) < len(column.codes):
        found = _with_collisions(column, places, groups, numbers) or found
    if found is None or found.count == 1:
        return None
    as_times = column.axis == "t"
    others = [other for other in told if other is not column] if as_times else []
    if (order is not None and _hide_lost(order, found.codes, places, as_times=as_times)) or any(
        other.counts_times and mixes(found.codes, other, places) for other in others
    ):
        return None
    if not (as_times and _own_clocks(column, groups)):
        by_rank = _disjoint(column, found.codes, touching=bool(found.collisions))
        by_rank = by_rank and (order is not None or not as_times or _in_bursts(column, found.codes, groups))
        by_place = as_times and not _differ(column.codes, found.codes) and _disjoint(column, places)
        by_place = by_place and not any(
            contradicts(found.codes, other, groups, clocks=order is None) for other in others
        )
        by_place = by_place and not _leave_holes(numbers, found, groups)
        agree = by_rank or by_place or _same_order(found.codes, groups, order)
        if not agree or _lacks_values(column, found, groups):
            return None
    return replace(column, codes=found.codes, count=found.count, levels=())


def _hide_lost(order: Column, found: Codes, places: Codes, *, as_times: bool) -> bool:
    """Whether one time of the order of acquisition has several ranks, or it has more times than are at any place."""
    return _differ(order.codes, found) or (as_times and order.count > int(np.bincount(places).max()))


def _with_collisions(column: Column, places: Codes, groups: Codes, numbers: Codes) -> Ranks | None:
    """Times of which a few are the same at one place, in the order of InstanceNumber."""
    if column.axis != "t":
        return None
    pairs, inverse, counts = np.unique(groups * column.count + column.codes, return_inverse=True, return_counts=True)
    collided = counts[inverse.reshape(-1)] > 1
    everywhere = len(np.unique(places[collided])) == len(np.unique(places))
    if everywhere or len(column.codes) - len(pairs) >= _MOST_COLLISIONS * len(column.codes):
        return None
    return ranks(column.codes, groups, numbers)


def _disjoint(column: Column, by: Codes, *, touching: bool = False) -> bool:
    """Whether all values of one rank, or place, lie below all values of the next, or touch them."""
    low, high = _ends(column, by)
    order = np.argsort(low, kind="stable")
    begins, ends = low[order][1:], high[order][:-1]
    return bool((begins >= ends if touching else begins > ends).all())


def _ends(column: Column, by: Codes) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The least and the greatest value of each rank, or place."""
    values = np.array(column.levels, np.float64)[column.codes]
    count = int(by.max()) + 1
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, by, values)
    np.maximum.at(high, by, values)
    return low, high


def _in_bursts(column: Column, found: Codes, groups: Codes) -> bool:
    """Whether pauses are between ranks and not within some of them, as where slices lost the first or the last time.

    Args:
        column: Of times, whose ranks do not overlap.
        found: Their ranks.
        groups: Place and contrast of each frame; those in which times collide show no pauses.
    """
    pairs, counts = np.unique(groups * column.count + column.codes, return_counts=True)
    shown = ~np.isin(groups, pairs[counts > 1] // column.count)
    pairs = np.unique((found * column.count + column.codes)[shown if shown.any() else ...])
    rank, times = pairs // column.count, np.array(column.levels, np.float64)[pairs % column.count]
    within = np.diff(rank) == 0
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers that are no times
        gaps = np.diff(times)
        pauses = np.zeros(int(rank[-1]) + 1)
        np.maximum.at(pauses, rank[1:][within], gaps[within])
        most, between = pauses.max(), gaps[~within].min(initial=np.inf)
        return bool(most <= _A_PAUSE * between and (most <= between / 2 or most <= _A_PAUSE * pauses.min()))


def _lacks_values(column: Column, found: Ranks, groups: Codes) -> bool:
    """Whether groups share some values and differ in others that are as far apart as times are: those were lost.

    A clock of each slice has values of its own, of which others hold one by chance: most cells would be absent.

    Args:
        column: Of numbers.
        found: Their ranks.
        groups: Place and contrast of each frame.
    """
    table = np.empty((int(groups.max()) + 1, found.count), np.int64)
    table[groups, found.codes] = column.codes
    kinds = np.unique(table[(np.diff(table, axis=1) > 0).all(axis=1)], axis=0)  # those that collide show no loss
    if len(kinds) == 1 or np.bincount(kinds.reshape(-1), minlength=1).max() <= 1:
        return False
    cells = len(np.unique(groups * column.count + column.codes))
    few = column.counts_times or cells > _MOSTLY_HELD * len(table) * column.count
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers that are no times
        values = np.array(column.levels, np.float64)[kinds]
        steps = np.diff(values, axis=1).min(initial=np.inf)
        return few and bool(np.ptp(values, axis=0).max() > steps / 2)


def _same_order(found: Codes, groups: Codes, order: Column | None) -> bool:
    if order is None:
        return False
    by_order = ranks(order.codes, groups)
    return by_order is not None and bool((by_order.codes == found).all()) and not _differ(order.codes, found)


def _differ(values: Codes, found: Codes) -> bool:
    """Whether one value has different ranks."""
    pairs = np.unique(values * (int(found.max()) + 1) + found)
    return len(pairs) > len(np.unique(values))


def contradicts(times: Codes, told: Column, groups: Codes, *, clocks: bool = False) -> bool:
    """Whether frames have one time by the header, and others by what was made of another attribute or of numbers.

    The header's times count if they are common to most slices.

    Args:
        times: Of each frame, as it was made.
        told: Times by the header.
        groups: Place and contrast of each frame.
        clocks: Times of the day count too, which may read alike by chance.
    """
    if told.axis != "t" or told.name not in BY_NAME or (BY_NAME[told.name].clock and not clocks):
        return False
    cells = len(np.unique(groups * told.count + told.codes))
    common = cells == len(groups) and cells > _MOSTLY_HELD * (int(groups.max()) + 1) * told.count
    if not common or any(not isinstance(level, float | int) for level in told.levels) or _own_clocks(told, groups):
        return False
    return _differ(told.codes, times) or (not BY_NAME[told.name].clock and _spans_steps(told, times, groups))


def _spans_steps(told: Column, times: Codes, groups: Codes) -> bool:
    """Whether values of one time are as far apart as times are, and not as headers that round."""
    low, high = _ends(told, times)
    order = np.lexsort((told.codes, groups))
    values = np.array(told.levels, np.float64)[told.codes[order]]
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers that are no times
        steps = np.diff(values)[np.diff(groups[order]) == 0]
        return bool((high - low).max() > steps.min(initial=np.inf) / 2)


def _leave_holes(numbers: Codes, found: Ranks, groups: Codes) -> bool:
    """Whether InstanceNumber rises evenly with the rank at each place, but for holes that others do not have."""
    if len(np.unique(numbers)) < len(numbers) or found.collisions or found.count == 1:
        return False
    table = np.zeros((int(groups.max()) + 1, found.count), np.int64)
    table[groups, found.codes] = numbers
    steps = np.diff(table, axis=1)
    least = int(steps.min())
    even = least > 0 and not (steps % least).any() and 2 * int((steps == least).sum()) > steps.size
    return even and bool((steps != steps[0]).any())


def _own_clocks(column: Column, groups: Codes) -> bool:
    """Whether each slice counts evenly by its own heartbeat: no time is lacking, though ranks of one time differ."""
    if column.name not in BY_NAME or not BY_NAME[column.name].cyclic:
        return False
    pairs = np.unique(groups * column.count + column.codes)
    of, times = pairs // column.count, np.array(column.levels, np.float64)[pairs % column.count]
    same = np.diff(of) == 0
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers that are no times
        steps, of_step = np.diff(times)[same], of[1:][same]
        means = np.bincount(of_step, steps) / np.maximum(np.bincount(of_step), 1)
        even = abs(steps - means[of_step]) <= _EVEN_BEATS * means[of_step]
        begins = times[np.concatenate([[True], ~same])]
        return bool(len(steps) and even.all() and np.ptp(begins) <= means[np.unique(of_step)].min() / 2)
