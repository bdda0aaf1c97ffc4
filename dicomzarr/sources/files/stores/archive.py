"""Files in an archive that lies in a place itself: zip, tar, tar.gz, gz. Nothing is unpacked to where its name says."""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections import Counter
from collections.abc import Mapping  # noqa: TC003  # msgspec reads the types
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import msgspec

from dicomzarr.errors import InvalidFileError
from dicomzarr.sources.files.stores.ahead import AheadStream
from dicomzarr.sources.files.stores.gzipped import Gunzipped, is_gzip
from dicomzarr.sources.files.stores.members import ANY_RATIO, MOST_INFLATED, RATIO, Deflated, Member, Spools
from dicomzarr.sources.files.stores.port import LeftOut, Listing, begun

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dicomzarr.options import Tuning
    from dicomzarr.sources.files.index_file import IndexFile
    from dicomzarr.sources.files.stores.port import ByteStore, StoredFile

_MOST_MEMBERS: Final = 1 << 20
ENDINGS: Final[Mapping[str, str]] = {
    ".zip": "zip",
    ".tar": "tar",
    ".tar.gz": "tar.gz",
    ".tgz": "tar.gz",
    ".gz": "gz",
    **dict.fromkeys((".bz2", ".xz", ".zst", ".tbz2", ".txz", ".7z", ".rar"), "unread"),
}
"""The kinds of archives and compressed files, by how their names end; the first ending that fits counts."""

_LOCAL_HEADER: Final = 30
_END, _END_64, _LONGEST_COMMENT, _MANY = 22, 76, 0xFFFF, 0xFFFF
"""Of a zip: bytes of the record at its end, of those of Zip64 before it, of its comment; and what counts no more."""

_MOST_PADDING: Final = 2**20
"""Bytes behind the end of a tar that may be none but zeros, and are looked at."""

_AT_ONCE: Final = 256
_ENCRYPTED: Final = 1
_CLIMBING: Final = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z]:|\0")


def kind_of(name: str) -> str | None:
    """The kind in `ENDINGS` of what has a name; None where it is called as no archive."""
    return next((kind for end, kind in ENDINGS.items() if name.lower().endswith(end)), None)


def is_packed(name: str, file: StoredFile) -> bool:
    """Whether a file is called as an archive or compressed file, and is read as it is."""
    return kind_of(name) is not None and not isinstance(file, Gunzipped)


