"""What a fork, the end of the process and `reset` mean to all that a process shares: each says it here once."""

from __future__ import annotations

import atexit
import os
import threading
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    Hook: TypeAlias = Callable[[], None]

_resets: list[Hook] = []


def at_fork(*, in_child: Hook, before: Hook | None = None, in_parent: Hook | None = None) -> None:
    """Have functions called around each fork of the process (PyTorch's DataLoader forks), where there is such a thing.

    Args:
        in_child: Lets go of what belongs to the parent: threads, connections, locks that somebody held.
        before: Called before the fork.
        in_parent: Called after it in the process that forked.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=before or _do_nothing, after_in_parent=in_parent or _do_nothing, after_in_child=in_child
        )


class ProcessLock:
    """A lock of this process: in a forked child nobody holds it. For what lives as long as the process."""

    def __init__(self) -> None:
        self._begin()
        at_fork(in_child=self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def at_exit(end: Hook) -> None:
    """Have a function called when the process ends."""
    atexit.register(end)


def at_reset(forget: Hook) -> None:
    """Have a function called by `reset`, on the home loop."""
    _resets.append(forget)


async def forget_all() -> None:
    """Do what `reset` says; on the home loop."""
    for forget in _resets:
        forget()


def _do_nothing() -> None:
    """Where nothing is to be done."""
