"""What is learned about a server: simulated servers, so that no clock is waited for."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from fake_client import PIXEL

from dicomzarr.dicom.instance import Instance
from dicomzarr.engine.requests import Priority, Turn
from dicomzarr.engine.series_state import SeriesState
from dicomzarr.sources.dicomweb.tuning.experiment import LONG, Experiment, Round
from dicomzarr.sources.dicomweb.tuning.lists import list_length, may_come_whole
from dicomzarr.sources.dicomweb.tuning.server_profile import FetchMode, Form, FrameKind, Rate
from dicomzarr.sources.dicomweb.tuning.thresholds import Thresholds

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTIONS, LONGEST, FRAMES = 8, 64, 2000
FRAME_BYTES = 500_000
THRESHOLDS = Thresholds()
LIST, SINGLES = FetchMode(Form.LIST), FetchMode(Form.SINGLES)


@dataclass
class Server:
    """Answers after a latency that requests share, and work that is done one request after another."""

    latency: float
    work: Callable[[int], float]
    """Seconds for a request of so many frames."""
    busy_until: float = 0.0
    requests: int = 0
    listed: int = 0
    """Frames that came in lists."""
    line: float | None = None
    """Bytes a second that it can send, where that is what thresholds it."""
    gzip: float = 1.0
    """What gzip makes frames smaller by, if it is offered."""

    def answer(self, frames: int, now: float, *, gzip: bool = False) -> float:
        """When the reply is there."""
        self.requests += 1
        self.listed += frames if frames > 1 else 0
        sending = 0.0 if self.line is None else frames * FRAME_BYTES / self.line / (self.gzip if gzip else 1.0)
        self.busy_until = max(now, self.busy_until) + self.work(frames) + sending
        return self.busy_until + self.latency


def slow_lists(frames: int) -> float:
    return 0.002 if frames == 1 else 0.004 * frames


SERVERS = {
    "reads the instance anew for each request": lambda: Server(0.0, lambda frames: 0.2 + 0.003 * frames),
    "builds lists slowly": lambda: Server(0.0, lambda frames: 0.002 if frames == 1 else 0.004 * frames),
    "is far away": lambda: Server(0.08, lambda frames: 0.0001 * frames),
    "is far away and builds lists slowly": lambda: Server(
        0.02, lambda frames: 0.002 if frames == 1 else 0.004 * frames
    ),
    "is quick": lambda: Server(0.0, lambda frames: 0.0002 + 0.00005 * frames),
}


def experiment_for(connections: int = CONNECTIONS) -> Experiment:
    return Experiment(FrameKind(native=False, least=LONG), connections, {})


def length_of(choice: Round, queued: int, under_way: int) -> int:
    """As the origin cuts requests."""
    match choice.mode.form:
        case Form.SINGLES:
            return 1
        case Form.SPLIT_LISTS:
            return min(queued, list_length(queued, choice.connections - under_way, LONGEST))
    return min(queued, LONGEST)


def read(
    server: Server, choose: Callable[[int, float], Round | None], experiment: Experiment | None, now: float
) -> float:
    """Read all frames; gives when the last has come."""
    queued, under_way = FRAMES, []
    while queued or under_way:
        while queued:
            choice = choose(queued, now)
            if choice is None and experiment is not None and now + experiment.patience < under_way[0][0]:
                now += experiment.patience  # the reader asks again then
                continue
            if choice is None or len(under_way) >= choice.connections:
                break
            length = length_of(choice, queued, len(under_way))
            queued -= length
            heapq.heappush(
                under_way, (server.answer(length, now, gzip=choice.mode.gzip), server.requests, now, length, choice)
            )
            if experiment is not None:
                experiment.asked(choice, length, now)
        assert under_way, "nothing is under way, and nothing is asked"
        now, _, began, length, choice = heapq.heappop(under_way)
        if experiment is not None:
            experiment.ended(choice, [FRAME_BYTES] * length, now - began, now, queued=queued)
    return now


def learned(server: Server, experiment: Experiment, now: float = 0.0) -> float:
    return read(server, experiment.next, experiment, now)


def fixed(server: Server, *, lists: bool) -> float:
    return read(server, lambda _queued, _now: Round(LIST if lists else SINGLES, CONNECTIONS), None, 0.0)


@pytest.mark.parametrize("name", SERVERS)
def test_learning_included_it_comes_close_to_the_better_way(name: str) -> None:
    make = SERVERS[name]
    best = min(fixed(make(), lists=True), fixed(make(), lists=False))
    experiment, server = experiment_for(), make()
    first = learned(server, experiment)
    assert first <= 1.25 * best or first - best < 4.5 * server.latency  # round trips, once
    assert learned(server, experiment, first) - first <= 1.05 * best


def test_lists_that_gain_nothing_are_hardly_tried() -> None:
    server = SERVERS["builds lists slowly"]()
    learned(server, experiment_for())
    assert server.listed <= 64 + 128


def is_usual(choice: Round | None, mode: FetchMode, connections: int = CONNECTIONS) -> bool:
    """Whether requests go out in this mode, on all connections, and nothing is measured."""
    return choice is not None and (choice.mode, choice.connections, choice.budget) == (mode, connections, 0)


def asks_singles(experiment: Experiment, now: float) -> bool:
    choice = experiment.next(FRAMES, now)
    return choice is not None and choice.connections == CONNECTIONS and choice.mode == SINGLES


def test_far_away_a_new_server_is_not_waited_for() -> None:
    """A single frame does not come at once; so lists, that nothing beats here, go out beside it."""
    far, experiment = SERVERS["is far away"], experiment_for()
    usual = read(far(), lambda *_: Round(LIST, CONNECTIONS), None, 0.0)
    assert learned(far(), experiment) < usual + 0.5 * far().latency
    assert experiment.usual().mode.form is not Form.SINGLES
    assert is_usual(experiment.next(FRAMES, 10.0), experiment.usual().mode)


def test_how_fast_one_list_is_shows_when_one_goes_alone() -> None:
    """Short lists on all connections only where they come faster so, and a far server was never asked for one."""
    far, experiment = SERVERS["is far away"](), experiment_for()
    now = learned(far, experiment)
    assert experiment.usual().mode == LIST
    small_reads(far, experiment, 1, now, frames=64)
    assert experiment.usual().mode.form is Form.SPLIT_LISTS


def test_a_slow_server_is_not_taken_for_a_far_one() -> None:
    """Its single frames are late as those of a far one are, but lists bring no more beside them than they could."""
    server, experiment = Server(0.0, lambda frames: 0.03 * frames), experiment_for()
    learned(server, experiment)
    assert experiment.usual().mode in {LIST, SINGLES}
    near = experiment_for()
    assert near.next(FRAMES, 0.0) is not None
    slow = Server(0.0, lambda frames: 0.02 if frames == 1 else 0.04 * frames)
    learned(slow, near)
    assert near.usual().mode == SINGLES


def test_a_short_read_finds_nothing_out() -> None:
    experiment = experiment_for()
    for _ in range(3):
        assert is_usual(experiment.next(THRESHOLDS.learn_frames - 1, 0.0), LIST)


def small_reads(server: Server, experiment: Experiment, count: int, now: float, *, frames: int = 40) -> float:
    """Small reads, one after another."""
    for _ in range(count):
        queued, under_way = frames, []
        while queued or under_way:
            choice = experiment.next(queued, now) if queued else None
            if choice is not None and len(under_way) < choice.connections:
                length = length_of(choice, queued, len(under_way))
                queued -= length
                experiment.asked(choice, length, now)
                heapq.heappush(under_way, (server.answer(length, now), server.requests, now, length, choice))
                continue
            now, _, began, length, choice = heapq.heappop(under_way)
            experiment.ended(choice, [FRAME_BYTES] * length, now - began, now, queued=queued)
    return now


def test_many_short_reads_learn_too() -> None:
    server, experiment = SERVERS["builds lists slowly"](), experiment_for()
    now = small_reads(server, experiment, 40, 0.0)
    assert now > THRESHOLDS.learn_after
    assert asks_singles(experiment, now)


def test_what_was_learned_is_tried_anew() -> None:
    experiment = experiment_for()
    now = learned(SERVERS["builds lists slowly"](), experiment)
    assert asks_singles(experiment, now)
    now += THRESHOLDS.keeps + 1
    now = learned(Server(0.0, SERVERS["reads the instance anew for each request"]().work, now), experiment, now)
    assert is_usual(experiment.next(FRAMES, now), LIST)


def test_a_server_that_answers_one_after_another_gets_few_requests() -> None:
    """Each of its requests costs the same however many frames it has: two workers of dask read 64 at a time."""
    make = SERVERS["reads the instance anew for each request"]
    server, experiment = make(), experiment_for()
    now = learned(server, experiment)
    before = server.requests
    small_reads(server, experiment, 10, now, frames=64)
    assert server.requests - before == 10
    far, experiment = SERVERS["is far away"](), experiment_for()
    now = learned(far, experiment)
    before = far.requests
    small_reads(far, experiment, 10, now, frames=64)
    assert far.requests - before == 1 + 9 * 4


def test_failures_say_nothing_about_speed() -> None:
    experiment = experiment_for()
    choice = experiment.next(THRESHOLDS.learn_frames, 0.0)
    assert choice is not None
    experiment.asked(choice, 64, 0.0)
    assert experiment.next(THRESHOLDS.learn_frames, 0.0) is None
    experiment.ended(choice, [], 1.0, 1.0, queued=0)
    assert is_usual(experiment.next(THRESHOLDS.learn_frames, 2.0), LIST)


def test_nobody_waits_long_for_a_trial() -> None:
    experiment = experiment_for()
    single = experiment.next(THRESHOLDS.learn_frames, 0.0)
    assert single is not None
    experiment.asked(single, 1, 0.0)
    assert experiment.next(THRESHOLDS.learn_frames, 0.9 * THRESHOLDS.at_once) is None
    experiment.ended(single, [1], 0.001, 0.001, queued=THRESHOLDS.learn_frames)
    choice = experiment.next(THRESHOLDS.learn_frames, 0.001)
    assert choice is not None
    experiment.asked(choice, 64, 0.001)
    assert experiment.next(THRESHOLDS.learn_frames, 1.0) is None
    assert is_usual(experiment.next(THRESHOLDS.learn_frames, 1.0 + experiment.patience), LIST)
    experiment.ended(choice, [1] * 64, 60.0, 60.0, queued=0)  # which was of a trial that is over
    assert not experiment.rates


def test_what_a_trial_did_not_ask_counts_for_nothing() -> None:
    server, experiment = Server(0.0, lambda frames: 0.05 + 0.001 * frames), experiment_for()
    early = experiment.usual()
    for _ in range(4):
        experiment.asked(early, 64, 0.0)
    assert experiment.next(THRESHOLDS.learn_frames, 0.0) is None  # the server is not quiet
    for _ in range(4):
        experiment.ended(early, [1] * 64, 0.1, 0.1, queued=THRESHOLDS.learn_frames)
    learned(server, experiment, 0.1)
    assert experiment.usual().mode != SINGLES


def test_one_connection_learns_too() -> None:
    experiment = experiment_for(1)
    learned(SERVERS["builds lists slowly"](), experiment)
    assert is_usual(experiment.next(1, 0.0), SINGLES, 1)


def test_slow_servers_are_waited_for_a_little() -> None:
    experiment = experiment_for()
    assert experiment.gather == 0
    choice = experiment.usual()
    experiment.asked(choice, 1, 0.0)
    experiment.ended(choice, [1], 0.03, 0.03, queued=0)
    assert experiment.gather == pytest.approx(0.0015)
    for _ in range(50):
        experiment.asked(choice, 1, 1.0)
        experiment.ended(choice, [1], 5.0, 6.0, queued=0)
    assert experiment.gather == 0.02


@pytest.mark.parametrize("least", [1, 2, LONG])
@pytest.mark.parametrize(
    ("line", "factor", "native", "helps"),
    [(5e6, 2.0, True, True), (5e6, 1.0, True, False), (500e6, 2.0, True, False), (5e6, 2.0, False, False)],
    ids=["slow line", "not offered", "fast line", "compressed frames"],
)
def test_gzip_is_taken_where_it_helps(*, line: float, factor: float, native: bool, helps: bool, least: int) -> None:
    server = Server(0.01, lambda _: 0.0, line=line, gzip=factor)
    experiment = Experiment(FrameKind(native, least), CONNECTIONS, {})
    now = 0.0
    while not experiment.rates and now < 10_000:  # it may take a second trial, with more patience
        now = learned(server, experiment, now)
    assert experiment.usual().mode.gzip is helps


def test_what_is_learned_is_known_to_others() -> None:
    experiment = experiment_for()
    now = learned(SERVERS["builds lists slowly"](), experiment)
    other = Experiment(experiment.kind, CONNECTIONS, experiment.rates)
    assert asks_singles(other, now)


# --- whole series ---

QUICK_LINE = 10.0**9
SERIES_SINGLES = THRESHOLDS.singles_before_series * CONNECTIONS


def slices(*, native: bool = True) -> Experiment:
    return Experiment(FrameKind(native, least=1), CONNECTIONS, {})


def ask_whole(experiment: Experiment, now: float) -> Round | None:
    return experiment.next(300, now, whole=True)


def asks_whole(experiment: Experiment, now: float) -> bool:
    choice = ask_whole(experiment, now)
    return choice is not None and choice.mode.form is Form.SERIES


def measure(experiment: Experiment, seconds: float, now: float = 0.0, *, lost: int = 0) -> float:
    """Ask for single frames, each for so long, one connection beside the other; gives when all have ended."""
    for sent in range(CONNECTIONS, SERIES_SINGLES + 1, CONNECTIONS):
        choices = []
        for _ in range(CONNECTIONS):
            choice = ask_whole(experiment, now)
            assert choice is not None
            assert (choice.mode.form, choice.connections) == (Form.SINGLES, CONNECTIONS)
            experiment.asked(choice, 1, now)
            choices.append(choice)
        is_last = sent == SERIES_SINGLES
        if is_last:
            assert ask_whole(experiment, now) is None
            assert is_usual(experiment.next(1, now), SINGLES)  # who wants few of them does not wait
        now += seconds
        for place, choice in enumerate(choices):
            sizes = [] if is_last and place < lost else [1000]
            experiment.ended(choice, sizes, seconds, now, queued=300 - sent)
    return now


def came(experiment: Experiment, frames: float, nbytes: float, now: float) -> None:
    """A whole series came so fast."""
    experiment.series_ended(Rate(frames, nbytes, now + THRESHOLDS.keeps))


def turn_of(wanted: int, instances: int, priority: Priority = Priority.NOW) -> Turn:
    stored = [Instance(f"1.2.{number}", 1, PIXEL) for number in range(instances)]
    state = SeriesState("1", "1.2", slices={each.sop_instance_uid: each for each in stored})
    return Turn(priority, None, state, stored[0] if stored else Instance("1.3", 1, PIXEL), wanted)


def test_only_who_wants_most_of_a_long_series_has_it_whole() -> None:
    assert may_come_whole(turn_of(200, 300))
    assert not may_come_whole(turn_of(199, 300))
    assert not may_come_whole(turn_of(300, 300, Priority.AHEAD))
    assert may_come_whole(turn_of(300, 300, Priority.BEHIND))
    assert may_come_whole(turn_of(16, 16))
    assert not may_come_whole(turn_of(15, 15))
    assert not may_come_whole(turn_of(1000, 0))  # its instances have many frames, or there are others


def test_single_frames_are_measured_first_and_then_the_series_comes_whole() -> None:
    experiment = slices()
    now = measure(experiment, 0.1)
    assert asks_whole(experiment, now)
    came(experiment, 300, QUICK_LINE, now)
    assert asks_whole(experiment, now + 1)
    other = Experiment(experiment.kind, CONNECTIONS, experiment.rates)
    assert asks_whole(other, now + 2)  # whoever asks the server next knows it


@pytest.mark.parametrize(
    ("native", "nbytes", "frames", "faster"),
    [
        (True, QUICK_LINE, 80, True),
        (True, QUICK_LINE, 62, True),  # it costs the server less
        (True, QUICK_LINE, 58, False),
        (True, 10**6, 98, False),  # gzip may help single frames
        (True, 10**6, 102, True),
        (False, 10**6, 62, True),  # it would not help codestreams
    ],
)
def test_the_faster_mode_stays_until_it_is_tried_anew(
    *, native: bool, nbytes: float, frames: float, faster: bool
) -> None:
    experiment = slices(native=native)
    now = measure(experiment, 0.1)
    assert experiment.rates[SINGLES].frames == pytest.approx(80)
    came(experiment, frames, nbytes, now)
    assert asks_whole(experiment, now + 1) is faster
    measure(experiment, 0.1, now + THRESHOLDS.keeps)


def test_a_slower_series_is_asked_for_no_more() -> None:
    experiment = slices()
    now = measure(experiment, 0.1)
    came(experiment, 300, QUICK_LINE, now)
    came(experiment, 15, QUICK_LINE, now + 20)
    assert not asks_whole(experiment, now + 20)


def test_failures_last_as_long_as_they_may() -> None:
    experiment = slices()
    now = measure(experiment, 0.1)
    experiment.series_ended(Rate(until=now + THRESHOLDS.doubts))
    assert not asks_whole(experiment, now + THRESHOLDS.doubts - 1)
    assert asks_whole(experiment, now + THRESHOLDS.doubts)


def test_single_frames_that_were_lost_say_nothing() -> None:
    experiment = slices()
    now = measure(experiment, 0.1, lost=1)
    assert is_usual(ask_whole(experiment, now), SINGLES)
    assert is_usual(ask_whole(experiment, now + THRESHOLDS.doubts - 1), SINGLES)
    measure(experiment, 0.1, now + THRESHOLDS.doubts)


def test_patience_grows_with_what_single_frames_would_take() -> None:
    experiment = slices()
    measure(experiment, 0.1)  # 80 a second
    assert experiment.series_patience(800) == pytest.approx(20.0)
    assert experiment.series_patience(8) == pytest.approx(2.0)


def test_what_is_known_of_the_whole_series_stays_when_more_is_found_out() -> None:
    experiment = slices()
    now = measure(experiment, 0.1)
    came(experiment, 15, QUICK_LINE, now)
    now = learned(Server(0.01, lambda _: 0.0, line=100e6, gzip=2.0), experiment, now)
    assert experiment.usual().mode.gzip
    assert not asks_whole(experiment, now)


def test_only_lists_tell_what_lists_take() -> None:
    """A server may be quick with single frames, and slow with lists: longer ones would keep small reads waiting."""
    experiment = experiment_for()
    usual = experiment.usual()
    assert experiment.list_seconds == 0.0
    experiment.asked(usual, 1, 0.0)
    experiment.ended(usual, [FRAME_BYTES], 0.002, 0.002, queued=0)
    assert experiment.duration == 0.002
    assert experiment.list_seconds == 0.0
    experiment.asked(usual, LONG, 1.0)
    experiment.ended(usual, [FRAME_BYTES] * LONG, 0.3, 1.3, queued=0)
    assert experiment.list_seconds == 0.3


def test_lists_are_of_the_usual_length_while_modes_are_compared() -> None:
    experiment = experiment_for()
    usual = experiment.usual()
    experiment.asked(usual, LONG, 0.0)
    experiment.ended(usual, [FRAME_BYTES] * LONG, 0.01, 0.01, queued=0)
    assert experiment.list_seconds == 0.01
    assert experiment.next(4096, 1.0) is not None  # which begins to compare
    assert experiment.list_seconds == 0.0
