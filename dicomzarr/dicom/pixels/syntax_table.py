"""The transfer syntaxes that can be decoded, as one table (PS3.5 chapter 10), and the names of all.

A new transfer syntax that an existing codec decodes is its UID in `uids` and one more row of ``_ROWS``. The tests then
ask for frames of it, and for what they are compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom import uids
from dicomzarr.dicom.pixels.codestream import Codec

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    big_endian: bool = False
    """Cells of native frames begin with their most significant byte."""


_ROWS: Final = (
    TransferSyntax(uids.IMPLICIT_VR_LITTLE_ENDIAN, "Implicit VR Little Endian", Codec.NATIVE),
    TransferSyntax(uids.EXPLICIT_VR_LITTLE_ENDIAN, "Explicit VR Little Endian", Codec.NATIVE),
    TransferSyntax(
        uids.ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN,
        "Encapsulated Uncompressed Explicit VR Little Endian",
        Codec.NATIVE,
    ),
    # The data set is deflated as a whole: a frame cut from it is native.
    TransferSyntax(uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, "Deflated Explicit VR Little Endian", Codec.NATIVE),
    TransferSyntax(uids.EXPLICIT_VR_BIG_ENDIAN, "Explicit VR Big Endian", Codec.NATIVE, big_endian=True),
    TransferSyntax(uids.RLE_LOSSLESS, "RLE Lossless", Codec.RLE),
    TransferSyntax(uids.DEFLATED_IMAGE_FRAME, "Deflated Image Frame Compression", Codec.DEFLATED),
    TransferSyntax(uids.JPEG_BASELINE, "JPEG Baseline", Codec.JPEG, lossy=True),
    TransferSyntax(uids.JPEG_EXTENDED, "JPEG Extended", Codec.JPEG, lossy=True),
    TransferSyntax(uids.JPEG_LOSSLESS, "JPEG Lossless", Codec.JPEG_LOSSLESS),
    TransferSyntax(uids.JPEG_LOSSLESS_FIRST_ORDER, "JPEG Lossless, First-Order Prediction", Codec.JPEG_LOSSLESS),
    TransferSyntax(uids.JPEG_LS_LOSSLESS, "JPEG-LS Lossless", Codec.JPEG_LS),
    TransferSyntax(uids.JPEG_LS_NEAR_LOSSLESS, "JPEG-LS Near-Lossless", Codec.JPEG_LS, lossy=True),
    TransferSyntax(uids.JPEG_2000_LOSSLESS, "JPEG 2000 Lossless", Codec.JPEG_2000),
    TransferSyntax(uids.JPEG_2000, "JPEG 2000", Codec.JPEG_2000, lossy=True),
    TransferSyntax(uids.HTJ2K_LOSSLESS, "HTJ2K Lossless", Codec.HTJ2K),
    TransferSyntax(uids.HTJ2K_LOSSLESS_RPCL, "HTJ2K Lossless RPCL", Codec.HTJ2K),
    TransferSyntax(uids.HTJ2K, "HTJ2K", Codec.HTJ2K, lossy=True),
    TransferSyntax(uids.JPEG_XL_LOSSLESS, "JPEG XL Lossless", Codec.JPEG_XL),
    TransferSyntax(uids.JPEG_XL_JPEG_RECOMPRESSION, "JPEG XL JPEG Recompression", Codec.JPEG_XL, lossy=True),
    TransferSyntax(uids.JPEG_XL, "JPEG XL", Codec.JPEG_XL, lossy=True),
)

TRANSFER_SYNTAXES: Final[Mapping[str, TransferSyntax]] = MappingProxyType({row.uid: row for row in _ROWS})
"""Every transfer syntax that can be decoded, by UID."""


def transfer_syntax_name(uid: str) -> str:
    """The name of any transfer syntax, supported or not, for messages."""
    if uid in TRANSFER_SYNTAXES:
        return TRANSFER_SYNTAXES[uid].name
    return uid_name(uid) or "private or unknown"


def uid_name(uid: str) -> str:
    """The name of a registered UID; empty where it is not registered (PS3.6 table A-1)."""
    from pydicom.config import IGNORE  # noqa: PLC0415  # a third of a second, for an error's sake only
    from pydicom.uid import UID  # noqa: PLC0415  # as above

    name = UID(uid, validation_mode=IGNORE).name
    return "" if name == uid else name
