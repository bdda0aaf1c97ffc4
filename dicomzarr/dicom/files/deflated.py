"""Data sets that are deflated (RFC 1951, PS3.5 section A.5)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.files.random_access import MOST_BEGINNING
from dicomzarr.errors import InvalidFileError, TruncatedFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.dicom.files.random_access import RandomAccess

_INFLATED_AT_ONCE: Final = 2**20


def inflated_beginning(data: RandomAccess, start: int, subject: str, *, complete: bool) -> memoryview:
    """The beginning of a data set, inflated: all of it, or more than what may stand before the pixel data.

    Args:
        data: The file.
        start: Where the deflated data set begins.
        subject: What it is, for messages.
        complete: All of it is there, so that an early end is an error.

    Raises:
        InvalidFileError: It is no deflated data set.
        TruncatedFileError: It ends early.
    """
    found = bytearray()
    try:
        for piece in inflated_pieces(data, start, subject):
            found += piece
            if len(found) > MOST_BEGINNING:
                break  # the pixel data are within it, or nowhere
    except TruncatedFileError:
        if complete:
            raise
    return memoryview(bytes(found))


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
