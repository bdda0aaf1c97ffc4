"""aiohttp's exceptions as ours. Their texts may hold URLs and headers: only types are named."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp

from dicomzarr.errors import (
    ConnectionFailedError,
    DicomZarrError,
    RequestTimeoutError,
    TruncatedReplyError,
)
from dicomzarr.sources.http.statuses import ConnectionDroppedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def explained(host: str, timeout: float, *, answered: bool) -> Iterator[None]:
    """Raise our errors for aiohttp's.

    Args:
        host: The server, for messages.
        timeout: Seconds after which aiohttp gives up, for messages.
        answered: Whether the reply has begun.
    """
    try:
        yield
    except DicomZarrError:
        raise
    except TimeoutError:
        raise RequestTimeoutError(
            f"{host} gave nothing for {timeout:g} s.",
            remedy="Raise the timeout option if the server is that slow.",
        ) from None
    except (aiohttp.ClientError, OSError) as error:
        raise _network_error(error, host, answered=answered) from None


def _network_error(error: Exception, host: str, *, answered: bool) -> DicomZarrError:
    kind = type(error).__name__
    if answered:
        return TruncatedReplyError(f"The reply of {host} ended early ({kind}).")
    if isinstance(error, aiohttp.ClientSSLError):
        return ConnectionFailedError(
            f"No TLS connection to {host} ({kind}).",
            remedy="Check its certificate, and whether it speaks HTTPS at all (dicomweb:// is plain HTTP).",
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or type(error.os_error).__name__
        return UnreachableError(
            f"No connection to {host}: {reason}.",
            remedy="Check the host, the port and the network.",
        )
    if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, OSError)):
        return ConnectionDroppedError(f"{host} broke the connection before it answered ({kind}).")
    return ConnectionFailedError(
        f"{host} could not be talked to in HTTP ({kind}).", remedy="Check the URL and the proxy."
    )
