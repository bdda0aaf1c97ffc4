"""What is learned about a server: simulated servers, so that no clock is waited for."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from dicomzarr.sources.dicomweb.tuning.lists import list_length
from dicomzarr.sources.dicomweb.tuning.server_profile import FrameKind
from dicomzarr.sources.dicomweb.tuning.strategy import KEEPS, LEARN_AFTER, WORTH_LEARNING, Strategy
from dicomzarr.sources.dicomweb.tuning.way import Way

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTIONS, LONGEST, FRAMES = 8, 64, 2000
FRAME_BYTES = 500_000


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
    """Bytes a second that it can send, where that is what limits it."""
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


def strategy_for(connections: int = CONNECTIONS) -> Strategy:
    return Strategy(FrameKind(native=False, many=True), connections, {})


def length_of(way: Way, queued: int, under_way: int) -> int:
    """As the origin cuts requests."""
    if not way.lists:
        return 1
    return min(queued, list_length(queued, way.connections - under_way, LONGEST) if way.split else LONGEST)


def read(server: Server, choose: Callable[[int, float], Way | None], strategy: Strategy | None, now: float) -> float:
    """Read all frames; gives when the last has come."""
    queued, under_way = FRAMES, []
    while queued or under_way:
        while queued:
            way = choose(queued, now)
            if way is None or len(under_way) >= way.connections:
                break
            length = length_of(way, queued, len(under_way))
            queued -= length
            heapq.heappush(under_way, (server.answer(length, now, gzip=way.gzip), server.requests, now, length, way))
            if strategy is not None:
                strategy.asked(way, length, now)
        assert under_way, "nothing is under way, and nothing is asked"
        now, _, began, length, way = heapq.heappop(under_way)
        if strategy is not None:
            strategy.answered(way, [FRAME_BYTES] * length, now - began, now, queued=queued)
    return now


def learned(server: Server, strategy: Strategy, now: float = 0.0) -> float:
    return read(server, strategy.way, strategy, now)


def fixed(server: Server, *, lists: bool) -> float:
    return read(server, lambda _queued, _now: Way(lists, CONNECTIONS), None, 0.0)


@pytest.mark.parametrize("name", SERVERS)
def test_learning_included_it_comes_close_to_the_better_way(name: str) -> None:
    make = SERVERS[name]
    best = min(fixed(make(), lists=True), fixed(make(), lists=False))
    strategy, server = strategy_for(), make()
    first = learned(server, strategy)
    assert first <= 1.25 * best or first - best < 4.5 * server.latency  # round trips, once
    assert learned(server, strategy, first) - first <= 1.05 * best


def test_lists_that_gain_nothing_are_hardly_tried() -> None:
    server = SERVERS["builds lists slowly"]()
    learned(server, strategy_for())
    assert server.listed <= 64 + 128


def asks_singles(strategy: Strategy, now: float) -> bool:
    way = strategy.way(FRAMES, now)
    return way is not None and way.connections == CONNECTIONS and not way.lists


def test_a_short_read_finds_nothing_out() -> None:
    strategy = strategy_for()
    for _ in range(3):
        assert strategy.way(WORTH_LEARNING - 1, 0.0) == Way(lists=True, connections=CONNECTIONS)


def small_reads(server: Server, strategy: Strategy, count: int, now: float, *, frames: int = 40) -> float:
    """Small reads, one after another."""
    for _ in range(count):
        queued, under_way = frames, []
        while queued or under_way:
            way = strategy.way(queued, now) if queued else None
            if way is not None and len(under_way) < way.connections:
                length = length_of(way, queued, len(under_way))
                queued -= length
                strategy.asked(way, length, now)
                heapq.heappush(under_way, (server.answer(length, now), server.requests, now, length, way))
                continue
            now, _, began, length, way = heapq.heappop(under_way)
            strategy.answered(way, [FRAME_BYTES] * length, now - began, now, queued=queued)
    return now


def test_many_short_reads_learn_too() -> None:
    server, strategy = SERVERS["builds lists slowly"](), strategy_for()
    now = small_reads(server, strategy, 40, 0.0)
    assert now > LEARN_AFTER
    assert asks_singles(strategy, now)


def test_what_was_learned_is_tried_anew() -> None:
    strategy = strategy_for()
    now = learned(SERVERS["builds lists slowly"](), strategy)
    assert asks_singles(strategy, now)
    now += KEEPS + 1
    now = learned(Server(0.0, SERVERS["reads the instance anew for each request"]().work, now), strategy, now)
    assert strategy.way(FRAMES, now) == Way(lists=True, connections=CONNECTIONS)


def test_a_server_that_answers_one_after_another_gets_few_requests() -> None:
    """Each of its requests costs the same however many frames it has: two workers of dask read 64 at a time."""
    make = SERVERS["reads the instance anew for each request"]
    server, strategy = make(), strategy_for()
    now = learned(server, strategy)
    before = server.requests
    small_reads(server, strategy, 10, now, frames=64)
    assert server.requests - before == 10
    far, strategy = SERVERS["is far away"](), strategy_for()
    now = learned(far, strategy)
    before = far.requests
    small_reads(far, strategy, 10, now, frames=64)
    assert far.requests - before == 40


def test_failures_say_nothing_about_speed() -> None:
    strategy = strategy_for()
    way = strategy.way(WORTH_LEARNING, 0.0)
    assert way is not None
    strategy.asked(way, 64, 0.0)
    assert strategy.way(WORTH_LEARNING, 0.0) is None
    strategy.answered(way, [], 1.0, 1.0, queued=0)
    assert strategy.way(WORTH_LEARNING, 2.0) == Way(lists=True, connections=CONNECTIONS)


def test_nobody_waits_long_for_a_trial() -> None:
    strategy = strategy_for()
    way = strategy.way(WORTH_LEARNING, 0.0)
    assert way is not None
    strategy.asked(way, 64, 0.0)
    assert strategy.way(WORTH_LEARNING, 1.0) is None
    assert strategy.way(WORTH_LEARNING, 1.0 + strategy.patience) == strategy.usual_way()
    strategy.answered(way, [1] * 64, 60.0, 60.0, queued=0)  # which was of a trial that is over
    assert strategy.kind not in strategy.known


def test_what_a_trial_did_not_ask_counts_for_nothing() -> None:
    server, strategy = Server(0.0, lambda frames: 0.05 + 0.001 * frames), strategy_for()
    early = strategy.usual_way()
    for _ in range(4):
        strategy.asked(early, 64, 0.0)
    assert strategy.way(WORTH_LEARNING, 0.0) is None  # the server is not quiet
    for _ in range(4):
        strategy.answered(early, [1] * 64, 0.1, 0.1, queued=WORTH_LEARNING)
    learned(server, strategy, 0.1)
    assert strategy.known[strategy.kind].lists


def test_one_connection_learns_too() -> None:
    strategy = strategy_for(1)
    learned(SERVERS["builds lists slowly"](), strategy)
    assert strategy.way(1, 0.0) == Way(lists=False, connections=1)


def test_slow_servers_are_waited_for_a_little() -> None:
    strategy = strategy_for()
    assert strategy.gather == 0
    way = strategy.usual_way()
    strategy.asked(way, 1, 0.0)
    strategy.answered(way, [1], 0.03, 0.03, queued=0)
    assert strategy.gather == pytest.approx(0.0015)
    for _ in range(50):
        strategy.asked(way, 1, 1.0)
        strategy.answered(way, [1], 5.0, 6.0, queued=0)
    assert strategy.gather == 0.02


@pytest.mark.parametrize("many", [True, False])
@pytest.mark.parametrize(
    ("line", "factor", "native", "helps"),
    [(5e6, 2.0, True, True), (5e6, 1.0, True, False), (500e6, 2.0, True, False), (5e6, 2.0, False, False)],
    ids=["slow line", "not offered", "fast line", "compressed frames"],
)
def test_gzip_is_taken_where_it_helps(*, line: float, factor: float, native: bool, helps: bool, many: bool) -> None:
    server = Server(0.01, lambda _: 0.0, line=line, gzip=factor)
    strategy = Strategy(FrameKind(native, many), CONNECTIONS, {})
    now = 0.0
    while strategy.kind not in strategy.known and now < 10_000:  # it may take a second trial, with more patience
        now = learned(server, strategy, now)
    assert strategy.usual_way().gzip is helps


def test_what_is_learned_is_known_to_others() -> None:
    strategy = strategy_for()
    now = learned(SERVERS["builds lists slowly"](), strategy)
    other = Strategy(strategy.kind, CONNECTIONS, strategy.known)
    assert asks_singles(other, now)
    native = Strategy(FrameKind(native=True, many=True), CONNECTIONS, strategy.known)
    assert not asks_singles(native, now)
