"""How a data set is written: as its File Meta Information says (PS3.10 section 7.1), or as it shows without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from dicomzarr.dicom import uids
from dicomzarr.dicom.files.elements import Encoding, cut_off, element_at, end_of
from dicomzarr.errors import InvalidFileError, TruncatedFileError

if TYPE_CHECKING:
    from dicomzarr.dicom.files.random_access import RandomAccess

_PREAMBLE: Final = 128
_MAGIC: Final = b"DICM"
_META_GROUP: Final = 0x0002
_TRANSFER_SYNTAX_UID: Final = 0x00020010

_FIRST_GROUP: Final = 0x0008
"""Of the attributes that a data set of an image begins with: group 0008 holds its UIDs."""

_LONGEST_FIRST: Final = 1024
"""Bytes of the value that a data set may begin with; beyond that the bytes only look like one."""

_LONGEST_UID: Final = 130

ENOUGH: Final = 2048
"""Bytes of a file by which `is_dicom` tells what it is."""


class FileMeta(NamedTuple):
    """The File Meta Information, as far as it is needed."""

    transfer_syntax_uid: str
    end: int
    """Offset in bytes behind it, where the data set begins."""
    whole: bool = True
    """The file has a preamble, and names its transfer syntax as it should; else it is no whole Part-10 file."""

    def encoding(self, data: RandomAccess, at: int) -> Encoding:
        """How the data set is written that begins at an offset; some files write VRs, or none, against their syntax."""
        big_endian = self.transfer_syntax_uid == uids.EXPLICIT_VR_BIG_ENDIAN
        return Encoding(explicit=_has_vr(data, at), big_endian=big_endian)

    @property
    def deflated(self) -> bool:
        """The data set is to be inflated (RFC 1951) before it can be read."""
        return self.transfer_syntax_uid == uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN


def read_file_meta(data: RandomAccess) -> FileMeta:
    """Read the File Meta Information; older files lack it, its preamble, or the transfer syntax in it.

    Raises:
        InvalidFileError: The bytes are no DICOM file, or their transfer syntax cannot be told.
        TruncatedFileError: They end within it.
    """
    start = _start(data)
    if start is None:
        raise InvalidFileError("What came is no DICOM file: DICM does not stand at byte 128.")
    at, syntax = start, ""
    written = Encoding(explicit=_has_vr(data, start), big_endian=False)  # some lack VRs, against PS3.10 section 7.1
    while _group_at(data, at) == _META_GROUP:
        element = element_at(data, at, written)
        at = end_of(data, element, written)
        if element.tag == _TRANSFER_SYNTAX_UID:
            syntax = bytes(data[element.start : at][:_LONGEST_UID]).decode("latin-1").strip(" \0")
    if syntax:
        return FileMeta(syntax, at, whole=written.explicit and start == _PREAMBLE + len(_MAGIC))
    encoding = _shown(data, at)
    if encoding is None:
        raise InvalidFileError("The DICOM file names no transfer syntax.")
    if encoding.big_endian:
        return FileMeta(uids.EXPLICIT_VR_BIG_ENDIAN, at, whole=False)
    is_explicit = uids.EXPLICIT_VR_LITTLE_ENDIAN if encoding.explicit else uids.IMPLICIT_VR_LITTLE_ENDIAN
    return FileMeta(is_explicit, at, whole=False)


def is_dicom(beginning: bytes | memoryview) -> bool:
    """Whether a file begins as DICOM does; its first `ENOUGH` bytes, or all of it, are needed."""
    data = memoryview(beginning)
    return len(data) >= _PREAMBLE + len(_MAGIC) and _start(data) is not None


def _start(data: RandomAccess) -> int | None:
    """Where the File Meta Information begins, or a data set without it; None where neither does."""
    behind_preamble = _PREAMBLE + len(_MAGIC)
    if _MAGIC.startswith(bytes(data[_PREAMBLE:behind_preamble])):
        return behind_preamble  # or the bytes end before that
    start = len(_MAGIC) if bytes(data[0 : len(_MAGIC)]) == _MAGIC else 0
    is_meta = _group_at(data, start) == _META_GROUP and _has_vr(data, start)
    return start if is_meta or _shown(data, start) is not None else None


def _shown(data: RandomAccess, at: int) -> Encoding | None:
    """How a data set without File Meta Information is written; None where the bytes do not look like one."""
    for big_endian in (False, True):
        encoding = Encoding(explicit=_has_vr(data, at), big_endian=big_endian)
        try:
            first = element_at(data, at, encoding)
            following = element_at(data, first.start + min(first.length, _LONGEST_FIRST), encoding)
        except (InvalidFileError, TruncatedFileError):
            continue
        in_order = first.tag < following.tag and first.length <= _LONGEST_FIRST
        if (
            in_order
            and first.tag >> 16 == following.tag >> 16 == _FIRST_GROUP
            and (encoding.explicit or not big_endian)
        ):
            return encoding
    return None


def _has_vr(data: RandomAccess, at: int) -> bool:
    vr = bytes(data[at + 4 : at + 6])
    return vr.isalpha() and vr.isupper()


def _group_at(data: RandomAccess, at: int) -> int:
    group = data[at : at + 2]
    if len(group) < 2:  # noqa: PLR2004  # bytes of a number
        raise cut_off(len(data))
    return int.from_bytes(group, "little")
