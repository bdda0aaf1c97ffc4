"""Frames of every codec that are cut off, damaged, padded, or claim to be what they cannot be."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest
from coded_frames import COLUMNS, ROWS, coded_frame
from hypothesis import given
from hypothesis import strategies as st

from dicomzarr.dicom import uids
from dicomzarr.dicom.syntax import TRANSFER_SYNTAXES, read_codestream
from dicomzarr.errors import FrameDecodeError, FrameError, FrameShapeError
from dicomzarr.frames.decode import decode_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from coded_frames import CodedFrame, Pixels

    from dicomzarr.dicom.pixels import PixelDescription

WHERE = "study 1.2, series 1.3, instance 1.4, frame 5"


@dataclass(frozen=True)
class Kind:
    """One way in which bytes of a frame are laid out."""

    uid: str
    name: str
    """In ``coded_frames.BUILDERS``."""
    paddings: tuple[bytes, ...] = (b"\0", b"\xff", b"\0\xff\0\0\xff")
    """What may follow the frame without being noticed."""
    resized: Callable[[bytes, int], bytes] | None = None
    """The same bytes, their header telling of so many rows and columns; None where no header tells."""

    @property
    def frame(self) -> CodedFrame:
        return coded_frame(self.uid, self.name)


def in_frame_header(marker: bytes) -> Callable[[bytes, int], bytes]:
    """Of JPEG and JPEG-LS: two bytes each, behind the length and the precision."""

    def resize(data: bytes, side: int) -> bytes:
        at = data.index(marker) + 5
        return data[:at] + side.to_bytes(2, "big") * 2 + data[at + 4 :]

    return resize


def in_size_segment(data: bytes, side: int) -> bytes:
    """Of JPEG 2000: four bytes each."""
    at = data.index(b"\xff\x51") + 6
    return data[:at] + side.to_bytes(4, "big") * 2 + data[at + 8 :]


def jpegxl_of_size(_: bytes, side: int) -> bytes:
    """A header of its own: sizes are no whole bytes in it."""
    # Small? no; 30 bits of rows less one; ratio 1:1; all metadata as by default.
    bits = 0 | 3 << 1 | (side - 1) << 3 | 1 << 33 | 1 << 36
    return b"\xff\x0a" + bits.to_bytes(6, "little") + bytes(40)


KINDS = {
    "native": Kind(uids.EXPLICIT_VR_LITTLE_ENDIAN, "grey16", (b"\0",)),
    "big endian": Kind(uids.EXPLICIT_VR_BIG_ENDIAN, "grey16", (b"\0",)),
    "float": Kind(uids.EXPLICIT_VR_LITTLE_ENDIAN, "float", (b"\0",)),
    "bits": Kind(uids.EXPLICIT_VR_LITTLE_ENDIAN, "bits", (b"\0",)),
    "rle": Kind(uids.RLE_LOSSLESS, "rgb-gdcm", (b"\0",)),
    "deflated": Kind(uids.DEFLATED_IMAGE_FRAME, "grey16"),
    "jpeg": Kind(uids.JPEG_BASELINE, "ybr-422", resized=in_frame_header(b"\xff\xc0")),
    "progressive jpeg": Kind(uids.JPEG_BASELINE, "ybr-422-progressive", resized=in_frame_header(b"\xff\xc2")),
    "12-bit jpeg": Kind(uids.JPEG_EXTENDED, "grey12", resized=in_frame_header(b"\xff\xc1")),
    "lossless jpeg": Kind(uids.JPEG_LOSSLESS_FIRST_ORDER, "grey16-1", resized=in_frame_header(b"\xff\xc3")),
    "jpeg-ls": Kind(uids.JPEG_LS_LOSSLESS, "grey16", resized=in_frame_header(b"\xff\xf7")),
    "jpeg 2000": Kind(uids.JPEG_2000_LOSSLESS, "rgb", resized=in_size_segment),
    "jp2": Kind(uids.JPEG_2000_LOSSLESS, "grey16-jp2", resized=in_size_segment),
    "htj2k": Kind(uids.HTJ2K_LOSSLESS, "rgb", resized=in_size_segment),
    "jpeg xl": Kind(uids.JPEG_XL_LOSSLESS, "rgb-bare", resized=jpegxl_of_size),
    "jpeg xl in boxes": Kind(uids.JPEG_XL_LOSSLESS, "grey16-boxes"),
    "jpeg in jpeg xl": Kind(uids.JPEG_XL_JPEG_RECOMPRESSION, "ybr-422"),
}
CODESTREAMS = {name: kind for name, kind in KINDS.items() if kind.resized is not None}
PACKED = ("native", "big endian", "float", "bits", "rle", "deflated")


def decode(data: bytes, pixel: PixelDescription, uid: str) -> Pixels:
    return decode_frame(data, pixel, transfer_syntax_uid=uid, where=WHERE)


def decode_or_refuse(data: bytes, pixel: PixelDescription, uid: str) -> Pixels | None:
    """Nothing but a frame or a typed error that names the frame may come out."""
    frame, refusal = None, ""
    try:
        frame = decode(data, pixel, uid)
    except FrameError as error:
        refusal = str(error)
    assert (frame is None) == (WHERE in refusal)
    assert frame is None or (frame.shape == pixel.shape and frame.dtype == pixel.dtype)
    return frame


def test_there_is_a_kind_for_every_codec() -> None:
    assert {TRANSFER_SYNTAXES[kind.uid].codec for kind in KINDS.values()} == {
        row.codec for row in TRANSFER_SYNTAXES.values()
    }


@pytest.mark.parametrize("name", KINDS)
def test_a_frame_that_is_cut_off_is_an_error_or_whole(name: str) -> None:
    kind = KINDS[name]
    frame = kind.frame
    expected = decode(frame.data, frame.pixel, kind.uid)
    length = len(frame.data)
    refused = 0
    for cut in (*range(0, length, 1 + length // 300), *range(max(0, length - 40), length)):
        found = decode_or_refuse(frame.data[:cut], frame.pixel, kind.uid)
        refused += found is None
        if found is not None:  # nothing but padding was lost
            assert cut >= length - 2
            np.testing.assert_array_equal(found, expected)
    assert refused >= 30


@pytest.mark.parametrize("name", KINDS)
def test_what_follows_a_frame_does_not_matter(name: str) -> None:
    kind = KINDS[name]
    frame = kind.frame
    expected = decode(frame.data, frame.pixel, kind.uid)
    for padding in kind.paddings:
        np.testing.assert_array_equal(decode(frame.data + padding, frame.pixel, kind.uid), expected)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [(ROWS + 1, COLUMNS), (COLUMNS, ROWS), (1, 1), (65535, 65535), (1, 65535)])
def test_metadata_of_another_size_are_an_error(name: str, size: tuple[int, int]) -> None:
    kind = KINDS[name]
    pixel = replace(kind.frame.pixel, rows=size[0], columns=size[1])
    if np.prod(size) == ROWS * COLUMNS and name in PACKED:
        # Nothing in such bytes tells rows from columns.
        assert decode(kind.frame.data, pixel, kind.uid).shape == pixel.shape
        return
    tracemalloc.start()
    try:
        with pytest.raises((FrameShapeError, FrameDecodeError)) as caught:
            decode(kind.frame.data, pixel, kind.uid)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert WHERE in str(caught.value)


@pytest.mark.parametrize("name", CODESTREAMS)
@pytest.mark.parametrize("side", [20000, 46341, 65535])
def test_a_hostile_header_is_refused_before_memory_is_taken(
    name: str, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = CODESTREAMS[name]
    frame = kind.frame
    assert kind.resized is not None
    data = kind.resized(frame.data, side)
    codestream = read_codestream(data)
    assert codestream is not None
    assert (codestream.rows, codestream.columns) == (side, side)

    def takes_memory(*_: object, **__: object) -> None:
        pytest.fail("the decoder was called")

    for decoder in ("jpeg8_decode", "jpegls_decode", "jpeg2k_decode", "jpegxl_decode", "jpegxl_decode_jpeg"):
        monkeypatch.setattr(imagecodecs, decoder, takes_memory)
    with pytest.raises(FrameShapeError):  # the metadata tell of a small one
        decode(data, frame.pixel, kind.uid)
    with pytest.raises(FrameDecodeError, match="which cannot be"):  # they tell of the same
        decode(data, replace(frame.pixel, rows=side, columns=side), kind.uid)


def test_too_little_memory_is_an_error_of_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = KINDS["jpeg 2000"].frame

    def is_out_of_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(imagecodecs, "jpeg2k_decode", is_out_of_memory)
    with pytest.raises(FrameDecodeError, match="cannot be decoded"):
        decode(frame.data, frame.pixel, frame.uid)


@given(st.sampled_from(sorted(KINDS)), st.integers(0), st.binary(min_size=1, max_size=8))
def test_damaged_frames_decode_or_are_refused(name: str, place: int, damage: bytes) -> None:
    frame = KINDS[name].frame
    position = place % len(frame.data)
    decode_or_refuse(
        frame.data[:position] + damage + frame.data[position + len(damage) :], frame.pixel, KINDS[name].uid
    )


@given(
    st.sampled_from([b"", b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n", b"\1\0\0\0\x40\0\0\0", b"\xff\xd8\xff"]),
    st.binary(max_size=300),
    st.sampled_from(sorted(TRANSFER_SYNTAXES)),
)
def test_random_bytes_are_refused_under_every_label(beginning: bytes, rest: bytes, uid: str) -> None:
    decode_or_refuse(beginning + rest, KINDS["native"].frame.pixel, uid)
