"""A DICOMweb server in a process of its own: a JPEG level of any size, or a sparse slide; far away, or dear.

Run as ``python slide_server.py JSON``, the fields of `Contents`. It prints the URL of the series; each line on its
standard input is answered with the `Totals` so far; it ends when that input closes.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import imagecodecs
import pydicom
from codings import CODINGS, JPEG_BASELINE, described
from light_server import Costs, Resources, listen
from measuring import Totals

from dicomzarr.demo.archive import Archive
from dicomzarr.demo.instances import from_file, virtual_instance
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.demo.slide import SERIES, STUDY, demo_files
from dicomzarr.faces.dicomweb_server.negotiation import stored_frames
from dicomzarr.faces.dicomweb_server.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dicomzarr.demo.instances import ServedInstance

TILE = 256


@dataclass(frozen=True)
class Contents:
    """What is served, and how."""

    tiles: int = 0
    """A JPEG level of this many tiles along each side."""
    sparse_frames: int = 0
    """Instead of it: the metadata of a TILED_SPARSE level of this many frames."""
    milliseconds: float = 0.0
    """Latency of every reply."""
    coding: str = ""
    """A name of `codings.CODINGS`; empty for JPEG."""
    single_cost: float = 0.0
    """Milliseconds of CPU that a frame costs which is asked for alone."""
    list_cost: float = 0.0
    """Milliseconds of CPU that each frame of a list costs."""


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


def slide(tiles: int, coding: str = "") -> Archive:
    """A level of ``tiles`` x ``tiles`` tiles, each one of the full tiles of the demo slide's finest level.

    Args:
        tiles: Along each side.
        coding: A name of `codings.CODINGS`, as which the tiles are coded anew; empty for JPEG, as they are.
    """
    header = pydicom.dcmread(demo_files()[0], stop_before_pixels=True)
    header.TotalPixelMatrixRows = header.TotalPixelMatrixColumns = tiles * TILE
    header.ImagedVolumeWidth = header.ImagedVolumeHeight = tiles * TILE * 0.000499
    header.NumberOfFrames = tiles * tiles
    metadata = json.loads(header.to_json())
    metadata["00020010"] = {"vr": "UI", "Value": [JPEG_BASELINE]}  # as Google's service has it, which ez-wsi asks for
    pool, syntax = full_tiles(), JPEG_BASELINE
    if coding:
        other = CODINGS[coding]
        metadata, syntax = described(metadata, other), other.transfer_syntax
        pool = [other.encode(imagecodecs.jpeg8_decode(tile)) for tile in pool]
    return Archive([virtual_instance(metadata, lambda number: pool[number % len(pool)], syntax)])


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


def _frames_of(stored: ServedInstance) -> Callable[[int], bytes]:
    """Frames as bytes, each cut once."""
    cut: dict[int, bytes] = {}

    def frame(number: int) -> bytes:
        found = cut.get(number)
        if found is None:
            found = cut[number] = bytes(stored.frame(number))
        return found

    return frame


async def _serve(contents: Contents, stored: ServedInstance, origin: str) -> None:
    """Answer requests until standard input closes, and say what was given for each of its lines."""
    costs = Costs(contents.milliseconds / 1000, contents.single_cost / 1000, contents.list_cost / 1000)
    kind = stored_frames(stored.transfer_syntax)
    resources = Resources(origin, kind.content_type, _frames_of(stored), costs)
    server, port = await listen(resources)
    series = f"127.0.0.1:{port}{ROOT}/studies/{stored.study}/series/{stored.series}"
    await asyncio.to_thread(_warm, f"http://{series}")
    print(f"dicomweb://{series}", flush=True)  # noqa: T201  # the parent reads it
    while await asyncio.to_thread(sys.stdin.readline):
        print(resources.totals().decode(), flush=True)  # noqa: T201  # as above
    server.close()


def _warm(url: str) -> None:
    """Have the metadata written once, zipped and plain, so that no reader waits for it."""
    for encoding in ("gzip", "identity"):
        request = urllib.request.Request(f"{url}/metadata", headers={"Accept-Encoding": encoding})  # noqa: S310  # ours
        with urllib.request.urlopen(request) as reply:  # noqa: S310  # as above
            reply.read()


def main() -> None:
    """Serve until standard input closes."""
    contents = Contents(**json.loads(sys.argv[1]))
    archive = sparse_slide(contents.sparse_frames) if contents.sparse_frames else slide(contents.tiles, contents.coding)
    (stored,) = archive.instances()
    with DICOMwebServer(archive) as demo:
        asyncio.run(_serve(contents, stored, demo.url.removesuffix(ROOT)))


__all__ = ["SERIES", "STUDY", "TILE", "Contents", "Server", "full_tiles", "served", "slide", "sparse_slide"]

if __name__ == "__main__":
    main()
