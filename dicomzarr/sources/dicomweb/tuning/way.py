"""How a request for frames is asked, and what it counts for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Round:
    """Requests of one way, begun while the server is quiet; perhaps those of several reads."""

    budget: int
    """Frames that it may still ask for."""
    least: int
    """Frames that must have come for it to count."""
    warm_up: int = 0
    """Frames that come first, while connections are made, and say nothing about speed."""
    warm_after: float = 0.0
    """Seconds that these took."""
    asked: int = 0
    came: int = 0
    nbytes: int = 0
    seconds: float = 0.0
    """With a request under way."""
    under_way: int = 0
    since: float = 0.0
    """When its first request went out, or the last one ended."""

    @property
    def rate(self) -> float:
        """Frames a second."""
        return (self.came - self.warm_up) / max(self.seconds - self.warm_after, 1e-6)

    @property
    def flow(self) -> float:
        """Bytes a second."""
        return self.nbytes / max(self.seconds, 1e-6)

    def ask(self, frames: int, now: float) -> None:
        """A request for so many frames goes out."""
        if not self.under_way:
            self.since = now
        self.under_way += 1
        self.asked += frames
        self.budget = max(0, self.budget - frames)

    def answer(self, came: int, nbytes: int, now: float) -> None:
        """A request has ended."""
        self.under_way -= 1
        self.came += came
        self.nbytes += nbytes
        self.seconds += now - self.since
        self.since = now
        if self.came <= self.warm_up:
            self.warm_after = self.seconds


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
    series: bool = False
    """All instances of the series in one reply."""
    measured: Round | None = None
    """What the request counts for."""
