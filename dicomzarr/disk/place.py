"""The directory of a cache: its owner's alone, with the secret that its names are hashed with.

Only files of our own are ever written, replaced or removed. The secret is known by what it begins with; all others
carry a tag in their names that follows from the secret, which nobody else's files have by accident.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dicomzarr.errors import InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.options import Access

_FILE = "dicomzarr-secret"
SECRET_BYTES = 32

INDEX: Final = ".index"
"""How the name of an index of files ends."""

_MARK = b"The secret of a cache of dicomzarr, which names its files.\n"
"""What a secret begins with."""

_ANYBODY_WRITES = stat.S_IWGRP | stat.S_IWOTH


def make_private(directory: Path) -> None:
    """Make the directory, or check that nobody else can change what is in it; one that is there stays as it is.

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
        InvalidOptionError: A file of another kind has its name.
        OSError: It can be neither read nor written.
    """
    path = directory / _FILE
    while (secret := known_secret(directory)) is None:
        new = directory / f"dicomzarr-{secrets.token_hex(8)}.new"
        _write(new, _MARK + secrets.token_bytes(SECRET_BYTES))
        publish(new, path)
    return secret


def known_secret(directory: Path) -> bytes | None:
    """The secret of the directory; None where none has been drawn.

    Raises:
        InvalidOptionError: A file of another kind has its name.
        OSError: It cannot be read.
    """
    path = directory / _FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        text = b""
    if not text.startswith(_MARK) or len(text) != len(_MARK) + SECRET_BYTES:
        raise InvalidOptionError(
            f"{path} was not made by dicomzarr, or is damaged: nothing in that directory is touched.",
            remedy="Name another cache_dir; or, if nobody needs that file, remove it.",
        )
    return text.removeprefix(_MARK)


def prefix_of(secret: bytes) -> str:
    """What the names of all files of a cache begin with, but that of its secret."""
    return f"dicomzarr-{blake2b(secret, digest_size=8, person=b'files').hexdigest()}-"


def index_path(base_url: str, access: Access) -> Path | None:
    """The file in the cache directory for an index of what files hold; None where there is no directory.

    Raises:
        InvalidOptionError: The directory is not private, or a file of another kind is in the way.
        OSError: It can be neither read nor written.
    """
    credentials = access.lasting_credentials
    if access.cache_dir is None or credentials is None:  # what nobody can name again is kept for nobody
        return None
    directory = Path(access.cache_dir)
    make_private(directory)
    secret = secret_of(directory)
    told = json.dumps([base_url, credentials, access.endpoint_url]).encode()
    name = blake2b(told, key=secret, digest_size=8, person=b"index").hexdigest()
    return directory / f"{prefix_of(secret)}{name}{INDEX}"


def remove_indexes(directory: Path) -> None:
    """Remove the indexes of files, which are made anew when they are needed.

    Raises:
        InvalidOptionError: See `known_secret`.
        OSError: The directory cannot be read.
    """
    for path in [each for each in own_files(directory) if each.name.endswith(INDEX)]:
        path.unlink(missing_ok=True)


def own_files(directory: Path) -> Iterator[Path]:
    """The files of the cache in a directory, and no others.

    Raises:
        InvalidOptionError: See `known_secret`.
        OSError: The directory cannot be read.
    """
    secret = known_secret(directory)
    for path in directory.iterdir():
        if secret is not None and (path.name == _FILE or path.name.startswith(prefix_of(secret))):
            yield path


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


def _write(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
