"""One GET over HTTP: the port that the client needs, and its implementation on aiohttp."""

from __future__ import annotations

import asyncio
import os
import weakref
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import aiohttp
from yarl import URL

from dicomzarr.dicomweb import redirects
from dicomzarr.dicomweb.connection import ConnectionSettings
from dicomzarr.dicomweb.redirects import Request
from dicomzarr.dicomweb.urls import host_of, is_loopback, origin_of
from dicomzarr.errors import (
    ConnectionFailedError,
    DicomZarrError,
    InvalidReplyError,
    RequestTimeoutError,
    TruncatedReplyError,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

_KEEP_ALIVE = 0.9  # seconds: Orthanc closes idle connections after one
_CLOSING = 1.0  # seconds that closing at exit may take
_CHUNK = 256 * 1024


class ConnectionDroppedError(ConnectionFailedError):
    """The connection was made, and the server broke it before it answered: another try may help."""


class Response(Protocol):
    """The answer to a GET while its body arrives."""

    @property
    def status(self) -> int:
        """The HTTP status code."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Header values by lower-case name."""

    @property
    def url(self) -> str:
        """The URL that answered, after redirects."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body, content-decoded, as it arrives.

        Raises:
            TruncatedReplyError: The body ended early.
            RequestTimeoutError: Nothing came for too long.
        """


class Transport(Protocol):
    """Sends GET requests."""

    def get(self, request: Request) -> AbstractAsyncContextManager[Response]:
        """Send a request, follow its redirects, and give the reply.

        Raises:
            ConnectionFailedError: No connection, or it broke.
            RequestTimeoutError: No progress within the timeout.
        """


@dataclass(frozen=True, slots=True)
class _AiohttpResponse:
    reply: aiohttp.ClientResponse
    host: str
    timeout: float
    headers: Mapping[str, str]

    @property
    def status(self) -> int:
        return self.reply.status

    @property
    def url(self) -> str:
        return str(self.reply.url)

    async def chunks(self) -> AsyncIterator[bytes]:
        with _explained(self.host, self.timeout, answered=True):
            async for chunk in self.reply.content.iter_chunked(_CHUNK):
                yield chunk


class AiohttpTransport:
    """A transport on one aiohttp session, which is made on the loop of the first request.

    Args:
        base_url: The server that the client's certificate, if any, is meant for.
        timeout: Seconds without progress after which a request fails.
        max_connections: Connections that are open at once.
        settings: TLS and proxies.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = 60.0,
        max_connections: int = 8,
        settings: ConnectionSettings | None = None,
    ) -> None:
        self._origin = origin_of(base_url)
        self._timeout = timeout
        self._max_connections = max_connections
        self._settings = settings or ConnectionSettings()
        self._session: aiohttp.ClientSession | None = None
        self._tls: dict[bool, ssl.SSLContext] = {}

    @asynccontextmanager
    async def get(self, request: Request) -> AsyncIterator[Response]:
        """Send a request and follow its redirects; see `Transport.get`."""
        for _ in range(redirects.MOST + 1):
            async with self._send(request) as reply:
                if reply.status not in redirects.STATUSES:
                    yield reply
                    return
                request = redirects.follow(request, reply.headers.get("location"))
        raise InvalidReplyError(f"{host_of(request.url)} redirected more than {redirects.MOST} times.")

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def _send(self, request: Request) -> AsyncIterator[_AiohttpResponse]:
        host = host_of(request.url)
        proxy, proxy_auth = self._proxy(request.url)
        with _explained(host, self._timeout, answered=False):
            reply = await self._open_session().get(
                URL(request.url, encoded=True),
                headers={**request.credentials, **request.headers},
                allow_redirects=False,
                ssl=self._tls_for(request.url),
                proxy=proxy,
                proxy_auth=proxy_auth,
            )
        async with reply:
            headers = {name.lower(): value for name, value in reply.headers.items()}
            yield _AiohttpResponse(reply, host, self._timeout, headers)

    def _tls_for(self, url: str) -> ssl.SSLContext | bool:
        origin = origin_of(url)
        if origin[0] != "https":
            return True
        own = origin == self._origin
        if own not in self._tls:
            self._tls[own] = self._settings.tls(own_server=own)
        return self._tls[own]

    def _proxy(self, url: str) -> tuple[URL | None, aiohttp.BasicAuth | None]:
        # Plain HTTP to this machine may carry credentials: it must not leave the machine through a proxy.
        found = None if is_loopback(url) else self._settings.proxy_for(url)
        if not found:
            return None, None
        proxy = URL(found)
        login = aiohttp.BasicAuth(proxy.user, proxy.password or "") if proxy.user else None
        return proxy.with_user(None), login

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            # One user's cookies never meet another's: no cookie is kept. The environment is read for proxies only,
            # since aiohttp would take credentials from a .netrc file as well.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections, keepalive_timeout=_KEEP_ALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=self._timeout),
                trust_env=False,
                read_bufsize=_CHUNK,
            )
            weakref.finalize(self, _dispose, self._session, asyncio.get_running_loop(), os.getpid())
        return self._session


def _dispose(session: aiohttp.ClientSession, loop: asyncio.AbstractEventLoop, process: int) -> None:
    """Close a session that nobody can close any more, also at exit and from other threads."""
    connector = session.connector
    if connector is None or session.closed:
        return
    session.detach()  # from here on the session is closed, and only its connections are left
    if os.getpid() != process or not loop.is_running():
        # The loop has stopped, or belongs to the parent of this fork: nothing may be sent on its connections.
        connector._conns.clear()  # noqa: SLF001  # else aiohttp would close them itself, with a warning
    elif _runs_here(loop):
        asyncio.ensure_future(_close(connector), loop=loop)
    else:
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(_close(connector), loop).result(_CLOSING)


async def _close(connector: aiohttp.BaseConnector) -> None:
    await connector.close()


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


@contextmanager
def _explained(host: str, timeout: float, *, answered: bool) -> Iterator[None]:
    """Turn aiohttp's exceptions into ours; their texts may hold URLs and headers, so that only types are named."""
    try:
        yield
    except DicomZarrError:
        raise
    except TimeoutError:
        raise RequestTimeoutError(
            f"{host} gave nothing for {timeout:g} s.",
            remedy="Raise the timeout option if the server is that slow.",
        ) from None
    except (aiohttp.ClientError, OSError) as error:
        raise _network_error(error, host, answered=answered) from None


def _network_error(error: Exception, host: str, *, answered: bool) -> DicomZarrError:
    kind = type(error).__name__
    if answered:
        return TruncatedReplyError(f"The reply of {host} ended early ({kind}).")
    if isinstance(error, aiohttp.ClientSSLError):
        return ConnectionFailedError(
            f"No TLS connection to {host} ({kind}).",
            remedy="Check its certificate, and whether it speaks HTTPS at all (dicomweb:// is plain HTTP).",
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or type(error.os_error).__name__
        return ConnectionFailedError(
            f"No connection to {host}: {reason}.",
            remedy="Check the host, the port and the network.",
        )
    if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, OSError)):
        return ConnectionDroppedError(f"{host} broke the connection before it answered ({kind}).")
    return ConnectionFailedError(
        f"{host} could not be talked to in HTTP ({kind}).", remedy="Check the URL and the proxy."
    )
