"""Instances on their way into the folder: whole and on the disk under their name, or not there at all."""

from __future__ import annotations

import errno
import os
import re
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from dicomzarr.dicom.files.file_meta import read_file_meta
from dicomzarr.dicom.files.part10 import is_whole
from dicomzarr.dicom.files.random_access import Window
from dicomzarr.errors import DicomZarrError, FrameError
from dicomzarr.sources.files.index import UNFINISHED
from dicomzarr.sources.files.instance import NAMELESS, frames_of, is_dicom, read_instance
from dicomzarr.sources.files.stores.pinned_file import pinned
from dicomzarr.sources.spool import MOST_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dicomzarr.sources.files.instance import FileInstance

PROCESSING: Final = 0x0110
"""Failure reasons (PS3.18 section I.2.2, PS3.7 annex C): it could not be stored, for no reason of its own."""
DUPLICATE: Final = 0x0111
"""Another instance of this UID is there."""
NO_ROOM: Final = 0xA700
"""The disk did not take it."""
OTHER_STUDY: Final = 0xA900
"""It is no instance of the study that it was sent to."""
NOT_UNDERSTOOD: Final = 0xC000
"""It is no whole Part-10 file of an instance."""

_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)
_LONGEST_UID: Final = 64
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_COMPARED_AT_ONCE: Final = 2**20
_FORGOTTEN: Final = 24 * 3600  # seconds after which nobody is writing an unfinished file any more
_ROWS: Final = "00280010"

_placing = threading.Lock()


class Refused(Exception):  # noqa: N818  # no error of this process
    """An instance is not stored; for the one who sent it."""

    def __init__(self, reason: int, instance: FileInstance | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.instance = instance


class Deposit:
    """A file that is being written, under a name at which nobody looks. All calls wait for the disk.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / f"{UNFINISHED}{secrets.token_hex(8)}"
        self._file: IO[bytes] | None = None
        self._size = 0
        self._lock = threading.Lock()
        self._discarded = False

    def open(self) -> None:
        """Begin the file.

        Raises:
            Refused: The disk did not take it, or nobody wants it any more.
        """
        with self._lock, _refusing():
            if self._discarded:
                raise Refused(PROCESSING)
            self._file = self._path.open("xb", buffering=0)

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            Refused: The disk did not take them, or there are more than any instance has.
        """
        assert self._file is not None  # noqa: S101  # it is open
        self._size += len(data)
        if self._size > MOST_BYTES:
            raise Refused(NO_ROOM)
        rest = memoryview(data)
        with _refusing():
            while rest:
                rest = rest[self._file.write(rest) :]

    def place(self, study: str | None, find: Callable[[str, str, str], Sequence[FileInstance]]) -> FileInstance:
        """Put the file in its place, where it lasts.

        Args:
            study: The study that it was sent to; None for any.
            find: Gives the instances of a study, series and SOP instance that are there already.

        Returns:
            What it holds; its file may be that of the same instance, which was there already.

        Raises:
            Refused: It is not stored.
        """
        assert self._file is not None  # noqa: S101  # it is open
        with _refusing():
            os.fsync(self._file.fileno())
            self._file.close()
        instance = self._identified()
        if study not in {None, instance.ref.study}:
            raise Refused(OTHER_STUDY, instance)
        with _placing, _refusing(instance):
            there = find(*instance.ref, instance.uid)
            target = Path(there[0].file.name) if there else self._target(instance)
            if target.exists() or target.is_symlink():
                if (there or not target.is_symlink()) and _same(self._path, target):
                    return instance
                raise Refused(DUPLICATE, instance)
            self._path.rename(target)
            _sync(target.parent)
        return instance

    def known(self) -> FileInstance | None:
        """Which instance it is, if enough of it was written to tell."""
        try:
            file = pinned(self._path)
            return None if file is None else read_instance(file)
        except DicomZarrError:
            return None

    def discard(self) -> None:
        """Leave nothing behind, also where it is begun only now; does nothing where it is in its place."""
        with self._lock:
            self._discarded = True
            if self._file is not None:
                self._file.close()
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _identified(self) -> FileInstance:
        """What came, if it is whole."""
        instance = None
        try:
            file = pinned(self._path)
            meta = None if file is None or not is_dicom(file) else read_file_meta(Window(file))
            if file is None or meta is None or not meta.whole:
                raise Refused(NOT_UNDERSTOOD)
            instance = read_instance(file)
            if not (meta.deflated or is_whole(Window(file), meta)):
                raise Refused(NOT_UNDERSTOOD, instance)
            if instance is not None and _ROWS in instance.shown:
                with suppress(FrameError):  # as a film: it is kept, and cannot be shown
                    frames = frames_of(instance).frames
                    if max(map(sum, frames.spans(len(frames)))) > len(frames.data):
                        raise Refused(NOT_UNDERSTOOD, instance)
        except DicomZarrError:
            raise Refused(NOT_UNDERSTOOD, instance) from None
        if instance is None or NAMELESS in instance.ref or not all(map(_is_uid, (*instance.ref, instance.uid))):
            raise Refused(NOT_UNDERSTOOD)
        return instance

    def _target(self, instance: FileInstance) -> Path:
        """``STUDY/SERIES/INSTANCE.dcm``; links are not followed."""
        folder = self._root
        for name in instance.ref:
            folder /= name
            if folder.is_symlink():
                raise Refused(PROCESSING, instance)
            if not folder.exists():
                folder.mkdir()
                _sync(folder.parent)
        return folder / f"{instance.uid}.dcm"


def remove_unfinished(root: Path) -> None:
    """Remove what a server left behind that was killed while it stored."""
    for path in root.glob(f"{UNFINISHED}*"):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > _FORGOTTEN:
                path.unlink()


class _refusing:  # noqa: N801  # reads as a function
    """Turns what the operating system refuses into what the sender is told."""

    def __init__(self, instance: FileInstance | None = None) -> None:
        self._instance = instance

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, OSError):
            raise Refused(NO_ROOM if error.errno in _FULL else PROCESSING, self._instance) from None


def _is_uid(text: str) -> bool:
    return len(text) <= _LONGEST_UID and _UID.fullmatch(text) is not None


def _same(one: Path, other: Path) -> bool:
    with one.open("rb") as first, other.open("rb") as second:
        while data := first.read(_COMPARED_AT_ONCE):
            if data != second.read(_COMPARED_AT_ONCE):
                return False
        return not second.read(1)


def _sync(folder: Path) -> None:
    """A name lasts when its folder is on the disk; Windows sees to it itself."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Outcome(NamedTuple):
    """What became of one instance that was sent."""

    instance: FileInstance | None
    """None where it could not be told which it is."""
    reason: int = 0
    """Why it is not stored; 0 where it is."""
