"""Series that were listed are opened ahead: one at a time, behind all that somebody waits for, those listed last first.

So a tool that is given the URL of a series which the page shows gets its documents at once, however slow the server is.
What a page has listed and is not opened yet is forgotten when it says that it is left.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from dicomzarr.errors import DicomZarrError
from dicomzarr.faces.gateway.refusals import RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.engine.ports import SeriesRef
    from dicomzarr.faces.gateway.upstreams import Upstream

AHEAD: Final = "ahead"

_OF_A_LISTING: Final = 16
_MOST: Final = 48
"""Series of one listing, and of all, that wait to be opened: fewer than are remembered once they are open."""

_PATIENCE: Final = 2.0
"""Seconds that one waits for a moment in which nobody waits for frames or thumbnails."""

_ERRORS: Final = logging.getLogger("dicomzarr.gateway")


class _Listed(NamedTuple):
    upstream: Upstream
    ref: SeriesRef


class Ahead:
    """What is to be opened ahead; on the home loop."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[_Listed, str] = OrderedDict()
        """What page has listed each; the next to be opened first."""
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many series wait."""
        return len(self._waiting)

    def listed(self, upstream: Upstream, refs: Sequence[SeriesRef], page: str) -> None:
        """Somebody was told of series.

        Args:
            upstream: Theirs. Of one that is reached with the caller's credentials nothing is opened ahead.
            refs: Those with pixels.
            page: What the page calls itself that shows them; empty for whoever is no page.
        """
        if upstream.caller:
            return
        for ref in reversed(refs[:_OF_A_LISTING]):
            key = _Listed(upstream, ref)
            self._waiting[key] = page
            self._waiting.move_to_end(key, last=False)
        while len(self._waiting) > _MOST:
            self._waiting.popitem()
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._run())

    def left(self, page: str) -> int:
        """A page shows no series any more; gives how many are not opened for it. What is being opened still is."""
        gone = [key for key, shown in self._waiting.items() if shown == page]
        for key in gone:
            del self._waiting[key]
        return len(gone)

    async def close(self) -> None:
        """Open nothing any more."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._waiting:
            await next(iter(self._waiting)).upstream.thumbnails.quiet(_PATIENCE)
            if self._waiting:  # else all of it was left meanwhile
                (upstream, ref), _ = self._waiting.popitem(last=False)
                await _open(upstream, ref)


async def _open(upstream: Upstream, ref: SeriesRef) -> None:
    try:
        with suppress(DicomZarrError, RefusedError):  # whoever asks for it is told
            await upstream.store(ref, zarr_format=3)
    except Exception:  # noqa: BLE001  # one series is no reason not to open the others
        _ERRORS.exception("A series could not be opened ahead.")
