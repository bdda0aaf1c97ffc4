"""How stored pixel values are laid out in one frame (PS3.3 section C.7.6.3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np


@dataclass(frozen=True, slots=True)
class PixelDescription:
    """The Image Pixel attributes that say what a decoded frame looks like.

    A decoded frame has the shape ``(samples, rows, columns)`` and the type ``dtype``.
    """

    rows: int
    """Rows (0028,0010): pixels down one frame."""
    columns: int
    """Columns (0028,0011): pixels across one frame."""
    samples: int
    """SamplesPerPixel (0028,0002): 1, or 3 for colour."""
    bits_allocated: int
    """BitsAllocated (0028,0100): bits of one stored cell."""
    bits_stored: int
    """BitsStored (0028,0101): bits of one value within its cell."""
    high_bit: int
    """HighBit (0028,0102): the most significant bit of a value within its cell."""
    signed: bool
    """PixelRepresentation (0028,0103) is 1: values are two's complement."""
    photometric_interpretation: str
    """PhotometricInterpretation (0028,0004), as ``MONOCHROME2`` or ``YBR_FULL_422``."""
    planar_configuration: int = 0
    """PlanarConfiguration (0028,0006): 1 when native colour frames store planes one after another."""
    lossy: bool = False
    """LossyImageCompression (0028,2110) is 01: what is stored was once lossily compressed."""
    floating: bool = False
    """The frame comes from Float Pixel Data (7FE0,0008), of 32 bits, or Double Float Pixel Data (7FE0,0009), of 64:
    every bit of a cell is meant, whatever the four attributes above say (PS3.3 sections C.7.6.24 and C.7.6.25)."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The smallest little-endian type that holds BitsAllocated: integer, or floating point where that is stored."""
        return _dtype(self.bits_allocated, self.signed, self.floating)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of a decoded frame: (samples, rows, columns)."""
        return (self.samples, self.rows, self.columns)

    @property
    def nbytes(self) -> int:
        """Bytes of a decoded frame."""
        return self.samples * self.rows * self.columns * self.dtype.itemsize


@cache
def _dtype(bits: int, signed: bool, floating: bool) -> np.dtype[np.generic]:  # noqa: FBT001  # named by the caller
    if floating:
        return np.dtype("<f4" if bits <= 32 else "<f8")  # noqa: PLR2004  # as the field says
    size = next(size for size in (1, 2, 4, 8) if size * 8 >= bits)
    sign = "i" if signed and bits > 1 else "u"  # a single bit has no sign
    return np.dtype(f"<{sign}{size}")
