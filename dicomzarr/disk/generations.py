"""The database files of a directory, one after the other: a broken one is never repaired but followed by the next.

No name is used twice, so that a process that still has the old file open does no harm to the new one.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from dicomzarr.disk.database import create_database
from dicomzarr.disk.place import new_file, publish

if TYPE_CHECKING:
    from pathlib import Path

FileID: TypeAlias = tuple[int, int]

_NAME = re.compile(r"cache-([0-9]{1,9})\.db")
_PARTS = ("", "-wal", "-shm")


def current(directory: Path) -> Path | None:
    """The database that is in use; None where there is none yet.

    Raises:
        OSError: The directory cannot be read.
    """
    numbers = _numbers(directory)
    return _path(directory, max(numbers)) if numbers else None


def current_or_first(directory: Path) -> Path:
    """The database that is in use, made where there is none.

    Raises:
        OSError: The directory cannot be read or written.
        sqlite3.Error: The database cannot be made.
    """
    found = current(directory)
    return found if found is not None else _begin(directory, 1)


def file_in_use(path: Path) -> FileID | None:
    """The very file of a database; None when it is in use no more, since others have begun the next."""
    if _path(path.parent, _number(path) + 1).exists():
        return None
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def follow(path: Path) -> None:
    """Begin the next database, unless that has been done, and remove this one.

    Raises:
        OSError: The directory cannot be read or written.
        sqlite3.Error: The database cannot be made.
    """
    if file_in_use(path) is not None:
        _begin(path.parent, _number(path) + 1)
    remove_old(path.parent)


def remove_old(directory: Path) -> None:
    """Remove all databases but the one in use; what another process still has open may stay for now."""
    numbers = _numbers(directory)
    for number in numbers - {max(numbers, default=0)}:
        path = _path(directory, number)
        for part in _PARTS:
            with suppress(OSError):
                path.with_name(path.name + part).unlink(missing_ok=True)


def _begin(directory: Path, number: int) -> Path:
    path, new = _path(directory, number), new_file(directory)
    create_database(new)  # other processes never see an unfinished one
    publish(new, path)
    return path


def _numbers(directory: Path) -> set[int]:
    names = [path.name for path in directory.iterdir()]
    return {int(found[1]) for found in map(_NAME.fullmatch, names) if found}


def _number(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _path(directory: Path, number: int) -> Path:
    return directory / f"cache-{number}.db"
