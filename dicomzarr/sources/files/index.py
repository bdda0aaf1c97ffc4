"""What is in a place of files: its DICOM instances by series, and what was left out."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from dicomzarr.dicom.notices import files_left_out
from dicomzarr.engine.ports import SeriesRef
from dicomzarr.errors import DicomZarrError, FileError, InvalidFileError, ServerError, UnreadableFileError
from dicomzarr.runtime.collection import without_collection
from dicomzarr.sources.files.heads import Head, read_heads
from dicomzarr.sources.files.index_file import NAME, FileRow
from dicomzarr.sources.files.instance import FileInstance, is_cut_off, is_dicom, is_directory, read_instance
from dicomzarr.sources.files.stores.archive import is_packed
from dicomzarr.sources.files.stores.port import LeftOut

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dicomzarr.sources.files.index_file import IndexFile
    from dicomzarr.sources.files.instance import Kept
    from dicomzarr.sources.files.stores.port import ByteStore, Listing, StoredFile

_BESIDE: Final = "."

UNFINISHED: Final = ".dicomzarr-unfinished-"
"""How the names of files begin that we are writing still; they are nobody's."""

_OF_CACHE: Final = re.compile(r"dicomzarr-(?:secret|[0-9a-f]{16}(?:\.new|-.*))")
"""Names of files in a ``cache_dir``, which may lie within the place; `disk.place` gives them."""

_KEPT_AT_ONCE: Final = 512


class _Found(NamedTuple):
    file: StoredFile
    found: FileInstance | LeftOut | None
    """None for what is of no interest, as a DICOMDIR."""


@dataclass(frozen=True, slots=True, eq=False)
class FolderIndex:
    """The instances of a place, as they were found."""

    series: Mapping[SeriesRef, Mapping[str, FileInstance]]
    """By SOP Instance UID, in the order of their names."""
    notices: tuple[str, ...]
    """What was left out, and why."""
    files: Mapping[str, _Found]
    """By name."""
    _states: dict[SeriesRef, str] = field(default_factory=dict)

    def state(self, ref: SeriesRef) -> str:
        """Tells whether a series is in the same files as at another time, and these have not changed."""
        if ref not in self._states:
            files = (each.file for each in self.series[ref].values())
            self._states[ref] = _digest(f"{file.name}\t{file.size}\t{file.tag}" for file in files)
        return self._states[ref]

    def etag(self, ref: SeriesRef) -> str:
        """The state of a series, and whether other files were left out than at another time."""
        return f"{self.state(ref)}{_BESIDE}{_digest(self.notices)}"


def state_in(etag: str | None) -> str:
    """The state of a series in what `FolderIndex.etag` gave."""
    return (etag or "").partition(_BESIDE)[0]


def _digest(lines: Iterable[str]) -> str:
    return sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def look_through(store: ByteStore, kept: IndexFile, before: FolderIndex | None = None) -> FolderIndex:
    """Read the headers of all files of a place; waits for it.

    Args:
        store: The place.
        kept: What was found there by others, or at another time: files in the same state are not read again.
        before: As above, by this process.

    Raises:
        FileError: There is no such place, or nothing in it can be read.
        ServerError: It cannot be asked.
    """
    listing = store.files()
    files = {name: file for name, file in listing.files.items() if not _is_ours(name.rpartition("/")[2])}
    known = dict(before.files) if before is not None else _restored(files, kept, near=store.near)
    gone = known.keys() - files.keys()
    found = {
        name: known[name]
        for name, file in files.items()
        if name in known and known[name].file == file and known[name].found is not LeftOut.UNREADABLE
    }
    new = {name: file for name, file in files.items() if name not in found}
    for some in _read(new, None if store.near else kept):
        found.update((name, each) for name, each, _ in some)
        lasting = (each for each in some if each[1].found is not LeftOut.UNREADABLE)
        kept.keep([(_row(name, each), None if head is None else head.packed) for name, each, head in lasting])
    kept.remove(gone)
    return _sorted({name: found[name] for name in files}, listing)


def _is_ours(name: str) -> bool:
    return NAME in name or name.startswith(UNFINISHED) or _OF_CACHE.fullmatch(name) is not None


def _sorted(files: Mapping[str, _Found], listing: Listing) -> FolderIndex:
    series: dict[SeriesRef, dict[str, FileInstance]] = defaultdict(dict)
    holding: dict[tuple[SeriesRef, str], dict[str, FileInstance]] = {}
    reasons: dict[LeftOut, list[str]] = {reason: [] for reason in LeftOut}
    for name, reason in listing.left_out.items():
        reasons[reason].append(name)
    for name, (file, found) in files.items():
        if isinstance(found, LeftOut):
            is_archive = found is LeftOut.NO_DICOM and is_packed(name, file)
            reasons[LeftOut.ARCHIVE if is_archive else found].append(name)
        elif found is not None:
            holding.setdefault((found.ref, found.uid), {})[name] = found
    for (ref, uid), by_name in holding.items():
        shown = series[ref][uid] = _shown_of(list(by_name.values()))
        for name, each in by_name.items():
            if each is not shown:
                alike = (each.told, each.file.size) == (shown.told, shown.file.size)
                reasons[LeftOut.DOUBLED if alike else LeftOut.DIFFERING].append(name)
    notices = {
        reason: files_left_out(reason, sorted(names), "folder" if reason is LeftOut.FOLDER else "file")
        for reason, names in reasons.items()
        if names
    }
    if not series and LeftOut.UNREADABLE in notices:
        raise UnreadableFileError(f"There is no DICOM that can be read. {notices[LeftOut.UNREADABLE]}")
    return FolderIndex(dict(series), (*notices.values(), *listing.notices), files)


