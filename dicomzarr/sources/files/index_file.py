"""What was found in files, kept in a file of our own: so that only what is new is read when they are opened again."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import warnings
import zlib
from array import array
from contextlib import closing, suppress
from hashlib import sha256
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dicomzarr.errors import DiskCacheWarning, InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

NAME: Final = ".dicomzarr-index.sqlite"
"""Of an index that lies beside the files; within a folder, or behind the name of a file."""

_APPLICATION: Final = 0x44435A69
"""What SQLite has in the header of files of ours."""

_TABLES: Final = """
CREATE TABLE files (
    place TEXT, name TEXT, size INTEGER, tag TEXT, left_out TEXT, uids TEXT, shown BLOB, checksum INTEGER, head BLOB,
    bounds BLOB,
    PRIMARY KEY (place, name)
) WITHOUT ROWID;
CREATE TABLE archives (
    place TEXT, name TEXT, size INTEGER, tag TEXT, members BLOB, PRIMARY KEY (place, name)
) WITHOUT ROWID;
CREATE TABLE series (
    place TEXT, study TEXT, series TEXT, etag TEXT, body BLOB, common BLOB, notices TEXT,
    PRIMARY KEY (place, study, series)
) WITHOUT ROWID;
"""
_SECONDS: Final = 5.0
_FASTEST: Final = 1


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


class Body(NamedTuple):
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
        self._version = int.from_bytes(sha256(f"{version} {_TABLES}".encode()).digest()[:4], "big") >> 1
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
        found = self._read("SELECT name, size, tag, left_out, uids, shown, checksum FROM files WHERE place = ?")
        rows = []
        for *said, shown, checksum in found:
            name, size, tag, left_out, uids = said
            with suppress(ValueError, TypeError, AttributeError):
                told = bytes(shown or b"")
                if _checksum(tuple(said), told) != checksum:  # it is damaged, which SQLite does not see
                    continue
                study, series, uid = uids.split() if uids else ("", "", "")
                rows.append(FileRow(name, size, tag, left_out, (study, series, uid) if uids else None, told))
        return rows

    def keep(self, rows: Iterable[tuple[FileRow, bytes | None]]) -> None:
        """Keep what was found in files, and the heads of those far away."""
        values = []
        for row, head in rows:
            said = row.name, row.size, row.tag, row.left_out, " ".join(row.uids) if row.uids else None
            values.append((self._place, *said, row.shown or None, _checksum(said, row.shown), head))
        self._write("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)", values)

    def remove(self, names: Iterable[str]) -> None:
        """Forget files that are gone."""
        self._write("DELETE FROM files WHERE place = ? AND name = ?", [(self._place, name) for name in names])

    def head(self, name: str, tag: str) -> bytes | None:
        """The head of a file, packed."""
        found = self._read("SELECT head FROM files WHERE place = ? AND name = ? AND tag = ?", name, tag)
        return found[0][0] if found else None

    def bounds(self, name: str, tag: str) -> array[int] | None:
        """Where the frames of a file lie."""
        found = self._read("SELECT bounds FROM files WHERE place = ? AND name = ? AND tag = ?", name, tag)
        if not found or found[0][0] is None:
            return None
        try:
            steps = array("Q", zlib.decompress(found[0][0]))
        except (zlib.error, ValueError):
            return None
        return array("Q", accumulate(steps))

    def keep_bounds(self, name: str, tag: str, bounds: array[int]) -> None:
        """Keep where the frames of a file lie."""
        steps = array("Q", [bounds[0], *(after - before for before, after in pairwise(bounds))])
        packed = zlib.compress(steps.tobytes(), _FASTEST)
        self._write(
            "UPDATE files SET bounds = ? WHERE place = ? AND name = ? AND tag = ?", [(packed, self._place, name, tag)]
        )

    def archive(self, name: str, size: int, tag: str) -> bytes | None:
        """What was found in an archive, in a state."""
        where = "place = ? AND name = ? AND size = ? AND tag = ?"
        found = self._read(f"SELECT members FROM archives WHERE {where}", name, size, tag)  # noqa: S608  # only marks
        try:
            return zlib.decompress(found[0][0]) if found else None
        except (zlib.error, TypeError):
            return None

    def keep_archive(self, name: str, size: int, tag: str, members: bytes) -> None:
        """Keep what was found in an archive."""
        row = (self._place, name, size, tag, zlib.compress(members, _FASTEST))
        self._write("INSERT OR REPLACE INTO archives VALUES (?, ?, ?, ?, ?)", [row])

    def body(self, study: str, series: str, etag: str) -> Body | None:
        """The metadata of a series in a state."""
        where = "place = ? AND study = ? AND series = ? AND etag = ?"
        found = self._read(f"SELECT body, common, notices FROM series WHERE {where}", study, series, etag)  # noqa: S608  # only marks
        try:
            if not found:
                return None
            body, common, notices = found[0]
            return Body(zlib.decompress(body), zlib.decompress(common), tuple(json.loads(notices)))
        except (zlib.error, ValueError, TypeError):
            return None

    def keep_body(self, study: str, series: str, etag: str, body: Body) -> None:
        """Keep the metadata of a series."""
        packed = (zlib.compress(each, _FASTEST) for each in (body.body, body.common))
        row = (self._place, study, series, etag, *packed, json.dumps(body.notices))
        self._write("INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?, ?, ?, ?)", [row])

    def __del__(self) -> None:
        if self._database is not None:
            self._database.close()

    def _read(self, statement: str, *values: object) -> list[Any]:
        with self._lock:
            if not self.keeps or self._database is None:
                return []
            try:
                return self._database.execute(statement, (self._place, *values)).fetchall()
            except (sqlite3.Error, ValueError, OverflowError) as error:  # as SQLite does with a damaged file
                self._give_up(error)
                return []

    def _write(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        with self._lock:
            if not rows or not self.keeps or self._database is None:
                return
            try:
                with self._database:
                    self._database.executemany(statement, rows)
            except (sqlite3.Error, ValueError, OverflowError) as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Go on without the file; a damaged one is removed, and begun anew when it is wanted next."""
        database, self._database = self._database, None
        if database is not None:
            with suppress(sqlite3.Error):
                database.close()
        if _is_damaged(error) and self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
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
        except (sqlite3.Error, OSError) as error:
            if _is_damaged(error) and self._path is not None:
                with suppress(sqlite3.Error, OSError):
                    self._path.unlink(missing_ok=True)
                    return _opened(self._path, self._version)
            self._give_up(error)
            return None


