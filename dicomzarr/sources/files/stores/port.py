"""What a place of files must offer: their names with size and state, and any range of their bytes."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from enum import StrEnum
from secrets import token_hex
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from dicomzarr.runtime.home_loop import home_loop, refuse_running

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.options import Tuning


class LeftOut(StrEnum):
    """Why a file is no part of any series, as a notice says it."""

    NO_DICOM = "no DICOM"
    BROKEN = "broken DICOM"
    UNREADABLE = "not readable"
    OUTSIDE = "links to files outside the folder"
    FOLDER = "links to folders outside the folder"
    CLIMBING = "names that lead out of the archive"
    LINKED = "links in an archive"
    ARCHIVE = "archives and compressed files, which are not looked into"
    ENCRYPTED = "encrypted"
    PACKED = "packed in a way that cannot be read"
    BOMB = "inflated beyond all reason"
    DOUBLED = "further files of an instance that is there already"
    DIFFERING = "further files of an instance that is there already, and which differ from it"


_UNTOLD: Final = "untold "


def untold() -> str:
    """A tag for a file whose state nobody tells: another listing has another one, so nothing that is kept fits."""
    return f"{_UNTOLD}{token_hex(8)}"


def is_told(tag: str) -> bool:
    """Whether a tag tells the state of a file."""
    return not tag.startswith(_UNTOLD)


class StoredFile(Protocol):
    """A file in the state in which it was listed; in another it is not read.

    It is a `dicom.files.random_access.RandomAccess` for all threads but that of the home loop. Two are equal when they
    are the same file in the same state.
    """

    @property
    def name(self) -> str:
        """What it is, for messages."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def tag(self) -> str:
        """Tells its state: a changed file has another one, or another size; see `untold`."""

    @property
    def place(self) -> tuple[StoredFile, int]:
        """The file that its bytes lie in, and the offset there; itself and 0, unless it lies as it is in another."""

    @property
    def url(self) -> str | None:
        """The URL by which others read ``place``; None where they cannot."""

    def __len__(self) -> int:
        """Bytes."""

    def __getitem__(self, span: slice, /) -> bytes | memoryview:
        """Bytes of the file as it was found.

        Raises:
            ChangedFileError: It is gone, or in another state.
            UnreadableFileError: They cannot be had.
            ServerError: As above, from a server.
        """

    async def read(self, start: int, stop: int) -> bytes | memoryview:
        """The same for the home loop."""


class Listing(NamedTuple):
    """What there is."""

    files: Mapping[str, StoredFile]
    """By the name within the place, in the order of names."""
    left_out: Mapping[str, LeftOut]
    """What is no file that can be read."""
    notices: tuple[str, ...] = ()
    """What else is to be said of the place, in sentences that name no file."""


def empty_files(sizes: Mapping[str, int]) -> dict[str, LeftOut]:
    """Of the names of objects and their bytes, those that hold none: no DICOM, unless they stand for folders."""
    folders = set[str]()
    for name, size in sizes.items():
        above = name.rpartition("/")[0]
        while size and above and above not in folders:
            folders.add(above)
            above = above.rpartition("/")[0]
    empty = (name for name, size in sizes.items() if not size and name and not name.endswith("/"))
    return {name: LeftOut.NO_DICOM for name in empty if name not in folders}


class ByteStore(Protocol):
    """A place of files. Making one does no I/O."""

    @property
    def where(self) -> str:
        """What it is, for messages."""

    @property
    def near(self) -> bool:
        """Whether reading costs no round trip."""

    def files(self) -> Listing:
        """All files as they are now; from any thread but that of the home loop.

        Raises:
            MissingFileError: There is nothing of this name.
            FileError: It is no place of files.
            ServerError: It cannot be asked.
        """

    def pace(self) -> tuple[float, int]:
        """Seconds that a read usually takes, and bytes that come in that time."""

    def tune(self, tuning: Tuning, timeout: float) -> None:
        """See `SeriesSource.tune`."""

    def close(self) -> None:
        """Let go of connections."""


def begun(file: StoredFile, start: int, stop: int, *, near: bool) -> Future[bytes | memoryview]:
    """Begin to read a range; from any thread but that of the home loop. What is near is read here and now.

    Raises:
        FileError: It is near, and cannot be read.
    """
    if near:  # no pool is asked: whoever inflates a file is in one, and threads that wait for their own pool never end
        read: Future[bytes | memoryview] = Future()
        read.set_result(file[start:stop])
        return read
    return asyncio.run_coroutine_threadsafe(file.read(start, stop), home_loop())


def read_now(file: StoredFile, span: slice) -> bytes | memoryview:
    """What ``file[span]`` gives of a file that the home loop reads; from any other thread."""
    start, stop, _ = span.indices(file.size)
    refuse_running(home_loop())
    return begun(file, start, max(start, stop), near=False).result()
