"""Temporary files without a name: bytes are written to them as they come, and are then read by mapping."""

from __future__ import annotations

import mmap
import tempfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from dicomzarr.dicom.files.deflated import inflated_pieces
from dicomzarr.errors import InvalidFileError, TemporaryFileError
from dicomzarr.options.limits import LIMITS
from dicomzarr.runtime.pools import FILES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from dicomzarr.dicom.files.random_access import RandomAccess
    from dicomzarr.options.limits import Limits

MOST_BYTES: Final = 32 * 2**30
"""Bytes of one instance, inflated where it is deflated; no known one comes near, and a disk must not be filled."""

_WRITTEN_AT_ONCE: Final = 4 * 2**20


async def spooled(chunks: AsyncIterator[bytes], subject: str, most: int = MOST_BYTES) -> mmap.mmap:
    """Write what comes to a file, and map it; the disk is free again when the map is let go of.

    Args:
        chunks: The body.
        subject: What comes, for messages.
        most: Bytes that may come.

    Raises:
        InvalidFileError: Nothing came, or more than that.
        TemporaryFileError: The disk did not take it.
    """
    with _temporary_file(subject) as file:
        waiting: list[bytes] = []
        size = written = 0
        async for chunk in chunks:
            waiting.append(chunk)
            size += len(chunk)
            _check_size(size, most, subject)
            if size - written >= _WRITTEN_AT_ONCE:
                await FILES.run(file.writelines, waiting)
                waiting, written = [], size
        await FILES.run(file.writelines, waiting)
        return await FILES.run(_mapped, file, subject)


def most_inflated(nbytes: int, limits: Limits = LIMITS) -> int:
    """What so many bytes may be inflated to."""
    return min(limits.instance_bytes, max(limits.inflated_bytes, limits.expansion * nbytes))


def inflated(data: RandomAccess, start: int, subject: str, most: int | None = None) -> mmap.mmap:
    """Inflate a data set (RFC 1951, PS3.5 section A.5) into a file, and map it.

    Args:
        data: The file that it is in.
        start: Where it begins.
        subject: What it is, for messages.
        most: Bytes that it may become; None for what its length allows.

    Raises:
        InvalidFileError: It is no deflated data set, or becomes more than that.
        TruncatedFileError: It ends early.
        TemporaryFileError: The disk did not take it.
    """
    allowed = most_inflated(len(data) - start) if most is None else most
    return spooled_pieces(inflated_pieces(data, start, subject), subject, allowed)


def spooled_pieces(pieces: Iterable[bytes], subject: str, most: int = MOST_BYTES) -> mmap.mmap:
    """Write what is made to a file, and map it; see `spooled`.

    Args:
        pieces: The bytes, in their order.
        subject: What they are, for messages.
        most: Bytes that there may be.

    Raises:
        InvalidFileError: There are none, or more than that.
        TemporaryFileError: The disk did not take it.
    """
    with _temporary_file(subject) as file:
        size = 0
        for piece in pieces:
            size += len(piece)
            _check_size(size, most, subject)
            file.write(piece)
        return _mapped(file, subject)


def inflated_start(data: RandomAccess, stop: int, subject: str) -> bytes:
    """The first bytes of what is deflated, up to an offset, in memory.

    Raises:
        InvalidFileError: It is not deflated.
        TruncatedFileError: It ends early.
    """
    found = bytearray()
    for piece in inflated_pieces(data, 0, subject):
        found += piece
        if len(found) >= stop:
            break
    return bytes(found[:stop])


@contextmanager
def _temporary_file(subject: str) -> Iterator[IO[bytes]]:
    try:
        with tempfile.TemporaryFile(prefix="dicomzarr-") as file:
            yield file
    except OSError as error:
        raise TemporaryFileError(
            f"The temporary disk did not take {subject} ({type(error).__name__}: {error.strerror}).",
            remedy="Free some space there, or name another folder in the environment variable TMPDIR.",
        ) from None


def _mapped(file: IO[bytes], subject: str) -> mmap.mmap:
    file.flush()
    if not file.tell():
        raise InvalidFileError(f"An empty body came for {subject}.")
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _check_size(size: int, most: int, subject: str) -> None:
    if size > most:
        raise InvalidFileError(
            f"More than {most} bytes came for {subject}.",
            remedy="If that is right, raise the bounds: limits={'inflated_bytes': ..., 'instance_bytes': ...}.",
        )
