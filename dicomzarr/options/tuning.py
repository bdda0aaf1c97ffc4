"""How much is asked for and held."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tuning:
    """How much is asked for and held; what is read stays the same."""

    max_connections: int
    """Requests in flight to one server."""
    frames_per_request: int
    """The most frames that one request asks for."""
    cache_bytes: int
    """Bytes of encoded frames that are kept in memory."""
