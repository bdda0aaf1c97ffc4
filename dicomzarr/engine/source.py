"""The frames of one series: one engine with two entrances, a chunk at a time or a whole selection."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from dicomzarr.codecs.planes import to_bytes
from dicomzarr.engine.readahead import ReadAhead
from dicomzarr.engine.reader import Failure, Reader
from dicomzarr.engine.requests import Priority
from dicomzarr.errors import MissingInstanceError
from dicomzarr.runtime.crossing import Crossing
from dicomzarr.runtime.home_loop import home_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.dicom.instance import FrameRef, Instance
    from dicomzarr.engine.limits import Limits
    from dicomzarr.engine.readahead import Block
    from dicomzarr.engine.reader import Asked
    from dicomzarr.engine.scheduler import Scheduler
    from dicomzarr.engine.series_state import FrameKey, SeriesState
    from dicomzarr.plan import LevelPlan

    Decoded = npt.NDArray[np.generic]
    Place = Callable[[int, Decoded], None]
    Failed = Callable[[int, BaseException], None]

_HOPELESS = 32
"""Frames of many that fail one after the other, after which no more are tried."""

_COMPRESSED = 4
"""What codestreams are smaller by, most of them by far."""


class FrameSource:
    """Reads frames; everything but ``chunk`` runs on the home loop.

    Args:
        scheduler: Has frames fetched for all readers.
        series: Whose frames, in the state that the levels were planned from.
        together: All its reads take one turn, as those of one reader; else each takes its own.
    """

    def __init__(self, scheduler: Scheduler, series: SeriesState, *, together: bool = False) -> None:
        self._scheduler = scheduler
        self.series = series
        self._together = together
        self._chunks = Reader(scheduler, series)
        self._crossing = Crossing()
        self._foreseen, self._announced = object(), object()
        """Readers whose frames nobody waits for: what is read in order, and what was prefetched."""
        self._behind = object()
        """The reader of what is to lie on disk."""
        self._ahead: dict[LevelPlan, ReadAhead] = {}
        self._ahead_lock = threading.Lock()

    def served_by(self, scheduler: Scheduler) -> FrameSource:
        """The same frames, for the same levels, through another scheduler."""
        return FrameSource(scheduler, self.series)

    def for_one_reader(self) -> FrameSource:
        """The same frames for whoever has several reads under way: their turns are those of one."""
        return FrameSource(self._scheduler, self.series, together=True)

    async def chunk(self, frame: FrameRef, level: LevelPlan) -> bytes:
        """The frame as the bytes of a chunk of a level; from any loop.

        Raises:
            ServerError: The frame could not be fetched.
            FrameError: It could not be decoded, or is not what the metadata and the level say.
        """
        return await self._crossing.get(self._chunk, (frame, level))

    async def encoded(self, frame: FrameRef) -> EncodedFrame:
        """The frame as it is stored or was sent, not decoded, and so not checked; on the home loop.

        Raises:
            ServerError: It could not be fetched.
            MissingInstanceError: It was planned from another opening.
        """
        key = self.series.key(frame)
        held = self._scheduler.held(key)
        if held is not None:
            return held
        waiter = _Encoded()
        pending = self._scheduler.want(key, waiter, self._chunks)
        try:
            return await waiter.answer
        finally:
            self._scheduler.drop(pending, waiter)

    async def bring_behind(self, keys: Sequence[FrameKey], came: Callable[[], object]) -> dict[FrameKey, BaseException]:
        """Have frames brought, and so kept on disk, behind all else that is wanted; on the home loop.

        Args:
            keys: Of this series, and not on disk, where they are not looked for.
            came: Told of each that came.

        Returns:
            Those that cannot be had, and why; after many failures in a row no more are tried.
        """
        waiter = _Behind(keys, came)
        want = partial(self._scheduler.want, waiter=waiter, reader=self._behind, fresh=True, priority=Priority.BEHIND)
        pending = [want(key) for key in list(waiter.left)]
        try:
            if pending:
                await waiter.end
        finally:
            for each in pending:
                self._scheduler.drop(each, waiter)
        return waiter.failures

    async def deliver(
        self,
        frames: Sequence[FrameRef],
        place: Place,
        level: LevelPlan,
        *,
        failed: Failed | None = None,
        planes: bool = True,
    ) -> None:
        """Fetch and decode many frames planned together.

        Args:
            frames: What to read; each may occur more than once.
            place: Called in a decode thread with the position in ``frames`` and the frame as the level holds it, of
                shape (samples, rows, columns), which is valid until it returns.
            level: The array that they are chunks of.
            failed: Told on the home loop of each frame that cannot be had, by its position; the others still come.
            planes: ``place`` takes planes out of colour frames, by `codecs.planes.put`; else pixel by pixel.

        Raises:
            DicomZarrError: The first that any frame met, where nobody else is told.
            Exception: What ``failed`` raised; no more is read then.
        """
        reader = self._chunks if self._together else Reader(self._scheduler, self.series)
        await _Delivery(reader, frames, place, level, failed, planes=planes).run()

    def follow(self, level: LevelPlan, block: Block) -> None:
        """Somebody reads a block of a level: what comes next is fetched ahead, where it pays; from any thread."""
        if self._scheduler.is_near:
            return
        with self._ahead_lock:
            ahead = self._ahead.setdefault(level, ReadAhead(level.grid))
            blocks = ahead.follow(block, lambda: self._worth_fetching(level, block))
        if blocks:
            frames = [frame for each in blocks for frame in _frames_of(level, each)]
            home_loop().call_soon_threadsafe(self._fetch_ahead, frames, self._foreseen)

    def prefetch(self, frames: Sequence[FrameRef]) -> None:
        """Fetch frames into memory, behind all that somebody waits for; returns at once, from any thread.

        What an earlier call wanted and was not asked for yet is forgotten.
        """
        home_loop().call_soon_threadsafe(self._prefetch, frames)

    def _prefetch(self, frames: Sequence[FrameRef]) -> None:
        self._scheduler.forget_ahead(self._announced)
        self._fetch_ahead(frames, self._announced)

    def _fetch_ahead(self, frames: Sequence[FrameRef], reader: object) -> None:
        for frame in frames:
            self._scheduler.fetch_ahead(self.series.key(frame), reader)

    def _worth_fetching(self, level: LevelPlan, block: Block) -> int:
        """Frames like those of a block that are worth fetching ahead, and find room."""
        room = self._scheduler.ahead_bytes
        frame = next(_frames_of(level, block), None) if room else None
        most = self._scheduler.limits.frames_ahead
        return 0 if frame is None else min(most, room // _expected_bytes(frame.instance))

    async def _chunk(self, question: tuple[FrameRef, LevelPlan]) -> bytes:
        chunk = _Chunk()
        asked = self._chunks.ask(*question, chunk)
        try:
            return await chunk.answer
        finally:
            asked.give_up()


class _Chunk:
    """One frame, for one chunk."""

    __slots__ = ("answer",)
    planes = True

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def use(self, _: int, pixels: Decoded) -> bytes:
        return to_bytes(pixels)

    def done(self, _: int, outcome: object) -> None:
        _settle(self.answer, outcome)


class _Encoded:
    """Waits for one frame as it comes; see `ports.FrameWaiter`."""

    __slots__ = ("answer",)

    def __init__(self) -> None:
        self.answer: asyncio.Future[EncodedFrame] = asyncio.get_running_loop().create_future()

    def arrived(self, _: FrameKey, frame: EncodedFrame) -> None:
        _settle(self.answer, frame)

    def failed(self, _: FrameKey, error: BaseException) -> None:
        _settle(self.answer, Failure(error))


class _Behind:
    """Waits for many frames, of which it needs none; see `ports.FrameWaiter`."""

    def __init__(self, keys: Sequence[FrameKey], came: Callable[[], object]) -> None:
        self.left = dict.fromkeys(keys)
        self.failures: dict[FrameKey, BaseException] = {}
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._came = came
        self._failed_in_a_row = 0

    def arrived(self, key: FrameKey, _: EncodedFrame) -> None:
        self._failed_in_a_row = 0
        self._came()
        self._one_less(key)

    def failed(self, key: FrameKey, error: BaseException) -> None:
        self.failures[key] = error
        self._failed_in_a_row += 1
        self._one_less(key)

    def _one_less(self, key: FrameKey) -> None:
        self.left.pop(key, None)
        if not self.left or self._failed_in_a_row >= _HOPELESS:
            _settle(self.end, None)


class _Delivery:
    """Many frames for one read, never more than a window of them under way."""

    def __init__(  # noqa: PLR0913  # one read, and how it is used
        self,
        reader: Reader,
        frames: Sequence[FrameRef],
        place: Place,
        level: LevelPlan,
        failed: Failed | None,
        *,
        planes: bool,
    ) -> None:
        self.planes = planes
        self._reader = reader
        self._frames = frames
        self._place = place
        self._level = level
        self._failed = failed
        from_disk = reader.series.disk is not None
        self._window = frames_under_way(frames, reader.scheduler.limits, from_disk=from_disk)
        self._next = 0
        self._asked: dict[int, Asked] = {}
        """Those under way, by position."""
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        try:
            self._ask()
            await self._end
        finally:
            for asked in self._asked.values():
                asked.give_up()

    def _ask(self) -> None:
        while self._next < len(self._frames) and len(self._asked) < self._window:
            position = self._next
            self._next += 1
            self._asked[position] = self._reader.ask(self._frames[position], self._level, self, position)
        if not self._asked:
            _settle(self._end, None)

    def use(self, position: int, pixels: Decoded) -> None:
        self._place(position, pixels)

    def done(self, position: int, outcome: object) -> None:
        del self._asked[position]
        if isinstance(outcome, Failure):
            if self._failed is None:
                _settle(self._end, outcome)
                return
            try:
                self._failed(position, outcome.error)
            except Exception as error:  # noqa: BLE001  # whoever waits must hear of it
                _settle(self._end, Failure(error))
                return
        if not self._asked or self._next < len(self._frames):
            self._ask()


def _frames_of(level: LevelPlan, block: Block) -> Iterator[FrameRef]:
    for chunk in block.chunks(level.grid):
        with suppress(MissingInstanceError):  # whoever reads it will hear of it
            frame = level.frames.locate(chunk)
            if frame is not None:
                yield frame


def _settle(future: asyncio.Future[Any], outcome: object) -> None:
    if future.done():
        return
    if isinstance(outcome, Failure):
        future.set_exception(outcome.error)
    else:
        future.set_result(outcome)


def frames_under_way(frames: Sequence[FrameRef], limits: Limits, *, from_disk: bool) -> int:
    """How many frames one read may have under way at a time.

    Args:
        frames: What is read.
        limits: Bounds.
        from_disk: The disk may hold them, which gives all at once.
    """
    instances = {frame.instance for frame in frames}
    # The only frame of an instance comes by itself, or with others as there is room for them.
    coming = (each for each in instances if from_disk or each.number_of_frames > 1)
    largest = max(map(_expected_bytes, coming), default=1)
    return max(limits.least_under_way, min(limits.frames_under_way, limits.bytes_under_way // largest))


def _expected_bytes(instance: Instance) -> int:
    return max(1, instance.pixel.nbytes // (_COMPRESSED if instance.compressed else 1))
