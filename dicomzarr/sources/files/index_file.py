"""What was found in files, kept in a file of our own: so that only what is new is read when they are opened again."""

from __future__ import annotations

import os
import sqlite3
import threading
import warnings
import zlib
from array import array
from contextlib import closing, suppress
from hashlib import sha256
from itertools import accumulate, pairwise
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from dicomzarr.errors import DiskCacheWarning, InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

NAME: Final = ".dicomzarr-index.sqlite"
"""Of an index that lies beside the files; within a folder, or behind the name of a file."""

_APPLICATION: Final = 0x44435A69
"""What SQLite has in the header of files of ours."""

_TABLE: Final = """CREATE TABLE kept (
    kind TEXT, place BLOB, name BLOB, state BLOB, value BLOB, checksum INTEGER, PRIMARY KEY (kind, place, name)
) WITHOUT ROWID"""
"""Names are no text: those of files may be any bytes."""

_SECONDS: Final = 5.0
_FASTEST: Final = 1

_FILE, _HEAD, _BOUNDS, _ARCHIVE, _SERIES = "file", "head", "bounds", "archive", "series"
"""What is kept: what was found in a file, its beginning, where its frames lie; an archive's members; metadata."""

_PASSING: Final = frozenset(
    {
        *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT),
        *(sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH),
        *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_NOLFS),
    }
)
"""After any other error, the file is not what we wrote."""


class FileRow(NamedTuple):
    """What was found in a file."""

    name: str
    size: int
    tag: str
    left_out: str | None
    """Why it is no part of a series; empty where nothing is to be said of it; None where it is an instance."""
    uids: tuple[str, str, str] | None
    """Of its study, its series and itself."""
    shown: bytes
    """See `instance.FileInstance.told`."""


class _Found(msgspec.Struct, array_like=True, frozen=True):
    """What is written of a `FileRow` beside its name and state."""

    left_out: str | None
    uids: tuple[str, str, str] | None
    shown: bytes


class Body(msgspec.Struct, array_like=True, frozen=True):
    """Metadata of a series, as `SeriesMetadata` has them."""

    body: bytes
    common: bytes
    notices: tuple[str, ...]


