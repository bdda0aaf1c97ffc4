"""What the engine has under way and fetches ahead at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of all readers of one scheduler."""

    frames_under_way: int = 4096
    bytes_under_way: int = 256 * 2**20
    """What one read may have under way at a time, in frames and in bytes."""
    least_under_way: int = 2
    """Frames of one read that may be under way, however large they are."""
    frames_ahead: int = 512
    """Frames that are fetched before somebody wants them: half a second's work for a decoder."""
    bytes_for_disk: int = 16 * 2**20
    """What comes for the disk alone before that is waited for."""
    writing: float = 60.0
    """Seconds that it is waited for."""
    ahead_share: int = 4
    """Of the cache, one in so many bytes may be filled ahead."""
    far: float = 0.01
    """Seconds that fetches take where it pays to fetch ahead."""
    grace: float = 2.0
    """Seconds that a fetch of frames that nobody waits for any more may still take: what nearly has come is kept."""


LIMITS: Final = Limits()
"""Those of everybody."""
