"""Cuts the pixel data of a dataset into frames, as ``/frames`` serves them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom.dataset import Dataset

Buffer: TypeAlias = bytes | memoryview

NATIVE = frozenset(
    {
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    }
)
"""The transfer syntaxes that leave pixels uncompressed (PS3.5 sections A.1, A.2, A.3 and A.5)."""

PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def pixel_keyword(dataset: Dataset) -> str | None:
    """The attribute that holds the pixels, or None where there are none."""
    return next((keyword for keyword in PIXEL_KEYWORDS if keyword in dataset), None)


def cut_frames(dataset: Dataset, transfer_syntax: str) -> Sequence[Buffer]:
    """The frames in their order: encoded streams, or native little-endian pixels.

    Args:
        dataset: One instance with its pixel data.
        transfer_syntax: UID of the transfer syntax that it was stored in.

    Raises:
        ValueError: pydicom finds no frame borders in encapsulated data.
    """
    count = int(dataset.get("NumberOfFrames") or 1)
    if transfer_syntax in NATIVE:
        return _native(dataset, count, big_endian=transfer_syntax == ExplicitVRBigEndian)
    return _encapsulated(dataset, count)


def _encapsulated(dataset: Dataset, count: int) -> Sequence[Buffer]:
    offsets = None
    if "ExtendedOffsetTable" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    pixels = dataset.PixelData
    return tuple(generate_frames(pixels, number_of_frames=count, extended_offsets=offsets))


def _native(dataset: Dataset, count: int, *, big_endian: bool) -> Sequence[Buffer]:
    pixels = dataset[pixel_keyword(dataset) or "PixelData"].value
    if big_endian:
        pixels = _little_endian(dataset, pixels)
    if dataset.BitsAllocated == 1:
        return _packed_bits(pixels, dataset.Rows * dataset.Columns * dataset.SamplesPerPixel, count)
    size = get_expected_length(dataset, unit="bytes") // count
    view = memoryview(pixels)
    return [view[start : start + size] for start in range(0, size * count, size)]


def _little_endian(dataset: Dataset, pixels: bytes) -> bytes:
    """Swaps the bytes of each cell; 8-bit cells in OW were swapped as 16-bit words."""
    cell = dataset.BitsAllocated // 8
    if cell <= 1:
        cell = 2 if dataset[pixel_keyword(dataset) or "PixelData"].VR == "OW" else 1
    return np.frombuffer(pixels, f">u{cell}").astype(f"<u{cell}").tobytes()


def _packed_bits(pixels: bytes, bits: int, count: int) -> Sequence[Buffer]:
    """One bit a pixel: frames are stored without a gap, and served padded to whole bytes."""
    all_bits = np.unpackbits(np.frombuffer(pixels, np.uint8), bitorder="little")
    starts = range(0, bits * count, bits)
    return [np.packbits(all_bits[s : s + bits], bitorder="little").tobytes() for s in starts]
