"""A file that is read on and on: what comes next is read before it is asked for, in a bounded piece of memory."""

from __future__ import annotations

import io
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from dicomzarr.errors import InvalidFileError, TruncatedFileError
from dicomzarr.sources.files.stores.port import begun

if TYPE_CHECKING:
    from concurrent.futures import Future

    from dicomzarr.sources.files.stores.port import StoredFile

_FIRST: Final = 64 * 2**10
_LARGEST: Final = 8 * 2**20
"""Bytes of a piece: the first, and those that follow when reading goes on, each four times as long."""

_AHEAD: Final = 2
"""Pieces of the largest size that are under way while one is read."""

_LONGEST_READ: Final = 256 * 2**20
"""Bytes of the longest list of an archive."""


class _Piece(NamedTuple):
    start: int
    stop: int
    data: Future[bytes | memoryview]


class AheadFile:
    """The bytes of a file, for one thread that goes through it; it is a `dicom.files.random_access.RandomAccess`.

    Args:
        file: The file.
        near: Whether reading costs no round trip.
    """

    def __init__(self, file: StoredFile, *, near: bool) -> None:
        self._file = file
        self._near = near
        self._pieces: deque[_Piece] = deque()
        self._length = _FIRST
        self._end = 0
        """Where the last piece ends that was begun."""

    def __len__(self) -> int:
        return self._file.size

    def __getitem__(self, span: slice) -> bytes | memoryview:
        start, stop, _ = span.indices(self._file.size)
        found: list[memoryview] = []
        while start < stop:
            piece = self._piece_at(start)
            data = memoryview(piece.data.result())[start - piece.start : stop - piece.start]
            if not data:
                raise TruncatedFileError(f"{self._file.name} ends early.")
            found.append(data)
            start += len(data)
        return found[0] if len(found) == 1 else b"".join(found)

    def _piece_at(self, start: int) -> _Piece:
        while self._pieces and self._pieces[0].stop <= start:
            self._pieces.popleft()
        if not self._pieces or self._pieces[0].start > start:
            self._pieces.clear()
            goes_on = 0 <= start - self._end <= _LARGEST
            self._length = min(_LARGEST, 4 * self._length) if goes_on else _FIRST
            self._begin(start)
        wanted = 1 if self._near or self._length < _LARGEST else 1 + _AHEAD
        while len(self._pieces) < wanted and self._end < self._file.size:
            self._begin(self._end)
        return self._pieces[0]

    def _begin(self, start: int) -> None:
        self._end = min(self._file.size, start + self._length)
        self._pieces.append(_Piece(start, self._end, begun(self._file, start, self._end, near=self._near)))


class AheadStream(io.RawIOBase):
    """The same as Python's archive modules want a file.

    Args:
        file: The file.
        near: Whether reading costs no round trip.
    """

    def __init__(self, file: StoredFile, *, near: bool) -> None:
        self._bytes = AheadFile(file, near=near)
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Let the next read begin elsewhere."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._bytes)}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """So many bytes, or all that are left.

        Raises:
            InvalidFileError: They are more than any list of an archive has.
        """
        left = max(0, len(self._bytes) - self._at)
        size = left if size is None or size < 0 else min(size, left)
        if size > _LONGEST_READ:
            raise InvalidFileError(f"A list in the archive takes {size} bytes.")
        data = bytes(self._bytes[self._at : self._at + size])
        self._at += size
        return data
