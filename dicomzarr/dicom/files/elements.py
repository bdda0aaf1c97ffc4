"""Data elements of a data set in its bytes: where each lies, without reading its value (PS3.5 chapter 7)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from dicomzarr.errors import InvalidFileError, TruncatedFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.dicom.files.random_access import RandomAccess

UNDEFINED: Final = 0xFFFFFFFF
"""The length of a value that a delimiter ends (PS3.5 section 7.1.1)."""

ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD

DELIMITERS: Final = 0xFFFE
_MOST: Final = 1 << 18  # elements of a data set, beside those in its sequences; real ones stay below a thousand
DEEPEST: Final = 64  # sequences within sequences; real ones stay below ten
# Every other VR, those yet to come included, has a length of 32 bits (PS3.5 section 7.1.2).
_SHORT_VRS: Final = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())


_BEGINNINGS: Final = (struct.Struct("<HH2sH"), struct.Struct(">HH2sH"))
"""Tag, VR and short length, in either byte order."""

_LENGTHS: Final = (struct.Struct("<I"), struct.Struct(">I"))


class Encoding(NamedTuple):
    """How data elements are written."""

    explicit: bool
    """The VR of each stands in it."""
    big_endian: bool

    @property
    def order(self) -> str:
        """The byte order, as ``struct`` spells it."""
        return ">" if self.big_endian else "<"


IMPLICIT_LITTLE: Final = Encoding(explicit=False, big_endian=False)
EXPLICIT_LITTLE: Final = Encoding(explicit=True, big_endian=False)


class Element(NamedTuple):
    """Where one data element lies."""

    tag: int
    vr: bytes
    """Two letters; empty where the encoding does not write it."""
    at: int
    """Offset of its tag in bytes."""
    start: int
    """Offset of its value in bytes."""
    length: int
    """Bytes of its value, or ``UNDEFINED``."""


def cut_off(length: int) -> TruncatedFileError:
    """The error for bytes that end within an element."""
    return TruncatedFileError(f"The DICOM data end early, after {length} bytes.")


def element_at(data: RandomAccess, at: int, encoding: Encoding) -> Element:
    """Read the tag, the VR and the length of the element that begins at an offset.

    Raises:
        TruncatedFileError: The data end within them.
        InvalidFileError: There is no VR where one should be.
    """
    explicit, big_endian = encoding
    header = data[at : at + 8]  # no more than it has: what is behind it may be far away
    try:
        group, number, vr, short = _BEGINNINGS[big_endian].unpack(header)
        tag = group << 16 | number
        if not explicit or group == DELIMITERS:
            return Element(tag, b"", at, at + 8, *_LENGTHS[big_endian].unpack_from(header, 4))
        if vr in _SHORT_VRS:
            return Element(tag, vr, at, at + 8, short)
        if not (vr.isalpha() and vr.isupper()):
            raise InvalidFileError(f"No data element of DICOM begins at byte {at}: it has no VR.")
        return Element(tag, vr, at, at + 12, *_LENGTHS[big_endian].unpack(data[at + 8 : at + 12]))
    except struct.error:
        raise cut_off(len(data)) from None


def end_of(data: RandomAccess, element: Element, encoding: Encoding) -> int:
    """The offset behind an element.

    Raises:
        TruncatedFileError: The data end within it.
        InvalidFileError: What is in it is no sequence, or nested beyond reason.
    """
    if element.length == UNDEFINED:
        return _end_of_sequence(data, element.start, inside(element, encoding))
    end = element.start + element.length
    if end > len(data):
        raise cut_off(len(data))
    return end


def elements(data: RandomAccess, at: int, encoding: Encoding) -> Iterator[Element]:
    """The elements of a data set, one after the other; each is skipped when the next is asked for.

    Args:
        data: The bytes up to the end of the data set.
        at: Where it begins.
        encoding: How it is written.

    Raises:
        TruncatedFileError: The data end within an element.
        InvalidFileError: The bytes are no data set, or hold elements beyond reason.
    """
    for _ in range(_MOST):
        if at >= len(data):
            return
        element = element_at(data, at, encoding)
        yield element
        at = end_of(data, element, encoding)
    raise InvalidFileError(f"There are more than {_MOST} data elements in the DICOM data.")


def inside(element: Element, encoding: Encoding) -> Encoding:
    """A sequence of unknown VR is written without VRs, wherever it is (PS3.5 section 6.2.2)."""
    return IMPLICIT_LITTLE if element.vr == b"UN" else encoding


def _end_of_sequence(data: RandomAccess, at: int, encoding: Encoding) -> int:
    """Walk over items and what is in them, without recursion: depth is the sender's choice."""
    open_: list[tuple[bool, Encoding]] = [(False, encoding)]
    while open_:
        in_item, inner = open_[-1]
        element = element_at(data, at, inner)
        if element.tag == (ITEM_END if in_item else SEQUENCE_END):
            open_.pop()
            at = element.start
        elif in_item == (element.tag >> 16 == DELIMITERS) or (not in_item and element.tag != ITEM):
            raise InvalidFileError(f"The sequence of DICOM items is broken at byte {at}.")
        elif element.length != UNDEFINED:
            at = end_of(data, element, inner)
        elif len(open_) == DEEPEST:
            raise InvalidFileError(f"Sequences are nested more than {DEEPEST} times in the DICOM data.")
        else:
            open_.append((not in_item, inside(element, inner)))
            at = element.start
    return at
