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
    """Give each part as soon as it is whole.

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
    async for chunk in bounded(response, most, subject):
        for part in parser.feed(chunk):
            yield part
    parser.close()
