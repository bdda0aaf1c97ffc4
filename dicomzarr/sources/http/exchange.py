"""One spec to the server until it is answered: credentials, a place in the queue, retries, errors."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from dicomzarr.errors import (
    AuthenticationError,
    DicomZarrError,
    HTTPStatusError,
    InvalidReplyError,
    NotFoundError,
    PermissionDeniedError,
    TruncatedReplyError,
)
from dicomzarr.options import Rejected
from dicomzarr.sources.http.content_range import is_piece
from dicomzarr.sources.http.credentials.given import say_whose
from dicomzarr.sources.http.gateway_pages import begun
from dicomzarr.sources.http.limiter import RequestSlot
from dicomzarr.sources.http.redirects import Request
from dicomzarr.sources.http.refusals import Refusals
from dicomzarr.sources.http.retry import TRIES, Tries
from dicomzarr.sources.http.statuses import Meaning, means, status_error, status_means, tells_more
from dicomzarr.sources.http.tls_refusals import REFUSING, refusal_of
from dicomzarr.sources.http.urls import host_of, origin_of, safe_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from dicomzarr.sources.http.credentials.secret_headers import Credentials
    from dicomzarr.sources.http.limiter import RequestLimiter
    from dicomzarr.sources.http.transport import Response, Transport

Reply = TypeVar("Reply")

_SECONDS_FOR_A_PAGE: Final = 2.0
_PAGE_HEAD: Final = 4096
"""Bytes of a page that are looked at."""
_LOG: Final = logging.getLogger("dicomzarr")


@dataclass(frozen=True, slots=True)
class RequestSpec:
    """What is asked."""

    url: Callable[[], str]
    """Gives the URL for each try: a retry may ask for less."""
    headers: Mapping[str, str]
    """Headers that say what is wanted."""
    subject: str
    """What is asked, for messages: UIDs and numbers, never names."""
    not_found: type[NotFoundError] = NotFoundError
    """The error for 404 and 410."""
    tries_on_drop: int = TRIES
    """How often it is sent at most to a server that breaks the connection."""
    tries_on_loss: int = TRIES
    """How often it is sent at most to a server whose replies end early or lack parts."""
    once: bool = False
    """It is not sent again, however it fails: something else can be asked instead."""
    with_credentials: bool = True
    """The secret headers go with it; not to an origin that is not the server's own."""


