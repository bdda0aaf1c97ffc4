"""Conditional and range requests (RFC 9110 sections 13 and 14): which bytes of a value are answered. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def select(headers: Mapping[str, str], etag: str, size: int, *, is_get: bool) -> Selection:
    """What of a value is answered.

    Args:
        headers: Of the request.
        etag: The value's strong entity tag, in its quotes.
        size: Bytes of the value.
        is_get: The request is a GET: ranges are meant for no other.
    """
    expected = headers.get("If-Match")
    if expected is not None and not _holds(expected, etag, weakly=False):
        return Selection(OTHER_VALUE)
    known = headers.get("If-None-Match")
    if known is not None and _holds(known, etag, weakly=True):
        return Selection(NOT_MODIFIED)
    whole = Selection(WHOLE, 0, size)
    wanted = headers.get("Range")
    if wanted is None or not is_get:
        return whole
    if (unchanged := headers.get("If-Range")) is not None and unchanged.strip() != etag:
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


def _holds(listed: str, etag: str, *, weakly: bool) -> bool:
    """Whether a list of entity tags names one; a weak one only by weak comparison (RFC 9110 section 8.8.3.2)."""
    tags = (tag.strip().removeprefix("W/" if weakly else "") for tag in listed.split(","))
    return any(tag in ("*", etag) for tag in tags)
