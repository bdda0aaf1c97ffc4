"""A file in the state in which its folder was looked through; in another it is not read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dicomzarr.errors import ChangedFileError, UnreadableFileError
from dicomzarr.runtime.pools import FRAME_FILES

if TYPE_CHECKING:
    from pathlib import Path

_REMEDY = "Open the series again."


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A `port.StoredFile` that holds no open file."""

    path: Path
    size: int
    """Bytes."""
    modified: int
    """When it was modified last, in nanoseconds since 1970."""
    changed: int
    """When it was put in its place, in nanoseconds since 1970: copies, archives and renames keep ``modified``."""

    @property
    def name(self) -> str:
        """See `port.StoredFile`."""
        return str(self.path)

    @property
    def tag(self) -> str:
        """See `port.StoredFile`."""
        return f"{self.modified} {self.changed}"

    @property
    def place(self) -> tuple[PinnedFile, int]:
        """See `port.StoredFile`."""
        return self, 0

    @property
    def url(self) -> str | None:
        """See `StoredFile.url`: nothing in it is percent-encoded, as fsspec has it."""
        return f"file://{self.path.absolute().as_posix()}"

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, span: slice) -> bytes:
        """Bytes of the file as it was found.

        Raises:
            ChangedFileError: It is gone, or has another size or date.
            UnreadableFileError: The operating system does not give them.
        """
        start, stop, _ = span.indices(self.size)
        try:
            with open(self.path, "rb", buffering=0, opener=_open) as file:
                file.seek(start)
                data = _read(file.fileno(), stop - start)
                found = os.fstat(file.fileno())  # after reading: what was written meanwhile is noticed
        except FileNotFoundError:
            raise ChangedFileError(f"{self.path} is there no more.", remedy=_REMEDY) from None
        except OSError as error:
            raise unreadable(self.path, error) from None
        if _of(self.path, found) != self:
            raise ChangedFileError(f"{self.path} has changed since it was opened.", remedy=_REMEDY)
        return data

    async def read(self, start: int, stop: int) -> bytes:
        """See `port.StoredFile`."""
        return await FRAME_FILES.run(self.__getitem__, slice(start, stop))


def pinned(path: Path) -> PinnedFile | None:
    """A file as it is now; None for what is no regular file, as a folder or a pipe.

    Raises:
        UnreadableFileError: The operating system does not say.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise unreadable(path, error) from None
    return _of(path, found) if stat.S_ISREG(found.st_mode) else None


def _of(path: Path, found: os.stat_result) -> PinnedFile:
    return PinnedFile(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def unreadable(path: Path, error: OSError) -> UnreadableFileError:
    """What the operating system says of a path as an error of ours."""
    return UnreadableFileError(f"{path} cannot be read ({error.strerror or type(error).__name__}).")


def _open(path: str, flags: int) -> int:
    """Open what should be a regular file: for somebody who writes to a pipe in its place is not waited."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read(descriptor: int, length: int) -> bytes:
    """So many bytes, or all that are left: one read may give fewer."""
    pieces = []
    while length > 0 and (piece := os.read(descriptor, length)):
        pieces.append(piece)
        length -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
