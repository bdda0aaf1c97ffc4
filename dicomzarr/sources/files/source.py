"""A folder as a source of series: the `SeriesSource` of files."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.dicom.files.data_set import attributes, encoded_attributes, only
from dicomzarr.dicom.model.image_model import is_read
from dicomzarr.dicom.model.in_common import told_once
from dicomzarr.dicom.notices import file_left_out, files_mislabelled
from dicomzarr.dicom.pixels.syntax import transfer_syntax_name
from dicomzarr.engine.ports import SeriesMetadata, SeriesRef
from dicomzarr.errors import ChangedFileError, InvalidFileError, MissingFileError
from dicomzarr.runtime.home_loop import home_loop, refuse_running
from dicomzarr.runtime.pools import FAR_FILES, FILES
from dicomzarr.sources.files.far_origin import FarOrigin
from dicomzarr.sources.files.index import FolderIndex, look_through, state_in
from dicomzarr.sources.files.index_file import Body, IndexFile
from dicomzarr.sources.files.instance import FileInstance, read_header, read_value
from dicomzarr.sources.files.origin import FilesOrigin
from dicomzarr.sources.files.search import search
from dicomzarr.sources.files.stores.local import LocalFolder
from dicomzarr.sources.files.whole_frames import WholeFrames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.dicom.files.data_set import DataSetHeader
    from dicomzarr.engine.ports import FrameOrigin
    from dicomzarr.engine.series_state import SeriesState
    from dicomzarr.options import Tuning
    from dicomzarr.sources.files.stores.port import ByteStore

_MOST_INLINE: Final = 16 * 2**10
"""Bytes of the longest binary value that metadata hold themselves."""

_STATES_HELD: Final = 256
"""States of series whose files are known still: so many may be open at once."""

_LARGE: Final = 4 * 2**20
"""Bytes of a file that is prepared for reading when it is opened: the finest level of a slide."""

_BULK: Final = "/bulkdata/"

_SECONDS_REUSED: Final = 60.0
"""For which a listing serves for one opening too: of a place far away that was just searched, or where it was made to
choose a series."""


class FilesSource:
    """The series in a place of files. All calls but ``index`` and ``has_changed`` come from one event loop.

    Args:
        place: A folder or file on a disk, or another place.
        kept: Keeps what is found there; nothing is kept by default.
    """

    def __init__(self, place: Path | ByteStore, kept: IndexFile | None = None) -> None:
        self._store = LocalFolder(place) if isinstance(place, Path) else place
        self._kept = kept or IndexFile("", lambda: None, "", ours=False)
        self._pool = FILES if self._store.near else FAR_FILES
        self._far = None if self._store.near else FarOrigin(self._instance, self._store)
        self._near = FilesOrigin(self._instance)
        self.frames: FrameOrigin = self._far or self._near
        self._index: FolderIndex | None = None
        self._reusable = 0.0
        """Until when what was just found may serve the next who opens a series, in seconds of a steady clock."""
        self._states: OrderedDict[tuple[SeriesRef, str], Mapping[str, FileInstance]] = OrderedDict()
        self._lock = threading.Lock()

    def index(self) -> FolderIndex:
        """What is there now; waits for it, so not on the home loop.

        Raises:
            MissingFileError: There is no such place.
            ServerError: It cannot be asked.
        """
        with self._lock:  # two who ask at once look once
            self._index = look_through(self._store, self._kept, self._index)
            self._reusable = 0.0
            return self._index

    @property
    def notices(self) -> tuple[str, ...]:
        """What was left out when somebody looked last, and why."""
        return () if self._index is None else self._index.notices

    async def metadata(self, ref: SeriesRef, known: SeriesMetadata | None) -> SeriesMetadata:
        """See `SeriesSource.metadata`.

        Raises:
            MissingFileError: There is no such folder, or no such series in it.
            FileError: A file was written to just now.
        """
        return await self._pool.run(self._metadata, ref, known)

    async def attributes(self, ref: SeriesRef, instance: str | None) -> bytes:
        """See `SeriesSource.attributes`; each header is read.

        Raises:
            MissingFileError: There is no such folder, or no such series in it.
            FileError: A file was written to just now.
        """
        return await self._pool.run(self._attributes, ref, instance)

    def has_changed(self, ref: SeriesRef, etag: str | None) -> bool:
        """See `SeriesSource.has_changed`.

        Raises:
            MissingFileError: There is no such folder.
            EventLoopError: Called on the home loop, which would wait for the disk.
        """
        refuse_running(home_loop())
        if self._far is not None:
            return False
        index = self._latest()
        return ref not in index.series or index.etag(ref) != etag

    def tune(self, tuning: Tuning, timeout: float) -> None:
        """See `SeriesSource.tune`; a disk needs none."""
        self._store.tune(tuning, timeout)

    async def bulk_data(self, ref: SeriesRef, uri: str, instance: str | None) -> bytes:  # noqa: ARG002  # the port's
        """See `SeriesSource.bulk_data`; a URI of ours names the instance itself.

        Raises:
            MissingFileError: There is no such instance.
            InvalidFileError: It has no such value.
        """
        return await self._pool.run(self._bulk_data, ref, uri)

    async def search(
        self, resource: str, parameters: Mapping[str, str], *, wanted: int | None = None, skip: int = 0
    ) -> list[dict[str, Any]]:
        """See `SeriesSource.search`.

        Raises:
            UsageError: Files cannot be searched by one of the attributes.
            MissingFileError: There is no such folder.
        """
        index = await self._pool.run(self.index)
        if self._far is not None:
            self.opens_next()
        found = search(index.series, resource, parameters)
        return found[skip:] if wanted is None else found[skip : skip + wanted]

    async def instances(self) -> Mapping[SeriesRef, Mapping[str, FileInstance]]:
        """All instances of each series, as they are now, or were far away a moment ago, when somebody searched.

        Raises:
            MissingFileError: There is no such folder.
        """
        return (await self._pool.run(self.index if self._far is None else self._latest)).series

    def opens_next(self) -> None:
        """Who has just looked opens a series now: what was found serves for that too."""
        self._reusable = time.monotonic() + _SECONDS_REUSED

    def _latest(self) -> FolderIndex:
        """What is there now, or was a moment ago, when somebody looked in order to open it."""
        index = self._index if time.monotonic() < self._reusable else None
        self._reusable = 0.0
        return index or self.index()

    def _metadata(self, ref: SeriesRef, known: SeriesMetadata | None) -> SeriesMetadata:
        index = self._latest()
        if ref not in index.series:
            raise self._missing(ref)
        self._remember(ref, index)
        if self._far is not None:
            self._far.prepare(index.series[ref].values())
        elif (largest := max(index.series[ref].values(), key=_size)).file.size >= _LARGE:
            self._near.prepare(largest)
        etag = index.etag(ref)
        if known is not None and known.etag == etag:
            return known
        kept = self._kept.body(*ref, etag)
        if kept is None:
            kept = self._read_metadata(ref, index)
            self._kept.keep_body(*ref, etag, kept)
        return SeriesMetadata(kept.body, etag, notices=kept.notices, common=kept.common)

    def _read_metadata(self, ref: SeriesRef, index: FolderIndex) -> Body:
        objects, broken = [], []
        called = Counter[str]()
        for each in index.series[ref].values():
            try:
                header = read_header(each.head, each.file.name)
                objects.append(_told(each, only(header, is_read)))
            except InvalidFileError as error:
                broken.append(file_left_out(error))
                continue
            if header.called:
                called[header.called] += 1
        if not objects:
            raise InvalidFileError(f"No file of series {ref.series} in {self._store.where} can be read.")
        common, rest = told_once(objects)
        mislabelled = (files_mislabelled(count, transfer_syntax_name(uid)) for uid, count in called.items())
        return Body(rest, common, (*index.notices, *broken, *mislabelled))

    def _attributes(self, ref: SeriesRef, uid: str | None) -> bytes:
        index = self._index  # of one in a folder of thousands its own file tells whether it has changed
        if index is None or uid not in index.series.get(ref, ()):
            index = self._latest()
        found = index.series.get(ref)
        if found is None:
            raise self._missing(ref)
        objects = []
        for each in found.values() if uid is None else filter(None, [found.get(uid)]):
            with suppress(InvalidFileError):  # who opened the series was told
                objects.append(_told(each, read_header(each.head, each.file.name)))
        return b"[" + b",".join(objects) + b"]"

    def _remember(self, ref: SeriesRef, index: FolderIndex) -> None:
        key = ref, index.state(ref)
        with self._lock:  # threads that read frames may come here too
            self._states[key] = index.series[ref]
            self._states.move_to_end(key)
            while len(self._states) > _STATES_HELD:
                self._states.popitem(last=False)

    def _instance(self, series: SeriesState, uid: str) -> FileInstance:
        ref = SeriesRef(series.study, series.series)
        instances = self._states.get((ref, state_in(series.etag)))
        if instances is None:  # it was opened by another process, of which this is a child, or long ago
            index = self.index()
            if ref not in index.series or index.state(ref) != state_in(series.etag):
                raise ChangedFileError(
                    f"The files of series {ref.series} in {self._store.where} have changed since it was opened.",
                    remedy="Open the series again.",
                )
            self._remember(ref, index)
            instances = index.series[ref]
        return instances[uid]

    def whole_frames(self, series: SeriesState, uid: str) -> WholeFrames:
        """Where the frames of an instance lie, for others to read; waits for it, so not on the home loop.

        Raises:
            UsageError: They lie nowhere as they are, or where others cannot read.
            ChangedFileError: The series has changed since it was opened.
            FileError: They cannot be told.
            ServerError: They cannot be read.
        """
        refuse_running(home_loop())
        return WholeFrames.of(self._instance(series, uid))

    def _bulk_data(self, ref: SeriesRef, uri: str) -> bytes:
        uid, _, path = uri.partition(_BULK)
        instance = self.index().series.get(ref, {}).get(uid)
        if instance is None:
            raise self._missing(ref)
        return read_value(instance, path, instance.file.name)

    def _missing(self, ref: SeriesRef) -> MissingFileError:
        return MissingFileError(f"{self._store.where} holds no series {ref.series} of study {ref.study}.")


def _size(instance: FileInstance) -> int:
    return instance.file.size


def _told(instance: FileInstance, header: DataSetHeader) -> bytes:
    """What the header of a file says, as JSON text."""
    name = instance.file.name
    return encoded_attributes(attributes(header, name, instance.uid + _BULK, _MOST_INLINE))
