"""The frames that an endpoint's readers want: shared in flight, queued, asked for as the server likes it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from dicomzarr.dicomweb.habits import FrameKind
from dicomzarr.errors import DicomZarrError, ServerError
from dicomzarr.frames.requests import FrameQueue, FramesRequest, Priority, list_length
from dicomzarr.frames.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Sequence

    from dicomzarr.dicom.instance import StoredInstance
    from dicomzarr.dicomweb.client import Client, EncodedFrame
    from dicomzarr.disk.cache import DiskFrames
    from dicomzarr.disk.names import FrameName
    from dicomzarr.frames.cache import FrameCache
    from dicomzarr.frames.requests import FrameKey
    from dicomzarr.frames.strategy import Way

_MANY_FRAMES = 64
"""Frames of an instance below which lists or single requests make no difference worth learning."""

_FAR = 0.01
"""Seconds that requests take where it pays to fetch ahead."""

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


class Dispatcher:
    """Fetches frames for all readers of one endpoint; lives on the home loop.

    What many want is fetched once, what nobody wants any more is not asked for. Requests are cut from the queue
    when a connection is free, so that what has gathered meanwhile goes together.

    Args:
        client: Speaks to the server.
        cache: Encoded frames in memory.
        frames_per_request: Most frames of one list.
        clock: Seconds that go steadily.
    """

    def __init__(
        self,
        client: Client,
        cache: FrameCache,
        *,
        frames_per_request: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._cache = cache
        self._frames_per_request = frames_per_request
        self._clock = clock
        self._flights: dict[FrameKey, Flight] = {}
        self._unseen: list[Flight] = []
        """Those that may be on disk: one tick's are looked up together."""
        self._queue = FrameQueue()
        self._waits_since = 0.0
        """When the queue was last empty."""
        self._strategies: dict[FrameKind, Strategy] = {}
        self._requests: set[asyncio.Task[Any]] = set()
        self._others: set[asyncio.Task[Any]] = set()
        """What costs no connection of its own, or is rare."""
        self._pumping: asyncio.Handle | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is wanted and nothing under way."""
        return not (self._flights or self._requests or self._others)

    @property
    def ahead_bytes(self) -> int:
        """Bytes, if none were compressed, that are worth fetching before somebody wants them."""
        is_far = any(strategy.usual >= _FAR for strategy in self._strategies.values())
        return self._cache.limit // _AHEAD_SHARE if is_far else 0

    def held(self, key: FrameKey) -> EncodedFrame | None:
        """The frame if it is in memory."""
        return self._cache.get(key)

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
                self._enqueue(flight)
            else:
                self._look_up_soon(flight)
        elif priority < flight.priority and key in self._queue:
            flight.priority = priority
            self._queue.add(key, priority, reader)
        flight.waiters.append(waiter)
        return flight

    def want_whole(self, key: FrameKey, waiter: Waiter, reader: Hashable) -> Flight:
        """Have a frame cut from the whole instance, for what the server gave as the frame does not decode."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight(key, reader, Priority.NOW)
            self._start(self._fetch(FramesRequest(key.opening, key.instance, (key.number,)), whole=True), self._others)
        flight.waiters.append(waiter)
        return flight

    def fetch_ahead(self, key: FrameKey, reader: Hashable) -> None:
        """Have a frame in memory when somebody will want it; behind all that somebody wants now."""
        if key not in self._cache and key not in self._flights:
            self.want(key, _NOBODY, reader, Priority.AHEAD)

    def drop(self, flight: Flight, waiter: Waiter) -> None:
        """A waiter has given up: what nobody waits for leaves the queue."""
        if waiter in flight.waiters:
            flight.waiters.remove(waiter)
        if not flight.waiters and flight.key in self._queue:
            self._queue.discard(flight.key)
            del self._flights[flight.key]

    def discard(self, key: FrameKey) -> None:
        """Hand a frame out no more: it does not decode."""
        self._cache.discard(key)
        if key.opening.disk is not None:
            key.opening.disk.discard(key.name)

    # --- from the disk ---

    def _look_up_soon(self, flight: Flight) -> None:
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
            self._start(self._take_from_disk(disk, flights), self._others)

    async def _take_from_disk(self, disk: DiskFrames, flights: Sequence[Flight]) -> None:
        held: dict[FrameName, EncodedFrame] = {}
        try:
            held = await disk.frames([flight.key.name for flight in flights])
        finally:
            for flight in flights:
                frame = held.get(flight.key.name)
                if frame is not None:
                    self._cache.put(flight.key, frame)
                    self._land(flight.key, frame, fetched=False)
                elif flight.waiters:
                    self._enqueue(flight)
                else:
                    del self._flights[flight.key]

    # --- from the server ---

    def _enqueue(self, flight: Flight) -> None:
        if not self._queue:
            self._waits_since = self._clock()
        self._queue.add(flight.key, flight.priority, flight.reader)
        self._pump_soon()

    def _pump_soon(self) -> None:
        """Ask at the end of this tick, so that what it wants goes together."""
        if self._pumping is None:
            self._pumping = asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = None
        while self._queue:
            instance = self._queue.next_instance
            strategy, now = self._strategy(instance), self._clock()
            way = strategy.way(len(self._queue), now)
            free = 0 if way is None else self._most(way) - len(self._requests)
            if way is None or free <= 0:
                return
            length = self._length(way, instance, free)
            pause = self._waits_since + strategy.gather() - now if self._requests else 0.0
            if pause > 0 and len(self._queue) < length:
                self._pumping = asyncio.get_running_loop().call_later(pause, self._pump)
                return
            request = self._queue.take(length)
            self._waits_since = now
            strategy.asked(len(request.numbers), now)
            self._start(self._measured(request, strategy, gzip=way.gzip), self._requests)

    def _strategy(self, instance: StoredInstance) -> Strategy:
        kind = FrameKind(native=not instance.compressed, many=instance.number_of_frames >= _MANY_FRAMES)
        known = self._strategies.get(kind)
        if known is None:
            known = self._strategies[kind] = Strategy(kind, self._client.connections, self._client.habits.ways)
        return known

    def _most(self, way: Way) -> int:
        """Requests under way: what may be wanted next leaves connections for what is wanted now."""
        most = min(way.connections, self._client.connections)
        return max(1, most // 2) if self._queue.next_priority is Priority.AHEAD else most

    def _length(self, way: Way, instance: StoredInstance, free: int) -> int:
        if not way.lists or self._client.lists_refused(compressed=instance.compressed):
            return 1
        longest = min(self._frames_per_request, self._client.longest_list or self._frames_per_request)
        return list_length(len(self._queue), free, longest) if way.split else longest

    def _start(self, work: Coroutine[Any, Any, Any], tasks: set[asyncio.Task[Any]]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)
        task.add_done_callback(partial(self._ended, tasks))

    def _ended(self, tasks: set[asyncio.Task[Any]], task: asyncio.Task[Any]) -> None:
        tasks.discard(task)
        if self._queue:
            self._pump_soon()

    async def _measured(self, request: FramesRequest, strategy: Strategy, *, gzip: bool) -> None:
        began = self._clock()
        sizes: list[int] = []
        try:
            sizes = await self._fetch(request, whole=request.instance.frames_unaligned, gzip=gzip)
        finally:
            now = self._clock()
            strategy.answered(len(sizes), sum(sizes), now - began, now, queued=len(self._queue))

    async def _fetch(self, request: FramesRequest, *, whole: bool, gzip: bool = False) -> list[int]:
        """Ask for frames, and tell those who wait; gives the bytes of each that came."""
        waiting = dict(zip(request.numbers, request.keys, strict=True))
        sizes: list[int] = []

        def deliver(number: int, frame: EncodedFrame) -> None:
            sizes.append(len(frame.data))
            key = waiting.pop(number)
            self._hold(key, frame)
            self._land(key, frame, fetched=True)

        def fail(number: int, error: DicomZarrError) -> None:
            self._fall(waiting.pop(number), error)

        opening, instance = request.opening, request.instance
        uid = instance.sop_instance_uid
        unanswered: BaseException = ServerError(f"The request for frames of instance {uid} ended without an answer.")
        try:
            await self._client.frames(
                opening.study,
                opening.series,
                uid,
                request.numbers,
                deliver,
                fail,
                compressed=instance.compressed,
                whole=whole,
                gzip=gzip,
            )
        except Exception as error:  # noqa: BLE001  # whoever waits for a frame must hear of it
            unanswered = error
        finally:
            for key in waiting.values():
                self._fall(key, unanswered)
        return sizes

    # --- to those who wait ---

    def _hold(self, key: FrameKey, frame: EncodedFrame) -> None:
        self._cache.put(key, frame)
        if key.opening.disk is not None:
            key.opening.disk.keep(key.name, frame)

    def _land(self, key: FrameKey, encoded: EncodedFrame, *, fetched: bool) -> None:
        for waiter in self._flights.pop(key).waiters:
            waiter.arrived(encoded, fetched=fetched)

    def _fall(self, key: FrameKey, error: BaseException) -> None:
        flight = self._flights.pop(key)
        waiting = [waiter for waiter in flight.waiters if waiter is not _NOBODY]
        if flight.priority is Priority.AHEAD and waiting:
            # It was asked for together with what nobody wants, which may be what failed.
            again = self._flights[key] = Flight(key, flight.reader, Priority.NOW, waiting)
            self._enqueue(again)
            return
        for waiter in waiting:
            waiter.failed(error)
