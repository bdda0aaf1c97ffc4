"""What runs the rest: the home loop, threads, what a fork and the end of a process ask for."""

from __future__ import annotations


def reset() -> None:
    """Forget all servers: connections, opened series, and frames in memory. What somebody holds works on.

    Raises:
        EventLoopError: Called on the home loop itself, which has to do it.
    """
    from dicomzarr.runtime.home_loop import run_sync  # noqa: PLC0415  # who wants a lazy attribute needs no loop
    from dicomzarr.runtime.process import forget_all  # noqa: PLC0415  # as above

    run_sync(forget_all)
