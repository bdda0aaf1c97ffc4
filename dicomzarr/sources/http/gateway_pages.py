"""Pages with which a proxy says that its server does not answer, under a status of success."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dicomzarr.sources.http.media_type import MediaType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from dicomzarr.sources.http.transport import Response

_HEAD: Final = 4096
"""Bytes of a page that are looked at."""
_SAID: Final = re.compile(
    rb"<(?:title|h1)[^>]*>[^<]{0,100}?(bad gateway|service (?:temporarily )?unavailable|gateway time-?out)",
    re.IGNORECASE,
)
_STATUSES: Final = {b"bad": 502, b"service": 503, b"gateway": 504}


@dataclass(frozen=True, slots=True)
class Begun:
    """A reply of which the beginning was read."""

    reply: Response
    head: bytes

    @property
    def status(self) -> int:
        """See `Response`; or what the page says."""
        said = _SAID.search(self.head)
        return _STATUSES[said[1].split()[0].lower()] if said else self.reply.status

    @property
    def headers(self) -> Mapping[str, str]:
        """See `Response`."""
        return self.reply.headers

    @property
    def url(self) -> str:
        """See `Response`."""
        return self.reply.url

    async def chunks(self) -> AsyncIterator[bytes]:
        """See `Response`."""
        yield self.head
        async for chunk in self.reply.chunks():
            yield chunk


async def begun(reply: Response) -> Response:
    """The reply, with the status that it has by what a page says."""
    if not MediaType.parse(reply.headers.get("content-type", "")).is_html:
        return reply
    head = b""
    async for chunk in reply.chunks():
        head += chunk
        if len(head) >= _HEAD:
            break
    return Begun(reply, head)
