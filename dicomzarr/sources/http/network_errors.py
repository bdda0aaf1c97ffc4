"""aiohttp's exceptions as ours. Their texts may hold URLs and headers: only types are named."""

from __future__ import annotations

import os
import re
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import aiohttp

from dicomzarr.errors import (
    ConnectionFailedError,
    DicomZarrError,
    InvalidReplyError,
    RequestTimeoutError,
    TruncatedReplyError,
)
from dicomzarr.sources.http.statuses import ConnectionDroppedError, UnreachableError
from dicomzarr.sources.http.tls_refusals import is_tls_port, speaks_tls, tls_error

if TYPE_CHECKING:
    from collections.abc import Iterator

_WANTS_LOGIN: Final = 407
"""The status with which a proxy asks for credentials of its own (RFC 9110 section 15.5.8)."""
_FAILED: Final = 500
PROXY: Final = "Check HTTPS_PROXY and HTTP_PROXY; NO_PROXY names hosts that are asked without a proxy."
_NETWORK: Final = "Check the host, the port and the network."
_HANDSHAKE: Final = "It broke off the handshake of TLS: it may speak another protocol there, or TLS that is too old."
PROXY_LOGIN: Final = "Give it in HTTPS_PROXY or HTTP_PROXY: http://USER:PASSWORD@PROXY:PORT."

_UNREAD: Final = (
    (
        "content-encoding",
        "encoded its reply in a way that was not asked for",
        "Have it look at Accept-Encoding: gzip is asked for, or nothing.",
    ),
    (r"b'\\x00\\x00.{1,4}\\x0[0-9]", "speaks HTTP/2 only", "Have it, or the proxy before it, offer HTTP/1.1."),
    (
        "content-length",
        "says two lengths of one reply (Content-Length, Transfer-Encoding), which nobody can read safely",
        "Have the server, or the proxy before it, send one of them.",
    ),
    (
        "got more than",
        "sends headers longer than 64 KiB, or more than 512 of them",
        "Have the proxy before it shorten them.",
    ),
    ("bad status line", "sent something that is no HTTP, or more than it announced", "Check the port, and the proxy."),
)
"""What aiohttp says of a reply that it cannot read; what is said of the server, and what to do."""

_ENCODING: Final = re.compile(r"Can not decode content-encoding: ([\w-]+)")
"""What aiohttp says of a body that is not encoded as its header says."""


@contextmanager
def explained(host: str, timeout: float, *, answered: bool, plain: bool = False) -> Iterator[None]:
    """Raise our errors for aiohttp's.

    Args:
        host: The server, for messages.
        timeout: Seconds after which aiohttp gives up, for messages.
        answered: Whether the reply has begun.
        plain: Whether it is asked by plain HTTP.
    """
    try:
        yield
    except DicomZarrError:
        raise
    except TimeoutError:
        raise RequestTimeoutError(
            f"{host} gave nothing for {timeout:g} s.",
            remedy="Raise the timeout option if the server is that slow.",
        ) from None
    except (aiohttp.ClientError, OSError) as error:
        raise _network_error(error, host, answered=answered, plain=plain) from None


def _network_error(error: Exception, host: str, *, answered: bool, plain: bool) -> DicomZarrError:
    kind = type(error).__name__
    if (tls := _tls_error(error)) is not None:
        return tls_error(host, tls)
    if answered:
        return _broken_off(error, host)
    if isinstance(error, aiohttp.ClientResponseError) and (known := _unread(error.message, host)) is not None:
        return known
    if isinstance(error, aiohttp.ClientHttpProxyError | aiohttp.ClientConnectorError):
        return _unconnected(error, host, plain=plain)
    if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, OSError)):
        return ConnectionDroppedError(
            f"{host} broke the connection before it answered ({kind}).",
            remedy="If it speaks TLS on this port, write https:// or dicomwebs://." if plain else "",
        )
    return ConnectionFailedError(
        f"{host} could not be talked to in HTTP ({kind}).", remedy="Check the URL and the proxy."
    )


def _broken_off(error: Exception, host: str) -> InvalidReplyError:
    encoding = _ENCODING.search(f"{error} {error.__cause__}")
    if encoding is None:
        return TruncatedReplyError(f"The reply of {host} ended early ({type(error).__name__}).")
    return InvalidReplyError(
        f"The reply of {host} is not what its header says: Content-Encoding: {encoding[1]}.",
        remedy="A proxy may have unpacked it and left the header: have it remove that, or send the reply as it is.",
    )


def _unread(message: str, host: str) -> ConnectionFailedError | None:
    """A reply that cannot be read, by what aiohttp says of it; None where that is nothing known."""
    if speaks_tls(message):
        return is_tls_port(host)
    for words, found, remedy in _UNREAD:
        if re.search(words, message, re.IGNORECASE):
            return ConnectionFailedError(f"{host} {found}.", remedy=remedy)
    return None


def _unconnected(
    error: aiohttp.ClientHttpProxyError | aiohttp.ClientConnectorError, host: str, *, plain: bool
) -> ConnectionFailedError:
    """Nothing has reached the server; a proxy says so, or is not there either."""
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = _reason(error.os_error)
        if isinstance(error, aiohttp.ClientProxyConnectionError):
            return UnreachableError(f"No connection to the proxy for {host}: {reason}.", remedy=PROXY)
        of_tls = isinstance(error.os_error, ConnectionResetError) and not plain
        return UnreachableError(f"No connection to {host}: {reason}.", remedy=_HANDSHAKE if of_tls else _NETWORK)
    if error.status == _WANTS_LOGIN:
        return ConnectionFailedError(f"The proxy for {host} wants a login, or another one.", remedy=PROXY_LOGIN)
    # Where the server is started anew, the proxy is who says so.
    kind = UnreachableError if error.status >= _FAILED else ConnectionFailedError
    return kind(f"The proxy gives no way to {host} (status {error.status}).", remedy=PROXY)


def _reason(error: OSError) -> str:
    """Why there is no connection, in the system's words: asyncio's own repeat the address."""
    if (error.errno or 0) > 0:  # below are those of the resolver
        return os.strerror(error.errno or 0)
    return error.strerror or type(error).__name__


def _tls_error(error: Exception) -> ssl.SSLError | ssl.CertificateError | None:
    """What TLS itself said, inside of one of aiohttp's errors."""
    # aiohttp's own classes derive from those of TLS, too: what is inside goes first.
    for found in (getattr(error, "certificate_error", None), getattr(error, "os_error", None), error.__cause__, error):
        if isinstance(found, ssl.SSLError | ssl.CertificateError) and not isinstance(found, ssl.SSLEOFError):
            return found
    return None
