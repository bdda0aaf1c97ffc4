"""Files that lie within another: as they are, or deflated."""

from __future__ import annotations

import threading
import zlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakValueDictionary

from dicomzarr.errors import InvalidFileError
from dicomzarr.runtime.pools import FRAME_FILES
from dicomzarr.sources.files.stores.ahead import AheadFile
from dicomzarr.sources.spool import inflated, inflated_start

if TYPE_CHECKING:
    import mmap

    from dicomzarr.sources.files.stores.port import StoredFile

MOST_INFLATED: Final = 8 * 2**30
"""Bytes of one deflated member, and of all that lie inflated on the temporary disk."""

RATIO: Final = 500
ANY_RATIO: Final = 512 * 2**20
"""What inflates to more than so many bytes may not grow more than so many times."""

_BEGINNING: Final = 256 * 2**10
"""Bytes of a compressed file that are inflated anew, in memory, for who looks at its header."""

_CHECKED: Final = 64 * 2**20
_CHECKED_AT_ONCE: Final = 2**20
"""Bytes of the longest member that is compared with its checksum as a whole, and of the pieces that it is read in."""

_SPOOLS: Final = 64
"""Members that lie inflated at most: each takes a file handle."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file that lies as it is within another; it is a `port.StoredFile`."""

    archive: StoredFile
    inner: str
    """Its name there."""
    start: int
    """Offset of its first byte."""
    size: int
    near: bool = field(compare=False)
    checksum: int | None = None
    """CRC-32 of its bytes; None where the archive has none."""

    @property
    def name(self) -> str:
        """See `StoredFile.name`."""
        return f"{self.inner} in {self.archive.name}"

    @property
    def tag(self) -> str:
        """See `StoredFile.tag`."""
        return f"{self.start} {self.archive.size} {self.archive.tag}"

    @property
    def place(self) -> tuple[StoredFile, int]:
        """See `StoredFile.place`."""
        file, offset = self.archive.place
        return file, offset + self.start

    @property
    def url(self) -> str | None:
        """See `StoredFile.url`."""
        return self.archive.url

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, span: slice) -> bytes | memoryview:
        start, stop, _ = span.indices(self.size)
        return self.archive[self.start + start : self.start + max(start, stop)]

    async def read(self, start: int, stop: int) -> bytes | memoryview:
        """See `StoredFile.read`."""
        return await self.archive.read(self.start + start, self.start + stop)

    def check(self) -> None:
        """Compare it with its checksum, where that takes no time beside reading some of it; it may wait for a disk.

        Raises:
            InvalidFileError: It is damaged.
        """
        if self.checksum is None or not self.near or self.size > _CHECKED:
            return
        found = 0
        for start in range(0, self.size, _CHECKED_AT_ONCE):
            found = zlib.crc32(self[start : start + _CHECKED_AT_ONCE], found)
        if found != self.checksum:
            raise damaged(self.name)


def damaged(name: str) -> InvalidFileError:
    """The error for a member that is not what its checksum says."""
    return InvalidFileError(f"{name} is not what the archive says: it is damaged.")


class Inflatable(Protocol):
    """What can lie inflated."""

    def __hash__(self) -> int:
        """Of what it is, and in which state."""

    def inflate(self) -> mmap.mmap:
        """All of it, on the temporary disk."""


class Spools:
    """Files that lie inflated on the temporary disk; those used last, within a bound. Any thread may ask."""

    def __init__(self) -> None:
        self._held: OrderedDict[Inflatable, mmap.mmap] = OrderedDict()
        self._lock = threading.Lock()
        self._inflating: WeakValueDictionary[Inflatable, _Turn] = WeakValueDictionary()
        """Each file is inflated by one thread, for which the others wait."""

    def of(self, file: Inflatable) -> mmap.mmap:
        """A file, inflated unless it lies there.

        Raises:
            InvalidFileError: It is not what its archive says.
            TemporaryFileError: There is no room.
        """
        found = self.lying(file)
        if found is not None:
            return found
        with self._lock:
            turn = self._inflating.setdefault(file, _Turn())
        with turn.lock:
            found = self.lying(file)
            if found is None:
                found = file.inflate()
                self.hold(file, found)
            return found

    def hold(self, file: Inflatable, found: mmap.mmap) -> None:
        """Keep a file that was inflated."""
        with self._lock:
            self._held[file] = found
            while len(self._held) > _SPOOLS or sum(map(len, self._held.values())) > MOST_INFLATED:
                self._held.popitem(last=False)

    def lying(self, file: Inflatable) -> mmap.mmap | None:
        """A file that lies there already."""
        with self._lock:
            found = self._held.get(file)
            if found is not None:
                self._held.move_to_end(file)
            return found


