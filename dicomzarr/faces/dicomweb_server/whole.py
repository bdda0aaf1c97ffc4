"""Whole instances as Part-10 files: as they are stored, or in Explicit VR Little Endian."""

from __future__ import annotations

import struct
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiohttp import web

from dicomzarr.dicom import uids
from dicomzarr.dicom.pixels.syntax import TRANSFER_SYNTAXES, is_native
from dicomzarr.faces.dicomweb_server.native import joined_frames, keeps_cells
from dicomzarr.faces.dicomweb_server.negotiation import DICOM, Representation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dicomzarr.dicom.pixels.pixels import PixelDescription
    from dicomzarr.faces.dicomweb_server.holdings import Holdings

_LONGEST: Final = 2**32 - 2
"""Bytes of a value whose length is not undefined."""

_BYTE: Final = 8
_TABLES: Final = dict.fromkeys(("ExtendedOffsetTable", "ExtendedOffsetTableLengths"))
_PIXEL_DATA: Final = 0x0010
_FLOAT: Final = 0x0008
_DOUBLE: Final = 0x0009


class Whole(NamedTuple):
    """One instance on its way."""

    content_type: str
    length: int
    """Bytes of it."""
    pieces: Iterable[bytes]
    """Its bytes, read when they are asked for."""


def offers_of(stored: str) -> Sequence[Representation]:
    """What an instance can be had as, as it is stored first.

    Explicit VR Little Endian is meant where no transfer syntax is named, unless what is stored is lossy or cannot be
    decoded (PS3.18 section 8.7.3.5).
    """
    syntax = TRANSFER_SYNTAXES.get(stored)
    if syntax is None or stored == uids.EXPLICIT_VR_LITTLE_ENDIAN:
        return [Representation(DICOM, stored)]
    return [
        Representation(DICOM, stored, default=syntax.lossy),
        Representation(DICOM, uids.EXPLICIT_VR_LITTLE_ENDIAN, default=not syntax.lossy),
    ]


def whole_instance(holdings: Holdings, instance: Any, stored: str, wanted: str) -> Whole:
    """An instance in one of the transfer syntaxes that `offers_of` gives; waits for the disk.

    Raises:
        FileError: Its file is broken.
        HTTPNotAcceptable: It becomes larger than Explicit VR Little Endian can be.
    """
    content_type = Representation(DICOM, wanted).content_type
    if wanted == stored:
        return Whole(content_type, holdings.size(instance), holdings.pieces(instance))
    if "00280010" not in instance.shown:
        head = holdings.rewritten(instance, {})
        return Whole(content_type, len(head), [head])
    pixel, frames = holdings.pixel(instance), holdings.frames(instance)
    length, pieces = joined_frames(frames, pixel, instance.uid)
    if length > _LONGEST:
        raise web.HTTPNotAcceptable(text="It is too large for Explicit VR Little Endian: ask for transfer-syntax=*.\n")
    padding = bytes(length % 2)
    changes: dict[str, Any] = dict(_TABLES)
    if pixel.samples > 1 and not is_native(stored) and not keeps_cells(stored):
        changes["PhotometricInterpretation"] = "RGB"
    head = holdings.rewritten(instance, changes) + _element(pixel, length + len(padding))
    return Whole(content_type, len(head) + length + len(padding), chain([head], pieces, [padding]))


def _element(pixel: PixelDescription, length: int) -> bytes:
    """The tag, VR and length of pixel data (PS3.5 section 7.1.2)."""
    if pixel.floating:
        number, vr = (_FLOAT, b"OF") if pixel.bits_allocated <= 4 * _BYTE else (_DOUBLE, b"OD")
    else:
        number, vr = _PIXEL_DATA, b"OW" if pixel.bits_allocated > _BYTE else b"OB"
    return struct.pack("<HH2sHI", 0x7FE0, number, vr, 0, length)
