"""Which attributes tell apart the frames at one place: the fewest that leave no doubt and no hole. Pure arithmetic."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.clock import in_order
from dicomzarr.dicom.dimensions import ACQUISITION_TIME, ATTRIBUTES, BY_NAME, FRAME_NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.dimensions import Value
    from dicomzarr.dicom.frame import Frame

    Codes = npt.NDArray[np.int64]

_MOST_TOGETHER: Final = 4
_MOST_TRIED: Final = 12
"""Attributes that are combined: more do not occur, and combinations grow fast."""

_INDEX_AXES: Final = {"index_00209057": "z", "index_00209128": "t"}
"""Axes of dimension indices: of InStackPositionNumber and TemporalPositionIndex; others become c."""

_EVEN_BEATS: Final = 0.2
"""Part of a mean step by which those within a heartbeat may differ from it."""

_COMPONENT_ORDER: Final = ("magnitude", "phase", "real", "imaginary")


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One attribute of all frames, as places in its sorted distinct values."""

    name: str
    codes: Codes
    count: int
    """Distinct values, or ranks."""
    levels: tuple[Value, ...] = ()
    """The distinct values, in their order; none of ranks."""

    @property
    def axis(self) -> str:
        """The axis that it becomes."""
        return BY_NAME[self.name].axis if self.name in BY_NAME else _INDEX_AXES.get(self.name, "c")


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Attributes that tell frames apart."""

    columns: tuple[Column, ...]
    complete: bool
    """Every place has a frame for each combination that occurs."""

    @property
    def codes(self) -> Codes:
        """The combination of each frame, as a number from 0."""
        return combined([column.codes for column in self.columns])


def choose(frames: Sequence[Frame], places: Codes) -> Choice | None:
    """The fewest attributes that tell apart the frames of each place; None where nothing does.

    Args:
        frames: Frames of one image.
        places: The slice of each.
    """
    incomplete: Choice | None = None
    for columns in _offers(frames, places):
        if not columns or _weigh(tuple(columns), places) is None:
            continue  # not even all of them together tell all frames apart
        for size in range(1, min(_MOST_TOGETHER, len(columns)) + 1):
            for subset in itertools.combinations(columns, size):
                choice = _weigh(subset, places)
                if choice is not None and choice.complete:
                    return choice
                incomplete = _fewer_holes(incomplete, choice)
    return incomplete


def by_segment(frames: Sequence[Frame]) -> Choice | None:
    """The segments that frames show, of which each may leave out any slice; None where there is but one."""
    column = _column(frames, "segment")
    return None if column.count == 1 else Choice((column,), complete=False)


def _offers(frames: Sequence[Frame], places: Codes) -> Iterator[list[Column]]:
    """Lists of columns, the most meaningful first: those meant to tell apart, times by their rank, then all."""
    names = [row.name for row in ATTRIBUTES]
    names += sorted({name for frame in frames for name in frame.values if name.startswith("index_")})
    found = [column for name in names if (column := _varying(frames, name, places)) is not None]
    strong = [column for column in found if column.name in BY_NAME and BY_NAME[column.name].strong]
    yield strong[:_MOST_TRIED]
    yield _all_ranked(strong[:_MOST_TRIED], places)
    yield found[:_MOST_TRIED]
    yield _all_ranked(found[:_MOST_TRIED], places)
    if len({frame.whole for frame in frames}) == 1 == len(np.unique(places)):
        codes = combined(list(np.array([frame.number_in_whole for frame in frames], np.int64).T))
        yield [Column(FRAME_NUMBER.name, codes, int(codes.max()) + 1)]


def _varying(frames: Sequence[Frame], name: str, places: Codes) -> Column | None:
    """The column of an attribute, unless all frames of each place have the same."""
    column = _column(frames, name)
    varies = column.count > 1 and len(np.unique(combined([places, column.codes]))) > len(np.unique(places))
    return column if varies else None


def _column(frames: Sequence[Frame], name: str) -> Column:
    values = [frame.values.get(name) for frame in frames]
    if name == ACQUISITION_TIME:
        values = in_order(values)
    distinct = sorted(set(values), key=lambda value: sort_key(name, value))
    if any(isinstance(value, tuple) for value in distinct):  # directions have no order but that of acquisition
        ordered = sorted(zip((frame.order for frame in frames), values, strict=True), key=lambda pair: pair[0])
        distinct = sorted(dict.fromkeys(value for _, value in ordered), key=lambda value: value is not None)
    number = {value: place for place, value in enumerate(distinct)}
    return Column(name, np.array([number[value] for value in values], np.int64), len(distinct), tuple(distinct))


def sort_key(name: str, value: Value) -> tuple[object, ...]:
    """Nothing before something, numbers by size, components as they are spoken of."""
    if value is None:
        return (0,)
    if name == "component" and value in _COMPONENT_ORDER:
        return (1, _COMPONENT_ORDER.index(str(value)))
    return (1, str(value)) if isinstance(value, str) else (1, value)


def _all_ranked(columns: Sequence[Column], places: Codes) -> list[Column]:
    return [ranked for column in columns if (ranked := _ranked(column, places)) is not None]


def _ranked(column: Column, places: Codes) -> Column | None:
    """Times differ a little from slice to slice: their rank among those of a slice does not.

    None where one time of a clock has different ranks in different slices: then slices lack times, which ranks hide.
    """
    if column.axis != "t":
        return column
    pairs, inverse = np.unique(np.stack([places, column.codes]), axis=1, return_inverse=True)
    first = np.searchsorted(pairs[0], pairs[0])
    ranks = np.arange(pairs.shape[1]) - first
    differ = np.unique(np.stack([pairs[1], ranks]), axis=1).shape[1] > len(np.unique(pairs[1]))
    if differ and not _own_clocks(column, pairs):
        return None
    return Column(column.name, ranks[inverse.reshape(-1)], int(ranks.max()) + 1)


def _own_clocks(column: Column, pairs: Codes) -> bool:
    """Whether each slice counts evenly by its own heartbeat: no time is lacking, though ranks of one time differ.

    Args:
        column: Times.
        pairs: (slice, place in the column's values), sorted.
    """
    if column.name not in BY_NAME or not BY_NAME[column.name].cyclic or None in column.levels:
        return False
    times = np.array(column.levels, np.float64)[pairs[1]]
    steps = np.diff(times)[np.diff(pairs[0]) == 0]
    of = pairs[0][1:][np.diff(pairs[0]) == 0]
    means = np.bincount(of, steps) / np.maximum(np.bincount(of), 1)
    even = abs(steps - means[of]) <= _EVEN_BEATS * means[of]
    begins = times[np.concatenate([[True], np.diff(pairs[0]) > 0])]
    return bool(even.all() and np.ptp(begins) <= means[of].min(initial=np.inf) / 2)


def _weigh(columns: tuple[Column, ...], places: Codes) -> Choice | None:
    codes = combined([column.codes for column in columns])
    if len(np.unique(combined([places, codes]))) < len(places):
        return None
    cells = len(np.unique(places)) * (int(codes.max()) + 1)
    return Choice(columns, complete=cells == len(places))


def _fewer_holes(known: Choice | None, other: Choice | None) -> Choice | None:
    if known is None or other is None:
        return known or other
    return other if other.codes.max() < known.codes.max() else known


def combined(columns: Sequence[Codes]) -> Codes:
    """One number for each combination of numbers that occurs, in their order."""
    _, inverse = np.unique(np.stack(columns), axis=1, return_inverse=True)
    return inverse.reshape(-1).astype(np.int64)


def independent(choice: Choice) -> list[tuple[Column, ...]]:
    """Dimensions: attributes of which every combination occurs are apart, the others go along one axis together."""
    together = list(choice.columns)
    apart: list[tuple[Column, ...]] = []
    for column in choice.columns:
        others = [other for other in together if other is not column]
        if not others:
            break
        rest = combined([other.codes for other in others])
        both = combined([column.codes, rest])
        if (int(both.max()) + 1) == column.count * (int(rest.max()) + 1):
            apart.append((column,))
            together = others
    return [*apart, tuple(together)]
