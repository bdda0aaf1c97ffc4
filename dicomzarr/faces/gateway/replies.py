"""Replies: the headers that all have, values with their conditions, errors in words."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from dicomzarr.faces.gateway.conditions import OTHER_VALUE, PARTIAL, UNSATISFIABLE, WHOLE, select

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.faces.gateway.conditions import Selection
    from dicomzarr.faces.gateway.refusals import Refusal

DATA_POLICY: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""Content-Security-Policy of all that is no page: nothing in it is run or loaded."""

COMMON: Final = {
    "Server": "dicomzarr",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": DATA_POLICY,
}
"""Of every reply that does not say otherwise."""

COMMON_ITEMS: Final = tuple(COMMON.items())

FOR_EVER: Final = "private, max-age=31536000, immutable"
ASK_AGAIN: Final = "private, no-cache"
NEVER: Final = "no-store"

_RANGES: Final = {"Accept-Ranges": "bytes", "Accept-Range": "bytes"}  # n5 looks for the misspelt one
SENDING: Final = 60.0
_SLOWEST: Final = 16 * 2**10
"""Seconds, and those that each so many bytes take besides, in which a client must take what it asked for: nothing is
held for one that does not."""


def etag_of(*parts: str | bytes) -> str:
    """A strong entity tag of what determines a value, or of the value."""
    hashed = sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        hashed.update(len(data).to_bytes(8, "big") + data)
    return f'"{hashed.hexdigest()[:32]}"'


def selection(request: web.BaseRequest, etag: str, size: int) -> Selection:
    """What of a value a request is answered with."""
    return select(request.headers, etag, size, is_get=request.method == "GET")


def needs_value(request: web.BaseRequest, chosen: Selection) -> bool:
    """Whether bytes of the value are sent."""
    return request.method != "HEAD" and chosen.status in (WHOLE, PARTIAL)


def value_reply(  # noqa: PLR0913  # what makes up a reply
    chosen: Selection, *, etag: str, size: int, data: bytes | None, content_type: str, caching: str
) -> web.Response:
    """A value, or that part of it which was chosen.

    Args:
        chosen: As `selection` gives it.
        etag: Of the value.
        size: Its bytes.
        data: It; None where `needs_value` says that it is not sent.
        content_type: Of it.
        caching: Cache-Control.
    """
    headers = {"ETag": etag, "Cache-Control": caching, **_RANGES}
    if chosen.status == UNSATISFIABLE:
        headers |= {"Content-Range": f"bytes */{size}", "Cache-Control": NEVER}
        text = "One range is served at a time, of bytes that the value has.\n"
        return web.Response(status=UNSATISFIABLE, text=text, headers=headers)
    if chosen.status == OTHER_VALUE:
        text = "The value has another entity tag than If-Match names.\n"
        return web.Response(status=OTHER_VALUE, text=text, headers={"ETag": etag, "Cache-Control": NEVER})
    if chosen.status in (WHOLE, PARTIAL):
        headers["Content-Type"] = content_type
        headers["Content-Length"] = str(chosen.stop - chosen.start)
    if chosen.status == PARTIAL:
        headers["Content-Range"] = f"bytes {chosen.start}-{chosen.stop - 1}/{size}"
        data = None if data is None else data[chosen.start : chosen.stop]
    return web.Response(status=chosen.status, body=data, headers=headers)


def document_reply(
    request: web.BaseRequest, data: bytes, content_type: str = "application/json", caching: str = ASK_AGAIN
) -> web.Response:
    """Something small that is at hand."""
    etag = etag_of(data)
    chosen = selection(request, etag, len(data))
    body = data if needs_value(request, chosen) else None
    return value_reply(chosen, etag=etag, size=len(data), data=body, content_type=content_type, caching=caching)


def json_reply(request: web.BaseRequest, document: Any, caching: str = NEVER) -> web.Response:
    """A JSON document of the API."""
    return document_reply(request, msgspec.json.encode(document), caching=caching)


def refusal_reply(refusal: Refusal, *, as_json: bool) -> web.Response:
    """An error in words."""
    headers = {"Cache-Control": NEVER, **refusal.headers}
    if not as_json:
        return web.Response(status=refusal.status, text=f"{refusal.sentence}\n", headers=headers)
    said = {"error": refusal.sentence, "kind": refusal.kind, "upstream_status": refusal.upstream_status}
    body = msgspec.json.encode({name: value for name, value in said.items() if value})
    return web.Response(status=refusal.status, body=body, content_type="application/json", headers=headers)


def only_for_caller(response: web.Response) -> None:
    """A reply to somebody with credentials of their own: a browser asks again, as whoever uses it then."""
    if response.headers.get("Cache-Control") != NEVER:
        response.headers["Cache-Control"] = ASK_AGAIN
    response.headers["Vary"] = ", ".join(filter(None, (response.headers.get("Vary"), "Authorization, Origin")))


class Sending:
    """Sends replies; a client that does not take one in time loses its connection. On the home loop.

    A timer for each reply would cost as much as the rest of it: now and then it is looked who is late.
    """

    def __init__(self) -> None:
        self._deadlines: dict[asyncio.BaseTransport, float] = {}
        self._looks = False

    async def send(self, request: web.BaseRequest, response: web.Response, extra: Mapping[str, str]) -> None:
        """Send a reply.

        Raises:
            ConnectionError: The client left, or took nothing more.
        """
        headers, transport = response.headers, request.transport
        for name, value in COMMON_ITEMS:
            if name not in headers:
                headers[name] = value
        for name, value in extra.items():
            if name not in headers:
                headers[name] = value
        if transport is None:
            raise ConnectionResetError("The client left.")
        size = len(response.body) if isinstance(response.body, bytes) else 0
        loop = asyncio.get_running_loop()
        self._deadlines[transport] = loop.time() + SENDING + size / _SLOWEST
        self._look_soon(loop)
        try:
            await response.prepare(request)
            await response.write_eof()
        finally:
            self._deadlines.pop(transport, None)

    def _look_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._looks:
            self._looks = True
            loop.call_later(SENDING / 8, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looks = False
        now = loop.time()
        for transport in [each for each, deadline in self._deadlines.items() if deadline < now]:
            assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101  # it is written to
            transport.abort()
        if self._deadlines:
            self._look_soon(loop)
