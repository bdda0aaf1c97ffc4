"""Frames in RLE and deflated ones: every bit of them, or a typed error and never zeros."""

from __future__ import annotations

import tracemalloc
import warnings
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from coded_frames import BITS, COLUMNS, GREY8, GREY16, RGB, ROWS, colour, deflate, grey, planes, rle_by_hand, rle_frame
from hypothesis import given
from hypothesis import strategies as st
from pydicom.pixels.decoders.rle import _rle_decode_frame

from dicomzarr.codecs.decode import decode_frame
from dicomzarr.dicom import uids
from dicomzarr.dicom.pixels.rle_header import read_offsets, read_segments
from dicomzarr.errors import (
    FrameDecodeError,
    FrameError,
    FrameShapeError,
    ServerDecodedWarning,
    UnsupportedTransferSyntaxError,
)

if TYPE_CHECKING:
    from coded_frames import Pixels

    from dicomzarr.dicom.pixels.pixels import PixelDescription

WHERE = "study 1.2, series 1.3, instance 1.4, frame 5"
AREA = ROWS * COLUMNS
LITERAL = b"\x7f" + bytes(range(128))
"""A literal run of 128 bytes: 15 of them are one plane."""
PLANE = LITERAL * 15
PIXEL = grey(GREY8, 8)


def decode(data: bytes, pixel: PixelDescription = PIXEL, uid: str = uids.RLE_LOSSLESS) -> Pixels:
    return decode_frame(data, pixel, transfer_syntax_uid=uid, where=WHERE)


def refused(data: bytes, pixel: PixelDescription = PIXEL, uid: str = uids.RLE_LOSSLESS) -> str:
    with pytest.raises((FrameDecodeError, FrameShapeError)) as caught:
        decode(data, pixel, uid)
    assert str(caught.value).startswith(f"{WHERE}: ")
    return str(caught.value)


def header(*numbers: int) -> bytes:
    return np.array([*numbers, *[0] * (16 - len(numbers))], "<u4").tobytes()


# --- the header of RLE ---


def test_segments_follow_one_another() -> None:
    data = rle_frame([b"ab", b"cdef", b"gh"])
    assert read_offsets(data) == (64, 66, 70)
    assert [data[segment] for segment in read_segments(data)] == [b"ab", b"cdef", b"gh"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes are less than its header"),
        (header(1, 64)[:63], "63 bytes are less than its header"),
        (header(0), "0 segments"),
        (header(16, 64), "16 segments"),
        (header(1, 0), "offsets"),
        (header(1, 65), "offsets"),
        (header(2, 64, 64), "offsets"),
        (header(3, 64, 90, 80), "offsets"),
        (header(2, 64), "offsets"),
        (header(1, 64, 90), "offsets"),
        (header(1, 64), "ends after 64 bytes, before segment 1 begins at 64"),
        (header(2, 64, 70) + bytes(6), "ends after 70 bytes, before segment 2 begins at 70"),
        (header(2, 64, 2**32 - 1) + bytes(60), "before segment 2 begins at 4294967295"),
    ],
)
def test_a_broken_header_is_refused_with_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_segments(data)
    assert reason in refused(data) or "offsets" in reason


@given(st.binary(max_size=200))
def test_random_headers_are_read_or_refused(data: bytes) -> None:
    try:
        segments = read_segments(data)
    except ValueError:
        return
    assert b"".join(data[segment] for segment in segments) == data[64:]


# --- segments ---


