"""Beginnings of files: all that they say before their pixels, of files far away read at once and kept."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.files.deflated import inflated_beginning
from dicomzarr.dicom.files.file_meta import is_dicom, read_file_meta
from dicomzarr.dicom.files.part10 import beginning_end, header_end
from dicomzarr.dicom.files.random_access import MOST_BEGINNING
from dicomzarr.errors import DicomZarrError, InvalidFileError, TruncatedFileError
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
    """The beginning of a file: a `dicom.files.random_access.RandomAccess` that gives no more than that."""

    packed: bytes
    size: int
    """Bytes of the whole file."""

    @classmethod
    def of(cls, data: bytes | memoryview, size: int) -> Head:
        """A beginning that is kept."""
        return cls(zlib.compress(data, _FASTEST), size)

    @property
    def data(self) -> memoryview:
        """Its bytes."""
        return memoryview(zlib.decompress(self.packed))

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, span: slice) -> memoryview:
        return self.data[span]


def read_heads(files: Sequence[StoredFile]) -> Iterator[tuple[StoredFile, Head | LeftOut | DicomZarrError]]:
    """The beginnings of files far away, many at once; an error where one cannot be had."""
    for first in range(0, len(files), _AT_ONCE):
        yield from _some(files[first : first + _AT_ONCE])


def _some(files: Sequence[StoredFile]) -> Iterator[tuple[StoredFile, Head | LeftOut | DicomZarrError]]:
    length = FIRST
    left = [(file, b"") for file in files]
    while left:
        more: list[tuple[StoredFile, bytes]] = []
        at_once = len(left) if length <= _SMALL else 1
        for first in range(0, len(left), at_once):
            some = left[first : first + at_once]
            coming = [begun(file, len(data), min(length, file.size), near=False) for file, data in some]
            for (file, data), future in zip(some, coming, strict=True):
                found = _looked_at(file, data, future)
                if isinstance(found, bytes):
                    more.append((file, found))
                else:
                    yield file, found
        left, length = more, 4 * length


def _looked_at(
    file: StoredFile, data: bytes, future: Future[bytes | memoryview]
) -> bytes | Head | LeftOut | DicomZarrError:
    """The head of a file, if what has been read is enough; else what has been read."""
    try:
        data += bytes(future.result())
        if not is_dicom(data):
            return LeftOut.NO_DICOM
        end = _end(memoryview(data), file)
    except DicomZarrError as error:
        return error
    if end is None and len(data) > MOST_BEGINNING:
        return InvalidFileError(f"No pixel data within {MOST_BEGINNING} bytes of {file.name}.")
    return data if end is None else Head.of(memoryview(data)[:end], file.size)


def _end(data: memoryview, file: StoredFile) -> int | None:
    """Where the head of a file ends; None where more is needed to know."""
    if len(data) >= file.size:
        meta = read_file_meta(data)
        found = None if meta.deflated else beginning_end(data, meta)
        return len(data) if found is None else found
    try:
        meta = read_file_meta(data)
    except TruncatedFileError:
        return None
    if not meta.deflated:
        return beginning_end(data, meta)
    try:
        inflated = inflated_beginning(data, meta.end, file.name, complete=False)
        return None if header_end(inflated, 0, meta) is None else len(data)
    except TruncatedFileError:
        return None
