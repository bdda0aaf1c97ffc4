"""Brings frames to all readers of one source: out of memory, from the disk or from where they come; each once."""

from __future__ import annotations

import asyncio
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING

from dicomzarr.engine.backlog import Backlog
from dicomzarr.engine.contradictions import contradiction
from dicomzarr.engine.limits import LIMITS
from dicomzarr.engine.pending import FetchUnderWay, PendingFrame, State
from dicomzarr.engine.ports import Fetch
from dicomzarr.engine.requests import FrameQueue, Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.engine.cache import FrameCache
    from dicomzarr.engine.limits import Limits
    from dicomzarr.engine.pending import PendingFrames
    from dicomzarr.engine.ports import FrameOrigin, FrameWaiter
    from dicomzarr.engine.series_state import FrameKey, FrameStore, SeriesState
    from dicomzarr.errors import DicomZarrError


class Scheduler:
    """Has a frame origin fetch what readers want; lives on the home loop.

    What many want is fetched once, and what nobody wants any more is not fetched. What one tick wants goes together.

    Args:
        origin: Where frames come from.
        cache: Encoded frames in memory.
        clock: Seconds that go steadily.
        limits: How much is under way and fetched ahead.
    """

    def __init__(
        self,
        origin: FrameOrigin,
        cache: FrameCache,
        clock: Callable[[], float] = time.monotonic,
        limits: Limits = LIMITS,
    ) -> None:
        self.limits = limits
        self._origin = origin
        self._cache = cache
        self._clock = clock
        self._backlog = Backlog()
        self._pending: PendingFrames = {}
        self._queue = FrameQueue()
        self._under_way: set[FetchUnderWay] = set()
        self._suspects = 0
        """Fetches under way that take no turns."""
        self._unseen: list[PendingFrame] = []
        """Those that may be on disk: one tick's are looked up together."""
        self._look_ups: set[asyncio.Task[None]] = set()
        self._unwritten = 0
        """Bytes that came for the disk alone since it was waited for."""
        self._writing: asyncio.Task[None] | None = None
        """Waits for the disk, as long as that is behind."""
        self._pump_at: asyncio.TimerHandle | None = None
        """When the next fetch may begin, if that is planned."""
        self._pumps_soon = False

    @property
    def is_near(self) -> bool:
        """Whether it is known that fetching ahead does not pay; from any thread."""
        return 0 < self._origin.latency < self.limits.far

    @property
    def ahead_bytes(self) -> int:
        """Bytes, if none were compressed, that are worth fetching before somebody wants them; from any thread."""
        return self._cache.limit // self.limits.ahead_share if self._origin.latency >= self.limits.far else 0

    # --- what readers ask ---

    def held(self, key: FrameKey) -> EncodedFrame | None:
        """The frame if it is in memory."""
        return self._cache.get(key)

    def want(  # noqa: PLR0913  # what is wanted, by whom and how
        self,
        key: FrameKey,
        waiter: FrameWaiter,
        reader: Hashable,
        *,
        fresh: bool = False,
        suspect: bool = False,
        priority: Priority = Priority.NOW,
    ) -> PendingFrame:
        """Have a frame brought to a waiter, who is told once.

        Args:
            key: What is wanted.
            waiter: Is told when it has come.
            reader: Who wants it: readers take turns.
            fresh: Not from the disk, for what that holds does not decode.
            suspect: In another way, for what came before does not decode; see `retries`.
            priority: When it is the turn of those who want it.
        """
        pending = self._pending.get(key)
        if pending is None:
            pending = self._pending[key] = PendingFrame(key, reader, priority, {waiter: suspect})
            self._bring(pending, look_up=not fresh)
        else:
            pending.waiters[waiter] = suspect
            self._join(pending, reader, priority)
        return pending

    def drop(self, pending: PendingFrame, waiter: FrameWaiter) -> None:
        """A waiter has given up: what nobody waits for leaves the queue, and a fetch of such frames alone ends."""
        if pending.waiters.pop(waiter, None) is None or pending.waiters:
            return
        if pending.fetch is None:
            self._forget(pending)
        else:
            pending.given_up = True
            pending.fetch.given_up += 1
            if pending.fetch.given_up >= pending.fetch.left:
                asyncio.get_running_loop().call_later(self.limits.grace, _end_given_up, pending.fetch)

    def fetch_ahead(self, key: FrameKey, reader: Hashable) -> None:
        """Have a frame in memory when somebody will want it; behind all that somebody wants now."""
        if key not in self._cache and key not in self._pending:
            pending = self._pending[key] = PendingFrame(key, reader, Priority.AHEAD)
            self._bring(pending, look_up=True)

    def forget_ahead(self, reader: Hashable) -> None:
        """Do not fetch ahead what is not under way yet: something else may be wanted next."""
        for key in self._queue.waiting(Priority.AHEAD, reader):
            self._forget(self._pending[key])

    def discard(self, key: FrameKey) -> None:
        """Hand a frame out no more: it does not decode."""
        self._cache.discard(key)
        if key.series.disk is not None:
            key.series.disk.discard(key)

    def retries(self, key: FrameKey, error: DicomZarrError) -> bool:
        """Whether a frame that did not decode may be had in another way."""
        return self._origin.retries(key, error)

    def decoding(self, nbytes: int) -> None:
        """So many bytes have come that wait for a decoder."""
        self._backlog.add(nbytes)

    def decoded(self, nbytes: int) -> None:
        """So many wait no more."""
        if self._backlog.remove(nbytes):
            self._pump_soon()

    # --- what becomes of frames ---

    def wants(self, series: SeriesState) -> bool:
        """Whether a frame of a series is queued."""
        return self._queue.wants(series)

    def settle(self, by: FetchUnderWay, key: FrameKey, outcome: EncodedFrame | BaseException) -> None:
        """A fetch has brought a frame, or cannot bring it; what it is not asked for counts for nothing."""
        pending = self._pending.get(key)
        if pending is None:
            return
        if pending.fetch is by or (by.fetch.stays_queued and pending.state is State.QUEUED):
            error = outcome if isinstance(outcome, BaseException) else contradiction(key, outcome)
            self._settle(pending, error or outcome)

    async def ready(self, by: FetchUnderWay) -> None:
        """See `FetchOwner`."""
        await self._backlog.ready()
        if by.only_for_disk and self._writing is not None:
            await asyncio.wait([self._writing])

    def _settle(self, pending: PendingFrame, outcome: EncodedFrame | BaseException) -> None:
        key = pending.key
        told = pending.settle(failed=isinstance(outcome, BaseException))
        only_for_disk = pending.priority is Priority.BEHIND
        self._remove(pending)
        if pending.waiters:
            pending.priority = Priority.NOW
            self._pending[key] = pending
            self._bring(pending)
        if isinstance(outcome, BaseException):
            for waiter in told:
                waiter.failed(key, outcome)
            return
        if not only_for_disk:  # else what people look at would leave the memory
            self._cache.put(key, outcome)
        for waiter in told:
            waiter.arrived(key, outcome)
        if pending.fetched and key.series.disk is not None:
            key.series.disk.keep(key, outcome)
            if only_for_disk:
                self._handed_to(key.series.disk, len(outcome.data))

    def _handed_to(self, disk: FrameStore, nbytes: int) -> None:
        """Bytes came for the disk alone: more come when it has written these."""
        self._unwritten += nbytes
        if self._unwritten >= self.limits.bytes_for_disk and self._writing is None:
            self._queue.disk_is_behind = True
            self._writing = asyncio.get_running_loop().create_task(self._wait_for(disk))

    async def _wait_for(self, disk: FrameStore) -> None:
        try:
            await disk.written(self.limits.writing)
        finally:
            self._unwritten, self._writing, self._queue.disk_is_behind = 0, None, False
            self._pump_soon()

    # --- the table ---

    def _bring(self, pending: PendingFrame, *, look_up: bool = False) -> None:
        """Have a frame brought that nothing brings yet."""
        if pending.is_suspect:
            self._start(Fetch((pending.key,), suspect=True))
        elif look_up and pending.key.series.disk is not None:
            self._look_up_soon(pending)
        else:
            if not self._queue:
                self._queue.since = self._clock()
            pending.state = State.QUEUED
            self._queue.add(pending.key, pending.priority, pending.reader)
            self._pump_soon()

    def _join(self, pending: PendingFrame, reader: Hashable, priority: Priority) -> None:
        """Somebody else wants it, perhaps sooner."""
        if pending.fetch is not None:
            pending.fetch.given_up -= pending.given_up
            pending.given_up = False
            return
        if priority < pending.priority:
            pending.priority, pending.reader = priority, reader
        if pending.state is State.QUEUED:
            self._queue.add(pending.key, priority, reader)
            self._pump_soon()

    def _remove(self, pending: PendingFrame) -> None:
        """Nothing brings it any more."""
        del self._pending[pending.key]
        if pending.fetch is None:
            self._queue.discard(pending.key)
            return
        pending.fetch.left -= 1
        pending.fetch.given_up -= pending.given_up
        pending.fetch, pending.given_up = None, False

    def _forget(self, pending: PendingFrame) -> None:
        """Nobody wants a frame that no fetch brings for it alone."""
        self._remove(pending)
        series = pending.key.series
        if self._queue.is_coming(series) and not self._queue.wants(series):
            for fetch in self._under_way:
                if fetch.fetch.stays_queued and fetch.fetch.keys[0].series is series:
                    fetch.cancel()

    # --- fetches ---

    def _pump_soon(self) -> None:
        """Fetch at the end of this tick."""
        if not self._pumps_soon and self._queue:
            self._pumps_soon = True
            # No ring of references shall outlive the last reader.
            asyncio.get_running_loop().call_soon(_call, weakref.WeakMethod(self._pump))

    def _pump(self) -> None:
        self._pumps_soon = False
        if self._pump_at is not None:
            self._pump_at.cancel()
            self._pump_at = None
        while self._queue:
            self._queue.large_wait = self._backlog.is_full
            step = self._origin.next(self._queue, len(self._under_way) - self._suspects, self._clock())
            if isinstance(step, Fetch):
                self._start(step)
                continue
            if step.seconds:
                self._pump_at = asyncio.get_running_loop().call_later(
                    step.seconds, _call, weakref.WeakMethod(self._pump)
                )
            return

    def _start(self, fetch: Fetch) -> None:
        under_way = FetchUnderWay(fetch, self)
        under_way.only_for_disk = all(self._pending[key].priority is Priority.BEHIND for key in fetch.keys)
        if fetch.stays_queued:
            self._queue.expect(fetch.keys[0])
        else:
            under_way.left = len(fetch.keys)
            for key in fetch.keys:
                pending = self._pending[key]
                pending.fetch = under_way
                pending.state = State.SUSPECT if fetch.suspect else State.UNDER_WAY
            if fetch.suspect:
                self._suspects += 1
            else:
                self._queue.take(fetch.keys)
        self._under_way.add(under_way)
        under_way.task = asyncio.get_running_loop().create_task(self._origin.fetch(fetch, under_way))
        under_way.task.add_done_callback(partial(self._ended, under_way))

    def _ended(self, by: FetchUnderWay, task: asyncio.Task[None]) -> None:
        self._under_way.discard(by)
        self._suspects -= by.fetch.suspect
        if by.fetch.stays_queued:
            self._queue.expect_no_more(by.fetch.keys[0].series)
        left = [pending for key in by.fetch.keys if (pending := self._pending.get(key)) and pending.fetch is by]
        # What nobody is left to hear of is for asyncio to report.
        error = None if task.cancelled() or not left else task.exception()
        for pending in left:
            if error is not None:
                self._settle(pending, error)
                continue
            given_up = pending.given_up
            self._remove(pending)
            if not given_up:
                self._pending[pending.key] = pending
                self._bring(pending)
        self._pump_soon()

    # --- the disk ---

    def _look_up_soon(self, pending: PendingFrame) -> None:
        pending.state = State.LOOKED_UP
        self._unseen.append(pending)
        if len(self._unseen) == 1:
            asyncio.get_running_loop().call_soon(self._look_up)

    def _look_up(self) -> None:
        unseen, self._unseen = self._unseen, []
        disks: dict[FrameStore, list[PendingFrame]] = {}
        for pending in unseen:
            if pending.key.series.disk is not None:
                disks.setdefault(pending.key.series.disk, []).append(pending)
        for disk, frames in disks.items():
            task = asyncio.get_running_loop().create_task(self._take_from_disk(disk, frames))
            self._look_ups.add(task)
            task.add_done_callback(self._look_ups.discard)

    async def _take_from_disk(self, disk: FrameStore, frames: Sequence[PendingFrame]) -> None:
        held: dict[FrameKey, EncodedFrame] = {}
        try:
            held = await disk.frames([pending.key for pending in frames])
        finally:
            for pending in frames:
                self._looked_up(pending, held.get(pending.key))

    def _looked_up(self, pending: PendingFrame, frame: EncodedFrame | None) -> None:
        if self._pending.get(pending.key) is not pending:
            if frame is not None:
                self._cache.put(pending.key, frame)
        elif frame is not None:
            self._settle(pending, frame)
        else:
            self._bring(pending)


def _call(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    """Call a method if its object lives."""
    function = method()
    if function is not None:
        function()


def _end_given_up(fetch: FetchUnderWay) -> None:
    """The time is over in which somebody might have come back."""
    if fetch.given_up >= fetch.left:
        fetch.cancel()
