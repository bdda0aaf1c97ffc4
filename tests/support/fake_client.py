"""A client of a server that gives frames of few bytes, as tests of readers have it; and the series that it has."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dicomzarr.codecs.encoded_frame import EncodedFrame
from dicomzarr.dicom.instance import Instance
from dicomzarr.dicom.pixels.pixels import PixelDescription
from dicomzarr.engine.series_state import SeriesState
from dicomzarr.errors import FrameNotFoundError
from dicomzarr.options import Tuning
from dicomzarr.sources.dicomweb.tuning.server_profile import ServerProfile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob

STUDY, SERIES = "1.2", "1.2.3"
NATIVE = "1.2.840.10008.1.2.1"
PIXEL = PixelDescription(
    rows=2,
    columns=2,
    samples=1,
    bits_allocated=8,
    bits_stored=8,
    high_bit=7,
    signed=False,
    photometric_interpretation="MONOCHROME2",
)
FIRST, SECOND = Instance("1.2.3.1", 500, PIXEL), Instance("1.2.3.2", 500, PIXEL)
LARGE = Instance("1.2.3.3", 2**27, PIXEL)
BITS = Instance("1.2.3.4", 5, replace(PIXEL, rows=5, columns=5, bits_allocated=1, bits_stored=1, high_bit=0))
MANY = Instance("1.2.3.6", 5000, PIXEL)
OPENING = SeriesState(
    STUDY, SERIES, instances={each.sop_instance_uid: each for each in (FIRST, SECOND, LARGE, BITS, MANY)}
)


def frame_of(number: int) -> bytes:
    """Four pixels that say which frame they are."""
    return bytes([number % 256]) * 4


def encoded(data: bytes) -> EncodedFrame:
    return EncodedFrame(data, "application/octet-stream", NATIVE)


@dataclass
class FakeClient:
    """Remembers what it is asked, and answers once the gate is open."""

    connections: int = 4
    tuning: Tuning = field(default_factory=lambda: Tuning(4, 64, 0))
    longest_list: int | None = None
    profile: ServerProfile = field(default_factory=ServerProfile)
    asked: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    broken: set[int] = field(default_factory=set)
    missing: set[int] = field(default_factory=set)
    silent: set[int] = field(default_factory=set)
    error: BaseException | None = None
    wholes: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    serves_wholes: bool = False
    whole_gate: asyncio.Event = field(default_factory=asyncio.Event)
    ended: list[str] = field(default_factory=list)
    """Instances whose requests were cancelled."""
    answer: Callable[..., Awaitable[None]] | None = None
    """Answers in the place of this class."""

    async def frames(self, job: FrameJob) -> None:
        assert (job.study, job.series) == (STUDY, SERIES)
        instance, numbers = job.instance, list(job.pending)
        if job.whole:
            self.wholes.append((instance, tuple(numbers)))
            await self._wait(self.whole_gate, instance)
            for number in numbers:
                if self.serves_wholes:
                    job.deliver(number, encoded(frame_of(number)))
                else:
                    job.fail(number, FrameNotFoundError("No instance either."))
            return
        self.asked.append((instance, tuple(numbers)))
        await self._wait(self.gate, instance)
        if self.answer is not None:
            await self.answer(self, numbers, job.deliver)
            return
        if self.error is not None:
            raise self.error
        for number in numbers:
            if number in self.missing:
                job.fail(number, FrameNotFoundError(f"No frame {number}."))
            elif number not in self.silent:
                job.deliver(number, encoded(b"?" if number in self.broken else frame_of(number)))

    async def _wait(self, gate: asyncio.Event, instance: str) -> None:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            self.ended.append(instance)
            raise

    @staticmethod
    def lists_refused(*, compressed: bool) -> bool:
        return compressed

    @property
    def numbers(self) -> list[int]:
        return [number for _, numbers in self.asked for number in numbers]
