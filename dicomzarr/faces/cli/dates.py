"""Dates that are searched for, in the spellings that people use."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from dicomzarr.errors import UsageError

_DATE: Final = r"[0-9]{4}(?P<sign>[-./]?)[0-9]{2}(?P=sign)[0-9]{2}"
_RANGE: Final = re.compile(rf"(?P<first>{_DATE})?\s*(?P<dash>-)?\s*(?P<last>{_DATE.replace('sign', 'mark')})?")


def as_dates(text: str) -> str:
    """A date, or a range as ``20200101-20200131``, as a search wants it (PS3.4 section C.2.2.2.5).

    Args:
        text: Dates with ``-``, ``.``, ``/`` or nothing between year, month and day.

    Raises:
        UsageError: It is no date.
    """
    found = _RANGE.fullmatch(text.strip())
    parts = found.groupdict("") if found else {}
    first, dash, last = (re.sub("[-./](?=.)", "", parts.get(name, "")) for name in ("first", "dash", "last"))
    if not (first or last) or (first and last and not dash) or not all(map(_exists, filter(None, (first, last)))):
        raise UsageError(
            f"{text!r} is no date.", remedy="Write YYYYMMDD or YYYY-MM-DD, or a range: FROM-TO, FROM- or -TO."
        )
    return f"{first}{dash}{last}"


def _exists(digits: str) -> bool:
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True
