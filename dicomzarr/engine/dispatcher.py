"""The frames that an endpoint's readers want: out of memory, from the disk or from the server, each fetched once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from dicomzarr.engine.asker import Asker
from dicomzarr.engine.backlog import Backlog
from dicomzarr.engine.requests import Priority

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.disk.cache import DiskFrames
    from dicomzarr.disk.names import FrameName
    from dicomzarr.engine.cache import FrameCache
    from dicomzarr.engine.requests import FrameKey
    from dicomzarr.sources.dicomweb.client import Client

_AHEAD_SHARE = 4
"""Of the cache, one in so many bytes may be filled ahead."""


class Waiter(Protocol):
    """Somebody who waits for a frame; told once, on the home loop."""

    def arrived(self, encoded: EncodedFrame, *, fetched: bool) -> None:
        """The frame has come: from the server just now, or from where it was held."""

    def failed(self, error: BaseException) -> None:
        """It cannot be had."""


class _Nobody:
    """Waits for what is fetched ahead, so that it is not given up."""

    def arrived(self, encoded: EncodedFrame, *, fetched: bool) -> None:
        """It is in memory now."""

    def failed(self, error: BaseException) -> None:
        """Whoever wants it will ask anew, and hear of it."""


_NOBODY = _Nobody()


@dataclass(slots=True, eq=False)
class Flight:
    """A frame that is on its way, and those who wait for it."""

    key: FrameKey
    reader: Hashable
    """Who wanted it first: readers take turns."""
    priority: Priority
    waiters: list[Waiter] = field(default_factory=list)
    looked_up: bool = True
    """It is known whether the disk holds it."""

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for it."""
        return any(waiter is not _NOBODY for waiter in self.waiters)

    def land(self, encoded: EncodedFrame, *, fetched: bool) -> None:
        """Tell all who wait that it has come."""
        for waiter in self.waiters:
            waiter.arrived(encoded, fetched=fetched)

    def fall(self, error: BaseException) -> None:
        """Tell all who wait that it cannot be had."""
        for waiter in self.waiters:
            waiter.failed(error)


