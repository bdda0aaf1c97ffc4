"""Attributes of frames as columns of integers: what may tell frames apart. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.volume.clock import in_order
from dicomzarr.dicom.volume.dimensions import ATTRIBUTES, BY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.model.values import Value
    from dicomzarr.dicom.volume.frame import Frame

    Codes = npt.NDArray[np.int64]

ACQUISITION_ORDER: Final = "acquisition_order"
"""Times of which nothing but their order is known."""

_OTHER_AXES: Final = {
    **dict.fromkeys(("index_00200032", "index_00209057", "index_00209301"), "z"),
    **dict.fromkeys(("index_00209128", "index_0020930D"), "t"),
    ACQUISITION_ORDER: "t",
}
"""Axes of dimension indices; others become c.

Of ImagePositionPatient, InStackPositionNumber, ImagePositionVolume; TemporalPositionIndex, TemporalPositionTimeOffset.
"""

_COMPONENT_ORDER: Final = ("magnitude", "phase", "real", "imaginary")

_EVEN_BEATS: Final = 0.2
"""Part of a mean step by which those within a heartbeat may differ from it."""

_MOST_COLLISIONS: Final = 1 / 20
"""Part of the frames whose time another frame at their place has too; above it times tell nothing."""

_MOSTLY_HELD: Final = 1 / 2
"""Part of the cells above which values that some places have and others lack were lost there."""

_A_PAUSE: Final = 3
"""Times a gap from which another is a pause, and not one of the same kind."""

_BY_CHANCE: Final = 1 / 4
"""Part of the slices below which those that share a value of a contrast do so by chance: each has its own."""

STRONG, WEAK, ORDER, LAST = range(4)
"""How much a column is meant to tell frames apart: made for it, varies for many reasons, order only, a last resort."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One attribute of all frames, as places in its sorted distinct values, or as ranks."""

    name: str
    codes: Codes
    count: int
    """Distinct values, or ranks."""
    levels: tuple[Value, ...] = ()
    """The distinct values, in their order; none of ranks."""
    strength: int = STRONG
    apart: bool = False
    """Its values are images of their own, and never an axis."""

    @property
    def axis(self) -> str:
        """The axis that it becomes."""
        return BY_NAME[self.name].axis if self.name in BY_NAME else _OTHER_AXES.get(self.name, "c")

    @property
    def is_contrast(self) -> bool:
        """Two of its values must not lie in one stack of slices."""
        return self.name in BY_NAME and BY_NAME[self.name].contrast

    @property
    def counts_times(self) -> bool:
        """Its values are times of whole stacks, by the header: positions and phases, not seconds of each slice."""
        row = BY_NAME.get(self.name)
        return row is not None and row.axis == "t" and row.strong and row.unit not in ("s", "ms")

    def holds_stacks(self, places: Codes) -> bool:
        """Whether values hold two places or more each, so that they must not lie in one stack of slices.

        Few slices that share a value, among many that have their own, do so by chance.

        Args:
            places: Of each frame.
        """
        if not self.is_contrast:
            return False
        cells = np.unique(self.codes * (int(places.max()) + 1) + places)
        held = np.bincount(cells // (int(places.max()) + 1))
        shared = held[held > 1]
        by_chance = shared.sum() < _BY_CHANCE * held.sum()
        return len(shared) > 1 and not by_chance and (held.min() > 1 or not BY_NAME[self.name].of_each_slice)

    def of(self, frames: Codes) -> Column:
        """The same of some of the frames, with the codes that they have left."""
        kept, codes = np.unique(self.codes[frames], return_inverse=True)
        levels = tuple(self.levels[code] for code in kept.tolist()) if self.levels else ()
        return replace(self, codes=codes.reshape(-1), count=len(kept), levels=levels)


def columns_of(frames: Sequence[Frame]) -> list[Column]:
    """The columns of all attributes that vary, in the order of the table."""
    told = names_in(frames)
    names = [row.name for row in ATTRIBUTES if row.name in told]
    names += sorted(name for name in told if name.startswith("index_"))
    found = [column_of(frames, name) for name in names]
    return [column for column in found if column.count > 1]


def names_in(frames: Iterable[Frame]) -> set[str]:
    """The attributes that any of the frames has."""
    return set[str]().union(*(frame.values for frame in frames))


def column_of(frames: Sequence[Frame], name: str) -> Column:
    """The column of an attribute, whether it varies or not."""
    values = [frame.values.get(name) for frame in frames]
    row = BY_NAME.get(name)
    if row is not None and row.clock:
        values = in_order(values)
    distinct = sorted(set(values), key=lambda value: sort_key(name, value))
    if any(isinstance(value, tuple) for value in distinct) or (row is not None and row.as_acquired):
        ordered = sorted(zip((frame.order for frame in frames), values, strict=True), key=lambda pair: pair[0])
        distinct = sorted(dict.fromkeys(value for _, value in ordered), key=lambda value: value is not None)
    number = {value: place for place, value in enumerate(distinct)}
    codes = np.array([number[value] for value in values], np.int64)
    strength = STRONG if row is None or row.strong else WEAK
    strength = LAST if row is not None and row.last_resort else strength
    return Column(name, codes, len(distinct), tuple(distinct), strength)


def sort_key(name: str, value: Value) -> tuple[object, ...]:
    """Nothing before something, numbers by size, components as they are spoken of."""
    if value is None:
        return (0,)
    if name == "component" and value in _COMPONENT_ORDER:
        return (1, _COMPONENT_ORDER.index(str(value)))
    return (1, str(value)) if isinstance(value, str | tuple) else (1, value)


def combined(columns: Sequence[Codes]) -> Codes:
    """One number for each combination of numbers that occurs, in their order."""
    found = columns[0]
    for codes in columns[1:]:
        found = found * (int(codes.max(initial=0)) + 1) + codes
        found = np.unique(found, return_inverse=True)[1].reshape(-1)
    return np.unique(found, return_inverse=True)[1].reshape(-1).astype(np.int64)


def distinct_partitions(columns: Sequence[Column]) -> Iterator[Column]:
    """Columns that part the frames alike are one: the first."""
    seen = set()
    for column in columns:
        first = np.full(column.count, len(column.codes))
        np.minimum.at(first, column.codes, np.arange(len(column.codes)))
        key = first[column.codes].tobytes()
        if key not in seen:
            seen.add(key)
            yield column


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


def ranked(column: Column, places: Codes, groups: Codes, order: Column | None, numbers: Codes) -> Column | None:
    """A column by the rank of its values at each place; None where ranks could hide that some are lacking.

    Times that differ a little from place to place have a rank that does not. Contrasts are ranked only where the
    ranges of ranks do not overlap over the places, or where the order of acquisition has the same ranks.

    Args:
        column: Of numbers.
        places: The place of each frame.
        groups: Place and contrast of each frame: within them values are ranked.
        order: Of acquisition, if it is known.
        numbers: InstanceNumber of each frame.
    """
    if any(not isinstance(level, float | int) for level in column.levels):
        return None
    found = ranks(column.codes, groups)
    if found is None or found.count * (int(groups.max()) + 1) < len(column.codes):
        found = _with_collisions(column, places, groups, numbers) or found
    if found is None or found.count == 1:
        return None
    as_times = column.axis == "t"
    if order is not None and _differ(order.codes, found.codes):
        return None
    if not (as_times and _own_clocks(column, groups)):
        by_rank = _disjoint(column, found.codes, touching=bool(found.collisions))
        by_rank = by_rank and (order is not None or not as_times or _in_bursts(column, found.codes))
        by_place = as_times and not _differ(column.codes, found.codes) and _disjoint(column, places)
        agree = by_rank or by_place or _same_order(found.codes, groups, order)
        if not agree or _lacks_values(column, found, groups):
            return None
    return replace(column, codes=found.codes, count=found.count, levels=())


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
    values = np.array(column.levels, np.float64)[column.codes]
    count = int(by.max()) + 1
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, by, values)
    np.maximum.at(high, by, values)
    order = np.argsort(low, kind="stable")
    begins, ends = low[order][1:], high[order][:-1]
    return bool((begins >= ends if touching else begins > ends).all())


