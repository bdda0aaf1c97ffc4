"""Cookies of a login in a browser, out of a file in the form of Netscape (``cookies.txt``), which curl writes too."""

from __future__ import annotations

from http.cookiejar import LoadError, MozillaCookieJar
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request

from dicomzarr.errors import AuthenticationError
from dicomzarr.options import SecretHeaders
from dicomzarr.options.provider import reference_to
from dicomzarr.sources.http.credentials.bearer import StaysHere

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.options import Rejected


class CookieFile(StaysHere):
    """The cookies of a file that are for the host and path of a request; it is a `Provider`.

    The file is read again when it has changed; nothing that a server sets is kept.

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
        self._jar = MozillaCookieJar()

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
                jar = MozillaCookieJar()
                jar.load(str(self._path), ignore_discard=True)
                self._jar, self._state = jar, state
        except (OSError, LoadError, ValueError) as error:
            raise AuthenticationError(
                f"The file of cookies cannot be read ({type(error).__name__}).",
                remedy="Write it in the form of Netscape, which begins with: # Netscape HTTP Cookie File.",
            ) from None
