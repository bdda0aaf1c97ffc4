"""Frames that somebody wants and does not have yet: one state for each of them. Pure (no I/O)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol, TypeAlias

from dicomzarr.engine.requests import Priority

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Hashable

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.engine.ports import Fetch, FrameWaiter
    from dicomzarr.engine.series_state import FrameKey, SeriesState
    from dicomzarr.errors import DicomZarrError


class State(Enum):
    """Where a wanted frame is."""

    LOOKED_UP = auto()
    """The disk is asked for it."""
    QUEUED = auto()
    """It is to be fetched when its turn has come, or comes with others of its series."""
    UNDER_WAY = auto()
    """A fetch brings it."""
    SUSPECT = auto()
    """A fetch brings it in another way, for what came before did not decode."""


class FetchOwner(Protocol):
    """Whoever began a fetch, and is told what becomes of it."""

    def settle(self, by: FetchUnderWay, key: FrameKey, outcome: EncodedFrame | BaseException) -> None:
        """A frame has arrived or failed."""

    def wants(self, series: SeriesState) -> bool:
        """Whether somebody waits for a frame of a series."""

    async def ready(self, by: FetchUnderWay) -> None:
        """Wait until the decoders have caught up, and the disk where that alone takes the frames."""


@dataclass(slots=True, eq=False)
class FetchUnderWay:
    """A fetch that has begun; takes what becomes of its frames."""

    fetch: Fetch
    owner: FetchOwner
    left: int = 0
    """Of its frames, those that have neither arrived nor failed."""
    given_up: int = 0
    """Of these, those that nobody waits for any more."""
    task: asyncio.Task[None] | None = None
    only_for_disk: bool = False
    """Nobody waited for its frames when it began but whoever wants them to lie on disk."""

    def arrived(self, key: FrameKey, frame: EncodedFrame) -> bool:
        """See `ports.FrameSink`."""
        self.owner.settle(self, key, frame)
        return self.owner.wants(key.series) if self.fetch.stays_queued else self.left > self.given_up

    def failed(self, key: FrameKey, error: DicomZarrError) -> None:
        """See `ports.FrameSink`."""
        self.owner.settle(self, key, error)

    async def ready(self) -> None:
        """See `ports.FrameSink`."""
        await self.owner.ready(self)

    def cancel(self) -> None:
        """Nobody needs it."""
        if self.task is not None:
            self.task.cancel()


@dataclass(slots=True, eq=False)
class PendingFrame:
    """A frame that is wanted, and those who wait for it."""

    key: FrameKey
    reader: Hashable
    """Who wanted it first: readers take turns."""
    priority: Priority
    """With which it is fetched; of what is under way it stays so, whoever joins."""
    waiters: dict[FrameWaiter, bool] = field(default_factory=dict)
    """Whether each of them has seen it not decode, and waits for it in another way."""
    state: State = State.QUEUED
    fetch: FetchUnderWay | None = None
    """What brings it."""
    given_up: bool = False
    """All who waited have given up."""
    fetched: bool = False
    """It came by a fetch, and not from the disk: fetching it anew would not help."""

    @property
    def is_suspect(self) -> bool:
        """Whether all who wait have seen it not decode."""
        return bool(self.waiters) and all(self.waiters.values())

    def settle(self, *, failed: bool) -> list[FrameWaiter]:
        """What brought it has ended: takes out those who are to be told; the others wait for it in another way."""
        self.fetched = self.state is not State.LOOKED_UP
        suspect = self.state is State.SUSPECT
        if failed and self.priority is not Priority.NOW and not suspect:
            return []  # it was fetched together with what nobody wants, which may be what failed
        # Who has seen it not decode needs it from elsewhere; to who has not, a failure elsewhere says nothing.
        told = [each for each, suspects in self.waiters.items() if suspects is suspect or (suspect and not failed)]
        for waiter in told:
            del self.waiters[waiter]
        return told


PendingFrames: TypeAlias = "dict[FrameKey, PendingFrame]"
"""The one table of what is wanted."""
