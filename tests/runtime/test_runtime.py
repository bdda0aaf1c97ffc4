"""What runs the rest: work that is done once, threads, and forgetting all."""

from __future__ import annotations

import asyncio
import os
import threading

import numpy as np
import pytest
from processes import FORKS
from serving import serving
from slides import brightfield_pyramid

import dicomzarr
from dicomzarr.errors import EventLoopError
from dicomzarr.runtime import reset
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.runtime.pools import Pool
from dicomzarr.runtime.single_flight import SingleFlight


class Work:
    """Work that ends when it is let."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = 0
        self.kept: list[int] = []
        self.gate = asyncio.Event()
        self._error = error

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        await self.gate.wait()
        if self._error is not None:
            raise self._error
        return number


def test_work_is_done_once_for_all_who_ask_and_goes_on_when_they_are_cancelled() -> None:
    async def run() -> None:
        flight, work = SingleFlight[str, int](), Work()
        asking = [asyncio.create_task(flight.do("a", work, work.kept.append)) for _ in range(3)]
        await asyncio.sleep(0)
        asking[0].cancel()
        work.gate.set()
        assert await asyncio.gather(*asking[1:]) == [1, 1]
        assert (work.begun, work.kept) == (1, [1])
        assert await flight.do("a", work, work.kept.append) == 2

    asyncio.run(run())


def test_what_was_forgotten_is_begun_anew_and_kept_by_nobody() -> None:
    async def run() -> None:
        flight, work = SingleFlight[str, int](), Work()
        old = asyncio.create_task(flight.do("a", work, work.kept.append))
        await asyncio.sleep(0)
        flight.forget(lambda key: key == "b")
        same = asyncio.create_task(flight.do("a", work, work.kept.append))
        await asyncio.sleep(0)
        flight.forget(lambda key: key == "a")
        new = asyncio.create_task(flight.do("a", work, work.kept.append))
        await asyncio.sleep(0)
        work.gate.set()
        assert await asyncio.gather(old, same, new) == [1, 1, 2]
        assert work.kept == [2]

    asyncio.run(run())


def test_failures_reach_all_who_wait_and_are_not_kept() -> None:
    async def run() -> None:
        flight, work = SingleFlight[str, int](), Work(ValueError("no"))
        work.gate.set()
        asking = [flight.do("a", work, work.kept.append) for _ in range(2)]
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(each) for each in found] == [ValueError] * 2
        with pytest.raises(ValueError, match="no"):
            await flight.do("a", work, work.kept.append)
        assert (work.begun, work.kept) == (2, [])

    asyncio.run(run())


def test_a_failure_is_told_unless_it_was_forgotten() -> None:
    async def run() -> None:
        flight, work, told = SingleFlight[str, int](), Work(ValueError("no")), list[BaseException]()
        old = asyncio.create_task(flight.do("a", work, failed=told.append))
        await asyncio.sleep(0)
        flight.forget(lambda _: True)
        new = asyncio.create_task(flight.do("a", work, failed=told.append))
        await asyncio.sleep(0)
        work.gate.set()
        await asyncio.gather(old, new, return_exceptions=True)
        assert told == [new.exception()]

    asyncio.run(run())


def test_work_may_end_with_the_last_who_asked() -> None:
    async def run() -> None:
        flight, work = SingleFlight[str, int](goes_on=False), Work()
        asking = [asyncio.create_task(flight.do("a", work, work.kept.append)) for _ in range(2)]
        await asyncio.sleep(0)
        task = flight._under_way["a"]
        asking[0].cancel()
        await asyncio.sleep(0)
        assert not task.cancelling()
        asking[1].cancel()
        await asyncio.sleep(0)
        assert task.cancelling()
        again = asyncio.create_task(flight.do("a", work, work.kept.append))  # before the first one has ended
        work.gate.set()
        assert await again == 2
        assert task.cancelled()
        assert work.kept == [2]

    asyncio.run(run())


@FORKS
def test_a_forked_child_has_threads_of_its_own() -> None:
    pool = Pool("test", 1)
    assert pool.submit(os.getpid).result() == os.getpid()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, str(pool.submit(os.getpid).result(20)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reading, 99)) == child
    assert pool.submit(threading.get_ident).result() != threading.get_ident()
    os.close(reading)
    os.close(writing)


def test_reset_forgets_all_servers_and_what_is_held_reads_on() -> None:
    slide = brightfield_pyramid()
    with serving(slide) as served:
        held = dicomzarr.open(served.url)
        expected = slide.levels[-1].pixels[:, 0]
        assert np.array_equal(held.levels[-1][...], expected)
        reset()
        assert np.array_equal(held.levels[-1][...], expected)
        assert np.array_equal(dicomzarr.open(served.url).levels[-1][...], expected)
        assert served.count("metadata") == 2
        assert len(served.frames_asked()) == 3


def test_reset_is_refused_where_it_would_wait_for_itself() -> None:
    async def on_the_home_loop() -> None:
        with pytest.raises(EventLoopError):
            reset()

    run_sync(on_the_home_loop)
