"""Other transfer syntaxes than JPEG: the tiles of the slide coded anew, and decoders alone to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import RLELossless

if TYPE_CHECKING:
    from collections.abc import Callable

    from measuring import Pixels

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"


@dataclass(frozen=True)
class Coding:
    """How frames are stored."""

    transfer_syntax: str
    encode: Callable[[Pixels], bytes]
    """From R, G, B of the shape (rows, columns, 3)."""
    decode: Callable[[bytes], Any]
    """By the fastest decoder alone, to the shape (rows, columns, samples)."""
    photometric_interpretation: str = "RGB"
    samples: int = 3
    dtype: str = "u1"
    """Of what is stored."""


def _rle_encoded(pixels: Pixels) -> bytes:
    rows, columns, samples = pixels.shape
    options = {"rows": rows, "columns": columns, "samples_per_pixel": samples, "number_of_frames": 1}
    depth: dict[str, Any] = {"bits_allocated": 8, "bits_stored": 8, "pixel_representation": 0}
    depth |= {"photometric_interpretation": "RGB", "planar_configuration": 0}
    return get_encoder(RLELossless).encode(pixels, **options, **depth)


def _rle_decoded(data: bytes) -> Any:
    """The three segments of a frame (PS3.5 section G.3)."""
    count, *offsets = np.frombuffer(data, "<u4", 4).tolist()
    ends = [*offsets[1:count], len(data)]
    planes = [imagecodecs.packbits_decode(data[start:end]) for start, end in zip(offsets, ends, strict=True)]
    side = int(len(planes[0]) ** 0.5)
    return np.stack([np.frombuffer(plane, np.uint8, side * side).reshape(side, side) for plane in planes], axis=-1)


def _grey16(pixels: Pixels) -> Pixels:
    """Sixteen bits that are all used."""
    return pixels[..., 0].astype(np.uint16) * 256 + pixels[..., 1]


def _native_decoded(data: bytes) -> Any:
    side = int((len(data) // 2) ** 0.5)
    return np.frombuffer(data, "<u2").reshape(side, side, 1)


CODINGS = {
    "JPEG 2000": Coding(
        "1.2.840.10008.1.2.4.90",
        lambda pixels: bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", mct=True, reversible=True)),
        lambda data: imagecodecs.jpeg2k_decode(data, numthreads=1),
        "YBR_RCT",
    ),
    "HTJ2K": Coding(
        "1.2.840.10008.1.2.4.201",
        lambda pixels: bytes(imagecodecs.htj2k_encode(pixels)),
        lambda data: imagecodecs.jpeg2k_decode(data, numthreads=1),
        "YBR_RCT",
    ),
    "JPEG-LS": Coding(
        "1.2.840.10008.1.2.4.80", lambda pixels: bytes(imagecodecs.jpegls_encode(pixels)), imagecodecs.jpegls_decode
    ),
    "RLE": Coding("1.2.840.10008.1.2.5", _rle_encoded, _rle_decoded),
    "native 16 bit": Coding(
        "1.2.840.10008.1.2.1", lambda pixels: _grey16(pixels).tobytes(), _native_decoded, "MONOCHROME2", 1, "u2"
    ),
}
"""By the names that a row has."""


def described(metadata: dict[str, Any], coding: Coding) -> dict[str, Any]:
    """The metadata of a slide whose frames are coded so."""
    bits = np.dtype(coding.dtype).itemsize * 8
    numbers = {"00280002": coding.samples, "00280100": bits, "00280101": bits, "00280102": bits - 1}
    changed = metadata | {tag: {"vr": "US", "Value": [value]} for tag, value in numbers.items()}
    changed["00280004"] = {"vr": "CS", "Value": [coding.photometric_interpretation]}
    changed["00282110"] = {"vr": "CS", "Value": ["00"]}
    changed["00020010"] = {"vr": "UI", "Value": [coding.transfer_syntax]}
    changed["00083002"] = {"vr": "UI", "Value": [coding.transfer_syntax]}
    if coding.samples == 1:
        changed.pop("00280006", None)  # PlanarConfiguration
    return changed
