"""The slide of the benchmarks as files, and a light server of ranges of one.

Run as ``python slide_files.py FILE MILLISECONDS``, it serves the file, prints its URL, and ends when its standard
input closes.
"""

from __future__ import annotations

import asyncio
import mmap
import re
import struct
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom
from light_server import Costs, LightProtocol, Resources, head
from pydicom.encaps import encapsulate
from slide_server import TILE, full_tiles

from dicomzarr.demo.slide import demo_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SHORT, _LONG, _LONG8 = (3, "H"), (4, "I"), (16, "Q")
_TIFF_HEADER = 16
_JPEG, _YCBCR = 7, 6


def write_slide(path: Path, tiles: int) -> None:
    """Write a level of ``tiles`` x ``tiles`` tiles, DICOM and BigTIFF at once: the tiles of `slide_server.slide`.

    It has a Basic Offset Table too, so that every reader of DICOM finds frames without looking for them.
    """
    pool = full_tiles()
    frames = [pool[number % len(pool)] for number in range(1, tiles * tiles + 1)]
    header = pydicom.dcmread(demo_files()[0], stop_before_pixels=True)
    header.TotalPixelMatrixRows = header.TotalPixelMatrixColumns = tiles * TILE
    header.ImagedVolumeWidth = header.ImagedVolumeHeight = tiles * TILE * 0.000499
    header.NumberOfFrames = len(frames)
    header.PixelData = encapsulate(frames, has_bot=True)
    header["PixelData"].VR, header["PixelData"].is_undefined_length = "OB", True
    header.save_as(path, enforce_file_format=True)
    _add_tiff(path, tiles, [len(frame) for frame in frames])


def _add_tiff(path: Path, tiles: int, lengths: Sequence[int]) -> None:
    """Put a TIFF header into the preamble, and its directory behind the pixels, in Data Set Trailing Padding."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.rfind(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff", 0, 2**20) + 12
        (table,) = struct.unpack_from("<I", data, at + 4)
        at += 8 + table
        offsets = []
        for length in lengths:
            offsets.append(at + 8)
            at += 8 + length + length % 2
        subsampling = _subsampling(data[offsets[0] : offsets[0] + lengths[0]])
        start = len(data) + 12
    directory = _directory(start, tiles * TILE, offsets, lengths, subsampling)
    with path.open("r+b") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, start))
        file.seek(start - 12)
        file.write(struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, len(directory)) + directory)


def _subsampling(frame: bytes) -> tuple[int, int]:
    """How many pixels share a colour difference, across and down, as the frame header says (ISO 10918-1 B.2.2)."""
    found = re.search(rb"\xff\xc0.{2}.{6}.(.)", frame, re.DOTALL)
    assert found
    return found[1][0] >> 4, found[1][0] & 15


def _directory(
    start: int, side: int, offsets: Sequence[int], lengths: Sequence[int], subsampling: tuple[int, int]
) -> bytes:
    tags = [
        (256, _LONG, [side]),  # ImageWidth, ImageLength
        (257, _LONG, [side]),
        (258, _SHORT, [8, 8, 8]),  # BitsPerSample
        (259, _SHORT, [_JPEG]),
        (262, _SHORT, [_YCBCR]),
        (277, _SHORT, [3]),  # SamplesPerPixel
        (284, _SHORT, [1]),  # PlanarConfiguration
        (322, _LONG, [TILE]),  # TileWidth, TileLength
        (323, _LONG, [TILE]),
        (324, _LONG8, offsets),
        (325, _LONG8, lengths),
        (530, _SHORT, subsampling),
    ]
    out, tail = struct.pack("<Q", len(tags)), b""
    place = start + 8 + 20 * len(tags) + 8
    for tag, (kind, code), values in tags:
        content = struct.pack(f"<{len(values)}{code}", *values)
        out += struct.pack("<HHQ", tag, kind, len(values))
        if len(content) <= struct.calcsize("Q"):
            out += content.ljust(8, b"\0")
        else:
            out += struct.pack("<Q", place + len(tail))
            tail += content
    return out + bytes(8) + tail


def tiff_alone(slide: Path, path: Path) -> None:
    """Copy a slide so that only readers of TIFF know it."""
    path.write_bytes(slide.read_bytes())
    with path.open("r+b") as file:
        file.seek(128)
        file.write(b"TIFF")  # where a reader of DICOM looks for its mark


class _Ranges(LightProtocol):
    """One connection: HEAD and GET of one file, whole or a range (RFC 9110 section 14)."""

    def __init__(self, resources: Resources, data: mmap.mmap) -> None:
        super().__init__(resources)
        self._data = data

    def _answer(self, lines: Sequence[str]) -> None:
        method, path, _ = lines[0].split(" ")
        if path == "/totals":
            super()._answer(lines)
            return
        self._resources.requests += 1
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        size = len(self._data)
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("range", ""))
        start, stop, status, more = 0, size, "200 OK", 'ETag: "1"\r\nAccept-Ranges: bytes\r\n'
        if found:
            start = int(found[1]) if found[1] else max(0, size - int(found[2]))
            stop = min(size, int(found[2]) + 1) if found[1] and found[2] else size
            status, more = "206 Partial Content", f"{more}Content-Range: bytes {start}-{stop - 1}/{size}\r\n"
        body = b"" if method == "HEAD" else self._data[start:stop]
        self._resources.sent += len(body)
        self._transport.write(head(status, "application/dicom", stop - start, more) + body)


@contextmanager
def served_file(path: Path, milliseconds: float) -> Iterator[str]:
    """The URL of a file, while another process serves it."""
    command = [sys.executable, __file__, str(path), str(milliseconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # ourselves
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


async def _serve(path: Path, milliseconds: float) -> None:
    resources = Resources("", "", lambda _: b"", Costs(milliseconds / 1000))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Ranges(resources, data), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        print(f"http://127.0.0.1:{port}/slide.dcm", flush=True)  # noqa: T201  # the parent reads it
        await asyncio.to_thread(sys.stdin.readline)
        server.close()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), float(sys.argv[2])))
