"""Asks for DICOM JSON."""

from __future__ import annotations

import codecs
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from dicomzarr.errors import HTTPStatusError, NotFoundError
from dicomzarr.runtime.pools import FILES
from dicomzarr.sources.dicomweb.messages.replies import json_array
from dicomzarr.sources.dicomweb.negotiation.accept import METADATA_ACCEPTS
from dicomzarr.sources.http.bodies import whole_body
from dicomzarr.sources.http.exchange import Exchange, RequestSpec
from dicomzarr.sources.http.media_type import MediaType
from dicomzarr.sources.http.statuses import Meaning, means, status_means
from dicomzarr.sources.http.urls import host_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dicomzarr.sources.http.transport import Response

_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_MORE: Final = "299"
"""The code of a warning that results were left out."""
_UID: Final = re.compile(rb'"(?:00080018|0020000[dDeE])"')
"""Of an instance, a study or a series: an attribute of every instance and result."""
_PIECE: Final = 2**20
"""Bytes that are decoded at a time: as text they take up to four times as many."""


class JSONReply(NamedTuple):
    """What came for metadata or a search."""

    body: bytes
    """A JSON array; ``[]`` also where there was no body, and nothing where it was not modified."""
    status: int
    headers: Mapping[str, str]
    """By lower-case name."""

    @property
    def unchanged(self) -> bool:
        """What was known before still holds."""
        return status_means(self.status, Meaning.UNCHANGED)

    @property
    def more_announced(self) -> bool:
        """``Warning: 299`` (PS3.18 section 8.3.4.4), or 206: there is more than the server gives at once."""
        warnings = _QUOTED.sub("", self.headers.get("warning", "")).split(",")
        announced = any(each.split()[:1] == [_MORE] for each in warnings)
        return announced or status_means(self.status, Meaning.PARTIAL)


@dataclass(frozen=True, slots=True)
class JSONRequests:
    """Asks one server."""

    exchange: Exchange
    most_bytes: int
    """Bytes of one reply, decompressed."""
    once: bool = False
    """Nothing is sent again, however it fails."""

    async def get(
        self,
        url: str,
        subject: str,
        not_found: type[NotFoundError] = NotFoundError,
        conditions: Mapping[str, str] | None = None,
    ) -> JSONReply:
        """Ask for the media type of the standard, and where that is refused for plain JSON.

        Args:
            url: What is asked for.
            subject: It in words, for messages.
            not_found: The error for 404 and 410.
            conditions: Headers after which the server may say that nothing was modified (RFC 9110 section 13).

        Raises:
            ServerError: No JSON array came.
        """
        first, *others = METADATA_ACCEPTS
        try:
            return await self._get_as(first, url, subject, not_found, conditions or {})
        except HTTPStatusError as error:
            if not means(error, Meaning.OTHER_MEDIA_TYPE):
                raise
            refusal = error
        for accept in others:
            with suppress(HTTPStatusError):
                return await self._get_as(accept, url, subject, not_found, conditions or {})
        raise refusal

    async def _get_as(
        self, accept: str, url: str, subject: str, not_found: type[NotFoundError], conditions: Mapping[str, str]
    ) -> JSONReply:
        async def read(response: Response) -> JSONReply:
            body = await whole_body(response, self.most_bytes, subject)
            media = MediaType.parse(response.headers.get("content-type", ""))
            array = json_array(body, media, f"{subject} at {host_of(url)}") if body.strip() else b"[]"
            return JSONReply(array, response.status, response.headers)

        headers = {"accept": accept, "accept-encoding": "gzip", **conditions}
        try:
            spec = RequestSpec(lambda: url, headers, subject, not_found, once=self.once)
            reply = await self.exchange.send(spec, read)
        except HTTPStatusError as error:
            if not means(error, Meaning.UNCHANGED) or not conditions:
                raise
            return JSONReply(b"", error.status, {})
        return reply if reply.body.isascii() else reply._replace(body=await FILES.run(_in_utf8, reply.body))


def _in_utf8(array: bytes) -> bytes:
    """An array in UTF-8, as JSON is (RFC 8259 section 8.1): letters of another character set become U+FFFD.

    So they cost no series and no study: its UIDs and numbers are ASCII. Takes a while: not on the home loop.
    """
    if not _UID.search(array):
        return array
    try:
        for _ in _texts(array, "strict"):
            pass
    except UnicodeDecodeError:
        return b"".join(text.encode() for text in _texts(array, "replace"))
    return array


def _texts(array: bytes, errors: str) -> Iterator[str]:
    """It piece by piece, as text."""
    return codecs.iterdecode((array[at : at + _PIECE] for at in range(0, len(array), _PIECE)), "utf-8", errors)