class Dispatcher:
    """Brings frames to all readers of one endpoint; lives on the home loop.

    What many want is fetched once, and what nobody wants any more is not asked for.

    Args:
        client: Speaks to the server.
        cache: Encoded frames in memory.
    """

    def __init__(
        self,
        client: Client,
        cache: FrameCache,
    ) -> None:
        self._cache = cache
        self._backlog = Backlog()
        self._asker = Asker(client, self, self._backlog)
        self._flights: dict[FrameKey, Flight] = {}
        self._out_of_wholes = _OutOfWholes(self._asker, cache)
        self._unseen: list[Flight] = []
        """Those that may be on disk: one tick's are looked up together."""
        self._look_ups: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        """Whether nothing is wanted and nothing under way."""
        return self._asker.idle and not (self._flights or self._look_ups)

    @property
    def ahead_bytes(self) -> int:
        """Bytes, if none were compressed, that are worth fetching before somebody wants them."""
        return self._cache.limit // _AHEAD_SHARE if self._asker.is_far else 0

    def held(self, key: FrameKey) -> EncodedFrame | None:
        """The frame if it is in memory."""
        return self._cache.get(key)

    def decoding(self, nbytes: int) -> None:
        """So many bytes have come that wait for a decoder."""
        self._backlog.add(nbytes)

    def decoded(self, nbytes: int) -> None:
        """So many wait no more."""
        if self._backlog.remove(nbytes):
            self._asker.go_on()

    def want(
        self,
        key: FrameKey,
        waiter: Waiter,
        reader: Hashable,
        priority: Priority = Priority.NOW,
        *,
        fresh: bool = False,
    ) -> Flight:
        """Have a frame brought to a waiter.

        Args:
            key: What is wanted.
            waiter: Is told when it has come.
            reader: Who wants it: readers take turns.
            priority: What goes first.
            fresh: From the server, for what the disk holds does not decode.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight(key, reader, priority)
            if key.opening.disk is None or fresh:
                self._asker.add(key, priority, reader)
            else:
                self._look_up_soon(flight)
        else:
            self._join(flight, reader, priority)
        flight.waiters.append(waiter)
        return flight

    def _join(self, flight: Flight, reader: Hashable, priority: Priority) -> None:
        """Somebody else wants it, perhaps sooner."""
        is_queued = flight.key in self._asker
        if flight.looked_up and not is_queued:
            self._asker.resume(flight.key, self)  # its priority stays that of those it was asked with: see `failed`
            return
        if priority < flight.priority:
            flight.priority, flight.reader = priority, reader
        if is_queued:
            self._asker.add(flight.key, priority, reader)

    def want_whole(self, key: FrameKey, waiter: Waiter, reader: Hashable) -> Flight:
        """Have a frame cut from the whole instance, for what the server gave as the frame does not decode."""
        return self._out_of_wholes.want(key, waiter, reader)

    def fetch_ahead(self, key: FrameKey, reader: Hashable) -> None:
        """Have a frame in memory when somebody will want it; behind all that somebody wants now."""
        if key not in self._cache and key not in self._flights:
            self.want(key, _NOBODY, reader, Priority.AHEAD)

    def forget_ahead(self, reader: Hashable) -> None:
        """Do not fetch ahead what has not been asked for yet: something else may be wanted next."""
        for key in self._asker.queued(Priority.AHEAD, reader):
            self._asker.discard(key)
            del self._flights[key]

    def drop(self, flight: Flight, waiter: Waiter) -> None:
        """A waiter has given up: what nobody waits for leaves the queue."""
        if waiter in flight.waiters:
            flight.waiters.remove(waiter)
        if flight.wanted:
            return
        if self._flights.get(flight.key) is not flight:
            self._out_of_wholes.abandon(flight)
        elif flight.key not in self._asker:
            self._asker.abandon(flight.key, self)
        else:
            self._asker.discard(flight.key)
            del self._flights[flight.key]

    def discard(self, key: FrameKey) -> None:
        """Hand a frame out no more: it does not decode."""
        self._cache.discard(key)
        if key.opening.disk is not None:
            key.opening.disk.discard(key.name)

    def came(self, key: FrameKey, frame: EncodedFrame) -> None:
        """See `asker.Taker`."""
        _hold(self._cache, self._flights.pop(key), frame)

    def failed(self, key: FrameKey, error: BaseException) -> None:
        """See `asker.Taker`."""
        flight = self._flights.pop(key, None)
        if flight is None:
            return
        if flight.priority is Priority.AHEAD and flight.wanted:
            # It was asked for together with what nobody wants, which may be what failed.
            waiting = [waiter for waiter in flight.waiters if waiter is not _NOBODY]
            self._flights[key] = Flight(key, flight.reader, Priority.NOW, waiting)
            self._asker.add(key, Priority.NOW, flight.reader)
        else:
            flight.fall(error)

    def _look_up_soon(self, flight: Flight) -> None:
        flight.looked_up = False
        self._unseen.append(flight)
        if len(self._unseen) == 1:
            asyncio.get_running_loop().call_soon(self._look_up)

    def _look_up(self) -> None:
        unseen, self._unseen = self._unseen, []
        disks: dict[DiskFrames, list[Flight]] = {}
        for flight in unseen:
            if flight.key.opening.disk is not None:
                disks.setdefault(flight.key.opening.disk, []).append(flight)
        for disk, flights in disks.items():
            task = asyncio.get_running_loop().create_task(self._take_from_disk(disk, flights))
            self._look_ups.add(task)
            task.add_done_callback(self._look_ups.discard)

    async def _take_from_disk(self, disk: DiskFrames, flights: Sequence[Flight]) -> None:
        held: dict[FrameName, EncodedFrame] = {}
        try:
            held = await disk.frames([flight.key.name for flight in flights])
        finally:
            for flight in flights:
                self._looked_up(flight, held.get(flight.key.name))

    def _looked_up(self, flight: Flight, frame: EncodedFrame | None) -> None:
        flight.looked_up = True
        if frame is not None:
            self._cache.put(flight.key, frame)
            self._flights.pop(flight.key).land(frame, fetched=False)
        elif flight.waiters:
            self._asker.add(flight.key, flight.priority, flight.reader)
        else:
            del self._flights[flight.key]


def _hold(cache: FrameCache, flight: Flight, frame: EncodedFrame) -> None:
    """Give a frame that came to those who wait, and hold it for others."""
    cache.put(flight.key, frame)
    flight.land(frame, fetched=True)
    if flight.key.opening.disk is not None:
        flight.key.opening.disk.keep(flight.key.name, frame)


class _OutOfWholes:
    """Frames that are cut from whole instances; apart from others, whose readers have not seen them fail."""

    def __init__(self, asker: Asker, cache: FrameCache) -> None:
        self._asker = asker
        self._cache = cache
        self._flights: dict[FrameKey, Flight] = {}

    def want(self, key: FrameKey, waiter: Waiter, reader: Hashable) -> Flight:
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight(key, reader, Priority.NOW)
            self._asker.ask_whole(key, self)
        self._asker.resume(key, self)
        flight.waiters.append(waiter)
        return flight

    def abandon(self, flight: Flight) -> None:
        if self._flights.get(flight.key) is flight:
            self._asker.abandon(flight.key, self)

    def came(self, key: FrameKey, frame: EncodedFrame) -> None:
        _hold(self._cache, self._flights.pop(key), frame)

    def failed(self, key: FrameKey, error: BaseException) -> None:
        flight = self._flights.pop(key, None)
        if flight is not None:
            flight.fall(error)
