"""The verbs that are asked of a DICOMweb server: metadata of a series, frames, searches (PS3.18 chapter 10)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from dicomzarr.dicomweb.accept import METADATA_ACCEPTS
from dicomzarr.dicomweb.auth import credentials_for
from dicomzarr.dicomweb.exchange import Exchange, Question
from dicomzarr.dicomweb.frame_fetch import FrameFetcher, FrameJob
from dicomzarr.dicomweb.media_type import MediaType
from dicomzarr.dicomweb.replies import EncodedFrame, json_array
from dicomzarr.dicomweb.search import Results
from dicomzarr.dicomweb.transport import AiohttpTransport
from dicomzarr.dicomweb.urls import host_of, search_url, series_metadata_url
from dicomzarr.errors import (
    HTTPStatusError,
    InvalidReplyError,
    NotFoundError,
    SeriesNotFoundError,
    StudyNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from dicomzarr.dicomweb.frame_fetch import Deliver, Fail
    from dicomzarr.dicomweb.transport import Response, Transport
    from dicomzarr.options import StorageOptions

__all__ = ["Client", "EncodedFrame"]

_REFUSED = frozenset({400, 406, 415})


class _JSONReply(NamedTuple):
    body: bytes
    """A JSON array; ``[]`` also where there was no body."""
    status: int
    more_announced: bool
    """``Warning: 299``: there are more results than the server gives at once."""


class Client:
    """Asks one DICOMweb server. All calls must come from one event loop.

    Args:
        base_url: The http(s) URL of the service, without a trailing slash and without user-info.
        options: How it is reached, and with which credentials.
        transport: Sends the requests in the place of aiohttp; whoever gives it closes it.
        sleep: Waits between tries.

    Raises:
        InsecureTransportError: Credentials would travel over plain HTTP to another machine.
        InvalidOptionError: The borrowed client cannot be taken over.
    """

    def __init__(
        self,
        base_url: str,
        options: StorageOptions,
        *,
        transport: Transport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._search_base_url = _search_base_url(self._base_url, options)
        self._credentials = credentials_for(self._base_url, options)
        self._close_transport: Callable[[], Awaitable[None]] | None = None
        if transport is None:
            transport = own = _aiohttp_transport(self._base_url, options)
            self._close_transport = own.close
        slots = asyncio.Semaphore(options.max_connections)
        self._exchange = Exchange(transport, self._credentials, options.timeout, slots, sleep)
        self._fetcher = FrameFetcher(self._base_url, self._exchange)

    async def series_metadata(self, study: str, series: str) -> bytes:
        """The metadata of all instances of a series, as a JSON array that is not parsed yet (PS3.18 Annex F).

        Raises:
            SeriesNotFoundError: The server does not have the series, or has nothing in it.
            ServerError: The server did not give it.
        """
        subject = f"the metadata of series {series}, study {study}"
        url = series_metadata_url(self._base_url, study, series)
        reply = await self._json(url, subject, SeriesNotFoundError)
        if reply.body == b"[]":
            raise SeriesNotFoundError(
                f"The server has nothing for {subject}.",
                remedy="Check the UIDs.",
                status=reply.status,
            )
        return reply.body

    async def frames(  # noqa: PLR0913, PLR0917  # what is asked, and the two outcomes
        self,
        study: str,
        series: str,
        instance: str,
        numbers: Sequence[int],
        deliver: Deliver,
        fail: Fail,
        *,
        compressed: bool = False,
    ) -> None:
        """Fetch frames of one instance (PS3.18 section 10.4.1.1.6); each is delivered or fails, exactly once.

        Args:
            study: Study Instance UID.
            series: Series Instance UID.
            instance: SOP Instance UID.
            numbers: Frame numbers, from 1; a doubled one counts once.
            deliver: Called with the number and the frame as soon as its part is whole.
            fail: Called with the number and the error of a frame that cannot be had.
            compressed: The metadata say that what is stored is a codestream: a server that decodes it is asked anew.
        """
        pending = dict.fromkeys(sorted(set(numbers)))
        await self._fetcher.fetch(FrameJob(study, series, instance, pending, deliver, fail, compressed))

    async def search(
        self,
        resource: str,
        parameters: Mapping[str, str] | None = None,
        *,
        wanted: int | None = None,
        skip: int = 0,
    ) -> list[dict[str, Any]]:
        """Search for studies or series (PS3.18 section 10.6), page by page.

        Args:
            resource: ``studies``, or ``studies/<StudyInstanceUID>/series``.
            parameters: Attributes to match and to include. Some servers refuse
                AvailableTransferSyntaxUID.
            wanted: How many results are enough; None for all.
            skip: How many results to leave out before the first.

        Returns:
            Results in the DICOM JSON model, each study or series once.

        Raises:
            StudyNotFoundError: The server says that the study does not exist.
            ServerError: The server did not answer as it should.
        """
        not_found = NotFoundError if resource == "studies" else StudyNotFoundError
        results = Results(resource, wanted, skip)
        more = wanted != 0
        while more:
            page = results.page(parameters or {})
            url = search_url(self._search_base_url, resource, page)
            subject = f"a search for {resource}"
            reply = await self._json(url, subject, not_found)
            entries = _entries(reply.body, subject)
            more = results.add(entries, asked=int(page["limit"]), more_announced=reply.more_announced)
        return results.entries

    async def close(self) -> None:
        """Close connections and threads."""
        self._credentials.close()
        if self._close_transport is not None:
            await self._close_transport()

    async def _json(self, url: str, subject: str, not_found: type[NotFoundError]) -> _JSONReply:
        first, *others = METADATA_ACCEPTS
        try:
            return await self._json_as(first, url, subject, not_found)
        except HTTPStatusError as error:
            if error.status not in _REFUSED:
                raise
            refusal = error
        for accept in others:
            with suppress(HTTPStatusError):
                return await self._json_as(accept, url, subject, not_found)
        raise refusal

    async def _json_as(self, accept: str, url: str, subject: str, not_found: type[NotFoundError]) -> _JSONReply:
        async def read(response: Response) -> _JSONReply:
            body = b"".join([chunk async for chunk in response.chunks()])
            media = MediaType.parse(response.headers.get("content-type", ""))
            array = json_array(body, media, f"{subject} at {host_of(url)}") if body.strip() else b"[]"
            announced = response.headers.get("warning", "").startswith("299")
            return _JSONReply(array, response.status, announced)

        headers = {"accept": accept, "accept-encoding": "gzip"}
        return await self._exchange.ask(Question(lambda: url, headers, subject, not_found), read)


def _entries(body: bytes, subject: str) -> list[dict[str, Any]]:
    try:
        return msgspec.json.decode(body, type=list[dict[str, Any]])
    except msgspec.DecodeError:
        raise InvalidReplyError(f"What came for {subject} is no list of JSON objects.") from None


def _search_base_url(base_url: str, options: StorageOptions) -> str:
    if options.client is None:
        return base_url
    from dicomzarr.dicomweb.borrowed import service_urls  # noqa: PLC0415  # imports requests

    services = service_urls(options.client)
    return services.search if base_url == services.retrieve else base_url


def _aiohttp_transport(base_url: str, options: StorageOptions) -> AiohttpTransport:
    settings = None
    if options.client is not None:
        from dicomzarr.dicomweb.borrowed import connection_settings  # noqa: PLC0415  # imports requests

        settings = connection_settings(options.client)
    return AiohttpTransport(
        base_url,
        timeout=options.timeout,
        max_connections=options.max_connections,
        settings=settings,
    )
