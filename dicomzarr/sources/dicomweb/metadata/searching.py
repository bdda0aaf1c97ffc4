"""Searches of one server, page by page (PS3.18 section 10.6)."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dicomzarr.errors import DicomZarrError, InvalidReplyError, NotFoundError, StudyNotFoundError
from dicomzarr.sources.dicomweb.metadata.search import Results
from dicomzarr.sources.dicomweb.urls import search_url
from dicomzarr.sources.http.statuses import Meaning, means

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.sources.dicomweb.metadata.json_request import JSONRequests


_INCLUDED: Final = "includefield"
_UID: Final = re.compile(rb'"(?:00080018|0020000[dDeE])"')
"""Of an instance, a study or a series: an attribute of every result."""
_SHORT_PAGE: Final = 3
"""Results up to which no server bounds a page."""


@dataclass(slots=True)
class Searches:
    """Searches one server."""

    base_url: str
    """The URL of its search service."""
    requests: JSONRequests
    most_results: int
    """Of all pages of one search."""
    _longest: int = field(default=_SHORT_PAGE, init=False)
    """Results of the longest page that came: a page of fewer was not cut by the server."""

    async def find(
        self, resource: str, parameters: Mapping[str, str], *, wanted: int | None = None, skip: int = 0
    ) -> list[dict[str, Any]]:
        """All results, or as many as are wanted; see `Client.search`."""
        results = Results(resource, wanted, skip)
        sure = more = wanted != 0
        while more:
            page = results.page(parameters)
            try:
                entries, announced = await self._page(resource, page)
            except DicomZarrError as error:
                if not sure:
                    break  # what came has looked like all there is, and to a server without offsets it is
                if results.received:
                    raise
                await self._ask_otherwise(results, parameters, error)
                break
            before, full = len(results.entries), len(entries) == int(page["limit"])
            sure = announced or len(entries) >= int(page["limit"])
            # A server that gives fewer at once than it is asked for, and does not say so, has more at the next offset.
            more = self._add(results, entries, may_be_cut=sure or len(entries) >= self._longest)
            self._longest = max(self._longest, len(entries))
            if full and before and len(results.entries) == before:  # it obeys the limit, and not the offset
                with suppress(DicomZarrError):  # else what came is all that it gives
                    await self._add_all(results, parameters)
        return results.entries

    async def _ask_otherwise(self, results: Results, parameters: Mapping[str, str], refusal: DicomZarrError) -> None:
        """After a search was refused: for what it includes, for its pages, or because nothing matches."""
        asked = {name: value for name, value in parameters.items() if name != _INCLUDED}
        with suppress(DicomZarrError):
            if isinstance(refusal, NotFoundError) and asked:  # so some servers say that nothing matches
                await self._page(results.resource, Results(results.resource, 1).page({}))
                return
            if means(refusal, Meaning.OTHER_MEDIA_TYPE) and len(asked) < len(parameters):
                results.entries = await self.find(results.resource, asked, wanted=results.wanted, skip=results.skipped)
                return
            if means(refusal, Meaning.OTHER_MEDIA_TYPE):
                await self._add_all(results, parameters, results.skipped)
                return
        raise refusal

    async def _add_all(self, results: Results, parameters: Mapping[str, str], skip: int = 0) -> None:
        """Ask for everything at once, of a server that knows no pages."""
        entries, _ = await self._page(results.resource, parameters)
        self._add(results, entries[skip:], may_be_cut=False)

    def _add(self, results: Results, entries: list[dict[str, Any]], *, may_be_cut: bool) -> bool:
        if len(results.entries) + len(entries) > self.most_results:
            raise InvalidReplyError(
                f"A search for {results.resource} has more than {self.most_results} results.",
                remedy="Search for less, or raise the bound: limits={'search_results': ...}.",
            )
        return results.add(entries, may_be_cut=may_be_cut)

    async def _page(self, resource: str, page: Mapping[str, str]) -> tuple[list[dict[str, Any]], bool]:
        """The results on a page, and whether the server says that there are more."""
        not_found = NotFoundError if resource == "studies" else StudyNotFoundError
        subject = f"a search for {resource}"
        reply = await self.requests.get(search_url(self.base_url, resource, page), subject, not_found)
        return _entries(reply.body, subject), reply.more_announced


def _entries(body: bytes, subject: str) -> list[dict[str, Any]]:
    try:
        try:
            return msgspec.json.decode(body, type=list[dict[str, Any]])
        except (msgspec.DecodeError, UnicodeDecodeError):  # as versions of msgspec have it
            if not _UID.search(body):
                raise
        text = body.decode("utf-8", "replace")  # names may be in another character set; UIDs are ASCII
        return msgspec.json.decode(text, type=list[dict[str, Any]])
    except (ValueError, RecursionError):  # msgspec.DecodeError is a ValueError, and not the only one raised
        raise InvalidReplyError(f"What came for {subject} is no list of JSON objects.") from None
