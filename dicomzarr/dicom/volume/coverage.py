"""Which attributes tell frames apart, and which values of theirs are one image: by the places that each covers.

Every set of attributes gives each frame a value. Values with the same places are one image, others their own; a value
is never cut. The set that leaves the fewest images, and then the fewest absent cells, is chosen. Pure arithmetic.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.volume.columns import STRONG, WEAK, Column, combined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy.typing as npt

    Codes = npt.NDArray[np.int64]

MOST_SETS: Final = 60
"""Sets of attributes that are tried; each is one pass over integers."""

_MOST_WITH_OTHERS: Final = 20
"""Of these sets, those with what is no attribute: an order, or a last resort."""

_MANY_PLACES: Final = 8
"""From here on, a value may lack a twentieth of the places and keep its cells."""

_LACKING: Final = 20
_FEWEST_PLACES: Final = 3
"""Below it, nothing shows that places are a lattice."""

_COMPARED: Final = 64
"""Kinds of coverage that are compared with each other; where there are more, each is an image."""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """A set of attributes, and what frames become by it."""

    columns: tuple[Column, ...]
    keys: Codes
    """The combination of values of each frame, as a number from 0."""
    doubled: int
    """Frames at the place and with the values of another."""
    images: tuple[Codes, ...]
    """The keys of each image, the one with the most frames first."""
    absent: int
    """Cells without a frame."""
    uneven: int = 0
    """Images whose places are no lattice, or too few to be one."""

    @property
    def worth(self) -> tuple[int, ...]:
        """Less is better; at the end, the order of the table decides."""
        strength = max((column.strength for column in self.columns), default=STRONG)
        size = sum(column.count for column in self.columns)
        return (self.doubled, self.uneven, len(self.images), self.absent, strength, len(self.columns), size)


def evaluate(columns: Sequence[Column], base: Codes, places: Codes, lattice: Callable[[Codes], bool]) -> Choice:
    """What frames become by a set of attributes.

    Args:
        columns: The set.
        base: What tells frames apart already, as numbers from 0.
        places: Of each frame, as numbers from 0.
        lattice: Whether places, in ascending order, are a lattice.
    """
    keys = combined([base, *(column.codes for column in columns)]) if columns else base
    count = int(places.max()) + 1
    cells = np.unique(keys * count + places)
    doubled = len(keys) - len(cells)
    cell_keys, cell_places = np.divmod(cells, count)
    apart = combined([keys * 0, *(column.codes for column in columns if column.apart)])
    kind = np.zeros(int(keys.max()) + 1, np.int64)
    kind[keys] = apart
    images, absent, uneven = [], 0, 0
    covered = list(_coverage(cell_keys, cell_places, kind))
    judged = not doubled and len(covered) <= _COMPARED  # others are not chosen, or only where nothing else tells
    for found, union in covered:
        images.append(found)
        held = np.isin(cell_keys, found).sum() if len(found) > 1 else (cell_keys == found[0]).sum()
        absent += len(union) * len(found) - int(held)
        uneven += not judged or (len(union) < _FEWEST_PLACES <= count) or not lattice(union)
    sizes = np.bincount(keys)
    images.sort(key=lambda found: (-int(sizes[found].sum()), int(found[0])))
    return Choice(tuple(columns), keys, doubled, tuple(images), absent, uneven)


def _coverage(keys: Codes, places: Codes, kind: Codes) -> Iterator[tuple[Codes, Codes]]:
    """(keys, their places) of each image: keys that cover the same places, and those that lack few of them.

    Args:
        keys: Of each cell, ascending.
        places: Of each cell, ascending within its key.
        kind: Of each key: others are never one image.
    """
    begins = np.flatnonzero(np.concatenate([[True], np.diff(keys) != 0]))
    ends = np.concatenate([begins[1:], [len(keys)]])
    by_kind: defaultdict[int, list[tuple[Codes, list[int]]]] = defaultdict(list)
    alike: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        key = int(keys[begin])
        alike[int(kind[key]), places[begin:end].tobytes()].append(key)
    for (each, covered), members in alike.items():
        by_kind[each].append((np.frombuffer(covered, np.int64), members))
    for kinds in by_kind.values():
        if len(kinds) > _COMPARED:
            yield from ((np.array(members), covered) for covered, members in kinds)
        else:
            yield from _joined(kinds)


def _joined(kinds: list[tuple[Codes, list[int]]]) -> Iterator[tuple[Codes, Codes]]:
    """Kinds of coverage, the commonest first, each with those that lack few of its places."""
    union, held = np.unique(
        np.concatenate([covered for covered, members in kinds for _ in members]), return_counts=True
    )
    mostly = 2 * int(held.min()) > sum(len(members) for _, members in kinds)  # values hold each place
    if mostly and all(_lacks_few(covered, union, 1, 0) for covered, _ in kinds):
        yield np.sort(np.concatenate([members for _, members in kinds])), union
        return
    left = sorted(kinds, key=lambda kind: (-len(kind[1]), -len(kind[0]), kind[1][0]))
    while left:
        covered, members = left.pop(0)
        few = [kind for kind in left if _lacks_few(kind[0], covered, len(members), len(kind[1]))]
        left = [kind for kind in left if not any(kind is other for other in few)]
        yield np.sort(np.concatenate([members, *(more for _, more in few)])), covered


def _lacks_few(covered: Codes, whole: Codes, complete: int, lacking: int) -> bool:
    """Whether values that cover some places keep their cells in an image of more.

    Of many places they may lack a twentieth, at least one; of fewer one, if more values lack none.
    """
    gap = len(whole) - len(covered)
    if gap <= 0 or not np.isin(covered, whole, assume_unique=True).all():
        return gap == 0 and bool((covered == whole).all())
    if len(whole) >= _MANY_PLACES:
        return gap <= max(1, len(whole) // _LACKING)
    return gap == 1 and complete > lacking and len(covered) > 1


def best(columns: Sequence[Column], evaluated: Callable[[tuple[Column, ...]], Choice]) -> Choice:
    """The best set: singles, pairs, then the best one with one more, as long as frames are doubled.

    Attributes come first: orders and last resorts tell everything apart, so three attributes would never be tried.

    Args:
        columns: The most meaningful first.
        evaluated: Gives what a set leads to.
    """
    attributes = [column for column in columns if column.strength <= WEAK]
    others = [column for column in columns if column.strength > WEAK]
    kept = min(len(others) * (len(attributes) + len(others)), _MOST_WITH_OTHERS)
    found = _searched(evaluated(()), attributes, evaluated, _singles_and_pairs(attributes), MOST_SETS - kept)
    with_others = (subset for subset in _singles_and_pairs(columns) if subset[-1].strength > WEAK)
    return _searched(found, columns, evaluated, with_others, kept)


def _singles_and_pairs(columns: Sequence[Column]) -> Iterator[tuple[Column, ...]]:
    yield from ((column,) for column in columns)
    yield from itertools.combinations(columns, 2)


def _searched(
    found: Choice,
    columns: Sequence[Column],
    evaluated: Callable[[tuple[Column, ...]], Choice],
    sets: Iterable[tuple[Column, ...]],
    most: int,
) -> Choice:
    """The best of some sets, and of what it becomes with one more column, of ``most`` sets in all."""
    left = most
    while True:
        before = found
        for subset in itertools.islice(sets, left):
            left -= 1
            choice = evaluated(subset)
            found = choice if choice.worth < found.worth else found
        if not found.doubled or found is before or not left:
            return found
        held = found.columns
        sets = [(*held, column) for column in columns if not any(column is other for other in held)]
