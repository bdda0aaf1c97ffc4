"""Where frames lie in files far away: by what their beginnings say, else by the end of the file, else by all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from dicomzarr.dicom.files.file_meta import read_file_meta
from dicomzarr.dicom.files.part10 import distant_frames, find_frames
from dicomzarr.dicom.files.tiff_tiles import TIFFTiles, directory_offset
from dicomzarr.errors import DicomZarrError
from dicomzarr.sources.files.stores.ahead import AheadFile
from dicomzarr.sources.spool import inflated

if TYPE_CHECKING:
    from array import array

    from dicomzarr.dicom.files.part10 import StoredFrames
    from dicomzarr.sources.files.heads import Head
    from dicomzarr.sources.files.stores.port import StoredFile

_LONGEST_TAIL: Final = 64 * 2**20
"""Bytes behind the pixels that may be a directory, with a colour profile."""


class _Joined:
    """A file of which the beginning is there, and the rest is read on and on when it is needed."""

    def __init__(self, beginning: memoryview, file: StoredFile) -> None:
        self._beginning = beginning
        self._file = file
        self._rest = AheadFile(file, near=False)

    def __len__(self) -> int:
        return self._file.size

    def __getitem__(self, span: slice) -> bytes | memoryview:
        start, stop, _ = span.indices(self._file.size)
        return self._beginning[start:stop] if stop <= len(self._beginning) else self._rest[start:stop]


class _NeededError(Exception):
    """More of the file is needed."""


class Located(NamedTuple):
    """The frames of a file."""

    stored: StoredFrames
    inflated: bool
    """They lie on the temporary disk, and not in the file."""


def frames_in(
    file: StoredFile,
    head: Head,
    known: array[int] | None = None,
    tail: bytes | memoryview | None = None,
    *,
    scan: bool = True,
) -> Located | None:
    """Where the frames of a file lie; a deflated one is inflated to the temporary disk.

    Args:
        file: The file.
        head: Its beginning.
        known: ``EncapsulatedFrames.bounds``, where they are known already.
        tail: What is from `tail_start` on, if that has been read.
        scan: All of the file is looked at where nothing else tells.

    Returns:
        None where all of it would have to be looked at.

    Raises:
        FileError: They cannot be told.
        ServerError: They cannot be read.
        UnsupportedTransferSyntaxError: They cannot be decoded.
        TemporaryFileError: There is no room to inflate the file.
    """
    beginning = head.data
    meta = read_file_meta(beginning)
    if meta.deflated:
        whole = memoryview(inflated(AheadFile(file, near=False), meta.end, file.name))
        return Located(find_frames(whole, 0, meta), inflated=True)

    def by_tiles(frames: int, first: int) -> array[int] | None:
        start = _directory(beginning, file)
        found = None
        if start is not None:
            end = file[start : file.size] if tail is None else tail
            found = TIFFTiles.of(beginning, start, end).bounds(frames, first)
        if found is None and not scan:
            raise _NeededError
        return found

    try:
        stored = distant_frames(beginning, _Joined(beginning, file), meta, by_tiles, known)
    except _NeededError:
        return None
    return Located(stored, inflated=False)


def tail_start(file: StoredFile, head: Head) -> int | None:
    """From where on the end of a file is needed to tell where its frames lie; None where it is not."""
    beginning = head.data
    start = _directory(beginning, file)

    def ask(_: int, __: int) -> None:
        raise _NeededError

    try:
        meta = read_file_meta(beginning)
        if start is not None and not meta.deflated:
            distant_frames(beginning, _Joined(beginning, file), meta, ask)
    except _NeededError:
        return start
    except DicomZarrError:
        pass  # whoever reads a frame will hear of it
    return None


def _directory(beginning: memoryview, file: StoredFile) -> int | None:
    start = directory_offset(beginning)
    fits = start is not None and len(beginning) <= start < file.size and file.size - start <= _LONGEST_TAIL
    return start if fits else None
