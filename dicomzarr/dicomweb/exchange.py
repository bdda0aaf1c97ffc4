"""One question to the server until it is answered: credentials, a place in the queue, retries, errors."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from dicomzarr.dicomweb.network_errors import ConnectionDroppedError
from dicomzarr.dicomweb.redirects import Request
from dicomzarr.dicomweb.retry import TRIES, pause_before_retry
from dicomzarr.dicomweb.statuses import status_error
from dicomzarr.dicomweb.urls import host_of, origin_of
from dicomzarr.errors import AuthenticationError, DicomZarrError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from dicomzarr.dicomweb.auth import Credentials
    from dicomzarr.dicomweb.transport import Response, Transport

Reply = TypeVar("Reply")

_SUCCESS = frozenset({200, 204, 206})
_REFUSED = 401


@dataclass(frozen=True, slots=True)
class Question:
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


@dataclass(slots=True)
class Exchange:
    """Asks one server.

    All of its requests share the number of connections.
    """

    transport: Transport
    """Sends the requests."""
    credentials: Credentials
    """Gives the secret headers."""
    timeout: float
    """Seconds that may be spent on waiting before retries."""
    slots: asyncio.Semaphore
    """Bounds the requests in flight."""
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep)
    """Waits before a retry."""

    async def ask(self, question: Question, read: Callable[[Response], Awaitable[Reply]]) -> Reply:
        """Ask until there is an answer or no hope.

        Args:
            question: What is asked.
            read: Reads a successful reply (status 200, 204 or 206); it is called anew for each try.

        Raises:
            ServerError: As the last try failed.
            UsageError: The credentials cannot be used.
        """
        waited = 0.0
        tries = 0
        while True:
            tries += 1
            try:
                return await self._try(question, read)
            except DicomZarrError as error:
                pause = pause_before_retry(error, tries, waited, self.timeout)
                dropped = isinstance(error, ConnectionDroppedError)
                if pause is None or (dropped and tries >= question.tries_on_drop):
                    error.name_subject(question.subject)
                    raise
            await self.sleep(pause)
            waited += pause

    async def _try(self, question: Question, read: Callable[[Response], Awaitable[Reply]]) -> Reply:
        async with self.slots:
            url = question.url()
            secret = await self.credentials.headers_for(url, question.headers)
            try:
                return await self._send(question, Request(url, question.headers, secret), read)
            except AuthenticationError as error:
                if error.status != _REFUSED or not self.credentials.renewable:
                    raise
            secret = await self.credentials.headers_for(url, question.headers, refused=secret)
            return await self._send(question, Request(url, question.headers, secret), read)

    async def _send(self, question: Question, request: Request, read: Callable[[Response], Awaitable[Reply]]) -> Reply:
        async with self.transport.get(request) as response:
            if response.status not in _SUCCESS:
                subject = f"{question.subject} at {_answering_host(request.url, response.url)}"
                raise status_error(response.status, response.headers, subject, question.not_found)
            return await read(response)


def _answering_host(asked: str, answered: str) -> str:
    host = host_of(asked)
    if origin_of(asked) == origin_of(answered):
        return host
    return f"{host}, which redirected to {host_of(answered)} (credentials stay behind)"
