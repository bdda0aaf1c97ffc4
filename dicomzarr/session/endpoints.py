"""Endpoints: what one server and one identity share in a process, and the series opened on them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dicomzarr.errors import SeriesChangedError
from dicomzarr.runtime.home_loop import home_loop
from dicomzarr.runtime.single_flight import SingleFlight
from dicomzarr.sources.dicomweb.tuning.habits import Habits

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from dicomzarr.disk.cache import DiskCache
    from dicomzarr.engine.ports import SeriesRef, SeriesSource
    from dicomzarr.engine.scheduler import Scheduler
    from dicomzarr.omezarr.series_store import SeriesStore
    from dicomzarr.options import StorageOptions

SERIES_HELD_OPEN = 64
"""Opened series that an endpoint remembers; the least recently used is forgotten."""

SERVERS_KNOWN = 256
"""Servers of which a process remembers how they want to be asked."""

ENDPOINTS_HELD = 32
"""Endpoints that a process remembers; the least recently used is let go of, and its connections close unless in use."""


@dataclass(slots=True)
class Endpoint:
    """What one server and one identity share in a process; series are opened on the home loop."""

    source: SeriesSource
    options: StorageOptions
    scheduler: Scheduler
    open_series: Callable[[Endpoint, SeriesRef], Coroutine[Any, Any, SeriesStore]]
    """Opens a series: one metadata request."""
    disk: DiskCache | None = None
    """What is kept on disk; None where nothing is."""
    opened: OrderedDict[SeriesRef, SeriesStore] = field(default_factory=OrderedDict)
    opening: SingleFlight[SeriesRef, SeriesStore] = field(default_factory=SingleFlight)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def held(self, key: SeriesRef) -> SeriesStore | None:
        """The series if it is open already, now the most recently used; from any thread."""
        with self._lock:
            store = self.opened.get(key)
            if store is not None:
                self.opened.move_to_end(key)
            return store

    async def store(self, key: SeriesRef) -> SeriesStore:
        """The opened series; several who ask at once share one request, failures are not kept."""
        held = self.held(key)
        if held is not None:
            return held
        return await self.opening.do(key, lambda: self.open_series(self, key), lambda store: self._hold(key, store))

    async def store_in(self, key: SeriesRef, state: str) -> SeriesStore:
        """The series opened in a state; where what is open is of another one, it is opened anew once.

        Raises:
            SeriesChangedError: The server has it in another state.
        """
        found = await self.store(key)
        if found.state != state:
            self._let_go(key, found)
            found = await self.store(key)
        if found.state != state:
            raise SeriesChangedError(
                f"Series {key.series} of study {key.study} has changed on the server since it was opened.",
                remedy="Open it again; a filesystem needs invalidate_cache before.",
            )
        return found

    def _let_go(self, key: SeriesRef, store: SeriesStore) -> None:
        with self._lock:
            if self.opened.get(key) is store:
                del self.opened[key]

    def forget(self, key: SeriesRef | None = None) -> None:
        """Read metadata and frames anew at the next use, of one series or of all; from any thread."""
        self.opening.forget(key)
        with self._lock:
            if key is None:
                self.opened.clear()
            else:
                self.opened.pop(key, None)
        self.source.frames.forget(key)
        if self.disk is not None:
            self.disk.forget(*(key or ()))

    def _hold(self, key: SeriesRef, store: SeriesStore) -> None:
        with self._lock:
            self.opened[key] = store
            while len(self.opened) > SERIES_HELD_OPEN:
                self.opened.popitem(last=False)


class Endpoints:
    """Endpoints of this process, by base URL and identity; a forked child starts with none.

    Args:
        make: Makes an endpoint, without I/O.
    """

    def __init__(self, make: Callable[[str, StorageOptions, Habits], Endpoint]) -> None:
        self._make = make
        self.known: OrderedDict[tuple[str, str], Endpoint] = OrderedDict()
        self.habits: OrderedDict[str, Habits] = OrderedDict()
        """By base URL: what is learned of a server outlives whoever learned it."""
        self._lock = threading.Lock()

    def get(self, base: str, options: StorageOptions) -> Endpoint:
        """The endpoint of a server and an identity, now the most recently used; from any thread."""
        key = (base, options.identity)
        with self._lock:
            if key in self.known:
                self.known.move_to_end(key)
                return self.known[key]
            habits = self.habits.setdefault(base, Habits())
            self.habits.move_to_end(base)
            while len(self.habits) > SERVERS_KNOWN:
                self.habits.popitem(last=False)
        fresh = self._make(base, options, habits)
        dropped = []
        with self._lock:
            endpoint = self.known.setdefault(key, fresh)
            while len(self.known) > ENDPOINTS_HELD:
                dropped.append(self.known.popitem(last=False)[1])
        if dropped:
            # On the loop of their connections, which then close unless a series is still being read.
            home_loop().call_soon_threadsafe(dropped.clear)
        return endpoint

    def of(self, options: StorageOptions) -> list[Endpoint]:
        """The endpoints, on any server, that these options have been used for."""
        with self._lock:
            return [endpoint for (_, identity), endpoint in self.known.items() if identity == options.identity]

    def forget(self) -> None:
        """Start with none, as in a forked child, which has no right to its parent's connections."""
        self.known.clear()
        self._lock = threading.Lock()
