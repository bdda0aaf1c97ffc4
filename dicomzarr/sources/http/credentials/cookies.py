"""Cookies of a login in a browser, out of a file in the form of Netscape (``cookies.txt``), which curl writes too.

Which of them a request carries is what RFC 6265 says, in sections 5.1.3, 5.1.4 and 5.4.
"""

from __future__ import annotations

import time
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from dicomzarr.errors import AuthenticationError
from dicomzarr.options import SecretHeaders
from dicomzarr.options.provider import reference_to
from dicomzarr.sources.http.credentials.bearer import StaysHere

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
        self._cookies: Sequence[_Cookie] = ()

    def headers(self, method: str, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """See `Provider.headers`.

        Raises:
            AuthenticationError: The file cannot be read, or has no cookie for the URL that is still good.
        """
        del method, headers
        self._read()
        to = urlsplit(url)
        cookies = [each for each in self._cookies if each.is_for(to)]
        if not cookies:
            raise AuthenticationError(
                f"The file of cookies has none for {to.hostname} that is still good.",
                remedy="Log in again, and write the file anew.",
            )
        cookies.sort(key=lambda each: len(each.path), reverse=True)
        return SecretHeaders({"cookie": "; ".join(map(str, cookies))})

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
                self._cookies, self._state = _cookies_of(self._path.read_text(encoding="utf-8")), state
        except (OSError, ValueError, OverflowError) as error:
            raise AuthenticationError(
                f"The file of cookies cannot be read ({type(error).__name__}).",
                remedy="Write it in the form of Netscape: seven fields in a line, with tabs between them.",
            ) from None


class _Cookie(NamedTuple):
    domain: str
    """In lower case, without a dot before it."""
    below: bool
    """It is for the hosts below its domain too."""
    path: str
    secure: bool
    """It is for HTTPS alone."""
    ends: float
    """In seconds since 1970; 0 for one that ends with the browser."""
    name: str
    value: str

    def is_for(self, url: SplitResult) -> bool:
        """Whether a request carries it."""
        is_secret_kept = not self.secure or url.scheme == "https"
        is_good = not self.ends or time.time() < self.ends
        return is_secret_kept and is_good and self._is_of_host(url.hostname or "") and self._is_above(url.path or "/")

    def _is_of_host(self, host: str) -> bool:
        return host == self.domain or (self.below and host.endswith(f".{self.domain}") and not _is_address(host))

    def _is_above(self, path: str) -> bool:
        return path == self.path or path.startswith(self.path.rstrip("/") + "/")

    def __str__(self) -> str:
        return f"{self.name}={self.value}" if self.name else self.value


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _cookies_of(text: str) -> Sequence[_Cookie]:
    """The cookies of a file; of several of a name, domain and path the last.

    Raises:
        ValueError: A line is no cookie.
    """
    found = {}
    for line in text.splitlines():
        line = line.removeprefix(_HIDDEN)  # noqa: PLW2901  # as it counts
        if line.strip() and not line.startswith("#"):
            each = _cookie(*line.split("\t"))
            found[each.domain, each.path, each.name] = each
    return list(found.values())


def _cookie(*fields: str) -> _Cookie:
    domain, below, path, secure, ends, name, value = fields
    return _Cookie(
        domain=domain.removeprefix(".").strip("[]").lower(),
        below=below.upper() == "TRUE",
        path=path if path.startswith("/") else "/",
        secure=secure.upper() == "TRUE",
        ends=int(float(ends or 0)),
        name=name,
        value=value,
    )
