"""What passes for a UID, and UIDs that the code compares with: transfer syntaxes, SOP classes of slides and video."""

from __future__ import annotations

import re
from typing import Final

_SEGMENT: Final = re.compile(r"(?=.*[0-9])(?!.*\.zarr$)[A-Za-z0-9._~=+-]{1,128}", re.ASCII)
"""One segment of a URL's path that means itself in any client, server and proxy (RFC 3986 section 3.3).

Characters that would have to be percent-encoded are left out, as servers differ in decoding them. A digit is asked for:
hashes and GUIDs have one, ``..`` and people's names have none, so that no name which stands in the place of a UID gets
into messages. What ends in ``.zarr`` could not be told from a series that is asked for under that suffix.
"""

_ORDINARY: Final = re.compile(r"[0-9.]+", re.ASCII)


def is_uid(text: str) -> bool:
    """Whether a text can address a study, series or instance.

    Servers list what they were sent: besides UIDs (PS3.5 section 9), which may be too long or have leading zeros, these
    are hashes, GUIDs and hexadecimal numbers that de-identification puts in their place.
    """
    return _SEGMENT.fullmatch(text) is not None


def is_ordinary(text: str) -> bool:
    """Whether a text is spelled as the standard has it, of digits and dots."""
    return _ORDINARY.fullmatch(text) is not None


IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
EXPLICIT_VR_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1.98"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1.99"

JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED: Final = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS: Final = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_FIRST_ORDER: Final = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS: Final = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR_LOSSLESS: Final = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS: Final = "1.2.840.10008.1.2.4.90"
JPEG_2000: Final = "1.2.840.10008.1.2.4.91"
JPEG_2000_PART_2_LOSSLESS: Final = "1.2.840.10008.1.2.4.92"
HTJ2K_LOSSLESS: Final = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL: Final = "1.2.840.10008.1.2.4.202"
HTJ2K: Final = "1.2.840.10008.1.2.4.203"

RLE_LOSSLESS: Final = "1.2.840.10008.1.2.5"
JPEG_XL_LOSSLESS: Final = "1.2.840.10008.1.2.4.110"
JPEG_XL_JPEG_RECOMPRESSION: Final = "1.2.840.10008.1.2.4.111"
JPEG_XL: Final = "1.2.840.10008.1.2.4.112"
DEFLATED_IMAGE_FRAME: Final = "1.2.840.10008.1.2.8.1"

CT_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
X_RAY_ANGIOGRAPHIC_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.12.1"
X_RAY_RADIOFLUOROSCOPIC_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.12.2"
X_RAY_ANGIOGRAPHIC_BI_PLANE_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.12.3"
"""Retired."""
MR_SPECTROSCOPY_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.4.2"
"""Its Rows and Columns are those of spectra: it holds no pixels."""
SEGMENTATION_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.66.4"
PARAMETRIC_MAP_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.30"
SECONDARY_CAPTURES: Final = frozenset(f"1.2.840.10008.5.1.4.1.1.7{kind}" for kind in ("", ".1", ".2", ".3", ".4"))
"""Secondary Capture Image Storage, and those of several frames."""
LABEL_MAP_SEGMENTATION_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.66.7"
VL_WHOLE_SLIDE_MICROSCOPY_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
CONFOCAL_MICROSCOPY_TILED_PYRAMIDAL_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.77.1.9"

VIDEO_ENDOSCOPIC_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.77.1.1.1"
VIDEO_MICROSCOPIC_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.77.1.2.1"
VIDEO_PHOTOGRAPHIC_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.77.1.4.1"