def _opened(path: Path, version: int) -> sqlite3.Connection:
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    database = sqlite3.connect(path, timeout=_SECONDS, check_same_thread=False)
    try:
        (found,) = database.execute("PRAGMA user_version").fetchone()
        if found != version:
            with closing(database.cursor()) as cursor:
                cursor.executescript(
                    f"BEGIN IMMEDIATE; DROP TABLE IF EXISTS files; DROP TABLE IF EXISTS series; "
                    f"DROP TABLE IF EXISTS archives; {_TABLES}"
                    f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {version}; COMMIT;"
                )
        database.execute("SELECT count(*) FROM series").fetchone()
    except BaseException:
        database.close()
        raise
    return database


def _checksum(said: tuple[object, ...], shown: bytes) -> int:
    return zlib.crc32(shown, zlib.crc32(repr(said).encode("utf-8", "surrogatepass")))


def _is_damaged(error: Exception) -> bool:
    if isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorcode"):
        return True  # what is Python's own: a text is none
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _check_ours(path: Path, *, ours: bool) -> None:
    """Refuse to touch a file that was there and is not ours."""
    with suppress(FileNotFoundError):
        with path.open("rb") as file:
            start = file.read(100)
        is_index = start.startswith(b"SQLite format 3\0") and start[68:72] == _APPLICATION.to_bytes(4, "big")
        if start and not is_index and not ours:
            raise InvalidOptionError(
                f"{path} is no index of dicomzarr: it is left as it is.", remedy="Name another file as index."
            )
