"""How the frames of a synthetic slide are coded."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydicom import Dataset
    from pydicom.uid import UID
    from slides_model import Pixels


@dataclass(frozen=True)
class Codec:
    """One way to store frames, and what the header says about it."""

    syntax: UID
    photometric: str
    encode: Callable[[Pixels], bytes]
    """(rows, columns, samples) to the bytes of one frame."""
    planar: int = 0
    tolerance: int = 0
    """The largest difference after decoding, for :func:`slides_pixels.smooth_color`."""

    @property
    def lossy(self) -> bool:
        return self.syntax == JPEGBaseline8Bit

    @property
    def samples(self) -> int:
        return 1 if self.photometric == "MONOCHROME2" else 3


def store_pixels(dataset: Dataset, frames: Sequence[Pixels], codec: Codec, bits: int) -> None:
    """Fill the Image Pixel module (PS3.3 section C.7.6.3) and PixelData."""
    first = frames[0]
    dataset.SamplesPerPixel = codec.samples
    dataset.PhotometricInterpretation = codec.photometric
    if codec.samples > 1:
        dataset.PlanarConfiguration = codec.planar
    dataset.Rows, dataset.Columns = first.shape[:2]
    dataset.BitsAllocated = first.dtype.itemsize * 8
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = 0
    dataset.NumberOfFrames = len(frames)
    dataset.LossyImageCompression = "01" if codec.lossy else "00"
    if codec.lossy:
        dataset.LossyImageCompressionRatio = "10"
        dataset.LossyImageCompressionMethod = "ISO_10918_1"
    encoded = [codec.encode(frame) for frame in frames]
    if codec.syntax.is_encapsulated:
        dataset.PixelData = encapsulate(encoded)
        dataset["PixelData"].VR = "OB"
    else:
        native = b"".join(encoded)
        dataset.PixelData = native + bytes(len(native) % 2)
        dataset["PixelData"].VR = "OB" if dataset.BitsAllocated == 8 else "OW"
    dataset.file_meta.TransferSyntaxUID = codec.syntax


def _native(frame: Pixels) -> bytes:
    return frame.astype(frame.dtype.newbyteorder("<")).tobytes()


def _native_planar(frame: Pixels) -> bytes:
    return np.moveaxis(frame, -1, 0).tobytes()


def _native_ybr(frame: Pixels) -> bytes:
    # PS3.3 section C.7.6.3.1.2, YBR_FULL
    matrix = np.array([[0.2990, 0.5870, 0.1140], [-0.1687, -0.3313, 0.5000], [0.5000, -0.4187, -0.0813]])
    ybr = frame.astype(np.float64) @ matrix.T + (0, 128, 128)
    stored: Pixels = ybr.round().clip(0, 255).astype(np.uint8)
    return stored.tobytes()


def _saved(frame: Pixels, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, kind, **options)
    return buffer.getvalue()


def _jpeg_422(frame: Pixels) -> bytes:
    return _saved(frame, "JPEG", quality=95, subsampling="4:2:2")


def _jpeg_444(frame: Pixels) -> bytes:
    return _saved(frame, "JPEG", quality=95, subsampling="4:4:4")


def _jpeg_rgb(frame: Pixels) -> bytes:
    return _saved(frame, "JPEG", quality=95, keep_rgb=True)


def _jpeg2000(frame: Pixels) -> bytes:
    return _saved(frame, "JPEG2000", no_jp2=True, irreversible=False, mct=1)


def _jpegls(frame: Pixels) -> bytes:
    return bytes(imagecodecs.jpegls_encode(frame))


def _htj2k(frame: Pixels) -> bytes:
    return bytes(imagecodecs.htj2k_encode(frame, reversible=True))


def _rle(frame: Pixels) -> bytes:
    rows, columns, samples = frame.shape
    encoded: bytes = get_encoder(RLELossless).encode(
        frame.tobytes(),
        rows=rows,
        columns=columns,
        samples_per_pixel=samples,
        number_of_frames=1,
        bits_allocated=8,
        bits_stored=8,
        pixel_representation=0,
        photometric_interpretation="RGB",
        planar_configuration=0,
    )
    return encoded


GRAY = Codec(ExplicitVRLittleEndian, "MONOCHROME2", _native)
RGB = Codec(ExplicitVRLittleEndian, "RGB", _native)
JPEG_422 = Codec(JPEGBaseline8Bit, "YBR_FULL_422", _jpeg_422, tolerance=12)

CODECS = {
    "native_rgb": RGB,
    "native_planar": Codec(ExplicitVRLittleEndian, "RGB", _native_planar, planar=1),
    "native_ybr_full": Codec(ExplicitVRLittleEndian, "YBR_FULL", _native_ybr, tolerance=2),
    "jpeg_ybr_full_422": JPEG_422,
    "jpeg_jfif_header_rgb": Codec(JPEGBaseline8Bit, "RGB", _jpeg_444, tolerance=5),
    "jpeg_adobe_rgb": Codec(JPEGBaseline8Bit, "RGB", _jpeg_rgb, tolerance=4),
    "jpeg2000_lossless": Codec(JPEG2000Lossless, "YBR_RCT", _jpeg2000),
    "jpegls_lossless": Codec(JPEGLSLossless, "RGB", _jpegls),
    "htj2k_lossless": Codec(HTJ2KLossless, "YBR_RCT", _htj2k),
    "rle_lossless": Codec(RLELossless, "RGB", _rle),
}
"""Every codec variant by name."""
