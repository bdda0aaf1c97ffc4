"""Middlewares that make the demo server fail, lie and dawdle as real servers do.

Most take ``on``, the resource that they strike (``"frames"``, ``"metadata"``, ``"studies"``, ... or
``"any"``), and ``when``: which of the requests for it, counted from 1. A fault at the end of a list
of middlewares is the nearest to the server.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import itertools
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import imagecodecs
import numpy as np
from aiohttp import web
from multipart_parts import MultipartReply, Part, body_of, join_parts, parts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler, Middleware

    Act: TypeAlias = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]

When: TypeAlias = Callable[[int], bool]
PartsChange: TypeAlias = Callable[[tuple[Part, ...]], Sequence[Part]]
Framing: TypeAlias = Literal["full-length", "own-length", "chunked", "close"]

_RESOURCES = ("studies", "series", "instances", "metadata", "frames", "pixeldata")


def always(_nth: int) -> bool:
    """Every request."""
    return True


def first(count: int) -> When:
    """The first ``count`` requests."""
    return lambda number: number <= count


def nth(wanted: int) -> When:
    """One request, counted from 1."""
    return lambda number: number == wanted


def resource(request: web.Request) -> str:
    """The last word of the path, as ``RequestRecord.resource`` has it."""
    return next((word for word in reversed(request.path.split("/")) if word in _RESOURCES), "")


def fault(act: Act, on: str = "frames", when: When = always) -> Middleware:
    """Lets ``act`` answer the requests that ``on`` and ``when`` choose, and no others."""
    counter = itertools.count(1)

    @web.middleware
    async def strike(request: web.Request, handler: Handler) -> web.StreamResponse:
        if on in ("any", resource(request)) and when(next(counter)):
            return await act(request, handler)
        return await handler(request)

    return strike


# Answers that are not what was asked for


def status(
    code: int,
    headers: Mapping[str, str] | None = None,
    body: str = "",
    *,
    on: str = "frames",
    when: When = always,
) -> Middleware:
    """An HTTP status instead of an answer."""

    async def act(_request: web.Request, _handler: Handler) -> web.StreamResponse:
        return web.Response(status=code, headers=headers, text=body)

    return fault(act, on, when)


def html_login(*, on: str = "any", when: When = always) -> Middleware:
    """The page of a proxy that wants a login, with status 200."""

    async def act(_request: web.Request, _handler: Handler) -> web.StreamResponse:
        page = "<!DOCTYPE html><html><body><form>Sign in</form></body></html>"
        return web.Response(text=page, content_type="text/html")

    return fault(act, on, when)


def delay(seconds: float, *, on: str = "any", when: When = always) -> Middleware:
    """The right answer, later: as far away as ``seconds`` of latency."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await handler(request)

    return fault(act, on, when)


def before(wait: Callable[[web.Request], Awaitable[None]], *, on: str = "any", when: When = always) -> Middleware:
    """The right answer, when something else has ended."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        await wait(request)
        return await handler(request)

    return fault(act, on, when)


def refuse_lists(code: int = 404) -> Middleware:
    """Frames come one a request; a list of them gets ``code``."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        if "," in request.path:
            return web.Response(status=code, text="One frame at a time.\n")
        return await handler(request)

    return fault(act)


