"""Frames out of files at hand: the `FrameOrigin` of a folder."""

from __future__ import annotations

import threading
from collections import OrderedDict
from copy import copy
from itertools import islice
from typing import TYPE_CHECKING, Final

from dicomzarr.codecs.encoded_frame import EncodedFrame
from dicomzarr.dicom.pixels.syntax import is_native
from dicomzarr.engine.ports import Fetch, Wait
from dicomzarr.errors import DicomZarrError, InvalidFileError
from dicomzarr.runtime.pools import FRAME_FILES
from dicomzarr.sources.files.instance import FileInstance, frames_of
from dicomzarr.sources.files.stores.members import Member
from dicomzarr.sources.files.stores.pinned_file import PinnedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dicomzarr.dicom.files.part10 import Frames, StoredFrames
    from dicomzarr.dicom.files.random_access import RandomAccess, Span
    from dicomzarr.engine.ports import FrameSink, QueueView, SeriesRef
    from dicomzarr.engine.series_state import FrameKey, SeriesState

_MOST_FRAMES: Final = 16
_MOST_BYTES: Final = 8 * 2**20
"""Frames of one fetch, and bytes of their pixels: enough that threads are not changed for each."""

_TABLES_HELD: Final = 128
"""Instances of which it is remembered where their frames lie."""

_LATENCY: Final = 1e-3


class FilesOrigin:
    """Reads frames in threads; each by itself, out of its own range of its file.

    Args:
        instance: Gives the file that an instance was in when its series was opened.
    """

    def __init__(self, instance: Callable[[SeriesState, str], FileInstance]) -> None:
        self._instance = instance
        self._tables: OrderedDict[FileInstance, StoredFrames] = OrderedDict()
        self._lock = threading.Lock()

    def prepare(self, instance: FileInstance) -> None:
        """Find where the frames of an instance lie while others still plan what is read; waits for nothing."""
        FRAME_FILES.submit(self._stored, instance)  # whoever reads a frame hears of what is wrong

    def next(self, queue: QueueView, under_way: int, now: float) -> Fetch | Wait:  # noqa: ARG002  # the port's
        """See `FrameOrigin.next`: readers take turns, each with the frames that it waits for first."""
        turn = None if under_way >= FRAME_FILES.threads else next(iter(queue.turns()), None)
        if turn is None:
            return Wait(0)
        most = max(1, min(_MOST_FRAMES, _MOST_BYTES // max(1, turn.instance.pixel.nbytes)))
        return Fetch(tuple(islice(queue.keys(turn), most)))

    async def fetch(self, fetch: Fetch, sink: FrameSink) -> None:
        """See `FrameOrigin.fetch`; one frame that cannot be had is no failure of the others."""
        await sink.ready()
        for key, found in (await FRAME_FILES.run(self._read, fetch.keys)).items():
            if isinstance(found, DicomZarrError):
                sink.failed(key, found)
            elif not sink.arrived(key, found):
                return

    def retries(self, key: FrameKey, error: DicomZarrError) -> bool:  # noqa: ARG002  # the port's
        """See `FrameOrigin.retries`: a file holds a frame once."""
        return False

    @property
    def latency(self) -> float:
        """See `FrameOrigin.latency`."""
        return _LATENCY

    def forget(self, series: SeriesRef | None) -> None:
        """See `FrameOrigin.forget`."""
        with self._lock:
            for instance in [each for each in self._tables if series in (None, each.ref)]:
                del self._tables[instance]

    def close(self) -> None:
        """See `FrameOrigin.close`."""
        self.forget(None)

    def _read(self, keys: Sequence[FrameKey]) -> dict[FrameKey, EncodedFrame | DicomZarrError]:
        """Frames of several instances, those of each with its file opened once."""
        by_instance: dict[tuple[object, ...], list[FrameKey]] = {}
        for key in keys:
            by_instance.setdefault(key[:2], []).append(key)
        found: dict[FrameKey, EncodedFrame | DicomZarrError] = {}
        for some in by_instance.values():
            try:
                found |= self._of_instance(some)
            except DicomZarrError as error:
                found |= {key: named(copy(error), key) for key in some}
        return found

    def _of_instance(self, keys: Sequence[FrameKey]) -> dict[FrameKey, EncodedFrame | DicomZarrError]:
        instance = self._instance(*keys[0][:2])
        stored = self._stored(instance)
        frames, syntax = stored.frames, stored.frames.transfer_syntax_uid
        media_type = media_type_of(syntax)
        spans = [_spans(frames, key.number) for key in keys]
        pieces = iter(_pieces(frames.data, [span for each in spans for span in each]))
        found: dict[FrameKey, EncodedFrame | DicomZarrError] = {}
        for key, each in zip(keys, spans, strict=True):
            try:
                if not 1 <= key.number <= len(frames):
                    raise InvalidFileError(f"There are {len(frames)} frames in {instance.file.name}.")
                data = _assembled(frames, key.number, list(islice(pieces, len(each))))
            except DicomZarrError as error:
                found[key] = named(error, key)
            else:
                found[key] = EncodedFrame(data, media_type, syntax, stored.header)
        return found

    def _stored(self, instance: FileInstance) -> StoredFrames:
        with self._lock:
            if instance in self._tables:
                self._tables.move_to_end(instance)
                return self._tables[instance]
        stored = frames_of(instance)
        if stored.sop_instance_uid != instance.uid:
            raise InvalidFileError(f"{instance.file.name} holds another instance.")
        with self._lock:
            self._tables[instance] = stored
            while len(self._tables) > _TABLES_HELD:
                self._tables.popitem(last=False)
        return stored


def _spans(frames: Frames, number: int) -> Sequence[Span]:
    """The pieces of a frame; none where it is not there, or a table is wrong."""
    try:
        return frames.spans(number) if 1 <= number <= len(frames) else ()
    except InvalidFileError:
        return ()


def _assembled(frames: Frames, number: int, pieces: Sequence[bytes | memoryview]) -> bytes:
    """A frame; where the table turns out to be wrong, every item is looked at."""
    try:
        if pieces:
            return frames.assemble(number, pieces)
    except InvalidFileError:
        pass
    return frames.cut(number)


def _pieces(data: RandomAccess, spans: Sequence[Span]) -> Sequence[bytes | memoryview]:
    """Pieces of a file, which is opened once for all."""
    file, offset = data.place if isinstance(data, PinnedFile | Member) else (data, 0)
    if not isinstance(file, PinnedFile):
        return [span.of(data) for span in spans]
    ends = (min(sum(span), len(data)) for span in spans)
    return file.ranges([(offset + span.offset, offset + end) for span, end in zip(spans, ends, strict=True)])


def media_type_of(syntax: str) -> str:
    """The media type that stored frames of a transfer syntax have; empty where their markers say it."""
    return "application/octet-stream" if is_native(syntax) else ""


def named(error: DicomZarrError, key: FrameKey) -> DicomZarrError:
    """An error that says of which frame it is."""
    error.name_subject(
        f"frame {key.number} of instance {key.instance}, series {key.series.series}, study {key.series.study}"
    )
    return error
