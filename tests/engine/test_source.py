"""The frame source: batches, readers that share, readers that give up, failures that are not kept."""

from __future__ import annotations

import asyncio
import gc
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from unittest import mock

import msgspec
import numpy as np
import pytest
from fake_client import (
    BITS,
    FIRST,
    LARGE,
    MANY,
    OPENING,
    PIXEL,
    SECOND,
    SERIES,
    STUDY,
    FakeClient,
    encoded,
    frame_of,
)
from hypothesis import given
from hypothesis import strategies as st
from waiting import SECONDS, is_idle

from dicomzarr.dicom.instance import FrameRef, Instance
from dicomzarr.engine.cache import FrameCache
from dicomzarr.engine.limits import Limits
from dicomzarr.engine.readahead import Block
from dicomzarr.engine.scheduler import Scheduler
from dicomzarr.engine.series_state import FrameKey
from dicomzarr.engine.source import FrameSource, frames_under_way
from dicomzarr.errors import FrameNotFoundError, FrameShapeError, MissingInstanceError, ServerError
from dicomzarr.options import Tuning
from dicomzarr.plan import LevelPlan
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.sources.dicomweb.origin import DICOMwebOrigin
from dicomzarr.sources.dicomweb.tuning.thresholds import Thresholds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.plan.plan import FrameView


def level_of(instance: Instance, view: FrameView | None = None) -> LevelPlan:
    """A level of frames like those of an instance, whatever its frames."""
    size = (instance.pixel.rows, instance.pixel.columns)
    return LevelPlan(
        size,
        size,
        instance.pixel.dtype,
        scale=(1, 1),
        translation=(0, 0),
        absent=(0,),
        fill_value=0,
        frames=mock.Mock(),
        view=view,
    )


STORED = level_of(FIRST)
"""A level of stored values."""


@dataclass
class Bench:
    """A source on the home loop, and its client."""

    client: FakeClient
    source: FrameSource
    scheduler: Scheduler

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while not is_idle(self.scheduler):  # noqa: ASYNC110  # nothing tells when nothing happens
            await asyncio.sleep(0.001)


def on_bench(  # noqa: PLR0913  # what it is made of, by name
    test: Callable[[Bench], Awaitable[None]],
    *,
    closed: bool = False,
    cache_bytes: int = 1000,
    frames_per_request: int = 64,
    connections: int = 4,
    thresholds: Thresholds | None = None,
    limits: Limits | None = None,
) -> None:
    """Run a test on the home loop; no frame may be left pending after it."""

    async def run() -> None:
        client = FakeClient(connections, Tuning(connections, frames_per_request, cache_bytes))
        client.profile.thresholds = thresholds or Thresholds()
        client.whole_gate.set()
        if not closed:
            client.gate.set()
        origin = DICOMwebOrigin(
            client,  # type: ignore[arg-type]  # it needs no more of a client
        )
        scheduler = Scheduler(origin, FrameCache(cache_bytes), limits=limits or Limits())
        bench = Bench(client, FrameSource(scheduler, OPENING), scheduler)
        others = asyncio.all_tasks()
        try:
            await test(bench)
        except BaseException:
            for task in asyncio.all_tasks() - others:  # else whatever is tested next would wait for them
                task.cancel()
            raise
        async with asyncio.timeout(SECONDS):
            await bench.settled()

    run_sync(run)


async def read(bench: Bench, *numbers: int, instance: Instance = FIRST) -> list[bytes | BaseException]:
    chunks = (bench.source.chunk(FrameRef(instance, number), level_of(instance)) for number in numbers)
    return await asyncio.gather(*chunks, return_exceptions=True)


def reader(bench: Bench, number: int) -> asyncio.Task[bytes]:
    return asyncio.create_task(bench.source.chunk(FrameRef(FIRST, number), STORED))


async def ended(bench: Bench, instance: str) -> None:
    """Wait until a request for an instance is cancelled, and no other."""
    async with asyncio.timeout(SECONDS):
        while not bench.client.ended:  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.001)
    assert bench.client.ended == [instance]


