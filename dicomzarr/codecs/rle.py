"""RLE frames: segments of one byte of each value of a plane (PS3.5 Annex G)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import imagecodecs
import numpy as np

from dicomzarr.codecs.native import check_cells
from dicomzarr.codecs.stored_values import to_rgb, unpack_cells
from dicomzarr.dicom import uids
from dicomzarr.dicom.pixels.rle_header import read_offsets, read_segments
from dicomzarr.errors import FrameDecodeError, FrameShapeError, UnsupportedTransferSyntaxError

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.dicom.pixels.pixels import PixelDescription

_BYTE: Final = 8
_LARGEST_EXPANSION: Final = 64  # two bytes of a replicate run stand for 128


def is_rle(data: bytes | memoryview) -> bool:
    """Whether the bytes begin with the header of an RLE frame, which native pixels hardly ever do."""
    try:
        read_offsets(data)
    except ValueError:
        return False
    return True


def decode_rle(data: bytes | memoryview, pixel: PixelDescription, *, where: str) -> npt.NDArray[Any]:
    """Decodes one RLE frame; every segment must give its whole plane.

    Args:
        data: The frame, perhaps with a byte of padding.
        pixel: The layout of its bits and colours; RLE itself stores planes, whatever PlanarConfiguration says.
        where: Study, series, instance and frame, for messages.

    Returns:
        Stored values of the shape (samples, rows, columns), colour as RGB, in their own memory.

    Raises:
        UnsupportedTransferSyntaxError: Pixels of one bit, which the standard leaves undefined in RLE.
        FrameDecodeError: A segment is broken or cut off.
        FrameShapeError: The segments are not those of such a frame.
    """
    _check_bits(pixel, where)
    try:
        segments = read_segments(data)
    except ValueError as error:
        raise FrameDecodeError(f"{where}: the RLE frame is broken: {error}.") from error
    _check_segments(segments, pixel, where)
    cells = _join(data, segments, pixel, where)
    return to_rgb(unpack_cells(cells, pixel), pixel)


def _check_bits(pixel: PixelDescription, where: str) -> None:
    check_cells(pixel, where)
    if pixel.bits_allocated == 1:
        raise UnsupportedTransferSyntaxError(
            f"{where}: pixels of one bit in RLE Lossless ({uids.RLE_LOSSLESS}) are not supported, since writers pack"
            " them in different ways and nothing tells which.",
            remedy="Have the image stored in another transfer syntax, such as Explicit VR Little Endian.",
            uid=uids.RLE_LOSSLESS,
        )
    if pixel.floating:
        raise FrameShapeError(f"{where}: the frame is in RLE, the metadata say floating point, which RLE never holds.")


def _check_segments(segments: tuple[slice, ...], pixel: PixelDescription, where: str) -> None:
    """Their number, and that they can hold planes of that size at all, before memory is taken."""
    expected = pixel.samples * pixel.bits_allocated // _BYTE
    if len(segments) != expected:
        raise FrameShapeError(
            f"{where}: the RLE frame has {len(segments)} segments, the metadata say {expected}"
            f" ({pixel.samples} samples of {pixel.bits_allocated} bits).",
            remedy="The server may have sent another image.",
        )
    area = pixel.rows * pixel.columns
    for number, segment in enumerate(segments, 1):
        length = segment.stop - segment.start
        if area > length * _LARGEST_EXPANSION:
            raise FrameDecodeError(
                f"{where}: the {length} bytes of RLE segment {number} cannot hold"
                f" {pixel.rows}x{pixel.columns} pixels: the frame is cut off, or of another size."
            )


def _join(
    data: bytes | memoryview, segments: tuple[slice, ...], pixel: PixelDescription, where: str
) -> npt.NDArray[Any]:
    """Cells as they are stored, from segments that come with the most significant byte first."""
    width = pixel.bits_allocated // _BYTE
    cells = np.empty((pixel.samples, pixel.rows * pixel.columns, width), np.uint8)
    for number, segment in enumerate(segments):
        sample, byte = divmod(number, width)
        plane = _decode_segment(bytes(data[segment]), pixel, f"{where}: RLE segment {number + 1}")
        cells[sample, :, width - 1 - byte] = plane
    return cells.view(f"<u{width}").reshape(pixel.shape)


def _decode_segment(segment: bytes, pixel: PixelDescription, subject: str) -> npt.NDArray[np.uint8]:
    """One byte of each value; less than a row of zeros behind them is padding, of which real writers add some."""
    try:
        found = np.frombuffer(imagecodecs.packbits_decode(segment), np.uint8)
    except RuntimeError as error:
        raise FrameDecodeError(f"{subject} is broken: {error}.") from error
    area = pixel.rows * pixel.columns
    surplus = found[area:]
    is_padding = len(surplus) < max(pixel.columns, 2) and not surplus.any()
    if len(found) < area or not is_padding:
        kind = FrameDecodeError if len(found) < area else FrameShapeError
        raise kind(
            f"{subject} decodes to {len(found)} bytes, {pixel.rows}x{pixel.columns} pixels take {area}:"
            " it is cut off, or the metadata belong to another image."
        )
    return found[:area]
