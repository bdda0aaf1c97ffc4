"""What the statuses of servers mean, and other signs that they give: one table, which every other module asks. Pure.

To teach a new server's habit, change a row of ``_ROWS`` or add one; nothing else has to know of it.

A row stands under a status code, or under the class of error that the sign is raised as; an error belongs to the row
of its own class or of the nearest class above. Its columns:

- ``means``: what is worth trying after it, and what is to be learned from it, as a sum of `Meaning`. Each of these says
  which question it answers.
- ``error``: the class that a status is raised as. `NotFoundError` becomes the class of what was asked for.
- ``remedy``: what the error tells the reader to do.
- ``quota``: the class and the remedy in their place, where the reply shows that it is for hours (see `_is_for_hours`).

A status without a row means none of this: it is raised as `ServerFailureError` from 500 on, else as `HTTPStatusError`.
Two examples: for a server that says 418 where it does not offer a media type, add
``418: _Row(_UNOFFERED, NegotiationError, _NO_MEDIA_TYPE)``; for one that says 598 when it is too busy,
``598: _Row(Meaning.FEWER_REQUESTS, *_SERVER_FAILED)``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Flag, auto
from typing import TYPE_CHECKING, Final

from dicomzarr.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DicomZarrError,
    HTTPStatusError,
    InvalidReplyError,
    MultipartError,
    NegotiationError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitedError,
    ServerFailureError,
    TruncatedReplyError,
    WrongPartsError,
)
from dicomzarr.sources.http.media_type import MediaType

if TYPE_CHECKING:
    from collections.abc import Mapping


class ConnectionDroppedError(ConnectionFailedError):
    """The connection was made, and the server broke it before it answered: another try may help."""


class UnreachableError(ConnectionFailedError):
    """No connection was made: a server that has answered before may be starting anew."""


class Meaning(Flag):
    """What a status or another sign may mean; several at once."""

    SUCCESS = auto()
    """The body is what was asked for."""
    PARTIAL = auto()
    """And there is more than that."""
    INTERIM = auto()
    """The answer is yet to come (RFC 9110 section 15.2)."""
    UNCHANGED = auto()
    """What is known already still holds (RFC 9110 section 13)."""
    REDIRECT = auto()
    """It is elsewhere (RFC 9110 section 15.4)."""
    OTHER_CREDENTIALS = auto()
    """Newer credentials may be accepted."""
    OTHER_MEDIA_TYPE = auto()
    """Another Accept header may be served."""
    OTHER_MEDIA_TYPE_OF_PIXELS = auto()
    """The same, but for metadata and searches, which have one media type that all servers offer."""
    OTHER_RESOURCE = auto()
    """The server gives this to nobody: frames may come with their instance, metadata by instances or in files. What
    may pass, or is about who asks (401, 403, 429, timeouts, broken connections), does not mean it."""
    NO_SUCH_RESOURCE = auto()
    """And it gives nothing of the kind, where it says so of several instances that exist."""
    SMALLER_RESOURCE = auto()
    """Metadata of a series may come instance by instance, and those of an instance in its file."""
    TOO_SLOW = auto()
    """A proxy may have waited too long: metadata of a series may come instance by instance."""
    SHORTER_LIST = auto()
    """Fewer frames at once may be served."""
    FEWER_REQUESTS = auto()
    """The server is too busy: all requests wait, fewer are sent at once, and then this one is sent again."""
    LIMITED = auto()
    """It is too busy because it counts requests: while others are served, this one has only missed its share."""
    AGAIN = auto()
    """The same request may be served a moment later, and others meanwhile: it alone is sent again."""
    RESTART = auto()
    """A server that has answered before may be starting anew: it is asked again until the timeout."""
    INCOMPLETE = auto()
    """What came was not whole: large downloads are not tried as often."""
    NO_ANSWER = auto()
    """The connection broke: over the Accept header, perhaps, as long as no frame of the kind has come."""
    PARTIAL_LIST = auto()
    """Frames of a list that came before are good, and the rest may come in another one."""
    MAY_PASS = auto()
    """As a refusal it may have been a passing failure: it is believed for seconds, or when it comes again."""
    FAREWELL = auto()
    """It may come on an idle connection before that is closed (RFC 9110 section 15.5.9)."""
    NONE = 0


@dataclass(frozen=True, slots=True)
class _Row:
    means: Meaning = Meaning.NONE
    error: type[HTTPStatusError] = HTTPStatusError
    remedy: str = "This status was not expected of a DICOMweb server: check the URL, by dicomzarr doctor."
    quota: tuple[type[HTTPStatusError], str] | None = None


_NO_MEDIA_TYPE: Final = "The server offers no media type that was asked for."
_SERVER_FAILED: Final = (ServerFailureError, "The server failed; its log says why.")
_QUOTA: Final = (
    QuotaExceededError,
    (
        "A quota of the server is used up, and asking again soon is no use. Such quotas mostly begin anew at 00:00 UTC:"
        " read on then, or read less (a coarser level, a smaller region)."
    ),
)
_ANY_MEDIA_TYPE: Final = Meaning.OTHER_MEDIA_TYPE | Meaning.OTHER_MEDIA_TYPE_OF_PIXELS
_UNOFFERED: Final = _ANY_MEDIA_TYPE | Meaning.OTHER_RESOURCE | Meaning.SHORTER_LIST
_MISSING: Final = Meaning.OTHER_RESOURCE | Meaning.NO_SUCH_RESOURCE | Meaning.SHORTER_LIST
# Servers also fail so over a list, a media type or an instance of which they cannot cut frames.
_FAILED: Final = Meaning.OTHER_MEDIA_TYPE_OF_PIXELS | Meaning.OTHER_RESOURCE | Meaning.SHORTER_LIST | Meaning.MAY_PASS
_INCOMPLETE: Final = Meaning.AGAIN | Meaning.INCOMPLETE
_NOT_UNDERSTOOD: Final = "The server could not make sense of the request, or cannot serve this object."
_HTTP_1: Final = "It speaks a later version of HTTP only: have it, or the proxy before it, offer HTTP/1.1."
_GATEWAY: Final = Meaning.AGAIN | Meaning.RESTART
_RECALLED: Final = "The server fetches it from an archive first: read it again when it is there."

_ROWS: Final[Mapping[int | type[DicomZarrError], _Row]] = {
    100: _Row(Meaning.INTERIM),
    102: _Row(Meaning.INTERIM),
    103: _Row(Meaning.INTERIM),
    200: _Row(Meaning.SUCCESS),
    202: _Row(Meaning.AGAIN, HTTPStatusError, _RECALLED),
    203: _Row(Meaning.SUCCESS),
    204: _Row(Meaning.SUCCESS),
    206: _Row(Meaning.SUCCESS | Meaning.PARTIAL),
    301: _Row(Meaning.REDIRECT),
    302: _Row(Meaning.REDIRECT),
    303: _Row(Meaning.REDIRECT),
    304: _Row(Meaning.UNCHANGED),
    307: _Row(Meaning.REDIRECT),
    308: _Row(Meaning.REDIRECT),
    400: _Row(_UNOFFERED, HTTPStatusError, _NOT_UNDERSTOOD),
    401: _Row(
        Meaning.OTHER_CREDENTIALS,
        AuthenticationError,
        "Give credentials: auth, headers or client.",
    ),
    403: _Row(Meaning.NONE, PermissionDeniedError, "Ask whoever runs the server for the right to read this."),
    404: _Row(_MISSING, NotFoundError, "Check the URL and the UIDs."),
    405: _Row(_MISSING),
    406: _Row(_UNOFFERED, NegotiationError, _NO_MEDIA_TYPE),
    407: _Row(
        Meaning.NONE,
        HTTPStatusError,
        "A proxy wants a login, or another one: HTTP_PROXY=http://USER:PASSWORD@PROXY:PORT.",
    ),
    408: _Row(Meaning.AGAIN | Meaning.FAREWELL),
    410: _Row(Meaning.NONE, NotFoundError, "It has been removed from the server."),
    413: _Row(Meaning.SMALLER_RESOURCE | Meaning.SHORTER_LIST),
    414: _Row(Meaning.SHORTER_LIST),
    409: _Row(_UNOFFERED, HTTPStatusError, _NOT_UNDERSTOOD),
    415: _Row(_UNOFFERED, NegotiationError, _NO_MEDIA_TYPE),
    416: _Row(_UNOFFERED, HTTPStatusError, _NOT_UNDERSTOOD),
    421: _Row(Meaning.AGAIN),
    422: _Row(_UNOFFERED, HTTPStatusError, _NOT_UNDERSTOOD),
    425: _Row(Meaning.AGAIN),
    426: _Row(Meaning.NONE, HTTPStatusError, _HTTP_1),
    429: _Row(
        Meaning.FEWER_REQUESTS | Meaning.LIMITED, RateLimitedError, "Wait, or lower max_connections.", quota=_QUOTA
    ),
    431: _Row(Meaning.SHORTER_LIST),  # so some servers call a URL that is too long
    500: _Row(_FAILED, *_SERVER_FAILED),
    501: _Row(_MISSING, *_SERVER_FAILED),
    502: _Row(_GATEWAY | Meaning.TOO_SLOW, *_SERVER_FAILED),
    503: _Row(Meaning.FEWER_REQUESTS | Meaning.RESTART, *_SERVER_FAILED),
    504: _Row(_GATEWAY | Meaning.TOO_SLOW, *_SERVER_FAILED),
    505: _Row(Meaning.NONE, ServerFailureError, _HTTP_1),
    509: _Row(Meaning.FEWER_REQUESTS, *_SERVER_FAILED),
    511: _Row(Meaning.NONE, ServerFailureError, "The network wants a login first: open any page in a browser."),
    # Cloudflare's, and others', who stand before a server that fails, restarts or is not reached.
    **dict.fromkeys((520, 521, 522, 523, 527, 530), _Row(_GATEWAY, *_SERVER_FAILED)),
    524: _Row(_GATEWAY | Meaning.TOO_SLOW, *_SERVER_FAILED),
    529: _Row(Meaning.FEWER_REQUESTS | Meaning.RESTART, *_SERVER_FAILED),
    # Some servers break the connection over a list or a media type that they do not know.
    ConnectionDroppedError: _Row(
        Meaning.NO_ANSWER | Meaning.SHORTER_LIST | Meaning.AGAIN | Meaning.RESTART | Meaning.MAY_PASS
    ),
    UnreachableError: _Row(Meaning.RESTART),
    MultipartError: _Row(Meaning.PARTIAL_LIST | Meaning.OTHER_RESOURCE),
    TruncatedReplyError: _Row(_INCOMPLETE | Meaning.PARTIAL_LIST),
    WrongPartsError: _Row(_INCOMPLETE | Meaning.SHORTER_LIST | Meaning.OTHER_RESOURCE | Meaning.MAY_PASS),
}

_REFUSING: Final = _Row(Meaning.OTHER_MEDIA_TYPE_OF_PIXELS | Meaning.OTHER_RESOURCE | Meaning.SHORTER_LIST)
"""What it means where a server says success, and sends another thing than was asked for: as 406, but for the status."""

_FIRST_SERVER_ERROR: Final = 500

_OF_HOURS: Final = re.compile(rb"quota|daily|\bday\b|\"limit exceeded\"", re.IGNORECASE)
"""What replies say of a quota: AWS "Limit Exceeded", others in these words."""
_OF_WEB_SERVERS: Final = re.compile(rb"<center>(nginx|openresty|tengine|angie)", re.IGNORECASE)
"""What ends the pages that nginx, and those made of it, send by themselves."""
_OF_MINUTES: Final = re.compile(rb"minute|second", re.IGNORECASE)
"""And of one that begins anew soon, as Google calls its limits of requests."""


def status_means(status: int, meaning: Meaning) -> bool:
    """Whether a status has this meaning, or one of these."""
    return bool(_row(status).means & meaning)


def means(error: DicomZarrError | None, meaning: Meaning) -> bool:
    """Whether what a request ended with has this meaning, or one of these; never where it ended well."""
    if isinstance(error, HTTPStatusError):
        return status_means(error.status, meaning)
    if isinstance(error, InvalidReplyError) and error.refuses:
        return bool(_REFUSING.means & meaning)
    row = next((_ROWS[kind] for kind in type(error).__mro__ if kind in _ROWS), _Row())
    return bool(row.means & meaning)


def status_error(
    status: int, headers: Mapping[str, str], subject: str, not_found: type[NotFoundError], begins: bytes = b""
) -> HTTPStatusError:
    """The error for a status that is no success. The reply's body is never quoted: it may name patients.

    Args:
        status: The HTTP status code.
        headers: The reply's headers by lower-case name.
        subject: What was asked and of which server, for the message.
        not_found: The class for 404 and 410.
        begins: What the body begins with, where `tells_more` says so.
    """
    row = _row(status)
    kind, remedy = row.error, row.remedy
    if row.quota and _is_for_hours(headers, begins):
        kind, remedy = row.quota
    if kind is NotFoundError:
        kind = not_found
    wait = seconds_to_wait(headers.get("retry-after"))
    error = kind(f"HTTP status {status} for {subject}.", remedy=remedy, status=status, retry_after=wait)
    error.challenge = headers.get("www-authenticate", "")
    return error


def tells_more(status: int) -> bool:
    """Whether the body of a reply with this status says how it is meant."""
    return _row(status).quota is not None


def _is_for_hours(headers: Mapping[str, str], begins: bytes) -> bool:
    """Whether a quota is used up; else requests came too fast.

    A page says so, as that of the Imaging Data Commons, unless it is that of a web server's own limit.
    """
    if "retry-after" in headers or _OF_MINUTES.search(begins):
        return False
    if MediaType.parse(headers.get("content-type", "")).is_html:
        return _OF_WEB_SERVERS.search(begins) is None
    return _OF_HOURS.search(begins) is not None


def _row(status: int) -> _Row:
    return _ROWS.get(status) or (_Row(Meaning.NONE, *_SERVER_FAILED) if status >= _FIRST_SERVER_ERROR else _Row())


def seconds_to_wait(retry_after: str | None) -> float | None:
    """Read a Retry-After value, seconds or a date (RFC 9110 section 10.2.3); None where there is no usable one."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError, TypeError, IndexError):  # whatever parsing makes of nonsense
        return None
