"""Conditional and range requests (RFC 9110 sections 13 and 14): which bytes of a value are answered. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from dicomzarr.faces.list_fields import holds_tag, listed

if TYPE_CHECKING:
    from multidict import MultiMapping

WHOLE: Final = 200
PARTIAL: Final = 206
NOT_MODIFIED: Final = 304
OTHER_VALUE: Final = 412
UNSATISFIABLE: Final = 416

_RANGE: Final = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.ASCII | re.IGNORECASE)
_SEVERAL: Final = re.compile(r"bytes=.*,", re.ASCII | re.IGNORECASE | re.DOTALL)


class Selection(NamedTuple):
    """What is answered."""

    status: int
    start: int = 0
    stop: int = 0
    """Of the bytes that are sent, as in a slice."""


def select(headers: MultiMapping[str], etag: str, size: int, *, is_get: bool) -> Selection:
    """What of a value is answered.

    Args:
        headers: Of the request.
        etag: The value's strong entity tag, in its quotes.
        size: Bytes of the value.
        is_get: The request is a GET: ranges are meant for no other.
    """
    expected = listed(headers, "If-Match")
    if expected is not None and not holds_tag(expected, etag, weakly=False):
        return Selection(OTHER_VALUE)
    known = listed(headers, "If-None-Match")
    if known is not None and holds_tag(known, etag, weakly=True):
        return Selection(NOT_MODIFIED)
    whole = Selection(WHOLE, 0, size)
    lines = headers.getall("Range", [])
    if len(lines) != 1 or not is_get:  # it is no list field: several lines of it are none that is valid
        return whole
    (wanted,) = lines
    if any(unchanged.strip() != etag for unchanged in headers.getall("If-Range", [])):
        return whole
    if _SEVERAL.match(wanted):
        return Selection(UNSATISFIABLE)
    found = _RANGE.fullmatch(wanted)
    return whole if found is None else _range(found[1], found[2], size) or whole


def _range(first: str, last: str, size: int) -> Selection | None:
    """None where the range makes no sense, and is ignored."""
    if not first:
        if not last:
            return None
        length = min(int(last), size)
        return Selection(PARTIAL, size - length, size) if length else Selection(UNSATISFIABLE)
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        return Selection(UNSATISFIABLE)
    return Selection(PARTIAL, start, min(int(last) + 1, size) if last else size)
