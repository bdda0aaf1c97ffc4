"""The queue of wanted frames: every frame once, lists within bounds, turns."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomzarr.dicom.instance import Instance
from dicomzarr.dicom.pixels.pixels import PixelDescription
from dicomzarr.engine.requests import SMALL_READ, FrameQueue, Priority
from dicomzarr.engine.series_state import FrameKey, SeriesState
from dicomzarr.sources.dicomweb.tuning.lists import (
    LONGEST_LIST_TEXT,
    MOST_LIST_BYTES,
    SMALLEST_LIST,
    USUAL_LIST,
    list_length,
    longest_list,
    one_list,
)

PIXEL = PixelDescription(
    rows=256,
    columns=256,
    samples=1,
    bits_allocated=8,
    bits_stored=8,
    high_bit=7,
    signed=False,
    photometric_interpretation="MONOCHROME2",
)
INSTANCES = [Instance(f"1.2.3.{number}", 300_000, PIXEL) for number in (1, 2)]
FIRST, SECOND = INSTANCES
LARGE = Instance("1.2.3.9", 500, replace(PIXEL, rows=4096, columns=4096))
OPENING = SeriesState("1.2", "1.2.3", instances={each.sop_instance_uid: each for each in (*INSTANCES, LARGE)})


def key(number: int, instance: Instance = FIRST) -> FrameKey:
    return FrameKey(OPENING, instance.sop_instance_uid, number)


def queue_of(*numbers: int, priority: Priority = Priority.NOW, reader: str = "a") -> FrameQueue:
    queue = FrameQueue()
    for number in numbers:
        queue.add(key(number), priority, reader)
    return queue


def take(queue: FrameQueue, length: int) -> tuple[FrameKey, ...]:
    """The list of whoever's turn it is."""
    turn = next(queue.turns())
    keys = one_list(turn.instance, queue.keys(turn), length)
    queue.take(keys)
    return keys


def taken(queue: FrameQueue, length: int) -> tuple[int, ...]:
    return tuple(key.number for key in take(queue, length))


wanted = st.tuples(
    st.sampled_from(INSTANCES), st.integers(1, 300_000), st.sampled_from(Priority), st.sampled_from("abc")
)


@given(frames=st.lists(wanted, max_size=300), dropped=st.sets(st.integers(0, 299)), length=st.integers(1, 5000))
def test_every_frame_is_in_one_list_and_no_list_is_too_long(
    frames: list[tuple[Instance, int, Priority, str]], dropped: set[int], length: int
) -> None:
    queue = FrameQueue()
    for instance, number, priority, reader in frames:
        queue.add(key(number, instance), priority, reader)
    gone = {key(number, instance) for at, (instance, number, *_) in enumerate(frames) if at in dropped}
    for each in gone:
        queue.discard(each)
    left = {key(number, instance) for instance, number, *_ in frames} - gone
    assert len(queue) == len(left)
    all_taken: Counter[FrameKey] = Counter()
    while queue:
        turn = next(queue.turns())
        keys = take(queue, length)
        numbers = [key.number for key in keys]
        assert {key.stored for key in keys} == {turn.instance}
        assert len(numbers) <= turn.frames
        assert 1 <= len(numbers) <= length
        assert numbers == sorted(set(numbers))
        assert len(",".join(map(str, numbers))) <= LONGEST_LIST_TEXT
        all_taken.update(keys)
    assert all_taken == Counter(left)
    assert not list(queue.turns())


def test_large_frames_make_short_lists() -> None:
    queue = FrameQueue()
    for number in range(1, 101):
        queue.add(key(number, LARGE), Priority.NOW, "a")
    assert len(take(queue, 64)) == MOST_LIST_BYTES // LARGE.pixel.nbytes == 4


def test_readers_take_turns() -> None:
    queue = queue_of(*range(1, 101))
    for number in (201, 202):
        queue.add(key(number), Priority.NOW, "b")
    assert taken(queue, 10) == tuple(range(1, 11))
    assert taken(queue, 10) == (201, 202)
    assert taken(queue, 10) == tuple(range(11, 21))


