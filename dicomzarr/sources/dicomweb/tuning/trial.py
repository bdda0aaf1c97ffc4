"""One server's trial: rounds of requests that show how frames come the fastest. Pure (no I/O, no clock).

A list alone, a single frame, where that comes soon enough single frames at the same time, and lists at the same time
unless these cannot win any more; for native frames over a slow line, compressed replies in the better of these ways.
Lists at the same time come late, because their frames keep the decoders busy for a while, and with them the machine.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from dicomzarr.sources.dicomweb.tuning.server_profile import FastestWay
from dicomzarr.sources.dicomweb.tuning.way import Round, Way

if TYPE_CHECKING:
    from dicomzarr.sources.dicomweb.tuning.server_profile import FrameKind

_LISTED_FRAMES = 128
"""Frames that are asked for in lists to see how fast those come."""

_SINGLES_ALONE = 2
"""Requests of one frame, one after the other, of which the faster counts: the first may find caches cold."""

_HOPELESS = 4
"""How much faster a second single frame may come than the first, at most."""

_SINGLES_A_CONNECTION = 8
"""Requests of one frame on each connection, to see how fast those come."""

_LISTS_AT_ONCE = 2
"""Full lists that these are: how much faster they can come than one alone, at most."""

_IN_PARALLEL = 1.6
"""How much faster two lists come together than one alone, if they cost the server next to nothing."""

SLOW_LINE = 25e6
"""Bytes a second above which gzip would be slower than the line."""

_WORTH_GZIP = 1.2
"""How much faster it must be, for the work that it makes."""


class _Stage(Enum):
    ALONE = auto()
    """A list on its own."""
    ONE = auto()
    """Single frames, one after the other: where that takes too long, no more are tried."""
    SINGLES = auto()
    """Single frames on all connections."""
    LISTS = auto()
    """Lists on half the connections: enough to see, and half of the loss if they are slow."""
    GZIP = auto()
    """Compressed replies, in the way that was the faster."""


class Trial:
    """The rounds, one after the other, until the fastest way is known.

    Args:
        kind: The frames that it is about.
        connections: Requests that may be under way at once.
    """

    def __init__(self, kind: FrameKind, connections: int) -> None:
        self._kind = kind
        self._connections = connections
        self._alone = 0.0
        """Frames a second that came in a list on its own."""
        self._rate = 0.0
        """Frames a second that came in the fastest way so far."""
        self._lists = True
        self._split = False
        self._slow = False
        """Pixels are native, and the line is slow."""
        self._singles_left = _SINGLES_ALONE
        self.fastest: FastestWay | None = None
        """What was found, in the end."""
        self.failed = False
        """Something did not come, which says nothing about speed."""
        self._begin(_Stage.ALONE if kind.many else _Stage.LISTS)

    def way(self, *, quiet: bool) -> Way | None:
        """How to ask next; None when what is under way must end first.

        Args:
            quiet: Nothing is under way.
        """
        if not self.round.budget or not (self.round.asked or quiet):
            return None
        match self._stage:
            case _Stage.ALONE:
                return Way(lists=True, connections=1, measured=self.round)
            case _Stage.LISTS:
                return Way(lists=True, connections=max(1, self._connections // 2), measured=self.round)
            case _Stage.ONE:
                return Way(lists=False, connections=1, measured=self.round)
            case _Stage.SINGLES:
                return Way(lists=False, connections=self._connections, measured=self.round)
            case _Stage.GZIP:
                return Way(self._lists, self._connections, gzip=True, split=self._split, measured=self.round)

    def ended(self, now: float, *, queued: int) -> None:
        """A request of the round has ended, and perhaps the round with it.

        Args:
            now: Seconds of a steady clock.
            queued: Frames that wait.
        """
        done = self.round
        if done.under_way or (done.budget and queued):
            return
        if done.came < done.asked:
            self.failed = True
        elif done.came >= done.least:
            self._weigh(done, now)

    def _begin(self, stage: _Stage) -> None:
        singles = _SINGLES_A_CONNECTION * self._connections
        in_lists = stage is _Stage.LISTS or (stage is _Stage.GZIP and self._lists)
        if stage in {_Stage.ALONE, _Stage.ONE}:
            self.round = Round(1, 1)  # one request, however long
        elif in_lists and self._kind.many:
            self.round = Round(_LISTED_FRAMES, _LISTED_FRAMES // 4)
        else:
            self.round = Round(singles, 2 * self._connections, warm_up=self._connections)
        self._stage = stage

    def _weigh(self, done: Round, now: float) -> None:
        match self._stage:
            case _Stage.ALONE:
                self._alone = done.rate
                self._begin(_Stage.ONE)
            case _Stage.ONE:
                self._weigh_one(done.rate * self._connections)
            case _Stage.SINGLES:
                self._weigh_singles(done, now)
            case _Stage.LISTS:
                self._weigh_lists(done, now)
            case _Stage.GZIP:
                self._find(now, gzip=done.rate > _WORTH_GZIP * self._rate)

    def _weigh_one(self, potential: float) -> None:
        """Single frames at the same time cannot come faster than ``potential``."""
        self._singles_left -= 1
        if potential > self._alone:
            self._begin(_Stage.SINGLES)
        elif self._singles_left and potential * _HOPELESS > self._alone:
            self._begin(_Stage.ONE)
        else:
            self._begin(_Stage.LISTS)

    def _weigh_singles(self, done: Round, now: float) -> None:
        self._take(done, lists=False)
        if done.rate < _LISTS_AT_ONCE * self._alone:
            self._begin(_Stage.LISTS)
        else:
            self._try_gzip(now)

    def _weigh_lists(self, done: Round, now: float) -> None:
        self._split = done.rate > _IN_PARALLEL * self._alone
        if done.rate >= self._rate:
            self._take(done, lists=True)
        self._try_gzip(now)

    def _take(self, done: Round, *, lists: bool) -> None:
        """The fastest way so far."""
        self._rate, self._lists = done.rate, lists
        self._slow = self._kind.native and done.flow < SLOW_LINE

    def _try_gzip(self, now: float) -> None:
        if self._slow:
            self._begin(_Stage.GZIP)
        else:
            self._find(now, gzip=False)

    def _find(self, now: float, *, gzip: bool) -> None:
        self.fastest = FastestWay(self._lists, self._split, gzip, now)
