"""Values that metadata give by reference (BulkDataURI, PS3.18 section F.2.6)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dicomzarr.errors import DicomZarrError, InvalidReplyError, NotFoundError, WrongPartsError
from dicomzarr.sources.dicomweb.messages.received_parts import received_parts
from dicomzarr.sources.dicomweb.messages.replies import refuse_page, refuse_text
from dicomzarr.sources.http.bodies import whole_body
from dicomzarr.sources.http.exchange import Exchange, RequestSpec
from dicomzarr.sources.http.media_type import MediaType
from dicomzarr.sources.http.redirects import resolved
from dicomzarr.sources.http.statuses import Meaning, means
from dicomzarr.sources.http.urls import host_of, origin_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.sources.http.transport import Response

_ACCEPTS: Final = ('multipart/related; type="application/octet-stream"; transfer-syntax=*', "*/*")


@dataclass(frozen=True, slots=True)
class BulkData:
    """Gets values of one server's metadata."""

    base_url: str
    """The URL of the DICOMweb service, whose origin alone gets the credentials."""
    exchange: Exchange
    most_bytes: int
    """Bytes of one value."""
    hosts: Sequence[str] = ()
    """Others that are asked, without credentials."""

    async def get(self, uri: str, places: Sequence[str], subject: str) -> bytes:
        """Get a value.

        Args:
            uri: As it stands in the metadata.
            places: The URLs of the metadata that a relative one may be relative to, the likeliest first.
            subject: What it is, for messages.

        Raises:
            NotFoundError: There is nothing in any of these places.
            InvalidReplyError: The URI leads nowhere, or something else came.
            InsecureTransportError: It leads from HTTPS to plain HTTP.
            ServerError: The server did not give it.
        """
        within = self._within(uri, places[0])
        if within is not None:
            with suppress(NotFoundError):  # then it is elsewhere indeed
                return await self._get(within, subject)
        urls = list(dict.fromkeys(resolved(place, uri, f"The URI of the {subject}") for place in places))
        for url in urls[:-1]:
            try:
                return await self._get(url, subject)
            except NotFoundError:
                continue
        return await self._get(urls[-1], subject)

    def _within(self, uri: str, place: str) -> str | None:
        """The URL within this server of what the metadata name by another host, port, scheme or path before it.

        So a server names its own that does not know of the proxy through which it is asked.
        """
        study = "/".join(place.removeprefix(self.base_url).split("/")[:3]) + "/"
        if not uri.lower().startswith(("http://", "https://")) or host_of(uri).lower() in self.hosts:
            return None
        path = uri.partition("://")[2].partition("/")[2].partition("#")[0]
        _, found, rest = f"/{path}".partition(study)
        if not found or uri.startswith(f"{self.base_url}/"):
            return None
        return resolved(f"{self.base_url}/", f"{self.base_url}{found}{rest}", "A reference in the metadata")

    async def _get(self, url: str, subject: str) -> bytes:
        first, second = _ACCEPTS
        try:
            return await self._get_as(first, url, subject)
        except DicomZarrError as error:
            if not means(error, Meaning.OTHER_MEDIA_TYPE_OF_PIXELS):
                raise
        return await self._get_as(second, url, subject)

    async def _get_as(self, accept: str, url: str, subject: str) -> bytes:
        own = origin_of(url) == origin_of(self.base_url)
        if not own and host_of(url).lower() not in self.hosts:
            raise InvalidReplyError(
                f"The metadata name another host, port or scheme for the {subject}: nothing is asked for there.",
                remedy="If that host is right, allow it by its name, and its port if that is unusual:"
                " bulk_data_hosts=[...].",
            )

        async def read(response: Response) -> bytes:
            return await _receive(response, self.most_bytes, f"{subject} at {host_of(url)}")

        headers = {"accept": accept, "accept-encoding": "gzip"}
        spec = RequestSpec(lambda: url, headers, subject, with_credentials=own)
        return await self.exchange.send(spec, read)


async def _receive(response: Response, most: int, subject: str) -> bytes:
    media = MediaType.parse(response.headers.get("content-type", ""))
    refuse_text(media, subject)
    bodies: list[bytes] = []
    if media.is_multipart:
        async for part in received_parts(response, most, subject):
            refuse_text(part.content_type, subject)
            bodies.append(part.body)
    else:
        bodies.append(await whole_body(response, most, subject))
    if len(bodies) != 1 or not bodies[0]:
        raise WrongPartsError(f"{len(bodies)} parts, or an empty one, came for {subject}.")
    refuse_page(bodies[0], subject)
    return bodies[0]
