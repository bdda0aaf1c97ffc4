"""How many requests a server is sent at once, and when: fewer and later once it has asked for that. Pure (no clock).

Additive increase, multiplicative decrease, as TCP does (RFC 5681): the number of requests under way is halved when
the server says that it is too busy, as by 429 or 503 (RFC 6585 section 4, RFC 9110 section 15.6.4; all such statuses
are in `statuses`), and grows by one each time that as many have been served; slowly where it was too many before. All
requests share one pause.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dicomzarr.errors import QuotaExceededError
from dicomzarr.sources.http.retry import TRIES, growing_pause
from dicomzarr.sources.http.statuses import Meaning, means

if TYPE_CHECKING:
    from dicomzarr.errors import HTTPStatusError

REMEMBERED = 5.0
"""Seconds for which a refusal that no waiting helps answers further requests, so that they are not sent."""

_SERVED_BEFORE_MORE = 64
"""Requests to be served at what the server bore before more than that is tried."""

_DROPS: Final = 4
"""Of so many requests that were served, one whose connection was broken is no chance."""


@dataclass(slots=True)
class History:
    """What all who ask one server have met there."""

    served: int = 0
    """Requests that it has served: where it does not now, it may be starting anew."""
    told_at: int = 0
    """As many it had served when people were told that it is waited for."""
    gone_at: int = 0
    """As many it had served when it was waited for in vain: it is not again until it has served more."""


class Pacing:
    """What one server has said about the pace of requests. Times are seconds of any clock that does not go back.

    Args:
        most: Requests that may ever be under way at once.
        budget: Seconds that may be spent on pauses while nothing is served.
        history: That of the server, which others may share.
    """

    def __init__(self, most: int, budget: float, history: History | None = None) -> None:
        self.history = history or History()
        self.connections = most
        """Requests that may be under way now, at least one."""
        self.epoch = 0
        """Grows with each slowing down: replies to requests of an earlier epoch say nothing about the new pace."""
        self.served = 0
        """Requests that have been served so far."""
        self._most = most
        self._budget = budget
        self._resumes = 0.0
        self._refusals = 0  # without a request served in between; several of one epoch are one
        self._paused = 0.0  # seconds of pauses for them
        self._served_now = 0  # in this epoch
        self._dropped_now = 0  # likewise
        self._streak = 0  # at this number of connections
        self._borne = most  # connections that the server is believed to bear
        self._refusal: HTTPStatusError | None = None
        self._forgets = 0.0

    def tune(self, most: int, budget: float) -> None:
        """Bound the requests under way, and the pauses, anew; what the server has said counts on."""
        unbounded = self._borne >= self._most
        self.connections = most if self.connections >= self._most else min(self.connections, most)
        self._borne = most if unbounded else min(self._borne, most)
        self._most, self._budget = most, budget

    def pause(self, now: float) -> float:
        """Seconds until the next request may be sent; zero or less: now."""
        return self._resumes - now

    def resume(self, now: float) -> None:
        """A pause has been waited for, until ``now`` at least."""
        if self._resumes <= now:
            self._resumes = 0.0

    def refusal(self, now: float) -> HTTPStatusError | None:
        """Why nothing may be sent at all, while that is remembered."""
        if now >= self._forgets:
            self._refusal = None
        return self._refusal

    def succeed(self, epoch: int) -> None:
        """A request that was sent in ``epoch`` has been served."""
        self.served += 1
        self.history.served += 1
        self._refusals = 0
        self._paused = 0.0
        if epoch == self.epoch:
            self._served_now += 1
            self._streak += 1
            if self._streak >= (self.connections if self.connections < self._borne else _SERVED_BEFORE_MORE):
                self._streak = 0
                self.connections = min(self._most, self.connections + 1)

    def slow_down(self, now: float, epoch: int, error: HTTPStatusError) -> bool:
        """The server has refused a request that was sent in ``epoch``, for it is too busy.

        Returns:
            Whether there is hope: else whoever waits shall be told ``error``.
        """
        wait = error.retry_after
        if isinstance(error, QuotaExceededError):
            return self._give_up(now, REMEMBERED, error)
        if wait is not None and wait > self._budget:
            error.remedy = (
                f"The server asks to wait {wait:.0f} s, longer than the timeout option says ({self._budget:g} s):"
                " read again after that."
            )
            return self._give_up(now, min(wait, REMEMBERED), error)
        if epoch == self.epoch:
            return self._back_off(now, wait, error)
        self._resumes = max(self._resumes, now + (wait or 0.0))
        return True

    def drop(self, epoch: int) -> None:
        """The server has broken the connection of a request of ``epoch``, while others were under way.

        Where that happens to many it bears no more connections than are left; to few, it is chance.
        """
        if epoch == self.epoch:
            self._dropped_now += 1
            if self._dropped_now > 1 and self._dropped_now * _DROPS >= self._served_now:
                self._borne = max(1, self.connections - 1)
                self._begin_epoch(max(1, self.connections // 2))

    def _back_off(self, now: float, wait: float | None, error: HTTPStatusError) -> bool:
        self._refusals += 1
        pause = growing_pause(self._refusals) if wait is None else wait
        if wait == 0.0 and self._refusals > 1:  # "at once" did not help
            pause = growing_pause(self._refusals - 1)
        self._paused += pause
        # One that has served before serves again: it counts requests, or is starting anew.
        passes = self.history.served > 0 and means(error, Meaning.LIMITED | Meaning.RESTART)
        if (self._refusals >= TRIES and not passes) or self._paused > self._budget:
            return self._give_up(now, 0.0, error)  # it may serve the next who asks
        if self._served_now:  # else it is no question of how many
            self._borne = max(1, self.connections - 1)
        self._begin_epoch(max(1, self.connections // 2))
        self._resumes = max(self._resumes, now + pause)
        return True

    def _give_up(self, now: float, remembered: float, error: HTTPStatusError) -> bool:
        self._begin_epoch(1)  # one request finds out whether it serves again
        self._refusals, self._paused, self._resumes = 0, 0.0, 0.0
        self._refusal, self._forgets = error, now + remembered
        return False

    def _begin_epoch(self, connections: int) -> None:
        self.epoch += 1
        self.connections = connections
        self._served_now = self._dropped_now = self._streak = 0
