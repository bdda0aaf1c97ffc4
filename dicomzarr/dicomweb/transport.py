"""One GET over HTTP: the port that the client needs, and its implementation on aiohttp."""

from __future__ import annotations

import asyncio
import os
import weakref
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import aiohttp
from yarl import URL

from dicomzarr.dicomweb import redirects
from dicomzarr.dicomweb.connection import ConnectionSettings, basic_login
from dicomzarr.dicomweb.disposal import dispose
from dicomzarr.dicomweb.network_errors import explained
from dicomzarr.dicomweb.urls import host_of, is_loopback, origin_of
from dicomzarr.errors import InvalidReplyError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from dicomzarr.dicomweb.redirects import Request

_KEEP_ALIVE = 0.9  # seconds: Orthanc closes idle connections after one
_CHUNK = 256 * 1024


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
        with explained(self.host, self.timeout, answered=True):
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
        proxy, login = self._proxy(request.url)
        # Through a tunnel the login is for the tunnel; else the proxy reads the request itself.
        through = {} if request.url.startswith("https:") else login
        with explained(host, self._timeout, answered=False):
            reply = await self._open_session().get(
                URL(request.url, encoded=True),
                headers={**request.credentials, **request.headers, **through},
                allow_redirects=False,
                ssl=self._tls_for(request.url),
                proxy=proxy,
                proxy_headers=login,
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

    def _proxy(self, url: str) -> tuple[URL | None, dict[str, str]]:
        """The proxy for a URL without its user-info, and the header that this becomes."""
        # Plain HTTP to this machine may carry credentials: it must not leave through a proxy.
        found = None if is_loopback(url) else self._settings.proxy_for(url)
        if not found:
            return None, {}
        proxy = URL(found)
        login = basic_login(proxy.user, proxy.password or "") if proxy.user else None
        return proxy.with_user(None), {"proxy-authorization": login} if login else {}

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            # No cookie is kept, so that one user's never meet another's. trust_env stays off because aiohttp
            # would take credentials from a .netrc file as well; proxies of the environment are found by ourselves.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections, keepalive_timeout=_KEEP_ALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=self._timeout),
                trust_env=False,
                read_bufsize=_CHUNK,
            )
            weakref.finalize(self, dispose, self._session, asyncio.get_running_loop(), os.getpid())
        return self._session
