"""What one server and one identity keep on disk: frames of opened series, and the metadata that they were opened with.

Everything is called on the home loop, or from any thread where that is said; all work is done in threads of our own.
"""

from __future__ import annotations

import threading
import weakref
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from dicomzarr.codecs.encoded_frame import EncodedFrame
from dicomzarr.dicom.files.file_header import FileHeader
from dicomzarr.disk.changes import Keep, Remove, Replace
from dicomzarr.disk.held import HeldSeries, in_order, worth_searching
from dicomzarr.disk.names import FrameName, Names
from dicomzarr.disk.process import in_reader_thread, process_tag, start_in_reader_thread, storage_at
from dicomzarr.disk.rows import Content, Record
from dicomzarr.engine.ports import SeriesMetadata
from dicomzarr.runtime.pools import FILES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.disk.storage import Storage
    from dicomzarr.engine.series_state import FrameKey
    from dicomzarr.options import Access


class _FrameFacts(msgspec.Struct, array_like=True, frozen=True):
    media_type: str
    transfer_syntax_uid: str | None
    of_file: bool = False
    """It was cut out of its file: nobody decoded it on the way, which decides how some colour is read."""


_COMPARED: Final = FileHeader("", "", "", {})
"""In the place of a header that was compared with the metadata before its frame was kept."""


class DiskFrames:
    """The frames of one series in the state in which it was opened; of another state, it gives and takes none.

    It is a `engine.ports.FrameStore`.

    Args:
        storage: The database.
        names: Of the server and identity.
        series: The tag of the series.
        version: Its state.
    """

    def __init__(self, storage: Storage, names: Names, series: bytes, version: bytes) -> None:
        self._storage = storage
        self._names = names
        self._series = series
        self._version = version
        self._is_forgotten = False

    async def frames(self, keys: Sequence[FrameKey]) -> dict[FrameKey, EncodedFrame]:
        """Those of the frames that are held; verified, and never waited for long.

        Args:
            keys: What is wanted; ask for many at once, for each call crosses to a thread and back.
        """
        if self._is_forgotten or not keys:
            return {}
        return await in_reader_thread(self._read, keys) or {}

    def keep(self, key: FrameKey, frame: EncodedFrame) -> None:
        """Have a frame written some time soon; from any thread, at once, in vain where the disk cannot follow.

        It never raises: whoever fetched the frame has to hand it on.
        """
        if self._is_forgotten:
            return
        try:
            facts = msgspec.json.encode(
                _FrameFacts(frame.media_type, frame.transfer_syntax_uid, frame.header is not None)
            )
            content = Content(facts, bytes(frame.data))
        except (UnicodeEncodeError, MemoryError):  # a header may hold bytes that are no text
            return
        tag = self._tag(key)
        self._storage.writer.add(Keep(Record(tag, self._series, self._names.view, content)))

    def discard(self, key: FrameKey) -> None:
        """Give a frame no more, for it does not decode; from any thread."""
        self._storage.writer.add(Remove("name", self._tag(key)))

    async def held(self, keys: Sequence[FrameKey]) -> set[FrameKey]:
        """Those of the frames that are held, of which none is read."""
        if self._is_forgotten or not keys:
            return set()
        return await in_reader_thread(self._held, keys) or set()

    async def count(self) -> int:
        """How many frames of the series lie on disk."""
        if self._is_forgotten:
            return 0
        return await in_reader_thread(self._storage.count, self._series, self._names.view) or 0

    async def written(self, seconds: float) -> bool:
        """Wait so long at most until all that was kept is written, and give whether it is."""
        return await FILES.run(self._storage.writer.drain, seconds)

    def forget(self) -> None:
        """Give and take nothing any more: what is still under way to a reader may be of the past."""
        self._is_forgotten = True

    def _read(self, keys: Sequence[FrameKey]) -> dict[FrameKey, EncodedFrame]:
        tags = {self._tag(key): key for key in keys}
        held = self._storage.read(list(tags), self._series, self._names.view)
        found = {tags[tag]: _frame(content) for tag, content in held.items()}
        return {key: frame for key, frame in found.items() if frame is not None}

    def _held(self, keys: Sequence[FrameKey]) -> set[FrameKey]:
        tags = {self._tag(key): key for key in keys}
        return {tags[tag] for tag in self._storage.names(list(tags), self._series, self._names.view)}

    def _tag(self, key: FrameKey) -> bytes:
        name = FrameName(key.series.study, key.series.series, key.instance, key.number)
        return self._names.frame(name, self._version)


def _frame(content: Content) -> EncodedFrame | None:
    try:
        facts = msgspec.json.decode(content.facts, type=_FrameFacts)
    except msgspec.DecodeError:  # of another release
        return None
    return EncodedFrame(content.body, facts.media_type, facts.transfer_syntax_uid, _COMPARED if facts.of_file else None)


