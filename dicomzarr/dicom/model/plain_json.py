"""DICOM JSON as plain objects, as results of a search are: values of attributes, and their tags."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)


def values_of(attributes: Mapping[str, Any], tag: str) -> list[Any]:
    """The values of an attribute; empty where it is not there, or is no attribute (PS3.18 section F.2)."""
    attribute = attributes.get(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values if isinstance(values, list) else []


def first_text(attributes: Mapping[str, Any], tag: str) -> str:
    """The first value as text without padding; empty where there is none, or one of another kind."""
    value = next(iter(values_of(attributes, tag)), "")
    return str(value).strip(" \0") if isinstance(value, str | int) else ""


def tag_of(name: str) -> str | None:
    """Eight hexadecimal digits for a keyword, or for a tag that is one already; None for anything else."""
    from pydicom.datadict import tag_for_keyword  # noqa: PLC0415  # pydicom is heavy, and opening does without

    number = tag_for_keyword(name) if name else None  # for which it has a tag
    if number is not None:
        return f"{number:08X}"
    return name.upper() if _TAG.fullmatch(name) else None