class Archive:
    """The files in a zip or tar, or the one that gzip compressed; it is a `port.ByteStore`.

    Args:
        outer: The place of the archive, which holds nothing else; a folder of that name is a folder.
        kind: One of those in `ENDINGS`.
        kept: Keeps what is in it.
    """

    def __init__(self, outer: ByteStore, kind: str, kept: IndexFile | None = None) -> None:
        self._outer = outer
        self._kept = kept
        self._kind = kind
        self._spools = Spools()
        self._known: tuple[StoredFile, Listing] | None = None

    @property
    def where(self) -> str:
        """See `ByteStore.where`."""
        return self._outer.where

    @property
    def near(self) -> bool:
        """See `ByteStore.near`."""
        return self._outer.near

    def files(self) -> Listing:
        """See `ByteStore.files`; of an archive that has not changed what was found before.

        Raises:
            InvalidFileError: It is no archive, or a broken one.
        """
        listing = self._outer.files()
        if len(listing.files) != 1 or next(iter(listing.files)).rpartition("/")[2] != self.where.rpartition("/")[2]:
            return listing
        (archive,) = listing.files.values()
        if self._known is None or self._known[0] != archive:
            try:
                self._known = archive, self._restored(archive) or self._listed(archive)
            except (zipfile.BadZipFile, tarfile.TarError, ValueError, NotImplementedError, EOFError) as error:
                kind = type(error).__name__
                raise InvalidFileError(f"{archive.name} cannot be read as an archive ({kind}).") from None
        return self._known[1]

    def _listed(self, packed: StoredFile) -> Listing:
        archive = packed
        if self._kind == "unread":
            raise InvalidFileError(
                f"{archive.name} is packed in a way that is not read.",
                remedy="Unpack it, or pack the files as zip, tar or tar.gz.",
            )
        if self._kind == "gz":
            archive = archive.packed if isinstance(archive, Gunzipped) else archive
            if is_gzip(archive):  # of several members only all of it tells how long it is
                archive = Gunzipped.measured(archive, self._spools, near=self.near)
            return Listing({self.where.rpartition("/")[2]: archive}, {})
        size = None
        if self._kind == "tar.gz":
            archive = whole = Gunzipped.measured(archive, self._spools, near=self.near)
            size = whole.size
        listing = self._zip(archive) if self._kind == "zip" else self._tar(archive)
        if self._kept is not None:
            members = [_row(name, file) for name, file in listing.files.items()]
            body = msgspec.json.encode(_Kept(members, listing.left_out, size, listing.notices))
            self._kept.keep_archive(archive.name, packed.size, packed.tag, body)
        return listing

    def _restored(self, archive: StoredFile) -> Listing | None:
        """What was found in it before."""
        body = None if self._kept is None else self._kept.archive(archive.name, archive.size, archive.tag)
        if body is None:
            return None
        kept = msgspec.json.decode(body, type=_Kept)
        if kept.size is not None:
            archive = Gunzipped(archive, kept.size, self.near, self._spools)
        return Listing({row.name: self._member(archive, row) for row in kept.members}, kept.left_out, kept.notices)

    def _member(self, archive: StoredFile, row: _Row) -> StoredFile:
        own = row.checksum if row.size is None else None
        packed = Member(archive, row.name, row.start, row.packed, self.near, own)
        return packed if row.size is None else Deflated(packed, row.size, row.checksum or 0, self._spools)

    def pace(self) -> tuple[float, int]:
        """See `ByteStore.pace`."""
        return self._outer.pace()

    def tune(self, tuning: Tuning, timeout: float) -> None:
        """See `SeriesSource.tune`."""
        self._outer.tune(tuning, timeout)

    def close(self) -> None:
        """See `ByteStore.close`."""
        self._outer.close()

    def _zip(self, archive: StoredFile) -> Listing:
        stream = AheadStream(archive, near=self.near)
        told = _count_told(stream, archive.size)
        with zipfile.ZipFile(stream) as opened:
            infos = opened.infolist()
        notices = _miscounted(len(infos), told)
        infos = [info for info in infos if not info.is_dir()]
        _check_count(archive, len(infos))
        infos.sort(key=lambda info: info.header_offset)
        left_out = {info.filename: reason for info in infos if (reason := _zip_trouble(info)) is not None}
        for one, following in pairwise(infos):  # members that share bytes make a bomb of a small file
            if one.header_offset + _LOCAL_HEADER + one.compress_size > following.header_offset:
                left_out[one.filename] = left_out[following.filename] = LeftOut.BOMB
        files = _Named()
        wanted = [info for info in infos if info.filename not in left_out]
        for info, header in zip(wanted, _local_headers(archive, wanted, near=self.near), strict=True):
            member = _zip_member(archive, header, info, near=self.near)
            if member is None:
                left_out[info.filename] = LeftOut.BROKEN
            elif info.compress_type == zipfile.ZIP_STORED:
                files.add(info.filename, member)
            else:
                files.add(info.filename, Deflated(member, info.file_size, info.CRC, self._spools))
        return Listing(dict(sorted(files.items())), left_out, notices)

    def _tar(self, archive: StoredFile) -> Listing:
        files, left_out, notices = _Named(), dict[str, LeftOut](), list[str]()
        for count, info in enumerate(_tar_members(archive, notices, near=self.near)):
            _check_count(archive, count)
            if _CLIMBING.search(info.name):
                left_out[info.name] = LeftOut.CLIMBING
            elif info.issym() or info.islnk():
                left_out[info.name] = LeftOut.LINKED
            elif info.issparse():
                left_out[info.name] = LeftOut.PACKED
            elif info.isreg():
                if info.offset_data + info.size > archive.size:
                    left_out[info.name] = LeftOut.BROKEN
                else:
                    files.add(info.name, Member(archive, info.name, info.offset_data, info.size, self.near))
        return Listing(dict(sorted(files.items())), left_out, tuple(notices))


class _Named(dict[str, "StoredFile"]):
    """Members by name; of several of one name, the last has it, as when they are unpacked, and none is lost."""

    def __init__(self) -> None:
        super().__init__()
        self._doubled = Counter[str]()

    def add(self, name: str, file: StoredFile) -> None:
        """Add a member behind those that are there."""
        if name in self:
            other = name
            while other in self:
                self._doubled[name] += 1
                other = f"{name} ({self._doubled[name]})"
            self[other] = self[name]
        self[name] = file


