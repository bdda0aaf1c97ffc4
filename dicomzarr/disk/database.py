"""One SQLite database: how it is made and opened, and which of its errors mean that it is broken."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = 1
"""Of the tables below; a database of another one is begun anew."""

READ_SECONDS = 0.5
"""How long a reader waits for a locked database: the server may be faster."""

WRITE_SECONDS = 5.0
"""How long the writer waits for writers of other processes."""

_SHORTEN_SECONDS = 0.2
"""How long writers are held up, of all processes, until nobody reads from the log of changes."""

_PAGE_BYTES = 8192
_TABLES = """
PRAGMA page_size = {page};
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, series BLOB NOT NULL, view BLOB NOT NULL,
    size INTEGER NOT NULL, used INTEGER NOT NULL
);
CREATE INDEX entries_by_use ON entries (used);
CREATE TABLE bodies (id INTEGER PRIMARY KEY, seal BLOB NOT NULL, facts BLOB NOT NULL, body BLOB NOT NULL);
CREATE TABLE bound (bytes INTEGER NOT NULL);
INSERT INTO bound VALUES (0);
PRAGMA user_version = {schema};
COMMIT;
"""

# Its state may pass or is none of the database's own; after any other error, the file is not what we wrote.
_PASSING = frozenset(
    {
        *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT),
        *(sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH),
        *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_NOLFS),
    }
)


def create_database(path: Path) -> None:
    """Make an empty database that only its owner can read.

    Raises:
        OSError: The file cannot be made.
        sqlite3.Error: It cannot be written.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(_connect(path, WRITE_SECONDS)) as connection:
        connection.executescript(_TABLES.format(page=_PAGE_BYTES, schema=SCHEMA))


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open a database to read from it; from any thread, one at a time.

    Raises:
        sqlite3.Error: It cannot be opened, or is of another schema.
    """
    connection = _opened(path, READ_SECONDS)
    connection.execute("PRAGMA query_only = ON")
    return connection


def open_for_writing(path: Path, *, bound: int) -> sqlite3.Connection:
    """Open a database to write to it; from any thread, one at a time.

    Nothing shortens its log of changes (WAL) but `shorten_log`.

    Args:
        path: The file.
        bound: Bytes that the cache may take, which is noted for those who look at it.

    Raises:
        sqlite3.Error: It cannot be opened, or is of another schema.
    """
    connection = _opened(path, WRITE_SECONDS)
    with _closed_on_error(connection):
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA secure_delete = FAST")  # else what goes is written once more, to the log
        connection.execute("UPDATE bound SET bytes = ? WHERE bytes != ?", (bound, bound))
    return connection


def log_bytes(connection: sqlite3.Connection) -> int:
    """Bytes that the log of changes (WAL) takes beside the database; final within a transaction that writes."""
    path = connection.execute("PRAGMA database_list").fetchone()[2]
    try:
        return os.stat(path + b"-wal").st_size  # noqa: PTH116  # as SQLite calls it
    except FileNotFoundError:
        return 0


def shorten_log(connection: sqlite3.Connection) -> None:
    """Move the log of changes (WAL) into the database, and give its room back; outside of a transaction.

    What SQLite does by itself ends where somebody reads, and others who write in turn never let the log begin anew.
    This is in vain too where somebody reads for long, or does the same; readers wait for nothing.
    """
    connection.execute(f"PRAGMA busy_timeout = {int(1000 * _SHORTEN_SECONDS)}")
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(1000 * WRITE_SECONDS)}")


def is_broken(error: Exception) -> bool:
    """Whether the database has to be begun anew after an error in its use, and waiting is no use."""
    if isinstance(error, sqlite3.ProgrammingError):
        return False
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code == sqlite3.SQLITE_IOERR_SHORT_READ or code & 0xFF not in _PASSING


def _opened(path: Path, seconds: float) -> sqlite3.Connection:
    connection = _connect(path, seconds)
    with _closed_on_error(connection):
        for pragma in ("synchronous = NORMAL", "cell_size_check = ON", "trusted_schema = OFF", "mmap_size = 0"):
            connection.execute(f"PRAGMA {pragma}")
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found != SCHEMA:
            raise sqlite3.DatabaseError(f"schema {found} instead of {SCHEMA}")
    return connection


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _connect(path: Path, seconds: float) -> sqlite3.Connection:
    # mode=rw: a file that another process has removed does not come back empty.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=seconds, isolation_level=None, check_same_thread=False
    )
    connection.text_factory = bytes  # a broken row is to fail its checksum, not to raise
    return connection
