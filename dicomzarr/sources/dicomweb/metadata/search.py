"""Pages of search results put together (PS3.18 section 8.3.4.4). Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import dropwhile
from typing import TYPE_CHECKING, Any

from dicomzarr.dicom.model.plain_json import first_text
from dicomzarr.dicom.uids import is_uid
from dicomzarr.errors import InvalidReplyError

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = 200
"""Results that one request asks for: the most that every known server allows."""

_STUDY_UID = "0020000D"
SERIES_UID = "0020000E"
_INSTANCE_UID = "00080018"
_TAGS = {"studies": _STUDY_UID, "series": SERIES_UID, "instances": _INSTANCE_UID}


@dataclass(slots=True)
class Results:
    """The results of one search so far."""

    resource: str
    """``studies``, ``studies/<uid>/series``, or ``instances`` below that."""
    wanted: int | None
    """How many results are enough; None for all."""
    skipped: int = 0
    """Results to leave out before the first."""
    limit: int | None = PAGE
    """Results that one request asks for at most; None where the server does not take it: it chooses."""
    entries: list[dict[str, Any]] = field(default_factory=list)
    """The results, each study, series or instance once."""
    received: int = 0
    """Results that came, doubled ones included: the next offset, beyond ``skipped``."""
    pages: int = 0
    """Pages that came."""
    longest: int = 0
    """Results of the longest of them."""
    overlaps: bool = False
    """Some came on two pages, in another order or whatever the offset: others may be missing."""
    _seen: set[str] = field(default_factory=set)
    _last: str | None = None

    @property
    def name(self) -> str:
        """What is searched for."""
        return self.resource.rpartition("/")[2]

    def page(self, parameters: Mapping[str, str]) -> dict[str, str]:
        """The parameters that ask for the next page."""
        offset = self.skipped + self.received
        paging = {"offset": str(offset)} if offset else {}
        if self.limit is not None:
            limit = self.limit if self.wanted is None else min(self.limit, self.wanted - len(self.entries))
            paging = {"limit": str(limit), **paging}
        return {**parameters, **paging}

    def add(self, page: list[dict[str, Any]], *, may_be_cut: bool) -> bool:
        """Take a page; give whether there may be another.

        Args:
            page: The results that came.
            may_be_cut: They may be fewer than there are.
        """
        before = len(self.entries)
        names = [self._name_of(entry) for entry in page]
        # A result that a server gives twice in a row may end one page and begin the next.
        again = not self._seen.isdisjoint(dropwhile(lambda name: name == self._last, names))
        knows_no_pages = self.pages == 1 and self._seen == set(names) and not _may_be_bound(len(page))
        self.overlaps |= again and not knows_no_pages
        for name, entry in zip(names, page, strict=True):
            if name not in self._seen:
                self._seen.add(name)
                self.entries.append(entry)
        self.received += len(page)
        self.pages += 1
        self.longest = max(self.longest, len(page))
        self._last = names[-1] if names else None
        if self.wanted is not None and len(self.entries) >= self.wanted:
            del self.entries[self.wanted :]
            return False
        # A server that ignores the offset sends nothing new: without the first test this would never end.
        return len(self.entries) > before and may_be_cut

    def _name_of(self, entry: dict[str, Any]) -> str:
        return json.dumps(entry.get(_TAGS[self.name], entry), sort_keys=True)


def _may_be_bound(count: int) -> bool:
    """Whether so many results may be the most that a server gives at once: such bounds are round numbers."""
    return count % 10 == 0 or count % 16 == 0


def listed_uids(results: list[dict[str, Any]], tag: str, name: str) -> list[str]:
    """The UIDs that search results name; a result without a usable one is left out.

    Raises:
        InvalidReplyError: None of them has one.
    """
    found = [_uid(result, tag) for result in results]
    uids = list(dict.fromkeys(uid for uid in found if uid is not None))
    if results and not uids:
        raise InvalidReplyError(
            f"The server found {len(results)} results for {name}, none of them with a UID in {tag}.",
            remedy="Ask the server's operator what it sends for a search.",
        )
    return uids


def _uid(result: dict[str, Any], tag: str) -> str | None:
    text = first_text(result, tag if tag in result else tag.lower())
    return text if is_uid(text) else None
