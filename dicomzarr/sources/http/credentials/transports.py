"""Transports as options describe them: TLS, proxies, and how far redirects may lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomzarr.options import LIMITS, Limits
from dicomzarr.sources.http.connection import ConnectionSettings

if TYPE_CHECKING:
    from dicomzarr.options import Access
    from dicomzarr.sources.http.transport import AiohttpTransport


def transport_for(base_url: str, access: Access, limits: Limits = LIMITS) -> AiohttpTransport:
    """The transport for one server.

    Raises:
        InvalidOptionError: The borrowed client's settings cannot be taken over.
    """
    from dicomzarr.sources.http.transport import AiohttpTransport  # noqa: PLC0415  # aiohttp: files do without

    if access.client is None:
        settings = ConnectionSettings(ca=access.ca, certificate=access.cert)
    else:
        from dicomzarr.sources.http.credentials.client_adapter import connection_settings  # noqa: PLC0415  # imports requests

        settings = connection_settings(access.client)
    return AiohttpTransport(
        base_url,
        timeout=access.timeout,
        limits=limits,
        settings=settings,
        own_host_only=access.own_host_only,
    )
