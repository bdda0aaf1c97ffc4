"""Cores that a thread may run on, and threads that keep to one of them for a while."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import Final


def usable_cores() -> set[int]:
    """Numbers of the cores that this thread may run on; none where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


class CoreOfItsOwn(threading.local):
    """Where each thread runs: on any core, or on one.

    Linux on two cores often leaves two threads that hand the interpreter's lock to one another on the same core, for
    tens of milliseconds, and the other one idle. Threads and processes that such a thread starts would keep to its core
    for ever: it has to `leave` before.
    """

    def __init__(self) -> None:
        self._usual: set[int] | None = None
        """Cores that this thread runs on when it does not keep to one; none where it has no choice."""

    def keep(self, number: int, threads: int) -> None:
        """Stay on one core, where there is one for each of so many threads.

        Args:
            number: Of the thread among those, from 0.
            threads: How many there are.
        """
        if self._usual is not None:
            return
        usual = usable_cores()
        self._usual = usual if len(usual) == threads > 1 else set()
        if self._usual:
            _run_on({sorted(usual)[number]})

    def leave(self) -> None:
        """Run anywhere again."""
        usual, self._usual = self._usual, None
        if usual:
            _run_on(usual)


CORE: Final = CoreOfItsOwn()
"""That of the thread that asks."""


def _run_on(cores: set[int]) -> None:
    with suppress(OSError):  # whoever confines this process may forbid it
        os.sched_setaffinity(0, cores)