class DiskCache:
    """The part of a directory that belongs to one server and one identity. Making it does no I/O.

    Args:
        directory: Where the database is.
        bound: Bytes that the directory may take, for all servers and identities together.
        base_url: The DICOMweb service.
        credentials: A text that only the same credentials spell.
    """

    def __init__(self, directory: Path, bound: int, base_url: str, credentials: str) -> None:
        self._storage = storage_at(directory, bound)
        self._base_url = base_url
        self._credentials = credentials
        self._lock = threading.Lock()
        self._secret: bytes | None = None
        self._names: Names | None = None
        self._to_forget: list[tuple[str, str] | None] = []
        self._opened: weakref.WeakKeyDictionary[DiskFrames, tuple[str, str]] = weakref.WeakKeyDictionary()

    @classmethod
    def of(cls, base_url: str, access: Access) -> DiskCache | None:
        """The cache that an access asks for, without I/O; None where it asks for none."""
        if access.cache_dir is None:
            return None
        credentials = access.lasting_credentials
        if credentials is None:  # what nobody can name is nobody else's: it ends with the process
            credentials = f"{process_tag()} {access.identity}"
        return cls(Path(access.cache_dir), access.cache_dir_bytes, base_url, credentials)

    async def series(self, study: str, series: str) -> HeldSeries | None:
        """The metadata that is held of a series.

        Raises:
            InvalidOptionError: The directory is not private.
        """
        return await in_reader_thread(self._read_series, study, series)

    async def opened(
        self, study: str, series: str, now: SeriesMetadata, held: HeldSeries | None, *, countable: bool
    ) -> DiskFrames | None:
        """Hold the metadata of a series, and give its frames; None when the directory cannot be used.

        Args:
            study: Study Instance UID.
            series: Series Instance UID.
            now: The metadata that it is opened with.
            held: What `series` gave: frames of another state are forgotten.
            countable: Whether a search for its instances may tell when the series changes, if that is worth it.
        """
        return await in_reader_thread(partial(self._open, study, series, now, held, countable=countable))

    def forget(self, study: str | None = None, series: str | None = None) -> None:
        """Hold nothing any more of a series, or of all; from any thread."""
        what = None if study is None or series is None else (study, series)
        with self._lock:
            for reference in self._opened.keyrefs():  # to iterate over what may die in another thread is not safe
                frames = reference()
                if frames is not None and what in (None, self._opened.get(frames)):
                    frames.forget()
            self._to_forget.append(what)
        start_in_reader_thread(self._named)

    def written(self, seconds: float) -> bool:
        """Wait until all that was kept is written, and give whether it is; from any thread but the home loop's."""
        return self._storage.writer.drain(seconds)

    def _named(self) -> Names | None:
        """The names of this server and identity, once what is to be forgotten is out of sight."""
        secret = self._storage.secret()
        if secret is None:
            return None
        with self._lock:
            if self._names is None or secret != self._secret:
                self._secret, self._names = secret, Names.make(secret, self._base_url, self._credentials)
            to_forget, self._to_forget = self._to_forget, []
            for what in to_forget:
                tag = Remove("view", self._names.view) if what is None else Remove("series", self._names.series(*what))
                self._storage.writer.add(tag)
            return self._names

    def _read_series(self, study: str, series: str) -> HeldSeries | None:
        names = self._named()
        if names is None:
            return None
        tag = names.series(study, series)
        content = self._storage.read([tag], tag, names.view).get(tag)
        return None if content is None else HeldSeries.of(content)

    def _open(
        self, study: str, series: str, now: SeriesMetadata, held: HeldSeries | None, *, countable: bool
    ) -> DiskFrames | None:
        names = self._named()
        if names is None:
            return None
        tag = names.series(study, series)
        countable = countable and now.etag is None and now.last_modified is None and not now.provisional
        said = in_order(now.body)
        is_same = held is not None and (
            held.metadata == now
            or (not held.is_conditional and held.metadata.common == now.common and in_order(held.metadata.body) == said)
        )
        if held is not None and not is_same:
            self._storage.writer.add(Remove("series", tag))
        is_told = is_same and held is not None and held.metadata.notices == now.notices
        if not is_told or (held is not None and held.instances is not None and not countable):
            # Not decoded: what waits should be small.
            undecoded = SeriesMetadata(now.body, now.etag, now.last_modified, now.notices, now.common)
            make = partial(
                _series_record, tag, names.view, HeldSeries(undecoded, worth_searching(now) if countable else None)
            )
            self._storage.writer.add(Replace(make, len(now.body)))
        frames = DiskFrames(self._storage, names, tag, names.version((now.etag, now.last_modified), said))
        with self._lock:
            self._opened[frames] = (study, series)
        return frames


def _series_record(tag: bytes, view: bytes, held: HeldSeries) -> Record | None:
    try:
        return Record(tag, tag, view, held.content())
    except UnicodeEncodeError:  # its tag is no text
        return None
