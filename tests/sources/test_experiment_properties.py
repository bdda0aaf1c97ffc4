"""Whatever a server is like: what is measured ends, finds the faster mode, and holds nobody up for ever."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from dicomzarr.sources.dicomweb.tuning.experiment import LONG, Experiment, Round
from dicomzarr.sources.dicomweb.tuning.lists import list_length
from dicomzarr.sources.dicomweb.tuning.server_profile import FetchMode, Form, FrameKind, Rate
from dicomzarr.sources.dicomweb.tuning.thresholds import Thresholds

if TYPE_CHECKING:
    from collections.abc import Mapping

THRESHOLDS = Thresholds()
LONGEST, READ, FRAME_BYTES = 64, 600, 50_000
SERIES = FetchMode(Form.SERIES)
PLAIN = (Form.LIST, Form.SINGLES)


@dataclass
class Server:
    """Serves so many requests of a mode at the same time, each at its own rate; some modes bring nothing."""

    rates: Mapping[FetchMode, float]
    """Frames a second of one request alone."""
    lanes: Mapping[Form, int]
    latency: float = 0.0
    """Seconds that every request takes besides."""
    refused: frozenset[FetchMode] = frozenset()
    busy: dict[int, float] = field(default_factory=dict)
    """Until when, by lane."""

    def mode(self, mode: FetchMode) -> FetchMode:
        """Short lists are lists."""
        return mode._replace(form=Form.LIST) if mode.form is Form.SPLIT_LISTS else mode

    def answer(self, mode: FetchMode, frames: int, now: float) -> float:
        """When the reply is there."""
        lanes = self.lanes[mode.form]
        lane = min(range(lanes), key=lambda each: self.busy.get(each, 0.0))
        self.busy[lane] = max(now, self.busy.get(lane, 0.0)) + frames / self.rates[mode]
        return self.busy[lane]

    def total(self, mode: FetchMode) -> float:
        """Frames a second of all connections together."""
        return self.rates[self.mode(mode)] * self.lanes[self.mode(mode).form]


@st.composite
def servers(draw: st.DrawFn, *, slowest: float = 100.0, refuses: bool = False) -> tuple[Server, int]:
    """A server, and the connections that it is asked over; such that readers wait for what is measured."""
    connections = draw(st.sampled_from([1, 2, 4, 8]))
    speed = st.floats(slowest, 5000.0)
    modes = [FetchMode(form, gzip) for form in PLAIN for gzip in (False, True)] + [SERIES]
    rates = {mode: draw(speed) for mode in modes}
    at_once = [lanes for lanes in (1, 2, 4, 8) if lanes <= connections]
    lanes = {
        Form.SINGLES: draw(st.sampled_from(at_once)),
        # Lists come twice as fast together at most, which half of the connections show.
        Form.LIST: draw(st.sampled_from([lanes for lanes in (1, 2) if lanes <= max(1, connections // 2)])),
        Form.SERIES: 1,
    }
    refused = draw(st.frozensets(st.sampled_from(modes), min_size=1)) if refuses else frozenset()
    return Server(rates, lanes, refused), connections


@dataclass
class Reader:
    """Reads by what an experiment says; time passes as the server takes it."""

    experiment: Experiment
    server: Server
    now: float = 0.0
    measured: int = 0
    """Frames that were asked for to measure something, and otherwise than they usually are."""
    rounds: dict[int, Round] = field(default_factory=dict)
    series: list[tuple[float, bool]] = field(default_factory=list)
    """When a whole series was asked for, and whether it came."""

    def read(self, *, whole: bool = False) -> FetchMode:
        """Read once; gives the mode of the last request."""
        queued, sent, last = READ, 0, SERIES
        under_way: list[tuple[float, int, float, int, Round]] = []
        while queued or under_way:
            while queued and len(under_way) < self.experiment.connections:
                choice = self.experiment.next(queued, self.now, whole=whole and queued > READ / 2)
                if choice is None:
                    assert under_way, "nothing is under way, and nothing is asked"
                    if self.now + self.experiment.patience >= under_way[0][0]:
                        break
                    self.now += self.experiment.patience  # the reader asks again then
                    continue
                if choice.mode == SERIES:
                    queued = 0 if self._series(queued) else queued
                    continue
                if len(under_way) >= choice.connections:
                    break
                frames = min(queued, self._length(choice, queued, len(under_way)))
                queued, sent, last = queued - frames, sent + 1, choice.mode
                self.experiment.asked(choice, frames, self.now)
                if choice.least:
                    usual = self.experiment.usual()
                    self.measured += frames * ((choice.mode, choice.connections) != (usual.mode, usual.connections))
                    self.rounds[id(choice)] = choice
                ends = self.server.answer(self.server.mode(choice.mode), frames, self.now)
                heapq.heappush(under_way, (ends, sent, self.now, frames, choice))
            if under_way:
                self.now, _, began, frames, choice = heapq.heappop(under_way)
                lost = self.server.mode(choice.mode) in self.server.refused
                sizes = [] if lost else [FRAME_BYTES] * frames
                self.experiment.ended(choice, sizes, self.now - began, self.now, queued=queued)
        return last

    def _series(self, frames: int) -> bool:
        came = SERIES not in self.server.refused
        self.series.append((self.now, came))
        seconds = frames / self.server.rates[SERIES]
        if came:
            self.now += seconds
            rate = Rate(frames / seconds, FRAME_BYTES * frames / seconds, self.now + THRESHOLDS.keeps)
        else:
            rate = Rate(until=self.now + THRESHOLDS.doubts)
        self.experiment.series_ended(rate)
        return came

    def _length(self, choice: Round, queued: int, under_way: int) -> int:
        match choice.mode.form:
            case Form.SINGLES:
                return 1
            case Form.SPLIT_LISTS:
                return list_length(queued, choice.connections - under_way, LONGEST)
        return LONGEST


def reader_of(made: tuple[Server, int], *, native: bool, least: int) -> Reader:
    server, connections = made
    return Reader(Experiment(FrameKind(native, least), connections, {}, THRESHOLDS), server)


MOST_MEASURED = 2 * LONGEST + 2 + THRESHOLDS.list_frames + LONGEST + 2 * 8 * THRESHOLDS.singles
"""Frames of all rounds of one trial, with eight connections."""


def most_trials(seconds: float) -> float:
    """How many may be begun meanwhile: each that failed doubles how long none is, of the time with requests."""
    return 1 + sum(THRESHOLDS.learn_after * 2**count <= seconds for count in range(1, 9)) + seconds / 64


@settings(deadline=None)
@given(made=servers(), native=st.booleans())
def test_lists_or_singles_the_faster_one_is_found_soon(made: tuple[Server, int], *, native: bool) -> None:
    reader = reader_of(made, native=native, least=LONG)
    reader.read()
    assert reader.measured <= MOST_MEASURED
    server, usual = reader.server, reader.experiment.usual().mode
    best = max(server.total(FetchMode(form)) for form in PLAIN)
    packed = server.total(FetchMode(server.mode(usual).form, gzip=True))
    plain = server.total(usual._replace(gzip=False))
    assert plain >= 0.99 * best
    if native and plain * FRAME_BYTES < 0.99 * THRESHOLDS.slow_line:
        assert THRESHOLDS.worth_gzip * server.total(usual) >= 0.99 * max(plain, packed)
    elif not native or plain * FRAME_BYTES > 1.01 * THRESHOLDS.slow_line:
        assert not usual.gzip
    measured = reader.measured
    assert reader.read() == usual
    assert reader.measured == measured  # nothing is tried before what is known expires
    reader.now += THRESHOLDS.keeps
    reader.read()
    assert reader.measured > measured


@settings(deadline=None)
@given(made=servers(), native=st.booleans())
def test_single_frames_or_the_whole_series_the_faster_one_is_found_soon(
    made: tuple[Server, int], *, native: bool
) -> None:
    reader = reader_of(made, native=native, least=1)
    reader.read(whole=True)
    reader.read(whole=True)
    server = reader.server
    assert len(reader.series) in {1, 2}
    assert reader.measured <= THRESHOLDS.singles_before_series * reader.experiment.connections + MOST_MEASURED
    singles, series = server.total(FetchMode(Form.SINGLES)), server.total(SERIES)
    is_slow = native and series * FRAME_BYTES < THRESHOLDS.slow_line
    worth = THRESHOLDS.worth_series_on_slow_line if is_slow else THRESHOLDS.worth_series
    usual = server.total(reader.experiment.usual().mode)
    if len(reader.series) == 2:
        assert series >= 0.99 * worth * singles
    else:
        assert series <= 1.01 * worth * max(usual, singles)


@settings(deadline=None)
@given(
    made=servers(slowest=2.0, refuses=True),
    native=st.booleans(),
    least=st.sampled_from([1, 2, LONG]),
    whole=st.booleans(),
)
def test_what_is_refused_is_not_asked_for_again_soon_and_holds_nobody_up(
    made: tuple[Server, int], *, native: bool, least: int, whole: bool
) -> None:
    reader = reader_of(made, native=native, least=least)
    for _ in range(6):
        reader.read(whole=whole and least == 1)
    for (asked, came), (again, _) in zip(reader.series, reader.series[1:], strict=False):
        assert came or again >= asked + THRESHOLDS.doubts
    failed = [each for each in reader.rounds.values() if each.came < each.asked and not each.before_series]
    assert len(failed) <= most_trials(reader.now)
    for each in reader.rounds.values():
        assert each.asked <= max(THRESHOLDS.list_frames + LONGEST, THRESHOLDS.singles * reader.experiment.connections)
