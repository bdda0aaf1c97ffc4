"""Markers of JPEG, JPEG Lossless (ITU-T T.81 Annex B) and JPEG-LS (T.87 Annex C)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.pixels.codestream import Codec, Codestream, Colour
from dicomzarr.dicom.pixels.jpeg_scans import JpegScans
from dicomzarr.dicom.pixels.segments import MOST_SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC: Final = b"\xff\xd8\xff"
"""Start of image, and the first byte of the marker that must follow."""

_SHORT: Final = 64 * 1024
"""Bytes of a header that is remembered."""
_SCAN_MARKER: Final = b"\xff\xda"
_END_OF_IMAGE: Final = b"\xff\xd9"
_ADOBE_TRANSFORM: Final = 11  # offset in the APP14 segment
_FRAME_HEADER: Final = struct.Struct(">BHHB")  # precision, rows, columns, components
_COLOUR_COMPONENTS: Final = 3
_BLOCK: Final = 8  # samples along a side that DCT takes together
_LARGEST_FACTOR: Final = 4  # of sampling
_SCAN_PARAMETERS: Final = 3  # bytes behind the components of a scan header
_APP0, _APP14, _END, _START_OF_SCAN, _RESTART_INTERVAL = 0xE0, 0xEE, 0xD9, 0xDA, 0xDD
_PROGRESSIVE: Final = 0xC2
_CODEC_OF_FRAME: Final = {
    0xC0: Codec.JPEG,
    0xC1: Codec.JPEG,
    0xC2: Codec.JPEG,
    0xC3: Codec.JPEG_LOSSLESS,
    0xF7: Codec.JPEG_LS,
}
# Hierarchical and arithmetic processes, which no transfer syntax in use has.
_OTHER_FRAMES: Final = frozenset({0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})


@dataclass(frozen=True, slots=True)
class _Frame:
    marker: int
    at: int
    """Offset of its parameters in bytes."""
    codec: Codec
    precision: int
    rows: int
    columns: int
    identifiers: bytes
    sampling: bytes


def read_jpeg(data: bytes) -> Codestream:
    """Reads the markers up to the first scan, and looks for the end.

    Args:
        data: A codestream that begins with ``MAGIC``; bytes after its end do not matter, unless they are another.

    Raises:
        ValueError: The markers are broken or of a process that cannot be decoded, or there are two; says which.
    """
    scan = data.find(_SCAN_MARKER) + 2
    try:
        header = data[: scan + int.from_bytes(data[scan : scan + 2], "big")]
        read = _read_header if len(header) <= _SHORT else _read_header.__wrapped__  # what is kept must not be large
        found, end = read(header)
    except ValueError:  # or what looks like a scan is within a segment, such as a thumbnail
        found, end = _read_header.__wrapped__(data)
    again = data.rfind(MAGIC, end)  # from the end, which is four times as fast
    if again >= 0 and _size_at(data, again) == (found.rows, found.columns):
        raise ValueError("another of its size follows it, and nobody can say which is the frame")
    return found if data.rfind(_END_OF_IMAGE, end) >= 0 else replace(found, complete=False)


def _size_at(data: bytes, offset: int) -> tuple[int, int] | None:
    """Rows and columns of a codestream that seems to begin there; None if none does."""
    try:
        other, _ = _read_header.__wrapped__(data[offset:])
    except ValueError:
        return None
    return other.rows, other.columns


@lru_cache(maxsize=64)
def _read_header(data: bytes) -> tuple[Codestream, int]:
    """What a header says, and where it ends; the tiles of a slide have one and the same."""
    frame: _Frame | None = None
    jfif = False
    adobe_transform: int | None = None
    restart_interval = 0
    for marker, start, end in segments(data):
        if marker in _CODEC_OF_FRAME:
            frame = _read_frame(marker, start, data[start:end])
        elif marker in _OTHER_FRAMES:
            raise ValueError(f"its process (marker FF{marker:02X}) is not supported")
        elif marker == _APP0:
            jfif = jfif or data.startswith(b"JFIF\0", start)
        elif marker == _APP14 and data.startswith(b"Adobe", start):
            # Shorter markers are seen, and then say nothing.
            adobe_transform = next(iter(data[start + _ADOBE_TRANSFORM : end]), None)
        elif marker == _RESTART_INTERVAL:
            restart_interval = int.from_bytes(data[start:end], "big")
        elif marker == _START_OF_SCAN and frame is not None:
            found = Codestream(
                codec=frame.codec,
                rows=frame.rows,
                columns=frame.columns,
                samples=len(frame.identifiers),
                precision=frame.precision,
                signed=False,
                lossy=_is_lossy(frame.codec, data[start:end]),
                colour=_colour(frame, adobe_transform, jfif=jfif),
                complete=True,
                scans=_scans(frame, data, start, end, restart_interval),
            )
            return found, end
    raise ValueError("it has no frame header before its first scan")


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yields marker, begin and end of the parameters of each marker segment, the first scan's header last.

    Raises:
        ValueError: The header is cut off.
    """
    position, marker, count = 2, 0, 0
    while marker not in (_START_OF_SCAN, _END):
        count += 1
        if count > MOST_SEGMENTS:
            raise ValueError("it has too many marker segments")
        position = _next_marker(data, position)
        marker = data[position]
        length = int.from_bytes(data[position + 1 : position + 3], "big")
        end = position + 1 + length
        if marker != _END and not position + 3 <= end <= len(data):
            raise ValueError("it ends within its header")
        yield marker, position + 3, end
        position = end