@pytest.mark.parametrize(("count", "expected"), [(2, 1), (3, 1), (1, 2), (1, 3)])
def test_another_number_of_segments_is_another_image(count: int, expected: int) -> None:
    pixel = {1: PIXEL, 2: grey(GREY16, 16), 3: colour()}[expected]
    assert f"has {count} segments, the metadata say {expected}" in refused(rle_frame([PLANE] * count), pixel)


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        (PLANE[:-1], "broken"),  # within a literal run
        (PLANE[:-129] + b"\x81", "broken"),  # a replicate run without its byte
        (PLANE[:-129], "decodes to 1792 bytes"),  # a run less
        (PLANE[:-129] + b"\x80" * 129, "decodes to 1792 bytes"),  # nothing but no-operations
        (PLANE + LITERAL, "decodes to 2048 bytes"),
        (PLANE + b"\x00\x01", "decodes to 1921 bytes"),
        (PLANE + b"\xd9\x00", f"decodes to {AREA + COLUMNS} bytes"),  # a row of zeros
        (b"\x81\x00" * 2, "cannot hold 48x40 pixels"),
    ],
)
def test_a_segment_of_another_length_is_an_error(segment: bytes, reason: str) -> None:
    assert reason in refused(rle_frame([segment]))
    for number in range(3):
        segments = [PLANE, PLANE, PLANE]
        segments[number] = segment
        assert f"RLE segment {number + 1}" in refused(rle_frame(segments), colour())


@pytest.mark.parametrize("padding", [b"", b"\0", b"\0\0", b"\0\0\0", b"\x80", b"\x80\0", b"\xda\0"])
def test_padding_that_pydicom_reads_over_too(padding: bytes) -> None:
    data = rle_frame([PLANE + padding])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydicom, that it is no padding of the standard
        expected = _rle_decode_frame(data, ROWS, COLUMNS, 1, 8)
    assert decode(data).tobytes() == bytes(expected)


def test_runs_of_every_length() -> None:
    literals = [bytes([length - 1]) + bytes(range(length)) for length in range(1, 129)]
    replicates = [bytes([257 - length, length]) for length in range(2, 129)]
    runs = [run for pair in zip(literals, [*replicates, b"\x80"], strict=True) for run in pair]
    length = sum(range(1, 129)) + sum(range(2, 129))
    pixel = replace(PIXEL, rows=1, columns=length)
    data = rle_frame([b"".join(runs)])
    assert decode(data, pixel).tobytes() == bytes(_rle_decode_frame(data, 1, length, 1, 8))


@pytest.mark.parametrize("planar", [0, 1])
def test_rle_is_colour_by_plane_whatever_the_header_says(planar: int) -> None:
    frame = decode(rle_by_hand(planes(RGB)), colour(planar=planar))
    np.testing.assert_array_equal(frame, planes(RGB))


@pytest.mark.parametrize("kind", ["YBR_FULL_422", "YBR_RCT", "YBR_ICT"])
def test_rle_under_a_header_that_it_cannot_have_was_coded_anew(kind: str) -> None:
    with pytest.warns(ServerDecodedWarning):
        frame = decode(rle_by_hand(planes(RGB)), colour(kind))
    np.testing.assert_array_equal(frame, planes(RGB))


def test_pixels_of_one_bit_are_refused_by_name() -> None:
    packed = np.packbits(BITS, bitorder="little")
    for made in (packed, BITS):  # as bits, or as bytes: both are written
        with pytest.raises(UnsupportedTransferSyntaxError, match="one bit in RLE Lossless") as caught:
            decode(rle_by_hand(made.reshape(1, -1)), grey(BITS, 1, allocated=1))
        assert caught.value.uid == uids.RLE_LOSSLESS
        assert WHERE in str(caught.value)


def test_floating_point_is_never_in_rle() -> None:
    floating = replace(grey(GREY16, 32, allocated=32), floating=True)
    assert "floating point" in refused(rle_frame([PLANE] * 4), floating)


def test_impossible_cells_in_rle_are_refused() -> None:
    assert "HighBit 4" in refused(rle_frame([PLANE]), grey(GREY8, 8, high_bit=4))
    assert "BitsAllocated 12" in refused(rle_frame([PLANE]), grey(GREY8, 12, allocated=12))


