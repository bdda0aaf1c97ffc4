"""Which transfer syntax is meant, whether it can be decoded, and what the bytes of a frame say themselves."""

from __future__ import annotations

from typing import Final

from dicomzarr.dicom import uids
from dicomzarr.dicom.pixels import jpeg2000_markers, jpeg_markers, jpegxl_markers
from dicomzarr.dicom.pixels.codestream import Codec, Codestream
from dicomzarr.dicom.pixels.syntax_table import TRANSFER_SYNTAXES, TransferSyntax, transfer_syntax_name, uid_name
from dicomzarr.errors import UnsupportedTransferSyntaxError

__all__ = [
    "TRANSFER_SYNTAXES",
    "Codec",
    "TransferSyntax",
    "check_openable",
    "is_native",
    "likely_uid",
    "read_codestream",
    "sniff",
    "transfer_syntax",
    "transfer_syntax_name",
]

# Their pixels are a film in MPEG-2, H.264 or HEVC, unless the metadata name another transfer syntax.
_VIDEO_CLASSES: Final = frozenset(
    {
        uids.VIDEO_ENDOSCOPIC_IMAGE_STORAGE,
        uids.VIDEO_MICROSCOPIC_IMAGE_STORAGE,
        uids.VIDEO_PHOTOGRAPHIC_IMAGE_STORAGE,
    }
)

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

_LONGEST_MAGIC: Final = 12


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
            remedy="Have the image stored in another, such as Explicit VR Little Endian.",
            uid=bare,
        )
    return found


def is_native(uid: str) -> bool:
    """Whether frames of this transfer syntax are plain pixels, no codestreams."""
    found = TRANSFER_SYNTAXES.get(uid.strip(" \0"))
    return found is not None and found.codec is Codec.NATIVE


def check_openable(available_transfer_syntax_uid: str | None, sop_class_uid: str, where: str) -> None:
    """Refuses, before a frame is asked for, an instance of which the metadata tell that it cannot be decoded.

    Args:
        available_transfer_syntax_uid: AvailableTransferSyntaxUID (0008,3002); None where it is absent.
        sop_class_uid: SOPClassUID (0008,0016); empty where it is absent.
        where: Study, series and instance, for messages.

    Raises:
        UnsupportedTransferSyntaxError: The transfer syntax is none that can be decoded; or nobody tells it, and the
            SOP class is one of video.
    """
    available = (available_transfer_syntax_uid or "").strip(" \0")
    if available:
        transfer_syntax(available, where=where)
        return
    bare = sop_class_uid.strip(" \0")
    if bare in _VIDEO_CLASSES:
        raise UnsupportedTransferSyntaxError(
            f"{where}: the SOP class {bare!r} ({uid_name(bare)}) holds video, in a transfer syntax of MPEG-2, H.264 or"
            " HEVC that is not supported.",
            remedy="Read it with a video player, or have it stored as single frames.",
        )


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
    magic = bytes(data[:_LONGEST_MAGIC])  # a native frame is never copied
    if magic.startswith(jpeg_markers.MAGIC):
        return jpeg_markers.read_jpeg(bytes(data))
    if magic.startswith((jpeg2000_markers.MAGIC, jpeg2000_markers.JP2_MAGIC)):
        return jpeg2000_markers.read_jpeg2000(bytes(data))
    if magic.startswith((jpegxl_markers.MAGIC, jpegxl_markers.BOX_MAGIC)):
        return jpegxl_markers.read_jpegxl(bytes(data))
    return None


def sniff(data: bytes | memoryview) -> Codec | None:
    """The codec that the bytes themselves name; None when they are no readable codestream."""
    try:
        codestream = read_codestream(data)
    except ValueError:
        return None
    return None if codestream is None else codestream.codec
