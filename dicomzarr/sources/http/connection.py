"""How connections are made: TLS and proxies, from the defaults or from a borrowed client."""

from __future__ import annotations

import ssl
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from dicomzarr.errors import InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Callable

Certificate: TypeAlias = "str | tuple[str, str] | None"


def basic_login(user: str, password: str) -> str:
    """The value of an Authorization header for HTTP Basic (RFC 7617), in UTF-8."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def environment_proxy(url: str) -> str | None:
    """The proxy that the environment (``HTTPS_PROXY``, ``NO_PROXY``, ...) names for a URL, or None."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return getproxies().get(parts.scheme)


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """TLS and proxy settings of one server."""

    verify: bool | str = True
    """Whether the server's certificate is verified; a path names the authorities to trust instead of the system's."""
    certificate: Certificate = None
    """The client's certificate: a PEM file, or (certificate, key)."""
    proxy_for: Callable[[str], str | None] = environment_proxy
    """Gives the proxy for a URL."""

    def tls(self, *, own_server: bool) -> ssl.SSLContext:
        """The TLS context; a client's certificate is shown to the own server only.

        Raises:
            InvalidOptionError: A certificate file cannot be read.
        """
        try:
            context = _trusting(self.verify)
            if self.certificate is not None and own_server:
                files = (self.certificate,) if isinstance(self.certificate, str) else self.certificate
                context.load_cert_chain(*files)
        except OSError as error:
            raise InvalidOptionError(
                f"The client's TLS files cannot be used ({type(error).__name__}).",
                remedy="Check verify and cert of its session.",
            ) from None
        return context


def _trusting(verify: bool | str) -> ssl.SSLContext:  # noqa: FBT001  # requests' own word
    if isinstance(verify, str):
        folder = Path(verify).is_dir()
        return ssl.create_default_context(capath=verify) if folder else ssl.create_default_context(cafile=verify)
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
