"""Attributes of frames as columns of integers: what may tell frames apart. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.volume.clock import in_order
from dicomzarr.dicom.volume.dimensions import ATTRIBUTES, BY_NAME, SEGMENT, TIME_TAGS

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
    **dict.fromkeys(("index_00220031", "index_00220032"), "z"),
    **{f"index_{tag}": "t" for tag in TIME_TAGS},
    **dict.fromkeys(("index_00081160", "index_00081155"), "t"),
    ACQUISITION_ORDER: "t",
}
"""Axes of dimension indices; others become c.

Of ImagePositionPatient, InStackPositionNumber, ImagePositionVolume; OphthalmicFrameLocationSequence and its
ReferenceCoordinates; attributes that become t themselves; ReferencedFrameNumber, ReferencedSOPInstanceUID: the frames
that those of a segmentation were made of.
"""

_COMPONENT_ORDER: Final = ("magnitude", "phase", "real", "imaginary")

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
    return [column_of(frames, name) for name in names if _varies(frames, name)]


def _varies(frames: Sequence[Frame], name: str) -> bool:
    values = [frame.values.get(name) for frame in frames]
    return values.count(values[0]) < len(values)


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
    return (alike[0] for alike in partitions(columns))


def partitions(columns: Sequence[Column]) -> list[list[Column]]:
    """Columns that part the frames alike, together; in the order of the first of each."""
    found: dict[bytes, list[Column]] = {}
    for column in columns:
        first = np.full(column.count, len(column.codes))
        np.minimum.at(first, column.codes, np.arange(len(column.codes)))
        found.setdefault(first[column.codes].tobytes(), []).append(column)
    return list(found.values())


def independent(columns: Sequence[Column]) -> list[tuple[Column, ...]]:
    """Dimensions: attributes of which every combination occurs are apart, the others go along one axis together.

    Segments are apart from all else: combinations lack where writers left out what is empty.
    """
    apart: list[tuple[Column, ...]] = [(column,) for column in columns if column.name == SEGMENT]
    together = [column for column in columns if column.name != SEGMENT]
    inseparable = _inseparable({column.name for column in columns})
    for column in [column for column in together if column.name not in inseparable]:
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