def _in_bursts(column: Column, found: Codes) -> bool:
    """Whether pauses are between ranks and not within some of them, as where slices lost the first or the last time.

    Args:
        column: Of times, whose ranks do not overlap.
        found: Their ranks.
    """
    pairs = np.unique(found * column.count + column.codes)
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


def independent(columns: Sequence[Column]) -> list[tuple[Column, ...]]:
    """Dimensions: attributes of which every combination occurs are apart, the others go along one axis together."""
    together = list(columns)
    apart: list[tuple[Column, ...]] = []
    inseparable = _inseparable({column.name for column in columns})
    for column in (column for column in columns if column.name not in inseparable):
        others = [other for other in together if other is not column]
        if not others:
            break
        rest = combined([other.codes for other in others])
        both = combined([column.codes, rest])
        if (int(both.max()) + 1) == column.count * (int(rest.max()) + 1):
            apart.append((column,))
            together = others
    return [*apart, tuple(together)] if together else apart


def _inseparable(names: set[str]) -> set[str]:
    """Those of some attributes of which one counts within the values of the other."""
    inner = {name for name in names if name in BY_NAME and BY_NAME[name].within in names}
    return inner | {BY_NAME[name].within for name in inner}


def in_significance(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Attributes of one axis, those first that change the slowest.

    Vectors of nuclear medicine count within each other, as time slices within phases, in the order of the table.
    """
    rows = [BY_NAME.get(column.name) for column in columns]
    if not all(row is not None and row.vector for row in rows):
        return columns
    order = {row.name: place for place, row in enumerate(ATTRIBUTES)}
    return tuple(sorted(columns, key=lambda column: order[column.name]))
