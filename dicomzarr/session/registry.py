"""Endpoints: what one server and one credential share in a process, and the series opened on them."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from cachetools import LRUCache

from dicomzarr.disk.cache import DiskCache
from dicomzarr.errors import SeriesChangedError
from dicomzarr.options import Tuning, View
from dicomzarr.runtime.home_loop import home_loop
from dicomzarr.runtime.pools import Threads
from dicomzarr.runtime.single_flight import SingleFlight
from dicomzarr.session.invalidations import INVALIDATIONS
from dicomzarr.session.kinds import kind_of
from dicomzarr.sources.http.urls import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from typing import Any

    from dicomzarr.engine.cache import CacheShare
    from dicomzarr.engine.ports import SeriesRef, SeriesSource
    from dicomzarr.engine.scheduler import Scheduler
    from dicomzarr.omezarr.series_store import SeriesStore
    from dicomzarr.options import Access, StorageOptions
    from dicomzarr.session.opened import OpenedSeries

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process remembers."""

    views: int = 64
    """Views of series that an endpoint remembers; the least recently used is forgotten."""
    all_views: int = 2048
    """Views of series that all endpoints remember: the endpoints least recently used are let go of."""
    endpoints: int = 1024
    """Endpoints that are remembered; of the least recently used, connections close unless in use."""
    seconds: float = 300.0
    """For which an endpoint is remembered that nobody uses."""
    seconds_between_sweeps: float = 1.0
    """After which it is looked for endpoints to let go of."""


LIMITS: Final = Limits()
"""Those of everybody."""


_SECONDS_OPENER_IDLE: Final = 1.0
"""After which the thread of an endpoint ends that opens nothing."""


class SeriesKey(NamedTuple):
    """A series on an endpoint, and where its frames are kept."""

    ref: SeriesRef
    disk: DiskCache | None
    """What is kept on disk; None where nothing is."""


class ViewKey(NamedTuple):
    """A view of a series on an endpoint."""

    series: SeriesKey
    view: View


