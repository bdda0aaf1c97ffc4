"""Readers take turns, and what each took is a row."""

from __future__ import annotations

import gc
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Pixels = np.ndarray[Any, np.dtype[np.uint8]]

MEGA = 2**20
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_LARGE = 16 * MEGA
"""Values above which pixels are compared in samples."""
_CLIPPED = 12.0
"""By which luma may be off where colours were clipped."""
_SAMPLE = 7
"""Each so many-th pixel down and across is compared then: some of each tile."""


@dataclass(frozen=True)
class Totals:
    """What a server has given; None where it does not count."""

    requests: int | None
    sent: int | None
    """Bytes of bodies."""
    cpu: float
    """Seconds."""

    def since(self, earlier: Totals) -> Totals:
        """What was given meanwhile."""
        requests = None if self.requests is None or earlier.requests is None else self.requests - earlier.requests
        sent = None if self.sent is None or earlier.sent is None else self.sent - earlier.sent
        return Totals(requests, sent, self.cpu - earlier.cpu)


@dataclass(frozen=True)
class Take:
    """What one reading took."""

    seconds: float
    cpu: float
    """Seconds of CPU of the reader's process."""
    peak: float | None
    """Megabytes by which the process's memory was larger at the worst moment than before."""
    pixels: Sequence[Pixels] = ()
    """As (c, y, x), sampled where they are many; none where no pixels, or not all, were read."""
    given: Totals | None = None
    """What the server gave meanwhile, where that is known."""
    warm: Take | None = None
    """Reading on in the same process: other pixels, as many."""


class Counting(Protocol):
    """A server that knows what it has given."""

    def totals(self) -> Totals:
        """So far."""


@dataclass(frozen=True)
class Contestant:
    """One way of reading."""

    name: str
    take: Callable[[], Take]
    """Reads anew, with nothing cached; opening is not timed unless that is what is measured."""
    most_rounds: int | None = None
    """Takes part in so many rounds only, because it is slow."""
    repeats_chroma: bool = False
    """Its decoder repeats samples of colour where others interpolate, which costs less: only its luma is theirs."""


@dataclass(frozen=True)
class Row:
    """What one reader took for one task: medians over the rounds, the largest of the peaks."""

    task: str
    milliseconds: float
    """Latency of every reply."""
    reader: str
    rounds: int
    seconds: float
    cpu: float
    server_cpu: float | None
    requests: float | None
    megabytes: float | None
    """Sent by the server."""
    peak: float | None


@dataclass(frozen=True)
class Target:
    """What is wanted, and what was found."""

    text: str
    found: float
    wanted: float
    at_least: bool = True
    """Else it is the most that is allowed."""

    @property
    def reached(self) -> bool:
        """Whether it is as wanted."""
        return self.found >= self.wanted if self.at_least else self.found <= self.wanted


