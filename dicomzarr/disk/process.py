"""The storages of this process, one for each directory; what a fork and the end of the process mean to them."""

from __future__ import annotations

import asyncio
import secrets
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from dicomzarr.disk.storage import Storage
from dicomzarr.runtime.pools import DISK_READERS
from dicomzarr.runtime.process import at_exit, at_fork

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dicomzarr.disk.connection import DatabaseConnection

_Answer = TypeVar("_Answer")

_ENDING = 1.0  # seconds that writing may take at the end of the process
_FORKING = 1.0  # seconds for which a fork waits for a connection


class _Process:
    """What all threads of a process share."""

    def __init__(self) -> None:
        self.storages: dict[Path, Storage] = {}
        self._held: list[DatabaseConnection] = []
        self._lost: list[DatabaseConnection] = []
        """What a forked child must never close, were it only by forgetting it."""
        self._start()

    def _start(self) -> None:
        self.lock = threading.Lock()
        self.tag = secrets.token_hex(16)

    def before_fork(self) -> None:
        """Close the connections: SQLite allows none to be on both sides of a fork."""
        for storage in list(self.storages.values()):
            for each in storage.connections:
                if each.lock.acquire(timeout=_FORKING):
                    each.close()
                    self._held.append(each)

    def after_fork(self) -> None:
        """Go on, in the parent."""
        held, self._held = self._held, []
        for each in held:
            each.lock.release()

    def after_fork_in_child(self) -> None:
        """Start anew, in the child, which has none of its parent's threads."""
        self._held = []
        self._start()
        for storage in self.storages.values():
            self._lost += storage.connections
            storage.forget()

    def end(self) -> None:
        """Write what waits, if that is soon done."""
        DISK_READERS.wait(_ENDING, begin_more=True)  # which may have something forgotten
        for storage in self.storages.values():
            storage.writer.stop(_ENDING)
            storage.close_connections()


_process = _Process()


def storage_at(directory: Path, bound: int) -> Storage:
    """The storage of a directory in this process, without I/O; the bound that was given last holds."""
    with _process.lock:
        storage = _process.storages.get(directory)
        if storage is None:
            storage = _process.storages[directory] = Storage(directory, bound)
        storage.bound = bound
        return storage


def process_tag() -> str:
    """A text that no other process has, a forked child included."""
    return _process.tag


async def in_reader_thread(function: Callable[..., _Answer], *args: object) -> _Answer | None:
    """Run in a thread that reads; None when the process is ending."""
    try:
        future = DISK_READERS.submit(function, *args)
    except RuntimeError:
        return None
    return await asyncio.wrap_future(future)


def start_in_reader_thread(function: Callable[..., object], *args: object) -> None:
    """Run in a thread that reads, and wait for nothing; in vain when the process is ending."""
    with suppress(RuntimeError):
        DISK_READERS.submit(function, *args)


at_exit(_process.end)
at_fork(before=_process.before_fork, in_parent=_process.after_fork, in_child=_process.after_fork_in_child)