class IndexFile:
    """The index of one place, in a file that others may use too; what cannot be kept is just not kept.

    All of it may be called from any thread but that of the home loop.

    Args:
        place: Names the files that it is about.
        path_of: Gives the file, or None for none; called until it does.
        version: Names what rows hold: an index of another one is begun anew.
        ours: Whether the file is in a directory of ours, where a broken one may be replaced.
    """

    def __init__(self, place: str, path_of: Callable[[], Path | None], version: str, *, ours: bool) -> None:
        self._database: sqlite3.Connection | None = None
        self._place = place
        self._path_of = path_of
        self._version = int.from_bytes(sha256(f"{version} {_TABLE}".encode()).digest()[:4], "big") >> 1
        self._ours = ours
        self._path: Path | None = None
        self._opened = False
        self._lock = threading.RLock()

    @property
    def keeps(self) -> bool:
        """Whether anything is kept.

        Raises:
            InvalidOptionError: The file is not ours.
        """
        with self._lock:
            if not self._opened:
                self._database = self._open()
                self._opened = True
            return self._database is not None

    def rows(self) -> list[FileRow]:
        """What is known of all files."""
        rows = []
        for name, state, value in self._all(_FILE):
            size, _, tag = _text(state).partition(" ")
            found = msgspec.msgpack.decode(value, type=_Found)
            rows.append(FileRow(_text(name), int(size), tag, found.left_out, found.uids, found.shown))
        return rows

    def keep(self, rows: Iterable[tuple[FileRow, bytes | None]]) -> None:
        """Keep what was found in files, and the heads of those far away."""
        values = []
        for row, head in rows:
            found = msgspec.msgpack.encode(_Found(row.left_out, row.uids, row.shown))
            values.append((_FILE, row.name, f"{row.size} {row.tag}", found))
            if head is not None:
                values.append((_HEAD, row.name, row.tag, head))
        self._keep(values)

    def remove(self, names: Iterable[str]) -> None:
        """Forget files that are gone."""
        rows = [(kind, _bytes(self._place), _bytes(name)) for name in names for kind in (_FILE, _HEAD, _BOUNDS)]
        self._write("DELETE FROM kept WHERE kind = ? AND place = ? AND name = ?", rows)

    def head(self, name: str, tag: str) -> bytes | None:
        """The head of a file, packed."""
        return self._one(_HEAD, name, tag)

    def keep_head(self, name: str, tag: str, packed: bytes) -> None:
        """Keep the head of a file."""
        self._keep([(_HEAD, name, tag, packed)])

    def bounds(self, name: str, tag: str) -> array[int] | None:
        """Where the frames of a file lie."""
        found = self._one(_BOUNDS, name, tag)
        return None if found is None else array("Q", accumulate(array("Q", zlib.decompress(found))))

    def keep_bounds(self, name: str, tag: str, bounds: array[int]) -> None:
        """Keep where the frames of a file lie."""
        steps = array("Q", [bounds[0], *(after - before for before, after in pairwise(bounds))])
        self._keep([(_BOUNDS, name, tag, zlib.compress(steps.tobytes(), _FASTEST))])

    def archive(self, name: str, size: int, tag: str) -> bytes | None:
        """What was found in an archive, in a state."""
        found = self._one(_ARCHIVE, name, f"{size} {tag}")
        return None if found is None else zlib.decompress(found)

    def keep_archive(self, name: str, size: int, tag: str, members: bytes) -> None:
        """Keep what was found in an archive."""
        self._keep([(_ARCHIVE, name, f"{size} {tag}", zlib.compress(members, _FASTEST))])

    def body(self, study: str, series: str, etag: str) -> Body | None:
        """The metadata of a series in a state."""
        found = self._one(_SERIES, f"{study}/{series}", etag)
        return None if found is None else msgspec.msgpack.decode(zlib.decompress(found), type=Body)

    def keep_body(self, study: str, series: str, etag: str, body: Body) -> None:
        """Keep the metadata of a series."""
        packed = zlib.compress(msgspec.msgpack.encode(body), _FASTEST)
        self._keep([(_SERIES, f"{study}/{series}", etag, packed)])

    def __del__(self) -> None:
        if self._database is not None:
            self._database.close()

    def _all(self, kind: str, name: str | None = None) -> list[tuple[bytes, bytes, bytes]]:
        """Names, states and values of a kind, or the one of a name; without those that are not as they were written."""
        which = "kind = ? AND place = ?" + ("" if name is None else " AND name = ?")
        place = _bytes(self._place)
        values = (kind, place) if name is None else (kind, place, _bytes(name))
        with self._lock:
            if not self.keeps or self._database is None:
                return []
            try:
                rows = self._database.execute(
                    f"SELECT name, state, value, checksum FROM kept WHERE {which}",  # noqa: S608  # only marks
                    values,
                ).fetchall()
            except Exception as error:  # noqa: BLE001  # a damaged file makes more than SQLite's own errors
                self._give_up(error)
                return []
        return [(*row,) for *row, checksum in rows if _checksum(kind, place, *row) == checksum]

    def _one(self, kind: str, name: str, state: str) -> bytes | None:
        found = self._all(kind, name)
        return found[0][2] if found and found[0][:2] == (_bytes(name), _bytes(state)) else None

    def _keep(self, values: Iterable[tuple[str, str, str, bytes]]) -> None:
        place = _bytes(self._place)
        rows = [(kind, place, _bytes(name), _bytes(state), value) for kind, name, state, value in values]
        self._write("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?, ?)", [(*row, _checksum(*row)) for row in rows])

    def _write(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        with self._lock:
            if not rows or not self.keeps or self._database is None:
                return
            try:
                with self._database:
                    self._database.executemany(statement, rows)
            except Exception as error:  # noqa: BLE001  # as above
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Go on without the file; a damaged one is removed, and begun anew when it is wanted next."""
        database, self._database = self._database, None
        if database is not None:
            with suppress(sqlite3.Error):
                database.close()
        if _is_damaged(error) and self._path is not None:
            with suppress(OSError):
                _remove(self._path)
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        which = "in the cache_dir" if self._path is None else self._path
        warnings.warn(f"The index {which} cannot be used ({name}).", DiskCacheWarning, stacklevel=4)

    def _open(self) -> sqlite3.Connection | None:
        try:
            self._path = self._path_of()
            if self._path is None:
                return None
            _check_ours(self._path, ours=self._ours)
            return _opened(self._path, self._version)
        except InvalidOptionError:
            raise
        except Exception as error:  # noqa: BLE001  # as above
            if _is_damaged(error) and self._path is not None:
                with suppress(sqlite3.Error, OSError):
                    _remove(self._path)
                    return _opened(self._path, self._version)
            self._give_up(error)
            return None


def _opened(path: Path, version: int) -> sqlite3.Connection:
    """An index, made where there is none.

    Raises:
        sqlite3.Error: It cannot be used, or it is another one.
        OSError: It cannot be made.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    database = sqlite3.connect(path, timeout=_SECONDS, check_same_thread=False)
    database.text_factory = bytes  # a damaged row is to fail its checksum, not to raise
    try:
        database.execute("PRAGMA trusted_schema = OFF")
        if not _schema(database):
            with closing(database.cursor()) as cursor:
                cursor.executescript(
                    f"BEGIN IMMEDIATE; {_TABLE.replace('TABLE', 'TABLE IF NOT EXISTS', 1)}; "
                    f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {version}; COMMIT;"
                )
        # Whoever made the folder may have made the file: nothing else is asked of another schema, as of a view.
        found = _schema(database), database.execute("PRAGMA user_version").fetchone()
        if found != ([(b"table", b"kept", _TABLE.encode())], (version,)):
            raise sqlite3.DatabaseError("of another release")  # noqa: TRY301  # closed as after any other
    except BaseException:
        database.close()
        raise
    return database


def _schema(database: sqlite3.Connection) -> list[Any]:
    return database.execute("SELECT type, name, sql FROM sqlite_schema LIMIT 2").fetchall()


def _remove(path: Path) -> None:
    """Remove an index; a journal that stayed would be rolled back into the next."""
    for end in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _checksum(kind: str, *row: object) -> int:
    """Of a row; one that no row has where its value is none that we write."""
    *said, value = row
    if not isinstance(value, bytes):
        return -1
    return zlib.crc32(value, zlib.crc32(repr((kind, *said)).encode()))


def _is_damaged(error: Exception) -> bool:
    """Whether the file has to be begun anew: what passes, or is the file system's, is no damage."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return not isinstance(error, OSError | MemoryError) and code & 0xFF not in _PASSING


def _check_ours(path: Path, *, ours: bool) -> None:
    """Refuse to touch a file that was there and is not ours."""
    with suppress(FileNotFoundError):
        if not S_ISREG(path.stat().st_mode):  # of a pipe, the first read might never end
            raise InvalidOptionError(f"{path} is no file: it is left as it is.", remedy="Name another file as index.")
        with path.open("rb") as file:
            start = file.read(100)
        is_index = start.startswith(b"SQLite format 3\0") and start[68:72] == _APPLICATION.to_bytes(4, "big")
        if start and not is_index and not ours:
            raise InvalidOptionError(
                f"{path} is no index of dicomzarr: it is left as it is.", remedy="Name another file as index."
            )
