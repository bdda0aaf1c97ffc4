"""Frames of a DICOMweb server: what to ask for next, and in which way, as it answers the fastest."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from dicomzarr.dicom.uids import EXPLICIT_VR_BIG_ENDIAN
from dicomzarr.engine.ports import Fetch, Wait
from dicomzarr.engine.requests import SMALL_READ, Priority
from dicomzarr.errors import ServerError, UnsupportedTransferSyntaxError
from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob
from dicomzarr.sources.dicomweb.tuning.coming_series import ComingSeries
from dicomzarr.sources.dicomweb.tuning.lists import list_length, one_list
from dicomzarr.sources.dicomweb.tuning.series_choice import SeriesChoice, may_come_whole
from dicomzarr.sources.dicomweb.tuning.server_profile import FrameKind
from dicomzarr.sources.dicomweb.tuning.strategy import Strategy
from dicomzarr.sources.dicomweb.whole.whole_instance import MOST_FOR_A_FRAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.dicom.instance import Instance
    from dicomzarr.engine.ports import FrameSink, QueueView, SeriesRef
    from dicomzarr.engine.requests import Turn
    from dicomzarr.engine.series_state import FrameKey
    from dicomzarr.errors import DicomZarrError
    from dicomzarr.sources.dicomweb.client import Client
    from dicomzarr.sources.dicomweb.tuning.way import Way

_MANY_FRAMES: Final = 64
"""Frames of an instance below which lists or single requests make no difference worth learning."""


class _Learning(NamedTuple):
    """What decides how frames of one kind are asked for."""

    strategy: Strategy
    choice: SeriesChoice


class _Recipe(NamedTuple):
    """How a request is asked, and what learns from it."""

    way: Way
    learning: _Learning
    queue: QueueView
    """What waits besides."""


@dataclass(slots=True, eq=False)
class _InstanceFrames:
    """Hands on the frames of one instance, see `InstanceSink`."""

    keys: dict[int, FrameKey]
    sink: FrameSink
    sizes: list[int] = field(default_factory=list)
    """Bytes of each frame that came."""

    def arrived(self, number: int, frame: EncodedFrame) -> None:
        self.sizes.append(len(frame.data))
        self.sink.arrived(self.keys[number], frame)

    def failed(self, number: int, error: DicomZarrError) -> None:
        self.sink.failed(self.keys[number], error)


class DICOMwebOrigin:
    """Cuts requests from a queue when a connection is free, so that what has gathered meanwhile goes together.

    It is a `engine.ports.FrameOrigin`.

    Args:
        client: Speaks to the server.
        clock: Seconds that go steadily.
    """

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._learning: dict[FrameKind, _Learning] = {}
        self._asked_at = 0.0
        """When a request went out last."""

    @property
    def latency(self) -> float:
        """Seconds that requests of the slowest kind usually take; from any thread."""
        return max((each.strategy.usual for each in list(self._learning.values())), default=0.0)

    def retries(self, key: FrameKey, error: DicomZarrError) -> bool:
        """Not for a syntax that nobody decodes, unless only a frame of it does not tell enough."""
        if isinstance(error, UnsupportedTransferSyntaxError) and error.uid != EXPLICIT_VR_BIG_ENDIAN:
            return False
        return key.stored.number_of_frames * key.stored.pixel.nbytes <= MOST_FOR_A_FRAME

    def forget(self, series: SeriesRef | None) -> None:
        """Let go of the whole instances of a series, or of all, and of what was learned of them; from any thread."""
        self._client.forget(*(series or ()))

    def close(self) -> None:
        """See `Client.close`."""
        self._client.close()

    # --- what to ask for ---

    def next(self, queue: QueueView, under_way: int, now: float) -> Fetch | Wait:
        """See `engine.ports.FrameOrigin`."""
        wait = 0.0
        if under_way >= self._client.connections:
            return Wait(wait)
        for turn in queue.turns():
            learning = self._learned(turn.instance)
            way = self._way(turn, learning, queue, now)
            if way is not None and way.series:
                return Fetch(tuple(queue.keys(turn)), learning.choice, stays_queued=True)
            if way is None or self._free(way, turn.priority, under_way) <= 0:
                wait = learning.strategy.patience if way is None else wait
                way = learning.strategy.usual_way()
                # A trial holds up large reads; what is small may spoil it a little.
                if turn.frames > SMALL_READ or self._free(way, turn.priority, under_way) <= 0:
                    continue
            length = self._length(way, turn, len(queue), under_way)
            pause = max(queue.since, self._asked_at) + learning.strategy.gather - now if under_way else 0.0
            if pause > 0 and len(queue) < length:
                return Wait(pause)
            return self._list(turn, length, _Recipe(way, learning, queue), now)
        return Wait(wait)

    def _list(self, turn: Turn, length: int, recipe: _Recipe, now: float) -> Fetch:
        keys = one_list(turn.instance, recipe.queue.keys(turn), length)
        self._asked_at = now
        recipe.learning.strategy.asked(recipe.way, len(keys), now)
        return Fetch(keys, recipe)

    def _way(self, turn: Turn, learning: _Learning, queue: QueueView, now: float) -> Way | None:
        strategy, choice = learning
        if (
            turn.priority is Priority.NOW
            and not queue.is_coming(turn.series)
            and may_come_whole(turn)
            and choice.is_open(now)
        ):
            return choice.way(strategy.usual_way(), now)
        return strategy.way(len(queue), now)

    def _learned(self, instance: Instance) -> _Learning:
        kind = FrameKind(native=not instance.compressed, many=instance.number_of_frames >= _MANY_FRAMES)
        most = self._client.tuning.max_connections
        known = self._learning.get(kind)
        if known is None:
            profile = self._client.profile
            known = self._learning[kind] = _Learning(
                Strategy(kind, most, profile.ways), SeriesChoice(kind, most, profile.whole_series)
            )
        known.strategy.connections = known.choice.connections = most
        return known

    def _free(self, way: Way, priority: Priority, under_way: int) -> int:
        """Connections that could be asking; what may be wanted next leaves some for what is wanted now."""
        most = min(way.connections, self._client.connections)
        return (max(1, most * 3 // 4) if priority is Priority.AHEAD else most) - under_way

    def _length(self, way: Way, turn: Turn, queued: int, under_way: int) -> int:
        if not way.lists or self._client.lists_refused(compressed=turn.instance.compressed):
            return 1
        most = self._client.tuning.frames_per_request
        longest = min(most, self._client.longest_list or most)
        return list_length(queued, self._free(way, turn.priority, under_way), longest) if way.split else longest

    # --- asking for it ---

    async def fetch(self, fetch: Fetch, sink: FrameSink) -> None:
        """See `engine.ports.FrameOrigin`."""
        match fetch.recipe:
            case SeriesChoice() as choice:
                await ComingSeries(fetch, sink, choice, self._clock).run(self._client)
            case _Recipe() as recipe:
                await self._fetch_measured(fetch, sink, recipe)
            case _:
                await self._fetch(fetch, _sink_of(fetch, sink), whole=True)

    async def _fetch_measured(self, fetch: Fetch, sink: FrameSink, recipe: _Recipe) -> None:
        way, frames, began = recipe.way, _sink_of(fetch, sink), self._clock()
        try:
            await self._fetch(fetch, frames, whole=fetch.keys[0].stored.frames_unaligned, gzip=way.gzip)
        finally:
            now = self._clock()
            recipe.learning.strategy.answered(way, frames.sizes, now - began, now, queued=len(recipe.queue))

    async def _fetch(self, fetch: Fetch, frames: _InstanceFrames, *, whole: bool, gzip: bool = False) -> None:
        """Ask for frames of one instance."""
        key, instance = fetch.keys[0], fetch.keys[0].stored
        job = FrameJob(
            key.series.study,
            key.series.series,
            key.instance,
            frames.keys,
            frames,
            compressed=instance.compressed,
            whole=whole,
            gzip=gzip,
            number_of_frames=instance.number_of_frames,
            frame_bytes=instance.pixel.nbytes,
        )
        try:
            await self._client.frames(job)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():  # else something below was, and whoever waits must hear of it
                raise
        text = f"The request for frames of instance {key.instance} ended without an answer."
        job.fail_all(list(job.pending), ServerError(text))


def _sink_of(fetch: Fetch, sink: FrameSink) -> _InstanceFrames:
    return _InstanceFrames({key.number: key for key in fetch.keys}, sink)
