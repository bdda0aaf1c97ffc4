"""What the markers of a compressed frame say about it, before a single pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dicomzarr.dicom.pixels.jpeg_scans import JpegScans


class Codec(Enum):
    """How a frame is coded. The value is the name that messages use."""

    NATIVE = "uncompressed"
    JPEG = "JPEG"
    JPEG_LOSSLESS = "JPEG Lossless"
    JPEG_LS = "JPEG-LS"
    JPEG_2000 = "JPEG 2000"
    HTJ2K = "HTJ2K"
    JPEG_XL = "JPEG XL"
    RLE = "RLE"
    DEFLATED = "deflated"


class Colour(Enum):
    """What the three components of a colour codestream are."""

    RGB = "RGB"
    """Red, green and blue come out of the codec."""
    YBR = "YBR"
    """Luminance and colour differences, full range (PS3.3 section C.7.6.3.1.2)."""


@dataclass(frozen=True, slots=True, eq=False)
class Codestream:
    """The markers of one codestream, read without decoding and without allocating an image.

    JPEGs with the same header have one and the same, whole ones: what is known of it is known of all of them.
    """

    codec: Codec
    """The codec that its markers belong to, whatever its label says."""
    rows: int
    """Rows of pixels; 0 where a JPEG leaves it open."""
    columns: int
    """Columns of pixels."""
    samples: int
    """Components: 1, or 3 for colour."""
    precision: int
    """Bits of one value."""
    signed: bool
    """Values are two's complement; only JPEG 2000 and HTJ2K can say so."""
    lossy: bool
    """The coding is not reversible, so a value may have moved, even past its range."""
    colour: Colour | None
    """What the codestream itself proves about its colour; None when it proves nothing."""
    complete: bool
    """Its end is where its markers say; False when it was cut off. JPEG XL marks none: the decoder alone sees it."""
    start: int = 0
    """Bytes of file format boxes before it (JP2)."""
    holds_jpeg: bool = False
    """The JPEG that it was made from can be had back, bit for bit; only JPEG XL can do so."""
    open_ended: bool = False
    """Only decoding tells how much there is to decode: a JPEG XL may be drawn of any number of layers."""
    scans: JpegScans | None = None
    """How the scans of a JPEG or JPEG Lossless are laid out; None for other codecs."""
