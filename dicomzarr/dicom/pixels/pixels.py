"""How stored pixel values are laid out in one frame (PS3.3 section C.7.6.3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from operator import eq
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.model.json_model import ABSENT, lacks_layout
from dicomzarr.dicom.model.values import is_given, shown_code
from dicomzarr.dicom.uids import PARAMETRIC_MAP_STORAGE
from dicomzarr.errors import InvalidAttributeError

if TYPE_CHECKING:
    from dicomzarr.dicom.model.json_model import InstanceItem
    from dicomzarr.dicom.model.values import AttributeReader

COLOUR_MODELS: Final = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "XYB"})
"""Photometric interpretations of three samples that can be turned into RGB."""

_FLOATING_BITS: Final = frozenset({32, 64})
"""Of cells that hold floating point numbers."""

_MOST_PIXELS = 2**16 - 1
"""Along a side: Rows and Columns are of VR US."""


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


_ONE_SAMPLE: Final = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
"""Photometric interpretations of pixels of one sample (PS3.3 section C.7.6.3.1.2)."""


def parse_pixels(read: AttributeReader, item: InstanceItem) -> PixelDescription:
    """How the frames of an instance are laid out.

    Raises:
        InvalidAttributeError: No frame can be laid out so.
    """
    floating = _is_floating(read, item)
    default_bits = 8 if not floating else 64 if item.double_pixels != ABSENT else 32
    allocated = read.positive(item.bits_allocated, "BitsAllocated", default=default_bits)
    stored, high = _bits(read, item, allocated)
    told = shown_code((read.text(item.photometric_interpretation) or "").upper())
    samples = read.positive(item.samples_per_pixel, "SamplesPerPixel", default=samples_of(told))
    if samples == 1 and allocated > 1 and not floating and not is_given(item.pixel_representation):
        read.remark("PixelRepresentation is not given: values are read as if none were negative.")
    if samples == 3 and told in _ONE_SAMPLE:  # noqa: PLR2004  # of colour
        read.remark(f"PhotometricInterpretation {told} has one sample and the pixels have three: they are read as RGB.")
        told = "RGB"
    elif samples == 1 and told and told not in _ONE_SAMPLE:
        read.remark(f"PhotometricInterpretation {told} is none of one sample, which the pixels have: they are grey.")
    if allocated not in {1, 8, 16, 32, 64}:
        raise InvalidAttributeError(
            f"Instance {read.text(item.sop_instance_uid)}: BitsAllocated {allocated} is no size of cells that can be "
            f"read; 1, 8, 16, 32 and 64 are."
        )
    return PixelDescription(
        rows=read.positive(item.rows, "Rows", most=_MOST_PIXELS),
        columns=read.positive(item.columns, "Columns", most=_MOST_PIXELS),
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high,
        signed=samples == 1 and not floating and read.integer(item.pixel_representation, "PixelRepresentation") == 1,
        photometric_interpretation=told or ("RGB" if samples > 1 else "MONOCHROME2"),
        planar_configuration=read.integer(item.planar_configuration, "PlanarConfiguration") or 0,
        lossy=read.text(item.lossy_image_compression) in {"01", "1"},
        floating=floating,
    )


def _is_floating(read: AttributeReader, item: InstanceItem) -> bool:
    if item.float_pixels != ABSENT or item.double_pixels != ABSENT:
        return True
    is_map = read.uid(item.sop_class_uid) == PARAMETRIC_MAP_STORAGE
    found = is_map and read.lenient_number(item.bits_allocated) in _FLOATING_BITS and lacks_layout(item)
    if found:  # some servers name no binary attributes
        read.remark("BitsStored and PixelRepresentation are not given: the map is read as one of floating point.")
    return found


def samples_of(photometric_interpretation: str) -> int:
    """SamplesPerPixel of those that do not say it."""
    return 3 if photometric_interpretation.upper() in COLOUR_MODELS else 1


def possible_bits(stored: float | None, high: float | None, allocated: int) -> tuple[int, int]:
    """(BitsStored, HighBit) as cells can have them (PS3.5 section 8.1.1).

    Args:
        stored: BitsStored; where it is impossible or None, all bits of a cell are.
        high: HighBit; where it is impossible or None, values lie in the lowest bits.
        allocated: BitsAllocated.
    """
    bits = int(stored) if stored is not None and stored in range(1, allocated + 1) else allocated
    return bits, int(high) if high is not None and high in range(bits - 1, allocated) else bits - 1


def _bits(read: AttributeReader, item: InstanceItem, allocated: int) -> tuple[int, int]:
    stored, high = read.lenient_number(item.bits_stored), read.lenient_number(item.high_bit)
    bits, highest = possible_bits(stored, high, allocated)
    for leaf, name, number, lost in (
        (item.bits_stored, "BitsStored", bits, "all bits of a cell are read"),
        (item.high_bit, "HighBit", highest, "values are read from the lowest bits of a cell"),
    ):
        read.fact(leaf, name, partial(eq, number), lost)
    return bits, highest
