"""A JPEG frame as a browser shows it with the values that it decodes to here, coded data untouched.

Browsers decode with libjpeg-turbo, as we do. But they go by JFIF before they go by Adobe's marker, take colour that
nothing marks for YCbCr, turn pictures by Exif, and convert colours by ICC profiles. So all application segments and
comments are left out, which may hold text about the patient besides, and Adobe's marker says what the components are.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.pixels.codestream import Codec, Colour
from dicomzarr.dicom.pixels.jpeg_markers import MAGIC, read_jpeg, segments

if TYPE_CHECKING:
    from dicomzarr.dicom.pixels.pixels import PixelDescription

_BYTE: Final = 8
_DROPPED: Final = frozenset({*range(0xE0, 0xF0), 0xFE})  # APPn, COM
_DROPPED_LATER: Final = re.compile(rb"\xff[\xe0-\xef\xfe]")
_START_OF_SCAN: Final = b"\xff\xda"
_END_OF_IMAGE: Final = b"\xff\xd9"
_ADOBE: Final = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"  # without its last byte, the transform
_TRANSFORM: Final = {Colour.RGB: b"\0", Colour.YBR: b"\1"}
_MOST_SCANS: Final = 100  # as many as are decoded here


def displayable_jpeg(data: bytes, pixel: PixelDescription) -> bytes | None:
    """The frame as a JPEG that browsers decode to its stored values.

    Args:
        data: The encoded frame.
        pixel: What the metadata say of it.

    Returns:
        None where it is no whole JPEG of eight bits, or not of the size and samples of the metadata.
    """
    if not data.startswith(MAGIC) or (pixel.bits_allocated, pixel.bits_stored) != (_BYTE, _BYTE) or pixel.signed:
        return None
    try:
        found = read_jpeg(data)
    except ValueError:
        return None
    shape = (found.samples, found.rows, found.columns)
    if found.codec is not Codec.JPEG or found.precision != _BYTE or shape != pixel.shape or found.scans is None:
        return None
    colour = found.colour
    if colour is None and pixel.samples > 1:
        colour = Colour.YBR if pixel.photometric_interpretation.startswith("YBR") else Colour.RGB
    start = found.scans.start
    end = data.find(_END_OF_IMAGE, start) + len(_END_OF_IMAGE)  # what follows may hold anything
    if end < start or _DROPPED_LATER.search(data, start, end) or data.count(_START_OF_SCAN, start, end) > _MOST_SCANS:
        return None
    return _header(data[:start], colour) + data[start:end]


@lru_cache(maxsize=64)
def _header(header: bytes, colour: Colour | None) -> bytes:
    """All up to the first coded byte; the tiles of a slide have one and the same."""
    kept = [header[:2]]
    if colour is not None:
        kept.append(_ADOBE + _TRANSFORM[colour])
    kept += [
        b"\xff" + bytes([marker]) + header[start - 2 : end]
        for marker, start, end in segments(header)
        if marker not in _DROPPED
    ]
    return b"".join(kept)
