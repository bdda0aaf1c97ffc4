"""Frames out of files far away: the `FrameOrigin` of a bucket. Ranges that lie side by side are read together."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from contextlib import suppress
from copy import copy
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from dicomzarr.codecs.encoded_frame import EncodedFrame
from dicomzarr.dicom.files.encapsulated import EncapsulatedFrames
from dicomzarr.engine.ports import Fetch, Wait
from dicomzarr.errors import ChangedFileError, DicomZarrError, InvalidFileError
from dicomzarr.runtime.pools import FAR_FILES
from dicomzarr.runtime.single_flight import SingleFlight
from dicomzarr.sources.files.distant import Tail, frames_in, tail_span
from dicomzarr.sources.files.origin import media_type_of, named
from dicomzarr.sources.files.stores.port import begun
from dicomzarr.sources.files.stores.together import LONGEST, Range, together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dicomzarr.dicom.files.part10 import StoredFrames
    from dicomzarr.dicom.files.random_access import Span
    from dicomzarr.engine.ports import FrameSink, QueueView, SeriesRef
    from dicomzarr.engine.series_state import FrameKey, SeriesState
    from dicomzarr.sources.files.distant import Located
    from dicomzarr.sources.files.instance import FileInstance
    from dicomzarr.sources.files.stores.port import ByteStore
    from dicomzarr.sources.files.stores.together import Together

_MOST_FRAMES: Final = 256
"""Frames of one fetch: so many are looked at for ranges that lie side by side."""

_MOST_FETCHES: Final = 16
"""That are under way at once; the requests that they make are bounded where they are sent."""

_TABLES_HELD: Final = 128
"""Instances of which it is remembered where their frames lie."""


class _Wanted(NamedTuple):
    key: FrameKey
    instance: FileInstance
    stored: StoredFrames
    span: Span


class FarOrigin:
    """Reads frames as ranges of files, many at once.

    Args:
        instance: Gives the file that an instance was in when its series was opened.
        store: Where the files are.
    """

    def __init__(self, instance: Callable[[SeriesState, str], FileInstance], store: ByteStore) -> None:
        self._instance = instance
        self._store = store
        self._tables: OrderedDict[FileInstance, Located] = OrderedDict()
        self._lock = threading.Lock()
        self._locating: SingleFlight[FileInstance, Located] = SingleFlight()
        self._scanning: SingleFlight[FileInstance, None] = SingleFlight()

    def next(self, queue: QueueView, under_way: int, now: float) -> Fetch | Wait:  # noqa: ARG002  # the port's
        """See `FrameOrigin.next`: readers take turns, each with the frames that it waits for first."""
        turn = None if under_way >= _MOST_FETCHES else next(iter(queue.turns()), None)
        if turn is None:
            return Wait(0)
        most = max(1, min(_MOST_FRAMES, 2 * LONGEST // max(1, turn.instance.pixel.nbytes)))
        return Fetch(tuple(islice(queue.keys(turn), most)))

    async def fetch(self, fetch: Fetch, sink: FrameSink) -> None:
        """See `FrameOrigin.fetch`; one range that cannot be had is no failure of the others."""
        await sink.ready()
        instances = dict.fromkeys((key.series, key.instance) for key in fetch.keys)
        found = dict(zip(instances, await asyncio.gather(*(self._found(*each) for each in instances)), strict=True))
        wanted: list[_Wanted] = []
        for key in fetch.keys:
            located = found[key.series, key.instance]
            try:
                if isinstance(located, DicomZarrError):
                    raise copy(located)
                instance, frames = located
                if not 1 <= key.number <= len(frames.stored.frames):
                    raise InvalidFileError(f"There are {len(frames.stored.frames)} frames in {instance.file.name}.")
                if not frames.inflated:
                    span = await self._span(instance, frames.stored, key.number)
                    wanted.append(_Wanted(key, instance, frames.stored, span))
                    continue
                data = await FAR_FILES.run(frames.stored.frames.cut, key.number)
            except DicomZarrError as error:
                sink.failed(key, named(error, key))
                continue
            if not sink.arrived(key, _encoded(data, frames.stored)):
                return
        await self._bring_all(wanted, sink)

    async def _bring_all(self, wanted: Sequence[_Wanted], sink: FrameSink) -> None:
        ranges = [Range(each.instance.file, each.span.offset, sum(each.span)) for each in wanted]
        pieces = together(ranges, self._store.pace()[1])
        bringing = [asyncio.ensure_future(self._bring(piece, wanted, sink)) for piece in pieces]
        try:
            for each in asyncio.as_completed(bringing):
                if not await each:
                    return
        finally:
            for task in bringing:
                task.cancel()

    def retries(self, key: FrameKey, error: DicomZarrError) -> bool:  # noqa: ARG002  # the port's
        """See `FrameOrigin.retries`: a file holds a frame once."""
        return False

    @property
    def latency(self) -> float:
        """See `FrameOrigin.latency`."""
        return self._store.pace()[0]

    def forget(self, series: SeriesRef | None) -> None:
        """See `FrameOrigin.forget`."""
        with self._lock:
            for instance in [each for each in self._tables if series in (None, each.ref)]:
                del self._tables[instance]

    def close(self) -> None:
        """See `FrameOrigin.close`."""
        self.forget(None)
        self._store.close()

    def prepare(self, instances: Iterable[FileInstance]) -> None:
        """Read the ends of files that tell where frames lie, all at once; waits for it, in another thread."""
        coming = []
        for instance in instances:
            head = instance.kept_head()
            if instance.kept is None or head is None or self._known(instance) or instance.kept.bounds() is not None:
                continue
            span = tail_span(instance.file, head)
            if span is not None:
                coming.append((instance, head, span[0], begun(instance.file, *span, near=False)))
        for instance, head, start, tail in coming:
            with suppress(DicomZarrError):  # whoever reads a frame will hear of it
                located = frames_in(instance.file, head, tail=Tail(start, tail.result()), reads=False)
                if located is not None:
                    self._keep(instance, located.stored)

    # --- frames ---

    async def _found(self, series: SeriesState, uid: str) -> tuple[FileInstance, Located] | DicomZarrError:
        try:
            instance = await FAR_FILES.run(self._instance, series, uid)
            known = self._known(instance)
            return instance, known or await self._locating.do(
                instance, lambda: FAR_FILES.run(self._located, instance), lambda found: self._remember(instance, found)
            )
        except DicomZarrError as error:
            return error

    async def _bring(self, piece: Together, wanted: Sequence[_Wanted], sink: FrameSink) -> bool:
        """Bring the frames of one range; gives False when nothing more is wanted."""
        try:
            data = memoryview(await piece.file.read(piece.start, piece.stop))
        except DicomZarrError as error:
            for number, _, _ in piece.parts:
                sink.failed(wanted[number].key, named(copy(error), wanted[number].key))
            return True
        for number, start, stop in piece.parts:
            each = wanted[number]
            try:
                frame = await self._assembled(each, data[start:stop])
            except DicomZarrError as error:
                sink.failed(each.key, named(error, each.key))
                continue
            if not sink.arrived(each.key, _encoded(frame, each.stored)):
                return False
        return True

    async def _assembled(self, wanted: _Wanted, data: memoryview) -> bytes:
        """A frame; where the table turns out to be wrong, every item is looked at, once."""
        frames, number = wanted.stored.frames, wanted.key.number
        try:
            if frames.spans(number) == (wanted.span,):
                return frames.assemble(number, [data])
        except InvalidFileError:
            if not isinstance(frames, EncapsulatedFrames) or frames.scan is None:
                raise
            await self._look_at_all(wanted.instance, wanted.stored)
        (span,) = frames.spans(number)
        return frames.assemble(number, [await wanted.instance.file.read(span.offset, sum(span))])

    async def _span(self, instance: FileInstance, stored: StoredFrames, number: int) -> Span:
        """Where a frame lies; as above."""
        try:
            (span,) = stored.frames.spans(number)
        except InvalidFileError:
            if not isinstance(stored.frames, EncapsulatedFrames) or stored.frames.scan is None:
                raise
            await self._look_at_all(instance, stored)
            (span,) = stored.frames.spans(number)
        return span

    async def _look_at_all(self, instance: FileInstance, stored: StoredFrames) -> None:
        await self._scanning.do(instance, lambda: FAR_FILES.run(self._scan, instance, stored))

    def _scan(self, instance: FileInstance, stored: StoredFrames) -> None:
        if isinstance(stored.frames, EncapsulatedFrames):
            stored.frames.look_at_all()
            self._keep(instance, stored)

    # --- where they lie ---

    def _known(self, instance: FileInstance) -> Located | None:
        with self._lock:
            found = self._tables.get(instance)
            if found is not None:
                self._tables.move_to_end(instance)
            return found

    def _located(self, instance: FileInstance) -> Located:
        head = instance.kept_head()
        known = None if instance.kept is None else instance.kept.bounds()
        if head is None:
            raise ChangedFileError(f"What was known of {instance.file.name} is lost.", remedy="Open the series again.")
        located = frames_in(instance.file, head, known)
        assert located is not None  # noqa: S101  # it was looked at as a whole
        if located.stored.sop_instance_uid != instance.uid:
            raise InvalidFileError(f"{instance.file.name} holds another instance.")
        if known is None:
            self._keep(instance, located.stored)
        return located

    @staticmethod
    def _keep(instance: FileInstance, stored: StoredFrames) -> None:
        """Keep what took a request of its own to find out."""
        frames = stored.frames
        if instance.kept is not None and isinstance(frames, EncapsulatedFrames) and not frames.open_end:
            instance.kept.keep_bounds(frames.bounds)

    def _remember(self, instance: FileInstance, located: Located) -> None:
        with self._lock:
            self._tables[instance] = located
            while len(self._tables) > _TABLES_HELD:
                self._tables.popitem(last=False)


def _encoded(data: bytes, stored: StoredFrames) -> EncodedFrame:
    syntax = stored.frames.transfer_syntax_uid
    return EncodedFrame(data, media_type_of(syntax), syntax, stored.header)