class Endpoint:
    """One server and one credential, or one folder: one source, whatever is opened there and with whichever options.

    Series are opened on the home loop; the rest may be called from any thread.

    Args:
        base_url: The service.
        access: How it is reached, and as whom.
        source: Where series come from.
        scheduler: Brings frames.
        cache: Holds those of this endpoint in memory.
        open_series: Opens a series: one metadata request.
        open_view: Makes a store of an opened series.
        limits: How much is remembered.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # what it is made of
        self,
        base_url: str,
        access: Access,
        source: SeriesSource,
        scheduler: Scheduler,
        cache: CacheShare,
        open_series: Callable[[Endpoint, SeriesKey], Coroutine[Any, Any, OpenedSeries]],
        open_view: Callable[[Endpoint, ViewKey], Coroutine[Any, Any, SeriesStore]],
        limits: Limits = LIMITS,
    ) -> None:
        self.source = source
        self.scheduler = scheduler
        self.identity = access.identity
        self.limits = access.limits
        """What is taken from it at most."""
        self.opener = Threads("dicomzarr-open", 1, _SECONDS_OPENER_IDLE)
        """Types metadata, which may take longer than any frame, and holds up nobody elsewhere."""
        self._base_url = base_url
        self._access = access
        """Kept, for it keeps the secrets by which others find this endpoint."""
        self._cache = cache
        self._open_series = open_series
        self._open_view = open_view
        self._series: WeakValueDictionary[SeriesKey, OpenedSeries] = WeakValueDictionary()
        """Held as long as a view of them is."""
        self._views: LRUCache[ViewKey, SeriesStore] = LRUCache(limits.views)
        self._opening: SingleFlight[SeriesKey, OpenedSeries] = SingleFlight()
        self._showing: SingleFlight[ViewKey, SeriesStore] = SingleFlight()
        self._disks: dict[tuple[str | None, int], DiskCache | None] = {}
        self._users: WeakValueDictionary[int, StorageOptions] = WeakValueDictionary()
        """Options of those who have something open here, by their ids."""
        self._users_heard = 0
        self._lock = threading.Lock()

    # --- how much is asked and held ---

    def use(self, options: StorageOptions) -> None:
        """Somebody reads with these options, for as long as they hold them.

        Of all who do, the fewest connections and frames of a request hold, the longest timeout and the largest cache.
        """
        if self._users.get(id(options)) is options and len(self._users) == self._users_heard:
            return
        self._disk(options.access)
        with self._lock:  # until the source is told: of two at once, the last to be heard tells last
            self._users[id(options)] = options
            users = [each for _, each in _living(self._users)]
            self._users_heard = len(users)
            tuning = Tuning(
                min(each.max_connections for each in users),
                min(each.frames_per_request for each in users),
                max(each.cache_bytes for each in users),
            )
            self._cache.grow(tuning.cache_bytes)
            home_loop().call_soon_threadsafe(self.source.tune, tuning, max(each.timeout for each in users))

    # --- what is open ---

    @property
    def views_held(self) -> int:
        """How many views of series are remembered."""
        return len(self._views)

    @property
    def disks(self) -> Iterable[DiskCache]:
        """The caches on disk that were asked for."""
        return [disk for disk in list(self._disks.values()) if disk is not None]

    def held(self, ref: SeriesRef, options: StorageOptions) -> SeriesStore | None:
        """The series as the options show it if it is open already, now the most recently used."""
        return self._held(self._key(ref, options))

    async def store(self, ref: SeriesRef, options: StorageOptions) -> SeriesStore:
        """The opened series as the options show it; those who ask at once share requests, failures are not kept."""
        return await self._store(self._key(ref, options))

    async def store_in(self, ref: SeriesRef, options: StorageOptions, state: str) -> SeriesStore:
        """The series opened in a state; where what is open is of another one, it is opened anew once.

        Raises:
            SeriesChangedError: The server has it in another state.
        """
        key = self._key(ref, options)
        found = await self._store(key)
        if found.state != state:
            self._let_go(key, found)
            found = await self._store(key)
        if found.state != state:
            raise SeriesChangedError(
                f"Series {ref.series} of study {ref.study} has changed on the server since it was opened.",
                remedy="Open it again; a filesystem needs invalidate_cache before.",
            )
        return found

    async def series(self, key: SeriesKey) -> OpenedSeries:
        """The opened series that all views share; those who ask at once share requests."""
        held = self._series.get(key)
        if held is not None:
            return held
        return await self._opening.do(
            key, lambda: self._open_series(self, key), lambda opened: self._hold_series(key, opened)
        )

    def forget(self, ref: SeriesRef | None = None) -> None:
        """Read metadata and frames anew at the next use, of one series or of all."""
        INVALIDATIONS.add(self._base_url, ref)
        self._forget(ref)

    def last_forgotten(self, ref: SeriesRef) -> int:
        """When a series that is opened now was last forgotten on purpose, as a number; 0 for never."""
        return INVALIDATIONS.opening(self._base_url, ref)

    def _forget(self, ref: SeriesRef | None) -> None:
        self.close(ref)
        self.source.frames.forget(ref)
        if ref is None:
            home_loop().call_soon_threadsafe(self.source.frames.close)
        for disk in self.disks:
            disk.forget(*(ref or ()))

    def close(self, ref: SeriesRef | None = None) -> None:
        """Open a series, or all, anew at the next use; what is on disk stays, if the server says that it is right."""
        self._showing.forget(lambda key: ref in (None, key.series.ref))
        self._opening.forget(lambda key: ref in (None, key.ref))
        with self._lock:
            for view in [key for key in self._views if ref in (None, key.series.ref)]:
                del self._views[view]
            for series in [key for key, _ in _living(self._series) if ref in (None, key.ref)]:
                self._series.pop(series, None)

    def renew(self, ref: SeriesRef) -> None:
        """Forget a series if its files have changed; not on the home loop, for it waits for the disk.

        Raises:
            MissingFileError: There is no such folder.
        """
        states = {opened.source.series.etag for key, opened in _living(self._series) if key.ref == ref}
        if any(self.source.has_changed(ref, etag) for etag in states):
            self._forget(ref)

    def _key(self, ref: SeriesRef, options: StorageOptions) -> ViewKey:
        return ViewKey(SeriesKey(ref, self._disk(options.access)), options.view)

    def _disk(self, access: Access) -> DiskCache | None:
        place = (access.cache_dir, access.cache_dir_bytes)
        with self._lock:
            if place not in self._disks:
                is_far = kind_of(self._base_url).is_far(self._base_url)  # else its files lie on a disk already
                self._disks[place] = DiskCache.of(self._base_url, access) if is_far else None
            return self._disks[place]

    def _held(self, key: ViewKey) -> SeriesStore | None:
        with self._lock:
            return self._views.get(key)

    async def _store(self, key: ViewKey) -> SeriesStore:
        held = self._held(key)
        if held is not None:
            return held
        return await self._showing.do(key, lambda: self._open_view(self, key), lambda store: self._hold(key, store))

    def _hold_series(self, key: SeriesKey, opened: OpenedSeries) -> None:
        self._series[key] = opened

    def _hold(self, key: ViewKey, store: SeriesStore) -> None:
        with self._lock:
            self._views[key] = store

    def _let_go(self, key: ViewKey, store: SeriesStore) -> None:
        """A store is not what is wanted: neither it nor what it was made of is handed out again."""
        with self._lock:
            if self._views.get(key) is store:
                del self._views[key]
            for series in [each for each, opened in _living(self._series) if opened in store.made_of]:
                self._series.pop(series, None)


class _EndpointKey(NamedTuple):
    base: str
    identity: str
    """Of the credentials."""
    insecure: bool
    """Credentials travel in plain text, which each who reads has to allow."""


class Endpoints:
    """Endpoints of this process, by base URL and credentials; a forked child starts with none.

    What somebody uses stays, and is found by others; what nobody uses is remembered for a while.

    Args:
        make: Makes an endpoint, without I/O.
        limits: How much is remembered.
    """

    def __init__(self, make: Callable[[str, StorageOptions, Limits], Endpoint], limits: Limits = LIMITS) -> None:
        self._make = make
        self._limits = limits
        self.forget()

    def forget(self) -> None:
        """Start with none, as in a forked child, which has no right to its parent's connections."""
        self._lock = threading.Lock()
        self._alive: WeakValueDictionary[_EndpointKey, Endpoint] = WeakValueDictionary()
        self.recent: OrderedDict[_EndpointKey, Endpoint] = OrderedDict()
        """The least recently used first."""
        self._used: dict[_EndpointKey, float] = {}
        """When each was used last, in seconds of a steady clock."""
        self._swept = 0.0

    def close(self) -> None:
        """Start with none; connections close unless in use. On the home loop."""
        alive = [each for _, each in _living(self._alive)]
        self.forget()
        _close(alive)

    def get(self, base: str, options: StorageOptions) -> Endpoint:
        """The endpoint of a server and a credential, now the most recently used; from any thread."""
        key = _key(base, options.access)
        endpoint = self._alive.get(key)
        if endpoint is None:
            endpoint = self._make(base, options, self._limits)
        with self._lock:
            endpoint = self._alive.setdefault(key, endpoint)
            self.recent[key] = endpoint
            self.recent.move_to_end(key)
            self._used[key] = time.monotonic()
            dropped = self._swept_out()
        if dropped:
            home_loop().call_soon_threadsafe(_close, dropped)
        endpoint.use(options)
        return endpoint

    def of(self, options: StorageOptions) -> list[Endpoint]:
        """The endpoints, on any server, of these credentials."""
        return [each for _, each in _living(self._alive) if each.identity == options.access.identity]

    def _swept_out(self) -> list[Endpoint]:
        """Endpoints that are not remembered any more; the one that is used now stays."""
        now, most = time.monotonic(), self._limits
        dropped = []
        while len(self.recent) > most.endpoints:
            dropped.append(self._forgotten())
        if now - self._swept >= most.seconds_between_sweeps:
            self._swept = now
            held = sum(endpoint.views_held for endpoint in self.recent.values())
            while len(self.recent) > 1 and (held > most.all_views or now - self._oldest() > most.seconds):
                dropped.append(self._forgotten())
                held -= dropped[-1].views_held
        return dropped

    def _oldest(self) -> float:
        return self._used[next(iter(self.recent))]

    def _forgotten(self) -> Endpoint:
        key, endpoint = self.recent.popitem(last=False)
        del self._used[key]
        return endpoint


def _close(endpoints: list[Endpoint]) -> None:
    """On the loop of their connections, where they are let go of too; what is still being read goes on."""
    while endpoints:
        endpoints.pop().source.frames.close()


def _key(base: str, access: Access) -> _EndpointKey:
    plain = not base.startswith("https://") and not access.anonymous and not is_loopback(base)
    return _EndpointKey(base, access.identity, plain and access.allow_insecure)


def _living(weak: WeakValueDictionary[_Key, _Value]) -> list[tuple[_Key, _Value]]:
    """The entries of a moment; to iterate over what may die in another thread is not safe."""
    return [(each.key, value) for each in weak.valuerefs() if (value := each()) is not None]
