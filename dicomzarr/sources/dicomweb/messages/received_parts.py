"""The parts of a multipart reply, as they arrive (RFC 2046 section 5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomzarr.sources.dicomweb.messages.multipart import MultipartParser
from dicomzarr.sources.http.bodies import bounded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dicomzarr.sources.dicomweb.messages.multipart import Part
    from dicomzarr.sources.http.transport import Response


async def received_parts(
    response: Response, most: int, subject: str, *, most_part: int | None = None
) -> AsyncIterator[Part]:
    """Give each part as soon as it is whole; see `received_together`."""
    async for parts in received_together(response, most, subject, most_part=most_part):
        for part in parts:
            yield part


async def received_together(
    response: Response, most: int, subject: str, *, most_part: int | None = None
) -> AsyncIterator[list[Part]]:
    """Give parts as soon as they are whole, those together that are so at once.

    Args:
        response: The reply.
        most: Bytes that it may have, after it was decompressed.
        subject: What was asked, for messages.
        most_part: Bytes that a part may have; None where the whole reply is bounded well enough.

    Raises:
        InvalidReplyError: More comes.
        MultipartError: It is no multipart body.
        TruncatedReplyError: It ends before its closing boundary; after the last whole part.
    """
    parser = MultipartParser(response.headers.get("content-type", ""), most=most_part)
    async for chunk in bounded(response, most, subject, zipped=True):
        if parts := parser.feed(chunk):
            yield parts
    parser.close()