@dataclass(slots=True)
class Exchange:
    """Asks one server.

    All of its requests share the number of connections, and the pauses that the server asks for.
    """

    transport: Transport
    """Sends the requests."""
    credentials: Credentials
    """Gives the secret headers."""
    timeout: float
    """Seconds that may be spent on waiting before retries."""
    limiter: RequestLimiter
    """Bounds the requests under way."""
    sleep: Callable[[float], Awaitable[None]]
    """Waits before a retry."""
    query: str = ""
    """Parameters of every request that has none of its own, and that credentials go with."""
    refusals: Refusals = field(default_factory=Refusals)
    """Credentials that the server has just refused."""

    async def send(self, spec: RequestSpec, read: Callable[[Response], Awaitable[Reply]]) -> Reply:
        """Send until there is an answer or no hope.

        Args:
            spec: What is asked.
            read: Reads a successful reply (status 200, 204 or 206); it is called anew for each try.

        Raises:
            ServerError: As the last try failed.
            UsageError: The credentials cannot be used.
        """
        tries, history = Tries(self.timeout, spec.tries_on_drop, spec.tries_on_loss), self.limiter.pacing.history
        while True:
            slot = RequestSlot(self.limiter)
            try:
                async with slot:
                    return await self._try(spec, read)
            except DicomZarrError as error:
                hopeless = slot.hopeless or spec.once
                limited = means(error, Meaning.LIMITED)
                ever = history.served > history.gone_at
                others, crowded = slot.others_served, slot.was_crowded
                pause = (
                    None
                    if hopeless
                    else tries.pause_after(error, others_served=others, ever_served=ever, crowded=crowded)
                )
                if pause is None:
                    history.gone_at = history.told_at if tries.outlasts else history.gone_at
                    error.name_subject(spec.subject)
                    if isinstance(error, HTTPStatusError):
                        error.challenge = ""
                    # What it was made of may hold headers, and some pickles (tblib's) take it along to other processes.
                    error.__context__ = None
                    raise
            if tries.outlasts:
                self._tell_of_waiting(spec.url(), limited=limited)
            if pause:
                await self.sleep(pause)

    def _tell_of_waiting(self, url: str, *, limited: bool) -> None:
        """Say, once each time that a server goes away or serves no more, why nothing happens."""
        history = self.limiter.pacing.history
        if history.told_at == history.served:
            return
        history.told_at = history.served
        _LOG.warning(
            "%s %s: it is asked again for %g s at most (the option timeout).",
            host_of(url),
            "says that requests are too many" if limited else "answered before and does not now",
            self.timeout,
        )

    async def _try(self, spec: RequestSpec, read: Callable[[Response], Awaitable[Reply]]) -> Reply:
        url = spec.url()
        if not spec.with_credentials:
            return await self._send_once(spec, Request(url, spec.headers), read)
        if self.query and "?" not in url:
            url = f"{url}?{self.query}"
        secret = await self.credentials.headers_for(url, spec.headers)
        try:
            return await self._send_once(spec, Request(url, spec.headers, secret), read)
        except (AuthenticationError, PermissionDeniedError) as error:
            if error.redirected_to or error.status not in self.credentials.renewable_after:
                raise  # who asks elsewhere was sent none, and gets none
            refused = Rejected(error.status, url, error.challenge, secret)
            renewed = await self.credentials.headers_for(url, spec.headers, refused=refused)
            if renewed == secret:  # a wrong password sent twice may lock its owner out
                raise
        return await self._send_once(spec, Request(url, spec.headers, renewed), read)

    async def _send_once(
        self, spec: RequestSpec, request: Request, read: Callable[[Response], Awaitable[Reply]]
    ) -> Reply:
        async with self.refusals.guard(request.credentials) as accepted, self.transport.get(request) as response:
            if not status_means(response.status, Meaning.OTHER_CREDENTIALS):
                accepted()
            if status_means(response.status, Meaning.SUCCESS):
                response = await begun(response)  # noqa: PLW2901  # the same, once its page was looked at
            if not status_means(response.status, Meaning.SUCCESS):
                begins = await _beginning(response)
                subject = f"{spec.subject} at {_answering_host(request.url, response.url)}"
                error = status_error(response.status, response.headers, subject, spec.not_found, begins)
                reached = origin_of(request.url) == origin_of(response.url)
                error.redirected_to = "" if reached else safe_url(response.url)
                if isinstance(error, AuthenticationError | PermissionDeniedError):
                    say_whose(error, self.credentials.given, request.credentials if reached else {})
                raise error
            if is_piece(response.headers.get("content-range", "")) and "range" not in spec.headers:
                raise TruncatedReplyError(f"A range of bytes, which nobody asked for, came for {spec.subject}.")
            try:
                return await read(response)
            except MemoryError:
                raise InvalidReplyError(
                    f"There is not enough memory for {spec.subject}.", remedy="Read less at once, or lower the limits."
                ) from None


async def _beginning(response: Response) -> bytes:
    """What the body of a refusal begins with, where that says how it is meant; else it is not read.

    Raises:
        DicomZarrError: It says that plain HTTP came where TLS belongs, or no certificate.
    """
    begins = b""
    if response.status != REFUSING and not tells_more(response.status):
        return begins
    with suppress(DicomZarrError, TimeoutError):  # the status says enough
        async with asyncio.timeout(_SECONDS_FOR_A_PAGE):
            async for chunk in response.chunks():
                begins += chunk
                if len(begins) >= _PAGE_HEAD:
                    break
    error = refusal_of(host_of(response.url), begins) if response.status == REFUSING else None
    if error is not None:
        raise error
    return begins


def _answering_host(asked: str, answered: str) -> str:
    host = host_of(asked)
    if origin_of(asked) == origin_of(answered):
        return host
    return f"{host}, which redirected to {host_of(answered)} (credentials stay behind)"
