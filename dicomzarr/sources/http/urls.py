"""http(s) URLs: what of them is shown, where credentials may go, what is around one that was pasted. Pure (no I/O)."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote, urlsplit

PORTS: Final = {"http": 80, "https": 443}
"""The port that a scheme means where none is named."""

_WRAPPED = re.compile(r"\s*[\r\n]\s*")
_AROUND = " \t\r\n\f\v\xa0\u200b\u2060\ufeff\"'`<>\u2018\u2019\u201c\u201d\u00ab\u00bb"
"""What mails, chats and shells leave around a URL: blanks, quotation marks, angle brackets."""


def pasted(text: str) -> str:
    """A URL as somebody pasted it, without what is around it, and in one line."""
    return _WRAPPED.sub("", text.strip(_AROUND))


def split_user_info(url: str) -> tuple[str, tuple[str, str] | None]:
    """Split ``user:password@`` off a URL.

    Returns:
        The URL without it, and (user, password) percent-decoded, or None when there was none.
    """
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user_info, at, host = authority.rpartition("@")
    if not mark or not at:
        return url, None
    user, _, password = user_info.partition(":")
    return f"{scheme}://{host}{slash}{path}", (unquote(user), unquote(password))


def safe_url(url: str) -> str:
    """The URL as messages may show it: without user-info, query and fragment."""
    scheme, mark, rest = url.partition("://")
    # A password with a slash or a question mark in it must not show either: all before the last @ goes.
    return scheme + mark + re.split(r"[?#]", rest.rpartition("@")[2], maxsplit=1)[0]


def host_of(url: str) -> str:
    """The host and port of a URL, for messages."""
    return safe_url(url).partition("://")[2].partition("/")[0]


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an http(s) URL: credentials do not leave it (RFC 6454)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or PORTS.get(parts.scheme)


def is_host_name(name: str) -> bool:
    """Whether a host can have this name: its labels are neither empty nor longer than 63 bytes (RFC 1035)."""
    try:
        return bool(name.encode("idna"))
    except UnicodeError:
        return False


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this very machine, so that nothing travels over a network."""
    return _is_loopback_host(urlsplit(url).hostname or "")


@lru_cache
def _is_loopback_host(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
