"""How connections are made: TLS and proxies, from the defaults the options, or a borrowed client."""

from __future__ import annotations

import os
import ssl
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from dicomzarr.errors import InvalidOptionError
from dicomzarr.sources.http.urls import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_PASSWORD_VARIABLE: Final = "DICOMZARR_KEY_PASSWORD"  # noqa: S105  # the name of a variable
"""The environment variable that holds the password of the key of the client's certificate."""

_CERTIFICATES: Final = (".pem", ".crt", ".cer")

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


def proxy_of(url: str, proxy_for: Callable[[str], str | None] = environment_proxy) -> str | None:
    """The proxy through which a URL is asked for: plain HTTP to this machine may carry credentials, and has none."""
    return None if is_loopback(url) else proxy_for(url)


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """TLS and proxy settings of one server."""

    verify: bool | str = True
    """Whether the server's certificate is verified; a path names the authorities to trust instead of the system's."""
    ca: str | None = None
    """Authorities that are trusted besides: a PEM file or a folder."""
    certificate: Certificate = None
    """The client's certificate: a PEM file, or (certificate, key)."""
    proxy_for: Callable[[str], str | None] = environment_proxy
    """Gives the proxy for a URL."""
    where: str = "the options ca and cert"
    """Where the files were named, for messages."""

    def tls(self, *, own_server: bool) -> ssl.SSLContext:
        """The TLS context; a client's certificate is shown to the own server only.

        Raises:
            InvalidOptionError: A certificate file cannot be read.
        """
        try:
            context = _trusting(self.verify)
            if self.ca is not None:
                _trust_besides(context, self.ca)
            if self.certificate is not None and own_server:
                certificate, key = (self.certificate, None) if isinstance(self.certificate, str) else self.certificate
                context.load_cert_chain(certificate, key, _key_password)
        except OSError as error:  # ssl.SSLError is one
            reason = error.strerror if error.errno and not isinstance(error, ssl.SSLError) else "not PEM, or no pair"
            raise InvalidOptionError(
                f"The TLS files cannot be used ({type(error).__name__}: {reason}).", remedy=f"Check {self.where}."
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


def _trust_besides(context: ssl.SSLContext, ca: str) -> None:
    if not Path(ca).is_dir():
        context.load_verify_locations(cafile=ca)
        return
    # Not as capath, which finds only files that are named by hashes.
    for file in sorted(each for each in Path(ca).iterdir() if each.suffix in _CERTIFICATES):
        context.load_verify_locations(cafile=str(file))


def _key_password() -> str:
    """The password of an encrypted key. Without it OpenSSL would ask on the terminal, and the loop would wait."""
    password = os.environ.get(KEY_PASSWORD_VARIABLE)
    if not password:
        raise InvalidOptionError(
            "The key of the client's certificate is encrypted, and there is no password for it.",
            remedy=f"Put the password into the environment variable {KEY_PASSWORD_VARIABLE}, or name a plain key.",
        )
    return password
