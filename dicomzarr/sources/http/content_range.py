"""Content-Range values (RFC 9110 section 14.4): which bytes of a whole came. Pure."""

from __future__ import annotations

import re
from typing import Final

_BYTES: Final = re.compile(r"bytes[ =](\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.IGNORECASE)


def is_piece(value: str) -> bool:
    """Whether it says that only some bytes of a whole came; not where it says nothing, or counts other things."""
    found = _BYTES.fullmatch(value.strip())
    if found is None:
        return False
    start, last, size = found.groups()
    return int(start) > 0 or (size != "*" and int(last) + 1 != int(size))
