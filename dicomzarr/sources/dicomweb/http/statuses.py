"""HTTP statuses as errors, with what the reader can do."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from dicomzarr.errors import (
    AuthenticationError,
    HTTPStatusError,
    NegotiationError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitedError,
    ServerFailureError,
)
from dicomzarr.sources.dicomweb.messages.media_type import MediaType

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIRST_SERVER_ERROR = 500
_ROWS: dict[int, tuple[type[HTTPStatusError], str]] = {
    400: (
        HTTPStatusError,
        "The server could not make sense of the request, or cannot serve this object.",
    ),
    401: (
        AuthenticationError,
        "Give credentials that this server accepts: auth, headers or client.",
    ),
    403: (PermissionDeniedError, "Ask whoever runs the server for the right to read this."),
    404: (NotFoundError, "Check the URL and the UIDs."),
    406: (NegotiationError, "The server offers no media type that was asked for."),
    407: (HTTPStatusError, "The proxy wants credentials of its own."),
    410: (NotFoundError, "It has been removed from the server."),
    415: (NegotiationError, "The server offers no media type that was asked for."),
    429: (
        RateLimitedError,
        "Wait, or lower max_connections.",
    ),
}


_QUOTA_REMEDY = (
    "A quota of the server is used up, and asking again soon is no use. Such quotas mostly begin anew at 00:00 UTC:"
    " read on then, or read less (a coarser level, a smaller region)."
)


def status_error(
    status: int, headers: Mapping[str, str], subject: str, not_found: type[NotFoundError]
) -> HTTPStatusError:
    """The error for a status that is no success. The reply's body is never quoted: it may name patients.

    Args:
        status: The HTTP status code.
        headers: The reply's headers by lower-case name.
        subject: What was asked and of which server, for the message.
        not_found: The class for 404 and 410.
    """
    fallback: tuple[type[HTTPStatusError], str] = (ServerFailureError, "The server failed; its log says why.")
    if status < _FIRST_SERVER_ERROR:
        fallback = (
            HTTPStatusError,
            "This status was not expected of a DICOMweb server: check the URL.",
        )
    kind, remedy = _ROWS.get(status, fallback)
    if kind is NotFoundError:
        kind = not_found
    is_page = MediaType.parse(headers.get("content-type", "")).is_html
    if kind is RateLimitedError and is_page and "retry-after" not in headers:
        kind, remedy = QuotaExceededError, _QUOTA_REMEDY
    wait = seconds_to_wait(headers.get("retry-after"))
    return kind(f"HTTP status {status} for {subject}.", remedy=remedy, status=status, retry_after=wait)


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
