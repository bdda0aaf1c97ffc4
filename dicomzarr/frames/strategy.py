"""Lists of frames or one frame a request, gzip or not, as one server answers faster: measured. Pure (no I/O, no clock).

Servers differ by two orders of magnitude in both directions: some read the whole instance anew for each request,
others build lists more slowly than they answer single requests. gzip helps native pixels over slow lines only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from dicomzarr.dicomweb.habits import FastestWay, FrameKind

WORTH_LEARNING = 512
"""Frames in the queue for which finding out pays at once."""

LEARN_AFTER = 0.25
"""Seconds spent on requests after which finding out pays, however short the queue is."""

KEEPS = 1800.0
"""Seconds after which what was found out is tried anew."""

LISTED_FRAMES = 192
"""Frames that are asked for in lists to see how fast those come."""

SINGLES_ALONE = 2
"""Requests of one frame, one after the other, of which the faster counts: the first may find caches cold."""

_HOPELESS = 4
"""How much faster a second single frame may come than the first, at most."""

SINGLES_A_CONNECTION = 6
"""Requests of one frame on each connection, to see how fast those come."""

GATHERED_SHARE = 0.05
LONGEST_GATHER = 0.02
"""Part of the usual duration of a request, and most seconds, for which a short queue waits to become a list."""

SLOW_LINE = 25e6
"""Bytes a second above which gzip would be slower than the line."""

_IN_PARALLEL = 2.25
"""How much faster three lists come together than one alone, if they cost the server next to nothing."""

_WORTH_GZIP = 1.2
"""How much faster it must be, for the work that it makes."""

_WEIGHT = 0.2
"""Of the last request in the usual duration."""


@dataclass(frozen=True, slots=True)
class Way:
    """How the next request is asked."""

    lists: bool
    """Several frames a request."""
    connections: int
    """Requests under way at once."""
    gzip: bool = False
    """The reply may be compressed."""
    split: bool = False
    """Short queues make short lists, so that no connection idles; else there are as few requests as can be."""


class _Stage(Enum):
    QUIET = auto()
    """Measuring nothing."""
    ALONE = auto()
    """Measuring a list on its own."""
    LISTS = auto()
    """Measuring lists on half the connections: enough to see, and half of the loss if they are slow."""
    ONE = auto()
    """Measuring single frames, one after the other: where that takes too long, no more are tried."""
    SINGLES = auto()
    """Measuring single frames on all connections."""
    GZIP = auto()
    """Measuring compressed replies, in the way that was decided."""


@dataclass(slots=True)
class _Round:
    """Requests of one way, begun and ended while the server is quiet; perhaps those of several reads."""

    budget: int
    """Frames that it may still ask for."""
    least: int
    """Frames that must have come for it to count."""
    asked: int = 0
    came: int = 0
    nbytes: int = 0
    seconds: float = 0.0
    """With a request under way."""


@dataclass(slots=True)
class Strategy:
    """Decides how one server is asked for frames of one kind, and learns from how it answers."""

    kind: FrameKind
    connections: int
    """Requests that may be under way at once."""
    known: dict[FrameKind, FastestWay]
    """What has been learned of the server."""
    _stage: _Stage = _Stage.QUIET
    _round: _Round = field(default_factory=lambda: _Round(0, 0))
    _lists: bool = True
    _split: bool = False
    _rate: float = 0.0
    """Frames a second that came in the way that was decided."""
    _alone: float = 0.0
    """Frames a second that came in a list on its own."""
    _listed: float = 0.0
    """Frames a second that came in lists at the same time."""
    _singles_left: int = 0
    """Of `SINGLES_ALONE`."""
    _slow: bool = False
    """They are native, and come over a slow line."""
    _under_way: int = 0
    _busy: float = 0.0
    """Seconds with a request under way, while nothing is decided."""
    _since: float = 0.0
    """When a request went out after the server was quiet, or the last one came."""
    _usual: float | None = None
    """Seconds that a request usually takes."""

    def way(self, queued: int, now: float) -> Way | None:
        """How to ask next; None when the server must be quiet first, for what is measured to count.

        Args:
            queued: Frames that wait, at least one.
            now: Seconds of a steady clock.
        """
        known = self._still_known(now)
        worth = queued >= WORTH_LEARNING or self._busy >= LEARN_AFTER
        if known is None and not self._is_measuring and worth and (self.kind.many or self.kind.native):
            self._begin(_Stage.ALONE if self.kind.many else _Stage.LISTS)
        if not self._is_measuring:
            usual = FastestWay(lists=True, split=False, gzip=False, measured_at=now)
            return self._as_measured(known or usual)
        must_end = not self._round.budget or (not self._round.asked and self._under_way)
        return None if must_end else self._to_measure()

    def _still_known(self, now: float) -> FastestWay | None:
        known = self.known.get(self.kind)
        if known is not None and now - known.measured_at > KEEPS:
            del self.known[self.kind]
            return None
        return known

    def _as_measured(self, fastest: FastestWay) -> Way:
        return Way(fastest.lists, self.connections, gzip=fastest.gzip, split=fastest.split)

    def _to_measure(self) -> Way:
        match self._stage:
            case _Stage.ALONE:
                return Way(lists=True, connections=1)
            case _Stage.LISTS:
                return Way(lists=True, connections=max(1, self.connections // 2))
            case _Stage.ONE:
                return Way(lists=False, connections=1)
            case _Stage.SINGLES:
                return Way(lists=False, connections=self.connections)
            case _:
                return Way(self._lists, self.connections, gzip=True, split=self._split)

    @property
    def usual(self) -> float:
        """Seconds that a request usually takes; 0 while none has ended."""
        return self._usual or 0.0

    def gather(self) -> float:
        """Seconds for which a queue shorter than a list waits for more, while requests are under way."""
        known = self.known.get(self.kind)
        return 0.0 if known is not None and not known.lists else min(LONGEST_GATHER, GATHERED_SHARE * self.usual)

    def asked(self, frames: int, now: float) -> None:
        """A request for so many frames goes out."""
        if not self._under_way:
            self._since = now
        self._under_way += 1
        if self._is_measuring:
            self._round.asked += frames
            self._round.budget = max(0, self._round.budget - frames)

    def answered(self, came: int, nbytes: int, seconds: float, now: float, *, queued: int) -> None:  # what is measured
        """A request has ended.

        Args:
            came: Frames that it brought.
            nbytes: Their bytes.
            seconds: How long it took.
            now: Seconds of a steady clock.
            queued: Frames that wait.
        """
        self._under_way -= 1
        self._usual = seconds if self._usual is None else (1 - _WEIGHT) * self._usual + _WEIGHT * seconds
        self._round.came += came
        self._round.nbytes += nbytes
        self._round.seconds += now - self._since
        self._busy += now - self._since
        self._since = now
        if self._is_measuring and not self._under_way and not (self._round.budget and queued):
            self._end_round(now)

    @property
    def _is_measuring(self) -> bool:
        return self._stage is not _Stage.QUIET

    def _begin(self, stage: _Stage) -> None:
        listed, singles = LISTED_FRAMES, SINGLES_A_CONNECTION * self.connections
        match stage:
            case _Stage.ALONE | _Stage.ONE:
                self._round = _Round(1, 1)  # one request, however long
            case _ if self.kind.many and (stage is _Stage.LISTS or (stage is _Stage.GZIP and self._lists)):
                self._round = _Round(listed, listed // 4)
            case _:
                self._round = _Round(singles, self.connections)
        self._stage = stage

    def _give_up(self) -> None:
        self._stage, self._busy = _Stage.QUIET, 0.0

    def _end_round(self, now: float) -> None:
        done = self._round
        if done.came < done.asked:
            self._give_up()  # what failed says nothing about speed
        elif done.came >= done.least:
            seconds = max(done.seconds, 1e-6)
            self._weigh(done.came / seconds, done.nbytes / seconds, now)

    def _weigh(self, rate: float, flow: float, now: float) -> None:
        """Decide, or go on measuring, by the frames and the bytes a second of a round."""
        match self._stage:
            case _Stage.ALONE:
                self._alone = rate
                self._begin(_Stage.LISTS)
            case _Stage.LISTS:
                self._listed = self._rate = rate
                self._slow = self.kind.native and flow < SLOW_LINE
                self._split = rate > _IN_PARALLEL * self._alone
                if self.kind.many:
                    self._singles_left = SINGLES_ALONE
                    self._begin(_Stage.ONE)
                else:
                    self._decide(now, lists=True)
            case _Stage.ONE:
                self._weigh_one(rate, now)
            case _Stage.SINGLES:
                self._rate = max(rate, self._listed)
                self._decide(now, lists=rate <= self._listed)
            case _:
                self._settle(now, gzip=rate > _WORTH_GZIP * self._rate)

    def _weigh_one(self, rate: float, now: float) -> None:
        self._singles_left -= 1
        potential = rate * self.connections
        if potential > self._listed:
            self._begin(_Stage.SINGLES)
        elif self._singles_left and potential * _HOPELESS > self._listed:
            self._begin(_Stage.ONE)
        else:
            self._decide(now, lists=True)

    def _decide(self, now: float, *, lists: bool) -> None:
        self._lists = lists
        if self._slow:
            self._begin(_Stage.GZIP)
        else:
            self._settle(now, gzip=False)

    def _settle(self, now: float, *, gzip: bool) -> None:
        self.known[self.kind] = FastestWay(self._lists, self._split, gzip, now)
        self._stage, self._busy = _Stage.QUIET, 0.0
