"""Ranges of files on an HTTP server: every reply is checked, so that nothing else passes for what was asked for."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import unquote

from dicomzarr.errors import (
    ChangedFileError,
    HTTPStatusError,
    InvalidReplyError,
    LoginPageError,
    MissingFileError,
    NotFoundError,
    TruncatedReplyError,
)
from dicomzarr.sources.files.stores.downloaded import Downloaded
from dicomzarr.sources.files.stores.members import MOST_INFLATED, Spools
from dicomzarr.sources.files.stores.port import is_told, read_now, untold
from dicomzarr.sources.http.bodies import bounded, whole_body
from dicomzarr.sources.http.credentials.auth import credentials_for
from dicomzarr.sources.http.credentials.transports import transport_for
from dicomzarr.sources.http.exchange import Exchange, RequestSpec
from dicomzarr.sources.http.limiter import RequestLimiter
from dicomzarr.sources.http.media_type import MediaType
from dicomzarr.sources.http.pacing import Pacing
from dicomzarr.sources.http.urls import safe_url
from dicomzarr.sources.spool import spooled

if TYPE_CHECKING:
    import mmap
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from dicomzarr.options import Access, Tuning
    from dicomzarr.sources.files.stores.port import StoredFile
    from dicomzarr.sources.http.transport import Response

_Read = TypeVar("_Read")

PER_CONNECTION: Final = 4
"""Requests that a place of files is sent at once for each of ``max_connections``: objects come one by one."""

_WHOLE: Final = 200
_PARTIAL: Final = 206
_NOT_IMPLEMENTED: Final = 501
_IDENTITY: Final = "identity"
_CHANGED: Final = frozenset({404, 410, 412, 416})
_STATES: Final = ("etag", "last-modified")
"""Headers that tell the state of a file, the surer first."""
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_REMEDY: Final = "Open the series again."
_LONGEST_PAGE: Final = 64 * 2**20
_LEAST_GAP, _MOST_GAP = 64 * 2**10, 8 * 2**20
_LOOK: Final = 2
"""Bytes that tell how long a file is."""

_SHARE: Final = 0.2
"""Of a measured value in the mean that is kept."""

_SAID_MUCH: Final = 2**20
"""Bytes of a body that tells how fast bytes come."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on a server; it is a `port.StoredFile`."""

    url: str
    size: int
    tag: str
    """Its entity tag, or the date of its last change (RFC 9110 section 8.8); `port.untold` if it tells neither."""
    server: ObjectServer = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        """See `StoredFile.name`."""
        return unquote(safe_url(self.url))

    @property
    def place(self) -> tuple[RemoteFile, int]:
        """See `StoredFile.place`."""
        return self, 0

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, span: slice) -> bytes | memoryview:
        return read_now(self, span)

    async def read(self, start: int, stop: int) -> bytes:
        """See `StoredFile.read`."""
        return await self.server.range(self, start, min(stop, self.size))


@dataclass(slots=True)
class Pace:
    """How soon, and how fast, a server answers: what it measured."""

    latency: float = 0.02
    """Seconds until a reply begins."""
    rate: float = 20e6
    """Bytes in a second."""

    @property
    def gap(self) -> int:
        """Bytes that come in the time that another request takes."""
        return int(min(_MOST_GAP, max(_LEAST_GAP, self.latency * self.rate)))

    def answered(self, began: float, first: float, end: float, nbytes: int) -> None:
        """A reply began and ended at these seconds of a steady clock."""
        self.latency += _SHARE * (first - began - self.latency)
        if nbytes >= _SAID_MUCH:
            self.rate += _SHARE * (nbytes / max(1e-4, end - first) - self.rate)


