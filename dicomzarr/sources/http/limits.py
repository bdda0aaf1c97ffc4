"""What is taken from a server, and held of it, at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one client."""

    json_bytes: int = 2**30
    """Bytes of one reply in JSON, decompressed; the metadata of a million placed tiles take a third of that."""
    bulk_data_bytes: int = 256 * 2**20
    """Bytes of one value; tables and profiles are far smaller, and pixels are not fetched like this."""
    instance_bytes: int = 32 * 2**30
    """Bytes of one instance, inflated where it is deflated; no known one comes near, and a disk must not be filled."""
    instances_held: int = 32
    """Whole instances that stay on the temporary disk at most; the least recently used goes first."""
    instance_bytes_held: int = 8 * 2**30
    """Bytes of whole instances that stay there, the newest anyway; each counts as its share of these at least."""
    seconds_idle: float = 0.9
    """For which a connection stays open that nobody uses: Orthanc closes such connections after one."""


LIMITS: Final = Limits()
"""Those of everybody."""
