"""What is in a folder: its DICOM instances by series, and what was left out."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from dicomzarr.errors import FileError, InvalidFileError, MissingFileError, UnreadableFileError
from dicomzarr.sources.files.instance import FileInstance, is_dicom, read_instance
from dicomzarr.sources.files.pinned_file import PinnedFile, pinned, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dicomzarr.engine.ports import SeriesRef

_BESIDE: Final = "."

_MOST_NAMED: Final = 5
"""Files that one notice names."""


class LeftOut(StrEnum):
    """Why a file is no part of any series, as a notice says it."""

    NO_DICOM = "no DICOM"
    BROKEN = "broken DICOM"
    UNREADABLE = "not readable"
    OUTSIDE = "links to files outside the folder"
    DOUBLED = "further files of an instance that is there already"


class _File(NamedTuple):
    state: PinnedFile | None
    """None where it was not read."""
    found: FileInstance | LeftOut | None
    """None for what is of no interest, as a DICOMDIR."""


@dataclass(frozen=True, slots=True, eq=False)
class FolderIndex:
    """The instances of a folder, or of one file, as they were found."""

    root: Path
    series: Mapping[SeriesRef, Mapping[str, FileInstance]]
    """By SOP Instance UID, in the order of their paths."""
    notices: tuple[str, ...]
    """What was left out, and why."""
    files: Mapping[Path, _File]

    def state(self, ref: SeriesRef) -> str:
        """Tells whether a series is in the same files as at another time, and these have not changed."""
        files = (each.file for each in self.series[ref].values())
        return _digest(f"{file.path}\t{file.size}\t{file.modified}\t{file.changed}" for file in files)

    def etag(self, ref: SeriesRef) -> str:
        """The state of a series, and whether other files were left out than at another time."""
        return f"{self.state(ref)}{_BESIDE}{_digest(self.notices)}"


def state_in(etag: str | None) -> str:
    """The state of a series in what `FolderIndex.etag` gave."""
    return (etag or "").partition(_BESIDE)[0]


def _digest(lines: Iterable[str]) -> str:
    return sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def look_through(root: Path, before: FolderIndex | None = None) -> FolderIndex:
    """Read the headers of all files below a folder, or of one file; waits for the disk.

    Args:
        root: The folder or file.
        before: What was found there before: files of the same size and date are not read again.

    Raises:
        MissingFileError: There is nothing of this name.
        UnreadableFileError: The operating system does not give what may be a series, and there is no other.
    """
    _refuse_missing(root)
    known = {} if before is None else before.files
    inside = root.resolve()
    files = {path: _looked_at(path, inside, known.get(path)) for path in _paths(root)}
    series: dict[SeriesRef, dict[str, FileInstance]] = defaultdict(dict)
    left_out: dict[LeftOut, list[str]] = {reason: [] for reason in LeftOut}
    for path, (_, found) in files.items():
        if isinstance(found, LeftOut):
            left_out[found].append(_name(path, root))
        elif found is not None and series[found.ref].setdefault(found.uid, found) is not found:
            left_out[LeftOut.DOUBLED].append(_name(path, root))
    notices = {reason: _notice(reason, names) for reason, names in left_out.items() if names}
    if not series and LeftOut.UNREADABLE in notices:
        raise UnreadableFileError(f"Nothing was found in {root}: {notices[LeftOut.UNREADABLE]}")
    return FolderIndex(root, dict(series), tuple(notices.values()), files)


def _refuse_missing(root: Path) -> None:
    try:
        root.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # no name holds a NUL
        raise MissingFileError(
            f"There is no file or folder {root}.", remedy="Check the path; a URL needs a scheme, as dicomwebs://."
        ) from None
    except OSError as error:
        raise unreadable(root, error) from None


def _paths(root: Path) -> Iterator[Path]:
    """Files in the order of their names; folders are not followed where they are links."""
    if not root.is_dir():
        yield root
        return
    unreadable: list[OSError] = []
    for folder, folders, names in os.walk(root, onerror=unreadable.append):
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names))
    yield from (Path(error.filename) for error in unreadable)


def _looked_at(path: Path, inside: Path, before: _File | None) -> _File:
    try:
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            return _File(None, LeftOut.OUTSIDE)
        file = pinned(path)
        if file is None:
            return _File(None, LeftOut.UNREADABLE if path.is_dir() else LeftOut.NO_DICOM)
        if before is not None and before.state == file:
            return before
        return _File(file, read_instance(file) if is_dicom(file) else _no_dicom(path))
    except InvalidFileError:
        return _File(file, LeftOut.BROKEN)
    except (FileError, OSError, RuntimeError):  # a link to itself
        return _File(None, LeftOut.UNREADABLE)


def _no_dicom(path: Path) -> LeftOut | None:
    return None if path.name.upper() == "DICOMDIR" else LeftOut.NO_DICOM


def _name(path: Path, root: Path) -> str:
    """As text: the bytes of a name need be none."""
    name = path.name if path == root else str(path.relative_to(root))
    return name.encode("utf-8", "backslashreplace").decode()


def _notice(reason: LeftOut, names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    count = "1 file was" if len(names) == 1 else f"{len(names)} files were"
    return f"{count} left out ({reason}): {', '.join(names[:_MOST_NAMED])}{more}."
