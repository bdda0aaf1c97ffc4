"""Bytes that can be read anywhere: a file on a disk, an object in a bucket, a memoryview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_BEGINNING: Final = 256 * 2**20
"""Bytes of attributes before the pixel data, without their longest values; 50 000 placed tiles take a tenth of that."""

_FIRST_READ: Final = 64 * 2**10
"""Bytes that hold all that stands before the pixels of most instances that have no groups for each frame."""

_LARGEST_READ: Final = 2**20


class RandomAccess(Protocol):
    """As `memoryview`, but for that a slice may cost a request."""

    def __len__(self) -> int:
        """Bytes in all."""

    def __getitem__(self, span: slice, /) -> bytes | memoryview:
        """The bytes of a slice without a step; fewer, where there are no more."""


class Span(NamedTuple):
    """A piece of a file."""

    offset: int
    """Bytes before it."""
    length: int
    """Bytes of it."""

    def of(self, data: RandomAccess) -> bytes | memoryview:
        """Its bytes."""
        return data[self.offset : self.offset + self.length]


class Window:
    """A file that somebody goes through from its beginning; it is a `RandomAccess` whose slices have both ends.

    Small slices come out of one read, and what is passed over is not read.

    Args:
        data: The file.
    """

    __slots__ = ("_at", "_data", "_held", "_length")

    def __init__(self, data: RandomAccess) -> None:
        self._data = data
        self._held = memoryview(b"")
        self._at = 0
        """Where what is held begins."""
        self._length = _FIRST_READ

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, span: slice) -> bytes | memoryview:
        start, stop = span.start - self._at, span.stop - self._at
        if start >= 0 and stop <= len(self._held):
            return self._held[start:stop]
        return self._read(span.start, span.stop)

    def _read(self, start: int, stop: int) -> bytes | memoryview:
        if stop - start >= _FIRST_READ:
            return self._data[start:stop]
        goes_on = 0 < start - self._at <= 2 * len(self._held)
        self._length = min(_LARGEST_READ, 2 * self._length) if goes_on else _FIRST_READ
        self._held, self._at = memoryview(self._data[start : start + self._length]), start
        return self._held[: stop - start]


class NeededError(Exception):
    """More of a file is needed, from an offset on."""

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self.start = start


class Pieces:
    """A file of which some pieces are there; it is a `RandomAccess`.

    Args:
        size: Bytes of the whole file.
        pieces: Where each begins, and its bytes; in their order, none of which adjoins the one before.
    """

    def __init__(self, size: int, pieces: Sequence[tuple[int, bytes]] = ()) -> None:
        self.size = size
        self.pieces = list(pieces)

    @property
    def end(self) -> int:
        """Where the last piece ends."""
        return self.pieces[-1][0] + len(self.pieces[-1][1]) if self.pieces else 0

    @property
    def nbytes(self) -> int:
        """Bytes that are there."""
        return sum(len(data) for _, data in self.pieces)

    def add(self, start: int, data: bytes | memoryview) -> None:
        """Add a piece behind the others."""
        if self.pieces and start == self.end:
            first, before = self.pieces.pop()
            self.pieces.append((first, before + data))
        else:
            self.pieces.append((start, bytes(data)))

    def up_to(self, end: int) -> Pieces:
        """Those that lie before an offset."""
        return Pieces(self.size, [(start, data[: end - start]) for start, data in self.pieces if start < end])

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, span: slice) -> bytes | memoryview:
        """The bytes of a slice.

        Raises:
            NeededError: They are not there.
        """
        start, stop, _ = span.indices(self.size)
        if stop <= start:
            return b""
        for at, data in self.pieces:
            if at <= start < at + len(data):
                if stop <= at + len(data):
                    return memoryview(data)[start - at : stop - at]
                raise NeededError(at + len(data))
        raise NeededError(start)
