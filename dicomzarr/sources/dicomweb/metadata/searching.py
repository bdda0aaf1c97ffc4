"""Searches of one server, page by page (PS3.18 section 10.6)."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dicomzarr.errors import DicomZarrError, InvalidReplyError, NotFoundError, StudyNotFoundError
from dicomzarr.sources.dicomweb.metadata.search import PAGE, Results
from dicomzarr.sources.dicomweb.urls import search_url
from dicomzarr.sources.http.statuses import Meaning, means
from dicomzarr.sources.http.urls import host_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.sources.dicomweb.metadata.json_request import JSONRequests

_LOG: Final = logging.getLogger("dicomzarr")
_INCLUDED: Final = "includefield"
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
    _longest: dict[str, int] = field(default_factory=dict, init=False)
    """Results of the longest page that came of each kind: a page of fewer was not cut by the server."""
    _told: bool = field(default=False, init=False)
    """Whether it was said that results may be missing."""

    def once(self) -> Searches:
        """Searches of the same server that send nothing again: it may answer nobody."""
        return replace(self, requests=replace(self.requests, once=True))

    async def find(
        self, resource: str, parameters: Mapping[str, str], *, wanted: int | None = None, skip: int = 0
    ) -> list[dict[str, Any]]:
        """All results, or as many as are wanted; see `Client.search`."""
        results = await self.results(resource, parameters, wanted=wanted, skip=skip)
        if results.overlaps and not self._told and len(results.entries) != wanted:
            self._told = True
            _LOG.warning(
                "%s gave results of a search for %s twice, in another order or whatever the offset: others may be"
                " missing.",
                host_of(self.base_url),
                results.name,
            )
        return results.entries

    async def results(
        self, resource: str, parameters: Mapping[str, str], *, wanted: int | None = None, skip: int = 0
    ) -> Results:
        """The same, with what shows whether they are all; servers may refuse the size of a page, or what to include."""
        refusal: DicomZarrError | None = None
        filters = {name: value for name, value in parameters.items() if name != _INCLUDED}
        for asked in (parameters, filters) if len(filters) < len(parameters) else (parameters,):
            for limit in (PAGE, None):
                # Who knows no limit may know no offset: what is left out before the first is left out here.
                unlimited = wanted if limit is not None or wanted is None else wanted + skip
                results = Results(resource, unlimited, skip if limit is not None else 0, limit)
                try:
                    await self._collect(results, asked)
                except DicomZarrError as error:
                    if results.received:
                        raise
                    refusal = refusal or error
                    if not means(error, Meaning.OTHER_MEDIA_TYPE):
                        return await self._nothing(results, filters, refusal)
                else:
                    results.entries = results.entries[0 if limit is not None else skip :]
                    return results
        assert refusal is not None  # noqa: S101  # there is at least one way of asking
        raise refusal

    async def _nothing(self, results: Results, filters: Mapping[str, str], refusal: DicomZarrError) -> Results:
        """No results, where the server says by a refusal that nothing matches."""
        if isinstance(refusal, NotFoundError) and filters:
            with suppress(DicomZarrError):
                await self._page(results.resource, Results(results.resource, 1).page({}))
                return results
        raise refusal

    async def _collect(self, results: Results, parameters: Mapping[str, str]) -> None:
        """Ask for one page after the other."""
        sure = more = results.wanted != 0
        while more:
            page = results.page(parameters)
            try:
                entries, announced = await self._page(results.resource, page)
            except DicomZarrError:
                if results.limit is None and results.received:  # it may take an offset beside a limit only
                    results.limit = results.longest
                    continue
                if sure:
                    raise
                break  # what came has looked like all there is, and to a server without offsets it is
            before, full = len(results.entries), str(len(entries)) == page.get("limit")
            sure = announced or (results.limit is not None and len(entries) >= int(page["limit"]))
            # A server that gives fewer at once than it is asked for, and does not say so, has more at the next offset.
            more = self._add(results, entries, may_be_cut=sure or len(entries) >= self._whole_below(results))
            if results.limit is not None:
                self._longest[results.name] = max(self._longest.get(results.name, 0), len(entries))
            if full and before and len(results.entries) == before:  # it obeys the limit, and not the offset
                with suppress(DicomZarrError):  # else what came is all that it gives
                    await self._add_all(results, parameters)

    def _whole_below(self, results: Results) -> int:
        """Results that a page may lack to be one that the server has not cut."""
        longest = results.longest if results.limit is None else self._longest.get(results.name, 0)
        return max(_SHORT_PAGE, longest)

    async def _add_all(self, results: Results, parameters: Mapping[str, str]) -> None:
        """Ask for everything at once, of a server that knows no pages."""
        before = len(results.entries)
        entries, _ = await self._page(results.resource, parameters)
        self._add(results, entries, may_be_cut=False)
        results.overlaps = len(results.entries) == before

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
        return msgspec.json.decode(body, type=list[dict[str, Any]])
    except (ValueError, RecursionError):  # msgspec.DecodeError is a ValueError, and not the only one raised
        raise InvalidReplyError(f"What came for {subject} is no list of JSON objects.") from None
