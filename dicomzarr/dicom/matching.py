"""Whether an attribute matches what somebody searches for (PS3.4 section C.2.2.2). Pure (no I/O)."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_RANGES: Final = frozenset({"DA", "TM", "DT"})
_LISTS: Final = frozenset({"UI", "CS"})
_NUMBERS: Final = frozenset({"IS", "DS", "US", "SS", "UL", "SL", "FL", "FD", "UV", "SV"})
_SEPARATORS: Final = re.compile(r"[,\\]")


def matches(attributes: Mapping[str, Any], path: Sequence[str], wanted: str, *, any_case: bool = False) -> bool:
    r"""Whether one of the values of an attribute is what is wanted.

    Nothing and ``*`` match all, also what is not there. Names match in any case, all else in its own. ``*`` and ``?``
    stand for any text, dates and times may be ranges, UIDs and codes may be lists with commas or backslashes between.

    Args:
        attributes: In the DICOM JSON model (PS3.18 Annex F).
        path: Tags of the sequences that it is in, from the outermost, then its own.
        wanted: The value of a key of the search.
        any_case: All text matches in any case, for people who type it.
    """
    if wanted in ("", "*"):
        return True
    tag, *rest = path
    attribute = attributes.get(tag)
    if not isinstance(attribute, dict):
        return False
    values = attribute.get("Value") or ()
    if rest:
        return any(isinstance(item, dict) and matches(item, rest, wanted, any_case=any_case) for item in values)
    vr = str(attribute.get("vr") or _known_vr(tag))
    if any_case or vr == "PN":
        wanted = wanted.casefold()
        return any(_is(vr, text.casefold(), wanted) for value in values for text in _texts(value))
    return any(_is(vr, text, wanted) for value in values for text in _texts(value))


def _known_vr(tag: str) -> str:
    """The VR that the standard gives an attribute, for servers that leave it out; empty where it is not known."""
    from pydicom.datadict import dictionary_has_tag, dictionary_VR  # noqa: PLC0415  # heavy, and hardly ever needed

    number = int(tag, 16)
    return dictionary_VR(number) if dictionary_has_tag(number) else ""


def _texts(value: Any) -> list[str]:
    """A value as text; a name in each of its writings."""
    if isinstance(value, dict):
        return [str(text) for text in value.values()]
    return [] if value is None else [str(value).strip(" \0")]


def _is(vr: str, text: str, wanted: str) -> bool:
    if vr in _RANGES:
        return _within(vr, text, wanted)
    if vr in _NUMBERS:
        return _number(text) == _number(wanted)
    if vr == "PN":
        return _like(text.rstrip("^"), wanted.rstrip("^"))
    words = _SEPARATORS.split(wanted) if vr in _LISTS else [wanted]
    if vr == "UI":
        return text in words
    return any(_like(text, word) for word in words)


def _within(vr: str, text: str, wanted: str) -> bool:
    """A range, open at one end or not; a time that is less exact than the value stands for all that it may be."""
    first, dash, last = wanted.partition("-")
    if not dash:
        return text == wanted if vr == "DA" else text.startswith(wanted)
    return first <= text and (not last or text[: len(last)] <= last)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _like(text: str, pattern: str) -> bool:
    """Wildcards, of which the standard has no brackets."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))
