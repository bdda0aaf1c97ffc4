"""Threads that keep to a core each, as long as all of them work."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import imagecodecs
import numpy as np
import pytest
from waiting import SECONDS

from dicomzarr.codecs.apart import Apart
from dicomzarr.runtime.cores import CORE, CoreOfItsOwn, usable_cores
from dicomzarr.runtime.pools import PoolOfCores, Threads

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux lets a thread choose cores")

CORES = usable_cores()


@pytest.fixture(scope="module")
def pool() -> PoolOfCores:
    return PoolOfCores("dicomzarr-test")


def cores_of(pool: PoolOfCores, threads: int) -> list[set[int]]:
    """Where so many threads run that work at the same time."""
    meeting, parting = (threading.Barrier(threads, timeout=SECONDS) for _ in range(2))

    def work() -> set[int]:
        meeting.wait()
        pool.keep_apart()
        found = usable_cores()
        parting.wait()
        return found

    pool.wait(SECONDS, begin_more=True)  # until those idle that have just answered
    return [each.result(SECONDS) for each in [pool.submit(work) for _ in range(threads)]]


def test_each_thread_keeps_to_a_core_of_its_own_while_all_work(pool: PoolOfCores) -> None:
    assert pool.threads == len(CORES)
    assert sorted(map(sorted, cores_of(pool, pool.threads))) == [[core] for core in sorted(CORES)]


def test_threads_run_anywhere_while_others_idle(pool: PoolOfCores) -> None:
    cores_of(pool, pool.threads)
    for threads in range(1, pool.threads):
        assert cores_of(pool, threads) == [CORES] * threads


def test_a_thread_that_works_on_alone_runs_anywhere_again(pool: PoolOfCores) -> None:
    meeting = threading.Barrier(pool.threads, timeout=SECONDS)

    def work(number: int) -> set[int]:
        meeting.wait()
        pool.keep_apart()
        end = time.monotonic() + SECONDS
        while number == 0 and usable_cores() != CORES and time.monotonic() < end:
            pool.keep_apart()
        return usable_cores()

    first, *_ = [pool.submit(work, number) for number in range(pool.threads)]
    assert first.result(SECONDS) == CORES


def test_threads_that_are_started_meanwhile_run_anywhere(pool: PoolOfCores) -> None:
    meeting, other = threading.Barrier(pool.threads, timeout=SECONDS), Threads("dicomzarr-other", 1)

    def work() -> set[int]:
        meeting.wait()
        pool.keep_apart()
        return other.submit(usable_cores).result(SECONDS)

    assert [each.result(SECONDS) for each in [pool.submit(work) for _ in range(pool.threads)]] == [CORES] * pool.threads


def test_a_process_for_jpeg_xl_that_is_started_meanwhile_runs_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[set[int]] = []

    class Started(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            found.append(os.sched_getaffinity(self.pid))

    monkeypatch.setattr(subprocess, "Popen", Started)
    apart, frame = Apart(), np.full((8, 8), 7, np.uint8)

    def work() -> Any:
        CORE.keep(0, len(CORES))
        return apart.decode(imagecodecs.jpegxl_encode(frame, lossless=True), 2**28, 60.0)

    with ThreadPoolExecutor(1) as threads:
        assert (threads.submit(work).result(SECONDS) == frame).all()
    apart.end()
    assert found == [CORES]


def in_a_thread(core: CoreOfItsOwn, threads: int) -> tuple[set[int], set[int]]:
    """Where a thread runs after `CoreOfItsOwn.keep`, and after `CoreOfItsOwn.leave`."""
    found: list[set[int]] = []

    def work() -> None:
        core.keep(0, threads)
        found.append(usable_cores())
        core.leave()
        found.append(usable_cores())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(SECONDS)
    kept, left = found
    return kept, left


def test_a_process_that_was_given_other_cores_since_runs_where_it_may() -> None:
    assert in_a_thread(CoreOfItsOwn(), len(CORES) + 1) == (CORES, CORES)


@pytest.mark.parametrize("error", [PermissionError, OSError])
def test_where_it_is_forbidden_threads_run_anywhere(error: type[OSError], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    assert in_a_thread(CoreOfItsOwn(), len(CORES)) == (CORES, CORES)


def test_where_the_system_does_not_say_threads_run_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == set()
    core = CoreOfItsOwn()
    core.keep(0, len(CORES))
    core.leave()
    monkeypatch.undo()
    assert usable_cores() == CORES
