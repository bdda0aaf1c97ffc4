"""What is searched for, in the spellings that people use, as a search wants it (PS3.18 section 8.3.4)."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from dicomzarr.dicom.model.plain_json import tag_of
from dicomzarr.errors import UsageError

_MODALITIES: Final = frozenset({"00080060", "00080061"})

_DATE: Final = r"[0-9]{4}(?P<sign>[-./]?)[0-9]{2}(?P=sign)[0-9]{2}"
_RANGE: Final = re.compile(rf"(?P<first>{_DATE})?\s*(?P<dash>-)?\s*(?P<last>{_DATE.replace('sign', 'mark')})?")


def tag_named(name: str) -> str:
    """The tag, eight hexadecimal digits, that a keyword or a tag means.

    Raises:
        UsageError: It means none.
    """
    tag = tag_of(name.strip("()").replace(",", "")) if isinstance(name, str) else None  # as people write tags
    if tag is None:
        raise UsageError(
            f"{name!r:.40} is no DICOM attribute.",
            remedy="Write a keyword such as BodyPartExamined, or a tag such as 00180015.",
        )
    return tag


def as_wanted(tag: str, value: str) -> str:
    """A value as the attribute has it: a date or a modality that is spelled otherwise would find nothing.

    Args:
        tag: Eight hexadecimal digits.
        value: As somebody writes it.

    Raises:
        UsageError: It is to be a date, and is none.
    """
    from pydicom.datadict import dictionary_has_tag, dictionary_VR  # noqa: PLC0415  # heavy, and few search

    number = int(tag, 16)
    if dictionary_has_tag(number) and dictionary_VR(number) == "DA":
        return as_dates(value)
    return value.upper() if tag in _MODALITIES else value


def as_dates(text: str) -> str:
    """A date, or a range as ``20200101-20200131``, as a search wants it (PS3.4 section C.2.2.2.5).

    Args:
        text: Dates with ``-``, ``.``, ``/`` or nothing between year, month and day.

    Raises:
        UsageError: It is no date, or a range that ends before it begins.
    """
    found = _RANGE.fullmatch(text.strip())
    parts = found.groupdict("") if found else {}
    first, dash, last = (re.sub("[-./](?=.)", "", parts.get(name, "")) for name in ("first", "dash", "last"))
    if not (first or last) or (first and last and not dash) or not all(map(_exists, filter(None, (first, last)))):
        raise UsageError(
            f"{text!r} is no date.", remedy="Write YYYYMMDD or YYYY-MM-DD, or a range: FROM-TO, FROM- or -TO."
        )
    if first and last and first > last:
        raise UsageError(f"{text!r} ends before it begins.", remedy="Write the earlier date first.")
    return f"{first}{dash}{last}"


def _exists(digits: str) -> bool:
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True
