"""Content-Type values, read as leniently as real servers write them (RFC 9110 section 8.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PARAMETER = re.compile(r';\s*([^\s;="]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;]*))')
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True)
class MediaType:
    """A media type with its parameters; one for all parts that are of it."""

    name: str
    """``type/subtype`` in lower case; empty when the header is absent."""
    parameters: Mapping[str, str]
    """Parameter values by lower-case name, without quotes."""

    @classmethod
    def parse(cls, value: str) -> MediaType:
        """Read a Content-Type value; an empty text gives an empty name."""
        return _parsed(value)

    @property
    def is_multipart(self) -> bool:
        """Whether the body consists of parts."""
        return self.name.startswith("multipart/")

    @cached_property
    def is_html(self) -> bool:
        """Whether the body is a page for people, as a login form."""
        return self.name in ("text/html", "application/xhtml+xml")

    @cached_property
    def is_text(self) -> bool:
        """Whether the body is text, JSON or XML: never pixels."""
        return self.name.startswith("text/") or self.name.endswith(("json", "xml"))

    @cached_property
    def transfer_syntax(self) -> str | None:
        """The ``transfer-syntax`` parameter, also where it hides inside ``type`` as Orthanc writes it."""
        own = self.parameters.get("transfer-syntax")
        if own is None and "type" in self.parameters:
            own = MediaType.parse(self.parameters["type"]).parameters.get("transfer-syntax")
        return own if own and own != "*" else None


@lru_cache(maxsize=128)  # the parts of a reply repeat one value
def _parsed(value: str) -> MediaType:
    name, semicolon, rest = value.partition(";")
    parameters: dict[str, str] = {}
    for key, quoted, plain in _PARAMETER.findall(semicolon + rest):
        parameters.setdefault(key.lower(), _ESCAPED.sub(r"\1", quoted) if quoted else plain.strip())
    return MediaType(name.strip().strip('"').lower(), MappingProxyType(parameters))
