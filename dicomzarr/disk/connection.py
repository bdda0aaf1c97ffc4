"""One connection to the database in use, for one thread at a time."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from dicomzarr.disk import generations
from dicomzarr.disk.database import is_broken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class DatabaseUnavailableError(Exception):  # of this package alone
    """The database could not be used.

    Args:
        reason: In a word or two.
        broken: The file that has to be begun anew; None where the trouble may pass.
    """

    def __init__(self, reason: str, broken: Path | None) -> None:
        super().__init__(reason)
        self.broken = broken


class DatabaseConnection:
    """A connection that is opened when first used, and follows when the next database is begun.

    Args:
        directory: Where the databases are.
        open_database: Opens one.
    """

    def __init__(self, directory: Path, open_database: Callable[[Path], sqlite3.Connection]) -> None:
        self._directory = directory
        self._open = open_database
        self._connection: sqlite3.Connection | None = None
        self._path: Path | None = None
        self._file: generations.FileID | None = None
        self.lock = threading.Lock()
        """Held while the connection is in use."""

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """The connection; a transaction that is open when an error comes is rolled back.

        Raises:
            DatabaseUnavailableError: In the place of what SQLite or the file system raise.
        """
        with self.lock:
            try:
                yield self._connected()
            except (OSError, MemoryError) as error:
                self.close()
                raise DatabaseUnavailableError(type(error).__name__, None) from error
            except Exception as error:
                # A damaged file makes more than SQLite's own errors: even its message may be no text.
                self.close()
                reason = getattr(error, "sqlite_errorname", type(error).__name__)
                raise DatabaseUnavailableError(reason, self._path if is_broken(error) else None) from error

    def close(self) -> None:
        """Close the connection; the lock must be held."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None and self._path is not None:
            if generations.file_in_use(self._path) == self._file:
                return self._connection
            self.close()
        self._path = None  # what fails in finding the database is no fault of the last one
        self._path = generations.current_or_first(self._directory)
        self._connection = self._open(self._path)
        self._file = generations.file_in_use(self._path)
        return self._connection
