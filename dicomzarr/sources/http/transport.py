"""One request over HTTP: the port that the client needs, and its implementation on aiohttp."""

from __future__ import annotations

import asyncio
import os
import ssl
import weakref
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import aiohttp
from yarl import URL

from dicomzarr.errors import ConnectionFailedError, DicomZarrError, InvalidReplyError
from dicomzarr.options import SecretHeaders
from dicomzarr.options.limits import LIMITS, Limits
from dicomzarr.sources.http import redirects
from dicomzarr.sources.http.connection import ConnectionSettings, proxy_of
from dicomzarr.sources.http.name_lookups import resolver
from dicomzarr.sources.http.network_errors import explained
from dicomzarr.sources.http.pace import Pace, within
from dicomzarr.sources.http.server_cookies import ServerCookies
from dicomzarr.sources.http.session_cleanup import dispose, keep_quiet
from dicomzarr.sources.http.statuses import Meaning, status_means
from dicomzarr.sources.http.unread import CleanConnector
from dicomzarr.sources.http.urls import host_of, origin_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from dicomzarr.sources.http.redirects import Request

_CHUNK = 256 * 1024
_LONGEST_HEADER = 64 * 1024
"""Bytes of one header of a reply: policies of content and tickets of logins are long."""
_MOST_HEADERS = 512
_LISTS = ("www-authenticate", "warning")
"""Headers that are read and may come in several lines, which together are one list (RFC 9110 section 5.3)."""


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
class _Route:
    """How one origin is reached."""

    host: str
    """For messages."""
    tls: ssl.SSLContext | bool
    proxy: URL | None
    """Without its user-info."""
    login: Mapping[str, str]
    """Headers for the proxy."""
    through: Mapping[str, str]
    """Those of them that go with each request: through a tunnel the login is for the tunnel alone."""
    own: bool
    """It leads to the server itself."""


@dataclass(frozen=True, slots=True)
class _AiohttpResponse:
    reply: aiohttp.ClientResponse
    host: str
    timeout: float
    limits: Limits
    headers: Mapping[str, str]

    @property
    def status(self) -> int:
        return self.reply.status

    @property
    def url(self) -> str:
        return str(self.reply.url)

    async def chunks(self) -> AsyncIterator[bytes]:
        pace = Pace(self.host, self.timeout, self.limits.least_rate, self.limits.reply_seconds)
        content = self.reply.content
        with explained(self.host, self.timeout, answered=True):
            while chunk := await pace.next(content.read(_CHUNK)):
                yield chunk


@dataclass(slots=True, eq=False)
class _Connections:
    """A session, and the requests that use it."""

    session: aiohttp.ClientSession
    dispose_of: Callable[[], object]
    """Closes it, once."""
    requests: int = 0
    unwanted: bool = False

    @contextmanager
    def used(self) -> Iterator[aiohttp.ClientSession]:
        """The session, for a request."""
        self.requests += 1
        try:
            yield self.session
        except Exception as error:
            if isinstance(error, DicomZarrError) or not self.session.closed:
                raise
            # aiohttp falls over in several ways then, by what it was about to do.
            raise ConnectionFailedError("The connections were closed: the process ends.") from None
        finally:
            self.requests -= 1
            if self.unwanted:
                self.close()

    def close(self) -> None:
        """Close it, as soon as no request uses it."""
        self.unwanted = True
        if not self.requests:
            self.dispose_of()


