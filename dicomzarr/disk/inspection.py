"""A cache seen from outside: what it takes, and how it is emptied."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple

from dicomzarr.disk import generations
from dicomzarr.disk.database import open_for_reading
from dicomzarr.disk.place import check_private, own_files, remove_indexes

if TYPE_CHECKING:
    from pathlib import Path


class CacheFacts(NamedTuple):
    """How much there is; nothing that says of what."""

    bytes: int
    """Of all files."""
    frames: int | None
    """None where the database cannot be read; whoever uses it next begins anew."""
    series: int | None
    """Series of which there is something, counted for each identity that they were read with."""
    bound: int | None
    """The ``cache_dir_bytes`` that was last in force; None where nothing has been written."""


def look_at(directory: Path) -> CacheFacts:
    """What a cache takes; a directory that is not there takes nothing.

    Raises:
        InvalidOptionError: It holds a file of another kind under a name of ours.
        OSError: The directory cannot be read.
    """
    if not directory.exists():
        return CacheFacts(0, 0, 0, None)
    size = sum(map(_size, own_files(directory)))
    path = generations.current(directory)
    if path is None:
        return CacheFacts(size, 0, 0, None)
    try:
        with closing(open_for_reading(path)) as connection:
            row = "SELECT count(*) - count(CASE WHEN name = series THEN 1 END), count(DISTINCT series) FROM entries"
            frames, series = connection.execute(row).fetchone()
            (bound,) = connection.execute("SELECT bytes FROM bound").fetchone()
    except (sqlite3.Error, TypeError, ValueError):  # as SQLite does with a damaged file
        return CacheFacts(size, None, None, None)
    return CacheFacts(size, frames, series, bound or None)


def clear(directory: Path) -> int:
    """Empty a cache, also under those who use it, who go on with an empty one; give the bytes that were freed.

    Raises:
        InvalidOptionError: The directory is somebody else's, or others may write to it; or as before.
        OSError: The directory cannot be read or written.
        sqlite3.Error: As before.
    """
    if not directory.exists():
        return 0
    check_private(directory)
    before = look_at(directory).bytes
    remove_indexes(directory)
    path = generations.current(directory)
    if path is not None:
        generations.follow(path)
        generations.remove_unfinished(path)
    return max(0, before - look_at(directory).bytes)


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):  # others may be at work
        return path.stat().st_size
    return 0
