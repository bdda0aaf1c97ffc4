"""What the server holds: the one place that knows of folders and files. Everything here waits for the disk."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from cachetools import LRUCache

from dicomzarr.arrays.image import open_image
from dicomzarr.dicom.files.data_set import (
    attributes,
    encoded_attributes,
    explicit_little_endian,
    file_meta_information,
)
from dicomzarr.dicom.files.file_meta import read_file_meta
from dicomzarr.dicom.model.instances import decode_instances
from dicomzarr.dicom.model.plain_json import first_text
from dicomzarr.dicom.pixels.syntax import is_native
from dicomzarr.dicom.series import parse_series
from dicomzarr.engine.ports import SeriesRef
from dicomzarr.errors import ChangedFileError, FileError, InvalidFileError, MissingFileError
from dicomzarr.sources.files.instance import frames_of, read_header, read_value
from dicomzarr.sources.files.search import found_in
from dicomzarr.sources.files.source import FilesSource
from dicomzarr.sources.files.urls import FolderURL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from dicomzarr.arrays.image import Image
    from dicomzarr.dicom.files.data_set import DataSetHeader
    from dicomzarr.dicom.pixels.pixels import PixelDescription
    from dicomzarr.dicom.series import Series
    from dicomzarr.sources.files.index import FolderIndex
    from dicomzarr.sources.files.instance import FileInstance
    from dicomzarr.sources.files.search import Found

_log = logging.getLogger(__name__)

_MOST_INLINE: Final = 1024
"""Bytes of the longest binary value that metadata hold themselves, as PS3.18 section F.2.2 suggests."""

_TABLES_HELD: Final = 128
_METADATA_HELD: Final = 64 * 2**20
_PIECE: Final = 2**20
_CONCATENATION: Final = "00209161"
_PIXEL_VRS: Final = {"7FE00008": "OF", "7FE00009": "OD"}


class Instance(Protocol):
    """An instance that is served."""

    @property
    def ref(self) -> SeriesRef:
        """The series that it is in."""

    @property
    def uid(self) -> str:
        """SOP Instance UID."""

    @property
    def shown(self) -> Mapping[str, Any]:
        """What a search shows of it, in the DICOM JSON model; with AvailableTransferSyntaxUID (0008,3002)."""


class Frames(Protocol):
    """The frames of an instance: see `dicom.files.part10.Frames`."""

    @property
    def transfer_syntax_uid(self) -> str:
        """The transfer syntax in which they are cut out."""

    def __len__(self) -> int:
        """How many there are."""

    def cut(self, number: int) -> bytes:
        """One frame, by its number from 1."""


class Holdings(Protocol):
    """What a server needs of what it serves; called in threads."""

    def find(self, study: str | None, series: str | None = None, uid: str | None = None) -> Sequence[Any]:
        """The instances under these UIDs, None standing for any; empty where there are none."""

    def search(self, collection: str, study: str | None, series: str | None) -> Iterator[Found]:
        """All ``studies``, ``series`` or ``instances`` under these UIDs, None standing for any, with what is shown."""

    def held(self, study: str, series: str, uid: str) -> Sequence[Any]:
        """As `find`, as far as it is known at once."""

    def look_again(self) -> object:
        """Notice what was stored, changed or taken away meanwhile."""

    def expire(self) -> None:
        """Have it noticed when somebody asks next."""

    def state(self, instances: Sequence[Any]) -> str:
        """Tells whether instances are the same as at another time; empty where that is not told."""

    def header(self, instance: Any) -> dict[str, Any]:
        """All attributes of an instance but its pixel data, with no value left out."""

    def metadata(self, instance: Any, url: str) -> bytes:
        """The attributes of an instance as JSON text; long binary values are named below its URL."""

    def bulk_data(self, instance: Any, path: str) -> bytes:
        """A value that metadata left out, by what its URL ends in."""

    def frames(self, instance: Any) -> Frames:
        """The frames of an instance."""

    def pixel(self, instance: Any) -> PixelDescription:
        """How its frames are laid out."""

    def overview(self, instance: Any, size: int) -> npt.NDArray[np.uint8]:
        """A picture of all tiles of an instance, at most so many pixels a side; shape (rows, columns, 3)."""

    def rewritten(self, instance: Any, changes: Mapping[str, Any]) -> bytes:
        """The instance in Explicit VR Little Endian up to its pixel data, with other values, by keyword."""

    def size(self, instance: Any) -> int:
        """Bytes of the whole instance as a Part-10 file."""

    def pieces(self, instance: Any) -> Iterator[bytes]:
        """The whole instance as a Part-10 file, in order."""


class FolderHoldings:
    """The instances in a folder, or in one file.

    Args:
        root: The folder or file.
        max_age: Seconds after which a search or metadata look through the folder again.

    Raises:
        MissingFileError: There is nothing of this name.
    """

    def __init__(self, root: Path, max_age: float) -> None:
        self.root = root
        self._source = FilesSource(root)
        self._max_age = max_age
        self._lock, self._looking = threading.Lock(), threading.Lock()
        self._index = self._source.index()
        self._looked = time.monotonic()
        self._expired = False
        self._tables: LRUCache[FileInstance, Frames] = LRUCache(_TABLES_HELD)
        self._pixels: LRUCache[FileInstance, PixelDescription] = LRUCache(_TABLES_HELD)
        self._metadata: LRUCache[tuple[FileInstance, str], bytes] = LRUCache(_METADATA_HELD, len)

    @property
    def notices(self) -> tuple[str, ...]:
        """What was left out, and why."""
        return self._index.notices

    def look_again(self) -> FolderIndex:
        """The folder as it is now."""
        self._expired = False
        self._index = self._source.index()
        self._looked = time.monotonic()
        return self._index

    def _fresh(self) -> FolderIndex:
        asked = time.monotonic()
        if not self._expired and asked - self._looked <= self._max_age:
            return self._index
        with self._looking:  # who waited for somebody who looked has nothing to look for any more
            return self._index if self._looked >= asked else self.look_again()

    def find(self, study: str | None, series: str | None = None, uid: str | None = None) -> list[FileInstance]:
        """See `Holdings.find`: a single instance as it is known, if its file is as it was; else what is there now."""
        known = [] if uid is None else _found(self._index, study, series, uid)
        try:
            for each in known:
                each.file[:0]  # no byte is read, and whether it is the same file is told
        except FileError:
            self.expire()
            known = []
        return known or _found(self._fresh(), study, series, uid)

    def held(self, study: str, series: str, uid: str) -> list[FileInstance]:
        """See `Holdings.held`."""
        return _found(self._index, study, series, uid)

    def expire(self) -> None:
        """See `Holdings.expire`."""
        self._expired = True

    def search(self, collection: str, study: str | None, series: str | None) -> Iterator[Found]:
        """See `Holdings.search`."""
        return found_in(dict(sorted(self._fresh().series.items())), collection, study, series)

    def state(self, instances: Sequence[FileInstance]) -> str:
        """See `Holdings.state`."""
        return sha256("\n".join(repr(each.file) for each in instances).encode("utf-8", "surrogateescape")).hexdigest()

    def header(self, instance: FileInstance) -> dict[str, Any]:
        """See `Holdings.header`."""
        return attributes(read_header(instance.head, instance.uid), instance.uid)

    def metadata(self, instance: FileInstance, url: str) -> bytes:
        """See `Holdings.metadata`."""
        with self._lock:
            known = self._metadata.get((instance, url))
        if known is None:
            header = read_header(instance.head, instance.uid)
            base = f"{url}/bulkdata/"
            broken: list[str] = []
            found = attributes(header, instance.uid, base, _MOST_INLINE, broken)
            if broken:
                _log.warning("Instance %s is told without what is broken in it: %s.", instance.uid, ", ".join(broken))
            if header.pixels:
                found[header.pixels] = {"vr": _pixel_vr(header, found), "BulkDataURI": base + header.pixels}
            known = encoded_attributes(dict(sorted(found.items())))
            with self._lock:
                if len(known) <= _METADATA_HELD:
                    self._metadata[instance, url] = known
        return known

    def bulk_data(self, instance: FileInstance, path: str) -> bytes:
        """See `Holdings.bulk_data`.

        Raises:
            MissingFileError: There is no such value.
        """
        try:
            return read_value(instance, path, instance.uid)
        except InvalidFileError:
            raise MissingFileError(f"Instance {instance.uid} has no bulk data {path:.100}.") from None

    def frames(self, instance: FileInstance) -> Frames:
        """See `Holdings.frames`.

        Raises:
            InvalidFileError: Its file is broken.
        """
        with self._lock:
            known = self._tables.get(instance)
        if known is None:
            stored = frames_of(instance)
            if stored.sop_instance_uid != instance.uid:
                raise ChangedFileError(f"Another instance stands in the place of {instance.uid}.")
            known = stored.frames
            with self._lock:
                self._tables[instance] = known
        return known

    def pixel(self, instance: FileInstance) -> PixelDescription:
        """See `Holdings.pixel`.

        Raises:
            MetadataError: There are no pixels, or what is said of them is impossible.
            InvalidFileError: The file is broken.
        """
        with self._lock:
            known = self._pixels.get(instance)
        if known is None:
            known = typed(self.header(instance), instance.ref).instances[0].pixel
            with self._lock:
                self._pixels[instance] = known
        return known

    def overview(self, instance: FileInstance, size: int) -> npt.NDArray[np.uint8]:
        """See `Holdings.overview`; of a part of a concatenation all parts are shown (PS3.3 section C.7.6.16)."""
        alone = None if _CONCATENATION in self.header(instance) else open_image(Path(instance.file.name))
        return (alone or self._in_series(instance)).thumbnail(size)

    def _in_series(self, instance: FileInstance) -> Image:
        """The image of the series that shows an instance, or the first."""
        image = open_image(str(replace(FolderURL.of(self.root), study=instance.ref.study, series=instance.ref.series)))
        shown = (*image.images, *image.associated.values())
        return next((each for each in shown if _shows(each, instance.uid)), image)

    def rewritten(self, instance: FileInstance, changes: Mapping[str, Any]) -> bytes:
        """See `Holdings.rewritten`.

        Raises:
            InvalidFileError: The file is broken.
        """
        left_out: list[str] = []
        header = read_header(instance.head, instance.uid, None)
        found = explicit_little_endian(header, changes, instance.uid, left_out)
        if left_out:
            _log.warning("Instance %s is sent without encapsulated icons in %s.", instance.uid, ", ".join(left_out))
        return found

    def size(self, instance: FileInstance) -> int:
        """See `Holdings.size`."""
        prefix, start = _part10_prefix(instance)
        return len(prefix) + len(instance.file) - start

    def pieces(self, instance: FileInstance) -> Iterator[bytes]:
        """See `Holdings.pieces`.

        Raises:
            ChangedFileError: The file is another by now.
        """
        prefix, start = _part10_prefix(instance)
        if prefix:
            yield prefix
        for at in range(start, len(instance.file), _PIECE):
            yield bytes(instance.file[at : at + _PIECE])


def _shows(image: Image, uid: str) -> bool:
    return any(uid in level.attributes.sop_instance_uids for level in image.plan.levels)


def _part10_prefix(instance: FileInstance) -> tuple[bytes, int]:
    """What is sent before the data set of a file that lacks it, and the offset from which on the file is sent."""
    meta = read_file_meta(instance.head)
    if meta.whole:
        return b"", 0
    sop_class = first_text(instance.shown, "00080016")
    return file_meta_information(sop_class, instance.uid, meta.transfer_syntax_uid), meta.end


def typed(header: dict[str, Any], ref: SeriesRef) -> Series:
    """The header of an instance as a series of itself.

    Raises:
        MetadataError: It has no pixels, or is not as it should be.
    """
    return parse_series(decode_instances(b"[" + encoded_attributes(header) + b"]"), *ref)


def _found(index: FolderIndex, study: str | None, series: str | None, uid: str | None) -> list[FileInstance]:
    if study is not None and series is not None:
        of_series = [index.series.get(SeriesRef(study, series), {})]
    else:
        of_series = [
            each
            for ref, each in sorted(index.series.items())
            if study in (None, ref.study) and series in (None, ref.series)
        ]
    if uid is not None:
        return [each[uid] for each in of_series if uid in each]
    return [instance for each in of_series for instance in each.values()]


def _pixel_vr(header: DataSetHeader, found: Mapping[str, Any]) -> str:
    """Of what the bulk data are: OW above 8 bits, where they are native (PS3.5 section A.2)."""
    if header.pixels in _PIXEL_VRS:
        return _PIXEL_VRS[header.pixels]
    bits = next(iter(found.get("00280100", {}).get("Value", ())), 0)
    return "OW" if is_native(header.transfer_syntax_uid) and bits > 8 else "OB"  # noqa: PLR2004  # as said
