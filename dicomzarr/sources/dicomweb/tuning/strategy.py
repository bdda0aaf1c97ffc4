"""Lists of frames or one frame a request, gzip or not, as one server answers faster: measured. Pure (no I/O, no clock).

Servers differ by two orders of magnitude in both directions: some read the whole instance anew for each request,
others build lists more slowly than they answer single requests. gzip helps native pixels over slow lines only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dicomzarr.sources.dicomweb.tuning.trial import Trial
from dicomzarr.sources.dicomweb.tuning.way import Way

if TYPE_CHECKING:
    from dicomzarr.sources.dicomweb.tuning.server_profile import FastestWay, FrameKind

WORTH_LEARNING = 512
"""Frames in the queue for which finding out pays at once."""

LEARN_AFTER = 0.25
"""Seconds spent on requests after which finding out pays, however short the queue is; doubled when it failed."""

KEEPS = 1800.0
"""Seconds after which what was found out is tried anew."""

PATIENCE = 2.0
"""Seconds, and usual durations of a request twice over, for which readers wait so that what is measured counts."""

GATHERED_SHARE = 0.05
LONGEST_GATHER = 0.02
"""Part of the usual duration of a request, and most seconds, for which a short queue waits to become a list."""

_WEIGHT = 0.2
"""Of the last request in the usual duration."""


@dataclass(slots=True)
class Strategy:
    """Decides how one server is asked for frames of one kind, and learns from how it answers."""

    kind: FrameKind
    connections: int
    """Requests that may be under way at once."""
    known: dict[FrameKind, FastestWay]
    """What has been learned of the server."""
    usual: float = 0.0
    """Seconds that a request usually takes; 0 while none has ended."""
    _trial: Trial | None = None
    _failures: int = 0
    """Trials that came to nothing."""
    _blocked_since: float | None = None
    """When the trial began to keep readers waiting."""
    _under_way: int = 0
    _busy: float = 0.0
    """Seconds with a request under way since the last trial."""
    _since: float = 0.0
    """When a request went out after the server was quiet, or the last one ended."""

    def way(self, queued: int, now: float) -> Way | None:
        """How to ask next; None when the server must be quiet first, for what is measured to count.

        Args:
            queued: Frames that wait, at least one.
            now: Seconds of a steady clock.
        """
        if self._trial is None and self._is_worth_trying(queued, now):
            self._trial = Trial(self.kind, self.connections)
        way = None if self._trial is None else self._trial.way(quiet=not self._under_way)
        if way is not None:
            self._blocked_since = None
        elif self._trial is not None and not self._loses_patience(now):
            return None
        return way or self.usual_way()

    def usual_way(self) -> Way:
        """How to ask by what is known, measuring nothing."""
        known = self.known.get(self.kind)
        if known is None:
            return Way(lists=True, connections=self.connections)
        return Way(known.lists, self.connections, gzip=known.gzip, split=known.split)

    @property
    def patience(self) -> float:
        """Seconds for which `way` keeps readers waiting."""
        return max(PATIENCE, 2 * self.usual)

    @property
    def gather(self) -> float:
        """Seconds for which a queue shorter than a list waits for more, while requests are under way."""
        return min(LONGEST_GATHER, GATHERED_SHARE * self.usual) if self.usual_way().lists else 0.0

    def asked(self, way: Way, frames: int, now: float) -> None:
        """A request for so many frames goes out."""
        if not self._under_way:
            self._since = now
        self._under_way += 1
        if way.measured is not None:
            way.measured.ask(frames, now)

    def answered(self, way: Way, sizes: list[int], seconds: float, now: float, *, queued: int) -> None:
        """A request has ended.

        Args:
            way: How it was asked.
            sizes: Bytes of each frame that it brought.
            seconds: How long it took.
            now: Seconds of a steady clock.
            queued: Frames that wait.
        """
        self._under_way -= 1
        self.usual = (1 - _WEIGHT) * self.usual + _WEIGHT * seconds if self.usual else seconds
        self._busy += now - self._since
        self._since = now
        if way.measured is not None:
            way.measured.answer(len(sizes), sum(sizes), now)
            if self._trial is not None and self._trial.round is way.measured:
                self._trial.ended(now, queued=queued)
                self._conclude()

    def _is_worth_trying(self, queued: int, now: float) -> bool:
        known = self.known.get(self.kind)
        if known is not None and now - known.measured_at <= KEEPS:
            return False
        can_differ = self.kind.many or self.kind.native
        busy = self._busy >= LEARN_AFTER * 2**self._failures
        return can_differ and (busy or (queued >= WORTH_LEARNING and not self._failures))

    def _loses_patience(self, now: float) -> bool:
        if self._blocked_since is None:
            self._blocked_since = now
        if now - self._blocked_since < self.patience:
            return False
        self._give_up()
        return True

    def _conclude(self) -> None:
        if self._trial is None:
            return
        if self._trial.failed:
            self._give_up()
        elif self._trial.fastest is not None:
            self.known[self.kind] = self._trial.fastest
            self._trial, self._busy, self._failures, self._blocked_since = None, 0.0, 0, None

    def _give_up(self) -> None:
        self._trial, self._busy, self._blocked_since = None, 0.0, None
        self._failures = min(8, self._failures + 1)
