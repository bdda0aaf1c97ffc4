"""Token endpoints of OAuth 2.0 (RFC 6749, RFC 8414), asked by our own HTTP client: HTTPS, or this machine, only."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus, urlencode

from dicomzarr.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DicomZarrError,
    InvalidReplyError,
    RequestTimeoutError,
)
from dicomzarr.options import SecretHeaders
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.sources.http.bodies import whole_body
from dicomzarr.sources.http.connection import ConnectionSettings, basic_login
from dicomzarr.sources.http.credentials.bearer import Token
from dicomzarr.sources.http.credentials.secret_headers import refuse_plain_http
from dicomzarr.sources.http.redirects import Request
from dicomzarr.sources.http.retry import growing_pause
from dicomzarr.sources.http.transport import AiohttpTransport
from dicomzarr.sources.http.urls import host_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.sources.http.transport import Response

_MOST_BYTES: Final = 2**20
_TRIES: Final = 3
_OK, _FIRST_FAILURE, _TOO_MANY = 200, 500, 429
_TOKEN = re.compile(r"[\x21-\x7e]+")
_CODE = re.compile(r"[a-z_]{1,40}")
_WELL_KNOWN: Final = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Line:
    """How a token server is reached."""

    ca: str | None = None
    """Authorities that are trusted besides the system's."""
    cert: str | tuple[str, str] | None = None
    """The client's certificate (RFC 8705)."""
    allow_insecure: bool = False
    """Secrets may travel over plain HTTP to another machine."""
    timeout: float = 30.0
    """Seconds without progress after which a request fails."""


@dataclass(frozen=True, slots=True)
class TokenReply:
    """What a token server answered: a document, or the code of an error."""

    host: str
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    error: str = ""

    def text(self, name: str) -> str:
        """A text of the document.

        Raises:
            InvalidReplyError: It has none of that name.
        """
        found = self.document.get(name)
        if not isinstance(found, str) or not found:
            raise InvalidReplyError(f"The reply of {self.host} has no {name}.", remedy="Check the URL of the server.")
        return found

    def token(self, now: float) -> Token:
        """The access token (RFC 6749 section 5.1).

        Args:
            now: When it was asked for, in seconds since 1970.

        Raises:
            AuthenticationError: There is none.
            InvalidReplyError: It is none that can be used.
        """
        if self.error:
            raise AuthenticationError(
                f"{self.host} gave no token: {self.error}.", remedy=_REMEDIES.get(self.error, _REMEDY)
            )
        kind = str(self.document.get("token_type") or "Bearer")
        if kind.lower() != "bearer" or not _TOKEN.fullmatch(self.text("access_token")):
            raise InvalidReplyError(f"{self.host} gave a token of another kind than Bearer.", remedy=_REMEDY)
        return Token(self.text("access_token"), _end(self.document.get("expires_in"), now))


_REMEDY: Final = "Check client, secret and scope with whoever runs the token server."
_REMEDIES: Final = {
    "invalid_client": "Check the client's name and its secret.",
    "invalid_grant": "The login has ended: log in again.",
    "invalid_scope": "Check the scope.",
    "unauthorized_client": "Have this kind of grant allowed for the client.",
    "expired_token": "The code was not entered in time: log in again.",
    "authorization_pending": "The code was not entered in time: log in again.",
    "access_denied": "The login was declined.",
}


def _end(expires_in: object, now: float) -> float | None:
    try:
        seconds = float(expires_in)  # type: ignore[arg-type]  # some servers send it as a text
    except (TypeError, ValueError):
        return None
    return now + seconds if 0 < seconds < 1e10 else None  # noqa: PLR2004  # a century or two


def client_login(client_id: str, client_secret: str | None, *, in_body: bool) -> tuple[SecretHeaders, SecretHeaders]:
    """The headers, and the fields of the form, by which a client says who it is (RFC 6749 section 2.3.1)."""
    if client_secret is None:
        return SecretHeaders(), SecretHeaders(client_id=client_id)
    if in_body:
        return SecretHeaders(), SecretHeaders(client_id=client_id, client_secret=client_secret)
    login = basic_login(quote_plus(client_id), quote_plus(client_secret))
    return SecretHeaders(authorization=login), SecretHeaders()


def post(url: str, form: Mapping[str, str], headers: Mapping[str, str], line: Line) -> TokenReply:
    """Post a form, from any thread but the home loop's.

    Raises:
        InsecureTransportError: It would travel over plain HTTP.
        ServerError: There is no answer, or one that is no JSON.
    """
    refuse_plain_http(url, line)
    sent = Request(
        url, {**_JSON, "content-type": "application/x-www-form-urlencoded"}, headers, urlencode(form).encode()
    )
    return run_sync(partial(_asked, sent, line))


def endpoints_of(issuer: str, line: Line) -> TokenReply:
    """What a server says of itself (OpenID Connect Discovery section 4), from any thread but the home loop's.

    Raises:
        InvalidReplyError: It says nothing, or is another one.
        InsecureTransportError: It would be asked over plain HTTP.
    """
    refuse_plain_http(issuer, line)
    found = run_sync(partial(_asked, Request(issuer.rstrip("/") + _WELL_KNOWN, _JSON), line))
    if found.error or found.text("issuer").rstrip("/") != issuer.rstrip("/"):
        raise InvalidReplyError(
            f"{host_of(issuer)} does not describe the issuer that was named.",
            remedy="Check the issuer's URL, or name the token endpoint itself.",
        )
    return found


_JSON: Final = {"accept": "application/json"}


async def _asked(request: Request, line: Line) -> TokenReply:
    try:
        return await _answer(request, line)
    except DicomZarrError as error:
        error.__context__ = None  # aiohttp's, in whose frames are headers and form
        raise


async def _answer(request: Request, line: Line) -> TokenReply:
    settings = ConnectionSettings(ca=line.ca, certificate=line.cert)
    transport = AiohttpTransport(request.url, timeout=line.timeout, settings=settings, own_host_only=True)
    try:
        for tries in range(1, _TRIES + 1):
            try:
                async with transport.get(request) as response:
                    if not _may_pass(response.status) or tries == _TRIES:
                        return await _read(response)
            except ConnectionFailedError:
                if tries == _TRIES:
                    raise
            await asyncio.sleep(growing_pause(tries))
    finally:
        transport.close()
    raise RequestTimeoutError(f"{host_of(request.url)} did not answer.")  # never: the last try returns or raises


def _may_pass(status: int) -> bool:
    return status >= _FIRST_FAILURE or status == _TOO_MANY


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


async def _read(response: Response) -> TokenReply:
    host = host_of(response.url)
    document = _parsed(await whole_body(response, _MOST_BYTES, f"a token of {host}"))
    if response.status == _OK and isinstance(document, dict):
        return TokenReply(host, document)
    code = document.get("error") if isinstance(document, dict) else None
    if isinstance(code, str) and _CODE.fullmatch(code):  # its text may be anything, and is not repeated
        return TokenReply(host, {}, code)
    raise AuthenticationError(
        f"{host} gave no token: HTTP status {response.status}.", remedy="Check the URL of the token endpoint."
    )
