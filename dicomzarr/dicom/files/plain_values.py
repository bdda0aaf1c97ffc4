"""Plain values of data elements in the DICOM JSON model (PS3.18 section F.2): most of a header, without pydicom.

A value that is not surely read alike by whoever knows all of the standard is not read here at all.
"""

from __future__ import annotations

import math
import re
import struct
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dicomzarr.dicom.files.elements import Encoding

_LIKE_ASCII: Final = frozenset(
    {
        *(b"", b"ISO_IR 6", b"ISO_IR 100", b"ISO_IR 101", b"ISO_IR 109", b"ISO_IR 110", b"ISO_IR 126"),
        *(b"ISO_IR 127", b"ISO_IR 138", b"ISO_IR 144", b"ISO_IR 148", b"ISO_IR 192", b"GB18030"),
    }
)
"""Specific Character Sets (PS3.3 section C.12.1.1.2) in which what is printable in ASCII is what it is there."""

_PRINTABLE: Final = re.compile(rb"[!-~](?:[ -~]*[!-~])?")
"""Without spaces at its ends, which count in some VRs."""

_DECIMAL: Final = re.compile(rb"[+-]?[0-9]{1,12}(?:\.[0-9]{0,12})?(?:[eE][+-]?[0-9]{1,2})?")
_INTEGER: Final = re.compile(rb"[+-]?[0-9]{1,9}")
_UID: Final = re.compile(rb"[0-9.]{1,64}")
_PERSON: Final = re.compile(rb"[!-<>-\[\]-~](?:[ -<>-\[\]-~]*[!-<>-\[\]-~])?")
"""A name in one spelling: the others come behind an equals sign."""

_PARAGRAPH: Final = re.compile(rb"[!-\[\]-~](?:[ -\[\]-~]*[!-\[\]-~])?")
"""A text in which a backslash parts nothing."""

_SPECIFIC: Final = frozenset({b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UT"})
"""VRs that are written in the Specific Character Set (PS3.5 section 6.1.2.3)."""


def _texts(pattern: re.Pattern[bytes], value: Callable[[bytes], Any], data: bytes) -> list[Any] | None:
    """Values with backslashes between them; None unless each of them is as it should be."""
    parts = data.rstrip(b" ").split(b"\\")
    return [value(part) for part in parts] if all(map(pattern.fullmatch, parts)) else None


def _uids(data: bytes) -> list[str] | None:
    return _texts(_UID, bytes.decode, data.removesuffix(b"\0"))


def _one(pattern: re.Pattern[bytes], value: Callable[[bytes], Any], data: bytes) -> list[Any] | None:
    text = data.rstrip(b" ")
    return [value(text)] if pattern.fullmatch(text) else None


def _name(text: bytes) -> dict[str, str]:
    return {"Alphabetic": text.decode()}


_OF_TEXT: Final[Mapping[bytes, Callable[[bytes], list[Any] | None]]] = {
    **{vr: partial(_texts, _PRINTABLE, bytes.decode) for vr in b"AE AS CS DA DT LO SH TM".split()},
    **{vr: partial(_one, _PARAGRAPH, bytes.decode) for vr in (b"LT", b"ST", b"UT")},
    b"UI": _uids,
    b"DS": partial(_texts, _DECIMAL, float),
    b"IS": partial(_texts, _INTEGER, int),
    b"PN": partial(_one, _PERSON, _name),
}

_NUMBERS: Final = {b"US": "H", b"SS": "h", b"UL": "I", b"SL": "i", b"FL": "f", b"FD": "d"}
"""Letters of ``struct``."""


def are_plain(character_set: bytes) -> bool:
    """Whether texts that are plain in ASCII may be read here, by the value of Specific Character Set."""
    return character_set.strip(b" \0") in _LIKE_ASCII


def plain_value(vr: bytes, data: bytes, encoding: Encoding, *, texts: bool) -> Sequence[Any] | None:
    """The values of an element, none where it is empty; None where they are not read here.

    Args:
        vr: Its VR.
        data: The bytes of its value.
        encoding: How it is written.
        texts: Texts may be read here: see `are_plain`.
    """
    read, letter = _OF_TEXT.get(vr), _NUMBERS.get(vr, "")
    if read is None and not letter:
        return None
    if not data:
        return ()
    if read is not None:
        return read(data) if texts or vr not in _SPECIFIC else None
    count, rest = divmod(len(data), struct.calcsize(f"={letter}"))
    if rest:
        return None
    values = struct.unpack(f"{encoding.order}{count}{letter}", data)
    return values if all(map(math.isfinite, values)) else None
