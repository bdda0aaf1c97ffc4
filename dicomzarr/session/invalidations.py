"""When series were forgotten in this process in order to be read anew. Pure.

Where pixels are replaced under their UIDs, nothing else may tell what is read afterwards from what was read before.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from dicomzarr.runtime.process import ProcessLock

if TYPE_CHECKING:
    from dicomzarr.engine.ports import SeriesRef

_REMEMBERED = 4096


class Invalidations:
    """Numbers what is forgotten, series by series; from any thread.

    Args:
        remembered: Series that were opened, and forgotten. Beyond, all count as forgotten when the last was that is
            not remembered any more.
    """

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._now = 0
        self._first_opened: OrderedDict[tuple[str, SeriesRef], int] = OrderedDict()
        self._last_forgotten: OrderedDict[tuple[str, SeriesRef | None], int] = OrderedDict()
        self._all_forgotten = 0
        self._all_opened = False
        self._lock = ProcessLock()

    def add(self, base: str, ref: SeriesRef | None) -> None:
        """A series of a server is forgotten, or all of that server."""
        with self._lock:
            self._now += 1
            self._last_forgotten[base, ref] = self._now
            self._last_forgotten.move_to_end((base, ref))
            if len(self._last_forgotten) > self._remembered:
                _, self._all_forgotten = self._last_forgotten.popitem(last=False)

    def add_all(self) -> None:
        """All of all servers is forgotten."""
        with self._lock:
            self._now += 1
            self._last_forgotten.clear()
            self._all_forgotten = self._now

    def opening(self, base: str, ref: SeriesRef) -> int:
        """The number under which a series was last forgotten; 0 where it never was after it had been opened."""
        with self._lock:
            first = self._first_opened.setdefault((base, ref), -1 if self._all_opened else self._now)
            if len(self._first_opened) > self._remembered:
                self._first_opened.popitem(last=False)
                self._all_opened = True
            forgotten = (self._last_forgotten.get((base, each), 0) for each in (ref, None))
            last = max(self._all_forgotten, *forgotten)
        return last if last > first else 0


INVALIDATIONS = Invalidations()
"""Those of this process."""
