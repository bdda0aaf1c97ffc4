"""When a failed GET is worth another try, and after which pause."""

from __future__ import annotations

from dataclasses import dataclass
from random import SystemRandom

from dicomzarr.errors import DicomZarrError, HTTPStatusError
from dicomzarr.sources.http.statuses import Meaning, means

TRIES = 4
"""How often one request is sent at most, and how often a server that does not count them may refuse them all."""

FIRST_PAUSE = 0.2
"""Seconds before the second try; doubled with each."""

_MOST_TRIES = 16  # while others are served instead: a limit that never spares this one is no limit
_MOST_CROWDED = 4  # after which half as many connections are open each time
_LONGEST_PAUSE = 5.0  # seconds
_MOST_WHILE_DOWN = 64  # a restart, or a limit, is waited for by the timeout, not by a number
_RANDOM = SystemRandom()


def growing_pause(tries: int) -> float:
    """Seconds to wait after so many failed tries, where the server names none."""
    # Spread, so that requests that failed together do not come back together.
    return float(min(_LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries - 1)) * _RANDOM.uniform(0.5, 1.5))


def is_busy(error: DicomZarrError) -> bool:
    """Whether the server asks for fewer requests, of which `pacing` takes care."""
    return means(error, Meaning.FEWER_REQUESTS)


@dataclass(slots=True)
class Tries:
    """The tries of one request."""

    budget: float
    """Seconds that may be spent on pauses."""
    tries_on_drop: int = TRIES
    """How often it is sent at most to a server that breaks the connection."""
    tries_on_loss: int = TRIES
    """How often it is sent at most to a server whose replies end early or lack parts."""
    count: int = 0
    """How often it has been sent, but for those times when others were served in its place."""
    passed_by: int = 0
    """How often others were served in its place."""
    waited: float = 0.0
    """Seconds that were spent on pauses of its own."""

    def pause_after(
        self, error: DicomZarrError, *, others_served: bool, ever_served: bool = False, crowded: bool = False
    ) -> float | None:
        """Seconds to wait before the next try, or None when there shall be none.

        Args:
            error: How this try failed.
            others_served: Another request was served meanwhile: of a limit, this one has just missed its share.
            crowded: The server broke the connection while others were open, of which there are fewer next time.
            ever_served: The server has served requests before: where it does not now, it may be starting anew.
        """
        # Who ends in order still answers on connections that are open, and takes no new ones.
        answers = others_served and means(error, Meaning.AGAIN | Meaning.FEWER_REQUESTS)
        restarts = ever_served and not answers and means(error, Meaning.RESTART)
        if is_busy(error):
            return self._pause_of_busy(error, others_served=others_served, ever_served=ever_served, restarts=restarts)
        if crowded and self.passed_by < _MOST_CROWDED:
            self.passed_by += 1
            return growing_pause(self.passed_by)
        self.count += 1
        if not restarts and not means(error, Meaning.AGAIN):
            return None
        most = self._most(error)
        if self.count >= (_MOST_WHILE_DOWN if restarts and most >= TRIES else most):
            return None
        asked = error.retry_after if isinstance(error, HTTPStatusError) else None
        pause = growing_pause(self.count) if asked is None else asked
        self.waited += pause
        return pause if self.waited <= self.budget else None

    @property
    def outlasts(self) -> bool:
        """The next try is one more than usual: a server that may serve again is waited for."""
        return self.count >= TRIES

    def _most(self, error: DicomZarrError) -> int:
        if means(error, Meaning.NO_ANSWER):
            return self.tries_on_drop
        return self.tries_on_loss if means(error, Meaning.INCOMPLETE) else TRIES

    def _pause_of_busy(
        self, error: DicomZarrError, *, others_served: bool, ever_served: bool, restarts: bool
    ) -> float | None:
        """None, or no time: all requests share a pause, which the next try meets."""
        limited = means(error, Meaning.LIMITED)
        if others_served and limited:
            self.passed_by += 1
        else:
            self.count += 1
        most = _MOST_WHILE_DOWN if restarts or (limited and ever_served) else TRIES
        return None if self.count >= most or self.passed_by >= _MOST_TRIES else 0.0
