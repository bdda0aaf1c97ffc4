"""A file that is compressed as a whole by gzip (RFC 1952): nothing of it is found without all that stands before."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from dicomzarr.errors import InvalidFileError, TruncatedFileError
from dicomzarr.sources.files.stores.ahead import AheadStream
from dicomzarr.sources.files.stores.members import ANY_RATIO, MOST_INFLATED, RATIO, Compressed
from dicomzarr.sources.spool import spooled_pieces

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

    from dicomzarr.sources.files.stores.members import Spools
    from dicomzarr.sources.files.stores.port import StoredFile

_AT_ONCE: Final = 2**20

_BEGINS: Final = b"\x1f\x8b\x08"
"""How a member begins."""

_LENGTH: Final = 4
"""Bytes at the end of a member that tell its length when inflated, modulo 4 GiB."""


@dataclass(frozen=True, slots=True)
class Gunzipped(Compressed):
    """What a file becomes; all of it is inflated to the temporary disk when the first of it is read.

    It is a `port.StoredFile`.
    """

    packed: StoredFile
    size: int
    """Bytes when inflated."""
    near: bool = field(compare=False)
    spools: Spools = field(compare=False)

    @classmethod
    def measured(cls, packed: StoredFile, spools: Spools, *, near: bool) -> Self:
        """Inflate a file of which it is not known how long it becomes.

        Raises:
            InvalidFileError: It is no gzip file, or becomes too long.
            TruncatedFileError: It ends early.
            TemporaryFileError: There is no room.
        """
        found = _inflated(packed, near=near)
        new = cls(packed, len(found), near, spools)
        spools.hold(new, found)
        return new

    @property
    def tag(self) -> str:
        """See `StoredFile.tag`."""
        return f"{self.packed.size} {self.packed.tag}"

    def __getitem__(self, span: slice) -> bytes | memoryview:
        start, stop, _ = span.indices(self.size)
        return memoryview(self.spools.of(self))[start:stop] if start < stop else self.packed[:0]

    def inflate(self) -> mmap.mmap:
        """All of it, on the temporary disk; raises as `measured` does."""
        found = _inflated(self.packed, near=self.near)
        if len(found) != self.size:
            raise InvalidFileError(
                f"{self.name} inflates to {len(found)} bytes, and not to {self.size} as its end says, or once did."
            )
        return found

    def beginning(self, stop: int) -> bytes:
        """See `Compressed.beginning`."""
        if (lying := self.spools.lying(self)) is not None:
            return lying[:stop]
        found = bytearray()
        with suppress(TruncatedFileError):  # of one that ends early, all that there is
            for piece in _pieces(self.packed, near=self.near, buffered=False):
                found += piece
                if len(found) >= stop:
                    break
        return bytes(found[:stop])


def is_gzip(file: StoredFile) -> bool:
    """Whether a file begins as gzip.

    Raises:
        FileError: It cannot be read.
        ServerError: Likewise, from a server.
    """
    return bytes(file[: len(_BEGINS)]) == _BEGINS


def gunzipped(file: StoredFile, spools: Spools) -> StoredFile:
    """A file at hand as it becomes, if it is of one member, whose end tells how long that is; else as it is.

    Raises:
        FileError: It cannot be read.
    """
    if not is_gzip(file):
        return file
    size = int.from_bytes(file[max(0, file.size - _LENGTH) : file.size], "little")
    # What is of several members, or of more than 4 GiB, seems to shrink: nobody inflates it to see.
    return Gunzipped(file, size, near=True, spools=spools) if size >= file.size // 2 else file


def _inflated(packed: StoredFile, *, near: bool) -> mmap.mmap:
    return spooled_pieces(_pieces(packed, near=near), packed.name, MOST_INFLATED)


def _pieces(packed: StoredFile, *, near: bool, buffered: bool = True) -> Iterator[bytes]:
    """What it becomes, in pieces of bounded size; checksums are looked at on the way."""
    most = max(ANY_RATIO, RATIO * packed.size)
    size = 0
    try:
        # Python's reader is for files that others changed too: several members, and zeros behind the last.
        with gzip.GzipFile(fileobj=AheadStream(packed, near=near), mode="rb") as opened:
            while piece := opened.read(_AT_ONCE) if buffered else opened.read1(_AT_ONCE):
                size += len(piece)
                if size > most:
                    raise InvalidFileError(f"{packed.name} is inflated beyond all reason: a bomb.")
                yield piece
    except EOFError:
        raise TruncatedFileError(f"{packed.name} ends early.") from None
    except (gzip.BadGzipFile, zlib.error):
        raise InvalidFileError(f"{packed.name} cannot be read as an archive: it is no gzip file, or damaged.") from None
