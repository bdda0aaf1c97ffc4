"""Replies whose bodies are read from the disk while they are sent, with bounded memory."""

from __future__ import annotations

import logging
import secrets
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from aiohttp import web

from dicomzarr.errors import DicomZarrError
from dicomzarr.faces.dicomweb_server.negotiation import JSON, Packaging, Representation, accepts_gzip, choose
from dicomzarr.faces.list_fields import listed
from dicomzarr.runtime.pools import FRAME_FILES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping

_LEVEL: Final = 3
"""Of gzip: metadata shrink to a tenth, and it costs less than making them."""

_BLOCK: Final = 256 * 2**10
"""Bytes that are gathered before they are sent; what is shorter goes out with its length."""

JSON_VARIES: Final = {"Vary": "Accept, Accept-Encoding"}
"""What a reply in JSON depends on."""

_log = logging.getLogger(__name__)


class Part(NamedTuple):
    """One part of a multipart body."""

    content_type: str
    location: str
    """Its own URL."""
    length: int
    """Bytes of its body."""
    body: Iterable[bytes]


def multipart(parts: Iterable[Part], boundary: str) -> Iterator[bytes]:
    """A ``multipart/related`` body, piece by piece (RFC 2046 section 5.1, PS3.18 section 8.6.1.2)."""
    for part in parts:
        yield _head(part, boundary)
        yield from part.body
        yield b"\r\n"
    yield _end(boundary)


def _head(part: Part, boundary: str) -> bytes:
    lines = {
        "Content-Type": part.content_type,
        "Content-Location": part.location,
        "Content-Length": part.length,
    }
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"--{boundary}\r\n{text}\r\n".encode()


def _end(boundary: str) -> bytes:
    return f"--{boundary}--\r\n".encode()


def gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces of a body as gzip has them (RFC 1952)."""
    packer = zlib.compressobj(_LEVEL, wbits=zlib.MAX_WBITS | 16)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


async def json_reply(
    request: web.Request, pieces: Iterable[bytes], headers: Mapping[str, str] | None = None, status: int = 200
) -> web.StreamResponse:
    """A reply in the DICOM JSON model, gzipped where that is accepted.

    Args:
        request: Says what is accepted.
        pieces: The text, in pieces.
        headers: Further headers.
        status: The HTTP status.

    Raises:
        HTTPNotAcceptable: JSON is not accepted.
        DicomZarrError: The beginning cannot be read.
    """
    sent = {"Content-Type": accepted_json(request), **JSON_VARIES, **(headers or {})}
    if accepts_gzip(listed(request.headers, "Accept-Encoding") or ""):
        sent["Content-Encoding"] = "gzip"
        pieces = gzipped(pieces)
    response = await reply(pieces, sent)
    response.set_status(status)
    return response


def accepted_json(request: web.Request) -> str:
    """Under which of its names JSON is accepted.

    Raises:
        HTTPNotAcceptable: Under none.
    """
    offers = (Representation(JSON), Representation("application/json"))
    choice = choose(accept_of(request), offers, [Packaging.SINGLE])
    if choice is None:
        raise web.HTTPNotAcceptable(text=f"Metadata are sent as {JSON} alone.\n")
    return choice.representation.media_type


def accept_of(request: web.Request) -> str:
    """What the client accepts: by the query (PS3.18 section 8.3.3.1), else by the header."""
    return request.query.get("accept", "") or ", ".join(request.headers.getall("Accept", []))


async def multipart_reply(parts: Iterable[Part], media_type: str) -> web.StreamResponse:
    """A reply of parts that are read one after the other.

    Args:
        parts: At least one. Where they are a tuple, their lengths give that of the whole.
        media_type: What they are, without parameters.

    Raises:
        DicomZarrError: The first of them cannot be read.
    """
    boundary = secrets.token_hex(16)
    content_type = f'multipart/related; type="{media_type}"; boundary={boundary}'
    length = None
    if isinstance(parts, tuple):
        length = sum(len(_head(part, boundary)) + part.length + len("\r\n") for part in parts) + len(_end(boundary))
    return await reply(multipart(parts, boundary), {"Content-Type": content_type}, length=length)


async def reply(
    pieces: Iterable[bytes], headers: Mapping[str, str], *, length: int | None = None
) -> web.StreamResponse:
    """A reply with a body in pieces; a short one is read before its status is sent, the rest while it is.

    Args:
        pieces: The body; read in threads.
        headers: Content-Type and others.
        length: Bytes of the body, where that is known.

    Raises:
        DicomZarrError: The beginning cannot be read.
    """
    source = iter(pieces)
    block = await FRAME_FILES.run(_next_block, source)
    if len(block) < _BLOCK:
        return web.Response(body=block, headers=headers)
    return StreamedReply(block, source, headers, length)


class StreamedReply(web.StreamResponse):
    """A reply of which only a block is in memory at a time.

    Args:
        block: Its beginning.
        source: What follows.
        headers: Its headers.
        length: Bytes of the body; None sends it in chunks.
    """

    def __init__(self, block: bytes, source: Iterator[bytes], headers: Mapping[str, str], length: int | None) -> None:
        super().__init__(headers=headers)
        self.content_length = length
        self.on_block: Callable[[int], object] = int
        """Is told the length of each block that goes out; by default nobody is."""
        self._block, self._source = block, source

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the body; called by aiohttp."""
        request = self._req
        assert request is not None  # noqa: S101  # it is prepared
        if request.method == "HEAD":
            return await super().write_eof(data)
        try:
            async for block in self.blocks():
                await self.write(block)
        except DicomZarrError as error:
            # The status is sent: only a body without its end says that it is no whole one.
            _log.warning("The reply to %s was cut off: %s", request.path, error)
            if request.transport is not None:
                request.transport.close()
            return None
        return await super().write_eof()

    async def blocks(self) -> AsyncIterator[bytes]:
        """The body, once."""
        while self._block:
            self.on_block(len(self._block))
            yield self._block
            self._block = await FRAME_FILES.run(_next_block, self._source)


def _next_block(source: Iterator[bytes]) -> bytes:
    gathered: list[bytes] = []
    size = 0
    for piece in source:
        gathered.append(piece)
        size += len(piece)
        if size >= _BLOCK:
            break
    return gathered[0] if len(gathered) == 1 else b"".join(gathered)
