"""A file in the state in which its folder was looked through; in another it is not read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from dicomzarr.errors import ChangedFileError, UnreadableFileError
from dicomzarr.runtime.pools import FRAME_FILES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_REMEDY: Final = "Open the series again."
_GAP: Final = 64
"""Bytes between pieces that are read together; items have headers of 8."""

_LONGEST_RUN: Final = 256 * 2**10
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
"""Nobody waits for somebody who writes to a pipe that stands in the place of a file."""


class PinnedFile(msgspec.Struct, frozen=True):
    """A `port.StoredFile` that holds no open file."""

    path: str
    size: int
    """Bytes."""
    modified: int
    """When it was modified last, in nanoseconds since 1970."""
    changed: int
    """When it was put in its place, in nanoseconds since 1970: copies, archives and renames keep ``modified``."""

    @property
    def name(self) -> str:
        """See `port.StoredFile`."""
        return self.path

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
        return f"file://{Path(self.path).absolute().as_posix()}"

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, span: slice) -> bytes:
        """Bytes of the file as it was found.

        Raises:
            ChangedFileError: It is gone, or has another size or date.
            UnreadableFileError: The operating system does not give them.
        """
        start, stop, _ = span.indices(self.size)
        return self.ranges([(start, stop)])[0]

    def ranges(self, wanted: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several pieces of the file as it was found, each from an offset to another; it is opened once for all.

        Raises:
            ChangedFileError: As above.
            UnreadableFileError: As above.
        """
        try:
            descriptor = os.open(self.path, _FLAGS)
            try:
                pieces = [piece for run in _runs(wanted) for piece in _read_run(descriptor, run, self.size)]
                found = os.fstat(descriptor)  # after reading: what was written meanwhile is noticed
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            raise ChangedFileError(f"{self.path} is there no more.", remedy=_REMEDY) from None
        except OSError as error:
            raise unreadable(self.path, error) from None
        if (found.st_size, found.st_mtime_ns, found.st_ctime_ns) != (self.size, self.modified, self.changed):
            raise ChangedFileError(f"{self.path} has changed since it was opened.", remedy=_REMEDY)
        return pieces

    async def read(self, start: int, stop: int) -> bytes:
        """See `port.StoredFile`."""
        return await FRAME_FILES.run(self.__getitem__, slice(start, stop))


def pinned(path: str | Path) -> PinnedFile | None:
    """A file as it is now; None for what is no regular file, as a folder or a pipe.

    Raises:
        UnreadableFileError: The operating system does not say.
    """
    try:
        found = os.stat(path)  # noqa: PTH116  # of thousands, whose names are plain text
    except OSError as error:
        raise unreadable(path, error) from None
    if not stat.S_ISREG(found.st_mode):
        return None
    return PinnedFile(str(path), found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def unreadable(path: str | Path, error: OSError) -> UnreadableFileError:
    """What the operating system says of a path as an error of ours."""
    return UnreadableFileError(f"{path} cannot be read ({error.strerror or type(error).__name__}).")


def _runs(wanted: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Short pieces that lie one behind the other: each call to read lets another thread go first."""
    run: list[tuple[int, int]] = []
    for start, stop in wanted:
        if run and not (0 <= start - run[-1][1] <= _GAP and stop - run[0][0] <= _LONGEST_RUN):
            yield run
            run = []
        run.append((start, stop))
    if run:
        yield run


def _read_run(descriptor: int, run: Sequence[tuple[int, int]], size: int) -> Iterator[bytes]:
    first = run[0][0]
    data = _read(descriptor, first, min(run[-1][1], size) - first)
    return (data[start - first : max(start, stop) - first] for start, stop in run)


def _read(descriptor: int, start: int, length: int) -> bytes:
    """So many bytes, or all that are left: one read may give fewer."""
    data = _read_at(descriptor, max(0, length), start)
    while data and len(data) < length and (more := _read_at(descriptor, length - len(data), start + len(data))):
        data += more
    return data


def _seek_and_read(descriptor: int, length: int, start: int) -> bytes:
    os.lseek(descriptor, start, os.SEEK_SET)
    return os.read(descriptor, length)


_read_at: Final[Callable[[int, int, int], bytes]] = getattr(os, "pread", _seek_and_read)
"""Windows has none that reads without seeking."""
