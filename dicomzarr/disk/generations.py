"""The database files of a directory, one after the other: a broken one is never repaired but followed by the next.

No name is used twice, so that a process that still has the old file open does no harm to the new one.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from dicomzarr.disk.database import create_database
from dicomzarr.disk.place import known_secret, prefix_of, publish, secret_of

if TYPE_CHECKING:
    from pathlib import Path

FileID: TypeAlias = tuple[int, int]

_DATABASE, _UNFINISHED = ".db", ".new"
_PARTS = ("", "-wal", "-shm", "-journal")
_DIGITS = 9


def current(directory: Path) -> Path | None:
    """The database that is in use; None where there is none yet.

    Raises:
        InvalidOptionError: See `place.known_secret`.
        OSError: The directory cannot be read.
    """
    secret = known_secret(directory)
    if secret is None:
        return None
    first = directory / f"{prefix_of(secret)}1{_DATABASE}"
    numbers = _numbers(first)
    return _sibling(first, max(numbers)) if numbers else None


def current_or_first(directory: Path) -> Path:
    """The database that is in use, made where there is none.

    Raises:
        InvalidOptionError: See `place.known_secret`.
        OSError: The directory cannot be read or written.
        sqlite3.Error: The database cannot be made.
    """
    found = current(directory)
    return found if found is not None else _begin(directory / f"{prefix_of(secret_of(directory))}1{_DATABASE}")


def file_in_use(path: Path) -> FileID | None:
    """The very file of a database; None when it is in use no more, since others have begun the next."""
    if _sibling(path, _number(path) + 1).exists():
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
        _begin(_sibling(path, _number(path) + 1))
    remove_old(path)


def remove_old(path: Path) -> None:
    """Remove all databases but the one in use; what another process still has open may stay for now.

    Args:
        path: One of them.
    """
    numbers = _numbers(path)
    for number in numbers - {max(numbers, default=0)}:
        _remove(_sibling(path, number))


def remove_unfinished(path: Path) -> None:
    """Remove what processes that were killed have left.

    Args:
        path: The database in use.
    """
    for unfinished in path.parent.iterdir():
        if unfinished.name.startswith(_prefix(path)) and unfinished.suffix == _UNFINISHED:
            _remove(unfinished)


def _remove(path: Path) -> None:
    for part in _PARTS:
        with suppress(OSError):
            path.with_name(path.name + part).unlink(missing_ok=True)


def _begin(path: Path) -> Path:
    new = path.with_name(f"{_prefix(path)}{secrets.token_hex(8)}{_UNFINISHED}")
    create_database(new)  # other processes never see an unfinished one
    publish(new, path)
    return path


def _numbers(path: Path) -> set[int]:
    """Those of the databases beside one."""
    names = [each.name for each in path.parent.iterdir()]
    ours = [name.removeprefix(_prefix(path)) for name in names if name.startswith(_prefix(path))]
    numbers = [name.removesuffix(_DATABASE) for name in ours if name.endswith(_DATABASE)]
    return {int(number) for number in numbers if number.isdecimal() and len(number) <= _DIGITS}


def _prefix(path: Path) -> str:
    return path.name.rpartition("-")[0] + "-"


def _number(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _sibling(path: Path, number: int) -> Path:
    return path.with_name(f"{_prefix(path)}{number}{_DATABASE}")
