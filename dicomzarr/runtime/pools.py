"""The threads of this process: our own, since a loop's default executor belongs to the loop's owner.

They are not those of `concurrent.futures`, which take nothing more once the main thread has ended, though others
may read on, and which are waited for at the end of the process, however they hang.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from dicomzarr.runtime.cores import CORE, usable_cores
from dicomzarr.runtime.home_loop import waited_for
from dicomzarr.runtime.process import at_exit, at_fork

if TYPE_CHECKING:
    from collections.abc import Callable

_Answer = TypeVar("_Answer")

_ENDING = 5.0
"""Seconds that work may still take at the end of the process."""


class Threads:
    """Threads that start when they are first needed.

    Args:
        name: Names the threads.
        threads: How many there are at most.
        idle: Seconds after which one ends that nobody needs; None if it shall not.
    """

    def __init__(self, name: str, threads: int, idle: float | None = None) -> None:
        self.threads = threads
        self._name = name
        self._seconds_idle = idle
        self._forget()

    def _forget(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[_Work[Any]] = deque()
        self._running = 0
        self._idle = 0
        self._watched = self._held = False

    @property
    def has_waiting(self) -> bool:
        """Whether more is to be done than threads do; from any thread, and of this moment."""
        return bool(self._waiting)

    def submit(self, function: Callable[..., _Answer], *args: object) -> Future[_Answer]:
        """Run in one of the threads.

        Raises:
            RuntimeError: There can be no thread.
        """
        work: _Work[_Answer] = _Work(Future(), function, args)
        with self._changed:
            if self._idle <= len(self._waiting) and self._running < self.threads:
                number = self._running
                CORE.leave()
                threading.Thread(target=self._run, args=(number,), name=f"{self._name}_{number}", daemon=True).start()
                self._running += 1
            self._waiting.append(work)
            self._changed.notify()
        return work.answer

    async def run(self, function: Callable[..., _Answer], *args: object) -> _Answer:
        """Run in one of the threads, and wait for it.

        Raises:
            RuntimeError: There can be no thread.
        """
        return await asyncio.wrap_future(self.submit(function, *args))

    def wait(self, seconds: float, *, begin_more: bool) -> None:
        """Wait so long until nothing runs.

        Args:
            seconds: At most.
            begin_more: Whether what waits is begun meanwhile, and waited for.
        """
        with self._changed:
            self._watched, self._held = True, not begin_more
            self._changed.wait_for(lambda: self._idle == self._running and (self._held or not self._waiting), seconds)
            self._watched = self._held = False
            self._changed.notify_all()

    def _run(self, number: int) -> None:  # noqa: ARG002  # for a pool that tells its threads apart
        while (work := self._next()) is not None:
            work.do()
            del work  # what it holds may be large, and the next may be long in coming

    def _next(self) -> _Work[Any] | None:
        with self._changed:
            self._idle += 1
            if self._watched:
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting and not self._held, self._seconds_idle)
            self._idle -= 1
            if self._waiting:
                return self._waiting.popleft()
            self._running -= 1
            return None


class _Work(NamedTuple, Generic[_Answer]):
    """A call, and where its answer goes."""

    answer: Future[_Answer]
    function: Callable[..., _Answer]
    args: tuple[object, ...]

    def do(self) -> None:
        if not self.answer.set_running_or_notify_cancel():
            return
        try:
            answer = self.function(*self.args)
        except BaseException as error:  # noqa: BLE001  # whoever waits must hear of it
            self.answer.set_exception(error)
        else:
            self.answer.set_result(answer)


class Pool(Threads):
    """Threads that last as long as the process; a forked child, which has none of its parent's, starts its own.

    Args:
        name: Names the threads.
        threads: How many there are at most.
    """

    def __init__(self, name: str, threads: int) -> None:
        super().__init__(name, threads)
        at_fork(in_child=self._forget)
        at_exit(lambda: self.wait(_ENDING, begin_more=False))  # no thread shall be inside a codec


class PoolOfCores(Pool):
    """As many threads as there are cores, each of which keeps to one of its own while all of them work.

    While some idle they run anywhere: those of several processes, one in each, might else meet on one core.

    Args:
        name: Names the threads.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, len(usable_cores()) or os.cpu_count() or 1)
        self._here = threading.local()

    def keep_apart(self) -> None:
        """Called by each thread between the parts of its work."""
        if self._running - self._idle == self.threads:
            CORE.keep(self._here.number, self.threads)
        else:
            CORE.leave()

    def _run(self, number: int) -> None:
        self._here.number = number
        with waited_for():
            super()._run(number)

    def _next(self) -> _Work[Any] | None:
        if not self._waiting:
            CORE.leave()
        return super()._next()


DECODERS = PoolOfCores("dicomzarr-decode")
"""Decoding lets go of the GIL. What runs here must not raise, and a synchronous call is refused."""

DISK_READERS = Pool("dicomzarr-disk-reader", 2)
"""Read the cache on disk."""

FILES = Pool("dicomzarr-files", 2)
"""Write, map and cut whole instances on the temporary disk."""

FRAME_FILES = Pool("dicomzarr-frame-files", 8)
"""Read frames out of files that may lie on a disk elsewhere: more than a disk of this machine needs."""

PICTURES = Pool("dicomzarr-pictures", 2)
"""Make pictures for servers; they wait for the threads above."""

NAMES = Pool("dicomzarr-names", 8)
"""Look up the addresses of hosts."""

FAR_FILES = Pool("dicomzarr-far-files", 8)
"""Look through places of files that lie elsewhere, and wait for these."""

FOREIGN = Pool("dicomzarr-foreign", 16)
"""Call other libraries that read synchronously. What runs here waits for nothing of ours."""