def test_what_is_waited_for_goes_first() -> None:
    queue = queue_of(1, 2, priority=Priority.AHEAD)
    queue.add(key(3), Priority.NOW, "b")
    queue.add(key(2), Priority.NOW, "b")  # now somebody waits for it
    queue.add(key(3), Priority.AHEAD, "c")  # and this does not make it less urgent
    assert next(queue.turns()).priority is Priority.NOW
    assert taken(queue, 10) == (2, 3)
    assert taken(queue, 10) == (1,)


def test_what_is_dropped_is_not_asked_for() -> None:
    queue = queue_of(1, 2)
    queue.discard(key(1))
    queue.discard(key(7))
    assert key(1) not in queue
    assert taken(queue, 10) == (2,)


@given(total=st.integers(1, 5000), longest=st.integers(1, 400), free=st.integers(1, 64))
def test_long_lists_leave_no_connection_idle(total: int, longest: int, free: int) -> None:
    length = list_length(total, free, longest)
    assert 1 <= length <= longest
    assert -(-total // length) >= min(free, total // SMALLEST_LIST) // 2


@given(
    queued=st.integers(1, 10_000),
    connections=st.integers(1, 64),
    seconds=st.floats(0, 60),
    most=st.integers(1, 400),
)
def test_lists_are_longer_than_usual_only_where_no_connection_idles_for_it_and_none_waits_long(
    queued: int, connections: int, seconds: float, most: int
) -> None:
    length = longest_list(queued, connections, seconds, most)
    assert 1 <= length <= most
    if length > USUAL_LIST:
        assert length * connections <= queued
        assert seconds * length / USUAL_LIST <= 0.25


@pytest.mark.parametrize(
    ("queued", "seconds", "most", "length"),
    [
        (4096, 0.1, 256, 160),
        (4096, 0.01, 256, 256),
        (4096, 5e-324, 256, 256),
        (4096, 0.01, 100, 100),
        (4096, 0.5, 256, 64),
        (4096, 0.0, 256, 64),
        (600, 0.01, 256, 75),
        (100, 0.01, 256, 64),
        (100, 0.01, 10, 10),
    ],
)
def test_how_long_lists_are(queued: int, seconds: float, most: int, length: int) -> None:
    assert longest_list(queued, 8, seconds, most) == length


def test_what_a_reader_waits_for() -> None:
    queue = queue_of(1, 2)
    queue.add(key(7, SECOND), Priority.NOW, "a")
    assert next(queue.turns()).frames == 3
    assert queue.waiting(Priority.NOW, "a") == [key(1), key(2), key(7, SECOND)]
    assert queue.waiting(Priority.AHEAD, "a") == []


def test_a_small_reader_takes_its_frame_from_a_large_one() -> None:
    queue = queue_of(*range(1, 101))
    queue.add(key(100), Priority.NOW, "b")
    queue.add(key(100), Priority.NOW, "a")  # which has many others, and takes nothing back
    assert taken(queue, 10) == tuple(range(1, 11))
    assert taken(queue, 10) == (100,)


def test_who_waits_for_what_comes_anyway_has_no_turn() -> None:
    queue = queue_of(*range(1, 101))
    queue.add(key(7, SECOND), Priority.NOW, "b")
    queue.expect(key(1))
    assert [turn.reader for turn in queue.turns()] == ["b"]
    queue.discard(key(7, SECOND))
    assert not list(queue.turns())
    assert queue.wants(OPENING)
    assert queue.is_coming(OPENING)
    queue.expect_no_more(OPENING)
    assert [turn.reader for turn in queue.turns()] == ["a"]
    assert not queue.is_coming(OPENING)


def test_while_decoders_are_behind_it_is_the_turn_of_small_reads() -> None:
    queue = queue_of(*range(1, SMALL_READ + 2))
    queue.add(key(100), Priority.NOW, "b")
    queue.large_wait = True
    assert [turn.reader for turn in queue.turns()] == ["b"]
    queue.large_wait = False
    assert [turn.reader for turn in queue.turns()] == ["a", "b"]
