"""Uncompressed frames (PS3.5 section 8.1): lengths, bits, planes and colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.codecs.stored_values import planes_first, to_rgb, unpack_cells, warn_server_decoded, ybr_to_rgb
from dicomzarr.dicom import uids
from dicomzarr.errors import FrameShapeError, UnsupportedTransferSyntaxError

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.dicom.pixels.pixels import PixelDescription

_BYTE: Final = 8
_CELL_BITS: Final = frozenset({8, 16, 32, 64})
_FLOATING_BITS: Final = frozenset({32, 64})


def fits_native(length: int, pixel: PixelDescription) -> bool:
    """Whether so many bytes are one native frame, with or without a byte of padding."""
    return any(length - expected in (0, 1) for expected in native_lengths(pixel))


def native_lengths(pixel: PixelDescription) -> tuple[int, ...]:
    """The lengths in bytes that a native frame may have without padding, the regular one first."""
    area = pixel.rows * pixel.columns
    full = (area * pixel.samples * pixel.bits_allocated + 7) // 8
    subsampled = pixel.samples > 1 and pixel.photometric_interpretation == "YBR_FULL_422"
    if subsampled and pixel.columns % 2 == 0:
        return (area * 2 * pixel.bits_allocated // 8, full)
    return (full,)


def decode_native(
    data: bytes | memoryview,
    pixel: PixelDescription,
    *,
    was_compressed: bool,
    where: str,
    big_endian: bool = False,
) -> npt.NDArray[Any]:
    """Decodes one native frame.

    Args:
        data: The frame from its first byte on.
        pixel: The layout of its bits, planes and colours.
        was_compressed: The metadata or the label say that it is stored compressed, so that the
            server must have decoded it.
        where: Study, series, instance and frame, for messages.
        big_endian: Each cell begins with its most significant byte.

    Returns:
        Stored values of the shape (samples, rows, columns), colour as RGB; perhaps a view of ``data``.

    Raises:
        FrameShapeError: The length or the bits do not fit.
        UnsupportedTransferSyntaxError: Cells of a byte and less in big endian.
    """
    check_cells(pixel, where)
    _check_length(len(data), pixel, where)
    if big_endian:
        _check_byte_order(pixel, where)
    if pixel.bits_allocated == 1:
        return _unpack_bits(data, pixel)
    subsampled = _is_subsampled(len(data), pixel)
    cells = _read_cells(data, pixel, samples=2 if subsampled else pixel.samples, order=">" if big_endian else "<")
    if pixel.samples == 1:
        return cells.reshape(pixel.shape)
    if subsampled:
        return ybr_to_rgb(_spread_422(cells, pixel), pixel.bits_stored)
    if was_compressed:
        warn_server_decoded()
    return to_rgb(_separate_planes(cells, pixel), pixel)


def check_cells(pixel: PixelDescription, where: str) -> None:
    """Whether the attributes describe cells out of which a value can be taken (PS3.5 section 8.1.1).

    Raises:
        FrameShapeError: They do not.
    """
    if pixel.floating:
        if pixel.bits_allocated not in _FLOATING_BITS:
            raise FrameShapeError(f"{where}: BitsAllocated {pixel.bits_allocated} is no floating point number.")
        return
    lowest = pixel.high_bit + 1 - pixel.bits_stored
    if pixel.bits_allocated != 1 and (
        pixel.bits_allocated not in _CELL_BITS or not 0 <= lowest <= pixel.high_bit < pixel.bits_allocated
    ):
        raise FrameShapeError(
            f"{where}: BitsAllocated {pixel.bits_allocated}, BitsStored {pixel.bits_stored} and"
            f" HighBit {pixel.high_bit} describe no cell that can be read."
        )


def _check_length(length: int, pixel: PixelDescription, where: str) -> None:
    if not fits_native(length, pixel):
        raise FrameShapeError(
            f"{where}: {length} bytes are not one uncompressed frame of"
            f" {pixel.rows}x{pixel.columns} pixels, {pixel.samples} samples,"
            f" {pixel.bits_allocated} bits ({pixel.photometric_interpretation}), which takes"
            f" {' or '.join(map(str, native_lengths(pixel)))}.",
            remedy="The reply was cut off, or the metadata belong to another image.",
        )


def _check_byte_order(pixel: PixelDescription, where: str) -> None:
    if pixel.bits_allocated <= _BYTE:
        raise UnsupportedTransferSyntaxError(
            f"{where}: cells of {pixel.bits_allocated} bits in Explicit VR Big Endian ({uids.EXPLICIT_VR_BIG_ENDIAN})"
            " lie in bytes or in swapped words, and a single frame does not say which.",
            remedy="Have the image stored in Explicit VR Little Endian.",
            uid=uids.EXPLICIT_VR_BIG_ENDIAN,
        )


def _unpack_bits(data: bytes | memoryview, pixel: PixelDescription) -> npt.NDArray[Any]:
    """Bits are packed with the first pixel lowest (PS3.5 section 8.1.1)."""
    packed = np.frombuffer(data, np.uint8)
    count = pixel.rows * pixel.columns * pixel.samples
    return np.unpackbits(packed, count=count, bitorder="little").reshape(pixel.shape)


def _is_subsampled(length: int, pixel: PixelDescription) -> bool:
    return len(native_lengths(pixel)) > 1 and length - native_lengths(pixel)[0] in (0, 1)


def _read_cells(data: bytes | memoryview, pixel: PixelDescription, *, samples: int, order: str) -> npt.NDArray[Any]:
    count = pixel.rows * pixel.columns * samples
    kind = "f" if pixel.floating else "u"
    cells = np.frombuffer(data, f"{order}{kind}{pixel.bits_allocated // _BYTE}", count)
    return unpack_cells(cells, pixel)


def _spread_422(cells: npt.NDArray[Any], pixel: PixelDescription) -> npt.NDArray[Any]:
    """Two pixels are stored as Y1 Y2 CB CR (PS3.3 section C.7.6.3.1.2)."""
    pairs = cells.reshape(pixel.rows, pixel.columns // 2, 4)
    planes = np.empty(pixel.shape, cells.dtype)
    planes[0] = pairs[:, :, :2].reshape(pixel.rows, pixel.columns)
    planes[1] = pairs[:, :, 2].repeat(2, axis=1)
    planes[2] = pairs[:, :, 3].repeat(2, axis=1)
    return planes


def _separate_planes(cells: npt.NDArray[Any], pixel: PixelDescription) -> npt.NDArray[Any]:
    if pixel.planar_configuration == 1:
        return cells.reshape(pixel.shape)
    return planes_first(cells.reshape(pixel.rows, pixel.columns, pixel.samples))
