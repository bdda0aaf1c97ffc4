"""The directory of a cache: its owner's alone, with the secret that its names are hashed with."""

from __future__ import annotations

import os
import re
import secrets
import stat
from typing import TYPE_CHECKING

from dicomzarr.errors import InvalidOptionError

if TYPE_CHECKING:
    from pathlib import Path

OURS = re.compile(r"secret|(cache-[0-9]{1,9}\.db|new-[0-9a-f]{16})(-wal|-shm|-journal)?")
"""Names of the files of a cache."""

SECRET_BYTES = 32

_ANYBODY_WRITES = stat.S_IWGRP | stat.S_IWOTH
_ANYBODY = stat.S_IRWXG | stat.S_IRWXO


def make_private(directory: Path) -> None:
    """Make the directory, or check that nobody else can change what is in it.

    Raises:
        InvalidOptionError: It is no directory, somebody else's, or others may write to it.
        OSError: It cannot be made or looked at.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InvalidOptionError(
            f"The cache_dir {directory} is no directory.", remedy="Name a directory, or one that can be made."
        ) from None
    check_private(directory)
    if directory.stat().st_mode & _ANYBODY and all(OURS.fullmatch(path.name) for path in directory.iterdir()):
        directory.chmod(0o700)


def check_private(directory: Path) -> None:
    """Check that nobody else can change what is in a directory.

    Raises:
        InvalidOptionError: It is somebody else's, or others may write to it.
        OSError: It cannot be looked at.
    """
    if not hasattr(os, "geteuid"):  # on Windows, what lies in a user's profile is private
        return
    found = directory.stat()
    if found.st_uid != os.geteuid():
        raise InvalidOptionError(
            f"The cache_dir {directory} belongs to user {found.st_uid}, and this process is of user {os.geteuid()}.",
            remedy="Name a directory of your own: what others put there would pass for what the server sent.",
        )
    if found.st_mode & _ANYBODY_WRITES:
        raise InvalidOptionError(
            f"Others may write to the cache_dir {directory}.",
            remedy="Name another directory, or take their rights away (chmod 700) and empty it.",
        )


def secret_of(directory: Path) -> bytes:
    """The secret of the directory, drawn when first asked for.

    Raises:
        OSError: It can be neither read nor written.
    """
    path = directory / "secret"
    secret = _read(path)
    while len(secret) != SECRET_BYTES:
        path.unlink(missing_ok=True)  # cut off by a crash
        publish(_written(directory, secrets.token_bytes(SECRET_BYTES)), path)
        secret = _read(path)
    return secret


def new_file(directory: Path) -> Path:
    """A name for a file that is not finished."""
    return directory / f"new-{secrets.token_hex(8)}"


def publish(new: Path, path: Path) -> None:
    """Give a finished file its name, unless another process was faster: then it goes."""
    try:
        os.link(new, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        if not path.exists():
            new.rename(path)
            return
    new.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _written(directory: Path, data: bytes) -> Path:
    path = new_file(directory)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return path
