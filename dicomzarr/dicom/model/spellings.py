"""DICOM JSON that servers spell in ways of their own, as the standard does (PS3.18 section F.2).

- Attributes that a server does not know come as their bytes, with the VR UN (PS3.5 section 6.2.2): here those of the
  standard are known.
- Several values come as one text, with backslashes between them, as they stand in files.
- Numbers that are none come bare, which JSON does not have: they count as no value.

Bodies that have none of it are handed on as they are, after a search for a few bytes.
"""

from __future__ import annotations

import base64
import re
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dicomzarr.dicom.model.json_size import check_values
from dicomzarr.errors import InvalidFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_INLINE: Final = b'"InlineBinary"'
MEMBER_OF_BULK: Final = b'"BulkDataURI"'
_BACKSLASH: Final = b"\\"
_SEPARATOR: Final = 2 * _BACKSLASH
"""A backslash in a text of JSON."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_NO_NUMBERS: Final = (b"NaN", b"Infinity")
_BARE: Final = re.compile(rb"(?<=[\[,:])\s*(?:NaN|-?Infinity)(?=\s*[,\]}])")
_BEFORE: Final = 48
"""Bytes before a member of an attribute in which its tag and VR stand."""
_TAG: Final = "[0-9A-Fa-f]{3}[02468ACEace][0-9A-Fa-f]{4}"
"""Of the standard, whose groups are even."""
_ELEMENT: Final = re.compile(rf'"({_TAG})"\s*:\s*\{{\s*(?:"vr"\s*:\s*"([A-Z]{{2}})"\s*,\s*)?$'.encode())
"""The beginning of such an attribute, up to a member of it; some servers write its VR behind that."""
_VR_BEHIND: Final = re.compile(rb'\s*:\s*"[^"]*"\s*,\s*"vr"\s*:\s*"([A-Z]{2})"')
_UNKNOWN: Final = b"UN"
_OF_WORDS: Final = frozenset({b"OB", b"OW", b"OL", b"OV", b"OF", b"OD", b"US", b"SS"})
"""VRs of what is expected to be somewhere else: bytes, and tables."""
_SEVERAL: Final = frozenset({"AE", "AS", "AT", "CS", "DA", "DS", "DT", "IS", "LO", "SH", "TM", "UC", "UI"})
"""VRs of texts that may have several values (PS3.5 section 6.2)."""
_CHARACTERS: Final = "00080005"
_SIGN: Final = "00280103"
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])


def as_standard(body: bytes) -> bytes:
    """A JSON array of instances as the standard spells it; what is no such array stays as it is."""
    body = body.removeprefix(_BYTE_ORDER_MARK)
    if any(word in body for word in _NO_NUMBERS):
        body = _BARE.sub(b"null", body)
    # A single byte is found 20 times as fast as two are.
    is_separated = _BACKSLASH in body and _SEPARATOR in body
    if not is_separated and not any(vr == _UNKNOWN for _, vr in _elements(body, _INLINE)):
        return body
    try:
        items = _ITEMS.decode(body)
    except (ValueError, RecursionError):
        return body
    return b"[" + b",".join(map(_spelled, items)) + b"]"


def referred(item: bytes) -> set[str]:
    """Tags of numbers, codes and sequences that are not in the metadata of an instance but somewhere else."""
    return {tag.decode().upper() for tag, vr in _elements(item, MEMBER_OF_BULK) if vr not in _OF_WORDS}


def _elements(body: bytes, member: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(tag, VR) of the attributes of the standard that have a member; an empty VR where none is told."""
    at = body.find(member)
    while at >= 0:
        found = _ELEMENT.search(body[max(0, at - _BEFORE) : at])
        if found is not None:
            behind = None if found[2] else _VR_BEHIND.match(body, at + len(member))
            yield found[1], found[2] or (behind[1] if behind else b"")
        at = body.find(member, at + len(member))


def _spelled(item: msgspec.Raw) -> bytes:
    text = bytes(item)
    if _SEPARATOR not in text and _INLINE not in text:
        return text
    check_values(text)
    with suppress(ValueError, RecursionError):
        decoded = msgspec.json.decode(text)
        if isinstance(decoded, dict):
            spelled = _object(decoded, _first(decoded, _CHARACTERS), _first(decoded, _SIGN))
            return msgspec.json.encode(spelled, enc_hook=str)  # str for pydicom's UID
    return text


def _object(item: dict[str, Any], characters: Any, sign: Any) -> dict[str, Any]:
    found = {tag: _attribute(tag, element, characters, sign) for tag, element in item.items()}
    unknown = {tag: octets for tag, element in item.items() if (octets := _octets(tag, element)) is not None}
    return found | _known(unknown, characters, sign) if unknown else found


def _attribute(tag: str, element: Any, characters: Any, sign: Any) -> Any:
    values = element.get("Value") if isinstance(element, dict) else None
    if not isinstance(values, list):
        return element
    if any(isinstance(value, dict) for value in values) and element.get("vr") != "PN":
        items = [_object(each, characters, sign) if isinstance(each, dict) else each for each in values]
        return {**element, "Value": items}
    if not any(isinstance(value, str) and "\\" in value for value in values) or _vr(tag, element) not in _SEVERAL:
        return element
    return {**element, "Value": [part for value in values for part in _parts(value)]}


def _parts(value: Any) -> list[Any]:
    return value.split("\\") if isinstance(value, str) else [value]


def _vr(tag: str, element: Mapping[str, Any]) -> str:
    if element.get("vr"):
        return str(element["vr"])
    from pydicom.datadict import dictionary_VR  # noqa: PLC0415  # heavy, and most servers do without

    with suppress(ValueError, KeyError):
        return dictionary_VR(int(tag, 16))
    return ""


def _octets(tag: str, element: Any) -> bytes | None:
    """The bytes of an attribute of the standard that the server did not know."""
    unknown = isinstance(element, dict) and element.get("vr") == "UN" and isinstance(element.get("InlineBinary"), str)
    if not unknown or re.fullmatch(_TAG, tag) is None:
        return None
    try:
        return base64.b64decode(element["InlineBinary"])
    except ValueError:
        return None


def _known(unknown: Mapping[str, bytes], characters: Any, sign: Any) -> dict[str, Any]:
    """The attributes as a file in Implicit VR Little Endian has them, whose VRs are those of the dictionary."""
    from dicomzarr.dicom.files.data_set import DataSetHeader, attributes  # noqa: PLC0415  # heavy, as above
    from dicomzarr.dicom.files.elements import IMPLICIT_LITTLE  # noqa: PLC0415  # as above

    octets = {int(tag, 16): value for tag, value in unknown.items()}
    if isinstance(characters, str):
        octets.setdefault(int(_CHARACTERS, 16), characters.encode("ascii", "replace"))
    if sign in (0, 1):
        octets.setdefault(int(_SIGN, 16), struct.pack("<H", sign))
    data = b"".join(
        struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(octets[tag])) + octets[tag] for tag in sorted(octets)
    )
    broken: list[str] = []  # which stay as they are
    try:
        found = attributes(DataSetHeader(data, IMPLICIT_LITTLE, ""), "an instance", broken=broken)
    except InvalidFileError:
        return {}
    left = {path[:8] for path in broken}
    return {tag: found[tag.upper()] for tag in unknown if tag.upper() in found.keys() - left}


def _first(item: Mapping[str, Any], tag: str) -> Any:
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values else None