class ObjectServer:
    """Reads ranges of files, and pages that list them; lives on the home loop.

    Args:
        base_url: The server.
        access: How it is reached, and as whom.
        tuning: How much is asked at once.
        sleep: Waits between tries.
    """

    def __init__(
        self, base_url: str, access: Access, tuning: Tuning, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self.pace = Pace()
        transport = transport_for(base_url, access, access.limits)
        self._limiter = RequestLimiter(Pacing(self._most(tuning), access.timeout), time.monotonic, sleep)
        credentials = credentials_for(base_url, access)
        self._exchange = Exchange(transport, credentials, access.timeout, self._limiter, sleep)
        self._transport = transport
        self._spools = Spools()
        """Files that were fetched as wholes."""

    @staticmethod
    def _most(tuning: Tuning) -> int:
        return PER_CONNECTION * tuning.max_connections

    def tune(self, tuning: Tuning, timeout: float) -> None:
        """See `SeriesSource.tune`."""
        self._exchange.timeout = timeout
        self._limiter.tune(self._most(tuning), timeout)
        self._transport.set_timeout(timeout)

    async def look(self, url: str) -> StoredFile:
        """The file at a URL as it is now: two bytes of it are asked for.

        Raises:
            MissingFileError: There is none.
            ServerError: The server does not say how large it is.
        """
        # To a request for the first byte alone some servers, as RangeHTTPServer, send the whole file.
        spec = RequestSpec(lambda: url, _range_headers(0, _LOOK, ""), f"the first bytes of {safe_url(url)}")

        async def read(response: Response) -> StoredFile:
            length = _whole_length(response)
            if length:
                file = RemoteFile(url, length, _tag(response.headers) or untold(), self)
                return Downloaded(file, length, self._spools, lambda: self.whole(file))
            _check_partial(response, safe_url(url))
            _, _, size = _content_range(response, safe_url(url))
            await whole_body(response, _LOOK, spec.subject)
            return RemoteFile(url, size, _tag(response.headers) or untold(), self)

        try:
            return await self._exchange.send(spec, read)
        except NotFoundError as error:
            raise MissingFileError(f"There is no file {safe_url(url)} (HTTP status {error.status}).") from None

    async def whole(self, file: RemoteFile) -> mmap.mmap:
        """A file in the state in which it was looked at, on the temporary disk.

        Raises:
            ChangedFileError: It is gone, or in another state.
            ServerError: It cannot be had.
            InvalidFileError: It is too large.
            TemporaryFileError: There is no room.
        """
        spec = RequestSpec(lambda: file.url, _headers(file.tag), file.name)

        async def read(response: Response) -> mmap.mmap:
            self._check_tag(response, file)
            if _whole_length(response) != file.size:
                raise _changed(file)
            found = await spooled(bounded(response, file.size, file.name), file.name, MOST_INFLATED)
            if len(found) < file.size:
                raise TruncatedReplyError(f"{len(found)} of {file.size} bytes of {file.name} came.")
            return found

        return await self._sent(spec, read, file)

    async def page(self, url: str, subject: str) -> tuple[bytes, str]:
        """A page that lists files, and its media type.

        Raises:
            ServerError: The server does not give it.
        """
        headers = {"accept": "application/json, application/xml, text/html, */*"}

        async def read(response: Response) -> tuple[bytes, str]:
            return await whole_body(response, _LONGEST_PAGE, subject), response.headers.get("content-type", "")

        return await self._exchange.send(RequestSpec(lambda: url, headers, subject), read)

    async def range(self, file: RemoteFile, start: int, stop: int) -> bytes:
        """Bytes of a file in the state in which it was listed.

        Raises:
            ChangedFileError: It is gone, or in another state.
            ServerError: They cannot be had, or something else came.
        """
        if stop <= start:
            return b""
        spec = RequestSpec(
            lambda: file.url, _range_headers(start, stop, file.tag), f"bytes {start} to {stop - 1} of {file.name}"
        )
        began = time.monotonic()

        async def read(response: Response) -> bytes:
            _check_partial(response, file.name)
            if _content_range(response, file.name) != (start, stop - 1, file.size):
                _refuse_size(response, file)
                raise InvalidReplyError(f"The reply holds something else than {spec.subject}.")
            self._check_tag(response, file)
            first = time.monotonic()
            data = b"".join([chunk async for chunk in _of_range(response, stop - start, file.name, spec.subject)])
            if len(data) < stop - start:
                raise TruncatedReplyError(f"{len(data)} bytes came for {spec.subject}.")
            self.pace.answered(began, first, time.monotonic(), len(data))
            return data

        return await self._sent(spec, read, file)

    async def _sent(self, spec: RequestSpec, read: Callable[[Response], Awaitable[_Read]], file: RemoteFile) -> _Read:
        try:
            return await self._exchange.send(spec, read)
        except HTTPStatusError as error:
            if error.status in _CHANGED:
                raise _changed(file) from None
            if error.status != _NOT_IMPLEMENTED or "if-match" not in spec.headers:
                raise
        unconditional = {name: value for name, value in spec.headers.items() if name != "if-match"}
        return await self._exchange.send(replace(spec, headers=unconditional), read)  # the reply tells its state

    @staticmethod
    def _check_tag(response: Response, file: RemoteFile) -> None:
        """Compare the state that a reply tells with the listed one; a listing may tell the date alone."""
        told = {tag.removeprefix("W/") for name in _STATES if (tag := response.headers.get(name, ""))}
        if told and is_told(file.tag) and file.tag.removeprefix("W/") not in told:
            raise _changed(file)

    def close(self) -> None:
        """Close connections."""
        self._transport.close()


def _range_headers(start: int, stop: int, tag: str) -> dict[str, str]:
    return {"range": f"bytes={start}-{stop - 1}", **_headers(tag)}


def _headers(tag: str) -> dict[str, str]:
    headers = {"accept-encoding": _IDENTITY, "accept": "*/*"}
    if tag.startswith('"'):  # a weak tag matches nothing (RFC 9110 section 13.1.1)
        headers["if-match"] = tag
    return headers


def _tag(headers: Mapping[str, str]) -> str:
    return next((tag for name in _STATES if (tag := headers.get(name, ""))), "")


async def _of_range(response: Response, length: int, name: str, subject: str) -> AsyncIterator[bytes]:
    """The body as it arrives; where it was compressed on its way, as it was before."""
    try:
        async for chunk in bounded(response, length, subject):
            yield chunk
    except InvalidReplyError:
        if (coding := _coding(response)) == _IDENTITY:
            raise
        raise InvalidReplyError(
            f"{name} is kept compressed (Content-Encoding: {coding:.20}), and no range of that is one of the file.",
            remedy="Store it without that.",
        ) from None


def _coding(response: Response) -> str:
    return response.headers.get("content-encoding", _IDENTITY).strip().lower()


def _whole_length(response: Response) -> int | None:
    """Bytes of the file that is sent as a whole, as servers do that give no ranges; None where that is not told."""
    headers = response.headers
    told = headers.get("content-length", "")
    coded = _coding(response) != _IDENTITY
    page = MediaType.parse(headers.get("content-type", "")).is_html
    is_whole = response.status == _WHOLE and not coded and not page and told.isascii() and told.isdigit()
    return int(told) if is_whole else None


def _check_partial(response: Response, name: str) -> None:
    if response.status == _PARTIAL:
        return
    if MediaType.parse(response.headers.get("content-type", "")).is_html:
        raise LoginPageError(f"A web page came instead of bytes of {name}.", remedy="It may want credentials.")
    raise InvalidReplyError(
        f"The server gives no ranges: it answered with status {response.status} to one of {name}.",
        remedy="Download the file, or serve it from a server that knows Range requests.",
    )


def _content_range(response: Response, name: str) -> tuple[int, int, int]:
    found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
    if found is None:
        raise InvalidReplyError(f"The server does not say which bytes of {name} it sent.")
    start, last, size = map(int, found.groups())
    return start, last, size


def _refuse_size(response: Response, file: RemoteFile) -> None:
    if _content_range(response, file.name)[2] != file.size:
        raise _changed(file)


def _changed(file: RemoteFile) -> ChangedFileError:
    return ChangedFileError(f"{file.name} is gone or has changed since it was listed.", remedy=_REMEDY)
