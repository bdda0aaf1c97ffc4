"""All attributes of an instance as rows, sequences as trees; what may say who somebody is only when asked for. Pure.

Without patient data, a value is shown where its kind cannot name anybody: numbers, codes and UIDs outside the group of
the patient, and texts of the few attributes that describe equipment or codes. It is the safe side of PS3.15 Annex E.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from dicomzarr.errors import InvalidReplyError

MOST_ITEMS: Final = 50
"""Items of a sequence that are told; a slide has one for each of its tiles."""

_MOST_VALUES: Final = 64
_LONGEST: Final = 2000
"""Values of an attribute, and characters of a text, that are told."""

_DEEPEST: Final = 16

_TELLS_NOBODY: Final = frozenset(("CS", "IS", "DS", "US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT", "UI"))
_BINARY: Final = frozenset(("OB", "OW", "OF", "OD", "OL", "OV", "UN"))
_PATIENT: Final = "0010"
_PUBLIC: Final = re.compile(r"[0-9A-F]{3}[02468ACE][0-9A-F]{4}", re.ASCII)
_HARMLESS_TEXTS: Final = frozenset(
    (
        *("CodeValue", "LongCodeValue", "CodeMeaning", "CodingSchemeDesignator", "CodingSchemeVersion"),
        *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "ConvolutionKernel", "SequenceName"),
        *("WindowCenterWidthExplanation", "RescaleType", "SegmentLabel", "OpticalPathIdentifier"),
        *("OpticalPathDescription", "DimensionDescriptionLabel", "LUTLabel", "LUTExplanation"),
    )
)
_PERSONS: Final = ("Person", "Physician", "Patient", "Operator", "Institution", "Identification", "Author", "Observer")
_PERSONS_TOO: Final = ("Participant", "Responsible", "Custodi", "Request", "Visit", "Admi", "Provider", "Reader")
"""Parts of keywords of sequences whose codes and numbers are about somebody, and of texts that are."""


class _Attribute(msgspec.Struct, frozen=True):
    """An attribute of the DICOM JSON model (PS3.18 section F.2), with values that are not looked at yet."""

    vr: Annotated[str, msgspec.Meta(max_length=8)] = "UN"
    Value: list[msgspec.Raw] | None = None
    BulkDataURI: str | None = None
    InlineBinary: str | None = None


class _Name(NamedTuple):
    keyword: str
    name: str
    tells_nobody: bool
    """Its values are of a kind that names nobody."""
    about_somebody: bool
    """What is in it is hidden, whatever it is."""


class _Listed(NamedTuple):
    uid: str
    number: int
    """0 where there is none."""
    raw: msgspec.Raw


_INSTANCES: Final = msgspec.json.Decoder(list[msgspec.Raw])
_ATTRIBUTES: Final = msgspec.json.Decoder(dict[str, _Attribute])
_ITEM: Final = msgspec.json.Decoder(dict[str, _Attribute] | None)
_Row = dict[str, Any]


class _Names(msgspec.Struct, frozen=True):
    """What tells an instance from others."""

    uid: _Attribute = msgspec.field(name="00080018", default=_Attribute())
    number: _Attribute = msgspec.field(name="00200013", default=_Attribute())


def attributes_of(body: bytes, instance: str | None, *, phi: bool) -> dict[str, Any] | None:
    """The attributes of one instance of a series, and which others there are.

    Args:
        body: The metadata of the series (PS3.18 Annex F).
        instance: SOP Instance UID; None for that of the lowest number.
        phi: Tell what may identify somebody too.

    Returns:
        None where the series has no such instance.

    Raises:
        InvalidReplyError: It is no DICOM JSON.
    """
    try:
        listed = sorted((_listed(each) for each in _INSTANCES.decode(body)), key=lambda each: (each.number, each.uid))
        chosen = next((each for each in listed if instance in (None, each.uid)), None)
        if chosen is None:
            return None
        rows = _rows(_ATTRIBUTES.decode(chosen.raw), phi=phi, about_somebody=False, depth=0)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidReplyError("The metadata of the series are no DICOM JSON.") from None
    instances = [{"instance": each.uid, "number": each.number} for each in listed]
    return {"instance": chosen.uid, "instances": instances, "rows": rows}


def _listed(raw: msgspec.Raw) -> _Listed:
    names = msgspec.json.decode(raw, type=_Names)
    number = _first(names.number)
    return _Listed(_first(names.uid), int(number) if number.isdecimal() else 0, raw)


def _first(attribute: _Attribute) -> str:
    value = msgspec.json.decode(attribute.Value[0]) if attribute.Value else ""
    return str(value) if isinstance(value, str | int) else ""


def _rows(attributes: dict[str, _Attribute], *, phi: bool, about_somebody: bool, depth: int) -> list[_Row]:
    return [
        _row(tag.upper(), attribute, phi=phi, about_somebody=about_somebody, depth=depth)
        for tag, attribute in sorted(attributes.items())
    ]


def _row(tag: str, attribute: _Attribute, *, phi: bool, about_somebody: bool, depth: int) -> _Row:
    known, values = _name(tag), attribute.Value or []
    row: _Row = {"tag": f"{tag[:4]},{tag[4:8]}", "keyword": known.keyword, "name": known.name, "vr": attribute.vr}
    about_somebody = about_somebody or tag.startswith(_PATIENT) or known.about_somebody
    if attribute.vr == "SQ":
        decoded = values[:MOST_ITEMS] if depth < _DEEPEST else []
        row["items"] = [
            _rows(_ITEM.decode(each) or {}, phi=phi, about_somebody=about_somebody, depth=depth + 1) for each in decoded
        ]
        if len(values) > len(decoded):
            row["more"] = len(values) - len(decoded)
    elif not phi and (about_somebody or not known.tells_nobody):
        row["hidden"] = bool(values or attribute.InlineBinary or attribute.BulkDataURI)
    else:
        row["value"] = _value(attribute)
    return row


def _value(attribute: _Attribute) -> str:
    if attribute.InlineBinary is not None:
        return f"{len(attribute.InlineBinary) * 3 // 4} bytes"
    if attribute.BulkDataURI is not None:
        return "kept apart"
    values = attribute.Value or []
    texts = [_text(msgspec.json.decode(each)) for each in values[:_MOST_VALUES]]
    if len(values) > _MOST_VALUES:
        texts.append(f"… {len(values)} values")
    text = "\\".join(texts)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _text(value: object) -> str:
    """A value as text; a name in all of its forms (PS3.18 section F.2.2)."""
    if isinstance(value, dict):
        return "=".join(str(value.get(form, "")) for form in ("Alphabetic", "Ideographic", "Phonetic")).rstrip("=")
    return "" if value is None else str(value)


@lru_cache(maxsize=4096)
def _name(tag: str) -> _Name:
    from pydicom.datadict import dictionary_description, dictionary_VR, keyword_for_tag  # noqa: PLC0415  # only here

    if _PUBLIC.fullmatch(tag) is None:  # what private attributes hold is known to their makers
        return _Name("", "Private", tells_nobody=False, about_somebody=True)
    number = int(tag, 16)
    keyword = keyword_for_tag(number)
    if not keyword:
        return _Name("", "Unknown", tells_nobody=False, about_somebody=True)
    vr = dictionary_VR(number)[:2]  # what a server says it were may be wrong
    tells_nobody = vr in _TELLS_NOBODY or vr in _BINARY or keyword in _HARMLESS_TEXTS
    about_somebody = vr not in _TELLS_NOBODY and any(each in keyword for each in (*_PERSONS, *_PERSONS_TOO))
    return _Name(keyword, dictionary_description(number), tells_nobody, about_somebody)
