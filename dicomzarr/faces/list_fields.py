"""Header fields that are lists, as servers of ours read them (RFC 9110 section 5.6.1). Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from multidict import MultiMapping

_TAG: Final = re.compile(r'(W/)?("[^"]*")')


def listed(headers: MultiMapping[str], name: str) -> str | None:
    """All lines of a field as the one list that they are (RFC 9110 section 5.3); None where there is none."""
    lines = headers.getall(name, [])
    return ", ".join(lines) if lines else None


def holds_tag(tags: str, etag: str, *, weakly: bool) -> bool:
    """Whether If-Match or If-None-Match fits a value (RFC 9110 sections 8.8.3.2 and 13.1).

    Args:
        tags: What the field says.
        etag: The value's entity tag.
        weakly: Tags are compared weakly; else no weak one fits.
    """
    opaque = etag.removeprefix("W/")
    comparable = weakly or opaque == etag
    return tags.strip() == "*" or any(
        comparable and tag == opaque and (weakly or not weak) for weak, tag in _TAG.findall(tags)
    )
