"""OAuth 2.0: tokens for a client by its secret, or for a user by a refresh token (RFC 6749 sections 4.4 and 6)."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.errors import AuthenticationError, InvalidOptionError
from dicomzarr.options import SecretHeaders
from dicomzarr.options.provider import reference_to
from dicomzarr.sources.http.credentials.bearer import BearerToken, Token
from dicomzarr.sources.http.credentials.token_server import Line, client_login, endpoints_of, post
from dicomzarr.sources.http.urls import host_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX: Final = "DICOMZARR"
"""How the environment variables begin that describe a client, unless another prefix is given."""


class _Client(BearerToken):
    """What both kinds of grants have in common."""

    def __init__(  # noqa: PLR0913  # by name
        self,
        *,
        token_url: str | None = None,
        issuer: str | None = None,
        client_id: str,
        client_secret: str | None = None,
        scope: str | None = None,
        parameters: Mapping[str, str] | None = None,
        secret_in_body: bool = False,
        ca: str | None = None,
        cert: str | tuple[str, str] | None = None,
        allow_insecure: bool = False,
        timeout: float = 30.0,
        reference: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(reference, clock)
        if (token_url is None) == (issuer is None):
            raise InvalidOptionError(
                "A token server is named by exactly one of token_url and issuer.",
                remedy="Give the issuer's URL (of Keycloak: https://HOST/realms/REALM), or that of its token endpoint.",
            )
        self._token_url = token_url
        self._issuer = issuer
        self._client = client_login(client_id, client_secret, in_body=secret_in_body)
        self._more = SecretHeaders({**({"scope": scope} if scope else {}), **(parameters or {})})
        self._line = Line(ca, cert, allow_insecure, timeout)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {host_of(self._token_url or self._issuer or '')}>"

    def _granted(self, form: Mapping[str, str]) -> tuple[Token, Mapping[str, Any]]:
        if self._token_url is None:
            self._token_url = endpoints_of(str(self._issuer), self._line).text("token_endpoint")
        headers, fields = self._client
        now = self._clock()
        reply = post(self._token_url, SecretHeaders({**form, **fields, **self._more}), headers, self._line)
        return reply.token(now), reply.document


class ClientCredentials(_Client):
    """Tokens for a program, by the name and the secret of a client (RFC 6749 section 4.4).

    Args:
        token_url: The token endpoint; or
        issuer: the server whose ``.well-known/openid-configuration`` names it.
        client_id: The client's name.
        client_secret: Its secret; None where a certificate says who it is.
        scope: What is asked for, in words with blanks between them.
        parameters: More fields of the form, as ``{"audience": URL}``.
        secret_in_body: The secret goes into the form, not into a header.
        ca: Authorities that are trusted besides the system's.
        cert: The client's certificate (RFC 8705).
        allow_insecure: Secrets may travel over plain HTTP.
        timeout: Seconds without progress after which a request fails.
        reference: The name under which every process can make the same; see `Provider.reference`.
        clock: Gives seconds since 1970.
    """

    def fetch(self) -> Token:
        """See `BearerToken.fetch`."""
        return self._granted({"grant_type": "client_credentials"})[0]


class RefreshToken(_Client):
    """Tokens for a user who has logged in, by the refresh token of that (RFC 6749 section 6).

    A server may give another refresh token with each token: the newest counts, and none is written down.

    Args:
        refresh_token: What the login gave; None where it gave none, so that it ends with its first token.
        **client: As for `ClientCredentials`.
    """

    def __init__(self, *, refresh_token: str | None, **client: Any) -> None:
        super().__init__(**client)
        self._login = SecretHeaders({} if refresh_token is None else {"refresh_token": refresh_token})

    def fetch(self) -> Token:
        """See `BearerToken.fetch`."""
        if not self._login:
            raise AuthenticationError("The login has ended.", remedy="Log in again.")
        token, document = self._granted(SecretHeaders(grant_type="refresh_token", **self._login))
        newer = document.get("refresh_token")
        if isinstance(newer, str) and newer:
            self._login = SecretHeaders(refresh_token=newer)
        return token


def oauth_of_environment(prefix: str = PREFIX) -> ClientCredentials | RefreshToken:
    """The client that the environment describes.

    ``PREFIX_TOKEN_URL`` or ``PREFIX_ISSUER``, ``PREFIX_CLIENT_ID``, ``PREFIX_CLIENT_SECRET``, ``PREFIX_SCOPE`` and
    ``PREFIX_CA``; with ``PREFIX_REFRESH_TOKEN`` tokens are those of a user.

    Raises:
        AuthenticationError: A variable is missing.
    """
    client: dict[str, Any] = client_of_environment(prefix)
    client["reference"] = reference_to("oauth", prefix=None if prefix == PREFIX else prefix)
    refresh = os.environ.get(f"{prefix}_REFRESH_TOKEN")
    if refresh:
        return RefreshToken(refresh_token=refresh, **client)
    return ClientCredentials(**client)


def client_of_environment(prefix: str = PREFIX) -> SecretHeaders:
    """The arguments of a client that environment variables give.

    Raises:
        AuthenticationError: One is missing.
    """
    names = {"token_url", "issuer", "client_id", "client_secret", "scope", "ca"}
    found = SecretHeaders({name: value for name in names if (value := os.environ.get(f"{prefix}_{name.upper()}"))})
    if "client_id" not in found or not {"token_url", "issuer"} & found.keys():
        raise AuthenticationError(
            f"The environment variables {prefix}_CLIENT_ID, and {prefix}_ISSUER or {prefix}_TOKEN_URL, are not set.",
            remedy="Set them in every process that reads.",
        )
    return found
