"""What is learned of whole series: no clock is waited for."""

from __future__ import annotations

import pytest
from fake_client import PIXEL

from dicomzarr.dicom.instance import Instance
from dicomzarr.engine.requests import Priority, Turn
from dicomzarr.engine.series_state import SeriesState
from dicomzarr.sources.dicomweb.tuning.series_choice import DOUBTS, KEEPS, SeriesChoice, may_come_whole
from dicomzarr.sources.dicomweb.tuning.server_profile import FrameKind, WholeSeries
from dicomzarr.sources.dicomweb.tuning.way import Way

KIND = FrameKind(native=True, many=False)
CONNECTIONS = 4
USUAL = Way(lists=True, connections=CONNECTIONS, gzip=True)
SINGLES = 12
"""Requests of one frame that show how fast those come."""
QUICK_LINE = 10**9
"""Bytes of what came: no line is slow."""


def choice(*, native: bool = True) -> SeriesChoice:
    return SeriesChoice(KIND._replace(native=native), CONNECTIONS, {})


def measure(choosing: SeriesChoice, seconds: float, now: float = 0.0, *, lost: int = 0) -> float:
    """Ask for single frames, each for so long, one connection beside the other; gives when all have ended."""
    sent = 0
    while sent < SINGLES:
        ways = []
        for _ in range(CONNECTIONS):
            way = choosing.way(USUAL, now)
            assert way is not None
            assert (way.series, way.lists, way.gzip, way.connections) == (False, False, True, CONNECTIONS)
            assert way.measured is not None
            way.measured.ask(1, now)
            ways.append(way.measured)
        sent += CONNECTIONS
        if sent == SINGLES:
            assert choosing.way(USUAL, now) is None
        now += seconds
        for place, measured in enumerate(ways):
            measured.answer(0 if sent == SINGLES and place < lost else 1, 1000, now)
    return now


def turn_of(wanted: int, instances: int) -> Turn:
    stored = [Instance(f"1.2.{number}", 1, PIXEL) for number in range(instances)]
    state = SeriesState("1", "1.2", slices={each.sop_instance_uid: each for each in stored})
    return Turn(Priority.NOW, None, state, stored[0] if stored else Instance("1.3", 1, PIXEL), wanted)


def test_only_who_wants_most_of_a_long_series_has_it_whole() -> None:
    assert may_come_whole(turn_of(200, 300))
    assert not may_come_whole(turn_of(199, 300))
    assert may_come_whole(turn_of(16, 16))
    assert not may_come_whole(turn_of(15, 15))
    assert not may_come_whole(turn_of(1000, 0))  # its instances have many frames, or there are others


def test_single_frames_are_measured_first_and_then_the_series_comes_whole() -> None:
    choosing = choice()
    now = measure(choosing, 0.1)
    whole = choosing.way(USUAL, now)
    assert whole is not None
    assert whole.series
    choosing.came(300, QUICK_LINE, 1.0, now + 1)
    assert choosing.is_open(now + 1)
    later = SeriesChoice(KIND, CONNECTIONS, choosing.known).way(USUAL, now + 2)
    assert later is not None
    assert later.series  # whoever asks the server next knows it


@pytest.mark.parametrize(
    ("native", "nbytes", "seconds", "faster"),
    [
        (True, QUICK_LINE, 300 / 40, True),
        (True, QUICK_LINE, 300 / 31, True),  # it costs the server less
        (True, QUICK_LINE, 300 / 29, False),
        (True, 10**6, 300 / 49, False),  # gzip may help single frames
        (True, 10**6, 300 / 51, True),
        (False, 10**6, 300 / 31, True),  # it would not help codestreams
    ],
)
def test_the_faster_way_stays_until_it_is_tried_anew(
    *, native: bool, nbytes: int, seconds: float, faster: bool
) -> None:
    choosing = choice(native=native)
    now = measure(choosing, 0.1)  # 40 a second
    assert choosing.way(USUAL, now) is not None
    choosing.came(300, nbytes, seconds, now)
    assert choosing.known[choosing.kind] == WholeSeries(faster, pytest.approx(40), now + KEEPS)
    assert choosing.is_open(now + 1) is faster
    assert choosing.is_open(now + KEEPS)
    measure(choosing, 0.1, now + KEEPS)


def test_a_slower_series_is_asked_for_no_more() -> None:
    choosing = choice()
    now = measure(choosing, 0.1)
    assert choosing.way(USUAL, now) is not None
    choosing.came(300, QUICK_LINE, 1.0, now)
    choosing.came(300, QUICK_LINE, 20.0, now + 20)
    assert not choosing.is_open(now + 20)


def test_failures_last_as_long_as_they_may() -> None:
    choosing = choice()
    choosing.failed(0.0, DOUBTS)
    assert not choosing.is_open(DOUBTS - 1)
    assert choosing.is_open(DOUBTS)


def test_single_frames_that_were_lost_say_nothing() -> None:
    choosing = choice()
    now = measure(choosing, 0.1, lost=1)
    assert choosing.way(USUAL, now) == USUAL
    assert not choosing.is_open(now + DOUBTS - 1)
    assert choosing.is_open(now + DOUBTS)


def test_patience_grows_with_what_single_frames_would_take() -> None:
    choosing = choice()
    now = measure(choosing, 0.1)  # 40 a second
    assert choosing.way(USUAL, now) is not None
    assert choosing.patience(400) == pytest.approx(20.0)
    assert choosing.patience(8) == pytest.approx(2.0)
