"""Frames out of files at hand: the `FrameOrigin` of a folder."""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING, Final

from dicomzarr.codecs.encoded_frame import EncodedFrame
from dicomzarr.dicom.pixels.syntax import is_native
from dicomzarr.engine.ports import Fetch, Wait
from dicomzarr.errors import DicomZarrError, InvalidFileError
from dicomzarr.runtime.pools import FRAME_FILES
from dicomzarr.sources.files.instance import FileInstance, frames_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dicomzarr.dicom.files.part10 import StoredFrames
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
        for key, found in zip(fetch.keys, await FRAME_FILES.run(self._read, fetch.keys), strict=True):
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

    def _read(self, keys: Sequence[FrameKey]) -> list[EncodedFrame | DicomZarrError]:
        return [self._frame(*key) for key in keys]

    def _frame(self, series: SeriesState, uid: str, number: int) -> EncodedFrame | DicomZarrError:
        try:
            instance = self._instance(series, uid)
            stored = self._stored(instance)
            if not 1 <= number <= len(stored.frames):
                raise InvalidFileError(f"There are {len(stored.frames)} frames in {instance.file.name}.")
            data, syntax = stored.frames.cut(number), stored.frames.transfer_syntax_uid
        except DicomZarrError as error:
            error.name_subject(f"frame {number} of instance {uid}, series {series.series}, study {series.study}")
            return error
        return EncodedFrame(data, "application/octet-stream" if is_native(syntax) else "", syntax, stored.header)

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
