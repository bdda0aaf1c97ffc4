"""Where a redirect may lead, and what may travel along (RFC 9110 section 15.4)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urldefrag, urljoin

from dicomzarr.errors import InsecureTransportError, InvalidReplyError
from dicomzarr.sources.http.urls import host_of, is_host_name, origin_of, split_user_info

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SAFE: Final = "%!#$&'()*+,/:;=?@[]~"
"""What may stand in a URL beside letters and digits (RFC 3986 appendix A)."""

MOST = 5
"""Redirects that are followed for one request."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request."""

    url: str
    """The http(s) URL."""
    headers: Mapping[str, str]
    """Headers that say what is wanted, under lower-case names; they go before those of the credentials."""
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Headers, under lower-case names, that are dropped when a redirect leaves the origin."""
    form: bytes | None = field(default=None, repr=False)
    """What is posted, as a form; None for a GET. It may hold secrets: no redirect is followed with it."""


def follow(request: Request, location: str | None) -> Request:
    """The request that a redirect asks for.

    Raises:
        InvalidReplyError: The redirect leads nowhere.
        InsecureTransportError: It leads from HTTPS to plain HTTP.
    """
    host = host_of(request.url)
    if not location:
        raise InvalidReplyError(f"{host} redirects without saying where.")
    url = resolved(request.url, location, f"{host} redirects to something that")
    same = origin_of(url) == origin_of(request.url)
    return replace(request, url=url, credentials=request.credentials if same else {})


def resolved(base: str, location: str, what: str) -> str:
    """The URL that a server's reference means.

    Args:
        base: The URL that it stood at.
        location: The reference, absolute or relative.
        what: What it is, to begin a message with.

    Raises:
        InvalidReplyError: It is no http URL.
        InsecureTransportError: It leads from HTTPS to plain HTTP.
    """
    if _UNPRINTABLE.search(location):
        raise InvalidReplyError(f"{what} holds control characters.")
    try:
        # User-info from a server is nothing that the user has given, and a fragment is not sent.
        url = urldefrag(split_user_info(urljoin(base, location.strip(" ")))[0]).url
        scheme, name, _ = origin_of(url)
        name.encode("ascii")  # other names are not spelled so in a URL (RFC 3986 section 3.2.2)
    except ValueError:
        raise InvalidReplyError(f"{what} is no URL.") from None
    if scheme not in ("http", "https") or not is_host_name(name):
        raise InvalidReplyError(f"{what} is no http URL of a host.")
    if base.startswith("https:") and scheme == "http":
        raise InsecureTransportError(
            f"{what} leads from HTTPS to plain HTTP.",
            remedy="Have the server's own URL set to https.",
        )
    return quote(url, safe=_SAFE)
