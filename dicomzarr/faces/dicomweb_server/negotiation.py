"""Which of the media types that a client accepts is sent (PS3.18 section 8.7). Pure (no I/O)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom import uids
from dicomzarr.dicom.pixels.syntax import is_native
from dicomzarr.sources.http.media_type import MediaType

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OCTET_STREAM: Final = "application/octet-stream"
DICOM: Final = "application/dicom"
JSON: Final = "application/dicom+json"

_IMAGE_TYPES: Final = {
    **dict.fromkeys((uids.JPEG_BASELINE, uids.JPEG_EXTENDED, uids.JPEG_LOSSLESS), "image/jpeg"),
    uids.JPEG_LOSSLESS_FIRST_ORDER: "image/jpeg",
    **dict.fromkeys((uids.JPEG_LS_LOSSLESS, uids.JPEG_LS_NEAR_LOSSLESS), "image/jls"),
    **dict.fromkeys((uids.JPEG_2000_LOSSLESS, uids.JPEG_2000), "image/jp2"),
    **dict.fromkeys((uids.JPEG_2000_PART_2_LOSSLESS, "1.2.840.10008.1.2.4.93"), "image/jpx"),
    **dict.fromkeys((uids.HTJ2K_LOSSLESS, uids.HTJ2K_LOSSLESS_RPCL, uids.HTJ2K), "image/jphc"),
    **dict.fromkeys((uids.JPEG_XL_LOSSLESS, uids.JPEG_XL_JPEG_RECOMPRESSION, uids.JPEG_XL), "image/jxl"),
    uids.RLE_LOSSLESS: "image/dicom-rle",
}
"""Media types of transfer syntaxes (PS3.18 table 8.7.3-5); those of all others are octet streams."""

_ENTRY: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_MOST_ENTRIES: Final = 100
_MULTIPART: Final = frozenset({"multipart/*", "multipart/related"})


_BESIDE: Final = 2
"""How much more specific an entry is that says that there are parts."""


class Packaging(Enum):
    """How bodies travel."""

    MULTIPART = auto()
    SINGLE = auto()


@dataclass(frozen=True, slots=True)
class Representation:
    """A media type, with its transfer syntax where it has one."""

    media_type: str
    transfer_syntax: str = ""
    default: bool = True
    """Whether its media type alone, without a transfer syntax, means it."""

    @property
    def content_type(self) -> str:
        """The Content-Type of one body."""
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax}" if self.transfer_syntax else self.media_type


NATIVE: Final = Representation(OCTET_STREAM, uids.EXPLICIT_VR_LITTLE_ENDIAN)
"""Uncompressed pixels."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is sent, and how."""

    representation: Representation
    packaging: Packaging


@dataclass(frozen=True, slots=True)
class _Range:
    """One entry of an Accept header."""

    media_type: str
    """In lower case; of the parts, where there are parts."""
    transfer_syntax: str
    """Empty where none is named."""
    packaging: frozenset[Packaging]
    quality: float
    specificity: int
    """How much it names of what it may be."""


def stored_frames(transfer_syntax: str) -> Representation:
    """How stored frames are labelled: native ones as Explicit VR Little Endian, whatever the file is in."""
    if is_native(transfer_syntax):
        return NATIVE
    media_type = _IMAGE_TYPES.get(transfer_syntax)
    return Representation(media_type or OCTET_STREAM, transfer_syntax, default=media_type is not None)


def choose(accept: str, offers: Sequence[Representation], packagings: Iterable[Packaging]) -> Choice | None:
    """The best of what a client accepts, or None where nothing fits.

    Of several entries that name a representation the most specific one tells how much it is wanted, or that it is not
    (RFC 9110 section 12.5.1).

    With ``transfer-syntax=*`` octet streams stand for any stored frames, and the parts say what they are: so viewers
    ask. Else a part is of a media type and a transfer syntax that were named.

    Args:
        accept: The Accept header; empty accepts everything.
        offers: What there is, the preferred one first.
        packagings: How it can be sent, the preferred way first.
    """
    ranges = _ranges(accept or "*/*")
    packagings = tuple(packagings)
    for entry in ranges:
        for offer in offers:
            for packaging in packagings:
                if (
                    entry.quality > 0
                    and _names(entry, offer, packaging)
                    and not any(
                        other.specificity > entry.specificity
                        and other.quality < entry.quality
                        and _names(other, offer, packaging)
                        for other in ranges
                    )
                ):
                    return Choice(offer, packaging)
    return None


def accepts_gzip(accepted: str) -> bool:
    """Whether a body is to be gzipped (RFC 9110 section 12.5.3): where that is wanted as much as a plain one.

    Args:
        accepted: The Accept-Encoding header; empty accepts plain bodies alone.
    """
    codings = [MediaType.parse(text.strip()) for text in accepted.split(",")[:_MOST_ENTRIES]]
    wanted = {each.name: _quality(each.parameters.get("q", "1")) for each in codings}
    gzip = next((wanted[name] for name in ("gzip", "x-gzip", "*") if name in wanted), 0.0)
    return gzip > 0 and gzip >= wanted.get("identity", 0.0)


def _ranges(accept: str) -> list[_Range]:
    """The entries of an Accept header, the most wanted first."""
    entries = [MediaType.parse(text.strip()) for text in _ENTRY.findall(accept)[:_MOST_ENTRIES]]
    ranges = [_range(entry) for entry in entries if entry.name]
    return sorted(ranges, key=lambda each: -each.quality)


def _range(entry: MediaType) -> _Range:
    syntax, quality = entry.parameters.get("transfer-syntax", ""), _quality(entry.parameters.get("q", "1"))
    if entry.name == "*/*":
        return _Range("*/*", syntax, frozenset(Packaging), quality, _names_syntax(syntax))
    if entry.name not in _MULTIPART:
        # Who wants none of a media type wants none in parts either.
        packaging = frozenset({Packaging.SINGLE} if quality > 0 else Packaging)
        return _Range(entry.name, syntax, packaging, quality, _depth(entry.name) + _names_syntax(syntax))
    inner = MediaType.parse(entry.parameters.get("type", "*/*"))
    syntax = syntax or inner.parameters.get("transfer-syntax", "")  # some write it within the quotes of the type
    depth = _BESIDE + _depth(inner.name or "*/*") + _names_syntax(syntax)
    return _Range(inner.name or "*/*", syntax, frozenset({Packaging.MULTIPART}), quality, depth)


def _depth(media_type: str) -> int:
    """How specific a media type is; it counts for more than a transfer syntax."""
    return 0 if media_type == "*/*" else 2 if media_type.endswith("/*") else 4


def _names_syntax(syntax: str) -> int:
    return int(syntax not in {"", "*"})


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if quality > 0 else 0.0  # which nan is not


def _names(entry: _Range, offer: Representation, packaging: Packaging) -> bool:
    return packaging in entry.packaging and _fits(entry, offer)


def _fits(entry: _Range, offer: Representation) -> bool:
    syntax = entry.transfer_syntax
    named = fnmatchcase(offer.media_type, entry.media_type) or (entry.media_type == OCTET_STREAM and syntax)
    if not named or not offer.transfer_syntax:
        return bool(named)
    return syntax in {"*", offer.transfer_syntax} or (not syntax and offer.default)
