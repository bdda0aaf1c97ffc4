"""When a failed GET is worth another try, and after which pause."""

from __future__ import annotations

from random import SystemRandom

from dicomzarr.dicomweb.network_errors import ConnectionDroppedError
from dicomzarr.dicomweb.statuses import QuotaExceededError
from dicomzarr.errors import DicomZarrError, HTTPStatusError, TruncatedReplyError

TRIES = 4
"""How often one request is sent at most."""

_BUSY = frozenset({429, 502, 503, 504})
_FIRST_PAUSE = 0.2  # seconds, doubled with each try
_RANDOM = SystemRandom()


def pause_before_retry(error: DicomZarrError, tries: int, waited: float, budget: float) -> float | None:
    """Seconds to wait before the next try, or None when there shall be none.

    Args:
        error: How the last try failed.
        tries: How many there were.
        waited: Seconds that were spent on waiting so far.
        budget: Seconds that may be.
    """
    if tries >= TRIES or not _is_passing(error):
        return None
    asked = error.retry_after if isinstance(error, HTTPStatusError) else None
    # Spread, so that requests that failed together do not come back together.
    pause = _FIRST_PAUSE * 2 ** (tries - 1) * _RANDOM.uniform(0.5, 1.5) if asked is None else asked
    return pause if waited + pause <= budget else None


def _is_passing(error: DicomZarrError) -> bool:
    if isinstance(error, QuotaExceededError):
        return False
    if isinstance(error, HTTPStatusError):
        return error.status in _BUSY
    return isinstance(error, (ConnectionDroppedError, TruncatedReplyError))
