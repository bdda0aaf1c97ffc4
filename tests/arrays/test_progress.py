"""How far a read is: what a function is told, what a bar shows, and nothing left behind."""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING

import fsspec
import numpy as np
import pytest
from fsspec.callbacks import Callback
from rich.console import Console
from serving import Served, serving
from slides import brightfield_pyramid

import dicomzarr
from dicomzarr.arrays.progress import ReadProgress, watches
from dicomzarr.errors import UsageError

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
