"""Asks a server for wanted frames: one request after another out of the queue, as it answers the fastest."""

from __future__ import annotations

import asyncio
import time
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from dicomzarr.engine.headers import contradiction
from dicomzarr.engine.requests import SMALLEST_LIST, FrameQueue, FramesRequest, Priority, list_length
from dicomzarr.errors import ServerError
from dicomzarr.sources.dicomweb.tuning.coming_series import ComingSeries
from dicomzarr.sources.dicomweb.tuning.habits import FrameKind
from dicomzarr.sources.dicomweb.tuning.series_choice import SeriesChoice, may_come_whole
from dicomzarr.sources.dicomweb.tuning.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.dicom.instance import StoredInstance
    from dicomzarr.engine.backlog import Backlog
    from dicomzarr.engine.requests import FrameKey, SeriesState, Turn
    from dicomzarr.sources.dicomweb.client import Client
    from dicomzarr.sources.dicomweb.tuning.way import Way

_MANY_FRAMES = 64
"""Frames of an instance below which lists or single requests make no difference worth learning."""

_FAR = 0.01
"""Seconds that requests take where it pays to fetch ahead."""

_GRACE = 2.0
"""Seconds that a request whose frames nobody waits for any more may still take: what nearly has come is kept."""


class Taker(Protocol):
    """Takes what becomes of each frame that was asked for."""

    def came(self, key: FrameKey, frame: EncodedFrame) -> None:
        """The server gave it."""

    def failed(self, key: FrameKey, error: BaseException) -> None:
        """It cannot be had."""


@dataclass(slots=True, eq=False)
class _UnderWay:
    """A request that has gone out."""

    request: FramesRequest
    taker: Taker
    waiting: dict[int, FrameKey]
    """Its frames that have neither come nor failed, by number."""
    abandoned: set[FrameKey] = field(default_factory=set)
    """Those that nobody waits for any more."""
    sizes: list[int] = field(default_factory=list)
    """Bytes of each frame that came."""
    task: asyncio.Task[None] | None = None


class _Learning(NamedTuple):
    """What decides how frames of one kind are asked for."""

    strategy: Strategy
    choice: SeriesChoice


