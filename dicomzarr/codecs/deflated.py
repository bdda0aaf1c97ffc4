"""Deflated frames: native ones, each deflated on its own (PS3.5 section A.4.13)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from dicomzarr.codecs.native import fits_native, native_lengths
from dicomzarr.errors import FrameDecodeError, FrameShapeError

if TYPE_CHECKING:
    from dicomzarr.dicom.pixels.pixels import PixelDescription

_LARGEST_EXPANSION: Final = 1032  # two bits stand for 258 bytes (RFC 1951)
_PADDING: Final = 1
_MOST_BEHIND: Final = 8
"""Bytes behind a frame that are taken for padding."""


def inflate_frame(data: bytes | memoryview, pixel: PixelDescription, *, where: str) -> bytes:
    """Inflates one frame, no further than it may be long.

    Args:
        data: A raw stream of RFC 1951, perhaps with a byte of padding.
        pixel: Says how long the native frame is.
        where: Study, series, instance and frame, for messages.

    Returns:
        The native frame, of a length that fits.

    Raises:
        FrameDecodeError: The stream is broken or cut off.
        FrameShapeError: It is of another length.
    """
    lengths = native_lengths(pixel)
    if min(lengths) > (len(data) + 1) * _LARGEST_EXPANSION:
        raise FrameDecodeError(
            f"{where}: {len(data)} deflated bytes cannot hold {min(lengths)}: the frame is cut off, or of another size."
        )
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        native = inflater.decompress(data, max(lengths) + _PADDING + 1)
    except zlib.error as error:
        raise FrameDecodeError(f"{where}: the deflated frame is broken: {error}.") from error
    if len(native) > max(lengths) + _PADDING:
        raise FrameShapeError(f"{where}: the deflated frame is longer than {_said(pixel)}.")
    if not inflater.eof:
        raise FrameDecodeError(
            f"{where}: the deflated frame is cut off: after {len(data)} bytes it still lacks its end.",
            remedy="Read it again; if it stays, the stored copy is damaged.",
        )
    if len(inflater.unused_data) > _MOST_BEHIND:
        raise FrameDecodeError(
            f"{where}: {len(inflater.unused_data)} bytes follow the deflated frame: it is not alone."
        )
    if not fits_native(len(native), pixel):
        raise FrameShapeError(f"{where}: the deflated frame has {len(native)} bytes, not those of {_said(pixel)}.")
    return native


def _said(pixel: PixelDescription) -> str:
    return (
        f"{pixel.rows}x{pixel.columns} pixels of {pixel.samples} samples of {pixel.bits_allocated} bits"
        f" ({' or '.join(map(str, native_lengths(pixel)))} bytes)"
    )
