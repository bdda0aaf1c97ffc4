"""How connections are made: TLS and proxies, from the defaults the options, or a borrowed client."""

from __future__ import annotations

import os
import re
import ssl
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from dicomzarr.errors import InvalidOptionError
from dicomzarr.options import SecretHeaders
from dicomzarr.sources.http.urls import host_of, is_host_name, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_PASSWORD_VARIABLE: Final = "DICOMZARR_KEY_PASSWORD"  # noqa: S105  # the name of a variable
"""The environment variable that holds the password of the key of the client's certificate."""

_PROXIES: Final = ("http", "https")
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


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy."""

    url: URL
    """Without its user-info."""
    login: SecretHeaders
    """What its user-info becomes, if it has any."""


def proxy_of(url: str, proxy_for: Callable[[str], str | None] = environment_proxy) -> Proxy | None:
    """The proxy through which a URL is asked for: plain HTTP to this machine may carry credentials, and has none.

    Raises:
        InvalidOptionError: What is named is no HTTP proxy.
    """
    # No local holds what is named, for a password may stand in it.
    if is_loopback(url) or not proxy_for(url):
        return None
    proxy = _proxy_at(proxy_for(url) or "")
    if isinstance(proxy, Proxy):
        return proxy
    variable = f"{urlsplit(url).scheme.upper()}_PROXY"
    raise InvalidOptionError(
        f"The proxy for {host_of(url)} is {proxy}.",
        remedy=f"Write {variable} as http://USER:PASSWORD@PROXY:PORT, with % and two hexadecimal digits for what is"
        " neither a letter nor a digit in a password (%23 for #), or leave this host out of it with NO_PROXY.",
    )


def _proxy_at(text: str) -> Proxy | str:
    """The proxy at a URL, or what is wrong with it; without a scheme it is taken as curl takes it."""
    url = text if "://" in text else f"http://{text}"
    _, *behind_authority = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)
    try:
        proxy = URL(url)
        if proxy.scheme not in _PROXIES and proxy.host:
            return f"a {proxy.scheme} proxy, and only HTTP proxies can be used"
        login = basic_login(proxy.user, proxy.password or "") if proxy.user else ""
    except ValueError:
        return "no URL of one"
    if "@" in "".join(behind_authority) or not url.isprintable() or not is_host_name(proxy.host or ""):
        return "no URL of one"
    return Proxy(proxy.with_user(None), SecretHeaders({"proxy-authorization": login} if login else {}))


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
