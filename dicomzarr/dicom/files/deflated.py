"""Data sets that are deflated (RFC 1951, PS3.5 section A.5)."""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Final

from dicomzarr.errors import InvalidFileError, TruncatedFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.dicom.files.random_access import RandomAccess

_INFLATED_AT_ONCE: Final = 2**18
_HELD: Final = 4 * 2**20
"""Bytes of a window."""


class InflatedWindow:
    """A deflated data set as it is when inflated, for who goes through it from its beginning.

    It is a `random_access.RandomAccess` whose slices have both ends; no more of it is held than a window.

    Args:
        data: The file.
        start: Where the deflated data set begins.
        subject: What it is, for messages.
    """

    def __init__(self, data: RandomAccess, start: int, subject: str) -> None:
        self._pieces = inflated_pieces(data, start, subject)
        self._held = bytearray()
        self._at = 0
        """Where what is held begins."""
        self._ended = False

    def __len__(self) -> int:
        """Bytes in all, once the end has been seen; more than any file has before that."""
        return self._at + len(self._held) if self._ended else sys.maxsize

    def __getitem__(self, span: slice) -> bytes:
        """The bytes of a slice, which begins no further than a window before the one that went furthest.

        Raises:
            InvalidFileError: It is no deflated data set.
            TruncatedFileError: It ends early.
        """
        while self._at + len(self._held) < span.stop and not self._ended:
            piece = next(self._pieces, None)
            self._ended = piece is None
            self._held += piece or b""
            passed = min(span.start - self._at, len(self._held)) - _HELD
            if passed > _HELD:
                del self._held[:passed]
                self._at += passed
        assert span.start >= self._at  # noqa: S101  # nobody goes back
        return bytes(self._held[span.start - self._at : span.stop - self._at])


def inflated_pieces(data: RandomAccess, start: int, subject: str) -> Iterator[bytes]:
    """Inflate, in pieces of bounded size.

    Args:
        data: The file.
        start: Where the deflated data set begins.
        subject: What it is, for messages.

    Raises:
        InvalidFileError: It is no deflated data set.
        TruncatedFileError: It ends early, after the last piece.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    at = start
    try:
        while not inflater.eof:
            source = inflater.unconsumed_tail
            if not source:
                source = bytes(data[at : at + _INFLATED_AT_ONCE])
                at += len(source)
            piece = inflater.decompress(source, _INFLATED_AT_ONCE)
            if not piece and not source:
                raise TruncatedFileError(f"The deflated data of {subject} end early, after {len(data) - start} bytes.")
            yield piece
    except zlib.error:
        raise InvalidFileError(f"The data of {subject} are said to be deflated, and are not.") from None
