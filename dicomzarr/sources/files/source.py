"""A folder as a source of series: the `SeriesSource` of files."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.dicom.files.data_set import attributes, binary_value, encoded_attributes
from dicomzarr.engine.ports import SeriesMetadata, SeriesRef
from dicomzarr.errors import ChangedFileError, InvalidFileError, MissingFileError
from dicomzarr.runtime.home_loop import home_loop, refuse_running
from dicomzarr.runtime.pools import FILES
from dicomzarr.sources.files.index import FolderIndex, look_through, state_in
from dicomzarr.sources.files.instance import FileInstance, read_header
from dicomzarr.sources.files.origin import FilesOrigin
from dicomzarr.sources.files.search import search

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dicomzarr.engine.series_state import SeriesState
    from dicomzarr.options import Tuning

_MOST_INLINE: Final = 16 * 2**10
"""Bytes of the longest binary value that metadata hold themselves."""

_STATES_HELD: Final = 256
"""States of series whose files are known still: so many may be open at once."""

_BULK: Final = "/bulkdata/"


class FilesSource:
    """The series in a folder, or in one file. All calls but ``index`` and ``has_changed`` come from one event loop.

    Args:
        root: The folder or file.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.frames = FilesOrigin(self._instance)
        self._index: FolderIndex | None = None
        self._states: OrderedDict[tuple[SeriesRef, str], Mapping[str, FileInstance]] = OrderedDict()
        self._lock = threading.Lock()

    def index(self) -> FolderIndex:
        """What is in the folder now; waits for the disk.

        Raises:
            MissingFileError: There is no such folder.
        """
        with self._lock:  # two who ask at once look once
            self._index = look_through(self.root, self._index)
            return self._index

    async def metadata(self, ref: SeriesRef, known: SeriesMetadata | None) -> SeriesMetadata:
        """See `SeriesSource.metadata`.

        Raises:
            MissingFileError: There is no such folder, or no such series in it.
            FileError: A file was written to just now.
        """
        return await FILES.run(self._metadata, ref, known)

    def has_changed(self, ref: SeriesRef, etag: str | None) -> bool:
        """See `SeriesSource.has_changed`.

        Raises:
            MissingFileError: There is no such folder.
            EventLoopError: Called on the home loop, which would wait for the disk.
        """
        refuse_running(home_loop())
        index = self.index()
        return ref not in index.series or index.etag(ref) != etag

    def tune(self, tuning: Tuning, timeout: float) -> None:
        """See `SeriesSource.tune`; a disk needs none."""

    async def bulk_data(self, ref: SeriesRef, uri: str, instance: str | None) -> bytes:  # noqa: ARG002  # the port's
        """See `SeriesSource.bulk_data`; a URI of ours names the instance itself.

        Raises:
            MissingFileError: There is no such instance.
            InvalidFileError: It has no such value.
        """
        return await FILES.run(self._bulk_data, ref, uri)

    async def search(
        self, resource: str, parameters: Mapping[str, str], *, wanted: int | None = None, skip: int = 0
    ) -> list[dict[str, Any]]:
        """See `SeriesSource.search`.

        Raises:
            UsageError: Files cannot be searched by one of the attributes.
            MissingFileError: There is no such folder.
        """
        index = await FILES.run(self.index)
        found = search(index.series, resource, parameters)
        return found[skip:] if wanted is None else found[skip : skip + wanted]

    def _metadata(self, ref: SeriesRef, known: SeriesMetadata | None) -> SeriesMetadata:
        index = self.index()
        if ref not in index.series:
            raise self._missing(ref)
        self._remember(ref, index)
        etag = index.etag(ref)
        if known is not None and known.etag == etag:
            return known
        objects, broken = [], []
        for each in index.series[ref].values():
            try:
                found = attributes(read_header(each.file), str(each.file.path), each.uid + _BULK, _MOST_INLINE)
                objects.append(encoded_attributes(found))
            except InvalidFileError as error:
                broken.append(f"1 file was left out: {error}")
        if not objects:
            raise InvalidFileError(f"No file of series {ref.series} in {self.root} can be read.")
        return SeriesMetadata(b"[" + b",".join(objects) + b"]", etag, notices=(*index.notices, *broken))

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
                    f"The files of series {ref.series} in {self.root} have changed since it was opened.",
                    remedy="Open the series again.",
                )
            self._remember(ref, index)
            instances = index.series[ref]
        return instances[uid]

    def _bulk_data(self, ref: SeriesRef, uri: str) -> bytes:
        uid, _, path = uri.partition(_BULK)
        instance = self.index().series.get(ref, {}).get(uid)
        if instance is None:
            raise self._missing(ref)
        return binary_value(read_header(instance.file), path, str(instance.file.path))

    def _missing(self, ref: SeriesRef) -> MissingFileError:
        return MissingFileError(f"{self.root} holds no series {ref.series} of study {ref.study}.")
