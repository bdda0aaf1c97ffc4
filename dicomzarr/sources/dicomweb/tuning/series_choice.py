"""A series of single frames, one by one or all in one reply, as that is faster: measured. Pure (no I/O, no clock).

Where each slice is an instance no list holds two of them. A server may have to find, read and cut an instance anew for
each request, and on a long line each takes a round trip; one reply with all of them spares both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dicomzarr.sources.dicomweb.tuning.server_profile import WholeSeries
from dicomzarr.sources.dicomweb.tuning.strategy import KEEPS
from dicomzarr.sources.dicomweb.tuning.trial import SLOW_LINE
from dicomzarr.sources.dicomweb.tuning.way import Round, Way

if TYPE_CHECKING:
    from dicomzarr.engine.requests import Turn
    from dicomzarr.sources.dicomweb.tuning.server_profile import FrameKind

LEAST_INSTANCES: Final = 16
"""Instances of a series for which it matters."""

LEAST_SHARE: Final = 2 / 3
"""Part of the series that must be wanted: the rest comes for nothing."""

DOUBTS: Final = 60.0
"""Seconds after which a series is asked for anew that failed to come, if that may have been a passing failure."""

_SINGLES_A_CONNECTION: Final = 2
"""Requests of one frame on each connection, after a first one, to see how fast those come."""

_WORTH: Final = 0.75
"""How fast the whole series must come, single frames being 1: it costs the server less, and more memory is touched."""

_WORTH_ON_SLOW_LINE: Final = 1.25
"""The same where single frames may come compressed instead, which is found out while they are asked for."""

_PATIENCE: Final = 2.0
"""Seconds, and times that single frames would take, that it may take at most."""

_WHOLE: Final = Way(lists=False, connections=1, series=True)


def may_come_whole(turn: Turn) -> bool:
    """Whether somebody wants most of a series of single frames."""
    instances = len(turn.series.slices)
    return instances >= LEAST_INSTANCES and turn.frames >= LEAST_SHARE * instances


@dataclass(slots=True)
class SeriesChoice:
    """Decides for one server and one kind of frames, and learns from how it answers."""

    kind: FrameKind
    connections: int
    """Requests that may be under way at once."""
    known: dict[FrameKind, WholeSeries]
    """What has been learned of the server."""
    _round: Round | None = None
    """Single frames that are being measured."""

    def is_open(self, now: float) -> bool:
        """Whether the whole series is known to come faster, or may.

        Args:
            now: Seconds of a steady clock.
        """
        known = self.known.get(self.kind)
        return known is None or known.faster or now >= known.until

    def way(self, usual: Way, now: float) -> Way | None:
        """How to ask next; None when what is measured must end first.

        Args:
            usual: How single frames would be asked for.
            now: Seconds of a steady clock.
        """
        known = self.known.get(self.kind)
        if known is not None and now < known.until:
            return _WHOLE
        if self._round is None:
            each = self.connections
            self._round = Round((1 + _SINGLES_A_CONNECTION) * each, each, warm_up=each)
        if self._round.budget:
            return Way(lists=False, connections=self.connections, gzip=usual.gzip, measured=self._round)
        if self._round.under_way:
            return None
        done, self._round = self._round, None
        if done.came < done.asked:  # which says nothing about speed
            self.failed(now, DOUBTS)
            return usual
        self.known[self.kind] = WholeSeries(faster=True, singles=done.rate, until=now + KEEPS)  # until it is not
        return _WHOLE

    @property
    def _singles(self) -> float:
        """Frames a second that came one by one."""
        known = self.known.get(self.kind)
        return 0.0 if known is None else known.singles

    def patience(self, frames: int) -> float:
        """Seconds that the whole series may take, but for those in which we were not ready for it."""
        return max(_PATIENCE, _PATIENCE * frames / max(self._singles, 1e-6))

    def came(self, frames: int, nbytes: int, seconds: float, now: float) -> None:
        """The whole series has come.

        Args:
            frames: Those of it that were good.
            nbytes: Bytes of these.
            seconds: How long it took, but for the time in which we were not ready for it.
            now: Seconds of a steady clock.
        """
        is_slow = self.kind.native and nbytes < SLOW_LINE * seconds
        faster = frames > (_WORTH_ON_SLOW_LINE if is_slow else _WORTH) * self._singles * seconds
        known = self.known.get(self.kind)
        until = known.until if faster and known is not None else now + KEEPS
        self.known[self.kind] = WholeSeries(faster, self._singles, until)

    def failed(self, now: float, seconds: float) -> None:
        """It did not come, and is not asked for again for some seconds."""
        self.known[self.kind] = WholeSeries(faster=False, singles=self._singles, until=now + seconds)
