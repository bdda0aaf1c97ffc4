"""Which frames are wanted, and by whom: the queue of those that no fetch brings yet. Pure (no I/O)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from dicomzarr.dicom.instance import Instance
    from dicomzarr.engine.series_state import FrameKey, SeriesState

SMALL_READ: Final = 16
"""Frames up to which a read is small: it waits neither for the decoders nor for what is measured."""


class Priority(IntEnum):
    """What goes first."""

    NOW = 0
    """Somebody waits for it."""
    AHEAD = 1
    """Somebody may want it next."""
    BEHIND = 2
    """It is to lie on disk for later: only the disk takes it, not the memory."""


class Turn(NamedTuple):
    """A reader whose turn it may be."""

    priority: Priority
    reader: Hashable
    series: SeriesState
    instance: Instance
    """Of which it would get frames."""
    frames: int
    """How many it waits for, of all instances."""


@dataclass(slots=True)
class _Wanted:
    """What one reader wants, by instance, first come first."""

    instances: OrderedDict[tuple[SeriesState, str], dict[FrameKey, None]] = field(default_factory=OrderedDict)
    """Frames, by SOP Instance UID."""
    frames: int = 0

    def add(self, key: FrameKey) -> None:
        self.instances.setdefault(key[:2], {})[key] = None
        self.frames += 1

    def discard(self, key: FrameKey) -> None:
        keys = self.instances[key[:2]]
        del keys[key]
        self.frames -= 1
        if not keys:
            del self.instances[key[:2]]

    def keys(self) -> Iterator[FrameKey]:
        return (key for keys in self.instances.values() for key in keys)


class FrameQueue:
    """Frames that no fetch brings yet, or none for them alone; see `ports.QueueView`.

    What somebody waits for goes before what may be wanted next; readers take turns, so that a large read
    holds up no small one.
    """

    def __init__(self) -> None:
        self._readers: dict[Priority, OrderedDict[Hashable, _Wanted]] = {
            priority: OrderedDict() for priority in Priority
        }
        self._places: dict[FrameKey, tuple[Priority, Hashable]] = {}
        self._coming: dict[SeriesState, Hashable] = {}
        """Series of which frames come although they are queued, and the reader who waits for these."""
        self.since = 0.0
        """When it was last empty, in seconds of a steady clock."""
        self.large_wait = False
        """The decoders are behind: it is the turn of small reads only."""
        self.disk_is_behind = False
        """What is only to lie on disk gets no turn."""

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: FrameKey) -> bool:
        return key in self._places

    def turns(self) -> Iterator[Turn]:
        """Those who wait for what does not come anyway, in the order of their turns."""
        for turn in self._all_turns():
            waits = turn.series in self._coming and self._coming[turn.series] is turn.reader
            waits |= self.large_wait and turn.frames > SMALL_READ
            waits |= self.disk_is_behind and turn.priority is Priority.BEHIND
            if not waits:
                yield turn

    def _all_turns(self) -> Iterator[Turn]:
        for priority, readers in self._readers.items():
            for reader, wanted in readers.items():
                series, uid = next(iter(wanted.instances))
                yield Turn(priority, reader, series, series.instances[uid], wanted.frames)

    def keys(self, turn: Turn) -> Iterator[FrameKey]:
        """What a reader waits for, those of the instance of its turn first."""
        return self._readers[turn.priority][turn.reader].keys()

    def wants(self, series: SeriesState) -> bool:
        """Whether somebody waits for a frame of a series."""
        return any(turn.series is series for turn in self._all_turns())

    def is_coming(self, series: SeriesState) -> bool:
        """Whether frames of a series come although they are queued."""
        return series in self._coming

    def waiting(self, priority: Priority, reader: Hashable) -> list[FrameKey]:
        """What is queued for a reader."""
        wanted = self._readers[priority].get(reader)
        return [] if wanted is None else list(wanted.keys())

    def add(self, key: FrameKey, priority: Priority, reader: Hashable) -> None:
        """Queue a frame for a reader; one that is queued already goes with whoever has far fewer to wait for."""
        place = self._places.get(key)
        if place is not None:
            is_sooner = self._frames(priority, reader) + SMALL_READ < self._frames(*place)
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

    def take(self, keys: Iterable[FrameKey]) -> None:
        """These are fetched: the next turn of whoever waited for them is after all others."""
        for priority, reader in dict.fromkeys(self._places[key] for key in keys):
            self._readers[priority].move_to_end(reader)
        for key in keys:
            self.discard(key)

    def expect(self, key: FrameKey) -> None:
        """Frames of its series come: who waits for this one has no turn until `expect_no_more`."""
        self._coming[key.series] = self._places[key][1]

    def expect_no_more(self, series: SeriesState) -> None:
        """What is still queued has to be fetched otherwise."""
        del self._coming[series]
