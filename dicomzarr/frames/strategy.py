"""Lists of frames or one frame a request, whichever one server answers faster: measured. Pure (no I/O, no clock).

Servers differ by two orders of magnitude in both directions: some read the whole instance anew for each request,
others build lists more slowly than they answer single requests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

WORTH_LEARNING = 512
"""Frames in the queue for which finding out pays at once."""

LEARN_AFTER = 1.0
"""Seconds spent on requests after which finding out pays, however short the queue is."""

KEEPS = 1800.0
"""Seconds after which what was found out is tried anew."""

LISTED_FRAMES = 256
"""Frames that are asked for in lists to see how fast those come."""

SINGLES_A_CONNECTION = 6
"""Requests of one frame on each connection, to see how fast those come."""

GATHERED_SHARE = 0.05
LONGEST_GATHER = 0.02
"""Part of the usual duration of a request, and most seconds, for which a short queue waits to become a list."""

_WEIGHT = 0.2
"""Of the last request in the usual duration."""


@dataclass(frozen=True, slots=True)
class Way:
    """How the next request is asked."""

    lists: bool
    """Several frames a request."""
    connections: int
    """Requests under way at once."""


class _Stage(Enum):
    UNDECIDED = auto()
    LISTS = auto()
    """Measuring lists, on half the connections: enough to see, and the half of the loss if they are slow."""
    ONE = auto()
    """Measuring one frame on its own: where that takes too long, no more are tried."""
    SINGLES = auto()
    """Measuring single frames on all connections."""
    DECIDED = auto()


@dataclass(slots=True)
class _Round:
    """Requests of one way, begun and ended while the server is quiet; perhaps those of several reads."""

    budget: int
    """Frames that it may still ask for."""
    least: int
    """Frames that must have come for it to count."""
    asked: int = 0
    came: int = 0
    seconds: float = 0.0
    """With a request under way."""


@dataclass(slots=True)
class Strategy:
    """Decides how one server is asked for frames of one kind, and learns from how it answers."""

    connections: int
    """Requests that may be under way at once."""
    learns: bool = True
    """Off where every list is short anyway."""
    _stage: _Stage = _Stage.UNDECIDED
    _round: _Round = field(default_factory=lambda: _Round(0, 0))
    _lists: bool = True
    _listed: float = 0.0
    """Frames a second that came in lists."""
    _under_way: int = 0
    _busy: float = 0.0
    """Seconds with a request under way, while nothing is decided."""
    _quiet_until: float = 0.0
    _decided_at: float = 0.0
    _usual: float | None = None
    """Seconds that a request usually takes."""

    def way(self, queued: int, now: float) -> Way | None:
        """How to ask next; None when the server must be quiet first, for what is measured to count.

        Args:
            queued: Frames that wait, at least one.
            now: Seconds of a steady clock.
        """
        if self._stage is _Stage.DECIDED and now - self._decided_at > KEEPS:
            self._give_up()
        if self.learns and self._stage is _Stage.UNDECIDED and (queued >= WORTH_LEARNING or self._busy >= LEARN_AFTER):
            self._begin(_Stage.LISTS)
        if not self._is_measuring:
            return Way(self._lists, self.connections)
        if not self._round.budget or (not self._round.asked and self._under_way):
            return None
        if self._stage is _Stage.LISTS:
            return Way(lists=True, connections=max(1, self.connections // 2))
        return Way(lists=False, connections=1 if self._stage is _Stage.ONE else self.connections)

    @property
    def usual(self) -> float:
        """Seconds that a request usually takes; 0 while none has ended."""
        return self._usual or 0.0

    def gather(self) -> float:
        """Seconds for which a queue shorter than a list waits for more, while requests are under way."""
        return min(LONGEST_GATHER, GATHERED_SHARE * self.usual) if self._lists else 0.0

    def asked(self, frames: int, now: float) -> None:
        """A request for so many frames goes out."""
        if not self._under_way:
            self._quiet_until = now
        self._under_way += 1
        if self._is_measuring:
            self._round.asked += frames
            self._round.budget = max(0, self._round.budget - frames)

    def answered(self, came: int, seconds: float, now: float, *, queued: int) -> None:
        """A request has ended.

        Args:
            came: Frames that it brought.
            seconds: How long it took.
            now: Seconds of a steady clock.
            queued: Frames that wait.
        """
        self._under_way -= 1
        self._usual = seconds if self._usual is None else (1 - _WEIGHT) * self._usual + _WEIGHT * seconds
        self._round.came += came
        if self._under_way:
            return
        spent = now - self._quiet_until
        if self._stage is _Stage.UNDECIDED:
            self._busy += spent
        elif self._is_measuring:
            self._round.seconds += spent
            if not self._round.budget or not queued:
                self._end_round(now)

    @property
    def _is_measuring(self) -> bool:
        return self._stage in {_Stage.LISTS, _Stage.ONE, _Stage.SINGLES}

    def _begin(self, stage: _Stage) -> None:
        match stage:
            case _Stage.LISTS:
                self._round = _Round(LISTED_FRAMES, LISTED_FRAMES // 4)
            case _Stage.ONE:
                self._round = _Round(1, 1)
            case _:
                self._round = _Round(SINGLES_A_CONNECTION * self.connections, self.connections)
        self._stage = stage

    def _give_up(self) -> None:
        self._stage, self._busy = _Stage.UNDECIDED, 0.0

    def _end_round(self, now: float) -> None:
        done = self._round
        if done.came < done.asked:
            self._give_up()  # what failed says nothing about speed
        elif done.came >= done.least:
            self._weigh(done.came / max(done.seconds, 1e-6), now)

    def _weigh(self, rate: float, now: float) -> None:
        if self._stage is _Stage.LISTS:
            self._listed = rate
            self._begin(_Stage.ONE)
        elif self._stage is _Stage.ONE and rate * self.connections > self._listed:
            self._begin(_Stage.SINGLES)
        else:
            self._lists = self._stage is _Stage.ONE or rate <= self._listed
            self._stage, self._decided_at = _Stage.DECIDED, now
