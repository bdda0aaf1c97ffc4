"""The header of JPEG XL, against what encoders were told to write, and bit by bit."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomzarr.dicom.pixels.codestream import Codec, Colour
from dicomzarr.dicom.pixels.jpegxl_markers import BOX_MAGIC, MAGIC, read_jpegxl
from dicomzarr.dicom.pixels.syntax import read_codestream, sniff

RGB = np.random.default_rng(2).integers(0, 256, (40, 32, 3), np.uint8)


@dataclass
class Header:
    """Writes bits, the lowest of each byte first."""

    bits: list[int] = field(default_factory=list)

    def put(self, value: int, count: int = 1) -> Header:
        self.bits += [value >> place & 1 for place in range(count)]
        return self

    def size(self, rows: int, columns: int) -> Header:
        """Written out, in the longest form."""
        return self.put(0).put(3, 2).put(rows - 1, 30).put(0, 3).put(3, 2).put(columns - 1, 30)

    @property
    def data(self) -> bytes:
        return MAGIC + np.packbits(self.bits, bitorder="little").tobytes() + bytes(8)


def box(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    return struct.pack(">I4s", len(content) + 8 if length is None else length, kind) + content


# --- what encoders write ---


@pytest.mark.parametrize(
    "shape",
    [(40, 32), (13, 7), (8, 8), (256, 256), (257, 3), (480, 640), (300, 200), (1080, 1920), (1, 9000), (5000, 1)],
)
def test_sizes_in_every_form(shape: tuple[int, int]) -> None:
    found = read_jpegxl(bytes(imagecodecs.jpegxl_encode(np.zeros(shape, np.uint8), lossless=True, effort=1)))
    assert (found.codec, found.rows, found.columns) == (Codec.JPEG_XL, *shape)
    assert (found.samples, found.precision, found.signed, found.start) == (1, 8, False, 0)


@pytest.mark.parametrize("bits", [1, 2, 7, 8, 9, 10, 11, 12, 13, 16])
@pytest.mark.parametrize("boxes", [True, False])
def test_depths(bits: int, boxes: bool) -> None:  # noqa: FBT001  # a parameter
    pixels = np.arange(300).reshape(20, 15) % 2**bits
    cells = pixels.astype(np.uint8 if bits <= 8 else np.uint16)
    data = bytes(imagecodecs.jpegxl_encode(cells, lossless=True, bitspersample=bits, usecontainer=boxes))
    found = read_jpegxl(data)
    assert (found.rows, found.columns, found.samples, found.precision) == (20, 15, 1, bits)
    assert (found.lossy, found.complete, found.holds_jpeg) == (False, True, False)


def test_colour_and_reversibility() -> None:
    exact = read_jpegxl(bytes(imagecodecs.jpegxl_encode(RGB, lossless=True)))
    lossy = read_jpegxl(bytes(imagecodecs.jpegxl_encode(RGB, lossless=False, distance=1)))
    assert (exact.samples, exact.colour, exact.lossy) == (3, Colour.RGB, False)
    assert (lossy.samples, lossy.colour, lossy.lossy) == (3, Colour.RGB, True)


@pytest.mark.parametrize("samples", [1, 3])
def test_a_jpeg_within(samples: int) -> None:
    jpeg = imagecodecs.jpeg8_encode(RGB if samples == 3 else RGB[..., 0].copy(), 90)
    found = read_jpegxl(bytes(imagecodecs.jpegxl_encode_jpeg(jpeg)))
    assert found.holds_jpeg
    assert found.complete
    assert (found.rows, found.columns, found.samples, found.precision) == (40, 32, samples, 8)


# --- bit by bit ---


def test_the_longest_size() -> None:
    found = read_jpegxl(Header().size(2**30, 12345).put(1).data)
    assert (found.rows, found.columns) == (2**30, 12345)
    # Nothing written: eight bits of XYB, which comes out as RGB.
    assert (found.samples, found.precision, found.lossy, found.colour) == (3, 8, True, Colour.RGB)


@pytest.mark.parametrize(
    ("ratio", "columns"), [(1, 1200), (2, 1440), (3, 1600), (4, 1800), (5, 2133), (6, 1500), (7, 2400)]
)
def test_ratios_of_the_sides(ratio: int, columns: int) -> None:
    found = read_jpegxl(Header().put(0).put(1, 2).put(1199, 13).put(ratio, 3).put(1).data)
    assert (found.rows, found.columns) == (1200, columns)


def extra(header: Header) -> Header:
    """Up to the extra fields."""
    return header.size(10, 10).put(0).put(1)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (extra(Header()).put(5, 3), "turned or mirrored"),
        (extra(Header()).put(0, 3).put(0).put(1), "preview"),
        (extra(Header()).put(0, 3).put(1).size(9, 9).put(1), "preview"),
        (extra(Header()).put(0, 3).put(0).put(0).put(1), "animation"),
        (Header().size(10, 10).put(0).put(0).put(1), "floating point"),
        (Header().size(10, 10).put(0).put(0).put(0).put(3, 2).put(31, 6), "have 32 bits, more than 16"),
        (Header().size(10, 10).put(0).put(0).put(0).put(0, 2).put(1).put(1, 2), "extra channels"),
        (Header().size(10, 10).put(0).put(0).put(0).put(0, 2).put(1).put(3, 2).put(8, 12), r"extra channels .*\(9\)"),
    ],
)
def test_what_no_dicom_frame_has_is_refused(header: Header, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_jpegxl(header.data)
    assert sniff(header.data) is None


@pytest.mark.parametrize(("space", "samples", "colour"), [(0, 3, Colour.RGB), (1, 1, None), (3, 3, None)])
def test_colour_spaces(space: int, samples: int, colour: Colour | None) -> None:
    header = Header().size(10, 10).put(0).put(0).put(0).put(0, 2).put(1).put(0, 2).put(0).put(0).put(0)
    header.put(*((space, 2) if space < 2 else (2 | (space - 2) << 2, 6)))
    found = read_jpegxl(header.data)
    assert (found.samples, found.colour, found.precision, found.lossy) == (samples, colour, 8, False)


# --- boxes ---

STREAM = Header().size(10, 20).put(1).data


@pytest.mark.parametrize(
    "boxes",
    [
        box(b"ftyp", b"jxl \0\0\0\0jxl ") + box(b"jxlc", STREAM),
        box(b"jxlc", STREAM, 0),
        struct.pack(">I4sQ", 1, b"jxlc", len(STREAM) + 16) + STREAM,
        box(b"jxlp", b"\0\0\0\0" + STREAM[:3]) + box(b"Exif", bytes(9)) + box(b"jxlp", b"\x80\0\0\1" + STREAM[3:]),
        box(b"jxlc", STREAM) + b"\0",
        box(b"jxlc", STREAM) + bytes(20),
    ],
)
def test_codestreams_in_boxes(boxes: bytes) -> None:
    found = read_codestream(BOX_MAGIC + boxes)
    assert found is not None
    assert (found.rows, found.columns, found.complete) == (10, 20, True)


@pytest.mark.parametrize(
    "boxes",
    [
        box(b"jxlc", STREAM)[:-1],
        box(b"jxlp", b"\0\0\0\0" + STREAM),
        box(b"jxlp", b"\x80\0\0\0" + STREAM)[:-1],
    ],
)
def test_boxes_that_were_cut_off(boxes: bytes) -> None:
    found = read_codestream(BOX_MAGIC + boxes)
    assert found is not None
    assert not found.complete


@pytest.mark.parametrize(
    ("boxes", "reason"),
    [
        (b"", "no codestream box"),
        (box(b"ftyp", b"jxl "), "no codestream box"),
        (box(b"jxlc", b"no codestream"), "does not hold"),
        (box(b"jxlc", b"", 5), "boxes are broken"),
        (struct.pack(">I4sQ", 1, b"free", 3) + STREAM, "boxes are broken"),
        (box(b"jxlc", STREAM[:6]), "ends within its header"),
    ],
)
def test_broken_boxes_are_refused_with_a_reason(boxes: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_codestream(BOX_MAGIC + boxes)


@given(st.sampled_from([MAGIC, BOX_MAGIC, BOX_MAGIC + b"\0\0\0\0jxlc" + MAGIC]), st.binary())
def test_random_bytes_behind_a_magic_number_are_read_or_refused(magic: bytes, rest: bytes) -> None:
    try:
        found = read_jpegxl(magic + rest)
    except ValueError:
        assert sniff(magic + rest) is None
    else:
        assert 1 <= found.precision <= 16
        assert found.rows >= 1
