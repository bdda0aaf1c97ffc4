"""Transfer syntaxes as one table, and what the bytes of a frame say themselves (PS3.5 chapter 10).

A new transfer syntax that an existing codec decodes is one more row in ``TRANSFER_SYNTAXES``.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom import jpeg2000_markers, jpeg_markers, uids
from dicomzarr.dicom.codestream import Codec, Codestream
from dicomzarr.errors import UnsupportedTransferSyntaxError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "TRANSFER_SYNTAXES",
    "Codec",
    "TransferSyntax",
    "is_native",
    "likely_uid",
    "read_codestream",
    "sniff",
    "transfer_syntax",
    "transfer_syntax_name",
]


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """One transfer syntax that can be decoded."""

    uid: str
    """Its UID (PS3.6 table A-1)."""
    name: str
    """Its name as PS3.6 spells it, shortened."""
    codec: Codec
    """What decodes its frames."""
    lossy: bool = False
    """It allows coding that loses information."""


_ROWS: Final = (
    TransferSyntax(uids.IMPLICIT_VR_LITTLE_ENDIAN, "Implicit VR Little Endian", Codec.NATIVE),
    TransferSyntax(uids.EXPLICIT_VR_LITTLE_ENDIAN, "Explicit VR Little Endian", Codec.NATIVE),
    TransferSyntax(
        uids.ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN,
        "Encapsulated Uncompressed Explicit VR Little Endian",
        Codec.NATIVE,
    ),
    # The data set is deflated as a whole: a frame cut from it is native.
    TransferSyntax(
        uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        "Deflated Explicit VR Little Endian",
        Codec.NATIVE,
    ),
    TransferSyntax(uids.JPEG_BASELINE, "JPEG Baseline", Codec.JPEG, lossy=True),
    TransferSyntax(uids.JPEG_EXTENDED, "JPEG Extended", Codec.JPEG, lossy=True),
    TransferSyntax(uids.JPEG_LOSSLESS, "JPEG Lossless", Codec.JPEG_LOSSLESS),
    TransferSyntax(
        uids.JPEG_LOSSLESS_FIRST_ORDER,
        "JPEG Lossless, First-Order Prediction",
        Codec.JPEG_LOSSLESS,
    ),
    TransferSyntax(uids.JPEG_LS_LOSSLESS, "JPEG-LS Lossless", Codec.JPEG_LS),
    TransferSyntax(uids.JPEG_LS_NEAR_LOSSLESS, "JPEG-LS Near-Lossless", Codec.JPEG_LS, lossy=True),
    TransferSyntax(uids.JPEG_2000_LOSSLESS, "JPEG 2000 Lossless", Codec.JPEG_2000),
    TransferSyntax(uids.JPEG_2000, "JPEG 2000", Codec.JPEG_2000, lossy=True),
    TransferSyntax(uids.HTJ2K_LOSSLESS, "HTJ2K Lossless", Codec.HTJ2K),
    TransferSyntax(uids.HTJ2K_LOSSLESS_RPCL, "HTJ2K Lossless RPCL", Codec.HTJ2K),
    TransferSyntax(uids.HTJ2K, "HTJ2K", Codec.HTJ2K, lossy=True),
)

TRANSFER_SYNTAXES: Final[Mapping[str, TransferSyntax]] = MappingProxyType({row.uid: row for row in _ROWS})
"""Every transfer syntax that can be decoded, by UID."""

# Registered since the dictionary of pydicom 3.0.
_NEWER_NAMES: Final = {
    uids.JPEG_XL_LOSSLESS: "JPEG XL Lossless",
    uids.JPEG_XL_JPEG_RECOMPRESSION: "JPEG XL JPEG Recompression",
    uids.JPEG_XL: "JPEG XL",
    uids.DEFLATED_IMAGE_FRAME: "Deflated Image Frame Compression",
}

# PS3.18 section 8.7.3: the transfer syntax that a media type means when none is named.
_DEFAULT_OF_MEDIA_TYPE: Final = {
    "application/octet-stream": uids.EXPLICIT_VR_LITTLE_ENDIAN,
    "image/jpeg": uids.JPEG_LOSSLESS_FIRST_ORDER,
    "image/jls": uids.JPEG_LS_LOSSLESS,
    "image/jp2": uids.JPEG_2000_LOSSLESS,
    "image/jpx": uids.JPEG_2000_PART_2_LOSSLESS,
    "image/jphc": uids.HTJ2K_LOSSLESS,
    "image/jxl": uids.JPEG_XL_LOSSLESS,
    "image/dicom-rle": uids.RLE_LOSSLESS,
}


def transfer_syntax(uid: str, *, where: str = "") -> TransferSyntax:
    """The transfer syntax of a UID; padding of the UID is ignored.

    Args:
        uid: The transfer syntax UID.
        where: What it belongs to, for the message: study, series, instance and frame.

    Raises:
        UnsupportedTransferSyntaxError: It cannot be decoded.
    """
    bare = uid.strip(" \0")
    found = TRANSFER_SYNTAXES.get(bare)
    if found is None:
        subject = f"{where}: the" if where else "The"
        raise UnsupportedTransferSyntaxError(
            f"{subject} transfer syntax {bare!r} ({transfer_syntax_name(bare)}) is not supported.",
            remedy="Ask the server for another, such as Explicit VR Little Endian.",
            uid=bare,
        )
    return found


def is_native(uid: str) -> bool:
    """Whether frames of this transfer syntax are plain pixels, no codestreams."""
    found = TRANSFER_SYNTAXES.get(uid.strip(" \0"))
    return found is not None and found.codec is Codec.NATIVE


def transfer_syntax_name(uid: str) -> str:
    """The name of any transfer syntax, supported or not, for messages."""
    if uid in TRANSFER_SYNTAXES:
        return TRANSFER_SYNTAXES[uid].name
    from pydicom.config import IGNORE  # noqa: PLC0415  # a third of a second, for an error's sake only
    from pydicom.uid import UID  # noqa: PLC0415  # as above

    known = UID(uid, validation_mode=IGNORE)
    return _NEWER_NAMES.get(uid) or (known.name if known.name != uid else "private or unknown")


def likely_uid(media_type: str) -> str | None:
    """The transfer syntax that a part without one most likely has; None when nothing is known.

    Args:
        media_type: A media type as ``image/jpeg``; its parameters are ignored.
    """
    return _DEFAULT_OF_MEDIA_TYPE.get(media_type.partition(";")[0].strip().lower())


def read_codestream(data: bytes | memoryview) -> Codestream | None:
    """Reads the markers of a compressed frame; None when it begins with no magic number.

    Raises:
        ValueError: It begins as a codestream but its markers are broken; says how.
    """
    magic = bytes(data[: len(jpeg2000_markers.JP2_MAGIC)])  # a native frame is never copied
    if magic.startswith(jpeg_markers.MAGIC):
        return jpeg_markers.read_jpeg(bytes(data))
    if magic.startswith((jpeg2000_markers.MAGIC, jpeg2000_markers.JP2_MAGIC)):
        return jpeg2000_markers.read_jpeg2000(bytes(data))
    return None


def sniff(data: bytes | memoryview) -> Codec | None:
    """The codec that the bytes themselves name; None when they are no readable codestream."""
    try:
        codestream = read_codestream(data)
    except ValueError:
        return None
    return None if codestream is None else codestream.codec
