"""How far a read is: what a function is told, what a bar shows, and nothing left behind."""

from __future__ import annotations

import io
import math
import os
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
from fsspec.callbacks import Callback
from processes import FORKS
from rich.console import Console
from serving import Served, serving
from slides import brightfield_pyramid
from waiting import SECONDS

import dicomzarr
from dicomzarr.arrays.progress import ReadProgress, watches
from dicomzarr.errors import EventLoopError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dicomzarr.arrays import Level


@pytest.fixture(scope="module")
def slide() -> Iterator[Served]:
    with serving(brightfield_pyramid()) as each:
        yield each


@pytest.fixture
def level(slide: Served) -> Level:
    return dicomzarr.open(slide.url).levels[0]


def frames_of(level: Level) -> int:
    return math.prod(-(-size // chunk) for size, chunk in zip(level.shape, level.chunks, strict=True))


def test_a_function_is_told_of_each_frame(level: Level) -> None:
    told: list[ReadProgress] = []
    level.to_numpy(progress=told.append)
    frames, each = frames_of(level), math.prod(level.chunks) * level.dtype.itemsize
    assert [now.frames for now in told] == list(range(frames + 1))
    assert {(now.all_frames, now.all_nbytes) for now in told} == {(frames, frames * each)}
    assert [now.nbytes for now in told] == [now.frames * each for now in told]


def test_regions_count_the_frames_that_they_touch_once(level: Level) -> None:
    told: list[ReadProgress] = []
    corner = np.s_[:, : level.chunks[1], : level.chunks[2]]
    level.read([corner, corner], progress=told.append)
    assert told[-1] == ReadProgress(1, 1, math.prod(level.chunks), math.prod(level.chunks))


def test_what_a_function_raises_ends_the_read(level: Level) -> None:
    def enough(now: ReadProgress) -> None:
        if now.frames == 2:
            raise StopAsyncIteration("enough")

    with pytest.raises(StopAsyncIteration, match="enough"):
        level.to_numpy(progress=enough)
    assert watches() == ()
    assert level.to_numpy().shape == level.shape


def test_dask_is_counted_in_its_own_threads(level: Level) -> None:
    told: list[ReadProgress] = []
    lazy = level.to_dask(chunks=(-1, level.chunks[1], level.chunks[2]))
    with dicomzarr.progress(told.append):
        lazy.sum().compute(scheduler="threads", num_workers=3)
    assert told[-1].frames == told[-1].all_frames == frames_of(level)
    lazy.sum().compute()
    assert told[-1].frames == frames_of(level)  # nobody watches any more


def test_two_who_watch_are_both_told(level: Level) -> None:
    outer: list[ReadProgress] = []
    inner: list[ReadProgress] = []
    with dicomzarr.progress(outer.append):
        level.to_numpy(progress=inner.append)
        level.to_numpy()
    assert outer[-1].frames == 2 * inner[-1].frames == 2 * frames_of(level)


def test_the_bar_says_frames_megabytes_rate_and_time(level: Level) -> None:
    shown = io.StringIO()
    with dicomzarr.progress(console=Console(file=shown, force_terminal=True, width=120)):
        level.to_numpy()
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.getvalue()).strip().rpartition("\r")[2]
    assert f"{frames_of(level)} of {frames_of(level)} frames" in last
    assert "kB" in last or "MB" in last
    assert "/s" in last
    assert "0:00:00" in last


def test_true_shows_the_bar_on_standard_error(level: Level, capsys: pytest.CaptureFixture[str]) -> None:
    level.to_numpy(progress=True)
    level.to_numpy()
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count(" frames") == 1


@pytest.fixture
def other(slide: Served) -> Level:
    return dicomzarr.open(slide.url).levels[1]


class Beginning:
    """A read in another thread that stays in its function, told of its beginning, until it is let go."""

    def __init__(self, level: Level, raises: Exception | None = None, *, of_all: bool = False) -> None:
        self.told: list[ReadProgress] = []
        self._has_begun, self._goes_on = threading.Event(), threading.Event()
        self._raises = raises
        self._thread = ThreadPoolExecutor(1)
        self._reading = self._thread.submit(self._read_all if of_all else self._read, level)
        assert self._has_begun.wait(SECONDS)

    def _read(self, level: Level) -> None:
        level.to_numpy(progress=self._tell)

    def _read_all(self, level: Level) -> None:
        with dicomzarr.progress(self._tell):
            level.to_numpy()

    def _tell(self, now: ReadProgress) -> None:
        self.told.append(now)
        if now.frames == 0:
            self._has_begun.set()
            assert self._goes_on.wait(SECONDS)
            if self._raises is not None:
                raise self._raises

    def end(self) -> None:
        """Let it go on, and wait for it."""
        self._goes_on.set()
        with self._thread:
            self._reading.result(SECONDS)


def test_the_progress_of_one_read_is_told_of_no_other(level: Level, other: Level) -> None:
    begun = Beginning(level)
    try:
        told: list[ReadProgress] = []
        other.to_numpy(progress=told.append)
        other.to_numpy()
    finally:
        begun.end()
    assert [now.frames for now in told] == list(range(frames_of(other) + 1))
    assert {now.all_frames for now in told} == {frames_of(other)}
    assert [now.frames for now in begun.told] == list(range(frames_of(level) + 1))
    assert {now.all_frames for now in begun.told} == {frames_of(level)}


def test_what_the_function_of_one_read_raises_ends_no_other(level: Level, other: Level) -> None:
    begun = Beginning(level, ArithmeticError("not mine"))
    try:
        assert other.to_numpy().shape == other.shape
    finally:
        with pytest.raises(ArithmeticError, match="not mine"):
            begun.end()
    assert len(begun.told) == 1


def test_two_bars_in_two_threads_count_for_themselves(
    level: Level, other: Level, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(2) as threads:
        assert [each.shape for each in threads.map(lambda of: of.to_numpy(progress=True), (level, other))] == [
            level.shape,
            other.shape,
        ]
    told = capsys.readouterr().err
    for each in (level, other):
        assert f"{frames_of(each)} of {frames_of(each)} frames" in told


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("is_of_all", [False, True])
def test_a_function_that_reads_is_told_that_it_must_not(level: Level, at: int, *, is_of_all: bool) -> None:
    """In the thread that begins the read, and in one that decodes."""

    def tell(now: ReadProgress) -> None:
        if now.frames == at:
            level[0, 0, 0]

    watching = dicomzarr.progress(tell) if is_of_all else nullcontext()
    with watching, pytest.raises(EventLoopError, match="in a function that a read calls"):
        level.to_numpy(progress=None if is_of_all else tell)
    assert level[0, 0, 0].shape == ()


def test_a_function_may_wait_for_a_thread_that_reads(level: Level) -> None:
    """As one that calls dask may: nobody has to wait for the function before it can begin."""
    found: list[Any] = []

    def tell(now: ReadProgress) -> None:
        if now.frames == 0 and not found:
            with ThreadPoolExecutor(1) as thread:
                found.append(thread.submit(level.__getitem__, (0, 0, 0)))
                found[0].result(SECONDS)

    with dicomzarr.progress(tell):
        level.to_numpy()
    assert found[0].result() == level[0, 0, 0]


@FORKS
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_reads_while_its_parent_tells(level: Level, other: Level) -> None:
    with dicomzarr.progress(lambda _: None):
        begun = Beginning(level, of_all=True)
        try:
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    signal.alarm(int(SECONDS))
                    code = int(watches() != () or other.to_numpy().shape != other.shape)
                finally:
                    os._exit(code)
            assert os.waitpid(child, 0)[1] == 0
            assert len(watches()) == 2
        finally:
            begun.end()


def test_what_is_neither_a_bar_nor_a_function_is_refused(level: Level) -> None:
    assert level.to_numpy(progress=None).shape == level.shape
    with pytest.raises(UsageError, match="'yes'"):
        level.to_numpy(progress="yes")  # type: ignore[arg-type]


def test_fsspec_tells_its_callback_of_each_key(slide: Served, tmp_path: Path) -> None:
    """So that ``fs.get(..., callback=TqdmCallback())`` counts frames."""
    fs, url = fsspec.url_to_fs(f"{slide.url}/0")
    told = Callback()
    fs.get(f"{url}/c", str(tmp_path / "c"), recursive=True, callback=told)
    copied = [path for path in (tmp_path / "c").rglob("*") if path.is_file()]
    assert len(copied) > 1
    assert told.size >= len(copied)
    assert told.value == told.size
