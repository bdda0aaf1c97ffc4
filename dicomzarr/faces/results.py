"""Attributes of search results (PS3.18 section 10.6) as plain values, for the faces that list them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Value = str | int | list[str] | None


@dataclass(frozen=True, slots=True)
class Column:
    """One attribute of a result."""

    heading: str
    key: str
    """Its name in JSON."""
    tag: str
    kind: str = "text"
    """``text``, ``texts`` or ``number``."""
    identifying: bool = False
    """It may say who the patient is (PS3.15 Annex E)."""
    asked: bool = False
    """Servers need not return it unasked."""


def value_of(entry: Mapping[str, Any], column: Column) -> Value:
    """The value of a column in a result."""
    texts = texts_of(entry, column.tag)
    if column.kind == "texts":
        return texts
    if column.kind == "number":
        return int(texts[0]) if texts and texts[0].isascii() and texts[0].isdecimal() else None
    return texts[0] if texts else None


def texts_of(entry: Mapping[str, Any], tag: str) -> list[str]:
    """The values of an attribute as text, names in their alphabetic form (PS3.18 section F.2).

    What a server spells in no such way is no value, but for a single one without a list.
    """
    attribute = entry.get(tag)
    found = attribute.get("Value") if isinstance(attribute, dict) else None
    values = found if isinstance(found, list) else [found]
    plain = [value.get("Alphabetic") if isinstance(value, dict) else value for value in values]
    return [str(value).strip() for value in plain if isinstance(value, str | int | float)]