def _shown_of(copies: Sequence[FileInstance]) -> FileInstance:
    """The file of an instance that is read: the first by name, unless that is cut off and a longer one is not."""
    first, *others = copies
    longer = [each for each in others if each.file.size > first.file.size]
    if not (longer and is_cut_off(first)):
        return first
    return next((each for each in longer if not is_cut_off(each)), first)


# --- what is kept ---


@without_collection
def _restored(files: Mapping[str, StoredFile], kept: IndexFile, *, near: bool) -> dict[str, _Found]:
    found = {}
    for row in kept.rows():
        file = files.get(row.name)
        if file is not None and (file.size, file.tag) == (row.size, row.tag):
            found[row.name] = _Found(file, _of_row(row, file, None if near else _InIndex(kept, row.name, file)))
    return found


def _of_row(row: FileRow, file: StoredFile, kept: Kept | None) -> FileInstance | LeftOut | None:
    if row.left_out is not None or row.uids is None:
        return LeftOut(row.left_out) if row.left_out else None
    study, series, uid = row.uids
    return FileInstance(file, SeriesRef(study, series), uid, row.shown, kept)


@dataclass(slots=True)
class _InIndex:
    """What the index keeps of a file; it is an `instance.Kept`."""

    index: IndexFile
    name: str
    file: StoredFile
    read_again: Head | None = None

    def head(self) -> Head:
        """See `Kept.head`; where the index has lost it, it is read again.

        Raises:
            FileError: It cannot be read.
            ServerError: It cannot be had.
        """
        packed = self.index.head(self.name, self.file.tag)
        if packed is not None:
            return Head(packed)
        if self.read_again is None:
            ((_, found),) = read_heads([self.file])
            if isinstance(found, DicomZarrError):
                raise found
            if isinstance(found, LeftOut):
                raise InvalidFileError(f"{self.file.name} is {found}.")
            self.read_again = found
            self.index.keep_head(self.name, self.file.tag, found.packed)
        return self.read_again

    def bounds(self) -> array[int] | None:
        return self.index.bounds(self.name, self.file.tag)

    def keep_bounds(self, bounds: array[int]) -> None:
        self.index.keep_bounds(self.name, self.file.tag, bounds)


@dataclass(slots=True)
class _InMemory:
    """The same without an index."""

    beginning: Head
    places: array[int] | None = None

    def head(self) -> Head:
        return self.beginning

    def bounds(self) -> array[int] | None:
        return self.places

    def keep_bounds(self, bounds: array[int]) -> None:
        self.places = bounds


def _row(name: str, found: _Found) -> FileRow:
    what = found.found
    if isinstance(what, FileInstance):
        return FileRow(name, found.file.size, found.file.tag, None, (*what.ref, what.uid), what.told)
    return FileRow(name, found.file.size, found.file.tag, str(what or ""), None, b"")


# --- what is read ---

_Read = list[tuple[str, _Found, Head | None]]


def _read(new: Mapping[str, StoredFile], far: IndexFile | None) -> Iterator[_Read]:
    names = list(new)
    for first in range(0, len(names), _KEPT_AT_ONCE):
        some = names[first : first + _KEPT_AT_ONCE]
        if far is None:
            yield [(name, _Found(new[name], _looked_at(name, new[name])), None) for name in some]
        else:
            yield list(_far({new[name]: name for name in some}, far))


def _looked_at(name: str, file: StoredFile) -> FileInstance | LeftOut | None:
    try:
        if is_directory(name):
            return None
        return read_instance(file) if is_dicom(file) else LeftOut.NO_DICOM
    except InvalidFileError:
        return LeftOut.BROKEN
    except (FileError, OSError):
        return LeftOut.UNREADABLE


def _far(names: Mapping[StoredFile, str], kept: IndexFile) -> Iterator[tuple[str, _Found, Head | None]]:
    wanted = [file for file, name in names.items() if not is_directory(name)]
    yield from ((name, _Found(file, None), None) for file, name in names.items() if is_directory(name))
    failures: list[DicomZarrError] = []
    for file, beginning in read_heads(wanted):
        name = names[file]
        if isinstance(beginning, LeftOut):
            yield name, _Found(file, beginning), None
            continue
        if isinstance(beginning, DicomZarrError):
            failures.append(beginning)
            if len(failures) == len(wanted) and isinstance(beginning, ServerError):
                raise beginning  # nothing can be had at all
            yield name, _Found(file, _failed(beginning)), None
            continue
        try:
            found = read_instance(file, beginning.pieces(file.size))
        except DicomZarrError as error:
            yield name, _Found(file, _failed(error)), None
            continue
        if found is not None:
            held: Kept = _InIndex(kept, name, file) if kept.keeps else _InMemory(beginning)
            found = msgspec.structs.replace(found, kept=held)
        yield name, _Found(file, found), beginning


def _failed(error: DicomZarrError) -> LeftOut:
    return LeftOut.BROKEN if isinstance(error, InvalidFileError) else LeftOut.UNREADABLE
