"""Frames of one instance: in lists, singly, or out of the whole instance; each one comes right, or fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeAlias
from weakref import WeakValueDictionary

from dicomzarr.codecs.encoded_frame import EncodedFrame
from dicomzarr.errors import DicomZarrError, MultipartError, TruncatedReplyError
from dicomzarr.sources.dicomweb.http.network_errors import ConnectionDroppedError
from dicomzarr.sources.dicomweb.negotiation.frame_ladder import FrameLadder
from dicomzarr.sources.dicomweb.negotiation.refusals import (
    is_doubtful,
    lacks_resource,
    neither,
    refuses_list,
    refuses_resource,
)
from dicomzarr.sources.dicomweb.negotiation.remembered import InstanceKey, Remembered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.sources.dicomweb.http.exchange import Exchange
    from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob
    from dicomzarr.sources.dicomweb.tuning.habits import Habits
    from dicomzarr.sources.dicomweb.whole.whole_instance import HeldInstance, WholeInstances

_Refused: TypeAlias = "dict[int, DicomZarrError]"
"""How frames were refused, by their numbers."""

_PROBES: Final = 3
"""Frames that are asked for singly before all frames of an instance are taken to be refused."""

_INSTANCES_WITHOUT: Final = 2
"""Instances whose frames are denied, and that exist, before the server is taken to have no ``/frames``."""

_SECONDS_REFUSED: Final = 60.0
"""How long an instance whose frames were refused is not asked for them again."""

_SECONDS_DOUBTED: Final = 5.0
"""The same for refusals that may have been passing failures."""

_CUT_AT_ONCE: Final = 32
"""Frames of a whole instance that are in memory before they are delivered."""


class FrameFetcher:
    """Fetches frames from one server, and learns how it wants to be asked.

    Args:
        base_url: The URL of the DICOMweb service.
        exchange: Asks it.
        whole: Whole instances, for what it does not give singly.
        habits: What is known of it.
    """

    def __init__(self, base_url: str, exchange: Exchange, whole: WholeInstances, habits: Habits) -> None:
        self._ladder = FrameLadder(base_url, exchange, habits)
        self._whole = whole
        self.lengths = habits.lengths
        clock = exchange.turns.clock
        self._serving: Remembered[bool] = Remembered(clock)
        """Instances of which frames have come singly."""
        self._refusing: Remembered[bool] = Remembered(clock)
        """Instances of which no frame comes but with the whole."""
        self._without_frames: Remembered[bool] = Remembered(clock)
        """Instances that exist although the server denies all of their frames."""
        self._probing: WeakValueDictionary[InstanceKey, asyncio.Lock] = WeakValueDictionary()

    def asks_lists(self, *, compressed: bool) -> bool:
        """Whether it is worth while to ask for several frames at once."""
        return not self.lengths.refused and self._ladder.serves_lists(compressed=compressed)

    async def fetch(self, job: FrameJob) -> None:
        """Deliver or fail every frame of the job."""
        if job.whole or self._whole.holds(job.key) or self._goes_whole(job.key):
            await self._from_whole(job, list(job.pending), {})
            return
        refused = await self._fetch_parts(job, list(job.pending))
        if not refused:
            return
        if job.is_large and not self._goes_whole(job.key):
            for number, error in refused.items():
                job.fail(number, error)
            return
        await self._from_whole(job, list(refused), refused)

    def forget(self, study: str | None = None, series: str | None = None) -> None:
        """Forget what was learned of the instances of a series, or of all; from any thread."""
        for known in (self._serving, self._refusing, self._without_frames, self._ladder):
            known.forget(study, series)

    def _is_known(self, key: InstanceKey) -> bool:
        """Whether frames of the instance come by themselves, or do not."""
        return key in self._serving or self._goes_whole(key)

    def _goes_whole(self, key: InstanceKey) -> bool:
        lacks_frames = len(self._without_frames) >= _INSTANCES_WITHOUT and not self._ladder.has_served
        return key in self._refusing or lacks_frames

    async def _fetch_parts(self, job: FrameJob, numbers: Sequence[int]) -> _Refused:
        """Ask for frames in lists that are not too long."""
        parts = list(self.lengths.cut(numbers))
        if len(parts) == 1:  # most often; a task costs as much as decoding a small tile
            return await self._fetch_list(job, parts[0])
        found = await asyncio.gather(*(self._fetch_list(job, part) for part in parts))
        return {number: error for refused in found for number, error in refused.items()}

    async def _fetch_list(self, job: FrameJob, numbers: list[int]) -> _Refused:
        """Ask for all frames at once, and for those that stay pending in another way."""
        if len(numbers) == 1 or not self.asks_lists(compressed=job.compressed):
            return await self._fetch_singly(job, numbers)
        error = await self._ladder.ask_list(job, numbers)
        left = job.left(numbers)
        if error is None or isinstance(error, (TruncatedReplyError, MultipartError)):
            if not left:
                self.lengths.served(len(numbers))
                return {}
            came = len(left) < len(numbers)
            return await (self._fetch_list(job, left) if came else self._fetch_singly(job, left))
        if not refuses_list(error) or (isinstance(error, ConnectionDroppedError) and not self._ladder.knows(job)):
            job.fail_all(left, error)
            return {}
        return await self._fetch_halves(job, left, error)

    async def _fetch_halves(self, job: FrameJob, numbers: list[int], error: DicomZarrError) -> _Refused:
        """After a list was refused: for its length, for one frame in it, or because no frame can be had like this."""
        refused: _Refused = {}
        failed = job.failed
        async with self._probing.setdefault(job.key, asyncio.Lock()):
            if not self._is_known(job.key):
                refused = await self._probe(job, numbers)
        if self._goes_whole(job.key):
            return {number: refused.get(number, error) for number in job.left(numbers)}
        rest = [number for number in job.left(numbers) if number not in refused]
        half = len(rest) // 2
        for part in (rest[:half], rest[half:]):
            refused |= await self._fetch_parts(job, part)
        if not refused and job.failed == failed:
            self.lengths.refuses(len(numbers), error)
        return refused

    async def _probe(self, job: FrameJob, numbers: list[int]) -> _Refused:
        """Ask for single frames until one comes; when none does, those left are to be had with the whole instance."""
        refused: _Refused = {}
        places = (0, -1, len(numbers) // 2)
        for number in dict.fromkeys(numbers[place] for place in places[:_PROBES]):
            error = await self._ladder.ask_one(job, number)
            if error is None:
                self._serving.put(job.key, value=True)
                return refused
            if not refuses_resource(error):
                job.fail_all(numbers, error)
                return {}
            refused[number] = error
        await self._learn_refusal(job, refused)
        return refused

    async def _learn_refusal(self, job: FrameJob, refused: _Refused) -> None:
        """After none of some frames came: whether that is so for the instance, of which a large one has to prove it."""
        for trial in job.trials(refused) if job.is_large and not self._whole.has_failed(job.key) else ():
            (number,) = trial.pending
            error = await self._ladder.ask_one(trial, number)
            if error is None:
                self._serving.put(job.key, value=True)
            if not refuses_resource(error):
                return
        doubtful = any(map(is_doubtful, refused.values()))
        self._refusing.put(job.key, value=True, seconds=_SECONDS_DOUBTED if doubtful else _SECONDS_REFUSED)

    async def _fetch_singly(self, job: FrameJob, numbers: list[int]) -> _Refused:
        """Ask for each frame by itself: one after the other until one comes, then all of them."""
        refused: _Refused = {}
        rest = list(numbers)
        while rest and job.key not in self._serving:
            number = rest.pop(0)
            error = await self._ladder.ask_one(job, number)
            self._note(job, number, error, refused)
            if number in refused and (len(refused) == _PROBES or (job.is_large and not rest)):
                async with self._probing.setdefault(job.key, asyncio.Lock()):
                    if not self._is_known(job.key):
                        await self._learn_refusal(job, refused)
                if self._goes_whole(job.key):
                    return refused | dict.fromkeys(rest, refused[number])
        if len(rest) == 1:
            self._note(job, rest[0], await self._ladder.ask_one(job, rest[0]), refused)
            return refused
        errors = await asyncio.gather(*(self._ladder.ask_one(job, number) for number in rest))
        for number, error in zip(rest, errors, strict=True):
            self._note(job, number, error, refused)
        return refused

    def _note(self, job: FrameJob, number: int, error: DicomZarrError | None, refused: _Refused) -> None:
        """Take what became of a single frame."""
        if error is None:
            self._serving.put(job.key, value=True)
        elif refuses_resource(error):
            refused[number] = error
        else:
            job.fail(number, error)

    async def _from_whole(self, job: FrameJob, numbers: list[int], refused: _Refused) -> None:
        """Cut frames from the whole instance."""
        try:
            held = await self._whole.get(job.key)
            self._learn(job.key, refused)
            for start in range(0, len(numbers), _CUT_AT_ONCE):
                await self._cut(job, held, numbers[start : start + _CUT_AT_ONCE], refused)
        except DicomZarrError as error:
            self._refusing.discard(job.key)  # next time, its frames are asked for again
            for number in job.left(numbers):
                self._fail(job, number, refused, error)

    async def _cut(self, job: FrameJob, held: HeldInstance, numbers: list[int], refused: _Refused) -> None:
        for number, frame in zip(numbers, await self._whole.cut(held, numbers), strict=True):
            if isinstance(frame, EncodedFrame):
                job.deliver(number, frame)
            else:
                self._fail(job, number, refused, frame)

    def _fail(self, job: FrameJob, number: int, refused: _Refused, whole: DicomZarrError) -> None:
        error = neither(refused.get(number), whole)
        error.name_subject(job.subject([number]))
        job.fail(number, error)

    def _learn(self, key: InstanceKey, refused: _Refused) -> None:
        """After an instance has come whose frames did not."""
        if key in self._refusing and refused and all(map(lacks_resource, refused.values())):
            self._without_frames.put(key, value=True, seconds=_SECONDS_REFUSED)
