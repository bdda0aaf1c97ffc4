"""Servers of ours: how long they wait for requests, and why they cannot listen."""

from __future__ import annotations

import os
from typing import Final

from dicomzarr.errors import UsageError

FIRST_REQUEST: Final = 60.0
"""Seconds in which a client must have sent a request after it connected; aiohttp itself would wait for ever."""

NEXT_REQUEST: Final = 75.0
"""Seconds for which a connection is kept that nothing is asked on."""


def cannot_listen(host: str, port: int, error: OSError | OverflowError) -> UsageError:
    """The error for an address that is taken, or is none of this machine.

    Args:
        host: Where it was to listen.
        port: Likewise.
        error: What the system said.
    """
    number = error.errno if isinstance(error, OSError) else None
    reason = os.strerror(number) if number and number > 0 else str(error)
    return UsageError(
        f"Nothing can listen at {host}:{port}: {reason}.",
        remedy="Choose another one with --port. 0 takes a free one; --host names an address of this machine.",
    )
