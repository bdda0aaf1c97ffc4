"""Which ranges are read together, what reading ahead holds, and TIFF directories."""

from __future__ import annotations

import io
import struct
import threading
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from dual_personality import dual_personality, frames_in
from hypothesis import given
from hypothesis import strategies as st
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from slides_pyramids import deep_pyramid

from dicomzarr.dicom.files.tiff_tiles import TIFFTiles, directory_offset
from dicomzarr.errors import TruncatedFileError
from dicomzarr.sources.files.stores.ahead import AheadFile, AheadStream
from dicomzarr.sources.files.stores.together import LONGEST, Range, together

if TYPE_CHECKING:
    from dicomzarr.sources.files.stores.port import StoredFile


@dataclass(eq=False)
class Bytes:
    """A file in memory that remembers what was read."""

    data: bytes
    name: str = "a file"
    tag: str = ""
    reads: list[tuple[int, int]] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def place(self) -> tuple[StoredFile, int]:
        return self, 0

    @property
    def url(self) -> None:
        return None

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, span: slice) -> bytes:
        start, stop, _ = span.indices(len(self.data))
        with self.lock:
            self.reads.append((start, stop))
        return self.data[span]

    async def read(self, start: int, stop: int) -> bytes:
        return self[start:stop]


spans = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 5000), st.integers(1, 300)).map(lambda t: (t[0], t[1], t[1] + t[2])),
    min_size=1,
    max_size=30,
)


@given(spans=spans, gap=st.integers(0, 4000))
def test_every_range_is_read_once_and_little_more(spans: list[tuple[int, int, int]], gap: int) -> None:
    files = [Bytes(bytes(range(256)) * 30), Bytes(bytes(reversed(range(256))) * 30)]
    wanted = [Range(files[number], start, stop) for number, start, stop in spans]
    pieces = together(wanted, gap)
    found = {}
    for piece in pieces:
        data = piece.file[piece.start : piece.stop]
        for number, start, stop in piece.parts:
            assert number not in found
            found[number] = data[start:stop]
    assert found == {number: each.file[each.start : each.stop] for number, each in enumerate(wanted)}
    useful = sum(stop - start for _, start, stop in spans)
    assert sum(piece.stop - piece.start for piece in pieces) <= 1.25 * useful
    if not gap:
        assert all(after.start > before.stop or after.file is not before.file for before, after in pairwise(pieces))


def test_rows_of_tiles_come_together_and_columns_do_not() -> None:
    file = Bytes(b"")
    rows = [
        Range(file, row * 10**6 + tile * 1000, row * 10**6 + tile * 1000 + 1000)
        for row in range(3)
        for tile in range(9)
    ]
    assert len(together(rows, 2**20)) == 3
    close = [Range(file, tile * 1100, tile * 1100 + 1000) for tile in range(9)]
    assert len(together(close, 2**20)) == 1
    large = [Range(file, tile * LONGEST // 2, (tile + 1) * LONGEST // 2) for tile in range(6)]
    assert len(together(large, 2**20)) == 3


def test_reading_on_is_few_and_large_reads() -> None:
    file = Bytes(bytes(range(256)) * 2**17)
    ahead = AheadFile(file, near=True)
    for at in range(0, len(file) - 8, 100_000):
        assert ahead[at : at + 8] == file.data[at : at + 8]
    assert len(file.reads) < 12
    file.reads.clear()
    for at in (20 * 2**20, 5, 30 * 2**20, 9 * 2**20):
        assert ahead[at : at + 8] == file.data[at : at + 8]
    assert sum(stop - start for start, stop in file.reads) < 2**20


@given(moves=st.lists(st.tuples(st.integers(0, 300_000), st.integers(0, 200_000)), max_size=12))
def test_any_way_through_a_file_gives_its_bytes(moves: list[tuple[int, int]]) -> None:
    data = bytes(range(251)) * 1000
    stream, plain = AheadStream(Bytes(data), near=True), io.BytesIO(data)
    for at, length in moves:
        assert stream.seek(at) == plain.seek(at)
        assert stream.read(length) == plain.read(length)
        assert stream.tell() <= plain.tell() or at > len(data)


def test_a_file_that_ends_early_is_an_error() -> None:
    class Short(Bytes):
        def __getitem__(self, span: slice) -> bytes:
            return super().__getitem__(span)[: max(0, 1000 - span.start)]

    with pytest.raises(TruncatedFileError):
        AheadFile(Short(bytes(5000)), near=True)[0:5000]


# --- TIFF directories ---


@pytest.mark.parametrize("big", [True, False])
@pytest.mark.parametrize("levels", [(1, 20), (1, 320)])
def test_tiles_are_where_pillow_finds_them(big: bool, levels: tuple[int, int]) -> None:  # noqa: FBT001  # a parameter
    (dataset,) = deep_pyramid(*levels).datasets
    body = dual_personality(dataset, big=big)
    start = directory_offset(body)
    assert start is not None
    file = io.BytesIO(body)
    directory = ImageFileDirectory_v2(file.read(16 if big else 8))
    file.seek(directory.next)
    directory.load(file)
    offsets, lengths = directory[324], directory[325]
    frames = frames_in(dataset)
    bounds = TIFFTiles.of(body, start, body[start:]).bounds(len(frames), offsets[0] - 8)
    assert bounds is not None
    assert [place + 8 for place in bounds[:-1]] == list(offsets)
    for place, length, frame in zip(offsets, lengths, frames, strict=True):
        assert body[place : place + length] == frame[:length]


def test_a_directory_that_fits_not_is_none() -> None:
    (dataset,) = deep_pyramid(1, 100).datasets
    body = dual_personality(dataset)
    start = directory_offset(body)
    assert start is not None
    frames = len(frames_in(dataset))
    first = body.index(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff") + 12 + 8
    tiles = TIFFTiles.of(body, start, body[start:])
    assert tiles.bounds(frames, first) is not None
    assert tiles.bounds(frames, first + 8) is None
    assert tiles.bounds(frames + 1, first) is None
    for length in range(0, len(body) - start, 37):
        cut = TIFFTiles.of(body, start, body[start : start + length]).bounds(frames, first)
        assert cut is None or list(cut) == list(tiles.bounds(frames, first) or ())
    for head in (
        b"",
        b"II",
        b"II*\0",
        bytes(128),
        b"MM\0*" + bytes(100),
        struct.pack("<2sHI", b"II", 42, 0) + bytes(9),
    ):
        assert directory_offset(head) is None