def gzip_frames() -> Middleware:
    """Content-Encoding: gzip around the multipart body."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        headers = {"Content-Type": response.headers["Content-Type"], "Content-Encoding": "gzip"}
        return web.Response(body=gzip.compress(await body_of(response)), headers=headers)

    return fault(act)


# Connections that break, bodies that end early


def reset(*, after_headers: bool = False, on: str = "frames", when: When = always) -> Middleware:
    """The connection is reset (RST), before a byte is sent or in the middle of the body."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        if after_headers:
            response = await handler(request)
            body = await body_of(response)
            _send(request, response, body[: len(body) // 2], length=len(body))
            await asyncio.sleep(0.02)  # what a reset overtakes is lost: let the headers arrive
        assert request.transport is not None
        endpoint = request.transport.get_extra_info("socket")
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
        return web.Response()  # goes nowhere

    return fault(act, on, when)


def truncate(keep: int, framing: Framing = "full-length", *, on: str = "frames", when: When = always) -> Middleware:
    """Only the first ``keep`` bytes of the body (negative: all but the last ones).

    Args:
        keep: Where to cut, as in ``body[:keep]``.
        framing: What HTTP says about it. ``full-length``: Content-Length promises the whole body;
            ``own-length``: it fits the rest; ``chunked``: properly ended chunks; ``close``: no
            length at all, the end of the connection ends the body.
    """

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        body = await body_of(response)
        content_type = {"Content-Type": response.headers["Content-Type"]}
        if framing == "own-length":
            return web.Response(body=body[:keep], headers=content_type)
        if framing == "chunked":
            chunked = web.StreamResponse(headers=content_type)
            chunked.enable_chunked_encoding()
            await chunked.prepare(request)
            await chunked.write(body[:keep])
            return chunked
        length = len(body) if framing == "full-length" else None
        return _send_and_close(request, response, body[:keep], length=length)

    return fault(act, on, when)


def _send(request: web.Request, response: web.StreamResponse, body: bytes, *, length: int | None) -> None:
    """Writes a reply past aiohttp, which would put its framing right."""
    lines = [
        f"HTTP/1.1 {response.status} {response.reason}",
        f"Content-Type: {response.headers['Content-Type']}",
        "Connection: close",
    ]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    assert request.transport is not None
    request.transport.write("\r\n".join([*lines, "", ""]).encode() + body)


def _send_and_close(
    request: web.Request, response: web.StreamResponse, body: bytes, *, length: int | None
) -> web.StreamResponse:
    _send(request, response, body, length=length)
    assert request.transport is not None
    request.transport.close()  # once everything is written
    return web.Response()  # goes nowhere


# Parts that are wrong


def change_parts(change: PartsChange, *, on: str = "frames", when: When = always) -> Middleware:
    """Another multipart body, made of what ``change`` gives for the right parts."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        return _multipart(change(await parts_of(await handler(request))))

    return fault(act, on, when)


def _multipart(parts: Sequence[Part], code: int = 200) -> web.Response:
    if parts:
        return MultipartReply(parts, status=code)
    headers = {"Content-Type": 'multipart/related; type="image/jpeg"; boundary=nothing'}
    return web.Response(body=join_parts((), "nothing"), status=code, headers=headers)


def drop_part(index: int = 0, *, when: When = always) -> Middleware:
    """One part is missing, with status 200; an only part leaves an empty multipart body."""
    return change_parts(lambda parts: [p for i, p in enumerate(parts) if i != index], when=when)


def swap_parts(*, when: When = always) -> Middleware:
    """The parts in reverse order, each still labelled right: which is legal."""
    return change_parts(lambda parts: parts[::-1], when=when)


def mislabel(shift: int = 100_000, *, when: When = always) -> Middleware:
    """Content-Location names frames that nobody asked for."""

    def lie(part: Part) -> Part:
        start, _, number = (part.header("Content-Location") or "").rpartition("/")
        return part.with_header("Content-Location", f"{start}/{int(number) + shift}")

    return change_parts(lambda parts: [lie(part) for part in parts], when=when)


def no_content_location(*, when: When = always) -> Middleware:
    """Nothing says which part is which frame but the order."""
    return change_parts(lambda parts: [part.with_header("Content-Location", None) for part in parts], when=when)


def wrong_frame_size(change: int, *, when: When = always) -> Middleware:
    """Bodies longer by ``change`` zero bytes, or shorter: honest multipart, wrong native frames."""

    def resize(part: Part) -> Part:
        body = bytes(part.body)
        return part.with_body(body + bytes(change) if change > 0 else body[:change])

    return change_parts(lambda parts: [resize(part) for part in parts], when=when)


def other_frames(body: bytes, *, when: When = always) -> Middleware:
    """The same bytes, such as a JPEG of another size, in the place of every frame."""
    return change_parts(lambda parts: [part.with_body(body) for part in parts], when=when)


def grey_jpeg(rows: int, columns: int) -> bytes:
    """A JPEG of a size for ``other_frames``: three samples, all 128."""
    pixels = np.full((rows, columns, 3), 128, np.uint8)
    return bytes(imagecodecs.jpeg8_encode(pixels, level=80))


# Servers with habits


def orthanc_like() -> Middleware:
    """Orthanc: 400 instead of 406, multipart or nothing, lists end with the connection.

    The transfer syntax stands inside the quotes of the outer ``type``.
    """

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.headers.get("Accept", "*/*").startswith(("*/*", "multipart/related")):
            raise web.HTTPBadRequest(text="Expecting multipart/related.\n")
        try:
            response = await handler(request)
        except web.HTTPNotAcceptable as error:
            raise web.HTTPBadRequest(text=error.text) from error
        parts = await parts_of(response)
        response = MultipartReply(parts)
        kind = parts[0].header("Content-Type")
        outer = f'multipart/related; type="{kind}"; boundary={response.boundary}'
        response.headers["Content-Type"] = outer
        if len(parts) == 1:
            return response
        return _send_and_close(request, response, await body_of(response), length=None)

    return fault(act)


def dcm4chee_like(lost: Sequence[int] = ()) -> Middleware:
    """dcm4chee: no part lengths; lost frames are left out with 206, and 404 if none is left."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = [int(number) for number in request.match_info["frames"].split(",")]
        parts = await parts_of(await handler(request))
        kept = [
            part.with_header("Content-Length", None)
            for number, part in zip(asked, parts, strict=True)
            if number not in lost
        ]
        if not kept:
            raise web.HTTPNotFound
        return _multipart(kept, 206 if len(kept) < len(parts) else 200)

    return fault(act)


_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})