def _next_marker(data: bytes, position: int) -> int:
    """The offset of the next marker's code: fill bytes may precede it, as libjpeg tolerates too."""
    while (position := data.find(b"\xff", position)) >= 0:
        while data.startswith(b"\xff", position):
            position += 1
        if position < len(data) and data[position]:
            return position
    raise ValueError("it ends within its header")


def _read_frame(marker: int, at: int, body: bytes) -> _Frame:
    components = body[_FRAME_HEADER.size :]
    if len(body) < _FRAME_HEADER.size or len(components) != 3 * body[_FRAME_HEADER.size - 1]:
        raise ValueError("its frame header has the wrong length")
    precision, rows, columns, _ = _FRAME_HEADER.unpack_from(body)
    codec = _CODEC_OF_FRAME[marker]
    return _Frame(marker, at, codec, precision, rows, columns, components[::3], components[1::3])


def _scans(frame: _Frame, data: bytes, start: int, end: int, restart_interval: int) -> JpegScans | None:
    """From the first scan header on; JPEG-LS is checked by its decoder."""
    if frame.codec is Codec.JPEG_LS:
        return None
    count = data[start] if end - start > _SCAN_PARAMETERS else 0
    if not count or end - start != 1 + 2 * count + _SCAN_PARAMETERS:
        raise ValueError("its scan header has the wrong length")
    sampling = tuple((factors >> 4, factors & 15) for factors in frame.sampling)
    if not all(1 <= factor <= _LARGEST_FACTOR for factors in sampling for factor in factors):
        raise ValueError("its sampling factors are impossible")
    return JpegScans(
        rows=frame.rows,
        columns=frame.columns,
        identifiers=frame.identifiers,
        sampling=sampling,
        unit=_unit(frame.codec, sampling),
        progressive=frame.marker == _PROGRESSIVE,
        predictor=data[end - _SCAN_PARAMETERS] if frame.codec is Codec.JPEG_LOSSLESS else 0,
        point_transform=data[end - 1] & 15,
        restart_interval=restart_interval,
        frame_header=frame.at,
        first_scan=start,
        start=end,
        components_in_scan=count,
    )


def _unit(codec: Codec, sampling: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    side = 1 if codec is Codec.JPEG_LOSSLESS else _BLOCK
    if len(sampling) == 1:
        return (side, side)
    return (side * max(down for _, down in sampling), side * max(across for across, _ in sampling))


def _is_lossy(codec: Codec, scan_header: bytes) -> bool:
    if codec is not Codec.JPEG_LS:
        return codec is Codec.JPEG
    near = 1 + 2 * scan_header[0] if scan_header else 0
    return any(scan_header[near : near + 1])


def _colour(frame: _Frame, adobe_transform: int | None, *, jfif: bool) -> Colour | None:
    """What proves the colour: the Adobe marker, then the identifiers, JFIF, and subsampling."""
    if len(frame.identifiers) != _COLOUR_COMPONENTS:
        return None
    if adobe_transform in (0, 1):
        return Colour.YBR if adobe_transform else Colour.RGB
    if frame.identifiers in (b"RGB", b"rgb"):
        return Colour.RGB
    # Nobody halves the resolution of green and blue: unequal sampling means colour differences.
    return Colour.YBR if jfif or len(set(frame.sampling)) > 1 else None
