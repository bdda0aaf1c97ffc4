"""Pages of search results put together (PS3.18 section 8.3.4.4). Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = 200
"""Results that one request asks for: the most that every known server allows."""

_STUDY_UID = "0020000D"
_SERIES_UID = "0020000E"


@dataclass(slots=True)
class Results:
    """The results of one search so far."""

    resource: str
    """``studies``, or ``studies/<uid>/series``."""
    wanted: int | None
    """How many results are enough; None for all."""
    skipped: int = 0
    """Results to leave out before the first."""
    entries: list[dict[str, Any]] = field(default_factory=list)
    """The results, each study or series once."""
    received: int = 0
    """Results that came, doubled ones included: the next offset, beyond ``skipped``."""
    _seen: set[str] = field(default_factory=set)

    def page(self, parameters: Mapping[str, str]) -> dict[str, str]:
        """The parameters that ask for the next page."""
        limit = PAGE if self.wanted is None else min(PAGE, self.wanted - len(self.entries))
        offset = self.skipped + self.received
        paging = {"limit": str(limit), **({"offset": str(offset)} if offset else {})}
        return {**parameters, **paging}

    def add(self, page: list[dict[str, Any]], *, asked: int, more_announced: bool) -> bool:
        """Take a page; give whether there may be another.

        Args:
            page: The results that came.
            asked: How many were asked for.
            more_announced: The reply carried ``Warning: 299``: the server gives fewer at once than
                asked.
        """
        before = len(self.entries)
        self.received += len(page)
        for entry in page:
            name = self._name(entry)
            if name not in self._seen:
                self._seen.add(name)
                self.entries.append(entry)
        if self.wanted is not None and len(self.entries) >= self.wanted:
            del self.entries[self.wanted :]
            return False
        # A server that ignores the offset sends nothing new: without the first test this would never end.
        return len(self.entries) > before and (len(page) >= asked or more_announced)

    def _name(self, entry: dict[str, Any]) -> str:
        tag = _SERIES_UID if self.resource.endswith("/series") else _STUDY_UID
        return json.dumps(entry.get(tag, entry), sort_keys=True)
