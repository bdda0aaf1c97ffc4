"""Credentials of Microsoft Entra ID, found and renewed by azure-identity."""

from __future__ import annotations

from typing import Any, Final

from dicomzarr.errors import AuthenticationError, InvalidOptionError
from dicomzarr.options.provider import reference_to
from dicomzarr.sources.http.credentials.bearer import BearerToken, Token

SCOPE: Final = "https://dicom.healthcareapis.azure.com/.default"
"""Of the DICOM service in Azure Health Data Services."""


class AzureDefault(BearerToken):
    """Tokens of whoever is logged in with the Azure CLI, of a managed identity, or of a client in the environment.

    Args:
        scope: What is asked for.
        credential: Of azure-identity, in the place of its DefaultAzureCredential.

    Raises:
        InvalidOptionError: azure-identity is not installed.
    """

    def __init__(self, scope: str = SCOPE, *, credential: Any = None) -> None:
        found = reference_to("azure", scope=None if scope == SCOPE else scope)
        super().__init__(found if credential is None else None)
        if credential is None:
            try:
                from azure.identity import DefaultAzureCredential  # noqa: PLC0415  # an extra
            except ImportError:
                raise InvalidOptionError(
                    "Azure's credentials need azure-identity, which is not installed.",
                    remedy='pip install "dicomzarr[azure]"',
                ) from None
            credential = DefaultAzureCredential()
        self._scope = scope
        self._credential = credential

    def fetch(self) -> Token:
        """See `BearerToken.fetch`; azure-identity asks, by its own connections."""
        try:
            found = self._credential.get_token(self._scope)
        except Exception as error:  # noqa: BLE001  # its own classes, whose texts may hold what the server said
            raise AuthenticationError(
                f"azure-identity gave no token ({type(error).__name__}).",
                remedy="Log in with: az login. Or set AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET.",
            ) from None
        return Token(found.token, float(found.expires_on))
