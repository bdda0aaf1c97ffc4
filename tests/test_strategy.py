"""What is learned about a server: simulated servers, so that no clock is waited for."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from dicomzarr.frames.requests import list_length
from dicomzarr.frames.strategy import KEEPS, LEARN_AFTER, WORTH_LEARNING, Strategy, Way

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTIONS, LONGEST, FRAMES = 8, 64, 2000


@dataclass
class Server:
    """Answers after a latency that requests share, and work that is done one request after another."""

    latency: float
    work: Callable[[int], float]
    """Seconds for a request of so many frames."""
    busy_until: float = 0.0
    requests: int = 0

    def answer(self, frames: int, now: float) -> float:
        """When the reply is there."""
        self.requests += 1
        self.busy_until = max(now, self.busy_until) + self.work(frames)
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


def read(server: Server, choose: Callable[[int, float], Way | None], strategy: Strategy | None, now: float) -> float:
    """Read all frames; gives when the last has come."""
    queued, under_way = FRAMES, []
    while queued or under_way:
        while queued:
            way = choose(queued, now)
            if way is None or len(under_way) >= way.connections:
                break
            length = min(queued, list_length(queued, way.connections, LONGEST) if way.lists else 1)
            queued -= length
            heapq.heappush(under_way, (server.answer(length, now), now, length))
            if strategy is not None:
                strategy.asked(length, now)
        assert under_way, "nothing is under way, and nothing is asked"
        now, began, length = heapq.heappop(under_way)
        if strategy is not None:
            strategy.answered(length, now - began, now, queued=queued)
    return now


def learned(server: Server, strategy: Strategy, now: float = 0.0) -> float:
    return read(server, strategy.way, strategy, now)


def fixed(server: Server, *, lists: bool) -> float:
    return read(server, lambda _queued, _now: Way(lists, CONNECTIONS), None, 0.0)


@pytest.mark.parametrize("name", SERVERS)
def test_learning_included_it_comes_close_to_the_better_way(name: str) -> None:
    make = SERVERS[name]
    best = min(fixed(make(), lists=True), fixed(make(), lists=False))
    strategy, server = Strategy(CONNECTIONS), make()
    first = learned(server, strategy)
    assert first <= 1.25 * best or first - best < 0.25  # seconds: two more round trips, once
    begin = server.busy_until
    assert learned(server, strategy, begin) - begin <= 1.05 * best


def test_a_short_read_finds_nothing_out() -> None:
    strategy = Strategy(CONNECTIONS)
    for _ in range(3):
        assert strategy.way(WORTH_LEARNING - 1, 0.0) == Way(lists=True, connections=CONNECTIONS)


def small_reads(server: Server, strategy: Strategy, count: int, now: float) -> float:
    """Reads of 40 frames, one after another."""
    for _ in range(count):
        queued, under_way = 40, []
        while queued or under_way:
            way = strategy.way(queued, now) if queued else None
            if way is not None and len(under_way) < way.connections:
                length = min(queued, list_length(queued, way.connections, LONGEST) if way.lists else 1)
                queued -= length
                strategy.asked(length, now)
                heapq.heappush(under_way, (server.answer(length, now), now, length))
                continue
            now, began, length = heapq.heappop(under_way)
            strategy.answered(length, now - began, now, queued=queued)
    return now


def test_many_short_reads_learn_too() -> None:
    server, strategy = SERVERS["builds lists slowly"](), Strategy(CONNECTIONS)
    now = small_reads(server, strategy, 40, 0.0)
    assert now > LEARN_AFTER
    assert strategy.way(40, now) == Way(lists=False, connections=CONNECTIONS)


def test_what_was_learned_is_tried_anew() -> None:
    strategy = Strategy(CONNECTIONS)
    now = learned(SERVERS["builds lists slowly"](), strategy)
    assert strategy.way(FRAMES, now) == Way(lists=False, connections=CONNECTIONS)
    now += KEEPS + 1
    now = learned(Server(0.0, SERVERS["reads the instance anew for each request"]().work, now), strategy, now)
    assert strategy.way(FRAMES, now) == Way(lists=True, connections=CONNECTIONS)


def test_failures_say_nothing_about_speed() -> None:
    strategy = Strategy(CONNECTIONS)
    way = strategy.way(WORTH_LEARNING, 0.0)
    while way is not None:
        strategy.asked(64, 0.0)
        way = strategy.way(WORTH_LEARNING, 0.0)
    for _ in range(4):
        strategy.answered(0, 1.0, 1.0, queued=0)
    assert strategy.way(40, 2.0) == Way(lists=True, connections=CONNECTIONS)


def test_one_connection_learns_too() -> None:
    strategy = Strategy(1)
    learned(SERVERS["builds lists slowly"](), strategy)
    assert strategy.way(1, 0.0) == Way(lists=False, connections=1)


def test_slow_servers_are_waited_for_a_little() -> None:
    strategy = Strategy(CONNECTIONS)
    assert strategy.gather() == 0
    strategy.asked(1, 0.0)
    strategy.answered(1, 0.03, 0.03, queued=0)
    assert strategy.gather() == pytest.approx(0.0015)
    for _ in range(50):
        strategy.asked(1, 1.0)
        strategy.answered(1, 5.0, 6.0, queued=0)
    assert strategy.gather() == 0.02