def test_native_bytes_under_the_label_of_rle_are_native() -> None:
    np.testing.assert_array_equal(decode(GREY8.tobytes())[0], GREY8)
    np.testing.assert_array_equal(
        decode_frame(GREY8.tobytes(), PIXEL, transfer_syntax_uid=None, media_type="image/dicom-rle", where=WHERE)[0],
        GREY8,
    )


def test_rle_as_long_as_a_native_frame_is_rle() -> None:
    data = rle_frame([PLANE[:-129] + b"\x81\x05"])
    frame = decode(data.ljust(AREA, b"\0"))
    np.testing.assert_array_equal(frame, decode(data))
    assert frame[0, -1, -1] == 5
    too_short = rle_frame([PLANE[: -2 * 129] + b"\x81\x05" * 2])
    assert "decodes to" in refused(too_short.ljust(AREA, b"\0"))  # too much padding; still no native frame


def test_the_media_type_of_rle_is_enough() -> None:
    frame = decode_frame(
        rle_by_hand(planes(GREY16)),
        grey(GREY16, 16),
        transfer_syntax_uid=None,
        media_type="image/dicom-rle",
        where=WHERE,
    )
    np.testing.assert_array_equal(frame[0], GREY16)


# --- deflated frames ---

DEFLATED = uids.DEFLATED_IMAGE_FRAME


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cannot hold 1920"),
        (b"\xff" * 100, "broken"),
        (zlib.compress(GREY8.tobytes()), "broken"),  # with the header of zlib
        (GREY8.tobytes(), "broken"),
        (deflate(GREY8.tobytes())[:-9], "cut off"),
        (deflate(GREY8.tobytes()[:-1]), "has 1919 bytes"),
        (deflate(GREY8.tobytes() + b"\0\0"), "longer than 48x40 pixels of 1 samples of 8 bits (1920 bytes)"),
        (deflate(GREY16.tobytes()), "longer"),
    ],
)
def test_what_is_no_deflated_frame_is_refused(data: bytes, reason: str) -> None:
    assert reason in refused(data, uid=DEFLATED)


@pytest.mark.parametrize("rest", [b"", b"\0", b"\0\0\xff"])
def test_bytes_after_the_end_of_a_deflated_frame_do_not_matter(rest: bytes) -> None:
    np.testing.assert_array_equal(decode(deflate(GREY8.tobytes()) + rest, uid=DEFLATED)[0], GREY8)


def test_a_deflated_frame_that_is_padded_within() -> None:
    pixel = replace(PIXEL, rows=5, columns=3)
    assert decode(deflate(bytes(range(15)) + b"\0"), pixel, DEFLATED).ravel().tolist() == list(range(15))


def test_a_bomb_does_not_go_off() -> None:
    bomb = deflate(bytes(2**28))
    tracemalloc.start()
    try:
        assert "longer" in refused(bomb, uid=DEFLATED)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_claim_that_deflating_cannot_fulfil_is_refused_at_once() -> None:
    huge = replace(PIXEL, rows=65535, columns=65535)
    assert "cannot hold 4294836225" in refused(deflate(bytes(2**16)), huge, DEFLATED)


def test_colour_that_is_deflated_was_decoded_by_nobody() -> None:
    pixel = replace(colour(), lossy=True)  # a warning would be an error
    np.testing.assert_array_equal(decode(deflate(RGB.tobytes()), pixel, DEFLATED), planes(RGB))


@given(st.integers(0), st.binary(min_size=1, max_size=8), st.sampled_from([uids.RLE_LOSSLESS, DEFLATED]))
def test_damaged_frames_decode_or_are_refused(place: int, damage: bytes, uid: str) -> None:
    data = rle_by_hand(planes(GREY8)) if uid == uids.RLE_LOSSLESS else deflate(GREY8.tobytes())
    position = place % len(data)
    damaged = data[:position] + damage + data[position + len(damage) :]
    refusal = ""
    try:
        assert decode(damaged, uid=uid).shape == (1, ROWS, COLUMNS)
    except FrameError as error:
        refusal = str(error)
    assert not refusal or WHERE in refusal
