"""Whether an attribute matches what somebody searches for (PS3.4 section C.2.2.2). Pure (no I/O)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_RANGES: Final = frozenset({"DA", "TM", "DT"})
_LISTS: Final = frozenset({"UI", "CS"})
_NUMBERS: Final = frozenset({"IS", "DS", "US", "SS", "UL", "SL", "FL", "FD", "UV", "SV"})
_SEPARATORS: Final = re.compile(r"[,\\]")
_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
"""Component groups of a name, in the order in which equals signs part them (PS3.5 section 6.2.1)."""

_DATETIME: Final = r"(\d{4,14}(?:\.\d{1,6})?)([+-](?:0\d|1[0-4])[0-5]\d)?"
_ONE_DATETIME: Final = re.compile(_DATETIME, re.ASCII)
_RANGE_OF_DATETIMES: Final = re.compile(rf"(?:{_DATETIME})?-(?:{_DATETIME})?", re.ASCII)
_TO_THE_MINUTE: Final = 12
"""Digits of a date and time to which an offset from UTC can be applied."""


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
    return all_match(attributes, [(path, wanted)], any_case=any_case)


def all_match(
    attributes: Mapping[str, Any], keys: Iterable[tuple[Sequence[str], str]], *, any_case: bool = False
) -> bool:
    """Whether all keys match; those within one sequence have to match in one of its items (PS3.4 section C.2.2.2.6).

    Args:
        attributes: As for `matches`.
        keys: Paths and wanted values, as for `matches`.
        any_case: As for `matches`.
    """
    within: dict[str, list[tuple[Sequence[str], str]]] = {}
    for (tag, *rest), wanted in keys:
        if wanted in ("", "*"):
            continue
        if rest:
            within.setdefault(tag, []).append((rest, wanted))
        elif not _has(attributes, tag, wanted, any_case=any_case):
            return False
    return all(
        any(isinstance(item, dict) and all_match(item, inner, any_case=any_case) for item in _values(attributes, tag))
        for tag, inner in within.items()
    )


def _values(attributes: Mapping[str, Any], tag: str) -> Sequence[Any]:
    attribute = attributes.get(tag)
    return (attribute.get("Value") or ()) if isinstance(attribute, dict) else ()


def _has(attributes: Mapping[str, Any], tag: str, wanted: str, *, any_case: bool) -> bool:
    values = _values(attributes, tag)
    if not values:
        return False
    vr = str(attributes[tag].get("vr") or _known_vr(tag))
    if vr == "PN" and "=" in wanted:
        return any(_is_name(value, wanted.casefold()) for value in values)
    if any_case or vr == "PN":
        wanted = wanted.casefold()
        return any(_is(vr, text.casefold(), wanted) for value in values for text in _texts(value))
    return any(_is(vr, text, wanted) for value in values for text in _texts(value))


def _is_name(value: Any, wanted: str) -> bool:
    """Whether a name is wanted in several writings, of which an empty one may be any."""
    groups = wanted.split("=")
    told = value if isinstance(value, dict) else dict(zip(_GROUPS, str(value).split("="), strict=False))
    texts = [str(told.get(name) or "").casefold() for name in _GROUPS]
    return len(groups) <= len(texts) and all(
        not group or _is("PN", text, group) for text, group in zip(texts, groups, strict=False)
    )


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
    words = _words(wanted) if vr in _LISTS else frozenset({wanted})
    return text in words or (vr != "UI" and any(_like(text, word) for word in words))


@lru_cache(maxsize=8)
def _words(wanted: str) -> frozenset[str]:
    """The values of a list, which is looked through for each of thousands of attributes."""
    return frozenset(_SEPARATORS.split(wanted))


def _within(vr: str, text: str, wanted: str) -> bool:
    """A range, open at one end or not; a time that is less exact than the value stands for all that it may be."""
    if vr == "DT":
        return _within_datetimes(text, wanted)
    first, dash, last = wanted.partition("-")
    if not dash:
        return text == wanted if vr == "DA" else text.startswith(wanted)
    return first <= text and (not last or text[: len(last)] <= last)


def _within_datetimes(text: str, wanted: str) -> bool:
    """The same of dates with times, which may end in an offset from UTC, and that in digits behind a hyphen.

    Four digits behind a hyphen are an offset if they can be one, as no year is (PS3.5 section 6.2).
    """
    one = _ONE_DATETIME.fullmatch(wanted)
    if one is not None:
        return _at(text, one[2]).startswith(one[1])
    ends = _RANGE_OF_DATETIMES.fullmatch(wanted)
    if ends is None:
        return text == wanted
    first, first_offset, last, last_offset = ends.groups()
    return (not first or first <= _at(text, first_offset)) and (not last or _at(text, last_offset)[: len(last)] <= last)


def _at(text: str, offset: str | None) -> str:
    """A date and time without its offset, as clocks show it at another one if both are told."""
    told = _ONE_DATETIME.fullmatch(text)
    if told is None:
        return text
    digits, own = told[1], told[2]
    if not own or not offset or own == offset or len(digits) < _TO_THE_MINUTE:
        return digits
    try:
        moment = datetime.strptime(digits[:_TO_THE_MINUTE], "%Y%m%d%H%M")  # noqa: DTZ007  # offsets are added below
        moment += timedelta(minutes=_minutes(offset) - _minutes(own))
    except (ValueError, OverflowError):
        return digits
    return f"{moment:%Y%m%d%H%M}".zfill(_TO_THE_MINUTE) + digits[_TO_THE_MINUTE:]


def _minutes(offset: str) -> int:
    minutes = int(offset[1:3]) * 60 + int(offset[3:])
    return -minutes if offset[0] == "-" else minutes


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _like(text: str, pattern: str) -> bool:
    """Wildcards, of which the standard has no brackets."""
    if "*" not in pattern and "?" not in pattern:
        return text == pattern
    return fnmatchcase(text, pattern.replace("[", "[[]"))
