"""A folder on a disk of this machine, or one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from dicomzarr.errors import FileError, MissingFileError
from dicomzarr.sources.files.stores.archive import kind_of
from dicomzarr.sources.files.stores.gzipped import gunzipped
from dicomzarr.sources.files.stores.members import Spools
from dicomzarr.sources.files.stores.pinned_file import pinned, unreadable
from dicomzarr.sources.files.stores.port import LeftOut, Listing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.options import Tuning
    from dicomzarr.sources.files.stores.port import StoredFile


class LocalFolder:
    """All files below a folder, or one file, those that gzip compressed as they were; it is a `port.ByteStore`.

    Args:
        root: The folder or file.
    """

    near = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self._spools = Spools()

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
        for name, path, is_link in _paths(self.root):
            found = _looked_at(path, inside) if is_link else _pinned(path)
            if not (found is None or isinstance(found, LeftOut)):
                found = self._as_it_was(name, found)
            if isinstance(found, LeftOut):
                left_out[name] = found
            elif found is not None:
                files[name] = found
        return Listing(dict(sorted(files.items())), left_out)  # not folder by folder: names as they are in archives

    def _as_it_was(self, name: str, file: StoredFile) -> StoredFile | LeftOut:
        """A file before gzip compressed it by itself, if it is called so."""
        if name[-3:].lower() != ".gz" or kind_of(name) != "gz":
            return file
        try:
            return gunzipped(file, self._spools)
        except FileError:
            return LeftOut.UNREADABLE

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


def _paths(root: Path) -> Iterator[tuple[str, str, bool]]:
    """The names of files below a folder, their paths and whether they are links, to folders too: none is followed."""
    if not root.is_dir():
        yield root.name, str(root), False
        return
    waiting = [""]  # no recursion: how deep folders lie is not ours to say
    while waiting:
        above = waiting.pop()
        folder = os.path.join(root, above)  # noqa: PTH118  # as below
        try:
            with os.scandir(folder) as found:  # pathlib takes thrice as long, of many thousands of files
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            yield above.rstrip("/"), folder, False
            continue
        folders = []
        for entry in entries:
            if not _is_folder(entry):
                yield f"{above}{entry.name}", entry.path, entry.is_symlink()
            elif entry.is_symlink():
                yield f"{above}{entry.name}", entry.path, True
            else:
                folders.append(f"{above}{entry.name}/")
        waiting += reversed(folders)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _looked_at(link: str, inside: Path) -> StoredFile | LeftOut | None:
    """What a link leads to; None for a folder whose files are found in their own place."""
    try:
        is_inside = Path(link).resolve().is_relative_to(inside)
    except (OSError, RuntimeError):  # a link to itself
        return LeftOut.UNREADABLE
    if os.path.isdir(link):  # noqa: PTH112  # as above
        return None if is_inside else LeftOut.FOLDER
    return _pinned(link) if is_inside else LeftOut.OUTSIDE


def _pinned(path: str) -> StoredFile | LeftOut:
    try:
        file = pinned(path)
    except FileError:
        return LeftOut.UNREADABLE
    if file is not None:
        return file
    return LeftOut.UNREADABLE if os.path.isdir(path) else LeftOut.NO_DICOM  # noqa: PTH112  # as above