class AiohttpTransport:
    """A transport on one aiohttp session, which is made on the loop of the first request.

    Args:
        base_url: The server that the client's certificate, if any, is meant for.
        timeout: Seconds without progress after which a request fails.
        limits: How slow a server may be, and how long a connection stays open that nobody uses.
        settings: TLS and proxies.
        own_host_only: Requests go to no other origin than the server's, whatever it redirects or refers to.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = 60.0,
        limits: Limits = LIMITS,
        settings: ConnectionSettings | None = None,
        own_host_only: bool = False,
    ) -> None:
        self._origin = origin_of(base_url)
        self._own_host_only = own_host_only
        self._limits = limits
        self.set_timeout(timeout)
        self._settings = settings or ConnectionSettings()
        self._connections: _Connections | None = None
        self._cookies = ServerCookies()
        self._routes: dict[str, _Route] = {}

    @asynccontextmanager
    async def get(self, request: Request) -> AsyncIterator[Response]:
        """Send a request and follow its redirects; see `Transport.get`."""
        with self._open_connections().used() as session:
            leads = ""
            for _ in range(redirects.MOST + 1):
                self._check_origin(request.url)
                route = self._route(request.url)
                host = route.host + leads
                seconds = max(self._timeout, self._limits.header_seconds)
                plain = not isinstance(route.tls, ssl.SSLContext)
                with explained(host, self._timeout, answered=False, plain=plain):
                    reply = await within(seconds, host, self._send(session, request, route))
                async with reply:
                    if route.own:
                        self._keep_cookies(request.url, reply)
                    if request.form is not None or not status_means(reply.status, Meaning.REDIRECT):
                        yield _AiohttpResponse(reply, route.host, self._timeout, self._limits, _headers(reply))
                        return
                    request = redirects.follow(request, reply.headers.get("location"))
                    if host_of(request.url) != route.host:
                        leads = f" (where {route.host} leads)"
        raise InvalidReplyError(f"{host_of(request.url)} redirected more than {redirects.MOST} times.")

    def _keep_cookies(self, url: str, reply: aiohttp.ClientResponse) -> None:
        if status_means(reply.status, Meaning.OTHER_CREDENTIALS):
            self._cookies = ServerCookies()  # a session that has ended must not stand in the way of the next login
        if "set-cookie" in reply.headers:
            self._cookies.keep(url, reply.headers.getall("set-cookie"))

    def _check_origin(self, url: str) -> None:
        if self._own_host_only and origin_of(url) != self._origin:
            raise InvalidReplyError(
                f"The server leads to {host_of(url)}, another host, port or scheme, where nothing is asked for.",
                remedy="Name that server itself, or leave out own_host_only.",
            )

    def set_timeout(self, timeout: float) -> None:
        """Let requests from now on fail after so many seconds without progress."""
        self._timeout = timeout
        self._timeouts = aiohttp.ClientTimeout(total=None, sock_connect=timeout, sock_read=timeout)

    def close(self) -> None:
        """Close the connections as soon as no request uses them; later ones open others."""
        connections, self._connections = self._connections, None
        self._cookies = ServerCookies()
        if connections is not None:
            connections.close()

    async def _send(self, session: aiohttp.ClientSession, request: Request, route: _Route) -> aiohttp.ClientResponse:
        headers = {**request.credentials, **request.headers, **route.through}
        return await session.request(
            "GET" if request.form is None else "POST",
            URL(request.url, encoded=True),
            data=request.form,
            headers=self._cookies.along(request.url, headers) if route.own else headers,
            allow_redirects=False,
            ssl=route.tls,
            proxy=route.proxy,
            proxy_headers=route.login,
            timeout=self._timeouts,
        )

    def _route(self, url: str) -> _Route:
        """The route to a URL's origin, found once: each frame may be a request."""
        scheme, _, rest = url.partition("://")
        start = f"{scheme}://{rest.partition('/')[0]}/"
        known = self._routes.get(start)
        if known is None:
            proxy = proxy_of(start, self._settings.proxy_for)
            login = SecretHeaders() if proxy is None else proxy.login
            through = SecretHeaders() if scheme == "https" else login
            known = self._routes[start] = _Route(
                host_of(start),
                self._tls_for(start),
                None if proxy is None else proxy.url,
                login,
                through,
                origin_of(start) == self._origin,
            )
        return known

    def _tls_for(self, url: str) -> ssl.SSLContext | bool:
        origin = origin_of(url)
        return self._settings.tls(own_server=origin == self._origin) if origin[0] == "https" else True

    def _open_connections(self) -> _Connections:
        if self._connections is None or self._connections.session.closed:
            # Cookies are kept by ourselves, for the server alone. trust_env stays off because aiohttp would take
            # credentials from a .netrc file as well; proxies of the environment are found by ourselves.
            session = aiohttp.ClientSession(
                # `RequestLimiter` bounds them.
                connector=CleanConnector(limit=0, keepalive_timeout=self._limits.seconds_idle, resolver=resolver()),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                read_bufsize=_CHUNK,
                max_field_size=_LONGEST_HEADER,
                max_headers=_MOST_HEADERS,
            )
            loop = asyncio.get_running_loop()
            keep_quiet(loop)
            dispose_of = weakref.finalize(self, dispose, session, loop, os.getpid())
            self._connections = _Connections(session, dispose_of)
        return self._connections


def _headers(reply: aiohttp.ClientResponse) -> dict[str, str]:
    headers = {name.lower(): value for name, value in reply.headers.items()}
    lists = {name: ", ".join(reply.headers.getall(name)) for name in _LISTS if name in headers}
    return {**headers, **lists}
