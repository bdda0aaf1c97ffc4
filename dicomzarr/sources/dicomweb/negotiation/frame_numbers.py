"""Whether a server looks at the frame numbers it is asked for: some give the first frame, whatever the number."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dicomzarr.errors import DicomZarrError, InvalidReplyError
from dicomzarr.sources.http.statuses import Meaning, means

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob


@dataclass(slots=True, eq=False)
class FrameNumbers:
    """What is known of one server; on one event loop."""

    are_heeded: bool | None = None
    """None where nothing is known."""
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def check(
        self, job: FrameJob, unnamed: Mapping[int, EncodedFrame], ask: Callable[[int], Awaitable[bytes]]
    ) -> InvalidReplyError | None:
        """Why frames that name no number may be others than they should be; None where they are right.

        A server that ignores numbers gives a frame for one that is beyond all, and the same for any other.

        Args:
            job: What is wanted.
            unnamed: Frames that came without a number of their own, by those they were asked for.
            ask: Gives a frame of the instance by its number.
        """
        frames = [frame.data for frame in unnamed.values()]
        if len(frames) > 1 and frames.count(frames[0]) < len(frames):
            self.are_heeded = True
        count = job.number_of_frames or 0
        if count > 1 and self.are_heeded is None:
            async with self._asking:
                if self.are_heeded is None:
                    self.are_heeded = await _are_heeded(next(iter(unnamed)), frames[0], count, ask)
        if count <= 1 or self.are_heeded is not False:
            return None
        return InvalidReplyError(
            f"The server gives one frame whatever number it is asked for: {job.subject(list(unnamed))} did not come.",
            refuses=True,
        )


async def _are_heeded(number: int, data: bytes, count: int, ask: Callable[[int], Awaitable[bytes]]) -> bool | None:
    for other in (count + 1, 1 if number > 1 else count):
        try:
            if await ask(other) != data:
                return True
        except DicomZarrError as error:
            return None if means(error, Meaning.FEWER_REQUESTS) else True  # it did not give one frame for all
    return False
