"""The threads of this process: our own, since a loop's default executor belongs to the loop's owner."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from dicomzarr.runtime.process import at_fork

if TYPE_CHECKING:
    from collections.abc import Callable

_Answer = TypeVar("_Answer")


class Pool:
    """Threads that start when they are first needed; a forked child, which has none of its parent's, starts its own.

    Args:
        name: Names the threads.
        threads: How many there are at most.
    """

    def __init__(self, name: str, threads: int) -> None:
        self.threads = threads
        self._name = name
        self._forget()
        at_fork(in_child=self._forget)

    def _forget(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def submit(self, function: Callable[..., _Answer], *args: object) -> Future[_Answer]:
        """Run in one of the threads.

        Raises:
            RuntimeError: The process is ending.
        """
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix=self._name)
            return self._executor.submit(function, *args)

    async def run(self, function: Callable[..., _Answer], *args: object) -> _Answer:
        """Run in one of the threads, and wait for it.

        Raises:
            RuntimeError: The process is ending.
        """
        return await asyncio.wrap_future(self.submit(function, *args))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


DECODERS = Pool("dicomzarr-decode", _cores())
"""As many as there are cores: decoding lets go of the GIL. What runs here must neither raise nor call synchronously."""

OPENER = Pool("dicomzarr-open", 1)
"""Parses metadata, which may take longer than any frame."""

DISK_READERS = Pool("dicomzarr-disk-reader", 2)
"""Read the cache on disk."""

FILES = Pool("dicomzarr-files", 2)
"""Write, map and cut whole instances on the temporary disk."""

FRAME_FILES = Pool("dicomzarr-frame-files", 8)
"""Read frames out of files that may lie on a disk elsewhere: more than a disk of this machine needs."""

FAR_FILES = Pool("dicomzarr-far-files", 8)
"""Look through places of files that lie elsewhere, and wait for these."""

FOREIGN = Pool("dicomzarr-foreign", 16)
"""Call other libraries that read synchronously. What runs here waits for nothing of ours."""
