"""Signatures of AWS, version 4: the Authorization header of one request. Pure (no I/O, no clock).

The canonical request, the string to sign and the key are those of AWS's "Create a signed AWS API request". S3 alone
takes paths as they are; other services normalize them, and encode them twice.
"""

from __future__ import annotations

import hashlib
import hmac
import posixpath
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from dicomzarr.options import SecretHeaders
from dicomzarr.sources.http.urls import PORTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

EMPTY: Final = hashlib.sha256(b"").hexdigest()
"""The hash of no body."""

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_S3: Final = ("s3", "s3-object-lambda", "s3-outposts", "s3express")


class Keys(NamedTuple):
    """Whose signature it is."""

    access_key: str
    secret_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return "<AWS keys>"


class Scope(NamedTuple):
    """What a signature is good for."""

    region: str
    service: str


def signed(  # noqa: PLR0913, PLR0917  # what a signature is made of
    method: str,
    url: str,
    headers: Mapping[str, str],
    keys: Keys,
    scope: Scope,
    moment: datetime,
    body_hash: str = EMPTY,
) -> SecretHeaders:
    """The headers that sign a request; they go with it besides those that are signed.

    Args:
        method: Of the request.
        url: As it is sent.
        headers: Those that are signed too, besides Host and those of AWS; they must be sent as they are here.
        keys: Whose signature it is.
        scope: What it is good for.
        moment: Now, in UTC.
        body_hash: SHA-256 of the body in hexadecimal digits, or ``UNSIGNED-PAYLOAD``.
    """
    date = moment.strftime("%Y%m%dT%H%M%SZ")
    added = SecretHeaders({"x-amz-date": date})
    if scope.service in _S3:
        added["x-amz-content-sha256"] = body_hash
    if keys.session_token is not None:
        added["x-amz-security-token"] = keys.session_token
    everything = SecretHeaders(
        {"host": _host(url), **{name.lower(): value for name, value in headers.items()}, **added}
    )
    names = ";".join(sorted(everything))
    path = _path(url, scope.service)
    lines = [f"{name}:{' '.join(everything[name].split())}\n" for name in sorted(everything)]
    request = "\n".join([method, path, _query(url), "".join(lines), names, body_hash])
    place = f"{date[:8]}/{scope.region}/{scope.service}/aws4_request"
    text = "\n".join([_ALGORITHM, date, place, hashlib.sha256(request.encode()).hexdigest()])
    signature = hmac.new(_key(keys.secret_key, place), text.encode(), hashlib.sha256).hexdigest()
    login = f"{_ALGORITHM} Credential={keys.access_key}/{place}, SignedHeaders={names}, Signature={signature}"
    return SecretHeaders({**added, "authorization": login})


def _host(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    usual = f":{PORTS.get(parts.scheme)}"
    return host.removesuffix(usual).lower()


def _path(url: str, service: str) -> str:
    path = urlsplit(url).path or "/"
    if service in _S3:
        return quote(path, safe="/~%")  # what is encoded stays: a slash in the name of an object
    if path.strip("/"):
        normal = posixpath.normpath(path).replace("//", "/")  # POSIX keeps two slashes at the start
        path = normal + ("/" if path.endswith("/") and normal != "/" else "")
    return quote(path if path.strip("/") else "/", safe="/~")


def _query(url: str) -> str:
    pairs = [pair.partition("=") for pair in urlsplit(url).query.split("&") if pair]
    encoded = sorted((quote(unquote(name), safe="~"), quote(unquote(value), safe="~")) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _key(secret: str, place: str) -> bytes:
    """The key for a day, a region and a service."""
    key = f"AWS4{secret}".encode()
    for part in place.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
