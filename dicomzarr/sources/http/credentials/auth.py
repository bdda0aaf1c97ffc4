"""The credentials that options name: fixed headers, Basic, what refreshes, or those of a borrowed client."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from dicomzarr.options.provider import is_provider
from dicomzarr.sources.http.credentials.given import CALLABLE
from dicomzarr.sources.http.credentials.login import LoginCredentials
from dicomzarr.sources.http.credentials.providers import given_by, provider
from dicomzarr.sources.http.credentials.secret_headers import (
    CalledCredentials,
    FixedCredentials,
    ProviderCredentials,
    refuse_plain_http,
)

if TYPE_CHECKING:
    from dicomzarr.options import Access, HeadersCallable, Provider
    from dicomzarr.sources.http.credentials.secret_headers import Credentials


def credentials_for(base_url: str, options: Access) -> Credentials:
    """The credentials that the options name, for one server.

    Raises:
        InsecureTransportError: They would travel over plain HTTP to another machine.
        InvalidOptionError: The borrowed client cannot be taken over.
    """
    if options.client is not None:
        from dicomzarr.sources.http.credentials.client_adapter import ClientCredentials  # noqa: PLC0415  # imports requests

        return ClientCredentials(base_url, options)
    if options.headers or options.auth is not None:
        refuse_plain_http(base_url, options)
    match options.auth:
        case (user, password):
            return LoginCredentials(options.headers, user, password)
        case None:
            return FixedCredentials(options.headers)
        case str() as name:
            found, given = provider(name, base_url), given_by(name)
        case called:
            found, given = called, CALLABLE
    if is_provider(found):
        return ProviderCredentials(options.headers, cast("Provider", found), options.timeout)
    return CalledCredentials(options.headers, cast("HeadersCallable", found), options.timeout, given)
