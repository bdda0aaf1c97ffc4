"""Frames that wait for decode threads: each is decoded and told of once, and the loop hears of many at once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from waiting import SECONDS

from dicomzarr.codecs.encoded_frame import EncodedFrame
from dicomzarr.dicom.instance import FrameRef, Instance
from dicomzarr.dicom.pixels.pixels import PixelDescription
from dicomzarr.engine.decode_jobs import DecodeJobs
from dicomzarr.runtime.pools import DECODERS

if TYPE_CHECKING:
    from collections.abc import Sequence

PIXEL = PixelDescription(8, 8, 1, 8, 8, 7, signed=False, photometric_interpretation="MONOCHROME2")
STORED = Instance("1.2.3", 10_000, PIXEL)
FRAME = EncodedFrame(bytes(64), "", None)


@dataclass(eq=False)
class Asked:
    number: int
    fetched: bool = True
    given_up: bool = False

    @property
    def frame(self) -> FrameRef:
        return FrameRef(STORED, self.number)


@dataclass
class Recorder:
    """Decodes nothing, and remembers what it is told."""

    wanted: int
    threads: set[int] = field(default_factory=set)
    decoded_numbers: list[int] = field(default_factory=list)
    told: Counter[int] = field(default_factory=Counter)
    nbytes: int = 0
    times: int = 0
    end: asyncio.Event = field(default_factory=asyncio.Event)

    def decoded(self, asked: Asked, encoded: EncodedFrame) -> object:
        assert encoded is FRAME
        self.threads.add(threading.get_ident())
        self.decoded_numbers.append(asked.number)
        return -asked.number

    def finish(self, outcomes: Sequence[tuple[Asked, object]], nbytes: int) -> None:
        self.times += 1
        self.nbytes += nbytes
        for asked, outcome in outcomes:
            assert outcome == -asked.number
            self.told[asked.number] += 1
        if self.nbytes == self.wanted * len(FRAME.data):
            self.end.set()


@pytest.mark.parametrize("at_a_time", [1, 3, 100])
def test_each_frame_is_decoded_and_told_of_once(at_a_time: int) -> None:
    async def run() -> Recorder:
        recorder = Recorder(500)
        jobs = DecodeJobs(recorder)
        for number in range(500):
            jobs.add(Asked(number), FRAME)
            if number % at_a_time == 0:
                await asyncio.sleep(0)
        await asyncio.wait_for(recorder.end.wait(), SECONDS)
        return recorder

    recorder = asyncio.run(run())
    assert sorted(recorder.decoded_numbers) == list(range(500))
    assert recorder.told == Counter(range(500))
    assert threading.get_ident() not in recorder.threads


def test_what_was_given_up_is_not_decoded_and_counts_as_done() -> None:
    async def run() -> Recorder:
        recorder = Recorder(50)
        jobs = DecodeJobs(recorder)
        for number in range(100):
            jobs.add(Asked(number, fetched=number % 2 == 0, given_up=number % 4 == 0), FRAME)
        await asyncio.wait_for(recorder.end.wait(), SECONDS)
        return recorder

    recorder = asyncio.run(run())
    expected = [number for number in range(100) if number % 4]
    assert set(recorder.decoded_numbers) <= set(expected)
    assert set(recorder.told) <= set(expected)


def test_the_loop_hears_of_many_frames_at_once() -> None:
    async def run() -> Recorder:
        gate = threading.Event()
        busy = [DECODERS.submit(gate.wait, SECONDS) for _ in range(DECODERS.threads)]
        recorder = Recorder(320)
        jobs = DecodeJobs(recorder)
        for number in range(320):
            jobs.add(Asked(number), FRAME)
        await asyncio.sleep(0)
        gate.set()
        await asyncio.wait_for(recorder.end.wait(), SECONDS)
        assert all(each.result() for each in busy)
        return recorder

    recorder = asyncio.run(run())
    assert recorder.times <= 320 // 16 + DECODERS.threads
    assert recorder.told == Counter(range(320))


@dataclass
class Patient(Recorder):
    """Decodes no more than a job of each thread before somebody else has had a turn."""

    turn: threading.Event = field(default_factory=threading.Event)

    def decoded(self, asked: Asked, encoded: EncodedFrame) -> object:
        if asked.number >= 8 * DECODERS.threads:
            assert self.turn.wait(SECONDS)
        return super().decoded(asked, encoded)


@dataclass
class Other(Recorder):
    """Somebody else."""

    turn: threading.Event = field(default_factory=threading.Event)

    def decoded(self, asked: Asked, encoded: EncodedFrame) -> object:
        self.turn.set()
        return super().decoded(asked, encoded)


def test_others_have_their_turn_between_jobs() -> None:
    async def run() -> None:
        gate = threading.Event()
        busy = [DECODERS.submit(gate.wait, SECONDS) for _ in range(DECODERS.threads)]
        large = Patient(800)
        small = Other(1, turn=large.turn)
        first, second = DecodeJobs(large), DecodeJobs(small)
        for number in range(800):
            first.add(Asked(number), FRAME)
        await asyncio.sleep(0)
        second.add(Asked(0), FRAME)
        await asyncio.sleep(0)
        gate.set()
        await asyncio.wait_for(small.end.wait(), SECONDS)
        await asyncio.wait_for(large.end.wait(), SECONDS)
        assert all(each.result() for each in busy)

    asyncio.run(run())
