"""Fetches frames of one instance: carries out what `frame_plan` plans."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakValueDictionary

from dicomzarr.codecs.encoded_frame import EncodedFrame
from dicomzarr.dicom.pixels.syntax import is_native, likely_uid, sniff
from dicomzarr.errors import DicomZarrError, FrameNotFoundError, WrongPartsError
from dicomzarr.sources.dicomweb.messages.frame_replies import receive
from dicomzarr.sources.dicomweb.negotiation.frame_numbers import FrameNumbers
from dicomzarr.sources.dicomweb.negotiation.frame_plan import (
    Alone,
    FramePlanner,
    FrameRequest,
    ServerDecodedError,
    WholeRequest,
)
from dicomzarr.sources.dicomweb.urls import frames_url
from dicomzarr.sources.http.exchange import Exchange, RequestSpec
from dicomzarr.sources.http.retry import TRIES
from dicomzarr.sources.http.statuses import Meaning, means

if TYPE_CHECKING:
    from dicomzarr.sources.dicomweb.negotiation.accept import Rung
    from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob
    from dicomzarr.sources.dicomweb.negotiation.frame_numbers import Ask
    from dicomzarr.sources.dicomweb.negotiation.frame_plan import Plan, Step
    from dicomzarr.sources.dicomweb.negotiation.instance_key import InstanceKey
    from dicomzarr.sources.dicomweb.tuning.server_profile import ServerProfile
    from dicomzarr.sources.dicomweb.whole.whole_instance import WholeInstances
    from dicomzarr.sources.http.transport import Response

_Result = TypeVar("_Result")

_CUT_AT_ONCE: Final = 32
"""Frames of a whole instance that are in memory before they are delivered."""


class FrameFetcher:
    """Fetches frames from one server, and learns how it wants to be asked.

    Args:
        base_url: The URL of the DICOMweb service.
        exchange: Asks it.
        whole: Whole instances, for what it does not give singly.
        profile: What is known of it.
    """

    def __init__(self, base_url: str, exchange: Exchange, whole: WholeInstances, profile: ServerProfile) -> None:
        self._base_url = base_url
        self._exchange = exchange
        self._whole = whole
        self.lengths = profile.lengths
        self._rungs = profile.rungs
        planner = FramePlanner(profile.rungs, profile.lengths, whole, exchange.limiter.clock)
        self._plan = planner.plan
        self.asks_lists = planner.asks_lists
        self.forget = planner.forget
        self._numbers = FrameNumbers()
        self._alone: WeakValueDictionary[InstanceKey, asyncio.Lock] = WeakValueDictionary()

    async def fetch(self, job: FrameJob) -> None:
        """Deliver or fail every frame of the job."""
        await self._carry_out(self._plan(job))

    async def _carry_out(self, plan: Plan[_Result]) -> _Result:
        answer: Any = None
        while True:
            try:
                step = plan.send(answer)
            except StopIteration as end:
                result: _Result = end.value
                return result
            answer = await self._do(step)

    async def _do(self, step: Step) -> Any:
        match step:
            case FrameRequest():
                return await self._request(step)
            case WholeRequest():
                return await self._from_whole(step)
            case Alone():
                async with self._alone.setdefault(step.key, asyncio.Lock()):
                    return await self._carry_out(step.plan)
            case plans:
                return await asyncio.gather(*map(self._carry_out, plans))

    async def _request(self, step: FrameRequest) -> DicomZarrError | None:
        """Ask for frames in one way, and deliver what comes."""
        job, numbers = step.job, step.numbers
        held: dict[int, EncodedFrame] = {}
        are_named = True

        def deliver(number: int, frame: EncodedFrame, *, named: bool) -> None:
            if job.compressed and step.untried and _is_native(frame):
                raise ServerDecodedError("The server decoded a compressed frame.")
            nonlocal are_named
            if named and self._numbers.can_be_named(job):
                job.deliver(number, frame)
            else:
                held[number] = frame
                are_named = named

        async def read(response: Response) -> None:
            held.clear()
            summary = await receive(response, job, job.left(numbers), deliver)
            if len(numbers) == 1 and job.left(numbers) and not held:  # of a list, what is left is asked for singly
                raise WrongPartsError(f"Not one part came for {job.subject(numbers)}: {summary}.")

        spec = RequestSpec(
            url=lambda: frames_url(self._base_url, job.study, job.series, job.instance, job.left(numbers)),
            headers={"accept": step.rung.accept, "accept-encoding": "gzip" if job.gzip else "identity"},
            subject=job.subject(numbers),
            not_found=FrameNotFoundError,
            tries_on_drop=2 if step.untried else TRIES,  # once more: the connection may have been stale
        )
        try:
            await self._exchange.send(spec, read)
        except DicomZarrError as error:
            if means(error, Meaning.OTHER_RESOURCE):
                self._numbers.refuse(job, numbers)
            return error
        return await self._place(step, held, are_named=are_named) if held else None

    async def _place(
        self, step: FrameRequest, held: dict[int, EncodedFrame], *, are_named: bool
    ) -> DicomZarrError | None:
        """Deliver frames whose numbers are not sure, unless the server counts otherwise."""
        alike = not are_named and len({frame.data for frame in held.values()}) == 1
        error = await self._numbers.check(step.job, held, self._asking(step.job, step.rung), alike=alike)
        if error is None:
            for number, frame in held.items():
                step.job.deliver(number, frame)
        return error

    def _asking(self, job: FrameJob, rung: Rung) -> Ask:
        """Asks for a frame of the job's instance, once and for nobody."""

        async def ask(number: int) -> bytes:
            found: list[bytes] = []

            def take(_number: int, frame: EncodedFrame, **_: bool) -> None:
                found.append(frame.data)

            async def read(response: Response) -> None:
                await receive(response, job, [number], take)

            url = frames_url(self._base_url, job.study, job.series, job.instance, [number])
            spec = RequestSpec(lambda: url, {"accept": rung.accept}, job.subject([number]), once=True)
            await self._exchange.send(spec, read)
            return b"".join(found)

        return ask

    async def _from_whole(self, step: WholeRequest) -> DicomZarrError | dict[int, DicomZarrError]:
        """Cut frames from the whole instance, and deliver them."""
        missing: dict[int, DicomZarrError] = {}
        try:
            held = await self._whole.get(step.job.key)
            if (error := await self._distrusted(step)) is not None:
                return error
            for start in range(0, len(step.numbers), _CUT_AT_ONCE):
                numbers = step.numbers[start : start + _CUT_AT_ONCE]
                for number, frame in zip(numbers, await self._whole.cut(held, numbers), strict=True):
                    if isinstance(frame, EncodedFrame):
                        step.job.deliver(number, frame)
                    else:
                        missing[number] = frame
        except DicomZarrError as error:
            return error
        return missing

    async def _distrusted(self, step: WholeRequest) -> DicomZarrError | None:
        """Why frames that were delivered by their names are likely others, now that one of an instance was refused."""
        rung = self._rungs.get(step.job.compressed)
        if rung is None or self._numbers.are_heeded is not None or self._numbers.can_be_named(step.job):
            return None
        return await self._numbers.check(step.job, step.numbers, self._asking(step.job, rung), alike=False)


def _is_native(frame: EncodedFrame) -> bool:
    named = frame.transfer_syntax_uid or likely_uid(frame.media_type)
    return named is not None and is_native(named) and sniff(frame.data) is None
