"""Which ranges of files are read together: those between which little lies. Pure (no I/O)."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.sources.files.stores.port import StoredFile

LONGEST: Final = 16 * 2**20
"""Bytes up to which ranges are put together: decoding begins when the first has come."""

_WASTE: Final = 0.25
"""Of the bytes that are wanted, so many more may be read."""


class Range(NamedTuple):
    """Bytes of a file."""

    file: StoredFile
    start: int
    stop: int


class Together(NamedTuple):
    """One range that is read for several."""

    file: StoredFile
    start: int
    stop: int
    parts: tuple[tuple[int, int, int], ...]
    """Number of the range that is wanted, with where it begins and ends in this one."""


def together(wanted: Sequence[Range], gap: int) -> list[Together]:
    """The ranges to read, in the order of their places.

    Args:
        wanted: What is wanted, in any order.
        gap: Bytes between two ranges that are read sooner than asked for anew. Of all bytes that are wanted, a quarter
            more is read at most.
    """
    by_file: dict[StoredFile, list[tuple[int, int, int]]] = defaultdict(list)
    for number, (file, start, stop) in enumerate(wanted):
        place, offset = file.place
        by_file[place].append((offset + start, offset + stop, number))
    for places in by_file.values():
        places.sort()
    room = int(_WASTE * sum(stop - start for _, start, stop in wanted))
    bridged = _bridged(by_file, gap, room)
    found = []
    for file, places in by_file.items():
        for group in _groups(places, bridged[file]):
            first, last = group[0][0], max(stop for _, stop, _ in group)
            parts = tuple((number, start - first, stop - first) for start, stop, number in group)
            found.append(Together(file, first, last, parts))
    return found


def _bridged(by_file: dict[StoredFile, list[tuple[int, int, int]]], gap: int, room: int) -> dict[StoredFile, set[int]]:
    """Positions of ranges that are read with the one before: behind the narrowest gaps, as far as there is room."""
    gaps = sorted(
        (max(0, following[0] - one[1]), number, position)
        for number, places in enumerate(by_file.values())
        for position, (one, following) in enumerate(pairwise(places), start=1)
    )
    files = list(by_file)
    bridged: dict[StoredFile, set[int]] = {file: set() for file in files}
    for width, number, position in gaps:
        if width > min(gap, room):
            break
        room -= width
        bridged[files[number]].add(position)
    return bridged


def _groups(places: Sequence[tuple[int, int, int]], bridged: set[int]) -> list[list[tuple[int, int, int]]]:
    groups: list[list[tuple[int, int, int]]] = []
    for position, place in enumerate(places):
        if position in bridged and place[1] - groups[-1][0][0] <= LONGEST:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups
