"""Credentials for the option ``auth``, and what a provider of others has to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dicomzarr.options.provider import Provider, Rejected

if TYPE_CHECKING:
    from dicomzarr.sources.http.credentials.aws import AWSSignature
    from dicomzarr.sources.http.credentials.azure import AzureDefault
    from dicomzarr.sources.http.credentials.bearer import BearerToken, Token
    from dicomzarr.sources.http.credentials.cookies import CookieFile
    from dicomzarr.sources.http.credentials.device import log_in_with_code
    from dicomzarr.sources.http.credentials.google import GoogleDefault
    from dicomzarr.sources.http.credentials.oauth import ClientCredentials, RefreshToken

__all__ = [
    "AWSSignature",
    "AzureDefault",
    "BearerToken",
    "ClientCredentials",
    "CookieFile",
    "GoogleDefault",
    "Provider",
    "RefreshToken",
    "Rejected",
    "Token",
    "log_in_with_code",
]

_LAZY = {
    "AWSSignature": "aws",
    "AzureDefault": "azure",
    "BearerToken": "bearer",
    "ClientCredentials": "oauth",
    "CookieFile": "cookies",
    "GoogleDefault": "google",
    "RefreshToken": "oauth",
    "Token": "bearer",
    "log_in_with_code": "device",
}
"""Modules of the public names."""


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # only for what is heavy: our HTTP client

    return getattr(import_module(f"dicomzarr.sources.http.credentials.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    """The public names, which are there before they are imported."""
    return __all__
