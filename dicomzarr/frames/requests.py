"""Wanted frames to few requests. Pure (no I/O)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from dicomzarr.disk.names import FrameName

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from dicomzarr.dicom.instance import StoredInstance
    from dicomzarr.disk.cache import DiskFrames

SMALLEST_LIST = 16
"""Frames below which splitting a list over connections costs more than it gains."""

LONGEST_LIST_TEXT = 6000
"""Characters of a list of frame numbers; URLs of 8 kB pass everywhere."""

MOST_LIST_BYTES = 64 * 2**20
"""Bytes that the frames of one list may take if none is compressed: a broken reply costs no more than that."""


class Priority(IntEnum):
    """What goes first."""

    NOW = 0
    """Somebody waits for it."""
    AHEAD = 1
    """Somebody may want it next."""


@dataclass(frozen=True, eq=False)
class Opening:
    """One opening of a series: frames that are held for one that was forgotten serve no other."""

    study: str
    """Study Instance UID."""
    series: str
    """Series Instance UID."""
    disk: DiskFrames | None = None
    """What is held of it on disk."""


class FrameKey(NamedTuple):
    """Names a frame in this process."""

    opening: Opening
    instance: StoredInstance
    number: int
    """Frame number, from 1."""

    @property
    def name(self) -> FrameName:
        """Names it for other processes."""
        return FrameName(self.opening.study, self.opening.series, self.instance.sop_instance_uid, self.number)


@dataclass(frozen=True, slots=True)
class FramesRequest:
    """One request: frames of one instance, ascending, no duplicates."""

    opening: Opening
    instance: StoredInstance
    numbers: tuple[int, ...]

    @property
    def keys(self) -> Iterator[FrameKey]:
        """The frames."""
        return (FrameKey(self.opening, self.instance, number) for number in self.numbers)


@dataclass(slots=True)
class _Wanted:
    """What one reader wants of one instance, first come first."""

    opening: Opening
    instance: StoredInstance
    numbers: dict[int, None] = field(default_factory=dict)


class FrameQueue:
    """Frames that nobody has asked the server for yet.

    What somebody waits for goes before what may be wanted next; readers take turns, so that a large read
    holds up no small one.
    """

    def __init__(self) -> None:
        self._turns: dict[Priority, OrderedDict[Hashable, OrderedDict[StoredInstance, _Wanted]]] = {
            priority: OrderedDict() for priority in Priority
        }
        self._places: dict[FrameKey, tuple[Priority, Hashable]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: FrameKey) -> bool:
        return key in self._places

    @property
    def next_instance(self) -> StoredInstance:
        """Of what `take` would give frames.

        Raises:
            LookupError: Nothing is queued.
        """
        for readers in self._turns.values():
            for instances in readers.values():
                return next(iter(instances))
        raise LookupError("Nothing is queued.")

    @property
    def next_priority(self) -> Priority | None:
        """Of what `take` would give frames; None when nothing is queued."""
        return next((priority for priority, readers in self._turns.items() if readers), None)

    def add(self, key: FrameKey, priority: Priority, reader: Hashable) -> None:
        """Queue a frame for a reader; one that is queued already keeps the better place."""
        place = self._places.get(key)
        if place is not None:
            if place[0] <= priority:
                return
            self.discard(key)
        self._places[key] = (priority, reader)
        instances = self._turns[priority].setdefault(reader, OrderedDict())
        wanted = instances.get(key.instance)
        if wanted is None:
            wanted = instances[key.instance] = _Wanted(key.opening, key.instance)
        wanted.numbers[key.number] = None

    def discard(self, key: FrameKey) -> None:
        """Forget a frame, if queued."""
        place = self._places.pop(key, None)
        if place is None:
            return
        priority, reader = place
        instances = self._turns[priority][reader]
        numbers = instances[key.instance].numbers
        del numbers[key.number]
        if not numbers:
            self._drop(priority, reader, key.instance)

    def take(self, length: int) -> FramesRequest:
        """The next request, of at most ``length`` frames.

        Raises:
            LookupError: Nothing is queued.
        """
        priority = self.next_priority
        if priority is None:
            raise LookupError("Nothing is queued.")
        readers = self._turns[priority]
        reader, instances = next(iter(readers.items()))
        readers.move_to_end(reader)
        wanted = next(iter(instances.values()))
        numbers = _first(wanted, length)
        for number in numbers:
            del wanted.numbers[number]
            del self._places[FrameKey(wanted.opening, wanted.instance, number)]
        if not wanted.numbers:
            self._drop(priority, reader, wanted.instance)
        return FramesRequest(wanted.opening, wanted.instance, tuple(sorted(numbers)))

    def _drop(self, priority: Priority, reader: Hashable, instance: StoredInstance) -> None:
        instances = self._turns[priority][reader]
        del instances[instance]
        if not instances:
            del self._turns[priority][reader]


def _first(wanted: _Wanted, length: int) -> list[int]:
    """As many numbers as one list may have, by their count, their text and their bytes."""
    most = max(1, min(length, MOST_LIST_BYTES // max(1, wanted.instance.pixel.nbytes)))
    numbers: list[int] = []
    text = 0
    for number in wanted.numbers:
        text += len(str(number)) + 1
        if len(numbers) >= most or text > LONGEST_LIST_TEXT:
            break
        numbers.append(number)
    return numbers


def list_length(queued: int, free: int, longest: int) -> int:
    """Frames of the next list: long ones cost the least, but none so long that connections idle.

    Args:
        queued: Frames that wait.
        free: Connections that could be asking.
        longest: Most frames of one list.
    """
    return min(longest, max(SMALLEST_LIST, -(-queued // free)))