class Asker:
    """Cuts requests from a queue when a connection is free, so that what has gathered meanwhile goes together.

    Args:
        client: Speaks to the server.
        taker: Takes the frames.
        backlog: What the decoders still have to do.
        clock: Seconds that go steadily.
    """

    def __init__(  # what it works with, by name
        self,
        client: Client,
        taker: Taker,
        backlog: Backlog,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._taker = weakref.ref(taker)
        """Whoever waits holds it; no ring of references shall outlive the last reader."""
        self._backlog = backlog
        self._clock = clock
        self._queue = FrameQueue()
        self._waits_since = 0.0
        """When the queue was last empty, or a request went out."""
        self._learning: dict[FrameKind, _Learning] = {}
        self._requests: set[_UnderWay] = set()
        self._wholes: set[_UnderWay] = set()
        """Requests for whole instances, which take no turns."""
        self._series: dict[SeriesState, ComingSeries] = {}
        """Whole series that are on their way."""
        self._asked: dict[tuple[Taker, FrameKey], _UnderWay] = {}
        self._pumping = False
        self._pump_at: asyncio.TimerHandle | None = None

    def __contains__(self, key: FrameKey) -> bool:
        return key in self._queue

    @property
    def idle(self) -> bool:
        """Whether nothing is queued and nothing under way."""
        return not (self._queue or self._requests or self._wholes or self._series)

    @property
    def is_far(self) -> bool:
        """Whether requests take so long that it pays to ask before somebody waits; from any thread."""
        return any(each.strategy.usual >= _FAR for each in list(self._learning.values()))

    def add(self, key: FrameKey, priority: Priority, reader: Hashable) -> None:
        """Ask for a frame when its turn has come; one that is queued already keeps its place, or gets a better one."""
        if not self._queue:
            self._waits_since = self._clock()
        self._queue.add(key, priority, reader)
        self._pump_soon()

    def discard(self, key: FrameKey) -> None:
        """Do not ask for a frame that is still queued."""
        self._queue.discard(key)
        coming = self._series.get(key.opening)
        if coming is not None:
            coming.end_unless_wanted()

    def queued(self, priority: Priority, reader: Hashable) -> list[FrameKey]:
        """What is still to be asked for a reader."""
        return self._queue.waiting(priority, reader)

    def go_on(self) -> None:
        """A request has ended, or the decoders have caught up."""
        if self._queue:
            self._pump_soon()

    def ask_whole(self, key: FrameKey, taker: Taker) -> None:
        """Have a frame cut from the whole instance, now."""
        request = FramesRequest(key.opening, key.stored, (key.number,))
        sent = _UnderWay(request, taker, {key.number: key})
        self._send(sent, self._wholes, self._fetch(sent, whole=True))

    def abandon(self, key: FrameKey, taker: Taker) -> None:
        """Nobody waits any more for a frame that was asked for: a request of such frames alone is ended before long."""
        sent = self._asked.get((taker, key))
        if sent is not None:
            sent.abandoned.add(key)
            if len(sent.abandoned) >= len(sent.waiting):
                asyncio.get_running_loop().call_later(_GRACE, self._end_abandoned, sent)

    def resume(self, key: FrameKey, taker: Taker) -> None:
        """Somebody waits for a frame again."""
        sent = self._asked.get((taker, key))
        if sent is not None:
            sent.abandoned.discard(key)

    def _end_abandoned(self, sent: _UnderWay) -> None:
        if sent.abandoned.issuperset(sent.waiting.values()) and sent.task is not None:
            sent.task.cancel()

    # --- requests out of the queue ---

    def _pump_soon(self) -> None:
        """Ask at the end of this tick, so that what it wants goes together."""
        if self._pump_at is not None:
            self._pump_at.cancel()
            self._pump_at = None
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping, self._pump_at = False, None
        taker = self._taker()
        while self._queue and taker is not None:
            wait = self._ask_next(taker)
            if wait is None:
                continue
            if wait:
                self._pump_at = asyncio.get_running_loop().call_later(wait, self._pump)
            return

    def _ask_next(self, taker: Taker) -> float | None:
        """Send the next request; else gives the seconds after which to try again, 0 for when a request has ended."""
        now = self._clock()
        wait = 0.0
        if self._under_way >= self._client.connections:
            return wait
        for turn in self._queue.turns():
            if self._waits(turn):
                continue
            strategy, choice = self._learned(turn.instance)
            way = self._way(turn, strategy, choice, now)
            if way is not None and way.series:
                self._ask_series(turn, choice, taker)
                return None
            if way is None or self._free(way, turn.priority) <= 0:
                wait = strategy.patience if way is None else wait
                way = strategy.usual_way()
                # A trial holds up large reads; what is small may spoil it a little.
                if turn.frames > SMALLEST_LIST or self._free(way, turn.priority) <= 0:
                    continue
            length = self._length(way, turn)
            pause = self._waits_since + strategy.gather - now if self._under_way else 0.0
            if pause > 0 and len(self._queue) < length:
                return pause
            self._waits_since = now
            self._ask(self._queue.take(turn, length), way, strategy, taker)
            return None
        return wait

    def _waits(self, turn: Turn) -> bool:
        """Whether what a reader wants comes anyway, or would pile up before the decoders; small reads never wait."""
        coming = self._series.get(turn.opening)
        if coming is not None and coming.holds_up(turn):
            return True
        return self._backlog.is_full and turn.frames > SMALLEST_LIST

    def _way(self, turn: Turn, strategy: Strategy, choice: SeriesChoice, now: float) -> Way | None:
        if (
            turn.priority is Priority.NOW
            and turn.opening not in self._series
            and may_come_whole(turn)
            and choice.is_open(now)
        ):
            return choice.way(strategy.usual_way(), now)
        return strategy.way(len(self._queue), now)

    def _ask_series(self, turn: Turn, choice: SeriesChoice, taker: Taker) -> None:
        coming = ComingSeries(turn.opening, turn.reader, self._queue, taker, choice, self._backlog, self._clock)
        self._series[turn.opening] = coming
        coming.task = asyncio.get_running_loop().create_task(coming.fetch(self._client))

        def ended(_: asyncio.Task[None]) -> None:
            del self._series[turn.opening]
            self.go_on()

        coming.task.add_done_callback(ended)

    def _ask(self, request: FramesRequest, way: Way, strategy: Strategy, taker: Taker) -> None:
        strategy.asked(way, len(request.numbers), self._waits_since)
        sent = _UnderWay(request, taker, dict(zip(request.numbers, request.keys, strict=True)))
        self._send(sent, self._requests, self._measured(sent, way, strategy))

    @property
    def _under_way(self) -> int:
        return len(self._requests) + len(self._series)

    def _learned(self, instance: StoredInstance) -> _Learning:
        kind = FrameKind(native=not instance.compressed, many=instance.number_of_frames >= _MANY_FRAMES)
        known = self._learning.get(kind)
        if known is None:
            habits = self._client.habits
            most = self._client.tuning.max_connections
            known = self._learning[kind] = _Learning(
                Strategy(kind, most, habits.ways), SeriesChoice(kind, most, habits.whole_series)
            )
        known.strategy.connections = known.choice.connections = self._client.tuning.max_connections
        return known

    def _free(self, way: Way, priority: Priority) -> int:
        """Connections that could be asking; what may be wanted next leaves some for what is wanted now."""
        most = min(way.connections, self._client.connections)
        return (max(1, most * 3 // 4) if priority is Priority.AHEAD else most) - self._under_way

    def _length(self, way: Way, turn: Turn) -> int:
        if not way.lists or self._client.lists_refused(compressed=turn.instance.compressed):
            return 1
        most = self._client.tuning.frames_per_request
        longest = min(most, self._client.longest_list or most)
        return list_length(len(self._queue), self._free(way, turn.priority), longest) if way.split else longest

    # --- what becomes of them ---

    def _send(self, sent: _UnderWay, among: set[_UnderWay], work: Coroutine[Any, Any, None]) -> None:
        among.add(sent)
        self._asked.update({(sent.taker, key): sent for key in sent.waiting.values()})
        sent.task = asyncio.get_running_loop().create_task(work)

        def ended(_: asyncio.Task[None]) -> None:
            among.discard(sent)
            self.go_on()

        sent.task.add_done_callback(ended)

    async def _measured(self, sent: _UnderWay, way: Way, strategy: Strategy) -> None:
        began = self._clock()
        try:
            await self._fetch(sent, whole=sent.request.instance.frames_unaligned, gzip=way.gzip)
        finally:
            now = self._clock()
            strategy.answered(way, sent.sizes, now - began, now, queued=len(self._queue))

    async def _fetch(self, sent: _UnderWay, *, whole: bool, gzip: bool = False) -> None:
        """Ask for frames, and tell what becomes of each."""

        def deliver(number: int, frame: EncodedFrame) -> None:
            sent.sizes.append(len(frame.data))
            key = sent.waiting[number]
            error = contradiction(key, frame)
            if error is not None:
                fail(number, error)
                return
            sent.taker.came(key, frame)
            self._done(sent, key)

        def fail(number: int, error: BaseException) -> None:
            key = sent.waiting[number]
            self._done(sent, key)
            sent.taker.failed(key, error)

        opening, instance = sent.request.opening, sent.request.instance
        uid = instance.sop_instance_uid
        unanswered: BaseException = ServerError(f"The request for frames of instance {uid} ended without an answer.")
        try:
            await self._client.frames(
                opening.study,
                opening.series,
                uid,
                sent.request.numbers,
                deliver,
                fail,
                compressed=instance.compressed,
                whole=whole,
                gzip=gzip,
                number_of_frames=instance.number_of_frames,
                frame_bytes=instance.pixel.nbytes,
            )
        except Exception as error:  # noqa: BLE001  # whoever waits for a frame must hear of it
            unanswered = error
        finally:
            for number in list(sent.waiting):
                fail(number, unanswered)

    def _done(self, sent: _UnderWay, key: FrameKey) -> None:
        del sent.waiting[key.number]
        sent.abandoned.discard(key)
        del self._asked[sent.taker, key]
