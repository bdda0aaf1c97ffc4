"""A login with a code that a user enters elsewhere, in any browser (RFC 8628)."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.errors import InvalidReplyError
from dicomzarr.options import SecretHeaders
from dicomzarr.sources.http.credentials.oauth import RefreshToken
from dicomzarr.sources.http.credentials.token_server import Line, client_login, endpoints_of, post

if TYPE_CHECKING:
    from collections.abc import Callable

    from dicomzarr.sources.http.credentials.token_server import TokenReply

_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_SECONDS_BETWEEN: Final = 5.0
_MOST_SECONDS: Final = 1800.0
_SHOWN = re.compile(r"[\x21-\x7e]{1,500}")


def log_in_with_code(  # noqa: PLR0913  # by name
    tell: Callable[[str, str], object],
    *,
    issuer: str | None = None,
    device_url: str | None = None,
    token_url: str | None = None,
    client_id: str,
    client_secret: str | None = None,
    scope: str | None = None,
    ca: str | None = None,
    allow_insecure: bool = False,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> RefreshToken:
    """Have a user log in, and wait for it; nothing of the login is written down.

    Args:
        tell: Shows the user the URL to open, and the code to enter there.
        issuer: The server whose ``.well-known/openid-configuration`` names both endpoints; or
        device_url: the device authorization endpoint, and
        token_url: the token endpoint.
        client_id: The client's name, for which the server allows such logins.
        client_secret: Its secret, if it has one.
        scope: What is asked for.
        ca: Authorities that are trusted besides the system's.
        allow_insecure: Secrets may travel over plain HTTP.
        sleep: Waits.
        clock: Gives seconds since 1970.

    Returns:
        What gives tokens from then on; `auth` takes it.

    Raises:
        AuthenticationError: The login was declined, or did not come in time.
        InvalidReplyError: The server allows no such logins.
    """
    line = Line(ca=ca, allow_insecure=allow_insecure)
    if issuer is not None:
        found = endpoints_of(issuer, line)
        device_url, token_url = found.text("device_authorization_endpoint"), found.text("token_endpoint")
    if not device_url or not token_url:
        raise InvalidReplyError("No device authorization endpoint is named.", remedy="Give issuer, or both URLs.")
    headers, fields = client_login(client_id, client_secret, in_body=False)
    fields = SecretHeaders({"client_id": client_id, **fields})
    form = SecretHeaders({**fields, **({"scope": scope} if scope else {})})
    asked = post(device_url, form, headers, line)
    if asked.error:
        asked.token(clock())
    tell(*_shown(asked))
    form = SecretHeaders({**fields, "grant_type": _GRANT, "device_code": asked.text("device_code")})
    wait, ends = _seconds(asked, "interval", _SECONDS_BETWEEN), clock() + _seconds(asked, "expires_in", _MOST_SECONDS)
    while True:
        sleep(wait)
        now = clock()
        reply = post(token_url, form, headers, line)
        wait += _SECONDS_BETWEEN if reply.error == "slow_down" else 0.0
        if reply.error not in {"authorization_pending", "slow_down"} or now > ends:
            break
    token = reply.token(now)
    refresh: Any = reply.document.get("refresh_token")
    login = RefreshToken(
        refresh_token=refresh if isinstance(refresh, str) else None,
        token_url=token_url,
        client_id=client_id,
        client_secret=client_secret,
        ca=ca,
        allow_insecure=allow_insecure,
        clock=clock,
    )
    login.hold(token)
    return login


def _shown(reply: TokenReply) -> tuple[str, str]:
    """The URL and the code, if they can be shown on a terminal."""
    url = reply.document.get("verification_uri") or reply.document.get("verification_url")
    code = reply.text("user_code")
    if not isinstance(url, str) or not url.startswith(("https://", "http://")) or not _SHOWN.fullmatch(url):
        raise InvalidReplyError(f"{reply.host} names no page on which the code is entered.")
    if not _SHOWN.fullmatch(code.replace(" ", "-")):
        raise InvalidReplyError(f"{reply.host} gives a code that cannot be shown.")
    return url, code


def _seconds(reply: TokenReply, name: str, otherwise: float) -> float:
    found = reply.document.get(name)
    is_number = isinstance(found, int | float) and not isinstance(found, bool) and 0 < found <= _MOST_SECONDS
    return float(found) if is_number and isinstance(found, int | float) else otherwise
