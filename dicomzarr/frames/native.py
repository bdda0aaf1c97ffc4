"""Uncompressed frames (PS3.5 section 8.1): lengths, bits, planes and colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.errors import FrameShapeError
from dicomzarr.frames.values import planes_first, unpack_cells, warn_server_decoded, ybr_to_rgb

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.dicom.pixels import PixelDescription

_YBR_FULL: Final = "YBR_FULL"
_YBR_FULL_422: Final = "YBR_FULL_422"
# Colour models that no native frame with three values a pixel can have.
_NEVER_FULL_SIZE: Final = frozenset({_YBR_FULL_422, "YBR_RCT", "YBR_ICT"})
_CELL_BITS: Final = frozenset({8, 16, 32, 64})


def fits_native(length: int, pixel: PixelDescription) -> bool:
    """Whether so many bytes are one native frame, with or without a byte of padding."""
    return any(length - expected in (0, 1) for expected in _lengths(pixel))


def decode_native(
    data: bytes | memoryview, pixel: PixelDescription, *, was_compressed: bool, where: str
) -> npt.NDArray[Any]:
    """Decodes one little-endian native frame.

    Args:
        data: The frame from its first byte on.
        pixel: The layout of its bits, planes and colours.
        was_compressed: The metadata or the label say that it is stored compressed, so that the
            server must have decoded it.
        where: Study, series, instance and frame, for messages.

    Returns:
        Stored values of the shape (samples, rows, columns), colour as RGB, in its own memory.

    Raises:
        FrameShapeError: The length or the bits do not fit.
    """
    _check(len(data), pixel, where)
    if pixel.bits_allocated == 1:
        return _unpack_bits(data, pixel)
    subsampled = _is_subsampled(len(data), pixel)
    cells = _read_cells(data, pixel, samples=2 if subsampled else pixel.samples)
    if pixel.samples == 1:
        return cells.reshape(pixel.shape)
    if subsampled:
        return ybr_to_rgb(_spread_422(cells, pixel), pixel.bits_stored)
    if was_compressed or pixel.photometric_interpretation in _NEVER_FULL_SIZE:
        warn_server_decoded()
    planes = _separate_planes(cells, pixel)
    if pixel.photometric_interpretation == _YBR_FULL:
        return ybr_to_rgb(planes, pixel.bits_stored)
    return planes


def _lengths(pixel: PixelDescription) -> tuple[int, ...]:
    """The lengths in bytes that a native frame may have, the regular one first."""
    area = pixel.rows * pixel.columns
    full = (area * pixel.samples * pixel.bits_allocated + 7) // 8
    if pixel.photometric_interpretation == _YBR_FULL_422 and pixel.columns % 2 == 0:
        return (area * 2 * pixel.bits_allocated // 8, full)
    return (full,)


def _check(length: int, pixel: PixelDescription, where: str) -> None:
    if not fits_native(length, pixel):
        raise FrameShapeError(
            f"{where}: {length} bytes are not one uncompressed frame of"
            f" {pixel.rows}x{pixel.columns} pixels, {pixel.samples} samples,"
            f" {pixel.bits_allocated} bits ({pixel.photometric_interpretation}), which takes"
            f" {' or '.join(map(str, _lengths(pixel)))}.",
            remedy="The reply was cut off, or the metadata belong to another image.",
        )
    lowest = pixel.high_bit + 1 - pixel.bits_stored
    if pixel.bits_allocated != 1 and (
        pixel.bits_allocated not in _CELL_BITS or not 0 <= lowest <= pixel.high_bit < pixel.bits_allocated
    ):
        raise FrameShapeError(
            f"{where}: BitsAllocated {pixel.bits_allocated}, BitsStored {pixel.bits_stored} and"
            f" HighBit {pixel.high_bit} describe no cell that can be read."
        )


def _unpack_bits(data: bytes | memoryview, pixel: PixelDescription) -> npt.NDArray[Any]:
    """Bits are packed with the first pixel lowest (PS3.5 section 8.1.1)."""
    packed = np.frombuffer(data, np.uint8)
    count = pixel.rows * pixel.columns * pixel.samples
    return np.unpackbits(packed, count=count, bitorder="little").reshape(pixel.shape)


def _is_subsampled(length: int, pixel: PixelDescription) -> bool:
    return len(_lengths(pixel)) > 1 and length - _lengths(pixel)[0] in (0, 1)


def _read_cells(data: bytes | memoryview, pixel: PixelDescription, *, samples: int) -> npt.NDArray[Any]:
    count = pixel.rows * pixel.columns * samples
    cells = np.frombuffer(data, f"<u{pixel.bits_allocated // 8}", count)
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
