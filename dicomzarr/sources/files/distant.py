"""Where frames lie in files far away: by what their beginnings say, else by the end of the file, else by all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from dicomzarr.dicom.files.file_meta import read_file_meta
from dicomzarr.dicom.files.part10 import distant_frames, find_frames
from dicomzarr.dicom.files.random_access import NeededError, Pieces
from dicomzarr.dicom.files.tiff_tiles import TIFFTiles, directory_offset
from dicomzarr.errors import DicomZarrError
from dicomzarr.sources.files.stores.ahead import AheadFile
from dicomzarr.sources.spool import inflated

if TYPE_CHECKING:
    from array import array

    from dicomzarr.dicom.files.file_meta import FileMeta
    from dicomzarr.dicom.files.part10 import StoredFrames
    from dicomzarr.sources.files.stores.port import StoredFile

_PREAMBLE: Final = 128
_LAST_FRAME: Final = 128 * 2**10
"""Bytes that are read from the last frame of a table on: all of it, but for large frames."""

_LONGEST_TAIL: Final = 64 * 2**20
"""Bytes behind the pixels that may be a directory, with a colour profile."""


class Tail(NamedTuple):
    """A piece of a file behind its beginning."""

    start: int
    data: bytes | memoryview


class _Joined:
    """A file of which the beginning is there, and perhaps a tail; the rest is read on and on when it is needed."""

    def __init__(self, beginning: Pieces, file: StoredFile, tail: Tail | None, *, reads: bool) -> None:
        self._known = Pieces(file.size, beginning.pieces)
        if tail is not None:
            self._known.add(*tail)
        self._file = file
        self._rest = AheadFile(file, near=False) if reads else None

    def __len__(self) -> int:
        return self._file.size

    def __getitem__(self, span: slice) -> bytes | memoryview:
        try:
            return self._known[span]
        except NeededError:
            if self._rest is None:
                start, _, _ = span.indices(self._file.size)
                raise NeededError(start) from None
            return self._rest[span]


class Located(NamedTuple):
    """The frames of a file."""

    stored: StoredFrames
    inflated: bool
    """They lie on the temporary disk, and not in the file."""


def frames_in(
    file: StoredFile, head: Pieces, known: array[int] | None = None, tail: Tail | None = None, *, reads: bool = True
) -> Located | None:
    """Where the frames of a file lie; a deflated one is inflated to the temporary disk.

    Args:
        file: The file.
        head: Its beginning.
        known: ``EncapsulatedFrames.bounds``, where they are known already.
        tail: What `tail_span` names, if that has been read.
        reads: More of the file is read where it must be; all of it, where nothing else tells.

    Returns:
        None where more would have to be read.

    Raises:
        FileError: They cannot be told.
        ServerError: They cannot be read.
        UnsupportedTransferSyntaxError: They cannot be decoded.
        TemporaryFileError: There is no room to inflate the file.
    """
    meta = read_file_meta(head)
    if meta.deflated:
        whole = memoryview(inflated(AheadFile(file, near=False), meta.end, file.name))
        return Located(find_frames(whole, 0, meta), inflated=True)
    try:
        return Located(_located(file, head, meta, known, tail, reads=reads), inflated=False)
    except NeededError:
        return None


def tail_span(file: StoredFile, head: Pieces) -> tuple[int, int] | None:
    """From where to where a file is to be read that tells where its frames lie; None where no more is needed.

    It is the TIFF directory, or the last frame of a table: a table that is wrong most often does not lead there.
    """
    try:
        meta = read_file_meta(head)
        if not meta.deflated:
            _located(file, head, meta, None, None, reads=False)
    except NeededError as needed:
        if needed.start == _directory(head, file):
            return needed.start, file.size
        return None if needed.start <= head.end else (needed.start, min(file.size, needed.start + _LAST_FRAME))
    except DicomZarrError:
        pass  # whoever reads a frame will hear of it
    return None


def _located(  # noqa: PLR0913  # what is known of a file
    file: StoredFile,
    beginning: Pieces,
    meta: FileMeta,
    known: array[int] | None,
    tail: Tail | None,
    *,
    reads: bool,
) -> StoredFrames:
    joined = _Joined(beginning, file, tail, reads=reads)

    def by_tiles(frames: int, first: int) -> array[int] | None:
        start = _directory(beginning, file)
        if start is None:
            return None
        tiles = TIFFTiles.of(beginning[:_PREAMBLE], start, joined[start : file.size])
        return tiles.bounds(frames, first)

    return distant_frames(beginning, joined, meta, by_tiles, known)


def _directory(beginning: Pieces, file: StoredFile) -> int | None:
    start = directory_offset(beginning[:_PREAMBLE])
    fits = start is not None and beginning.end <= start < file.size and file.size - start <= _LONGEST_TAIL
    return start if fits else None
