"""Bodies of replies, no longer than they may be: what a server sends must not fill the memory."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from dicomzarr.errors import InvalidReplyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from dicomzarr.sources.http.transport import Response

_GZIP: Final = b"\x1f\x8b\x08"
"""How what is compressed with gzip begins (RFC 1952 section 2.3)."""
_GZIP_WINDOW: Final = 31
_CHUNK: Final = 256 * 1024


async def bounded(response: Response, most: int, subject: str, *, zipped: bool = False) -> AsyncIterator[bytes]:
    """The body as it arrives.

    Args:
        response: The reply.
        most: Bytes that it may have, after it was decompressed.
        subject: What was asked, for messages.
        zipped: What begins as gzip is inflated: some servers send such files without a Content-Encoding.

    Raises:
        InvalidReplyError: More comes, or it is no gzip after all.
    """
    size = 0
    async for chunk in _inflated(response.chunks(), subject) if zipped else response.chunks():
        size += len(chunk)
        if size > most:
            raise _too_much(most, subject)
        yield chunk


async def whole_body(response: Response, most: int, subject: str) -> bytes:
    """The whole body; see `bounded`. What is gzip to its end is inflated, though no header says that it is."""
    body = b"".join([chunk async for chunk in bounded(response, most, subject)])
    if not body.startswith(_GZIP):
        return body
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    try:
        found = inflater.decompress(body, most + 1)
    except zlib.error:
        return body  # pixels, perhaps, that begin so
    if len(found) > most:
        raise _too_much(most, subject)
    return found if inflater.eof and not inflater.unused_data else body


async def _inflated(chunks: AsyncIterator[bytes], subject: str) -> AsyncIterator[bytes]:
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= len(_GZIP):
            break
    inflater = zlib.decompressobj(_GZIP_WINDOW) if head.startswith(_GZIP) else None
    for piece in _pieces(inflater, head, subject):
        yield piece
    async for chunk in chunks:
        for piece in _pieces(inflater, chunk, subject):
            yield piece


def _pieces(inflater: zlib._Decompress | None, data: bytes, subject: str) -> Iterator[bytes]:
    """What compressed bytes become, a little at a time; or the bytes themselves."""
    if inflater is None:
        yield data
        return
    try:
        while data:
            yield inflater.decompress(data, _CHUNK)
            data = inflater.unconsumed_tail
    except zlib.error:
        raise InvalidReplyError(f"What came for {subject} begins as gzip, and is none.") from None


def _too_much(most: int, subject: str) -> InvalidReplyError:
    return InvalidReplyError(f"More than {most} bytes came for {subject}.")
