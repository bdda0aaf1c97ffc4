"""Whether a server counts frames from 1, as DICOM does: some count from 0, or give one frame whatever the number."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dicomzarr.errors import DicomZarrError, InvalidReplyError
from dicomzarr.sources.http.statuses import Meaning, means

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob

    Ask = Callable[[int], Awaitable[bytes]]
    """Gives a frame of an instance by its number."""

_PASSING: Final = Meaning.FEWER_REQUESTS | Meaning.RESTART


@dataclass(slots=True, eq=False)
class FrameNumbers:
    """What is known of one server; on one event loop."""

    are_heeded: bool | None = None
    """None where nothing is known."""
    are_doubted: bool = False
    """It has refused a list with the last frame of an instance, as one that counts from 0 does."""
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def refuse(self, job: FrameJob, numbers: Collection[int]) -> None:
        """Take note that the server has refused frames."""
        if _count(job) > 1 and job.number_of_frames in numbers:
            self.are_doubted = True

    def can_be_named(self, job: FrameJob) -> bool:
        """Whether a frame is the one whose number its part names."""
        return _count(job) <= 1 or self.are_heeded or (self.are_heeded is None and not self.are_doubted)

    async def check(
        self, job: FrameJob, numbers: Collection[int], ask: Ask, *, alike: bool
    ) -> InvalidReplyError | None:
        """Why frames that came may be others than they should be; None where they are right.

        Args:
            job: What is wanted.
            numbers: Those that the frames were asked for by.
            ask: Gives a frame of the same instance.
            alike: They may be one frame, for all of their numbers.
        """
        if _count(job) <= 1:
            return None
        if self.are_heeded is None:
            async with self._asking:
                if self.are_heeded is None:
                    self.are_heeded = await _are_heeded(_count(job), ask, alike=alike)
        if self.are_heeded is not False:
            return None
        return InvalidReplyError(
            "The server counts frames from 0, or gives one frame whatever number it is asked for:"
            f" {job.subject(list(numbers))} did not come.",
            remedy="What was read of it before is most likely wrong, too: forget it by fs.invalidate_cache().",
            refuses=True,
        )


def _count(job: FrameJob) -> int:
    return job.number_of_frames or 0


async def _are_heeded(count: int, ask: Ask, *, alike: bool) -> bool | None:
    """Whether frames that cannot be there are refused, or are given by a server that is right all the same."""

    async def given(number: int) -> bytes:
        try:
            return await ask(number)
        except DicomZarrError as error:
            if means(error, _PASSING) and not means(error, Meaning.NO_ANSWER):
                raise
            return b""

    try:
        below = await given(0)
        beyond = await given(count + 1) if alike or below else b""
        if not below and not beyond:
            return True
        first, last_but_one, last = [await given(number) for number in (1, count - 1, count)]
    except DicomZarrError:
        return None
    if not below:
        return first != last
    # Of one that counts from 0, the last is refused, or is what stands before it.
    at_an_end = below == first or (below == last and not beyond)
    return at_an_end and last not in (b"", last_but_one)
