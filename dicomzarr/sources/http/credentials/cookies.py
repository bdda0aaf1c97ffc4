"""Cookies of a login in a browser, out of a file in the form of Netscape (``cookies.txt``), which curl writes too."""

from __future__ import annotations

from http.cookiejar import Cookie, CookieJar
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.request import Request

from dicomzarr.errors import AuthenticationError
from dicomzarr.options import SecretHeaders
from dicomzarr.options.provider import reference_to
from dicomzarr.sources.http.credentials.bearer import StaysHere

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.options import Rejected

_HIDDEN: Final = "#HttpOnly_"
"""How the lines of cookies begin that no script of a page may read."""


class CookieFile(StaysHere):
    """The cookies of a file that are for the host and path of a request; it is a `Provider`.

    The file is read again when it has changed; what a server sets is not written to it.

    Args:
        file: Its path.
    """

    expires_at = None
    """See `Provider.expires_at`: each cookie has an end of its own."""

    def __init__(self, file: str) -> None:
        path = Path(file).expanduser().absolute()
        self.reference = reference_to("cookies", file=str(path))
        self._path = path
        self._state: tuple[int, int] | None = None
        self._jar = CookieJar()

    def headers(self, method: str, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """See `Provider.headers`.

        Raises:
            AuthenticationError: The file cannot be read, or has no cookie for the URL that is still good.
        """
        del method, headers
        self._read()
        request = Request(url)  # noqa: S310  # it is never opened
        self._jar.add_cookie_header(request)
        cookies = request.get_header("Cookie")
        if not cookies:
            raise AuthenticationError(
                f"The file of cookies has none for {request.host} that is still good.",
                remedy="Log in again, and write the file anew.",
            )
        return SecretHeaders({"cookie": cookies})

    def rejected(self, response: Rejected) -> bool:
        """See `Provider.rejected`: worth while if the file has changed since."""
        del response
        before = self._state
        self._read()
        return before != self._state

    def _read(self) -> None:
        try:
            status = self._path.stat()
            state = (status.st_mtime_ns, status.st_size)
            if state != self._state:
                self._jar, self._state = _jar_of(self._path.read_text(encoding="utf-8")), state
        except (OSError, ValueError, OverflowError) as error:
            raise AuthenticationError(
                f"The file of cookies cannot be read ({type(error).__name__}).",
                remedy="Write it in the form of Netscape: seven fields in a line, with tabs between them.",
            ) from None


def _jar_of(text: str) -> CookieJar:
    """The cookies of a file, which Python's own reader takes apart with warnings about what is malformed.

    Raises:
        ValueError: A line is no cookie.
    """
    jar = CookieJar()
    for line in text.splitlines():
        line = line.removeprefix(_HIDDEN)  # noqa: PLW2901  # as it counts
        if line.strip() and not line.startswith("#"):
            jar.set_cookie(_cookie(*line.split("\t")))
    return jar


def _cookie(*fields: str) -> Cookie:
    domain, below, path, secure, ends, name, value = fields
    expires = int(float(ends or 0)) or None  # curl writes 0 for those that end with the browser
    return Cookie(
        version=0,
        name=name,
        value=value,
        port=None,
        port_specified=False,
        domain=domain,
        domain_specified=below == "TRUE",
        domain_initial_dot=domain.startswith("."),
        path=path,
        path_specified=True,
        secure=secure == "TRUE",
        expires=expires,
        discard=expires is None,
        comment=None,
        comment_url=None,
        rest={},
    )