@dataclass
class Results:
    """All that was found."""

    rows: list[Row] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What did not take part, and why."""

    def of(self, task: str, milliseconds: float) -> dict[str, Row]:
        """The rows of a task at a latency, by reader."""
        return {row.reader: row for row in self.rows if (row.task, row.milliseconds) == (task, milliseconds)}

    def note(self, text: str) -> None:
        """Say something once."""
        if text not in self.notes:
            self.notes.append(text)


def take_turns(
    task: str, milliseconds: float, contestants: Sequence[Contestant], rounds: int, server: Counting | None = None
) -> Iterator[Row]:
    """Let all readers read in turn, round after round, and compare what they read with what the first did."""
    takes: dict[str, list[Take]] = {}
    expected: Sequence[Pixels] = ()
    for turn in range(rounds):
        for contestant in contestants:
            if turn >= (contestant.most_rounds or rounds):
                continue
            before = server.totals() if server else None
            took = contestant.take()
            if took.given is None and server and before:
                took = replace(took, given=server.totals().since(before))
            expected = expected or took.pixels
            if took.pixels:
                _compare(took.pixels, expected, contestant)
            takes.setdefault(contestant.name, []).append(replace(took, pixels=()))
    for name, each in takes.items():
        yield _row(task, milliseconds, name, each)
    for name, each in takes.items():
        warm = [took.warm for took in each if took.warm]
        if warm:
            yield _row(warm_task(task), milliseconds, name, warm)


def warm_task(task: str) -> str:
    """The name of a task, for what processes read after their first."""
    return f"{task}, warm"


def later(takes: Sequence[Take]) -> Take | None:
    """What reading takes in a process that has read before: medians."""
    if not takes:
        return None
    totals = [take.given for take in takes if take.given is not None]
    given = None
    if totals:
        given = replace(totals[0], cpu=statistics.median(each.cpu for each in totals))
    return Take(
        statistics.median(take.seconds for take in takes),
        statistics.median(take.cpu for take in takes),
        max((take.peak for take in takes if take.peak is not None), default=None),
        given=given,
    )


def _row(task: str, milliseconds: float, name: str, each: Sequence[Take]) -> Row:
    given = [take.given for take in each if take.given is not None]
    sent = _median(totals.sent for totals in given)
    peaks = [take.peak for take in each if take.peak is not None]
    return Row(
        task,
        milliseconds,
        name,
        len(each),
        statistics.median(take.seconds for take in each),
        statistics.median(take.cpu for take in each),
        _median(totals.cpu for totals in given),
        _median(totals.requests for totals in given),
        None if sent is None else sent / MEGA,
        max(peaks, default=None),
    )


def _median(values: Iterable[float | None]) -> float | None:
    """None where nothing is known."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def timed(read: Callable[[], Sequence[Pixels]], pixels_read: int = 0) -> Take:
    """Read in this process.

    Args:
        read: What is measured.
        pixels_read: Colour pixels that it gives: memory for them, twice over, is touched before.
    """
    touch_memory(2 * 3 * pixels_read)
    gc.collect()  # else what others imported, and chance, decide in whose reading Python looks through all of it
    before = forget_peak()
    cpu, began = time.process_time(), time.perf_counter()
    pixels = read()
    seconds, spent = time.perf_counter() - began, time.process_time() - cpu
    after = memory("VmHWM")
    peak = None if before is None or after is None else after - before
    return Take(seconds, spent, peak, [sampled(each) for each in pixels])


def touch_memory(nbytes: int) -> None:
    """Touch so much memory, and let go of it.

    The host of a virtual machine gives it memory when that is touched for the first time, at up to 15 ms for 2 MB, and
    takes it back when it has been free for seconds: chance, or whoever was before, would decide who pays for it.
    """
    touched = [np.full(16 * MEGA, 1, np.uint8) for _ in range(-(-nbytes // (16 * MEGA)))]
    del touched


def forget_peak() -> float | None:
    """Let the peak of this process's memory count from now; gives its megabytes now, or None where Linux does not."""
    with suppress(OSError):
        _RESET.write_text("5")
        return memory("VmRSS")
    return None


def memory(name: str) -> float | None:
    """VmRSS or VmHWM of this process in megabytes; None where there is no /proc."""
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
    return None


def sampled(pixels: Pixels) -> Pixels:
    """(c, y, x) of either layout; only some pixels where there are many."""
    if pixels.ndim == 2:  # grey
        pixels = pixels[np.newaxis]
    planes = pixels if pixels.shape[0] in (1, 3) else np.moveaxis(pixels, -1, 0)
    return planes[:, ::_SAMPLE, ::_SAMPLE].copy() if pixels.size > _LARGE else planes


def _compare(found: Sequence[Pixels], expected: Sequence[Pixels], contestant: Contestant) -> None:
    """Speed counts for right pixels only; who is slow may have read less of them."""
    for one, other in zip(found, expected, strict=False):
        assert one.shape == other.shape, contestant.name
        if contestant.repeats_chroma:
            off = np.abs(_luma(one) - _luma(other))
            assert off.mean() <= 1, contestant.name
            assert off.max() <= _CLIPPED, contestant.name
        else:
            off = np.abs(one.astype(np.int32) - other.astype(np.int32))
            assert off.max() <= 2, contestant.name  # JPEG decoders differ


def _luma(planes: Pixels) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Of planes of R, G, B (ITU-T T.871)."""
    return np.tensordot([0.299, 0.587, 0.114], planes, 1)
