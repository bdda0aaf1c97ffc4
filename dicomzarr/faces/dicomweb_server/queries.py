"""The query of a search (PS3.18 sections 8.3.4 and 10.6). Pure (no I/O)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.model.plain_json import tag_of
from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST: Final = 12
"""Digits of a number, as in an IS."""

_WAYS: Final = frozenset({"fuzzymatching", "emptyvaluematching", "multiplevaluematching"})
"""Switches of PS3.18 section 8.3.4 for ways of matching that servers need not know."""

_MOST_KEYS: Final = 1000
_LONGEST_PATTERN: Final = 1024
"""Characters of a value with wildcards, which takes the longer the more it has of them."""

MOST_RESULTS: Final = 10_000
"""Results of one reply."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for."""

    keys: tuple[tuple[tuple[str, ...], str], ...] = ()
    """(tags, wanted value) of attributes that all have to match; the tags are those of sequences, then its own."""
    included: frozenset[str] = frozenset()
    """Tags of attributes that are wanted besides."""
    everything: bool = False
    """All attributes are wanted (``includefield=all``)."""
    unsupported: tuple[str, ...] = ()
    """Ways of matching that are asked for, as ``fuzzymatching``, and that this server does not know."""
    offset: int = 0
    limit: int = MOST_RESULTS


def parse_query(pairs: Iterable[tuple[str, str]]) -> Query:
    """Read the pairs of a query.

    Raises:
        UsageError: An attribute is unknown, or a value is impossible or beyond reason.
    """
    keys: list[tuple[tuple[str, ...], str]] = []
    included: set[str] = set()
    everything = False
    unsupported: dict[str, None] = {}
    numbers = {"offset": 0, "limit": MOST_RESULTS}
    for name, value in pairs:
        if name in numbers:
            numbers[name] = _number(name, value)
        elif name == "includefield":
            fields = [field.strip() for field in value.split(",") if field.strip()]
            everything = everything or "all" in fields
            included.update(_path(field)[0] for field in fields if field != "all")
        elif name in _WAYS:
            if _switch(name, value):
                unsupported[name] = None
        elif name != "accept":
            keys.append(_key(name, value))
    if len(keys) > _MOST_KEYS:
        raise UsageError(f"There are more than {_MOST_KEYS} attributes to search by.")
    limit = min(numbers["limit"], MOST_RESULTS)
    return Query(tuple(keys), frozenset(included), everything, tuple(unsupported), numbers["offset"], limit)


def _key(name: str, value: str) -> tuple[tuple[str, ...], str]:
    if len(value) > _LONGEST_PATTERN and ("*" in value or "?" in value):
        raise UsageError(f"A value with wildcards may have {_LONGEST_PATTERN} characters.")
    return _path(name), value


def _path(name: str) -> tuple[str, ...]:
    tags = [tag_of(each) for each in name.split(".")]
    known = tuple(tag for tag in tags if tag is not None)
    if len(known) < len(tags):
        raise UsageError(f"{name!r:.80} is no attribute to search by.", remedy="Use its DICOM keyword or its tag.")
    return known


def _number(name: str, value: str) -> int:
    if value.isascii() and value.isdigit() and len(value) <= _LONGEST:
        return int(value)
    raise UsageError(f"{name} should be a whole number from 0.")


def _switch(name: str, value: str) -> bool:
    if value not in {"true", "false"}:
        raise UsageError(f"{name} should be true or false.")
    return value == "true"
