"""Who may ask: by which name the server is asked for, and from which web pages."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_EXPOSED: Final = "Content-Length, Content-Location, Content-Encoding, ETag, Warning"


@dataclass(frozen=True, slots=True)
class Visitors:
    """Who may ask besides this machine itself."""

    hosts: frozenset[str] = frozenset()
    """Names of this machine, in lower case."""
    origins: frozenset[str] = frozenset()
    """Origins of web pages, as ``https://viewer.example.org``."""

    def knows_host(self, host: str) -> bool:
        """Whether the Host header names this server.

        Another name that leads here belongs to a page that has its name point to this machine (DNS rebinding).
        Addresses are safe: no such page is asked for by one.
        """
        name = (_split(f"//{host}").hostname or "").rstrip(".")
        return name == "localhost" or name.endswith(".localhost") or name in self.hosts or _is_address(name)

    def knows_origin(self, origin: str) -> bool:
        """Whether pages of this origin may read: those of this machine, and those that were named."""
        if origin in self.origins:
            return True
        parts = _split(origin)
        name = parts.hostname or ""
        return parts.scheme in {"http", "https"} and (name == "localhost" or _is_address(name, loopback=True))


def asked_host(request: web.BaseRequest) -> str:
    """The host that is asked for, with its port: where the target is a whole URL, that in it (RFC 9112, 3.2.2)."""
    target = request.raw_path
    return request.headers.get("Host", "") if target[:1] in {"/", "*"} else _split(target).netloc


class PublicService(NamedTuple):
    """How others reach the service through a proxy."""

    url: str
    """Its root, without a slash at its end."""
    host: str
    """The name of the proxy, without a port."""
    origin: str
    """That of pages that the proxy serves beside it."""


def public_service(url: str) -> PublicService:
    """Read the root of the service as others reach it.

    Raises:
        UsageError: It is no URL of HTTP or HTTPS, or more than a root.
    """
    parts = _split(url)
    host = parts.hostname
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment or "@" in parts.netloc:
        raise UsageError(
            "The public URL is no root of a service.", remedy="Write it as https://pacs.example.org/dicom-web."
        )
    return PublicService(url.rstrip("/"), host, f"{parts.scheme}://{parts.netloc}".lower())


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # brackets that do not close
        return urlsplit("")


def _is_address(name: str, *, loopback: bool = False) -> bool:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or not loopback


@dataclass(frozen=True, slots=True)
class Door:
    """A middleware that lets in who may ask, and says so to browsers (the Fetch standard, CORS protocol).

    Args:
        visitors: Who may.
        methods: What may be asked, as ``GET, HEAD, OPTIONS``.
    """

    visitors: Visitors
    methods: str

    @property
    def middleware(self) -> Middleware:
        """For aiohttp."""

        @web.middleware
        async def let_in(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._let_in(request, handler)

        return let_in

    async def _let_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin", "")
        known = not origin or self.visitors.knows_origin(origin)
        if not self.visitors.knows_host(asked_host(request)):
            return web.Response(status=421, text="This server is not known by that name: start it with --name.\n")
        if not known and request.method not in _SAFE:
            return web.Response(
                status=403, text="Pages of that origin may not write here: start it with --allow-origin.\n"
            )
        try:
            response = await handler(request) if request.method != "OPTIONS" else self._options()
        except web.HTTPException as error:
            self._head(error, origin if known else "", request)
            raise
        self._head(response, origin if known else "", request)
        return response

    def _options(self) -> web.StreamResponse:
        return web.Response(status=204, headers={"Allow": self.methods})

    def _head(self, response: web.StreamResponse, origin: str, request: web.Request) -> None:
        headers = response.headers
        headers["X-Content-Type-Options"] = "nosniff"
        headers.add("Vary", "Origin")
        if not origin:
            return
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = _EXPOSED
        if request.method == "OPTIONS":
            headers["Access-Control-Allow-Methods"] = self.methods
            headers["Access-Control-Allow-Headers"] = request.headers.get("Access-Control-Request-Headers", "*")
            headers["Access-Control-Max-Age"] = "600"
            if "Access-Control-Request-Private-Network" in request.headers:
                headers["Access-Control-Allow-Private-Network"] = "true"
