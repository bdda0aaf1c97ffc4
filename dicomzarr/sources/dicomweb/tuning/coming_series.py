"""A series that comes in one reply: what somebody waits for is taken out of the queue as it arrives."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.pixels.syntax import is_native
from dicomzarr.engine.headers import contradiction
from dicomzarr.engine.requests import FrameKey
from dicomzarr.errors import DicomZarrError, PermissionDeniedError
from dicomzarr.sources.dicomweb.negotiation.refusals import refuses_resource
from dicomzarr.sources.dicomweb.tuning.series_choice import DOUBTS
from dicomzarr.sources.dicomweb.tuning.strategy import KEEPS
from dicomzarr.sources.dicomweb.whole.whole_series import SeriesJob

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from dicomzarr.dicom.instance import StoredInstance
    from dicomzarr.engine.asker import Taker
    from dicomzarr.engine.backlog import Backlog
    from dicomzarr.engine.requests import FrameQueue, SeriesState, Turn
    from dicomzarr.sources.dicomweb.client import Client
    from dicomzarr.sources.dicomweb.tuning.series_choice import SeriesChoice
    from dicomzarr.sources.dicomweb.whole.whole_series import OnlyFrame


_MOST_USELESS: Final = 8
"""Instances that may be useless before a reply of mostly such ones is given up."""


@dataclass(slots=True, eq=False)
class ComingSeries:
    """One request for a whole series; whatever becomes of it, what is left in the queue is asked for otherwise."""

    opening: SeriesState
    reader: Hashable
    """Who wants most of it."""
    queue: FrameQueue
    taker: Taker
    choice: SeriesChoice
    backlog: Backlog
    clock: Callable[[], float]
    good: int = 0
    """Frames that came and can be used, whether or not somebody waits for them still."""
    served: int = 0
    """Those that somebody waited for."""
    useless: int = 0
    """Instances that are others than the metadata say."""
    nbytes: int = 0
    """Bytes of the good ones."""
    task: asyncio.Task[None] | None = None
    """Fetches it."""
    _waited: float = 0.0
    """Seconds in which decoders were behind."""
    _limit: asyncio.Timeout | None = None

    def holds_up(self, turn: Turn) -> bool:
        """Whether a reader's frames will come with it, so that they need not be asked for."""
        return turn.reader is self.reader and turn.opening is self.opening

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for a frame of it."""
        return any(turn.opening is self.opening for turn in self.queue.turns())

    def end_unless_wanted(self) -> None:
        """Somebody has given up."""
        if self.task is not None and not self.is_wanted:
            self.task.cancel()

    async def fetch(self, client: Client) -> None:
        """Ask for it, and learn how fast it came."""
        began = self.clock()
        slices = self.opening.slices
        job = SeriesJob(
            self.opening.study,
            self.opening.series,
            instances=len(slices),
            frame_bytes=max(instance.pixel.nbytes for instance in slices.values()),
            take=self._take,
            room=self._room,
        )
        try:
            async with asyncio.timeout(self.choice.patience(len(slices))) as self._limit:
                await client.whole_series(job)
        except TimeoutError:
            self.choice.failed(self.clock(), KEEPS)
        except DicomZarrError as error:
            denied = isinstance(error, PermissionDeniedError) or refuses_resource(error)
            self.choice.failed(self.clock(), KEEPS if denied else DOUBTS)
        except Exception:
            self.choice.failed(self.clock(), KEEPS)  # else it would be asked for again at once
            raise
        else:
            self._ended(began)

    def _ended(self, began: float) -> None:
        now = self.clock()
        if self.is_wanted and not self.served:
            self.choice.failed(now, KEEPS)  # else it would be asked for again and again, for nothing
        else:
            self.choice.came(self.good, self.nbytes, now - began - self._waited, now)

    def _take(self, only: OnlyFrame | None) -> bool:
        instance = None if only is None else self.opening.slices.get(only.instance)
        if only is None or instance is None or _is_decoded(only, instance):
            self.useless += 1
            return self.useless <= _MOST_USELESS or self.useless < self.good
        self.good += 1
        self.nbytes += len(only.frame.data)
        key = FrameKey(self.opening, only.instance, 1)
        if key in self.queue:
            self.served += 1
            self.queue.discard(key)
            error = contradiction(key, only.frame)
            if error is None:
                self.taker.came(key, only.frame)
            else:
                self.taker.failed(key, error)
        return self.good >= len(self.opening.slices) or self.is_wanted

    async def _room(self) -> None:
        if not self.backlog.is_full:
            return
        began = self.clock()
        limit = self._limit
        when = None if limit is None else limit.when()
        if limit is not None:
            limit.reschedule(None)  # it is ourselves who are late
        await self.backlog.room()
        waited = self.clock() - began
        self._waited += waited
        if limit is not None and when is not None:
            limit.reschedule(when + waited)


def _is_decoded(only: OnlyFrame, instance: StoredInstance) -> bool:
    """Whether the server decoded what should be a codestream, whose colour can then not be proven any more."""
    return instance.compressed and is_native(only.frame.transfer_syntax_uid or "")
