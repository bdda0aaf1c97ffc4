"""A large JPEG slide behind a DICOMweb server in a process of its own, with latency added.

Run as ``python slide_server.py TILES MILLISECONDS``: prints the URL of the series, serves until its standard
input closes, then prints the seconds of CPU it took.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pydicom
from aiohttp import web

from dicomzarr.demo.archive import Archive
from dicomzarr.demo.instances import from_file, virtual_instance
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.demo.slide import SERIES, STUDY, demo_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
TILE = 256


def slide(tiles: int) -> Archive:
    """A level of ``tiles`` x ``tiles`` tiles, each one of the full tiles of the demo slide's finest level."""
    source = demo_files()[0]
    header = pydicom.dcmread(source, stop_before_pixels=True)
    grid = -(-header.TotalPixelMatrixRows // TILE), -(-header.TotalPixelMatrixColumns // TILE)
    stored = from_file(source)
    pool = [
        bytes(stored.frame(row * grid[1] + column + 1)) for row in range(grid[0] - 1) for column in range(grid[1] - 1)
    ]
    header.TotalPixelMatrixRows = header.TotalPixelMatrixColumns = tiles * TILE
    header.ImagedVolumeWidth = header.ImagedVolumeHeight = tiles * TILE * 0.000499
    header.NumberOfFrames = tiles * tiles
    metadata = json.loads(header.to_json())
    return Archive([virtual_instance(metadata, lambda number: pool[number % len(pool)], JPEG_BASELINE)])


def latency(seconds: float) -> Callable[..., object]:
    """Every reply comes this much later."""

    @web.middleware
    async def later(request: web.Request, handler: Callable[[web.Request], object]) -> object:
        await asyncio.sleep(seconds)
        return await handler(request)  # type: ignore[misc]  # an aiohttp handler is awaitable

    return later


@contextmanager
def served(tiles: int, milliseconds: float, cpu: list[float] | None = None) -> Iterator[str]:
    """The URL of the series while another process serves it.

    Args:
        tiles: Tiles along each side.
        milliseconds: Latency of every reply.
        cpu: Takes the server's seconds of CPU in the end.
    """
    command = [sys.executable, __file__, str(tiles), str(milliseconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603  # ourselves
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.stdin.close()
            spent = server.stdout.readline()
            if cpu is not None and spent:
                cpu.append(float(spent))


def main() -> None:
    """Serve until standard input closes."""
    tiles, milliseconds = int(sys.argv[1]), float(sys.argv[2])
    archive = slide(tiles)
    middlewares = [latency(milliseconds / 1000)] if milliseconds else []
    with DICOMwebServer(archive, middlewares=middlewares) as server:
        begin = time.process_time()
        print(server.series_url(STUDY, SERIES), flush=True)  # noqa: T201  # the parent reads it
        sys.stdin.read()
        print(time.process_time() - begin, flush=True)  # noqa: T201  # as above


if __name__ == "__main__":
    main()