def is_binary(_tag: str, vr: str) -> bool:
    """What Azure and Google leave out of metadata, values and references."""
    return vr in _BINARY


def leave_out(is_left: Callable[[str, str], bool], *, on_instances: bool = False) -> Middleware:
    """Metadata of series without attributes of some tags and VRs; those of instances as well, where it is said."""

    def kept(item: dict[str, Any]) -> dict[str, Any]:
        found = {tag: dict(element) for tag, element in item.items() if not is_left(tag, element["vr"])}
        for element in found.values():
            if element["vr"] == "SQ" and "Value" in element:
                element["Value"] = [kept(each) for each in element["Value"]]
        return found

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request.clone(headers={**request.headers, "Accept-Encoding": "identity"}))
        if not on_instances and "/instances/" in request.path:
            return response
        assert isinstance(response, web.Response)
        assert isinstance(response.body, bytes)
        response.body = json.dumps([kept(item) for item in json.loads(response.body)]).encode()
        return response

    return fault(act, on="metadata")


@web.middleware
async def static_wado_like(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A static site: Accept means nothing, no lists, no instance metadata, no boundary named."""
    words = request.path.split("/")
    if "," in words[-1] or (words[-1] == "metadata" and "instances" in words):
        raise web.HTTPNotFound
    if resource(request) != "frames":
        return await handler(request)
    accept = {"Accept": "multipart/related; transfer-syntax=*"}
    response = await handler(request.clone(headers={**request.headers, **accept}))
    response.headers["Content-Type"] = "multipart/related"
    return response


# Servers behind a door


def require(challenge: str, allowed: Callable[[str], bool]) -> Middleware:
    """401 with this WWW-Authenticate unless ``allowed`` likes the Authorization header."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        if allowed(request.headers.get("Authorization", "")):
            return await handler(request)
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    return fault(act, on="any")


def require_basic(user: str, password: str) -> Middleware:
    """HTTP Basic authentication (RFC 7617, in UTF-8)."""
    expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    return require('Basic realm="demo", charset="UTF-8"', lambda header: header == expected)


def require_bearer(token: str) -> Middleware:
    """A bearer token (RFC 6750) that never changes."""
    return require('Bearer realm="demo"', lambda header: header == f"Bearer {token}")


class RotatingToken:
    """A bearer token that is good for a number of requests, then another has to be issued."""

    def __init__(self, uses: int) -> None:
        self.issued = 0
        """How many tokens have been issued; only the newest is good."""
        self._uses = uses
        self._left = 0

    def issue(self) -> str:
        """A new token, as a user's ``auth`` callable would fetch it."""
        self.issued += 1
        self._left = self._uses
        return f"token-{self.issued}"

    @property
    def middleware(self) -> Middleware:
        """Lets in whoever has the newest token."""
        return require('Bearer error="invalid_token"', self._allows)

    def _allows(self, header: str) -> bool:
        if header != f"Bearer token-{self.issued}" or not self._left:
            return False
        self._left -= 1
        return True
