"""What every frame origin does, alone and under the scheduler: each wanted frame arrives or fails exactly once."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import pytest
from frame_origins import ORIGINS
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples
from waiting import SECONDS, is_idle

from dicomzarr.engine.cache import FrameCache
from dicomzarr.engine.limits import Limits
from dicomzarr.engine.ports import Fetch
from dicomzarr.engine.requests import FrameQueue, Priority
from dicomzarr.engine.scheduler import Scheduler
from dicomzarr.errors import DicomZarrError
from dicomzarr.runtime.home_loop import run_sync

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from frame_origins import Origin

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.engine.pending import PendingFrame
    from dicomzarr.engine.ports import FrameOrigin, FrameSink, QueueView, SeriesRef, Wait
    from dicomzarr.engine.series_state import FrameKey

READERS = 3

LIMITS = Limits(grace=0.003)
"""What nobody waits for ends while the test still runs."""


@pytest.fixture(scope="module", params=ORIGINS, ids=str)
def origin(request: pytest.FixtureRequest) -> Iterator[Origin]:
    with ORIGINS[request.param]() as made:
        yield made


@dataclass
class Counted:
    """An origin of which the fetches under way are counted."""

    inner: FrameOrigin
    most: int
    under_way: int = 0
    began: int = 0

    def next(self, queue: QueueView, under_way: int, now: float) -> Fetch | Wait:
        assert under_way == self.under_way
        step = self.inner.next(queue, under_way, now)
        if isinstance(step, Fetch):
            assert step.keys
            assert len(set(step.keys)) == len(step.keys)
            self.under_way += 1
            assert self.under_way <= self.most
        return step

    async def fetch(self, fetch: Fetch, sink: FrameSink) -> None:
        self.began += 1
        task = asyncio.current_task()
        assert task is not None
        if not fetch.suspect:
            task.add_done_callback(self._ended)
        await self.inner.fetch(fetch, sink)

    def _ended(self, _: asyncio.Task[object]) -> None:
        self.under_way -= 1

    def retries(self, key: FrameKey, error: DicomZarrError) -> bool:
        return self.inner.retries(key, error)

    @property
    def latency(self) -> float:
        return self.inner.latency

    def forget(self, series: SeriesRef | None) -> None:
        self.inner.forget(series)

    def close(self) -> None:
        self.inner.close()


@dataclass(eq=False)
class Waiter:
    """Waits for one frame, and remembers what it is told."""

    key: FrameKey
    faulty: bool
    """Something may go wrong while it waits."""
    pending: PendingFrame | None = None
    told: list[tuple[FrameKey, bytes | BaseException]] = field(default_factory=list)
    told_when_given_up: int | None = None

    def arrived(self, key: FrameKey, frame: EncodedFrame) -> None:
        self.told.append((key, bytes(frame.data)))

    def failed(self, key: FrameKey, error: BaseException) -> None:
        self.told.append((key, error))

    @property
    def waits(self) -> bool:
        return not self.told and self.told_when_given_up is None

    def check(self, right: bytes) -> None:
        """It was told once, of its frame and in time, unless it gave up before."""
        assert len(self.told) == (1 if self.told_when_given_up is None else 0)
        for key, outcome in self.told:
            assert key == self.key
            if isinstance(outcome, bytes):
                assert same(outcome, right)
            else:
                assert self.faulty, outcome
                assert isinstance(outcome, DicomZarrError), outcome


def same(data: bytes, right: bytes) -> bool:
    """Whether these are the bytes of one frame: a zero may have been added for an even length."""
    return data.rstrip(b"\0") == right.rstrip(b"\0")


@dataclass
class Play:
    """Readers who want frames, and change their minds."""

    origin: Origin
    counted: Counted
    scheduler: Scheduler
    waiters: list[Waiter] = field(default_factory=list)
    faulty: bool = False
    """Something may go wrong, or did in a fetch under way, which whoever wants its frames now joins."""

    def want(self, reader: int, number: int, *, fresh: bool = False, suspect: bool = False) -> None:
        keys = list(self.origin.frames)
        key = keys[number % len(keys)]
        waiter = Waiter(key, self.faulty)
        self.waiters.append(waiter)
        waiter.pending = self.scheduler.want(key, waiter, reader, fresh=fresh, suspect=suspect)

    def drop(self, number: int) -> None:
        waiting = [waiter for waiter in self.waiters if waiter.waits]
        if waiting:
            self._drop(waiting[number % len(waiting)])

    def drop_all(self, reader: int) -> None:
        for waiter in self.waiters:
            if waiter.waits and waiter.pending is not None and waiter.pending.reader == reader:
                self._drop(waiter)

    def _drop(self, waiter: Waiter) -> None:
        assert waiter.pending is not None
        waiter.told_when_given_up = len(waiter.told)
        self.scheduler.drop(waiter.pending, waiter)

    def set_faults(self, seed: int | None) -> None:
        self.origin.faults.chance = None if seed is None else random.Random(seed)
        if seed is not None:
            self.faulty = True
            for waiter in self.waiters:
                waiter.faulty = True

    async def settled(self) -> None:
        async with asyncio.timeout(SECONDS):
            while not is_idle(self.scheduler):  # noqa: ASYNC110  # nothing tells when nothing happens
                await asyncio.sleep(0.001)
        self.faulty = self.origin.faults.chance is not None


async def played(origin: Origin, cache_bytes: int) -> AsyncIterator[Play]:
    """A scheduler over a new origin; in the end nothing may be left, and nothing may have been said to the loop."""
    loop, complaints = asyncio.get_running_loop(), list[dict[str, object]]()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    counted = Counted(origin.make(), origin.most)
    play = Play(origin, counted, Scheduler(counted, FrameCache(cache_bytes), limits=LIMITS))
    try:
        yield play
        origin.faults.chance = None
        await play.settled()
        assert counted.under_way == 0
    finally:
        origin.faults.chance = None
        counted.close()
        loop.set_exception_handler(None)
    assert not complaints
    for waiter in play.waiters:
        waiter.check(play.origin.frames[waiter.key])


Step: TypeAlias = "Callable[[Play, int, int], object]"


def _want_many(play: Play, reader: int, first: int, count: int) -> None:
    for number in range(first, first + count):
        play.want(reader, number)


def _ahead(play: Play, reader: int, first: int) -> None:
    keys = list(play.origin.frames)
    for number in range(first, first + 12):
        play.scheduler.fetch_ahead(keys[number % len(keys)], ("ahead", reader))


STEPS: dict[str, Step] = {
    "want": Play.want,
    "want some": lambda play, reader, number: _want_many(play, reader, number, 12),
    "want all": lambda play, reader, _: _want_many(play, reader, 0, len(play.origin.frames)),
    "want fresh": lambda play, reader, number: play.want(reader, number, fresh=True),
    "want suspect": lambda play, reader, number: play.want(reader, number, suspect=True),
    "ahead": _ahead,
    "forget ahead": lambda play, reader, _: play.scheduler.forget_ahead(("ahead", reader)),
    "drop": lambda play, _, number: play.drop(number),
    "settle": lambda play, *_: play.settled(),
    "drop all": lambda play, reader, _: play.drop_all(reader),
    "tick": lambda *_: asyncio.sleep(0),
    "wait": lambda _, __, number: asyncio.sleep(0.001 * (number % 8)),
    "faults": lambda play, _, number: play.set_faults(number),
    "no faults": lambda play, *_: play.set_faults(None),
}

one_step = st.tuples(st.sampled_from(list(STEPS)), st.integers(0, READERS - 1), st.integers(0, 10_000))


plans = st.lists(st.lists(one_step, max_size=12), max_size=6).map(
    lambda parts: [step for part in parts for step in part]
)
"""As many steps as lists of lists have: plain lists are short."""


@settings(max_examples=examples(200), deadline=None)
@given(plan=plans, cache_bytes=st.sampled_from([0, 3000, 2**20]))
def test_each_wanted_frame_arrives_or_fails_once(
    origin: Origin, plan: list[tuple[str, int, int]], cache_bytes: int
) -> None:
    async def run() -> None:
        async for play in played(origin, cache_bytes):
            for name, reader, number in plan:
                happens = STEPS[name](play, reader, number)
                if isinstance(happens, Awaitable):
                    await happens

    run_sync(run)


@settings(max_examples=examples(40), deadline=None)
@given(seed=st.integers(0, 2**32))
def test_after_faults_every_frame_can_be_had(origin: Origin, seed: int) -> None:
    async def run() -> None:
        async for play in played(origin, 0):
            play.set_faults(seed)
            _want_many(play, 0, 0, len(origin.frames))
            await play.settled()
            play.set_faults(None)
            play.counted.forget(None)
            _want_many(play, 1, 0, len(origin.frames))
            await play.settled()

    run_sync(run)


@dataclass
class Recorded:
    """A sink that remembers what it is told."""

    wanted: set[FrameKey]
    arrivals: dict[FrameKey, bytes] = field(default_factory=dict)
    failures: dict[FrameKey, BaseException] = field(default_factory=dict)

    def arrived(self, key: FrameKey, frame: EncodedFrame) -> bool:
        assert key not in self.arrivals
        assert key not in self.failures
        self.arrivals[key] = bytes(frame.data)
        self.wanted.discard(key)
        return bool(self.wanted)

    def failed(self, key: FrameKey, error: DicomZarrError) -> None:
        assert key not in self.arrivals
        assert key not in self.failures
        self.failures[key] = error

    async def ready(self) -> None:
        await asyncio.sleep(0)


def test_one_fetch_after_the_other_brings_everything(origin: Origin) -> None:
    """The origin alone: what it says nothing of is asked of it again, and it ends."""

    async def run() -> None:
        source, queue = origin.make(), FrameQueue()
        for key in origin.frames:
            queue.add(key, Priority.NOW, "a")
        sink = Recorded(set(origin.frames))
        async with asyncio.timeout(SECONDS):
            while queue:
                step = source.next(queue, 0, time.monotonic())
                if not isinstance(step, Fetch):
                    await asyncio.sleep(step.seconds)
                    continue
                if step.stays_queued:
                    queue.expect(step.keys[0])
                else:
                    assert all(key in queue for key in step.keys)
                    queue.take(step.keys)
                await source.fetch(step, sink)
                if step.stays_queued:
                    queue.expect_no_more(origin.series)
                for key in sink.arrivals:
                    queue.discard(key)
                for key in step.keys:
                    if key not in sink.arrivals:
                        queue.add(key, Priority.NOW, "a")
        source.close()
        assert not sink.failures
        assert sink.arrivals.keys() == origin.frames.keys()
        assert all(same(data, origin.frames[key]) for key, data in sink.arrivals.items())

    run_sync(run)
