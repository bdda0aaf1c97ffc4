"""A DICOMweb server in a process of its own: a JPEG level of any size, or a sparse slide; far away, or dear.

Run as ``python slide_server.py JSON``, the fields of `Contents`. It prints the URL of the series; each line on its
standard input is answered with the `Totals` so far; it ends when that input closes.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom
from aiohttp import web

from dicomzarr.demo.archive import Archive
from dicomzarr.demo.instances import from_file, virtual_instance
from dicomzarr.demo.routes import add_routes
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.demo.slide import SERIES, STUDY, demo_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp.typedefs import Handler, Middleware

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
TILE = 256
LONGEST_LINE = 1 << 20
"""Of a request: peers ask for a whole level in one URL, which aiohttp's default of 8190 would refuse."""


@dataclass(frozen=True)
class Contents:
    """What is served, and how."""

    tiles: int = 0
    """A JPEG level of this many tiles along each side."""
    sparse_frames: int = 0
    """Instead of it: the metadata of a TILED_SPARSE level of this many frames."""
    milliseconds: float = 0.0
    """Latency of every reply."""
    single_cost: float = 0.0
    """Milliseconds of CPU that a frame costs which is asked for alone."""
    list_cost: float = 0.0
    """Milliseconds of CPU that each frame of a list costs."""


@dataclass(frozen=True)
class Totals:
    """What a server has given; None where it does not count."""

    requests: int | None
    sent: int | None
    """Bytes of bodies."""
    cpu: float
    """Seconds."""

    def since(self, earlier: Totals) -> Totals:
        """What was given meanwhile."""
        requests = None if self.requests is None or earlier.requests is None else self.requests - earlier.requests
        sent = None if self.sent is None or earlier.sent is None else self.sent - earlier.sent
        return Totals(requests, sent, self.cpu - earlier.cpu)


class Server:
    """A server that runs elsewhere."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._ask, self._answers = process.stdin, process.stdout
        self.url = self._answers.readline().strip()

    def totals(self) -> Totals:
        """What it has given so far."""
        self._ask.write("totals\n")
        self._ask.flush()
        return Totals(**json.loads(self._answers.readline()))


@contextmanager
def served(contents: Contents) -> Iterator[Server]:
    """The server, while another process runs it."""
    command = [sys.executable, __file__, json.dumps(asdict(contents))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # ourselves
        assert process.stdin is not None
        try:
            yield Server(process)
        finally:
            process.stdin.close()


def slide(tiles: int) -> Archive:
    """A level of ``tiles`` x ``tiles`` tiles, each one of the full tiles of the demo slide's finest level."""
    header = pydicom.dcmread(demo_files()[0], stop_before_pixels=True)
    header.TotalPixelMatrixRows = header.TotalPixelMatrixColumns = tiles * TILE
    header.ImagedVolumeWidth = header.ImagedVolumeHeight = tiles * TILE * 0.000499
    header.NumberOfFrames = tiles * tiles
    metadata = json.loads(header.to_json())
    metadata["00020010"] = {"vr": "UI", "Value": [JPEG_BASELINE]}  # as Google's service has it, which ez-wsi asks for
    pool = full_tiles()
    return Archive([virtual_instance(metadata, lambda number: pool[number % len(pool)], JPEG_BASELINE)])


def full_tiles() -> list[bytes]:
    """The encoded tiles of the demo slide's finest level that have no edge."""
    source = demo_files()[0]
    header = pydicom.dcmread(source, stop_before_pixels=True)
    grid = -(-header.TotalPixelMatrixRows // TILE), -(-header.TotalPixelMatrixColumns // TILE)
    stored = from_file(source)
    return [
        bytes(stored.frame(row * grid[1] + column + 1)) for row in range(grid[0] - 1) for column in range(grid[1] - 1)
    ]


def sparse_slide(frames: int) -> Archive:
    """One TILED_SPARSE level, all grey."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "support"))  # the modules of the tests
    import faults  # noqa: PLC0415  # found there
    import slides_json  # noqa: PLC0415  # as above

    (metadata,) = json.loads(slides_json.big_sparse_metadata(frames))
    for tag in ("00480001", "00480002"):  # ImagedVolumeWidth and -Height, which wsidicom asks for
        metadata[tag] = {"vr": "FL", "Value": [16]}
    grey = faults.grey_jpeg(slides_json.SPARSE_TILE, slides_json.SPARSE_TILE)
    return Archive([virtual_instance(metadata, lambda _: grey, JPEG_BASELINE)])


class _Counter:
    """Counts what goes out."""

    def __init__(self) -> None:
        self.requests = 0
        self.sent = 0

    def middleware(self) -> Middleware:
        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.requests += 1
            response = await handler(request)
            if isinstance(response, web.Response) and isinstance(response.body, bytes):
                self.sent += len(response.body)
            return response

        return count


def _latency(seconds: float) -> Middleware:
    @web.middleware
    async def later(request: web.Request, handler: Handler) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await handler(request)

    return later


def _costs(single: float, in_list: float) -> Middleware:
    """Frames cost CPU, by how they are asked for."""

    @web.middleware
    async def work(request: web.Request, handler: Handler) -> web.StreamResponse:
        frames = request.match_info.get("frames")
        if frames is not None:
            count = frames.count(",") + 1
            end = time.thread_time() + (single if count == 1 else in_list * count) / 1000
            while time.thread_time() < end:
                pass
        return await handler(request)

    return work


class _Patient(DICOMwebServer):
    """Takes request lines of any length."""

    def _app(self) -> web.Application:
        app = web.Application(middlewares=self._middlewares, handler_args={"max_line_size": LONGEST_LINE})
        add_routes(app, self._archive)
        return app


def _warm(url: str) -> None:
    """Have the metadata written once, zipped and plain, so that no reader waits for it."""
    for encoding in ("gzip", "identity"):
        request = urllib.request.Request(f"{url}/metadata", headers={"Accept-Encoding": encoding})  # noqa: S310  # ours
        with urllib.request.urlopen(request) as reply:  # noqa: S310  # as above
            reply.read()


def main() -> None:
    """Serve until standard input closes."""
    contents = Contents(**json.loads(sys.argv[1]))
    archive = sparse_slide(contents.sparse_frames) if contents.sparse_frames else slide(contents.tiles)
    counter = _Counter()
    middlewares = [counter.middleware()]
    if contents.milliseconds:
        middlewares.append(_latency(contents.milliseconds / 1000))
    if contents.single_cost or contents.list_cost:
        middlewares.append(_costs(contents.single_cost, contents.list_cost))
    (stored,) = archive.instances()
    with _Patient(archive, middlewares=middlewares) as server:
        _warm(server.series_url(stored.study, stored.series, "http"))
        print(server.series_url(stored.study, stored.series), flush=True)  # noqa: T201  # the parent reads it
        for _ in sys.stdin:
            totals = Totals(counter.requests, counter.sent, time.process_time())
            print(json.dumps(asdict(totals)), flush=True)  # noqa: T201  # as above


__all__ = ["SERIES", "STUDY", "TILE", "Contents", "Server", "Totals", "full_tiles", "served", "slide", "sparse_slide"]

if __name__ == "__main__":
    main()
