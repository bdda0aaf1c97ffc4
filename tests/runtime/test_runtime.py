"""What runs the rest: work that is done once, threads, and forgetting all."""

from __future__ import annotations

import asyncio
import os
import threading

import numpy as np
import pytest
from processes import FORKS
from serving import run_python, serving
from slides import brightfield_pyramid
from waiting import SECONDS

import dicomzarr
from dicomzarr.errors import EventLoopError
from dicomzarr.runtime import reset
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.runtime.pools import Pool, Threads
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


def test_threads_start_as_they_are_needed_and_end_when_idle() -> None:
    threads = Threads("test", 2, idle=0.01)
    both = threading.Barrier(2, timeout=SECONDS)
    done = [threads.submit(lambda: (both.wait(), threading.current_thread())[1]) for _ in range(2)]
    used = {each.result(SECONDS) for each in done}
    assert len(used) == 2
    for each in used:
        each.join(SECONDS)
        assert not each.is_alive()
    assert threads.submit(threading.current_thread).result(SECONDS) not in used


def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    threads = Threads("test", 1)
    gate = threading.Event()
    first = threads.submit(gate.wait, SECONDS)
    second = threads.submit(pytest.fail)
    assert second.cancel()
    gate.set()
    assert first.result(SECONDS)


def test_what_was_begun_can_be_waited_for() -> None:
    threads = Threads("test", 1)
    done: list[int] = []
    for number in range(3):
        threads.submit(done.append, number)
    threads.wait(SECONDS, begin_more=True)
    assert done == [0, 1, 2]


MAIN_ENDS = """
import atexit, json, sys, threading

told = []

@atexit.register
def last_of_all():
    read()
    print(json.dumps(told))

import dicomzarr

def read():
    told.append(int(dicomzarr.open(url, headers={"X-Anew": str(len(told))}).levels[-1][...].sum()))

class Late:
    def __del__(self):
        try:
            read()
        except RuntimeError as error:
            print(error, file=sys.stderr)

def begin():
    threading.main_thread().join()
    read()

url = sys.argv[1]
read()
atexit.register(read)
dicomzarr.late = Late()
threading.Thread(target=begin).start()
"""


def test_reads_go_on_when_the_main_thread_has_ended() -> None:
    """In threads that are waited for, and at exit; later than that they end with an error, and never hang."""
    slide = brightfield_pyramid()
    with serving(slide) as served:
        found = run_python(MAIN_ENDS, served.url.replace("127.0.0.1", "localhost"))
    assert found == [int(slide.levels[-1].pixels[:, 0].sum())] * 4


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
