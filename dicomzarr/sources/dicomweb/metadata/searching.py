"""Searches of one server, page by page (PS3.18 section 10.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from dicomzarr.errors import InvalidReplyError, NotFoundError, StudyNotFoundError
from dicomzarr.sources.dicomweb.metadata.search import Results
from dicomzarr.sources.dicomweb.urls import search_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.sources.dicomweb.metadata.json_request import JSONRequests


@dataclass(frozen=True, slots=True)
class Searches:
    """Searches one server."""

    base_url: str
    """The URL of its search service."""
    requests: JSONRequests
    most_results: int
    """Of all pages of one search."""

    async def find(
        self, resource: str, parameters: Mapping[str, str], *, wanted: int | None = None, skip: int = 0
    ) -> list[dict[str, Any]]:
        """All results, or as many as are wanted; see `Client.search`."""
        not_found = NotFoundError if resource == "studies" else StudyNotFoundError
        results = Results(resource, wanted, skip)
        more = wanted != 0
        while more:
            page = results.page(parameters)
            subject = f"a search for {resource}"
            reply = await self.requests.get(search_url(self.base_url, resource, page), subject, not_found)
            entries = _entries(reply.body, subject)
            if results.received + len(entries) > self.most_results:
                raise InvalidReplyError(
                    f"A search for {resource} has more than {self.most_results} results.",
                    remedy="Search for less, or raise the bound: limits={'search_results': ...}.",
                )
            more = results.add(entries, asked=int(page["limit"]), more_announced=reply.more_announced)
        return results.entries


def _entries(body: bytes, subject: str) -> list[dict[str, Any]]:
    try:
        return msgspec.json.decode(body, type=list[dict[str, Any]])
    except (ValueError, RecursionError):  # msgspec.DecodeError is a ValueError, and not the only one raised
        raise InvalidReplyError(f"What came for {subject} is no list of JSON objects.") from None