class _Turn:
    """Whose turn it is to inflate a file; it lives as long as somebody waits."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class Unpacked(ABC):
    """What a packed file becomes: a `StoredFile` that lies nowhere as it is."""

    __slots__ = ()
    packed: StoredFile
    size: int
    """Bytes when inflated."""

    @property
    def name(self) -> str:
        """See `StoredFile.name`."""
        return self.packed.name

    @property
    @abstractmethod
    def tag(self) -> str:
        """See `StoredFile.tag`."""

    @property
    def place(self) -> tuple[StoredFile, int]:
        """See `StoredFile.place`: it lies nowhere as it is."""
        return self, 0

    @property
    def url(self) -> str | None:
        """See `StoredFile.url`."""
        return None

    def __len__(self) -> int:
        return self.size

    @abstractmethod
    def __getitem__(self, span: slice) -> bytes | memoryview:
        """See `StoredFile`; in a thread that may wait."""

    async def read(self, start: int, stop: int) -> bytes | memoryview:
        """See `StoredFile.read`."""
        return await FRAME_FILES.run(self.__getitem__, slice(start, stop))


class Compressed(Unpacked):
    """One whose beginning is had without the rest."""

    __slots__ = ()

    @abstractmethod
    def beginning(self, stop: int) -> bytes:
        """Its first bytes, up to an offset, inflated in memory; nothing is compared with a checksum.

        Raises:
            InvalidFileError: It is damaged.
            TruncatedFileError: It ends early.
        """


@dataclass(frozen=True, slots=True)
class Deflated(Compressed):
    """A file that is deflated within another: all of it is inflated, and compared with its checksum, when it is read.

    For who looks at its header there is `beginning_of`.
    """

    packed: Member
    size: int
    """Bytes when inflated."""
    checksum: int
    """CRC-32 of them."""
    spools: Spools = field(compare=False)

    @property
    def tag(self) -> str:
        """See `StoredFile.tag`."""
        return f"{self.checksum} {self.packed.tag}"

    def __getitem__(self, span: slice) -> bytes | memoryview:
        start, stop, _ = span.indices(self.size)
        return memoryview(self.spools.of(self))[start:stop] if start < stop else b""

    def inflate(self) -> mmap.mmap:
        """All of it, on the temporary disk.

        Raises:
            InvalidFileError: It is not what its archive says.
            TemporaryFileError: There is no room.
        """
        found = inflated(self.ahead(), 0, self.name, self.size)
        if len(found) != self.size or zlib.crc32(found) != self.checksum:
            raise damaged(self.name)
        return found

    def ahead(self) -> AheadFile:
        """What it is inflated from."""
        return AheadFile(self.packed, near=self.packed.near)

    def beginning(self, stop: int) -> bytes:
        """See `Compressed.beginning`."""
        return inflated_start(self.ahead(), stop, self.name)


@dataclass(frozen=True, slots=True)
class _Beginning(Unpacked):
    """The same, of which no more is inflated than somebody looks at; so nothing is compared with the checksum."""

    packed: Compressed

    @property
    def size(self) -> int:  # type: ignore[override]  # it is never set
        """Bytes of the whole file."""
        return self.packed.size

    @property
    def tag(self) -> str:
        """See `StoredFile.tag`."""
        return self.packed.tag

    def __getitem__(self, span: slice) -> bytes | memoryview:
        start, stop, _ = span.indices(self.size)
        if stop > _BEGINNING:
            return self.packed[start:stop]
        return self.packed.beginning(stop)[start:stop] if start < stop else b""


def beginning_of(file: StoredFile) -> StoredFile:
    """A file for who looks at its header, and shows no pixels by it: frames are read out of the file itself."""
    return _Beginning(file) if isinstance(file, Compressed) else file
