"""Wanted frames to few requests. Pure (no I/O)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from dicomzarr.disk.names import FrameName
from dicomzarr.errors import MissingInstanceError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping

    from dicomzarr.dicom.instance import FrameRef, StoredInstance
    from dicomzarr.disk.cache import DiskFrames

SMALLEST_LIST = 16
"""Frames below which splitting a list over connections costs more than it gains."""

LONGEST_LIST_TEXT = 6000
"""Characters of a list of frame numbers; URLs of 8 kB pass everywhere."""

MOST_LIST_BYTES = 64 * 2**20
"""Bytes that the frames of one list may take if none is compressed: what is lost with a broken reply."""


class Priority(IntEnum):
    """What goes first."""

    NOW = 0
    """Somebody waits for it."""
    AHEAD = 1
    """Somebody may want it next."""


@dataclass(frozen=True, eq=False)
class SeriesState:
    """A series in the state in which it was opened: frames of another state serve no other."""

    study: str
    """Study Instance UID."""
    series: str
    """Series Instance UID."""
    disk: DiskFrames | None = None
    """What is held of it on disk."""
    instances: Mapping[str, StoredInstance] = field(default_factory=dict)
    """Its instances by SOP Instance UID."""
    slices: Mapping[str, StoredInstance] = field(default_factory=dict)
    """The same, where all of the series have one frame each, of about one size."""
    etag: str | None = None
    """See `ports.SeriesMetadata.etag`: what an origin knows the state by."""
    _told: set[str] = field(default_factory=set)

    def key(self, frame: FrameRef) -> FrameKey:
        """The key of a frame that was planned from this opening.

        Raises:
            MissingInstanceError: It was planned from another one, which may lay its frames out in another way.
        """
        uid = frame.instance.sop_instance_uid
        if self.instances.get(uid) is not frame.instance:
            raise MissingInstanceError(
                f"Study {self.study}, series {self.series}, instance {uid}, frame {frame.number}: "
                "this opening of the series has no such instance.",
                remedy="Open the series again.",
            )
        return FrameKey(self, uid, frame.number)

    def tells(self, what: str) -> bool:
        """Whether something is to be warned of, which it is once."""
        is_new = what not in self._told
        self._told.add(what)
        return is_new


class FrameKey(NamedTuple):
    """Names a frame in this process."""

    opening: SeriesState
    instance: str
    """SOP Instance UID."""
    number: int
    """Frame number, from 1."""

    @property
    def stored(self) -> StoredInstance:
        """The instance that it is in."""
        return self.opening.instances[self.instance]

    @property
    def name(self) -> FrameName:
        """Names it for other processes."""
        return FrameName(self.opening.study, self.opening.series, self.instance, self.number)


@dataclass(frozen=True, slots=True)
class FramesRequest:
    """One request: frames of one instance, ascending, no duplicates."""

    opening: SeriesState
    instance: StoredInstance
    numbers: tuple[int, ...]

    @property
    def keys(self) -> Iterator[FrameKey]:
        """The frames."""
        uid = self.instance.sop_instance_uid
        return (FrameKey(self.opening, uid, number) for number in self.numbers)


class Turn(NamedTuple):
    """A reader whose turn it may be."""

    priority: Priority
    reader: Hashable
    opening: SeriesState
    instance: StoredInstance
    """Of which it would get frames."""
    frames: int
    """How many it waits for, of all instances."""


@dataclass(slots=True)
class _Wanted:
    """What one reader wants, by instance, first come first."""

    instances: OrderedDict[tuple[SeriesState, str], dict[int, None]] = field(default_factory=OrderedDict)
    """Frame numbers, by SOP Instance UID."""
    frames: int = 0

    def add(self, key: FrameKey) -> None:
        self.instances.setdefault(key[:2], {})[key.number] = None
        self.frames += 1

    def discard(self, key: FrameKey) -> None:
        numbers = self.instances[key[:2]]
        del numbers[key.number]
        self.frames -= 1
        if not numbers:
            del self.instances[key[:2]]


class FrameQueue:
    """Frames that nobody has asked the server for yet.

    What somebody waits for goes before what may be wanted next; readers take turns, so that a large read
    holds up no small one.
    """

    def __init__(self) -> None:
        self._readers: dict[Priority, OrderedDict[Hashable, _Wanted]] = {
            priority: OrderedDict() for priority in Priority
        }
        self._places: dict[FrameKey, tuple[Priority, Hashable]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: FrameKey) -> bool:
        return key in self._places

    def turns(self) -> Iterator[Turn]:
        """Those who wait, in the order of their turns."""
        for priority, readers in self._readers.items():
            for reader, wanted in readers.items():
                opening, uid = next(iter(wanted.instances))
                yield Turn(priority, reader, opening, opening.instances[uid], wanted.frames)

    def add(self, key: FrameKey, priority: Priority, reader: Hashable) -> None:
        """Queue a frame for a reader; one that is queued already goes with whoever has far fewer to wait for."""
        place = self._places.get(key)
        if place is not None:
            is_sooner = self._frames(priority, reader) + SMALLEST_LIST < self._frames(*place)
            if priority > place[0] or (priority == place[0] and not is_sooner):
                return
            self.discard(key)
        self._places[key] = (priority, reader)
        self._readers[priority].setdefault(reader, _Wanted()).add(key)

    def _frames(self, priority: Priority, reader: Hashable) -> int:
        wanted = self._readers[priority].get(reader)
        return 0 if wanted is None else wanted.frames

    def discard(self, key: FrameKey) -> None:
        """Forget a frame, if queued."""
        place = self._places.pop(key, None)
        if place is None:
            return
        priority, reader = place
        wanted = self._readers[priority][reader]
        wanted.discard(key)
        if not wanted.frames:
            del self._readers[priority][reader]

    def waiting(self, priority: Priority, reader: Hashable) -> list[FrameKey]:
        """What a reader waits for."""
        wanted = self._readers[priority].get(reader, _Wanted())
        return [
            FrameKey(opening, uid, number) for (opening, uid), numbers in wanted.instances.items() for number in numbers
        ]

    def take(self, turn: Turn, length: int) -> FramesRequest:
        """The request of a reader whose turn it is, of at most ``length`` frames; its next turn is after all others."""
        readers = self._readers[turn.priority]
        readers.move_to_end(turn.reader)
        numbers = readers[turn.reader].instances[turn.opening, turn.instance.sop_instance_uid]
        taken = _first(turn.instance, numbers, length)
        request = FramesRequest(turn.opening, turn.instance, tuple(sorted(taken)))
        for key in request.keys:
            self.discard(key)
        return request


def _first(instance: StoredInstance, numbers: Iterable[int], length: int) -> list[int]:
    """As many numbers as one list may have, by their count, their text and their bytes."""
    most = max(1, min(length, MOST_LIST_BYTES // max(1, instance.pixel.nbytes)))
    taken: list[int] = []
    text = 0
    for number in numbers:
        text += len(str(number)) + 1
        if len(taken) >= most or text > LONGEST_LIST_TEXT:
            break
        taken.append(number)
    return taken


def list_length(queued: int, free: int, longest: int) -> int:
    """Frames of the next list: long ones cost the least, but none so long that connections idle.

    Args:
        queued: Frames that wait.
        free: Connections that could be asking.
        longest: Most frames of one list.
    """
    return min(longest, max(SMALLEST_LIST, -(-queued // free)))