async def ticks(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# --- batches ---


def test_what_one_tick_asks_is_one_request() -> None:
    async def test(bench: Bench) -> None:
        assert await read(bench, 3, 1, 2) == [frame_of(3), frame_of(1), frame_of(2)]
        assert bench.client.asked == [("1.2.3.1", (1, 2, 3))]

    on_bench(test)


def test_a_list_never_spans_instances() -> None:
    async def test(bench: Bench) -> None:
        await asyncio.gather(read(bench, 1, 2), read(bench, 2, 3, instance=SECOND))
        assert sorted(bench.client.asked) == [("1.2.3.1", (1, 2)), ("1.2.3.2", (2, 3))]

    on_bench(test)


def test_lists_keep_their_bound() -> None:
    async def test(bench: Bench) -> None:
        await read(bench, *range(1, 101))
        assert sorted(bench.client.numbers) == list(range(1, 101))
        assert max(len(numbers) for _, numbers in bench.client.asked) <= 10

    on_bench(test, frames_per_request=10)


# --- sharing ---


def test_a_frame_in_flight_is_shared() -> None:
    async def test(bench: Bench) -> None:
        early = [reader(bench, 1), reader(bench, 1)]
        await ticks()
        late = [reader(bench, 1), reader(bench, 2)]
        await ticks()
        bench.client.gate.set()
        assert await asyncio.gather(*early, *late) == [frame_of(1)] * 3 + [frame_of(2)]
        assert bench.client.numbers == [1, 2]

    on_bench(test, closed=True)


def test_a_frame_that_was_read_is_not_asked_for_again() -> None:
    async def test(bench: Bench) -> None:
        for _ in range(3):
            assert await read(bench, 1, 2) == [frame_of(1), frame_of(2)]
        assert bench.client.numbers == [1, 2]

    on_bench(test)


def test_without_a_cache_every_read_asks() -> None:
    async def test(bench: Bench) -> None:
        for _ in range(2):
            assert await read(bench, 1, 1) == [frame_of(1)] * 2
        assert bench.client.numbers == [1, 1]

    on_bench(test, cache_bytes=0)


# --- readers that give up ---


def test_a_cancelled_reader_takes_nothing_from_others() -> None:
    async def test(bench: Bench) -> None:
        gone, stays, neighbour = reader(bench, 1), reader(bench, 1), reader(bench, 2)
        await ticks()
        gone.cancel()
        await ticks()
        bench.client.gate.set()
        assert list(await asyncio.gather(stays, neighbour)) == [frame_of(1), frame_of(2)]
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert bench.client.numbers == [1, 2]

    on_bench(test, closed=True)


def test_readers_cancelled_before_the_tick_ends() -> None:
    async def test(bench: Bench) -> None:
        gone = reader(bench, 1)
        await asyncio.sleep(0)
        gone.cancel()
        assert await read(bench, 1) == [frame_of(1)]

    on_bench(test)


def test_what_nobody_waits_for_any_more_is_not_asked_for() -> None:
    async def test(bench: Bench) -> None:
        first = [reader(bench, number) for number in range(1, 5)]
        await ticks()
        others = [asyncio.create_task(bench.source.chunk(FrameRef(SECOND, number), STORED)) for number in range(1, 30)]
        stays = reader(bench, 9)
        await ticks()
        for other in others:
            other.cancel()
        await ticks()
        bench.client.gate.set()
        await asyncio.gather(*first, stays)
        assert sorted(bench.client.numbers) == [1, 2, 3, 4, 9]

    on_bench(test, closed=True, connections=1)


def test_what_nobody_waits_for_any_more_is_kept() -> None:
    async def test(bench: Bench) -> None:
        gone = reader(bench, 1)
        await ticks()
        gone.cancel()
        bench.client.gate.set()
        await bench.settled()
        assert await read(bench, 1) == [frame_of(1)]
        assert bench.client.numbers == [1]

    on_bench(test, closed=True)


def test_a_failure_that_nobody_waits_for_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    async def test(bench: Bench) -> None:
        bench.client.missing = {1}
        gone = reader(bench, 1)
        await ticks()
        gone.cancel()
        bench.client.gate.set()
        await bench.settled()
        del gone
        gc.collect()
        await ticks()

    with caplog.at_level(logging.WARNING):
        on_bench(test, closed=True)
    assert caplog.text == ""


def test_a_cancelled_delivery_spoils_no_other() -> None:
    async def test(bench: Bench) -> None:
        frames = [FrameRef(FIRST, number) for number in (1, 2, 3)]
        placed: list[int] = []
        gone = asyncio.create_task(bench.source.deliver(frames, lambda _at, _pixels: None, STORED))
        stays = asyncio.create_task(bench.source.deliver(frames, lambda at, _pixels: placed.append(at), STORED))
        await ticks()
        gone.cancel()
        await ticks()
        bench.client.gate.set()
        await stays
        assert sorted(placed) == [0, 1, 2]
        assert bench.client.numbers == [1, 2, 3]

    on_bench(test, closed=True)


# --- failures ---


def test_a_missing_frame_fails_alone_and_is_asked_for_again() -> None:
    async def test(bench: Bench) -> None:
        bench.client.missing = {2}
        good, bad, also_good = await read(bench, 1, 2, 3)
        assert good == frame_of(1)
        assert also_good == frame_of(3)
        assert isinstance(bad, FrameNotFoundError)
        bench.client.missing = set()
        assert await read(bench, 1, 2, 3) == [frame_of(1), frame_of(2), frame_of(3)]
        assert bench.client.numbers == [1, 2, 3, 2]

    on_bench(test)


def test_a_frame_that_does_not_decode_is_not_kept() -> None:
    async def test(bench: Bench) -> None:
        bench.client.broken = {2}
        good, bad = await read(bench, 1, 2)
        assert good == frame_of(1)
        assert isinstance(bad, FrameShapeError)
        for name in (STUDY, SERIES, FIRST.sop_instance_uid, "frame 2"):
            assert name in str(bad)
        bench.client.broken = set()
        assert await read(bench, 2) == [frame_of(2)]
        assert bench.client.numbers == [1, 2, 2]

    on_bench(test)


def test_a_frame_that_does_not_decode_comes_out_of_the_whole_instance() -> None:
    async def test(bench: Bench) -> None:
        bench.client.broken, bench.client.serves_wholes = {2, 3}, True
        assert await read(bench, 1, 2, 3) == [frame_of(1), frame_of(2), frame_of(3)]
        assert await read(bench, 2) == [frame_of(2)]
        assert bench.client.numbers == [1, 2, 3]
        assert sorted(bench.client.wholes) == [("1.2.3.1", (2,)), ("1.2.3.1", (3,))]

    on_bench(test)


def test_a_large_instance_is_not_fetched_for_one_bad_frame() -> None:
    async def test(bench: Bench) -> None:
        bench.client.broken, bench.client.serves_wholes = {2}, True
        (bad,) = await read(bench, 2, instance=LARGE)
        assert isinstance(bad, FrameShapeError)
        assert bench.client.wholes == []

    on_bench(test)


def test_frames_that_begin_within_a_byte_come_out_of_the_whole_instance() -> None:
    """Servers refuse to cut them, or cut them wrongly."""

    async def test(bench: Bench) -> None:
        bench.client.serves_wholes = True
        (chunk,) = await read(bench, 3, instance=BITS)
        assert isinstance(chunk, bytes)
        assert (bench.client.asked, bench.client.wholes) == ([], [("1.2.3.4", (3,))])

    on_bench(test)


@pytest.mark.parametrize(
    "turn",
    [
        lambda pixels: pixels.astype(np.int8),
        lambda pixels: pixels.astype(np.uint16),
        lambda pixels: pixels[:, :1],
        lambda pixels: pixels[:, :, :1],
        lambda pixels: np.concatenate([pixels, pixels]),
        lambda pixels: pixels[np.newaxis],
        lambda pixels: pixels.reshape(-1),
    ],
    ids=["signed", "wide", "one row", "one column", "two samples", "one axis more", "flat"],
)
def test_both_entrances_refuse_what_is_not_of_the_level_and_keep_none_of_it(turn: Callable[[Any], Any]) -> None:
    wrong = level_of(FIRST, lambda _frame, pixels: turn(pixels))

    async def test(bench: Bench) -> None:
        bench.client.serves_wholes = True
        frame = FrameRef(FIRST, 2)
        with pytest.raises(FrameShapeError) as chunk:
            await bench.source.chunk(frame, wrong)
        with pytest.raises(FrameShapeError) as region:
            await bench.source.deliver([frame], lambda _at, _pixels: pytest.fail("it was given"), wrong)
        assert str(chunk.value) == str(region.value)
        for name in (STUDY, SERIES, FIRST.sop_instance_uid, "frame 2", "uint8 in chunks of (1, 2, 2)"):
            assert name in str(chunk.value)
        assert bench.scheduler.held(OPENING.key(frame)) is None
        assert len(bench.client.numbers) + len(bench.client.wholes) <= 4

    on_bench(test)


def test_a_frame_of_another_opening_is_refused() -> None:
    """Its level lies on cells of its own: the same number may be another cell here."""
    other = msgspec.structs.replace(FIRST)

    async def test(bench: Bench) -> None:
        with pytest.raises(MissingInstanceError, match=r"1\.2\.3\.1, frame 2"):
            await bench.source.chunk(FrameRef(other, 2), STORED)
        with pytest.raises(MissingInstanceError):
            await bench.source.deliver([FrameRef(other, 2)], lambda _at, _pixels: None, STORED)
        assert bench.client.numbers == []

    on_bench(test)


def test_many_bad_frames_are_forgotten_at_once() -> None:
    """A delivery ends with the first bad frame; the others were fetched too, and nobody has looked at them."""

    async def test(bench: Bench) -> None:
        frames = [FrameRef(FIRST, number) for number in range(1, 51)]
        bench.client.broken = set(range(1, 51))
        with pytest.raises(FrameShapeError):
            await bench.source.deliver(frames, lambda _at, _pixels: None, STORED)
        bench.client.broken = set()
        placed: dict[int, int] = {}
        await bench.source.deliver(frames, lambda at, pixels: placed.update({at: int(pixels[0, 0, 0])}), STORED)
        assert placed == {number - 1: number for number in range(1, 51)}

    on_bench(test)


@pytest.mark.parametrize("error", [ServerError("down"), RuntimeError("a bug"), asyncio.CancelledError()], ids=repr)
def test_a_request_that_breaks_leaves_nobody_waiting(error: BaseException) -> None:
    async def test(bench: Bench) -> None:
        bench.client.error = error
        async with asyncio.timeout(SECONDS):
            outcomes = await read(bench, 1, 2)
        expected = ServerError if isinstance(error, asyncio.CancelledError) else type(error)
        assert [type(outcome) for outcome in outcomes] == [expected] * 2
        bench.client.error = None
        assert await read(bench, 1, 2) == [frame_of(1), frame_of(2)]

    on_bench(test)


def test_an_answer_without_a_frame_is_an_error() -> None:
    async def test(bench: Bench) -> None:
        bench.client.silent = {2}
        good, bad = await read(bench, 1, 2)
        assert good == frame_of(1)
        assert isinstance(bad, ServerError)
        assert FIRST.sop_instance_uid in str(bad)

    on_bench(test)


# --- whole plans ---


def test_a_delivery_places_each_position_once() -> None:
    async def test(bench: Bench) -> None:
        frames = [FrameRef(FIRST, number) for number in (5, 6, 5)]
        placed: dict[int, list[int]] = {}
        await bench.source.deliver(
            frames, lambda at, pixels: placed.setdefault(at, []).append(int(pixels[0, 0, 0])), STORED
        )
        assert placed == {0: [5], 1: [6], 2: [5]}
        assert bench.client.numbers == [5, 6]

    on_bench(test)


def test_a_delivery_never_has_more_than_its_window_under_way() -> None:
    async def test(bench: Bench) -> None:
        placed: set[int] = set()
        frames = [FrameRef(FIRST, number) for number in range(1, 11)]
        await bench.source.deliver(frames, lambda at, _pixels: placed.add(at), STORED)
        assert placed == set(range(10))
        assert bench.client.asked[0] == ("1.2.3.1", (1, 2, 3, 4))
        assert sorted(bench.client.numbers) == list(range(1, 11))

    on_bench(test, limits=Limits(least_under_way=4, bytes_under_way=4 * PIXEL.nbytes))


def test_a_delivery_raises_what_went_wrong() -> None:
    async def test(bench: Bench) -> None:
        bench.client.missing = {2}
        with pytest.raises(FrameNotFoundError, match="No frame 2"):
            await bench.source.deliver([FrameRef(FIRST, n) for n in (1, 2, 3)], lambda _at, _pixels: None, STORED)

    on_bench(test)


# --- the cache ---


def key(number: int) -> FrameKey:
    return FrameKey(OPENING, FIRST.sop_instance_uid, number)


def test_the_least_recently_used_goes_first() -> None:
    cache = FrameCache(10)
    for number in (1, 2):
        cache.put(key(number), encoded(bytes(4)))
    assert cache.get(key(1)) is not None
    cache.put(key(3), encoded(bytes(4)))
    assert [cache.get(key(number)) is not None for number in (1, 2, 3)] == [True, False, True]
    assert cache.nbytes == 8


def test_a_frame_put_twice_counts_once() -> None:
    cache = FrameCache(10)
    cache.put(key(1), encoded(bytes(4)))
    cache.put(key(1), encoded(bytes(6)))
    assert cache.nbytes == 6
    cache.discard(key(1))
    assert (cache.nbytes, cache.get(key(1))) == (0, None)
    cache.discard(key(1))
    assert cache.nbytes == 0


def test_a_frame_larger_than_the_cache_drives_nothing_out() -> None:
    cache = FrameCache(10)
    cache.put(key(1), encoded(bytes(4)))
    cache.put(key(2), encoded(bytes(11)))
    assert cache.get(key(1)) is not None
    assert cache.get(key(2)) is None


actions = st.tuples(st.sampled_from(["put", "get", "discard"]), st.integers(0, 5), st.integers(0, 40))


@given(limit=st.integers(0, 100), steps=st.lists(actions, max_size=60))
def test_the_cache_holds_its_bound_and_its_books(limit: int, steps: list[tuple[str, int, int]]) -> None:
    cache = FrameCache(limit)
    last: dict[int, bytes] = {}
    for step, (action, number, size) in enumerate(steps):
        if action == "put":
            last[number] = bytes([step]) * size
            cache.put(key(number), encoded(last[number]))
        elif action == "discard":
            last.pop(number, None)
            cache.discard(key(number))
        held = {number: found.data for number in range(6) if (found := cache.get(key(number))) is not None}
        assert all(last[number] == data for number, data in held.items())
        assert cache.nbytes == sum(map(len, held.values())) <= limit


def test_pixels_are_what_the_frame_says() -> None:
    """The bytes of a chunk are the decoded frame in C order."""

    async def test(bench: Bench) -> None:
        (chunk,) = await read(bench, 7)
        assert isinstance(chunk, bytes)
        assert np.frombuffer(chunk, np.uint8).reshape(PIXEL.shape).tolist() == [[[7, 7], [7, 7]]]

    on_bench(test)


# --- turns, priorities, and what is fetched ahead ---


def test_a_large_read_holds_up_no_small_one() -> None:
    async def test(bench: Bench) -> None:
        frames = [FrameRef(FIRST, number) for number in range(1, 301)]
        large = asyncio.create_task(bench.source.deliver(frames, lambda _at, _pixels: None, STORED))
        await ticks()
        small = asyncio.create_task(bench.source.chunk(FrameRef(SECOND, 7), STORED))
        await ticks()
        bench.client.gate.set()
        assert await small == frame_of(7)
        await large
        assert bench.client.asked.index(("1.2.3.2", (7,))) <= 5

    on_bench(test, closed=True)


def test_what_is_wanted_now_goes_before_what_may_be_wanted() -> None:
    async def test(bench: Bench) -> None:
        first = reader(bench, 1)
        await ticks()
        bench.source.prefetch([FrameRef(FIRST, number) for number in range(100, 120)])
        await ticks()
        now = [reader(bench, 110), asyncio.create_task(bench.source.chunk(FrameRef(SECOND, 7), STORED))]
        await ticks()
        bench.client.gate.set()
        assert await asyncio.gather(first, *now) == [frame_of(1), frame_of(110), frame_of(7)]
        await bench.settled()
        assert bench.client.asked[1:3] == [("1.2.3.1", (110,)), ("1.2.3.2", (7,))]
        assert sorted(bench.client.numbers) == sorted([1, 7, *range(100, 120)])

    on_bench(test, closed=True, connections=1)


def test_what_was_fetched_ahead_is_not_asked_for_again() -> None:
    async def test(bench: Bench) -> None:
        bench.source.prefetch([FrameRef(FIRST, number) for number in (1, 2, 3)])
        await ticks()
        bench.source.prefetch([FrameRef(FIRST, number) for number in (2, 3, 4)])
        await ticks()
        await bench.settled()
        assert await read(bench, 1, 2, 3, 4) == [frame_of(number) for number in (1, 2, 3, 4)]
        assert bench.client.numbers == [1, 2, 3, 4]

    on_bench(test)


def test_what_fails_ahead_is_told_to_whoever_reads_it(caplog: pytest.LogCaptureFixture) -> None:
    async def test(bench: Bench) -> None:
        bench.client.missing = {2}
        bench.source.prefetch([FrameRef(FIRST, number) for number in (1, 2)])
        await ticks()
        await bench.settled()
        good, bad = await read(bench, 1, 2)
        assert good == frame_of(1)
        assert isinstance(bad, FrameNotFoundError)

    on_bench(test)
    assert caplog.text == ""


def test_what_is_fetched_ahead_leaves_connections_free() -> None:
    async def test(bench: Bench) -> None:
        bench.source.prefetch([FrameRef(FIRST, number) for number in range(1, 201)])
        await ticks()
        assert len(bench.client.asked) == 3
        now = reader(bench, 400)
        await ticks()
        assert len(bench.client.asked) == 4
        bench.client.gate.set()
        assert await now == frame_of(400)

    on_bench(test, closed=True, connections=4)


def test_answers_that_come_one_by_one_are_followed_by_lists() -> None:
    """zarr asks for the next chunk when one has come: a moment's wait makes lists of what slow servers answer."""
    thresholds = Thresholds(gathered_share=1.0, longest_gather=SECONDS)  # as long as an answer takes, on any machine

    async def test(bench: Bench) -> None:

        async def slowly(_: FakeClient, numbers: Sequence[int], deliver: Callable[[int, EncodedFrame], None]) -> None:
            await asyncio.sleep(0.4)
            for number in numbers:
                deliver(number, encoded(frame_of(number)))
                await asyncio.sleep(0)

        bench.client.answer = slowly
        queue = iter(range(1, 21))

        async def worker() -> None:
            for number in queue:
                assert await bench.source.chunk(FrameRef(FIRST, number), STORED) == frame_of(number)

        await asyncio.gather(*(worker() for _ in range(10)))
        assert len(bench.client.asked) <= 8  # ten at a time: two lists, were they all to go together

    on_bench(test, thresholds=thresholds)


def test_what_is_announced_next_takes_the_place_of_what_was() -> None:
    """A viewer has moved on: what has not been asked for yet is not fetched any more."""

    async def test(bench: Bench) -> None:
        first = reader(bench, 1)
        await ticks()
        bench.source.prefetch([FrameRef(FIRST, number) for number in range(100, 200)])
        await ticks()
        bench.source.prefetch([FrameRef(SECOND, number) for number in (5, 6)])
        await ticks()
        bench.client.gate.set()
        await first
        await bench.settled()
        assert bench.client.asked == [("1.2.3.1", (1,)), ("1.2.3.2", (5, 6))]

    on_bench(test, closed=True, connections=1)


def test_a_request_that_nobody_waits_for_is_ended_before_long() -> None:
    async def test(bench: Bench) -> None:
        gone, stays = (
            [reader(bench, number) for number in (1, 2)],
            asyncio.create_task(bench.source.chunk(FrameRef(SECOND, 1), STORED)),
        )
        await ticks()
        for each in gone:
            each.cancel()
        await ended(bench, "1.2.3.1")
        again = reader(bench, 1)
        await ticks()
        bench.client.gate.set()
        assert await asyncio.gather(stays, again) == [frame_of(1)] * 2

    on_bench(test, closed=True, limits=Limits(grace=0.01))


def test_who_comes_back_in_time_is_served_by_the_first_request() -> None:
    async def test(bench: Bench) -> None:
        with mock.patch.object(asyncio.get_running_loop(), "call_later") as later:
            gone = reader(bench, 1)
            await ticks()
            gone.cancel()
            await ticks()
            back = reader(bench, 1)
            await ticks()
        ((_, end, *fetch),) = (call.args for call in later.call_args_list if call.args[0] == SECONDS)
        end(*fetch)  # the time is over
        await ticks()
        bench.client.gate.set()
        assert await back == frame_of(1)
        assert (bench.client.numbers, bench.client.ended) == ([1], [])

    on_bench(test, closed=True, limits=Limits(grace=SECONDS))


def test_a_whole_instance_that_nobody_waits_for_is_ended_too() -> None:
    async def test(bench: Bench) -> None:
        bench.client.whole_gate.clear()
        gone = asyncio.create_task(bench.source.chunk(FrameRef(BITS, 1), level_of(BITS)))
        await ticks()
        gone.cancel()
        await ended(bench, "1.2.3.4")

    on_bench(test, limits=Limits(grace=0.01))


@pytest.mark.parametrize(("far", "ahead"), [(0.0, True), (SECONDS, False)])
def test_what_is_at_hand_is_not_fetched_ahead(far: float, ahead: object) -> None:
    frames = mock.Mock(locate=lambda at: FrameRef(FIRST, 1 + 20 * at[0] + at[1]))
    level = replace(STORED, shape=(20, 40), frames=frames)

    async def test(bench: Bench) -> None:
        for column in range(18):
            bench.source.follow(level, Block((0, column), (1, 1)))
            await bench.source.chunk(FrameRef(FIRST, 1 + column), level)
        assert (len(bench.client.numbers) > 18) is ahead

    on_bench(test, limits=Limits(far=far))


def test_frames_too_large_for_memory_come_a_few_at_a_time() -> None:
    large = Instance("1.2.3.5", 100, replace(PIXEL, rows=2**14, columns=2**13))
    single = msgspec.structs.replace(large, number_of_frames=1)
    many = [FrameRef(large, number) for number in range(1, 50)]
    assert frames_under_way(many, Limits(), from_disk=False) == 2
    assert frames_under_way([FrameRef(FIRST, 1)], Limits(), from_disk=True) == Limits().frames_under_way
    # The disk gives at once what is asked for; a server gives as many as there are connections.
    assert frames_under_way([FrameRef(single, 1)], Limits(), from_disk=True) == 2
    assert frames_under_way([FrameRef(single, 1)], Limits(), from_disk=False) == Limits().frames_under_way


def test_a_trial_holds_up_no_small_read() -> None:
    """A list on its own is being measured, and takes its time."""

    async def test(bench: Bench) -> None:
        frames = [FrameRef(MANY, number) for number in range(1, 1001)]
        large = asyncio.create_task(bench.source.deliver(frames, lambda _at, _pixels: None, STORED))
        await ticks()
        assert len(bench.client.asked) == 1
        bench.client.gate.set()
        bench.client.gate = asyncio.Event()  # the first answers, the others wait
        await ticks(50)
        held_up = len(bench.client.asked)
        small = asyncio.create_task(bench.source.chunk(FrameRef(SECOND, 7), STORED))
        await ticks(50)
        assert bench.client.asked[held_up:] == [("1.2.3.2", (7,))]
        bench.client.gate.set()
        assert await small == frame_of(7)
        await large

    on_bench(test, closed=True, thresholds=Thresholds(patience=SECONDS, at_once=SECONDS))
