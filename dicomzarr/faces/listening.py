"""Why a server of ours cannot listen."""

from __future__ import annotations

import os

from dicomzarr.errors import UsageError


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
