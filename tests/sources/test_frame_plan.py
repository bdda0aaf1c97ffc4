"""Plans for frames, carried out without an event loop: which requests follow from which outcomes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from dicomzarr.codecs.encoded_frame import EncodedFrame
from dicomzarr.errors import DicomZarrError, FrameNotFoundError, HTTPStatusError, TruncatedReplyError
from dicomzarr.sources.dicomweb.negotiation.accept import AS_STORED, IMAGE_TYPES, SINGLE_PART, Rung
from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob
from dicomzarr.sources.dicomweb.negotiation.frame_plan import (
    Alone,
    FramePlanner,
    FrameRequest,
    ServerDecodedError,
    WholeRequest,
)
from dicomzarr.sources.dicomweb.negotiation.list_lengths import ListLengths
from dicomzarr.sources.http.statuses import ConnectionDroppedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dicomzarr.sources.dicomweb.negotiation.frame_plan import Plan, Step
    from dicomzarr.sources.dicomweb.negotiation.instance_key import InstanceKey

FRAME = EncodedFrame(b"pixels", "", None)
Outcome = DicomZarrError | None


def status(code: int) -> HTTPStatusError:
    return HTTPStatusError("refused", status=code)


def serve(_: FrameRequest) -> Outcome:
    return None


@dataclass
class Server:
    """Carries out plans in the place of a loop and a network; remembers what was asked."""

    answer: Callable[[FrameRequest], Outcome] = serve
    whole: DicomZarrError | None = None
    holds_nothing: bool = False
    now: float = 0.0
    rungs: dict[bool, Rung] = field(default_factory=dict)
    asked: list[tuple[tuple[int, ...], Rung]] = field(default_factory=list)
    wholes: list[tuple[int, ...]] = field(default_factory=list)
    came: set[int] = field(default_factory=set)
    failures: dict[int, DicomZarrError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lengths = ListLengths()
        self.planner = FramePlanner(self.rungs, self.lengths, self, lambda: self.now)  # type: ignore[arg-type]

    def arrived(self, number: int, frame: EncodedFrame) -> None:
        assert frame is FRAME
        self.came.add(number)

    def failed(self, number: int, error: DicomZarrError) -> None:
        self.failures[number] = error

    def holds(self, key: InstanceKey) -> bool:
        del key
        return False

    def has_failed(self, key: InstanceKey) -> bool:
        del key
        return False

    def fetch(self, *numbers: int, instance: str = "1.2.3", **about: Any) -> None:
        self.asked, self.wholes, self.came, self.failures = [], [], set(), {}
        job = FrameJob("1", "1.2", instance, numbers, self, **about)
        self.carry_out(self.planner.plan(job))
        assert not job.pending

    def carry_out(self, plan: Plan[Any]) -> Any:
        answer: Any = None
        while True:
            try:
                step = plan.send(answer)
            except StopIteration as end:
                return end.value
            answer = self.do(step)

    def do(self, step: Step) -> Any:
        match step:
            case FrameRequest():
                return self.request(step)
            case WholeRequest():
                return self.cut(step)
            case Alone():
                return self.carry_out(step.plan)
            case plans:
                return [self.carry_out(plan) for plan in plans]

    def request(self, step: FrameRequest) -> Outcome:
        numbers = step.job.left(step.numbers)
        self.asked.append((tuple(numbers), step.rung))
        error = self.answer(step)
        for number in numbers if error is None else ():
            step.job.deliver(number, FRAME)
        return error

    def cut(self, step: WholeRequest) -> DicomZarrError | dict[int, DicomZarrError]:
        self.wholes.append(tuple(step.numbers))
        if self.whole is not None:
            return self.whole
        for number in step.numbers:
            step.job.deliver(number, FRAME)
        return {}

    @property
    def lists(self) -> list[tuple[int, ...]]:
        return [numbers for numbers, _ in self.asked]


def test_no_loop_is_needed() -> None:
    code = (
        "import sys, dicomzarr.sources.dicomweb.negotiation.frame_plan\n"
        "sys.exit(bool({'asyncio', 'aiohttp'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603  # our own


def test_all_in_one_list() -> None:
    server = Server()
    server.fetch(1, 2, 3)
    assert server.asked == [((1, 2, 3), AS_STORED)]
    assert server.rungs == {False: AS_STORED}


def test_the_next_way_of_asking_is_learned() -> None:
    server = Server(lambda step: None if step.rung is IMAGE_TYPES else status(406))
    server.fetch(1, 2)
    assert server.asked == [((1, 2), AS_STORED), ((1, 2), IMAGE_TYPES)]
    server.fetch(3, 4)
    assert server.asked == [((3, 4), IMAGE_TYPES)]


def test_halves_after_a_list_that_is_too_long() -> None:
    server = Server(lambda step: status(413) if len(step.numbers) > 2 else None)
    server.fetch(1, 2, 3, 4)
    assert server.lists == [(1, 2, 3, 4), (1,), (2,), (3, 4)]  # the first alone shows that frames come
    server.fetch(5, 6, 7, 8)
    assert server.lists == [(5, 6), (7, 8)]


def test_a_list_that_breaks_off_is_gone_on_with() -> None:
    def answer(step: FrameRequest) -> Outcome:
        if len(step.numbers) < 3:
            return None
        step.job.deliver(step.numbers[0], FRAME)
        return TruncatedReplyError("ended")

    server = Server(answer)
    server.fetch(1, 2, 3)
    assert server.lists == [(1, 2, 3), (2, 3)]


@pytest.mark.parametrize(("code", "believed"), [(404, 60.0), (500, 5.0)])
def test_the_whole_instance_after_three_frames_and_for_a_while(code: int, believed: float) -> None:
    server = Server(lambda _: status(code))
    server.fetch(1, 2, 3, 4, 5)
    assert {numbers for numbers in server.lists if len(numbers) == 1} == {(1,), (5,), (3,)}
    assert server.wholes == [(1, 2, 3, 4, 5)]
    server.now = believed - 1
    server.fetch(1, 2)
    assert not server.asked
    server.now = believed + 1
    server.fetch(1, 2)
    assert server.asked


def test_neither_way() -> None:
    server = Server(lambda _: status(404), whole=FrameNotFoundError("no instance", status=404))
    server.fetch(1)
    assert "Nor did the whole instance" in str(server.failures[1])


@pytest.mark.parametrize("error", [status(401), status(429), ConnectionDroppedError("gone")])
def test_what_is_no_refusal_ends_it(error: DicomZarrError) -> None:
    server = Server(lambda _: error, rungs={False: AS_STORED})
    server.fetch(1)
    assert server.lists == [(1,)]
    assert not server.wholes
    assert server.failures.keys() == {1}


@pytest.mark.parametrize("numbers", [(1, 2), (1,)])
def test_pixels_that_the_server_decoded_are_the_last_way(numbers: tuple[int, ...]) -> None:
    def answer(step: FrameRequest) -> Outcome:
        if step.rung is not AS_STORED:
            return status(406)
        return ServerDecodedError("decoded") if step.untried else None

    server = Server(answer)
    server.fetch(*numbers, compressed=True)
    assert server.asked[-1] == (numbers, AS_STORED)
    assert server.came == set(numbers)
    assert not server.rungs  # it says nothing about other instances
    server.fetch(*numbers, compressed=True)
    assert server.asked == [(numbers, AS_STORED)]
    server.planner.forget("1", "1.2")
    server.fetch(*numbers, compressed=True)
    assert len(server.asked) > 1


def test_a_large_instance_has_to_prove_that_it_gives_no_frames() -> None:
    about = {"number_of_frames": 9, "frame_bytes": 2**28}
    server = Server(lambda step: status(404) if 4 in step.numbers else None)
    server.fetch(4, **about)
    assert server.lists == [(4,), (1,)]
    assert server.failures.keys() == {4}
    assert not server.wholes
    server = Server(lambda _: status(404))
    server.fetch(4, **about)
    assert server.lists == [(4,), (1,), (5,), (9,)]
    assert server.wholes == [(4,)]


def test_single_frames_where_no_list_is_served() -> None:
    server = Server(lambda step: None if step.rung is SINGLE_PART else status(415))
    server.fetch(1)
    assert [rung for _, rung in server.asked] == [AS_STORED, IMAGE_TYPES, SINGLE_PART]
    server.fetch(2, 3, 4)
    assert server.asked == [((2,), SINGLE_PART), ((3,), SINGLE_PART), ((4,), SINGLE_PART)]
    assert not server.planner.asks_lists(compressed=False)
    assert server.planner.asks_lists(compressed=True)


def test_a_server_that_has_given_frames_is_asked_for_those_of_any_instance() -> None:
    """That it denies all of two instances says nothing about others; of one that never gave any it does."""

    def answer(step: FrameRequest) -> Outcome:
        if step.job.instance != "1.1":
            return status(404)
        if step.rung is not AS_STORED:
            return status(406)
        return ServerDecodedError("decoded") if step.untried else None

    for has_served in (True, False):
        server = Server(answer)
        if has_served:
            server.fetch(1, instance="1.1", compressed=True)
        for instance in ("1.2", "1.3"):
            server.fetch(1, 2, 3, instance=instance, compressed=True)
            assert server.wholes
        server.fetch(1, instance="1.4", compressed=True)
        assert bool(server.asked) is has_served
