"""One directory in one process: its database, shared by all who read and write there, whatever happens to it."""

from __future__ import annotations

import sqlite3
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from dicomzarr.disk import generations, rows
from dicomzarr.disk.changes import Change, Keep, Remove, Touch, apply, prepared, size_of
from dicomzarr.disk.connection import DatabaseConnection, DatabaseUnavailableError
from dicomzarr.disk.database import log_bytes, open_for_reading, open_for_writing, shorten_log
from dicomzarr.disk.place import make_private, secret_of
from dicomzarr.disk.writer import Writer
from dicomzarr.errors import DiskCacheWarning
from dicomzarr.runtime.pools import DISK_READERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from dicomzarr.disk.rows import Content

_T = TypeVar("_T")

SMALLEST_BOUND = 2**20
"""Bytes below which nothing is kept."""

MOST_WAITING = 64 * 2**20
"""Bytes that may wait for the disk."""

_SHARES = 8  # of the bound: two for the log, with a batch, and no entry takes more than one
_LARGEST_BATCH = 8 * 2**20
_REST = 30.0  # seconds that trouble which may pass is given to pass
_ROOM = 2.0  # seconds that the writer waits for room, and then does without
_TURN = 0.02  # seconds after which it looks again
_CLOSING = 0.2  # seconds that may be waited for a connection in use


