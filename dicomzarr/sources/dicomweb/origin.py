"""Frames of a DICOMweb server: what to ask for next, and in which way, as it answers the fastest."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from dicomzarr.dicom.pixels.syntax_table import uid_name
from dicomzarr.dicom.uids import EXPLICIT_VR_BIG_ENDIAN
from dicomzarr.engine.ports import Fetch, Wait
from dicomzarr.engine.requests import SMALL_READ, Priority
from dicomzarr.errors import DicomZarrError, PermissionDeniedError, ServerError, UnsupportedTransferSyntaxError
from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob
from dicomzarr.sources.dicomweb.tuning.experiment import LONG, Experiment
from dicomzarr.sources.dicomweb.tuning.lists import list_length, longest_list, may_come_whole, one_list
from dicomzarr.sources.dicomweb.tuning.server_profile import Form, FrameKind, Rate
from dicomzarr.sources.dicomweb.whole.whole_instance import MOST_FOR_A_FRAME
from dicomzarr.sources.dicomweb.whole.whole_series import SeriesJob
from dicomzarr.sources.http.statuses import Meaning, means

if TYPE_CHECKING:
    from collections.abc import Callable

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.dicom.instance import Instance
    from dicomzarr.engine.ports import FrameSink, QueueView, SeriesRef
    from dicomzarr.engine.requests import Turn
    from dicomzarr.engine.series_state import FrameKey
    from dicomzarr.sources.dicomweb.client import Client
    from dicomzarr.sources.dicomweb.tuning.experiment import Round


class Recipe(NamedTuple):
    """How a request is asked, and what learns from it."""

    choice: Round
    experiment: Experiment
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
        self._experiments: dict[FrameKind, Experiment] = {}
        self._asked_at = 0.0
        """When a request went out last."""

    @property
    def latency(self) -> float:
        """Seconds that requests of the slowest kind usually take; from any thread."""
        return max((each.duration for each in list(self._experiments.values())), default=0.0)

    def retries(self, key: FrameKey, error: DicomZarrError) -> bool:
        """Not for a syntax that nobody decodes, unless only a frame of it does not tell enough, or no such is known."""
        unsupported = error.uid if isinstance(error, UnsupportedTransferSyntaxError) else ""
        if unsupported != EXPLICIT_VR_BIG_ENDIAN and unsupported and uid_name(unsupported):
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
            experiment = self._experiment(turn.instance)
            whole = may_come_whole(turn) and not queue.is_coming(turn.series)
            choice = experiment.next(len(queue), now, whole=whole)
            if choice is not None and choice.mode.form is Form.SERIES:
                return Fetch(tuple(queue.keys(turn)), Recipe(choice, experiment, queue), stays_queued=True)
            if choice is None or self._free(choice, turn.priority, under_way) <= 0:
                wait = experiment.patience if choice is None else wait
                choice = experiment.usual()
                # What is measured holds up large reads; what is small may spoil it a little.
                if turn.frames > SMALL_READ or self._free(choice, turn.priority, under_way) <= 0:
                    continue
            length = self._length(choice, turn, len(queue), under_way, experiment.list_seconds)
            pause = max(queue.since, self._asked_at) + experiment.gather - now if under_way else 0.0
            if pause > 0 and len(queue) < length:
                return Wait(pause)
            keys = one_list(turn.instance, queue.keys(turn), length)
            self._asked_at = now
            experiment.asked(choice, len(keys), now)
            return Fetch(keys, Recipe(choice, experiment, queue))
        return Wait(wait)

    def _experiment(self, instance: Instance) -> Experiment:
        frames, profile = instance.number_of_frames, self._client.profile
        kind = FrameKind(not instance.compressed, LONG if frames >= LONG else min(frames, 2))
        experiment = self._experiments.get(kind)
        if experiment is None:
            rates = profile.rates.setdefault(kind, {})
            experiment = self._experiments[kind] = Experiment(kind, 0, rates, profile.thresholds)
        experiment.connections = self._client.tuning.max_connections
        return experiment

    def _free(self, choice: Round, priority: Priority, under_way: int) -> int:
        """Connections that could be asking; what nobody waits for leaves some for what is wanted now."""
        most = min(choice.connections, self._client.connections)
        return (max(1, most * 3 // 4) if priority is not Priority.NOW else most) - under_way

    def _length(self, choice: Round, turn: Turn, queued: int, under_way: int, seconds: float) -> int:
        form = choice.mode.form
        if form is Form.SINGLES or self._client.lists_refused(compressed=turn.instance.compressed):
            return 1
        most = self._client.tuning.frames_per_request
        most = longest_list(queued, self._client.connections, seconds, min(most, self._client.longest_list or most))
        free = self._free(choice, turn.priority, under_way)
        return list_length(queued, free, most) if form is Form.SPLIT_LISTS else most

    # --- asking for it ---

    async def fetch(self, fetch: Fetch, sink: FrameSink) -> None:
        """See `engine.ports.FrameOrigin`."""
        match fetch.recipe:
            case Recipe() as recipe if fetch.stays_queued:
                await self._fetch_series(SeriesJob(fetch, sink, self._clock), recipe.experiment)
            case Recipe() as recipe:
                await self._fetch_measured(fetch, sink, recipe)
            case _:
                await self._fetch(fetch, _sink_of(fetch, sink), whole=True)

    async def _fetch_series(self, job: SeriesJob, experiment: Experiment) -> None:
        """Ask for a whole series; whatever becomes of it, what is left in the queue is asked for otherwise."""
        began, rate, lasts = self._clock(), Rate(), experiment.thresholds.keeps
        try:
            await job.within(experiment.series_patience(len(job.series.slices)), self._client.whole_series(job))
            seconds = max(self._clock() - began - job.waited, 1e-6)
            if job.served:  # else it came for nothing
                rate = Rate(job.good / seconds, job.nbytes / seconds)
        except DicomZarrError as error:
            if not (isinstance(error, PermissionDeniedError) or means(error, Meaning.OTHER_RESOURCE)):
                lasts = experiment.thresholds.doubts
        except TimeoutError:
            pass
        except Exception:
            experiment.series_ended(Rate(until=self._clock() + lasts))  # else it would be asked for again at once
            raise
        experiment.series_ended(rate._replace(until=self._clock() + lasts))

    async def _fetch_measured(self, fetch: Fetch, sink: FrameSink, recipe: Recipe) -> None:
        choice, frames, began = recipe.choice, _sink_of(fetch, sink), self._clock()
        try:
            whole = fetch.keys[0].stored.frames_unaligned
            await self._fetch(fetch, frames, whole=whole, gzip=choice.mode.gzip)
        finally:
            now = self._clock()
            recipe.experiment.ended(choice, frames.sizes, now - began, now, queued=len(recipe.queue))

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
            state=key.series.name,
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
