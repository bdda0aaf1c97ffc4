"""Frame references to few requests. Pure (no I/O)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dicomzarr.dicom.instance import FrameRef, StoredInstance

SMALLEST_LIST = 16
"""Frames below which splitting a list over connections costs more than it gains."""

LONGEST_LIST_TEXT = 6000
"""Characters of a list of frame numbers; URLs of 8 kB pass everywhere."""


@dataclass(frozen=True, slots=True)
class FramesRequest:
    """One request: frames of one instance, ascending, no duplicates."""

    instance: StoredInstance
    numbers: tuple[int, ...]


def plan_requests(frames: Iterable[FrameRef], *, frames_per_request: int, connections: int) -> list[FramesRequest]:
    """Group frames by instance into lists.

    Lists are as long as allowed, but not so long that connections would idle.

    Args:
        frames: Frames in any order; a list cannot span instances.
        frames_per_request: Most frames of one list.
        connections: Requests that can be under way at once.
    """
    wanted: defaultdict[StoredInstance, set[int]] = defaultdict(set)
    for frame in frames:
        wanted[frame.instance].add(frame.number)
    total = sum(map(len, wanted.values()))
    length = min(frames_per_request, max(SMALLEST_LIST, -(-total // connections)))
    return [
        FramesRequest(instance, numbers)
        for instance, distinct in wanted.items()
        for numbers in _lists(sorted(distinct), length)
    ]


def _lists(numbers: list[int], length: int) -> Iterator[tuple[int, ...]]:
    """Cut into lists of at most ``length`` numbers that fit a URL."""
    digits = len(str(numbers[-1])) + 1
    step = max(1, min(length, LONGEST_LIST_TEXT // digits))
    for start in range(0, len(numbers), step):
        yield tuple(numbers[start : start + step])
