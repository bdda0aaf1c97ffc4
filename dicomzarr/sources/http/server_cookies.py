"""Cookies that a server sets for itself: load balancers and doors remember by them whom they have let in (RFC 6265)."""

from __future__ import annotations

from email.message import Message
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.request import Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST: Final = 50
"""Cookies that are kept of one server."""
_LONGEST: Final = 4096
"""Characters of one, as RFC 6265 section 6.1 wants it."""


class ServerCookies:
    """The cookies of one origin, as long as its connections are wanted; on one event loop."""

    def __init__(self) -> None:
        self._jar = CookieJar()

    def keep(self, url: str, lines: Sequence[str]) -> None:
        """Take the values of ``Set-Cookie`` in a reply of the server."""
        message = Message()
        for line in lines:
            if len(line) <= _LONGEST and line.isprintable():
                message["set-cookie"] = line
        self._jar.extract_cookies(cast("Any", _Reply(message)), Request(url))  # noqa: S310  # it is never opened
        if len(self._jar) > _MOST:
            self._jar.clear()

    def along(self, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The headers of a request to the server, with its cookies; those that are there already go first."""
        if not len(self._jar):
            return headers
        request = Request(url)  # noqa: S310  # as above
        self._jar.add_cookie_header(request)
        kept, given = request.get_header("Cookie"), headers.get("cookie")
        if kept is None:
            return headers
        return {**headers, "cookie": f"{given}; {kept}" if given else kept}


class _Reply:
    """What `http.cookiejar` looks at."""

    def __init__(self, message: Message) -> None:
        self._message = message

    def info(self) -> Message:
        return self._message
