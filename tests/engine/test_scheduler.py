"""The scheduler over an origin that does as it is told: what is fetched, and who is told of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fake_client import FIRST, OPENING, PIXEL
from waiting import is_idle

from dicomzarr.codecs.encoded_frame import EncodedFrame
from dicomzarr.dicom.instance import Instance
from dicomzarr.engine.cache import FrameCache
from dicomzarr.engine.limits import Limits
from dicomzarr.engine.ports import Fetch, Wait
from dicomzarr.engine.requests import Priority
from dicomzarr.engine.scheduler import Scheduler
from dicomzarr.engine.series_state import FrameKey, SeriesState
from dicomzarr.errors import FrameError, FrameNotFoundError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from dicomzarr.engine.ports import FrameSink, QueueView, SeriesRef

FRAME = EncodedFrame(b"abcd", "", None)
OTHER = EncodedFrame(b"efgh", "", None)


def key(number: int) -> FrameKey:
    return FrameKey(OPENING, FIRST.sop_instance_uid, number)


@dataclass
class Told:
    """A fetch of `Obedient`, and its sink."""

    fetch: Fetch
    sink: FrameSink
    end: asyncio.Future[None] = field(default_factory=asyncio.Future)

    @property
    def numbers(self) -> list[int]:
        return [key.number for key in self.fetch.keys]


@dataclass
class Obedient:
    """An origin that fetches all of whoever's turn it is, and waits for the test to say what comes of it."""

    fetches: list[Told] = field(default_factory=list)
    stays_queued: bool = False
    latency: float = 0.0

    def next(self, queue: QueueView, under_way: int, now: float) -> Fetch | Wait:  # noqa: ARG002  # the port's
        turn = next(queue.turns(), None)
        return Wait(0) if turn is None else Fetch(tuple(queue.keys(turn)), stays_queued=self.stays_queued)

    async def fetch(self, fetch: Fetch, sink: FrameSink) -> None:
        told = Told(fetch, sink)
        self.fetches.append(told)
        await told.end

    def retries(self, key: FrameKey, error: FrameError) -> bool:  # type: ignore[override]  # the port's
        raise NotImplementedError

    def forget(self, series: SeriesRef | None) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


@dataclass(eq=False)
class Waiter:
    """Remembers what it is told."""

    told: list[EncodedFrame | BaseException] = field(default_factory=list)

    def arrived(self, _: FrameKey, frame: EncodedFrame) -> None:
        self.told.append(frame)

    def failed(self, _: FrameKey, error: BaseException) -> None:
        self.told.append(error)


async def ticks() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def run(test: Callable[[Scheduler, Obedient], Awaitable[None]], *, cache_bytes: int = 0, **options: bool) -> None:
    """Run a test, after which nothing may be wanted or under way."""

    async def tested() -> None:
        origin = Obedient(**options)  # type: ignore[arg-type]
        scheduler = Scheduler(origin, FrameCache(cache_bytes), limits=Limits(grace=0.0))
        await test(scheduler, origin)
        for told in origin.fetches:
            if not told.end.done():
                told.end.set_result(None)
        await ticks()
        assert is_idle(scheduler)

    asyncio.run(tested())


def want(scheduler: Scheduler, numbers: Sequence[int], reader: str = "a") -> list[Waiter]:
    waiters = [Waiter() for _ in numbers]
    for number, waiter in zip(numbers, waiters, strict=True):
        scheduler.want(key(number), waiter, reader)
    return waiters


def test_what_a_fetch_says_nothing_of_is_fetched_again() -> None:
    async def test(scheduler: Scheduler, origin: Obedient) -> None:
        first, second = want(scheduler, [1, 2])
        await ticks()
        (told,) = origin.fetches
        assert told.sink.arrived(key(1), FRAME)
        told.end.set_result(None)
        await ticks()
        assert [each.numbers for each in origin.fetches] == [[1, 2], [2]]
        assert not origin.fetches[1].sink.arrived(key(2), OTHER)  # nothing more of it is wanted
        assert (first.told, second.told) == ([FRAME], [OTHER])

    run(test)


def test_what_is_said_first_counts_and_only_of_the_own_frames() -> None:
    async def test(scheduler: Scheduler, origin: Obedient) -> None:
        (first,) = want(scheduler, [1])
        await ticks()
        (second,) = want(scheduler, [2], "b")
        await ticks()
        one, two = (told.sink for told in origin.fetches)
        two.arrived(key(1), OTHER)
        two.failed(key(1), FrameNotFoundError("not its own"))
        assert first.told == []
        one.arrived(key(1), FRAME)
        one.arrived(key(1), OTHER)
        one.failed(key(1), FrameNotFoundError("too late"))
        two.arrived(key(2), OTHER)
        assert (first.told, second.told) == ([FRAME], [OTHER])

    run(test)


