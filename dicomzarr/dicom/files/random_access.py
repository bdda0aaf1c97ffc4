"""Bytes that can be read anywhere: a file on a disk, an object in a bucket, a memoryview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

from dicomzarr.errors import InvalidFileError, TruncatedFileError

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BEGINNING: Final = 256 * 2**20
"""Bytes of attributes before the pixel data; 50 000 placed tiles take a tenth of that."""

_FIRST_READ: Final = 64 * 2**10
"""Bytes that hold all that stands before the pixels of most instances that have no groups for each frame."""

_Found = TypeVar("_Found")


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


def within_beginning(
    data: RandomAccess, look: Callable[[memoryview], _Found | None], most: int = MOST_BEGINNING
) -> _Found | None:
    """What is found in the beginning of a file, of which no more is read than twice what is needed.

    Args:
        data: The file.
        look: Gives what it finds in the beginning, or None when more is needed; `TruncatedFileError` means the same.
        most: Bytes within which it must be found.

    Returns:
        None when it is nowhere.

    Raises:
        TruncatedFileError: The file ends early.
        InvalidFileError: It does not begin as it should, or within so many bytes nothing is found.
    """
    beginning = b""
    while True:
        wanted = max(_FIRST_READ, 2 * len(beginning))
        more = bytes(data[len(beginning) : wanted])
        beginning += more
        is_all = len(beginning) < wanted or len(beginning) >= len(data)
        try:
            found = look(memoryview(beginning))
        except TruncatedFileError:
            if is_all:
                raise
            found = None
        if found is not None or is_all:
            return found
        if len(beginning) > most:
            raise InvalidFileError(f"No pixel data within {most} bytes of the DICOM file.")