class _Row(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of a member."""

    name: str
    start: int
    packed: int
    """Bytes in the archive."""
    size: int | None = None
    """Bytes when inflated; None where it lies as it is."""
    checksum: int | None = None


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of an archive."""

    members: list[_Row]
    left_out: Mapping[str, LeftOut]
    size: int | None = None
    """Bytes when inflated, of one that is compressed as a whole."""
    notices: tuple[str, ...] = ()


def _row(name: str, file: StoredFile) -> _Row:
    if isinstance(file, Deflated):
        return _Row(name, file.packed.start, file.packed.size, file.size, file.checksum)
    assert isinstance(file, Member)  # noqa: S101  # there are no others
    return _Row(name, file.start, file.size, None, file.checksum)


def _check_count(archive: StoredFile, count: int) -> None:
    if count > _MOST_MEMBERS:
        raise InvalidFileError(f"{archive.name} holds more than {_MOST_MEMBERS} files.")


def _zip_trouble(info: zipfile.ZipInfo) -> LeftOut | None:
    if _CLIMBING.search(info.filename):
        return LeftOut.CLIMBING
    if info.flag_bits & _ENCRYPTED:
        return LeftOut.ENCRYPTED
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        return LeftOut.PACKED
    grows = info.file_size > ANY_RATIO and info.file_size > RATIO * info.compress_size
    if info.compress_type == zipfile.ZIP_DEFLATED and (grows or info.file_size > MOST_INFLATED):
        return LeftOut.BOMB
    return None


def _count_told(stream: AheadStream, size: int) -> int | None:
    """How many entries a zip has, by the record at its end (APPNOTE 4.3.14 and 4.3.16); None where it tells nothing."""
    for length in (_END, _END + _LONGEST_COMMENT):  # without a comment, as most are, and with one
        start = max(0, size - length)
        stream.seek(start)
        at = stream.read(length).rfind(b"PK\x05\x06")
        if at >= 0:
            break
    else:
        return None
    at += start
    start = max(0, at - _END_64)
    stream.seek(start)
    ends = stream.read(at + _END - start)
    count = int.from_bytes(ends[at - start + 10 :][:2], "little")
    if count == _MANY and ends.startswith(b"PK\x06\x06"):
        return int.from_bytes(ends[32:40], "little")
    return count


def _miscounted(found: int, told: int | None) -> tuple[str, ...]:
    """That the list of a zip is shorter or longer than its end says, which zipfile does not compare."""
    if told is None or told in {found, found & _MANY}:  # writers without Zip64 count so
        return ()
    return (f"The list of the archive is damaged: it names {found} of {told} members. What it does not name is lost.",)


def _local_headers(archive: StoredFile, infos: Sequence[zipfile.ZipInfo], *, near: bool) -> Iterator[bytes]:
    """What stands before each member; from afar many at once."""
    spans = [(info.header_offset, info.header_offset + _LOCAL_HEADER) for info in infos]
    for first in range(0, len(spans), _AT_ONCE):
        some = spans[first : first + _AT_ONCE]
        if near:
            yield from (bytes(archive[start:stop]) for start, stop in some)
        else:
            coming = [begun(archive, start, stop, near=False) for start, stop in some]
            yield from (bytes(each.result()) for each in coming)


def _zip_member(archive: StoredFile, header: bytes, info: zipfile.ZipInfo, *, near: bool) -> Member | None:
    """Where the bytes of a member lie, which its own header tells; None where that is broken (APPNOTE 4.3.7)."""
    if len(header) < _LOCAL_HEADER or not header.startswith(b"PK\x03\x04"):
        return None
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    start = info.header_offset + _LOCAL_HEADER + names
    if start + info.compress_size > archive.size:
        return None
    if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        return None
    checksum = info.CRC if info.compress_type == zipfile.ZIP_STORED else None
    return Member(archive, info.filename, start, info.compress_size, near, checksum)


def _tar_members(archive: StoredFile, notices: list[str], *, near: bool) -> Iterator[tarfile.TarInfo]:
    """The members of a tar; at last what is to be said of its end is among the notices."""
    with tarfile.open(fileobj=AheadStream(archive, near=near), mode="r:") as opened:
        end = 0
        while (info := opened.next()) is not None:
            if info.offset_data <= end or info.size < 0:  # a negative size leads back
                raise _broken(archive, info.offset)
            end = info.offset_data
            opened.members = []  # type: ignore[attr-defined]  # tarfile would keep them all
            yield info
        at = opened.offset
    rest = archive[at : at + _MOST_PADDING + 1]
    if any(rest[: tarfile.BLOCKSIZE]):  # tarfile takes what is no header for the end
        raise _broken(archive, at)
    if not rest:
        notices.append("The archive has no end: members that followed may be lost.")
    elif len(rest) > _MOST_PADDING or any(rest):
        notices.append(f"What lies behind the end of the archive, at byte {at}, is not read: it may hold members.")


def _broken(archive: StoredFile, at: int) -> InvalidFileError:
    return InvalidFileError(f"{archive.name} is broken at byte {at}: members that follow are lost.")
