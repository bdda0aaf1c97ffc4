"""Beginnings of files: all that they say before their pixels, of files far away read at once and kept."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from dicomzarr.dicom.files.data_set import data_set_header
from dicomzarr.dicom.files.deflated import InflatedWindow
from dicomzarr.dicom.files.excerpt import LONGEST_VALUE
from dicomzarr.dicom.files.file_meta import is_dicom, read_file_meta
from dicomzarr.dicom.files.part10 import beginning_end
from dicomzarr.dicom.files.random_access import MOST_BEGINNING, NeededError, Pieces
from dicomzarr.errors import DicomZarrError, InvalidFileError
from dicomzarr.sources.files.stores.members import beginning_of
from dicomzarr.sources.files.stores.port import LeftOut, begun

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from dicomzarr.sources.files.stores.port import StoredFile

FIRST: Final = 256 * 2**10
"""Bytes of a file far away that are read first, and four times as many while its pixels are not reached."""

_AT_ONCE: Final = 128
_SMALL: Final = 4 * 2**20
"""Bytes of a beginning up to which many are read at once."""

_FASTEST: Final = 1


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """What a file says before its pixels, without its longest values, as it is kept."""

    packed: bytes

    @classmethod
    def of(cls, pieces: Pieces) -> Head:
        """Pieces that are kept."""
        return cls(zlib.compress(msgspec.msgpack.encode(pieces.pieces), _FASTEST))

    def pieces(self, size: int) -> Pieces:
        """They, of a file of so many bytes."""
        return Pieces(size, msgspec.msgpack.decode(zlib.decompress(self.packed), type=list[tuple[int, bytes]]))


def read_heads(files: Sequence[StoredFile]) -> Iterator[tuple[StoredFile, Head | LeftOut | DicomZarrError]]:
    """The beginnings of files far away, many at once; an error where one cannot be had."""
    for first in range(0, len(files), _AT_ONCE):
        yield from _some(files[first : first + _AT_ONCE])


def _some(files: Sequence[StoredFile]) -> Iterator[tuple[StoredFile, Head | LeftOut | DicomZarrError]]:
    length = FIRST
    left = [(file, Pieces(file.size), 0) for file in files]
    while left:
        more: list[tuple[StoredFile, Pieces, int]] = []
        at_once = len(left) if length <= _SMALL else 1
        for first in range(0, len(left), at_once):
            some = left[first : first + at_once]
            coming = [
                begun(beginning_of(file), start, _stop(file, start, length), near=False) for file, _, start in some
            ]
            for (file, pieces, start), future in zip(some, coming, strict=True):
                found = _looked_at(file, pieces, start, future)
                if isinstance(found, int):
                    more.append((file, pieces, found))
                else:
                    yield file, found
        left, length = more, 4 * length


def _stop(file: StoredFile, start: int, length: int) -> int:
    """How far a file is read on: up to a length; behind a value that was passed over, as much as a step before."""
    return min(max(length, start + length // 4), file.size)


def _looked_at(
    file: StoredFile, pieces: Pieces, start: int, future: Future[bytes | memoryview]
) -> int | Head | LeftOut | DicomZarrError:
    """The head of a file, if what has been read is enough; else from where on it is to be read."""
    try:
        pieces.add(start, future.result())
        if start == 0 and not is_dicom(pieces.pieces[0][1]):
            return LeftOut.NO_DICOM
        return Head.of(pieces.up_to(_end(pieces, file.name)))
    except NeededError as needed:
        if pieces.nbytes > MOST_BEGINNING or pieces.end == file.size:
            return InvalidFileError(f"No pixel data within {MOST_BEGINNING} bytes of attributes of {file.name}.")
        # What is kept lies in one piece, and so does what is hardly worth a request of its own.
        return pieces.end if needed.start <= pieces.end + LONGEST_VALUE else needed.start
    except DicomZarrError as error:
        return error


def _end(pieces: Pieces, name: str) -> int:
    """Where the head of a file ends."""
    meta = read_file_meta(pieces)
    if meta.deflated:
        data_set_header(InflatedWindow(pieces, meta.end, name), 0, meta, complete=True, longest=LONGEST_VALUE)
        return pieces.end
    data_set_header(pieces, meta.end, meta, complete=True, longest=LONGEST_VALUE)
    found = beginning_end(pieces, meta)
    return pieces.size if found is None else found