def test_a_fetch_that_raises_fails_what_is_left() -> None:
    async def test(scheduler: Scheduler, origin: Obedient) -> None:
        first, second = want(scheduler, [1, 2])
        await ticks()
        (told,) = origin.fetches
        told.sink.arrived(key(1), FRAME)
        error = ZeroDivisionError()
        told.end.set_exception(error)
        await ticks()
        assert (first.told, second.told) == ([FRAME], [error])

    run(test)


def test_a_failure_elsewhere_is_told_to_those_who_have_seen_the_frame() -> None:
    """To others it says nothing of the frame as it usually comes."""

    async def test(scheduler: Scheduler, origin: Obedient) -> None:
        seen, other = Waiter(), Waiter()
        scheduler.want(key(1), seen, "a", suspect=True)
        scheduler.want(key(1), other, "b")
        await ticks()
        (told,) = origin.fetches
        assert told.fetch.suspect
        error = FrameNotFoundError("not there either")
        told.sink.failed(key(1), error)
        assert (seen.told, other.told) == ([error], [])
        await ticks()
        again = origin.fetches[1]
        assert not again.fetch.suspect
        again.sink.arrived(key(1), FRAME)
        assert other.told == [FRAME]

    run(test)


def test_who_has_seen_a_frame_not_decode_does_not_take_the_same_again() -> None:
    async def test(scheduler: Scheduler, origin: Obedient) -> None:
        seen, other = Waiter(), Waiter()
        scheduler.want(key(1), other, "b")
        scheduler.want(key(1), seen, "a", suspect=True)
        await ticks()
        origin.fetches[0].sink.arrived(key(1), FRAME)
        assert (seen.told, other.told) == ([], [FRAME])
        await ticks()
        assert [told.fetch.suspect for told in origin.fetches] == [False, True]
        origin.fetches[1].sink.arrived(key(1), OTHER)
        assert seen.told == [OTHER]

    run(test)


def test_a_fetch_goes_on_as_long_as_somebody_waits_for_one_of_its_frames() -> None:
    async def test(scheduler: Scheduler, origin: Obedient) -> None:
        waiters = [Waiter() for _ in range(3)]
        pending = [scheduler.want(key(number), waiter, "a") for number, waiter in enumerate(waiters, 1)]
        await ticks()
        (told,) = origin.fetches
        scheduler.drop(pending[0], waiters[0])
        scheduler.drop(pending[1], waiters[1])
        await asyncio.sleep(0.01)
        assert not told.end.cancelled()
        scheduler.drop(pending[2], waiters[2])
        await asyncio.sleep(0.01)
        assert told.end.cancelled()
        assert [waiter.told for waiter in waiters] == [[], [], []]

    run(test)


def test_who_comes_while_a_fetch_is_being_ended_is_served_by_another() -> None:
    async def test(scheduler: Scheduler, origin: Obedient) -> None:
        gone, back = Waiter(), Waiter()
        pending = scheduler.want(key(1), gone, "a")
        await ticks()
        scheduler.drop(pending, gone)
        while not origin.fetches[0].end.cancelled():  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0)
        scheduler.want(key(1), back, "b")
        await ticks()
        assert len(origin.fetches) == 2
        origin.fetches[1].sink.arrived(key(1), FRAME)
        assert (gone.told, back.told) == ([], [FRAME])

    run(test)


def test_what_is_to_lie_on_disk_goes_behind_all_else_and_stays_out_of_the_memory() -> None:
    async def test(scheduler: Scheduler, origin: Obedient) -> None:
        behind, now = Waiter(), Waiter()
        scheduler.want(key(1), behind, "disk", priority=Priority.BEHIND)
        scheduler.fetch_ahead(key(2), "ahead")
        scheduler.want(key(3), now, "a")
        await ticks()
        assert [told.numbers for told in origin.fetches] == [[3], [2], [1]]
        for number, told in zip((3, 2, 1), origin.fetches, strict=True):
            told.sink.arrived(key(number), FRAME)
        assert (behind.told, now.told) == ([FRAME], [FRAME])
        assert [scheduler.held(key(number)) for number in (1, 2, 3)] == [None, FRAME, FRAME]

    run(test, cache_bytes=100)


