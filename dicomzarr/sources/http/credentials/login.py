"""A user and a password: HTTP Basic (RFC 7617), or Digest where the server asks for that (RFC 7616)."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from dicomzarr.options import SecretHeaders
from dicomzarr.sources.http.connection import basic_login
from dicomzarr.sources.http.credentials.given import LOGIN
from dicomzarr.sources.http.credentials.secret_headers import AFTER_401

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.options import Rejected
    from dicomzarr.sources.http.credentials.given import Given

_DIGEST: Final = re.compile(r"(?:^|,)\s*digest\s+(.*)", re.IGNORECASE)
_PARAMETER: Final = re.compile(r'([a-zA-Z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_HASHES: Final = {"md5": "md5", "sha-256": "sha256", "sha-512-256": "sha512_256"}
_SESSION: Final = "-sess"
_AS_BYTES: Final = "surrogateescape"
"""How bytes of a header that are no UTF-8 are told."""


@dataclass(slots=True)
class _Challenge:
    """What a server wants a login hashed with."""

    realm: str
    nonce: str
    algorithm: str
    opaque: str | None
    qop: bool
    """It knows the quality of protection ``auth``."""
    stale: bool
    """The login was right, and hashed with what is too old."""
    count: int = 0
    """Requests that were hashed with it."""


@dataclass(slots=True)
class LoginCredentials:
    """The login of every request: Basic, until the server has asked for Digest."""

    fixed: Mapping[str, str] = field(repr=False)
    """Other headers that go along."""
    user: str = field(repr=False)
    password: str = field(repr=False)
    renewable_after: frozenset[int] = AFTER_401
    """See `Credentials`."""
    given: Given = LOGIN
    """See `Credentials`."""
    _challenge: _Challenge | None = field(default=None, repr=False)

    async def headers_for(
        self, url: str, headers: Mapping[str, str], *, refused: Rejected | None = None
    ) -> Mapping[str, str]:
        """See `Credentials.headers_for`."""
        del headers
        if refused is not None:
            asked = _digest_challenge(refused.challenge)
            hashed = refused.sent.get("authorization", "").startswith("Digest ")
            if asked is None or (hashed and not asked.stale):
                self._challenge = None  # a wrong password is not tried in ever new forms
                return refused.sent
            self._challenge = asked
        login = basic_login(self.user, self.password) if self._challenge is None else self._digest(self._challenge, url)
        return SecretHeaders({**self.fixed, "authorization": login})

    def _digest(self, asked: _Challenge, url: str) -> str:
        asked.count += 1
        parts = urlsplit(url)
        uri = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        count, own = f"{asked.count:08x}", secrets.token_hex(8)

        def hashed(*texts: str) -> str:
            name = _HASHES[asked.algorithm.lower().removesuffix(_SESSION)]
            # What the server says in bytes that are no UTF-8 is hashed as it said it.
            return hashlib.new(name, ":".join(texts).encode(errors=_AS_BYTES), usedforsecurity=False).hexdigest()

        secret = hashed(self.user, asked.realm, self.password)
        if asked.algorithm.lower().endswith(_SESSION):
            secret = hashed(secret, asked.nonce, own)
        quality = (count, own, "auth") if asked.qop else ()
        told = {
            "username": self.user,
            "realm": asked.realm,
            "nonce": asked.nonce,
            "uri": uri,
            "response": hashed(secret, asked.nonce, *quality, hashed("GET", uri)),
            "cnonce": own,
            **({} if asked.opaque is None else {"opaque": asked.opaque}),
        }
        quoted = ", ".join(f'{name}="{_quoted(value)}"' for name, value in told.items())
        plain = f", qop=auth, nc={count}" if asked.qop else ""
        return f"Digest {quoted}, algorithm={asked.algorithm}{plain}"


def _quoted(text: str) -> str:
    """A text for a header: headers are sent in UTF-8, and bytes that are none as the characters that they may mean."""
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    return escaped if escaped.isascii() else _decoded(escaped.encode(errors=_AS_BYTES))


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _digest_challenge(challenge: str) -> _Challenge | None:
    """The Digest in a challenge; None where there is none that can be answered, or Basic would do as well."""
    found = _DIGEST.search(challenge)
    if found is None or re.search(r"(?:^|,)\s*basic\b", challenge, re.IGNORECASE):
        return None
    told: dict[str, str] = {}
    for name, quoted, plain in _PARAMETER.findall(found[1]):
        told.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) or plain)  # of several challenges the first
    algorithm = told.get("algorithm", "MD5")
    qualities = {each.strip().lower() for each in told.get("qop", "").split(",")}
    known = algorithm.lower().removesuffix(_SESSION) in _HASHES and qualities & {"", "auth"}
    if "nonce" not in told or not known:
        return None
    stale = told.get("stale", "").lower() == "true"
    return _Challenge(told.get("realm", ""), told["nonce"], algorithm, told.get("opaque"), "auth" in qualities, stale)
