"""The frames that an endpoint's readers want: shared in flight, queued, asked for as the server likes it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from dicomzarr.errors import DicomZarrError, ServerError
from dicomzarr.frames.requests import FrameQueue, FramesRequest, Priority, list_length
from dicomzarr.frames.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from dicomzarr.dicomweb.client import Client, EncodedFrame
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
        connections: Requests that can be under way at once.
        clock: Seconds that go steadily.
    """

    def __init__(
        self,
        client: Client,
        cache: FrameCache,
        *,
        frames_per_request: int,
        connections: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._cache = cache
        self._frames_per_request = frames_per_request
        self._connections = connections
        self._clock = clock
        self._flights: dict[FrameKey, Flight] = {}
        self._queue = FrameQueue()
        self._waits_since = 0.0
        """When the queue was last empty."""
        self._strategies: dict[tuple[bool, bool], Strategy] = {}
        """By whether a codestream is stored, and whether instances have many frames."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._pumping: asyncio.Handle | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is wanted and nothing under way."""
        return not self._flights and not self._tasks

    @property
    def ahead_bytes(self) -> int:
        """Bytes, if none were compressed, that are worth fetching before somebody wants them."""
        is_far = any(strategy.usual >= _FAR for strategy in self._strategies.values())
        return self._cache.limit // _AHEAD_SHARE if is_far else 0

    def held(self, key: FrameKey) -> EncodedFrame | None:
        """The frame if it is in memory."""
        return self._cache.get(key)

    def want(self, key: FrameKey, waiter: Waiter, reader: Hashable, priority: Priority = Priority.NOW) -> Flight:
        """Have a frame brought to a waiter.

        Args:
            key: What is wanted.
            waiter: Is told when it has come.
            reader: Who wants it: readers take turns.
            priority: What goes first.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight(key, reader, priority)
            self._enqueue(flight)
        elif priority < flight.priority and key in self._queue:
            flight.priority = priority
            self._queue.add(key, priority, reader)
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
            strategy = self._strategy()
            now = self._clock()
            way = strategy.way(len(self._queue), now)
            if way is None or len(self._tasks) >= self._most(way):
                return
            length = list_length(len(self._queue), way.connections, self._frames_per_request) if way.lists else 1
            pause = self._waits_since + strategy.gather() - now if self._tasks else 0.0
            if pause > 0 and len(self._queue) < length:
                self._pumping = asyncio.get_running_loop().call_later(pause, self._pump)
                return
            self._ask(self._queue.take(length), strategy)

    def _strategy(self) -> Strategy:
        """That of the instance whose turn it is."""
        instance = self._queue.next_instance
        many = instance.number_of_frames >= _MANY_FRAMES
        return self._strategies.setdefault((instance.compressed, many), Strategy(self._connections, learns=many))

    def _most(self, way: Way) -> int:
        """Requests under way: what may be wanted next leaves connections for what is wanted now."""
        ahead = self._queue.next_priority is Priority.AHEAD
        return max(1, way.connections // 2) if ahead else way.connections

    def _ask(self, request: FramesRequest, strategy: Strategy) -> None:
        now = self._waits_since = self._clock()
        strategy.asked(len(request.numbers), now)
        task = asyncio.get_running_loop().create_task(self._fetch(request, strategy))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._queue:
            self._pump_soon()

    async def _fetch(self, request: FramesRequest, strategy: Strategy) -> None:
        began = self._clock()
        waiting = dict(zip(request.numbers, request.keys, strict=True))
        came = 0

        def deliver(number: int, frame: EncodedFrame) -> None:
            nonlocal came
            came += 1
            key = waiting.pop(number)
            self._cache.put(key, frame)
            self._land(key, frame)

        def fail(number: int, error: DicomZarrError) -> None:
            self._fall(waiting.pop(number), error)

        uid = request.instance.sop_instance_uid
        unanswered: BaseException = ServerError(f"The request for frames of instance {uid} ended without an answer.")
        try:
            await self._client.frames(
                request.opening.study,
                request.opening.series,
                uid,
                request.numbers,
                deliver,
                fail,
                compressed=request.instance.compressed,
            )
        except Exception as error:  # noqa: BLE001  # whoever waits for a frame must hear of it
            unanswered = error
        finally:
            for key in waiting.values():
                self._fall(key, unanswered)
            now = self._clock()
            strategy.answered(came, now - began, now, queued=len(self._queue))

    def _land(self, key: FrameKey, encoded: EncodedFrame) -> None:
        for waiter in self._flights.pop(key).waiters:
            waiter.arrived(encoded, fetched=True)

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
