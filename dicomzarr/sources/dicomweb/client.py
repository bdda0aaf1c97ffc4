"""The verbs that are asked of a DICOMweb server: metadata of a series, frames, searches (PS3.18 chapter 10)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

from dicomzarr.codecs.encoded_frame import EncodedFrame
from dicomzarr.engine.ports import SeriesMetadata
from dicomzarr.sources.dicomweb.metadata.bulk_data import BulkData
from dicomzarr.sources.dicomweb.metadata.json_request import JSONRequests
from dicomzarr.sources.dicomweb.metadata.searching import Searches
from dicomzarr.sources.dicomweb.metadata.series_metadata import MetadataFetcher
from dicomzarr.sources.dicomweb.negotiation.frame_fetch import FrameFetcher
from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob
from dicomzarr.sources.dicomweb.tuning.server_profile import ServerProfile
from dicomzarr.sources.dicomweb.urls import instance_metadata_url, series_metadata_url
from dicomzarr.sources.dicomweb.whole.whole_instance import WholeInstances
from dicomzarr.sources.dicomweb.whole.whole_series import retrieve
from dicomzarr.sources.http.credentials.auth import credentials_for
from dicomzarr.sources.http.credentials.transports import transport_for
from dicomzarr.sources.http.exchange import Exchange, RequestSpec
from dicomzarr.sources.http.limiter import RequestLimiter
from dicomzarr.sources.http.pacing import Pacing
from dicomzarr.sources.http.refusals import Refusals
from dicomzarr.sources.http.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from dicomzarr.options import Access, Limits, Tuning
    from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob
    from dicomzarr.sources.dicomweb.whole.whole_series import SeriesJob
    from dicomzarr.sources.http.transport import Response, Transport

_Reply = TypeVar("_Reply")

__all__ = ["Client", "EncodedFrame", "SeriesMetadata"]


class Client:
    """Asks one DICOMweb server. All calls must come from one event loop.

    Args:
        base_url: The http(s) URL of the service, without a trailing slash and without user-info.
        access: How it is reached, and with which credentials.
        tuning: How much is asked at once.
        profile: What is known of the server.
        limits: How much is taken from it and held, if not what the access says.
        transport: Sends the requests in the place of aiohttp; whoever gives it closes it.
        sleep: Waits between tries.
        clock: Gives seconds, and never goes back.

    Raises:
        InsecureTransportError: Credentials would travel over plain HTTP to another machine.
        InvalidOptionError: The borrowed client cannot be taken over.
    """

    def __init__(  # noqa: PLR0913  # what it is made of, by name
        self,
        base_url: str,
        access: Access,
        tuning: Tuning,
        *,
        profile: ServerProfile | None = None,
        limits: Limits | None = None,
        transport: Transport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        limits = limits or access.limits
        self.tuning = tuning
        """How much may be asked at once."""
        self.profile = profile or ServerProfile()
        self._credentials = credentials_for(self._base_url, access)
        self._close_transport: Callable[[], None] = _do_nothing
        self._set_timeout: Callable[[float], None] = _leave_as_it_is
        if transport is None:
            transport = own = transport_for(self._base_url, access, limits)
            self._close_transport = own.close
            self._set_timeout = own.set_timeout
        pacing = Pacing(tuning.max_connections, access.timeout, self.profile.history)
        self._limiter = RequestLimiter(pacing, clock, sleep)
        self._exchange = Exchange(
            transport,
            self._credentials,
            access.timeout,
            self._limiter,
            sleep,
            query=access.query,
            refusals=Refusals(limits.refused_seconds),
        )
        self._whole = WholeInstances(self._base_url, self._exchange, clock, limits)
        requests = JSONRequests(self._exchange, limits.json_bytes)
        found = JSONRequests(self._exchange, limits.search_bytes)
        self._searches = Searches(_search_base_url(self._base_url, access), found, limits.search_results)
        self._metadata = MetadataFetcher(self._base_url, requests, self._whole, self._searches, limits)
        self._bulk_data = BulkData(self._base_url, self._exchange, limits.bulk_data_bytes, access.bulk_data_hosts)
        self._fetcher = FrameFetcher(self._base_url, self._exchange, self._whole, self.profile)

    def tune(self, tuning: Tuning, timeout: float) -> None:
        """Ask more or less at once from now on; what is under way goes on.

        Args:
            tuning: How much.
            timeout: Seconds without progress after which a request fails, unless it is under way.
        """
        if (tuning, timeout) == (self.tuning, self._exchange.timeout):
            return
        self.tuning = tuning
        self._exchange.timeout = timeout
        self._limiter.tune(tuning.max_connections, timeout)
        self._set_timeout(timeout)

    @property
    def connections(self) -> int:
        """Requests that may be under way now: ``max_connections``, and fewer after the server was too busy."""
        return self._limiter.pacing.connections

    async def series_metadata(self, study: str, series: str, known: SeriesMetadata | None = None) -> SeriesMetadata:
        """The metadata of a series as it is now, asked for on condition that it changed (RFC 9110 section 13).

        Where the server refuses or reduces it, it is put together from the instances' own.

        Args:
            study: Study Instance UID.
            series: Series Instance UID.
            known: What the server gave before, if anything.

        Returns:
            ``known`` itself, where the server says that it is the same.

        Raises:
            SeriesNotFoundError: The server does not have the series, or has nothing in it.
            ServerError: The server did not give it, or not of every instance.
        """
        return await self._metadata.fetch(study, series, known)

    async def frames(self, job: FrameJob) -> None:
        """Fetch frames of one instance (PS3.18 section 10.4.1.1.6); the job's sink is told of each, exactly once.

        Frames that the server refuses to give by themselves are cut from the whole instance, which is then held for
        a while on the temporary disk. Its download ends when all who wait for it are cancelled.

        Args:
            job: What is wanted, of what, and for whom.
        """
        await self._fetcher.fetch(job)

    async def whole_series(self, job: SeriesJob) -> None:
        """Fetch all instances of a series at once (PS3.18 section 10.4.1.1.2), each with its one frame.

        Args:
            job: Takes the frames. Those that do not come can be asked for by `frames`.

        Raises:
            ServerError: The server refused, or the reply broke.
        """
        await retrieve(self._base_url, self._exchange, job)

    async def bulk_data(self, study: str, series: str, uri: str, *, instance: str | None = None) -> bytes:
        """A value that the metadata of a series give by reference; the server's credentials stay with the server.

        Args:
            study: Study Instance UID.
            series: Series Instance UID.
            uri: BulkDataURI, absolute or relative to the metadata.
            instance: SOP Instance UID, for a URI that is relative to the instance's own metadata.

        Raises:
            NotFoundError: There is nothing.
            InvalidReplyError: The URI leads nowhere, or something else came.
            InsecureTransportError: It leads from HTTPS to plain HTTP.
            ServerError: The server did not give it.
        """
        places = [series_metadata_url(self._base_url, study, series)]
        subject = f"series {series}, study {study}"
        if instance is not None:
            places.append(instance_metadata_url(self._base_url, study, series, instance))
            subject = f"instance {instance}, {subject}"
        return await self._bulk_data.get(uri, places, f"bulk data of {subject}")

    def lists_refused(self, *, compressed: bool) -> bool:
        """Whether the server gives each frame on its own, but not several at once.

        Args:
            compressed: As for `frames`: what is learned of native instances says nothing about others.
        """
        return not self._fetcher.asks_lists(compressed=compressed)

    @property
    def longest_list(self) -> int | None:
        """Frames that one list may have, as learned from those that the server refused; None without a known limit."""
        return self._fetcher.lengths.longest

    def forget(self, study: str | None = None, series: str | None = None) -> None:
        """Let go of the whole instances of a series, or of all, and of what was learned of them; from any thread."""
        self._whole.forget(study, series)
        self._fetcher.forget(study, series)
        self._metadata.forget(study, series)

    async def search(
        self,
        resource: str,
        parameters: Mapping[str, str] | None = None,
        *,
        wanted: int | None = None,
        skip: int = 0,
    ) -> list[dict[str, Any]]:
        """Search for studies, series or instances (PS3.18 section 10.6), page by page.

        Args:
            resource: ``studies``, ``studies/<StudyInstanceUID>/series``, or ``instances`` below that.
            parameters: Attributes to match and to include. Some servers refuse
                AvailableTransferSyntaxUID.
            wanted: How many results are enough; None for all.
            skip: How many results to leave out before the first.

        Returns:
            Results in the DICOM JSON model, each study, series or instance once.

        Raises:
            StudyNotFoundError: The server says that the study does not exist.
            ServerError: The server did not answer as it should.
        """
        return await self._searches.find(resource, parameters or {}, wanted=wanted, skip=skip)

    async def look(self, url: str, accept: str, read: Callable[[Response], Awaitable[_Reply]]) -> _Reply:
        """Send one GET for whatever is at a URL of this server, to say what is there.

        Args:
            url: Where; credentials go along to the server's own origin only.
            accept: The value of the Accept header.
            read: Reads a successful reply.

        Raises:
            ServerError: There was no success.
        """
        own = origin_of(url) == origin_of(self._base_url)
        spec = RequestSpec(
            lambda: url, {"accept": accept}, "what is there", tries_on_drop=1, once=True, with_credentials=own
        )
        return await self._exchange.send(spec, read)

    def close(self) -> None:
        """Close connections as soon as no request uses them, and free the temporary disk; whoever asks begins anew."""
        self._whole.forget()
        self._close_transport()


def _leave_as_it_is(_: float) -> None:
    """A transport that was given has a timeout of its own."""


def _do_nothing() -> None:
    """A transport that was given is closed by whoever gave it."""


def _search_base_url(base_url: str, access: Access) -> str:
    if access.client is None:
        return base_url
    from dicomzarr.sources.http.credentials.client_adapter import service_urls  # noqa: PLC0415  # imports requests

    services = service_urls(access.client)
    return services.search if base_url == services.retrieve else base_url
