"""Exports that end in the middle go on where they were: what is done is not read again, and the result is the same."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import faults
import numpy as np
import pydicom
import pytest
import slides
from exports import assert_same_store, files_of
from processes import piped
from radiology_model import AXIAL, distinct
from radiology_opened import Opener
from radiology_volumes import volume
from segmentable import CT, SHAPE, SOURCES
from segmentations import random_masks, segmented
from serving import forget_servers, serving, serving_elsewhere
from waiting import SECONDS

import dicomzarr
from dicomzarr.demo.show import demo_server, demo_url
from dicomzarr.errors import ServerError, TargetError, UsageError
from dicomzarr.faces.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from aiohttp import web
    from aiohttp.typedefs import Handler

    from dicomzarr.faces.export.zarr_export import Progress


SMALL = 200_000
"""Bytes of a block: the demo slide has some fifty."""

EXPORT = f"""
import sys
import dicomzarr
left = int(sys.argv[3])
def tell(now):
    global left
    left -= 1
    if not left:
        print(now.phase, flush=True)
        sys.stdin.read()  # until it is killed, while other threads go on
dicomzarr.export(sys.argv[1], sys.argv[2], block_bytes={SMALL}, progress=tell, **eval(sys.argv[4]))
"""


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def run_export(url: str, out: Path, script: str, *words: object) -> AbstractContextManager[subprocess.Popen[str]]:
    command = [sys.executable, "-c", script, url, str(out), *map(str, words)]
    return piped(*command)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("zarr", {}),
        ("ozx", {}),
        pytest.param("zarr", {"shard": 2}, marks=pytest.mark.long),
        pytest.param("zarr", {"keep_encoded": True}, marks=pytest.mark.long),
    ],
    ids=str,
)
def test_an_export_killed_five_times_equals_one_that_was_not(
    ending: str, options: dict[str, Any], tmp_path: Path
) -> None:
    chance = random.Random(14)
    out, whole = tmp_path / f"killed.{ending}", tmp_path / f"whole.{ending}"
    with demo_server() as demo:
        url = demo_url(demo)
        blocks = dicomzarr.export(url, whole, block_bytes=SMALL, **options).blocks
        phases = []
        for _ in range(5):
            with run_export(url, out, EXPORT, chance.randrange(1, 2 * blocks // 3), options) as process:
                assert process.stdout is not None
                phases.append(process.stdout.readline().strip())
                process.kill()
            assert not (out / "zarr.json").exists()
            assert ending == "zarr" or not out.exists()
        assert set(phases) == {"copying", "verifying"}
        done = dicomzarr.export(url, out, block_bytes=SMALL, **options)
        assert done.resumed
        assert files_of(tmp_path / "killed.zarr") == files_of(tmp_path / "whole.zarr")
        assert ending == "zarr" or out.read_bytes() == whole.read_bytes()
        assert {path.name for path in tmp_path.iterdir()} == {out.name, whole.name}
    forget_servers()


@pytest.mark.slow
@pytest.mark.usefixtures("tried_again_at_once")
@pytest.mark.parametrize("ending", ["zarr", "ozx", "ome.tif"])
def test_a_lost_server_is_one_error_and_what_is_done_is_not_read_again(tmp_path: Path, ending: str) -> None:
    is_down = threading.Event()
    is_down.set()
    out = tmp_path / f"out.{ending}"
    options: dict[str, Any] = {"block_bytes": 10_000, "compression": "none", "images": [""]}
    with serving(slides.brightfield_pyramid(), faults.reset(when=lambda n: n > 8 and is_down.is_set())) as served:
        with pytest.raises(ServerError, match=r"\d+ of \d+ blocks are written; the same command goes on from there"):
            dicomzarr.export(served.url, out, frames_per_request=1, max_connections=1, **options)
        assert ending == "zarr" or not out.exists()
        (journal,) = tmp_path.rglob("*.journal")
        done = len(journal.read_text().splitlines()) - 1
        assert done >= 1
        is_down.clear()
        assert dicomzarr.export(served.url, out, **options).resumed == done
        if ending == "zarr":
            dicomzarr.export(served.url, tmp_path / "other.zarr", **options)
            assert files_of(out) == files_of(tmp_path / "other.zarr")
        assert [path.name for path in tmp_path.iterdir() if path.suffix not in {".zarr", ".ozx", ".tif"}] == []


def test_finished_blocks_are_not_read_again(opened: Opener, tmp_path: Path) -> None:
    url = opened.url(volume(AXIAL, distinct((8, 16, 20))))
    image = dicomzarr.open(url)

    def stop(now: Progress) -> None:
        if now.blocks == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dicomzarr.export(image, tmp_path / "out.zarr", block_bytes=1, progress=stop)
    journal = (tmp_path / "out.zarr.journal").read_text().splitlines()
    read: list[int] = []

    def count(now: Progress) -> None:
        if now.phase == "copying":
            read.append(now.blocks)

    done = dicomzarr.export(image, tmp_path / "out.zarr", block_bytes=1, progress=count)
    assert done.resumed == len(journal) - 1 >= 5
    assert len(read) == 8 - done.resumed
    assert_same_store(image, tmp_path / "out.zarr")


def test_another_series_or_other_options_are_refused(opened: Opener, tmp_path: Path) -> None:
    image = opened(volume(AXIAL, distinct((8, 16, 20))))
    other = opened(volume(AXIAL, distinct((7, 16, 20))))
    out = tmp_path / "out.zarr"

    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dicomzarr.export(image, out, block_bytes=1, progress=stop)
    with pytest.raises(UsageError, match="differs in series"):
        dicomzarr.export(other, out, block_bytes=1)
    with pytest.raises(UsageError, match="differs in zstd_level"):
        dicomzarr.export(image, out, block_bytes=1, compression="none")
    dicomzarr.export(other, out, block_bytes=1, overwrite=True)
    assert_same_store(other, out)


def stop_at_once(_: Progress) -> None:
    raise KeyboardInterrupt


def folder_of(datasets: list[Any], folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.dcm" for number in range(len(datasets))]
    for dataset, path in zip(datasets, paths, strict=True):
        dataset.save_as(path, enforce_file_format=True)
    return paths


@pytest.mark.parametrize(("ending", "replaced"), [("zarr", 0), ("zarr", -1), ("ozx", -1), ("nii", 0)])
def test_files_that_were_replaced_are_not_mixed_with_those_before(ending: str, replaced: int, tmp_path: Path) -> None:
    found = segmented(SOURCES, random_masks((1, *SHAPE)))
    paths = folder_of([*CT.datasets, found.dataset], tmp_path / "series")
    url = dicomzarr.search(tmp_path / "series", modality="CT")[0].url
    options: dict[str, Any] = {"block_bytes": 1, "labels": ending != "nii"}
    out = tmp_path / f"out.{ending}"
    with pytest.raises(KeyboardInterrupt):
        dicomzarr.export(url, out, progress=stop_at_once, **options)
    dataset = pydicom.dcmread(paths[replaced])
    dataset.PixelData = bytes(len(dataset.PixelData))
    paths[replaced].unlink()
    dataset.save_as(paths[replaced])
    forget_servers()
    with pytest.raises(UsageError, match="differs in version of the series"):
        dicomzarr.export(url, out, **options)
    assert not dicomzarr.export(url, out, overwrite=True, **options).resumed
    if ending == "zarr":
        assert_same_store(dicomzarr.open(url, labels=True), out, labels=True)


def test_a_target_in_the_folder_of_the_series_goes_on(tmp_path: Path) -> None:
    folder_of(list(CT.datasets), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        dicomzarr.export(tmp_path, tmp_path / "out.zarr", block_bytes=1, progress=stop_at_once)
    (tmp_path / "notes.txt").write_text("no DICOM")
    forget_servers()
    assert dicomzarr.export(tmp_path, tmp_path / "out.zarr", block_bytes=1).resumed


@pytest.mark.parametrize(
    ("before", "after", "goes_on"),
    [
        ({}, {}, True),
        ({"ETag": '"1"'}, {"ETag": '"1"'}, True),
        ({"ETag": '"1.1"'}, {"ETag": '"1.2"'}, False),
        ({"Last-Modified": "Wed, 01 Jan 2020 00:00:00 GMT"}, {"Last-Modified": "Thu, 02 Jan 2020 00:00:00 GMT"}, False),
        (
            {"ETag": '"1"', "Last-Modified": "Wed, 01 Jan 2020 00:00:00 GMT"},
            {"ETag": '"1"', "Last-Modified": "Thu, 02 Jan 2020 00:00:00 GMT"},
            True,
        ),
    ],
    ids=str,
)
def test_a_series_that_the_server_calls_another_is_refused(
    before: dict[str, str], after: dict[str, str], goes_on: Any, tmp_path: Path
) -> None:
    said = before

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        for name in ("ETag", "Last-Modified"):
            response.headers.popall(name, None)
        response.headers.update(said)
        return response

    with serving(slides.brightfield_pyramid(), faults.fault(act, on="metadata")) as served:
        options: dict[str, Any] = {"block_bytes": 1, "images": [""]}
        with pytest.raises(KeyboardInterrupt):
            dicomzarr.export(served.url, tmp_path / "out.zarr", progress=stop_at_once, **options)
        said = after
        forget_servers()
        if goes_on:
            assert dicomzarr.export(served.url, tmp_path / "out.zarr", **options).resumed
        else:
            with pytest.raises(UsageError, match="differs in version of the series"):
                dicomzarr.export(served.url, tmp_path / "out.zarr", **options)


def test_a_journal_that_was_cut_off_is_read_as_far_as_it_goes(opened: Opener, tmp_path: Path) -> None:
    image, out = opened(volume(AXIAL, distinct((8, 16, 20)))), tmp_path / "out.zarr"

    def stop(now: Progress) -> None:
        if now.blocks == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dicomzarr.export(image, out, block_bytes=1, progress=stop)
    journal = tmp_path / "out.zarr.journal"
    text = journal.read_text()
    journal.write_text(text[:-9])
    done = dicomzarr.export(image, out, block_bytes=1)
    assert done.resumed == len(text.splitlines()) - 2
    assert_same_store(image, out)


FULL = """
import resource, signal, sys
import dicomzarr
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
from dicomzarr.faces.cli import main
sys.exit(main(["export", sys.argv[1], sys.argv[2], "--compression", "none", *sys.argv[3:]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["zarr", "ozx", "ome.tif"])
def test_a_full_disk_is_one_line_and_leaves_what_can_go_on(tmp_path: Path, ending: str) -> None:
    with demo_server() as demo:
        url, out = demo_url(demo), tmp_path / f"out.{ending}"
        with run_export(url, out, FULL) as process:
            _, said = process.communicate(timeout=SECONDS)
        assert process.returncode == 1, said
        lines = [each for each in said.splitlines() if "warn" not in each.lower()]
        assert len(lines) == 1, said
        (line,) = lines
        assert line.startswith("dicomzarr: error:")
        assert "File too large" in line
        assert ending == "zarr" or not out.exists()
        assert main(["export", url, str(out), "--compression", "none"]) == 0
        if ending == "zarr":
            assert_same_store(dicomzarr.open(url), out)
        assert {path.name for path in tmp_path.iterdir()} == {out.name}
    forget_servers()


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["zarr", "ozx"])
def test_an_interrupt_is_one_line_and_leaves_what_can_go_on(tmp_path: Path, ending: str) -> None:
    asked = threading.Semaphore(0)
    go_on = threading.Event()

    @faults.fault
    async def dawdle(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked.release()
        while not go_on.is_set():
            await faults.asyncio.sleep(0.01)
        return await handler(request)

    script = "import sys\nfrom dicomzarr.faces.cli import main\nsys.exit(main(['export', *sys.argv[1:]]))"
    with serving(slides.brightfield_pyramid(), dawdle) as served:
        out = tmp_path / f"out.{ending}"
        with run_export(served.url, out, script) as process:
            assert asked.acquire(timeout=SECONDS)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=SECONDS)
        assert process.returncode == 130, said
        assert len(said.splitlines()) == 1, said
        assert said.startswith("dicomzarr: interrupted:")
        assert ending == "zarr" or not out.exists()
        go_on.set()
        dicomzarr.export(served.url, out)
        if ending == "zarr":
            assert_same_store(dicomzarr.open(served.url), out)


def test_a_target_that_cannot_be_written_is_one_error(opened: Opener, tmp_path: Path) -> None:
    image = opened(volume(AXIAL, distinct((2, 16, 20))))
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(TargetError, match="File exists"):
        dicomzarr.export(image, tmp_path / "file" / "out.zarr")
    assert np.array_equal(image.levels[0][0], image.levels[0][0])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


MEASURED = """
import re, sys
import dicomzarr
image = dicomzarr.open(sys.argv[1])
dicomzarr.export(image, sys.argv[2], levels=[0])
status = open("/proc/self/status").read()  # what getrusage says begins with the parent's
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024, image.levels[0].nbytes)
"""


@pytest.mark.slow
def test_a_level_is_exported_in_less_memory_than_it_has(tmp_path: Path) -> None:
    with serving_elsewhere("moderate") as url, run_export(url, tmp_path / "out.zarr", MEASURED) as process:
        told, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    peak, level = map(int, told.split())
    assert level > 800 * 10**6
    assert peak < 450 * 2**20


LIMITED = """
import re, resource, sys
import dicomzarr
url, out, room, options = sys.argv[1], sys.argv[2], int(sys.argv[3]), eval(sys.argv[4])
image = dicomzarr.open(url)
dicomzarr.export(image, out + ".small.zarr", levels=[0], region={"x": (0, 2048), "y": (0, 2048)}, **options)
status = open("/proc/self/status").read()  # all threads are there, and what is imported at first use
size = int(re.search(r"VmSize:\\s+(\\d+) kB", status)[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + room, size + room))
done = dicomzarr.export(image, out, levels=[0], **options)
print(done.nbytes)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"keep_encoded": True}, {"compression": "none"}, {"compression": "zstd"}, {"build_levels": True}],
    ids=str,
)
def test_a_level_larger_than_the_memory_that_is_allowed_is_exported(tmp_path: Path, options: dict[str, Any]) -> None:
    room = 300 * 2**20
    out = tmp_path / "out.zarr"
    with serving_elsewhere("moderate") as url:
        command = [sys.executable, "-c", LIMITED, url, str(out), str(room), repr(options)]
        # Each thread of the C library has 64 MiB of addresses for itself otherwise: when it begins is chance.
        environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
        done = subprocess.run(  # noqa: S603  # ours
            command, capture_output=True, text=True, check=False, timeout=SECONDS, env=environment
        )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 2 * room
    shutil.rmtree(out)