class Storage:
    """The database of one directory. But for a directory that is not private, nothing here raises.

    Args:
        directory: Where it is.
        bound: Bytes that it may take.
        most_waiting: Bytes that may wait for the disk; what comes on top is not kept.
        clock: Gives the time of day, in seconds.
    """

    def __init__(
        self,
        directory: Path,
        bound: int,
        *,
        most_waiting: int = MOST_WAITING,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.directory = directory
        self.bound = bound
        self._most_waiting = most_waiting
        self._clock = clock
        self._secret = b""
        self.forget()

    def forget(self) -> None:
        """Start anew, as in a forked child, which must not touch its parent's connections."""
        self._lock = threading.Lock()
        self._told = False
        self._full_until = 0.0
        self._resting_until = {"read": 0.0, "write": 0.0}
        self._writing = DatabaseConnection(self.directory, lambda path: open_for_writing(path, bound=self.bound))
        self._reading = [DatabaseConnection(self.directory, open_for_reading) for _ in range(DISK_READERS.threads)]
        self.writer = Writer(self._write, self.close_connections, self._batch_bytes, self._most_waiting)

    @property
    def connections(self) -> tuple[DatabaseConnection, ...]:
        """Its connections."""
        return (self._writing, *self._reading)

    def secret(self) -> bytes | None:
        """The secret of the directory, which is made if it is not there; None when it cannot be had.

        Raises:
            InvalidOptionError: The directory is not private.
        """
        try:
            make_private(self.directory)
            with self._lock:
                self._secret = secret_of(self.directory)
        except OSError as error:
            self._tell(f"cannot be used ({type(error).__name__})")
            return None
        return self._secret

    def read(self, names: Sequence[bytes], series: bytes, view: bytes) -> dict[bytes, Content]:
        """What is held under these names; in a reader thread.

        Args:
            names: What to look for.
            series: The tag of the series that they belong to.
            view: The tag of the server and identity.
        """
        waiting, wanted = self.writer.sort(names, series, view)
        found = self._found(wanted)
        for name in found.broken:
            self.writer.add(Remove("name", name))
        if found.old:
            self.writer.add(Touch((*found.old, series)))
        return waiting | found.contents

    def names(self, names: Sequence[bytes], series: bytes, view: bytes) -> set[bytes]:
        """Those of the names under which something of a series is held, or will be soon; in a reader thread."""
        waiting, wanted = self.writer.sort(names, series, view)
        nothing: set[bytes] = set()
        written = self._read(lambda connection: rows.names_held(connection, wanted), nothing) if wanted else nothing
        return {*waiting, *written}

    def count(self, series: bytes, view: bytes) -> int:
        """How many entries of a series are written, but for its metadata; in a reader thread."""
        if self.writer.removes(series, view):
            return 0
        return self._read(lambda connection: rows.count(connection, series), 0)

    def close_connections(self) -> None:
        """Close the connections; they open again when needed."""
        for each in self.connections:
            if each.lock.acquire(timeout=_CLOSING):
                each.close()
                each.lock.release()

    def _found(self, names: Sequence[bytes]) -> rows.Found:
        if not names:
            return rows.Found()
        return self._read(
            lambda connection: rows.read(connection, self._secret, names, int(self._clock())), rows.Found()
        )

    def _read(self, run: Callable[[sqlite3.Connection], _T], otherwise: _T) -> _T:
        """What a query gives; where the database cannot be used, what is said instead."""
        if self._rests("read"):
            return otherwise
        free = next((each for each in self._reading if not each.lock.locked()), self._reading[0])
        try:
            with free.use() as connection:
                return run(connection)
        except DatabaseUnavailableError as trouble:
            self._met(trouble, "read")
            return otherwise

    def _write(self, changes: Sequence[Change]) -> bool:
        """Write changes in one transaction; in the writer's thread, which outlives what a change itself may raise."""
        if self._rests("write"):
            return False
        try:
            largest = self.bound // _SHARES if self.bound >= SMALLEST_BOUND else 0
            ready = prepared(changes, largest)
            self._apply(ready)
        except DatabaseUnavailableError as trouble:
            with suppress(DiskCacheWarning):  # made an error, it would end this thread
                self._met(trouble, "write")
            return trouble.broken is not None  # with the database, all is gone that was to be removed
        except Exception as error:
            self._tell(f"did not take something ({type(error).__name__})")
            raise
        return True

    def _apply(self, changes: Sequence[Remove | Keep | Touch]) -> None:
        """Make changes in one transaction; where there comes to be no room for them, only removals."""
        is_full = time.monotonic() < self._full_until
        if is_full:
            changes = [change for change in changes if isinstance(change, Remove)]
        size = sum(map(size_of, changes))
        needed = size + size // _SHARES  # the pages of the database are never full
        most = self.bound - max(2 * self._batch_bytes(), self._short_log() + needed)  # what is written lies in the log
        waits_until = time.monotonic() + _ROOM
        while True:  # by and by: other processes want to write too
            with self._writing.use() as connection:
                if not is_full:
                    self._tidy(connection, most)
                with _transaction(connection):
                    is_short = log_bytes(connection) <= self._short_log()
                    if is_full or (is_short and (not size or rows.make_room(connection, needed, most))):
                        for change in changes:
                            apply(connection, self._secret, change, int(self._clock()))
                        return
            if time.monotonic() > waits_until:
                self._full_until = time.monotonic() + _ROOM
                self._apply(changes)
                return
            if not is_short:  # others read, or write
                time.sleep(_TURN)

    def _tidy(self, connection: sqlite3.Connection, most: int) -> None:
        """Make the log short, and give back some of what the file has beyond its bytes."""
        if log_bytes(connection) > self._short_log():
            shorten_log(connection)
        if log_bytes(connection) <= self._short_log() and rows.shrink(connection, most, self._batch_bytes()):
            shorten_log(connection)

    def _short_log(self) -> int:
        """Bytes of a log that leaves room for a batch besides."""
        return self._batch_bytes() // 2

    def _batch_bytes(self) -> int:
        return min(_LARGEST_BATCH, self.bound // _SHARES)

    def _rests(self, what: str) -> bool:
        return time.monotonic() < self._resting_until[what]

    def _met(self, trouble: DatabaseUnavailableError, what: str) -> None:
        """Begin anew where the database is broken; else leave it alone for a while."""
        reason = str(trouble)
        try:
            if trouble.broken is not None:
                generations.follow(trouble.broken)
                self._tell(f"was damaged and begins anew ({reason})")
                return
        except (OSError, sqlite3.Error) as error:
            reason = type(error).__name__
        self._resting_until[what] = time.monotonic() + _REST
        self._tell(f"cannot be used for now ({reason})")

    def _tell(self, what: str) -> None:
        with self._lock:
            if self._told:
                return
            self._told = True
        text = f"The disk cache in {self.directory} {what}. Reading goes on, from the server where need be."
        warnings.warn(text, DiskCacheWarning, stacklevel=2)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction, of which nothing is left if it fails."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
