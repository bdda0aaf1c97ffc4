"""A folder on a disk of this machine, or one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from dicomzarr.errors import FileError, MissingFileError
from dicomzarr.sources.files.stores.pinned_file import pinned, unreadable
from dicomzarr.sources.files.stores.port import LeftOut, Listing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.options import Tuning
    from dicomzarr.sources.files.stores.port import StoredFile


class LocalFolder:
    """All files below a folder, or one file; it is a `port.ByteStore`.

    Args:
        root: The folder or file.
    """

    near = True

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def where(self) -> str:
        """See `ByteStore.where`."""
        return str(self.root)

    def files(self) -> Listing:
        """See `ByteStore.files`; links lead nowhere else.

        Raises:
            MissingFileError: There is nothing of this name.
            UnreadableFileError: The operating system does not say what it is.
        """
        _refuse_missing(self.root)
        inside = self.root.resolve()
        files: dict[str, StoredFile] = {}
        left_out: dict[str, LeftOut] = {}
        for path in _paths(self.root):
            name = path.name if path == self.root else path.relative_to(self.root).as_posix()
            found = _looked_at(path, inside)
            if isinstance(found, LeftOut):
                left_out[name] = found
            else:
                files[name] = found
        return Listing(files, left_out)

    def pace(self) -> tuple[float, int]:
        """See `ByteStore.pace`."""
        return 1e-3, 64 * 2**10

    def tune(self, tuning: Tuning, timeout: float) -> None:
        """See `SeriesSource.tune`; a disk needs none."""

    def close(self) -> None:
        """See `ByteStore.close`; it holds nothing."""


def _refuse_missing(root: Path) -> None:
    try:
        root.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # no name holds a NUL
        raise MissingFileError(
            f"There is no file or folder {root}.", remedy="Check the path; a URL needs a scheme, as dicomwebs://."
        ) from None
    except OSError as error:
        raise unreadable(root, error) from None


def _paths(root: Path) -> Iterator[Path]:
    """Files in the order of their names; folders are not followed where they are links."""
    if not root.is_dir():
        yield root
        return
    unreadable: list[OSError] = []
    for folder, folders, names in os.walk(root, onerror=unreadable.append):
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names))
    yield from (Path(error.filename) for error in unreadable)


def _looked_at(path: Path, inside: Path) -> StoredFile | LeftOut:
    try:
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            return LeftOut.OUTSIDE
        file = pinned(path)
        if file is None:
            return LeftOut.UNREADABLE if path.is_dir() else LeftOut.NO_DICOM
    except (FileError, OSError, RuntimeError):  # a link to itself
        return LeftOut.UNREADABLE
    return file