def test_who_needs_now_what_is_to_lie_on_disk_does_not_wait_behind() -> None:
    async def test(scheduler: Scheduler, origin: Obedient) -> None:
        behind, now = Waiter(), Waiter()
        scheduler.want(key(1), behind, "disk", priority=Priority.BEHIND)
        scheduler.want(key(2), behind, "disk", priority=Priority.BEHIND)
        scheduler.want(key(2), now, "a")
        scheduler.want(key(2), behind, "disk", priority=Priority.BEHIND)
        await ticks()
        assert [told.numbers for told in origin.fetches] == [[2], [1]]
        origin.fetches[0].sink.arrived(key(2), FRAME)
        origin.fetches[1].sink.arrived(key(1), OTHER)
        assert (behind.told, now.told) == ([FRAME, OTHER], [FRAME])

    run(test)


def test_frames_that_stay_queued_come_with_others_or_sooner_and_are_fetched_anew_where_they_do_not() -> None:
    stored = [Instance(f"1.2.{number}", 1, PIXEL) for number in range(4)]
    by_uid = {each.sop_instance_uid: each for each in stored}
    series = SeriesState("1", "1.2", instances=by_uid, slices=by_uid)
    keys = [FrameKey(series, uid, 1) for uid in by_uid]

    async def test(scheduler: Scheduler, origin: Obedient) -> None:
        waiters = [Waiter() for _ in keys]
        for each, waiter in zip(keys, waiters, strict=True):
            scheduler.want(each, waiter, "a")
        await ticks()
        (whole,) = origin.fetches
        assert list(whole.fetch.keys) == keys
        origin.stays_queued = False
        assert whole.sink.arrived(keys[0], FRAME)
        whole.sink.arrived(keys[0], OTHER)  # nobody waits for it any more
        whole.end.set_result(None)
        await ticks()
        assert [told.fetch.keys for told in origin.fetches[1:]] == [tuple(keys[1:])]
        for each in keys[1:]:
            origin.fetches[1].sink.arrived(each, FRAME)
        assert [waiter.told for waiter in waiters] == [[FRAME]] * 4

    run(test, stays_queued=True)


class SlowDisk:
    """Writes when the test says so."""

    def __init__(self) -> None:
        self.kept: list[int] = []
        self.waited_for: list[asyncio.Future[bool]] = []

    async def frames(self, keys: Sequence[FrameKey]) -> dict[FrameKey, EncodedFrame]:
        raise NotImplementedError(keys)  # what is kept is not looked up

    def keep(self, key: FrameKey, frame: EncodedFrame) -> None:
        assert frame == FRAME
        self.kept.append(key.number)

    def discard(self, key: FrameKey) -> None:
        raise NotImplementedError

    async def written(self, seconds: float) -> bool:
        assert seconds > 0
        self.waited_for.append(asyncio.get_running_loop().create_future())
        return await self.waited_for[-1]


def test_what_is_to_lie_on_disk_comes_no_faster_than_that_writes() -> None:
    disk = SlowDisk()
    series = SeriesState("1", "1.2", disk=disk, instances={FIRST.sop_instance_uid: FIRST})

    async def test() -> None:
        origin = Obedient()
        scheduler = Scheduler(origin, FrameCache(0), limits=Limits(grace=0.0, bytes_for_disk=2 * len(FRAME.data)))

        def want_on_disk(number: int) -> Waiter:
            waiter = Waiter()
            wanted = FrameKey(series, FIRST.sop_instance_uid, number)
            scheduler.want(wanted, waiter, "disk", fresh=True, priority=Priority.BEHIND)
            return waiter

        waiters = [want_on_disk(number) for number in (1, 2)]
        await ticks()
        (first,) = origin.fetches
        for wanted in first.fetch.keys:
            first.sink.arrived(wanted, FRAME)
        first.end.set_result(None)
        waiters.append(want_on_disk(3))
        now = want(scheduler, [9])
        await ticks()
        assert (disk.kept, len(disk.waited_for)) == ([1, 2], 1)
        assert [told.numbers for told in origin.fetches] == [[1, 2], [9]]  # who waits for a frame has it as before
        ready = asyncio.ensure_future(first.sink.ready()), asyncio.ensure_future(origin.fetches[1].sink.ready())
        await ticks()
        assert [each.done() for each in ready] == [False, True]
        disk.waited_for[0].set_result(True)
        await ticks()
        assert [told.numbers for told in origin.fetches][2:] == [[3]]
        assert all(each.done() for each in ready)
        origin.fetches[1].sink.arrived(key(9), FRAME)
        origin.fetches[2].sink.arrived(origin.fetches[2].fetch.keys[0], FRAME)
        assert [waiter.told for waiter in (*waiters, *now)] == [[FRAME]] * 4
        for told in origin.fetches[1:]:
            told.end.set_result(None)
        await ticks()
        assert is_idle(scheduler)

    asyncio.run(test())
