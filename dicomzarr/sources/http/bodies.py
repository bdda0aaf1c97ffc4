"""Bodies of replies, no longer than they may be: what a server sends must not fill the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomzarr.errors import InvalidReplyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dicomzarr.sources.http.transport import Response


async def bounded(response: Response, most: int, subject: str) -> AsyncIterator[bytes]:
    """The body as it arrives.

    Args:
        response: The reply.
        most: Bytes that it may have, after it was decompressed.
        subject: What was asked, for messages.

    Raises:
        InvalidReplyError: More comes.
    """
    size = 0
    async for chunk in response.chunks():
        size += len(chunk)
        if size > most:
            raise InvalidReplyError(f"More than {most} bytes came for {subject}.")
        yield chunk


async def whole_body(response: Response, most: int, subject: str) -> bytes:
    """The whole body; see `bounded`."""
    return b"".join([chunk async for chunk in bounded(response, most, subject)])
