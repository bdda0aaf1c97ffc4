"""Asks a server for wanted frames: one after another out of the queue, in the way that it answers the fastest."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from dicomzarr.dicomweb.habits import FrameKind
from dicomzarr.errors import DicomZarrError, ServerError
from dicomzarr.frames.requests import FrameQueue, FramesRequest, Priority, list_length
from dicomzarr.frames.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from dicomzarr.dicom.instance import StoredInstance
    from dicomzarr.dicomweb.client import Client, EncodedFrame
    from dicomzarr.frames.requests import FrameKey
    from dicomzarr.frames.strategy import Way

_MANY_FRAMES = 64
"""Frames of an instance below which lists or single requests make no difference worth learning."""

_FAR = 0.01
"""Seconds that requests take where it pays to fetch ahead."""


class Taker(Protocol):
    """Takes what becomes of each frame that was asked for; called once for each."""

    def came(self, key: FrameKey, frame: EncodedFrame) -> None:
        """The server gave it."""

    def failed(self, key: FrameKey, error: BaseException) -> None:
        """It cannot be had."""


class Asker:
    """Cuts requests from a queue when a connection is free, so that what has gathered meanwhile goes together.

    Args:
        client: Speaks to the server.
        taker: Takes the frames.
        frames_per_request: Most frames of one list.
        connections: Requests under way at once, while the server bears them.
        clock: Seconds that go steadily.
    """

    def __init__(
        self,
        client: Client,
        taker: Taker,
        *,
        frames_per_request: int,
        connections: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._connections = connections
        self._taker = taker
        self._frames_per_request = frames_per_request
        self._clock = clock
        self._queue = FrameQueue()
        self._waits_since = 0.0
        """When the queue was last empty, or a request went out."""
        self._strategies: dict[FrameKind, Strategy] = {}
        self._requests: set[asyncio.Task[Any]] = set()
        self._wholes: set[asyncio.Task[Any]] = set()
        self._pumping: asyncio.Handle | None = None

    def __contains__(self, key: FrameKey) -> bool:
        return key in self._queue

    @property
    def idle(self) -> bool:
        """Whether nothing is queued and nothing under way."""
        return not (self._queue or self._requests or self._wholes)

    @property
    def is_far(self) -> bool:
        """Whether requests take so long that it pays to ask before somebody waits."""
        return any(strategy.usual >= _FAR for strategy in self._strategies.values())

    def add(self, key: FrameKey, priority: Priority, reader: Hashable) -> None:
        """Ask for a frame when its turn has come; one that is queued already keeps the better place."""
        if not self._queue:
            self._waits_since = self._clock()
        self._queue.add(key, priority, reader)
        self._pump_soon()

    def discard(self, key: FrameKey) -> None:
        """Do not ask for a frame that is still queued."""
        self._queue.discard(key)

    def ask_whole(self, key: FrameKey, taker: Taker) -> None:
        """Have a frame cut from the whole instance, now."""
        request = FramesRequest(key.opening, key.instance, (key.number,))
        self._start(self._fetch(request, taker, whole=True), self._wholes)

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
            known = self._strategies[kind] = Strategy(kind, self._connections, self._client.habits.ways)
        return known

    def _most(self, way: Way) -> int:
        """Requests under way: what may be wanted next leaves connections for what is wanted now."""
        most = min(way.connections, self._client.connections)
        return max(1, most * 3 // 4) if self._queue.next_priority is Priority.AHEAD else most

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
            sizes = await self._fetch(request, self._taker, whole=request.instance.frames_unaligned, gzip=gzip)
        finally:
            now = self._clock()
            strategy.answered(len(sizes), sum(sizes), now - began, now, queued=len(self._queue))

    async def _fetch(self, request: FramesRequest, taker: Taker, *, whole: bool, gzip: bool = False) -> list[int]:
        """Ask for frames, and tell what becomes of each; gives the bytes of each that came."""
        waiting = dict(zip(request.numbers, request.keys, strict=True))
        sizes: list[int] = []

        def deliver(number: int, frame: EncodedFrame) -> None:
            sizes.append(len(frame.data))
            taker.came(waiting.pop(number), frame)

        def fail(number: int, error: DicomZarrError) -> None:
            taker.failed(waiting.pop(number), error)

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
                taker.failed(key, unanswered)
        return sizes
