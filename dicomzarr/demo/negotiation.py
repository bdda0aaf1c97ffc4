"""Which of the media types that a client accepts fits what is stored (PS3.18 section 8.7).

The server transcodes nothing: it gives what is stored, or says 406.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pydicom.uid import ExplicitVRLittleEndian

from dicomzarr.demo.frames import NATIVE

OCTET_STREAM = "application/octet-stream"

_JPEG_FAMILY = "1.2.840.10008.1.2.4."
_IMAGE_TYPES = {
    **dict.fromkeys(("50", "51", "57", "70"), "image/jpeg"),
    **dict.fromkeys(("80", "81"), "image/jls"),
    **dict.fromkeys(("90", "91"), "image/jp2"),
    **dict.fromkeys(("92", "93"), "image/jpx"),
    **dict.fromkeys(("201", "202", "203"), "image/jphc"),
    **dict.fromkeys(("110", "111", "112"), "image/jxl"),
}
_RLE_LOSSLESS = "1.2.840.10008.1.2.5"

_PARAMETER = r'\s*;\s*([\w-]+)\s*=\s*("[^"]*"|[^;,\s"]*)'
_RANGE = re.compile(rf"\s*([^\s;,]+)((?:{_PARAMETER})*)\s*(?:,|$)")


class Packaging(enum.Enum):
    """How bodies travel."""

    MULTIPART = enum.auto()
    SINGLE = enum.auto()


@dataclass(frozen=True, slots=True)
class Representation:
    """A media type together with a transfer syntax."""

    media_type: str
    transfer_syntax: str

    @property
    def content_type(self) -> str:
        """The Content-Type of one body."""
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax}"


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One entry of an Accept header; names in lower case, values unquoted."""

    media_type: str
    parameters: dict[str, str]


def frame_representation(transfer_syntax: str) -> Representation:
    """How frames are labelled: native ones as Explicit VR Little Endian, whatever the file was."""
    if transfer_syntax in NATIVE:
        return Representation(OCTET_STREAM, ExplicitVRLittleEndian)
    if transfer_syntax == _RLE_LOSSLESS:
        return Representation("image/dicom-rle", transfer_syntax)
    image_type = _IMAGE_TYPES.get(transfer_syntax.removeprefix(_JPEG_FAMILY), OCTET_STREAM)
    return Representation(image_type, transfer_syntax)


def choose_packaging(accept: str, stored: Representation, count: int) -> Packaging | None:
    """How ``count`` bodies may be sent, or None if the client accepts them in no way.

    A type without a transfer syntax means any of that type, except ``application/octet-stream``,
    which then means uncompressed.

    Args:
        accept: The Accept header; empty accepts everything.
        stored: What each body is.
        count: How many bodies are to be sent; only one can go without multipart.
    """
    for media_range in parse_accept(accept or "*/*"):
        if media_range.media_type in ("*/*", "multipart/*", "multipart/related"):
            wanted = media_range.parameters.get("type", "*/*").lower()
            packaging = Packaging.MULTIPART
        else:
            wanted = media_range.media_type
            packaging = Packaging.SINGLE
        syntax = media_range.parameters.get("transfer-syntax")
        fits = _fits(wanted, syntax, stored)
        if fits and (packaging is Packaging.MULTIPART or count == 1):
            return packaging
    return None


def parse_accept(accept: str) -> list[MediaRange]:
    """The entries of an Accept header, most wanted first; unreadable ones are left out."""
    ranges = []
    for match in _RANGE.finditer(accept):
        found = re.findall(_PARAMETER, match[2])
        parameters = {name.lower(): value.strip('"') for name, value in found}
        ranges.append(MediaRange(match[1].lower(), parameters))
    return sorted(ranges, key=lambda entry: -_quality(entry))


def _quality(media_range: MediaRange) -> float:
    try:
        return float(media_range.parameters.get("q", "1"))
    except ValueError:
        return 0.0


def _fits(wanted: str, syntax: str | None, stored: Representation) -> bool:
    if fnmatchcase(stored.media_type, wanted):
        return syntax in (None, "*", stored.transfer_syntax)
    return wanted == OCTET_STREAM and syntax in ("*", stored.transfer_syntax)
