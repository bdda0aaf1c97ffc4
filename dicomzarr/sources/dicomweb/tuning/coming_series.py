"""A series that comes in one reply: its frames are handed on as they arrive, and how fast that is is learned."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.pixels.syntax import is_native
from dicomzarr.engine.series_state import FrameKey
from dicomzarr.errors import DicomZarrError, PermissionDeniedError
from dicomzarr.sources.dicomweb.negotiation.refusals import refuses_resource
from dicomzarr.sources.dicomweb.tuning.series_choice import DOUBTS
from dicomzarr.sources.dicomweb.tuning.strategy import KEEPS
from dicomzarr.sources.dicomweb.whole.whole_series import SeriesJob

if TYPE_CHECKING:
    from collections.abc import Callable

    from dicomzarr.dicom.instance import Instance
    from dicomzarr.engine.ports import Fetch, FrameSink
    from dicomzarr.engine.series_state import SeriesState
    from dicomzarr.sources.dicomweb.client import Client
    from dicomzarr.sources.dicomweb.tuning.series_choice import SeriesChoice
    from dicomzarr.sources.dicomweb.whole.whole_series import OnlyFrame


_MOST_USELESS: Final = 8
"""Instances that may be useless before a reply of mostly such ones is given up."""


@dataclass(slots=True, eq=False)
class ComingSeries:
    """One request for a whole series; whatever becomes of it, what is left in the queue is asked for otherwise."""

    fetch: Fetch
    """The frames that somebody waited for when it began."""
    sink: FrameSink
    choice: SeriesChoice
    clock: Callable[[], float]
    good: int = 0
    """Frames that came and can be used, whether or not somebody waits for them still."""
    served: int = 0
    """Those that somebody waited for when it began."""
    useless: int = 0
    """Instances that are others than the metadata say."""
    nbytes: int = 0
    """Bytes of the good ones."""
    _wanted: frozenset[FrameKey] = field(init=False)
    _waited: float = 0.0
    """Seconds in which decoders were behind."""
    _limit: asyncio.Timeout | None = None

    def __post_init__(self) -> None:
        self._wanted = frozenset(self.fetch.keys)

    @property
    def _series(self) -> SeriesState:
        return self.fetch.keys[0].series

    async def run(self, client: Client) -> None:
        """Ask for it, and learn how fast it came."""
        began = self.clock()
        series, slices = self._series, self._series.slices
        job = SeriesJob(
            series.study,
            series.series,
            instances=len(slices),
            frame_bytes=max(instance.pixel.nbytes for instance in slices.values()),
            take=self._take,
            room=self._ready,
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
        if not self.served:
            self.choice.failed(now, KEEPS)  # else it would be asked for again and again, for nothing
        else:
            self.choice.came(self.good, self.nbytes, now - began - self._waited, now)

    def _take(self, only: OnlyFrame | None) -> bool:
        instance = None if only is None else self._series.slices.get(only.instance)
        if only is None or instance is None or _is_decoded(only, instance):
            self.useless += 1
            return self.useless <= _MOST_USELESS or self.useless < self.good
        self.good += 1
        self.nbytes += len(only.frame.data)
        key = FrameKey(self._series, only.instance, 1)
        self.served += key in self._wanted
        more = self.sink.arrived(key, only.frame)
        return more or self.good >= len(self._series.slices)

    async def _ready(self) -> None:
        limit = self._limit
        when = None if limit is None else limit.when()
        if limit is None or when is None:
            return
        began = self.clock()
        limit.reschedule(None)  # it is ourselves who are late
        await self.sink.ready()
        waited = self.clock() - began
        self._waited += waited
        limit.reschedule(when + waited)


def _is_decoded(only: OnlyFrame, instance: Instance) -> bool:
    """Whether the server decoded what should be a codestream, whose colour can then not be proven any more."""
    return instance.compressed and is_native(only.frame.transfer_syntax_uid or "")
