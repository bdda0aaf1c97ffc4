"""Slides behind servers for tests: inside this process, or as ``python serving.py NAME`` in another one."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faults
import slides
import zarr.core.sync
from aiohttp import web_app
from slides_json import FULL_TILE, SPARSE_TILE
from waiting import SECONDS

from dicomzarr.demo.archive import Archive
from dicomzarr.demo.instances import virtual_instance
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.runtime import reset
from dicomzarr.runtime.home_loop import run_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aiohttp.typedefs import Middleware
    from slides_model import ExpectedLevel, Pixels, TestSlide

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
ROWS, COLUMNS, FRAMES = "00280010", "00280011", "00280008"
MATRIX_ROWS, MATRIX_COLUMNS = "00480007", "00480006"

BIG: Mapping[str, tuple[Callable[[], bytes], int]] = {
    "sparse": (slides.big_sparse_metadata, SPARSE_TILE),
    "full": (slides.big_full_metadata, FULL_TILE),
    "moderate": (lambda: slides.big_full_metadata(tiles=1024, levels=1), FULL_TILE),
    "small tiles": (lambda: _full_metadata(20 * SPARSE_TILE, SPARSE_TILE), SPARSE_TILE),
}
"""Metadata, and rows and columns of a tile, of slides whose every frame is the same grey."""

GREY = 128
"""Each sample of each frame of the ``BIG`` slides."""


@dataclass(frozen=True)
class Served:
    """A slide and the server that it lies on."""

    slide: TestSlide
    server: DICOMwebServer

    @property
    def url(self) -> str:
        return self.server.series_url(self.slide.study_uid, self.slide.series_uid)

    def count(self, resource: str = "frames") -> int:
        """Requests so far."""
        return sum(request.resource == resource for request in self.server.requests)

    def frames_asked(self) -> list[int]:
        """The numbers of all frames that were asked for."""
        lists = [request.path.rpartition("/")[2] for request in self.server.requests if request.resource == "frames"]
        return [int(number) for numbers in lists for number in numbers.split(",")]


@contextmanager
def serving(slide: TestSlide, *middlewares: Middleware) -> Iterator[Served]:
    """Serve a slide; afterwards nothing in this process remembers the server, whose port may come again."""
    with DICOMwebServer(Archive(slide.datasets), middlewares=middlewares) as server:
        try:
            yield Served(slide, server)
        finally:
            forget_servers()


@contextmanager
def serving_big(name: str, *middlewares: Middleware) -> Iterator[tuple[DICOMwebServer, str]]:
    """Serve one of the ``BIG`` slides; gives the server and the URL of the series."""
    metadata, tile = BIG[name]
    instances: Sequence[dict[str, Any]] = json.loads(metadata())
    frame = faults.grey_jpeg(tile, tile)
    stored = [virtual_instance(instance, lambda _: frame, JPEG_BASELINE) for instance in instances]
    with DICOMwebServer(Archive(stored), middlewares=middlewares) as server:
        try:
            yield server, server.series_url(stored[0].study, stored[0].series)
        finally:
            forget_servers()


@contextmanager
def serving_elsewhere(name: str) -> Iterator[str]:
    """Serve one of the ``BIG`` slides from another process, whose work is not this one's; gives its URL."""
    command = [sys.executable, __file__, name]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603  # our own
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()  # which ends it


def _full_metadata(side: int, tile: int) -> bytes:
    """Metadata of one square TILED_FULL level: ``side`` pixels in tiles of ``tile``."""
    (instance,) = json.loads(slides.big_full_metadata(levels=1))
    grid = -(-side // tile)
    changes = {ROWS: tile, COLUMNS: tile, FRAMES: grid * grid, MATRIX_ROWS: side, MATRIX_COLUMNS: side}
    for tag, value in changes.items():
        instance[tag]["Value"] = [value]
    return json.dumps([instance]).encode()


def settle() -> None:
    """Wait until nothing is under way: a read that failed may have left something behind, on zarr's loop too."""
    zarr.core.sync.sync(_quiet())
    run_sync(_quiet)


async def _quiet() -> None:
    """Wait for all other tasks of the running loop."""
    async with asyncio.timeout(SECONDS):
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)


def forget_servers() -> None:
    """Drop connections, opened series and cached frames."""
    settle()
    reset()
    # aiohttp keeps the last thousand applications here, with all that they serve: garbage collection came to take long.
    web_app._cached_build_middleware.cache_clear()


def run_python(script: str, *arguments: str) -> Any:
    """Run a script in a fresh interpreter, where these modules can be imported; gives the JSON that it prints."""
    done = subprocess.run(  # noqa: S603  # our own script
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{script}", *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def zarr_level(url: str, number: int = 0, **storage_options: Any) -> zarr.Array[Any]:
    """A level of a series as zarr opens it."""
    array = zarr.open_group(url, mode="r", storage_options=storage_options)[str(number)]
    assert isinstance(array, zarr.Array)
    return array


def is_right(pixels: Pixels, level: ExpectedLevel, tolerance: int = 0) -> bool:
    """Whether (c, y, x) is what a level without focal planes must show, wherever it has pixels."""
    stored = level.has_pixels()[:, 0]
    expected = level.pixels[:, 0]
    if pixels.shape != expected.shape or pixels.dtype != expected.dtype:
        return False
    difference = abs(pixels.astype(int) - expected.astype(int))
    return bool((difference[stored] <= tolerance).all())


if __name__ == "__main__":
    with serving_big(sys.argv[1]) as (_, address):
        print(address, flush=True)  # noqa: T201  # the parent reads it
        sys.stdin.read()
        os._exit(0)  # at once: to take large metadata apart takes seconds
