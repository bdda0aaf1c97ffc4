"""What each transfer syntax is checked against, and how closely: tests and documentation go by this table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom import uids
from dicomzarr.dicom.pixels.codestream import Codec

if TYPE_CHECKING:
    from collections.abc import Mapping

DECODERS: Final[Mapping[Codec, str]] = {
    Codec.NATIVE: "NumPy",
    Codec.RLE: "imagecodecs",
    Codec.DEFLATED: "zlib",
    Codec.JPEG: "libjpeg-turbo",
    Codec.JPEG_LOSSLESS: "libjpeg-turbo",
    Codec.JPEG_LS: "CharLS",
    Codec.JPEG_2000: "OpenJPEG",
    Codec.HTJ2K: "OpenJPEG",
    Codec.JPEG_XL: "libjxl",
}
"""What turns the bytes of a frame into numbers, by codec."""

ORACLES: Final[Mapping[str, str]] = {
    "pydicom": "pydicom",
    "gdcm": "GDCM",
    "pillow": "Pillow",
    "pylibjpeg": "pylibjpeg",
    "pyjpegls": "pyjpegls",
    "openjph": "OpenJPH",
    "twin": "the same pixels uncompressed",
    "jpeg": "the JPEG that was recompressed",
    "source": "the pixels that were compressed",
}
"""What frames are compared with, by the name that tests use."""


@dataclass(frozen=True)
class Check:
    """How one transfer syntax is checked."""

    oracles: tuple[str, ...]
    """Keys of ``ORACLES``; each must agree on every frame that it can decode, and on one at least."""
    within: Mapping[str, int]
    """The largest difference of a stored value that is allowed, by oracle; from the others there is none."""

    def allowed(self, oracle: str) -> int:
        """The largest difference to one oracle."""
        return self.within.get(oracle, 0)


def _exact(*oracles: str) -> Check:
    return Check(oracles, {})


CHECKS: Final[Mapping[str, Check]] = {
    uids.IMPLICIT_VR_LITTLE_ENDIAN: _exact("pydicom"),
    uids.EXPLICIT_VR_LITTLE_ENDIAN: _exact("pydicom"),
    uids.ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN: _exact("twin"),
    uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: _exact("pydicom"),
    uids.EXPLICIT_VR_BIG_ENDIAN: _exact("pydicom"),
    uids.RLE_LOSSLESS: _exact("pydicom", "gdcm"),
    uids.DEFLATED_IMAGE_FRAME: _exact("twin"),
    # Each rounds colour in its own way, and pylibjpeg upsamples it so too.
    uids.JPEG_BASELINE: Check(("gdcm", "pillow", "pylibjpeg"), {"gdcm": 1, "pillow": 1, "pylibjpeg": 3}),
    uids.JPEG_EXTENDED: Check(("gdcm", "pillow", "pylibjpeg"), {"gdcm": 1, "pillow": 1, "pylibjpeg": 3}),
    uids.JPEG_LOSSLESS: _exact("gdcm", "pylibjpeg"),
    uids.JPEG_LOSSLESS_FIRST_ORDER: _exact("gdcm", "pylibjpeg"),
    uids.JPEG_LS_LOSSLESS: _exact("gdcm", "pyjpegls", "pylibjpeg"),
    uids.JPEG_LS_NEAR_LOSSLESS: _exact("gdcm", "pyjpegls", "pylibjpeg"),
    uids.JPEG_2000_LOSSLESS: _exact("gdcm", "pillow", "pylibjpeg"),
    uids.JPEG_2000: _exact("gdcm", "pillow", "pylibjpeg"),
    uids.HTJ2K_LOSSLESS: _exact("pylibjpeg", "openjph"),
    uids.HTJ2K_LOSSLESS_RPCL: _exact("pylibjpeg", "openjph"),
    uids.HTJ2K: Check(("pylibjpeg", "openjph"), {"openjph": 1}),
    uids.JPEG_XL_LOSSLESS: _exact("source"),
    uids.JPEG_XL_JPEG_RECOMPRESSION: _exact("jpeg"),
    uids.JPEG_XL: Check(("source",), {"source": 8}),  # as the encoders of libjxl 0.11 and 0.12 lose
}
"""The check of each transfer syntax that can be decoded, by UID."""


def title(value: str) -> str:
    """A UID of the standard, short enough for the name of a test."""
    return value.removeprefix("1.2.840.10008.")
