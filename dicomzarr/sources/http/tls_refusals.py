"""What went wrong between TLS and plain HTTP, or with certificates, and what to do about it: tables. Pure (no I/O)."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Final

from dicomzarr.errors import AuthenticationError, ConnectionFailedError

if TYPE_CHECKING:
    from dicomzarr.errors import DicomZarrError

_CA: Final = (
    "If it is right, name its authority: ca= (--ca on the command line), or SSL_CERT_FILE in the environment. A "
    "self-signed certificate is its own authority."
)
_CERT: Final = "Name yours: cert= (--cert on the command line), a PEM file or certificate and key."
_UNTRUSTED: Final = (18, 19, 20, 21)
"""OpenSSL's codes for certificates that no authority vouches for which is trusted here (X509_V_ERR)."""

_WRONG: Final = {
    10: ("has expired", "Have it renewed; check the clock of this machine."),
    9: ("is not valid yet", "Check the clock of this machine."),
    62: ("is for another name", "Use the name that it is for."),
    64: ("is for another address", "Use the name that it is for."),
}

_BROKEN: Final = (
    "It, or that of its authority, is not as it has to be: have it made anew. Python 3.13 checks more than 3.12."
)

_PLAIN: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL")
"""OpenSSL's reasons where what came is no TLS."""

_OLD: Final = (
    "Have it set to TLS 1.2 or later, with ciphers and keys of today; older ones are not safe, and are not used."
)
_TOO_OLD: Final = "speaks only versions of TLS that are too old"
_REASONS: Final = (
    (
        ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA"),
        "wants another client certificate, or one at all",
        _CERT,
    ),
    (
        ("HANDSHAKE_FAILURE",),
        "broke off the handshake of TLS: it wants a client certificate, or has no cipher of today",
        f"{_CERT} Else have the server set to ciphers of today.",
    ),
    (("UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION"), _TOO_OLD, _OLD),
    (("TOO_SMALL", "TOO_WEAK", "LEGACY_", "NO_CIPHER"), "speaks TLS only in ways that are too weak", _OLD),
    (("UNRECOGNIZED_NAME",), "serves no such name by TLS", "Use the name that the server is meant to be asked by."),
)
"""What OpenSSL's reasons mean that hold a word: what is said of the server, and what to do."""

_HTTP_ON_TLS = re.compile(
    rb"plain HTTP request was sent to HTTPS|speaking plain HTTP to an SSL|HTTP request to an HTTPS server"
    rb"|combination of host and port requires TLS",
    re.IGNORECASE,
)
_NO_CERTIFICATE = re.compile(rb"no required SSL certificate|SSL certificate error", re.IGNORECASE)
_TLS_RECORD: Final = re.compile(r"b['\"]\\x15\\x03")
"""How a TLS alert begins, in the text of an error about a reply that is no HTTP."""

REFUSING: Final = 400
"""The status with which web servers say such things, in a page."""


def tls_error(host: str, error: ssl.SSLError | ssl.CertificateError) -> ConnectionFailedError:
    """Our error for one of TLS."""
    reason = str(getattr(error, "reason", "") or "")
    if isinstance(error, ssl.SSLCertVerificationError):
        code, why = error.verify_code, error.verify_message
        otherwise = f"is not trusted: {why}", _CA if code in _UNTRUSTED else _BROKEN
        found, remedy = _WRONG.get(code, otherwise)
        return ConnectionFailedError(f"The certificate of {host} {found}.", remedy=remedy)
    if reason in _PLAIN:
        return ConnectionFailedError(
            f"{host} speaks no TLS: most likely plain HTTP.", remedy="Write http:// or dicomweb://, or check the port."
        )
    for words, found, remedy in _REASONS:
        if any(each in reason for each in words):
            return ConnectionFailedError(f"{host} {found}.", remedy=remedy)
    return ConnectionFailedError(f"No TLS connection to {host} ({reason or type(error).__name__}).")


def too_old(host: str) -> ConnectionFailedError:
    """The error for a server that speaks TLS, and none that is safe."""
    return ConnectionFailedError(f"{host} {_TOO_OLD}.", remedy=_OLD)


def is_no_tls(error: ssl.SSLError) -> bool:
    """Whether an error says that what answered does not speak TLS at all."""
    return isinstance(error, ssl.SSLEOFError) or error.reason in _PLAIN


def speaks_tls(text: str) -> bool:
    """Whether what came in the place of HTTP is TLS, by the text of the error that shows how it begins."""
    return _TLS_RECORD.search(text) is not None


def is_tls_port(host: str) -> ConnectionFailedError:
    """The error for plain HTTP that was sent to a port of TLS."""
    return ConnectionFailedError(f"{host} speaks TLS on this port.", remedy="Write https:// or dicomwebs://.")


def refusal_of(host: str, body: bytes) -> DicomZarrError | None:
    """The error that a page with status 400 means; None where it is about something else.

    Args:
        host: The server.
        body: How the page begins.
    """
    if _HTTP_ON_TLS.search(body):
        return is_tls_port(host)
    if _NO_CERTIFICATE.search(body):
        return AuthenticationError(f"{host} wants a client certificate that it accepts.", remedy=_CERT)
    return None
