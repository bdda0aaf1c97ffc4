"""One instance in a file: who it is, what its header says, where its frames lie."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from dicomzarr.dicom.files.data_set import attributes, binary_value, data_set_header, encoded_attributes
from dicomzarr.dicom.files.deflated import InflatedWindow
from dicomzarr.dicom.files.elements import UNDEFINED, elements
from dicomzarr.dicom.files.excerpt import LONGEST_VALUE
from dicomzarr.dicom.files.file_meta import ENOUGH, read_file_meta
from dicomzarr.dicom.files.file_meta import is_dicom as begins_as_dicom
from dicomzarr.dicom.files.part10 import find_frames, is_whole, locate_frames
from dicomzarr.dicom.files.random_access import NeededError, Window
from dicomzarr.dicom.model.plain_json import first_text
from dicomzarr.engine.ports import SeriesRef
from dicomzarr.errors import DicomZarrError, InvalidFileError
from dicomzarr.sources.files.distant import frames_in
from dicomzarr.sources.files.stores.members import Member, beginning_of
from dicomzarr.sources.spool import inflated

if TYPE_CHECKING:
    from array import array
    from collections.abc import Mapping

    from dicomzarr.dicom.files.data_set import DataSetHeader
    from dicomzarr.dicom.files.part10 import StoredFrames
    from dicomzarr.dicom.files.random_access import Pieces, RandomAccess
    from dicomzarr.sources.files.heads import Head
    from dicomzarr.sources.files.stores.port import StoredFile

STUDY: Final = "0020000D"
SERIES: Final = "0020000E"
INSTANCE: Final = "00080018"

NAMELESS: Final = "0"
"""Stands for the UID of a study or a series that files with pixels do not name: those of a folder are one."""

SHOWN: Final = frozenset(
    {
        *("00080005", "00080008", "00080016", INSTANCE, "00080020", "00080030", "00080050", "00080060", "00080070"),
        *("00080090", "00081010", "00081030", "0008103E", "00100010", "00100020", "00100030", "00100040", "00180015"),
        *(STUDY, SERIES, "00200010", "00200011", "00200013", "00200052", "00280008", "00280010", "00280011"),
        *("00280100", "00400244", "00400245", "00480006", "00480007"),
    }
)
"""Tags of what a search shows, and searches by."""

_ROWS: Final = b'"00280010":{'
"""How Rows (0028,0010) begins in JSON text, in which a value holds no bare quotation mark."""

_LONGEST_SHOWN: Final = 1024  # bytes of a value

_FILE_SET: Final = 0x0004
"""The group with whose attributes a DICOMDIR begins, and nothing else (PS3.3 section F.3.2)."""


class Kept(Protocol):
    """What is kept of a file far away, so that it is read once."""

    def head(self) -> Head | None:
        """Its beginning."""

    def bounds(self) -> array[int] | None:
        """Where its frames lie, as ``EncapsulatedFrames.bounds`` has it, if that has been found out."""

    def keep_bounds(self, bounds: array[int]) -> None:
        """Keep where its frames lie."""


class FileInstance(msgspec.Struct, frozen=True, eq=False):
    """An instance and the file that it is in."""

    file: StoredFile
    ref: SeriesRef
    uid: str
    """SOP Instance UID."""
    told: bytes
    """What a search shows of it, as JSON text: many are held."""
    kept: Kept | None = None
    """What is kept of a file far away; None of a file at hand."""

    @property
    def shown(self) -> Mapping[str, Any]:
        """What a search shows of it, in the DICOM JSON model."""
        found: Mapping[str, Any] = msgspec.json.decode(self.told)
        return found

    @property
    def has_pixels(self) -> bool:
        """Whether it has rows of them; of many this is asked at once."""
        return _ROWS in self.told

    @property
    def head(self) -> RandomAccess:
        """The file as far as its attributes go, which costs no request, to be gone through."""
        head = self.kept_head()
        return Window(beginning_of(self.file)) if head is None else head

    def kept_head(self) -> Pieces | None:
        """The beginning of a file far away; None of a file at hand."""
        head = None if self.kept is None else self.kept.head()
        return None if head is None else head.pieces(self.file.size)


def is_dicom(file: StoredFile) -> bool:
    """Whether it is a DICOM file at all.

    Raises:
        FileError: It cannot be read.
    """
    return begins_as_dicom(beginning_of(file)[:ENOUGH])


def is_directory(name: str) -> bool:
    """Whether a file is called as a directory of others, by its name within its place."""
    return re.split(r"[/\\]", name)[-1].upper() == "DICOMDIR"


def read_instance(file: StoredFile, head: RandomAccess | None = None) -> FileInstance | None:
    """Who an instance is; None for a directory of others.

    Args:
        file: The file.
        head: Its beginning, where that has been read.

    Raises:
        FileError: The file cannot be read, or has no UIDs.
    """
    header = read_header(Window(beginning_of(file)) if head is None else head, file.name)
    data = memoryview(header.data)
    parts = list(elements(data, 0, header.encoding))
    if parts and parts[0].tag >> 16 == _FILE_SET:
        return None
    found = [element for element in parts if f"{element.tag:08X}" in SHOWN]
    values = [data[each.at : each.start + each.length] for each in found if _is_shown(each.length)]
    shown = attributes(header._replace(data=b"".join(values)), file.name)
    study, series, uid = (first_text(shown, tag) for tag in (STUDY, SERIES, INSTANCE))
    if not uid or not (header.pixels or (study and series)):
        raise InvalidFileError(f"{file.name} names no study, series or instance.")
    for tag, told in ((STUDY, study), (SERIES, series)):
        if not told:
            shown[tag] = {"vr": "UI", "Value": [NAMELESS]}
    study, series = study or NAMELESS, series or NAMELESS
    return FileInstance(file, SeriesRef(study, series), uid, encoded_attributes(shown))


def is_cut_off(instance: FileInstance) -> bool:
    """Whether a file ends within an attribute, its pixels too; of one far away as far as its beginning tells that."""
    try:
        meta = read_file_meta(instance.head)
        return not meta.deflated and not is_whole(instance.head, meta)
    except (DicomZarrError, NeededError):
        return False


def _is_shown(length: int) -> bool:
    return length != UNDEFINED and length <= _LONGEST_SHOWN


def read_header(file: RandomAccess, name: str, longest: int | None = LONGEST_VALUE) -> DataSetHeader:
    """The data set of a file up to its pixel data.

    Args:
        file: The file, or its head, to be gone through.
        name: What it is, for messages.
        longest: Bytes of the longest value that is kept; None for all.

    Raises:
        FileError: The file cannot be read.
    """
    meta = read_file_meta(file)
    if meta.deflated:
        return data_set_header(InflatedWindow(file, meta.end, name), 0, meta, complete=True, longest=longest)
    return data_set_header(file, meta.end, meta, complete=True, longest=longest)


def read_value(instance: FileInstance, path: str, name: str) -> bytes:
    """A value that metadata left out: see `binary_value`.

    Args:
        instance: The instance.
        path: See `binary_value`.
        name: What it is, for messages.

    Raises:
        FileError: There is no such value, or the file cannot be read.
    """
    header = read_header(instance.head, name)
    data: RandomAccess = instance.file
    if path in header.left_out and (meta := read_file_meta(instance.head)).deflated:
        data = InflatedWindow(instance.file, meta.end, name)
    return binary_value(header, path, name, data)


def frames_of(instance: FileInstance) -> StoredFrames:
    """Where the frames of an instance lie; a deflated one is inflated to the temporary disk.

    Raises:
        FileError: They cannot be told.
        UnsupportedTransferSyntaxError: They cannot be decoded.
        TemporaryFileError: There is no room to inflate the file.
    """
    head = instance.kept_head()
    located = None if head is None else frames_in(instance.file, head)
    if located is not None:
        return located.stored
    if isinstance(instance.file, Member):
        instance.file.check()
    meta = read_file_meta(Window(instance.file))
    if not meta.deflated:
        return locate_frames(instance.file, meta)
    return find_frames(memoryview(inflated(instance.file, meta.end, instance.file.name)), 0, meta)
