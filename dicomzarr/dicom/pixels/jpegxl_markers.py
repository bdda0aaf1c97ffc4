"""The header of JPEG XL (ISO/IEC 18181-1 Annex D), bare or in boxes (18181-2)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from dicomzarr.dicom.pixels.codestream import Codec, Codestream, Colour
from dicomzarr.dicom.pixels.jpegxl_frames import ENUM, GREY, RGB, Bits, Metadata, are_few_markers, is_plain
from dicomzarr.dicom.pixels.segments import MOST_SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC: Final = b"\xff\x0a"
"""Start of codestream."""
BOX_MAGIC: Final = b"\0\0\0\x0cJXL \r\n\x87\n"
"""The signature box of a JXL file."""

_LONGEST_HEADER: Final = 64  # bytes; what is read of it never takes more than 40
_LONGEST_MARKERS: Final = 128  # bytes; what is read of them
_BOX: Final = struct.Struct(">I4s")
_CODESTREAM_BOXES: Final = {b"jxlc": 0, b"jxlp": 4}  # bytes of a part number before the codestream
_LAST_PART: Final = 0x80  # in the first byte of the part number
_DEEPEST: Final = 16  # bits that DICOM allows, and that the decoder gives back as integers
# Columns to rows, where the header names a ratio in the place of columns.
_RATIOS: Final = ((1, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
# Each of the four distributions: the number of bits that follow, and what is added to them.
_SIZE: Final = ((9, 1), (13, 1), (18, 1), (30, 1))
_DEPTH: Final = ((0, 8), (0, 10), (0, 12), (6, 1))
_EXTRA_CHANNELS: Final = ((0, 0), (0, 1), (4, 2), (12, 1))


class _Boxed(NamedTuple):
    """What is read of the file around a codestream."""

    header: bytes
    """The beginning of the codestream."""
    complete: bool = True
    holds_jpeg: bool = False
    open_ended: bool = False
    """Nothing tells how long that JPEG is."""


def read_jpegxl(data: bytes) -> Codestream:
    """Reads the size and the image metadata.

    Nothing marks the end of a codestream: where it was cut off, only decoding shows.

    Args:
        data: Bytes that begin with ``MAGIC`` or ``BOX_MAGIC``; bytes after the end do not matter.

    Raises:
        ValueError: The header is broken, or tells of what no DICOM frame has; says of what.
    """
    boxed = _Boxed(data[:_LONGEST_HEADER]) if data.startswith(MAGIC) else _unboxed(data)
    if not boxed.header.startswith(MAGIC):
        raise ValueError("its codestream box does not hold a codestream")
    bits = Bits(boxed.header[len(MAGIC) :])
    rows, columns = _read_size(bits)
    metadata = _read_metadata(bits)
    is_rgb = metadata.is_xyb or metadata.colour_space == RGB
    return Codestream(
        codec=Codec.JPEG_XL,
        rows=rows,
        columns=columns,
        samples=1 if metadata.colour_space == GREY else 3,
        precision=metadata.precision,
        signed=False,
        lossy=metadata.is_xyb,
        # Whatever transform the frame went through, the colours come out as the header says.
        colour=Colour.RGB if is_rgb else None,
        complete=boxed.complete,
        holds_jpeg=boxed.holds_jpeg,
        open_ended=boxed.open_ended or not is_plain(bits, metadata),
    )


def _read_size(bits: Bits) -> tuple[int, int]:
    """Rows and columns; sizes in eighths and of common ratios are written shorter."""
    is_small = bits.flag()
    rows = _read_length(bits, is_small=is_small)
    ratio = bits.take(3)
    if ratio == 0:
        return rows, _read_length(bits, is_small=is_small)
    across, down = _RATIOS[ratio]
    return rows, rows * across // down


def _read_length(bits: Bits, *, is_small: bool) -> int:
    return 8 * (bits.take(5) + 1) if is_small else bits.number(_SIZE)


def _read_metadata(bits: Bits) -> Metadata:
    if bits.flag():
        return Metadata()
    has_more = bits.flag()
    if has_more:
        _check_extra_fields(bits)
    if bits.flag():
        raise ValueError("its samples are floating point numbers")
    precision = bits.number(_DEPTH)
    if precision > _DEEPEST:
        raise ValueError(f"its samples have {precision} bits, more than {_DEEPEST}")
    bits.flag()  # whether 16 bits are enough for the decoder's buffers
    extra = bits.number(_EXTRA_CHANNELS)
    if extra:
        raise ValueError(f"it has extra channels beside its colours ({extra})")
    is_xyb = bits.flag()
    if bits.flag():
        return Metadata(precision, is_xyb, is_default=False, has_more=has_more)
    has_profile = bits.flag()
    space = bits.number(ENUM)
    return Metadata(
        precision, is_xyb, space, has_profile, is_default=False, has_default_colour=False, has_more=has_more
    )


def _check_extra_fields(bits: Bits) -> None:
    """What turns the pixels, or adds images to the one."""
    if bits.take(3):
        raise ValueError("it is to be turned or mirrored")
    if bits.flag():
        _read_size(bits)  # the size that it had once
    if bits.flag():
        raise ValueError("it has a preview")
    if bits.flag():
        raise ValueError("it is an animation")


def _unboxed(data: bytes) -> _Boxed:
    """What the boxes hold: the codestream in one of the kind jxlc, or in several of the kind jxlp."""
    header, complete, holds_jpeg, open_ended = b"", False, False, False
    for kind, start, end in _boxes(data):
        if kind == b"jbrd":
            holds_jpeg = end <= len(data)
            open_ended = open_ended or not are_few_markers(data[start : min(end, start + _LONGEST_MARKERS)])
        elif kind in _CODESTREAM_BOXES:
            begin = start + _CODESTREAM_BOXES[kind]
            header += data[begin : min(end, begin + _LONGEST_HEADER)]
            is_last = kind == b"jxlc" or any(number & _LAST_PART for number in data[start : start + 1])
            complete = is_last and end <= len(data)
    if not header:
        raise ValueError("it has no codestream box")
    return _Boxed(header[:_LONGEST_HEADER], complete, holds_jpeg, open_ended)


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields the kind of each box, and where its contents begin and end; the end may lie behind that of the data."""
    position = count = 0
    while position + _BOX.size <= len(data):
        count += 1
        if count > MOST_SEGMENTS:
            raise ValueError("it has too many boxes")
        length, kind = _BOX.unpack_from(data, position)
        start = position + _BOX.size
        if length == 1:
            length = int.from_bytes(data[start : start + 8], "big")
            start += 8
        end = position + length if length else len(data)  # the last box may leave its length open
        if end < start:
            raise ValueError("its boxes are broken")
        yield kind, start, end
        position = end
