"""Google's application-default credentials, found and renewed by google-auth."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.errors import AuthenticationError, InvalidOptionError
from dicomzarr.options.provider import reference_to
from dicomzarr.sources.http.credentials.bearer import BearerToken, Token

if TYPE_CHECKING:
    from datetime import datetime

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
"""What is asked for, unless something else is named."""


class GoogleDefault(BearerToken):
    """Tokens of whoever is logged in with gcloud, of a service account, or of the machine.

    Args:
        scope: What is asked for.
        credentials: Of google-auth, in the place of those that it finds.

    Raises:
        InvalidOptionError: google-auth is not installed.
    """

    def __init__(self, scope: str = SCOPE, *, credentials: Any = None) -> None:
        found = reference_to("google", scope=None if scope == SCOPE else scope)
        super().__init__(found if credentials is None else None)
        try:
            import google.auth  # noqa: PLC0415  # an extra
            import google.auth.transport.requests  # noqa: F401, PLC0415  # needs requests besides
        except ImportError:
            raise InvalidOptionError(
                "Google's credentials need google-auth, which is not installed.",
                remedy='pip install "dicomzarr[google]"',
            ) from None
        self._scope = scope
        self._credentials = credentials

    def fetch(self) -> Token:
        """See `BearerToken.fetch`; google-auth asks, by its own connections."""
        import google.auth  # noqa: PLC0415  # an extra
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415
        from google.auth.transport.requests import Request  # noqa: PLC0415

        try:
            if self._credentials is None:
                self._credentials = google.auth.default(scopes=[self._scope])[0]
            self._credentials.refresh(Request())
        except GoogleAuthError as error:  # whose text may hold what the server said
            raise AuthenticationError(
                f"google-auth gave no token ({type(error).__name__}).",
                remedy="Log in with: gcloud auth application-default login. Or set GOOGLE_APPLICATION_CREDENTIALS.",
            ) from None
        return Token(self._credentials.token, _seconds(self._credentials.expiry))


def _seconds(expiry: datetime | None) -> float | None:
    """Google's times are in UTC and do not say so."""
    return None if expiry is None else expiry.replace(tzinfo=UTC).timestamp()
