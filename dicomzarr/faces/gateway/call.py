"""One request, with all that answering it needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from cachetools import LRUCache

from dicomzarr.faces.gateway.addresses import address_of
from dicomzarr.faces.gateway.ahead import Ahead
from dicomzarr.faces.gateway.keeping import Keeping
from dicomzarr.faces.gateway.metrics import Metrics
from dicomzarr.faces.gateway.replies import etag_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web

    from dicomzarr.faces.gateway.addresses import Address
    from dicomzarr.faces.gateway.board import Board
    from dicomzarr.faces.gateway.guard import Guard
    from dicomzarr.faces.gateway.metrics import Samples
    from dicomzarr.faces.gateway.passing import PassThrough
    from dicomzarr.faces.gateway.turns import Budget
    from dicomzarr.faces.gateway.upstreams import Upstream, Upstreams
    from dicomzarr.omezarr.hierarchy import Found
    from dicomzarr.omezarr.series_store import SeriesStore

CHUNK_BYTES: Final = 128 * 2**20
THUMBNAIL_BYTES: Final = 32 * 2**20
"""Bytes of chunks and frames as they were sent, and of thumbnails, that are held for whoever asks again."""


_Value = TypeVar("_Value")

_MOST_ADDRESSES: Final = 4096
_MOST_LOCATED: Final = 4096
"""Paths, and keys of one series, of which it is remembered what they lead to."""


class Located(NamedTuple):
    """What lies at a key."""

    found: Found | None
    etag: str


class Remembered(dict[str, _Value]):
    """Answers by questions, which it forgets all at once when they are many: a bound that costs nothing to keep.

    Args:
        most: How many.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def remember(self, question: str, answer: _Value) -> _Value:
        """Keep an answer, which is given back."""
        if len(self) >= self._most:
            self.clear()
        self[question] = answer
        return answer


class Held(LRUCache[str, bytes]):
    """Values by their entity tags, the least recently used out first.

    Args:
        limit: Bytes.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit, getsizeof=len)

    def keep(self, etag: str, data: bytes) -> None:
        """Hold a value, if there is room for it."""
        if len(data) <= self.maxsize:
            self[etag] = data


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """What all requests share."""

    upstreams: Upstreams
    guard: Guard
    phi: bool = False
    """The table of attributes may tell what identifies patients."""
    passing: PassThrough | None = None
    """Callers bring credentials of their own."""
    metrics: Metrics = field(default_factory=Metrics)
    board: Board | None = None
    """Where other processes of the gateway tell their numbers."""
    keeping: Keeping = field(default_factory=Keeping)
    ahead: Ahead = field(default_factory=Ahead)
    addresses: Remembered[Address[Upstream]] = field(default_factory=lambda: Remembered(_MOST_ADDRESSES))
    """What paths name."""
    _located: WeakKeyDictionary[SeriesStore, Remembered[Located]] = field(default_factory=WeakKeyDictionary)
    chunks: Held = field(default_factory=lambda: Held(CHUNK_BYTES))
    thumbnails: Held = field(default_factory=lambda: Held(THUMBNAIL_BYTES))

    def samples(self) -> Samples:
        """What this process has done, in numbers."""
        held = {"chunks": int(self.chunks.currsize), "thumbnails": int(self.thumbnails.currsize)}
        return self.metrics.samples(self.upstreams.by_name.values(), held)

    def located(self, upstream: Upstream, store: SeriesStore, key: str) -> Located:
        """What lies at a key of a series that was opened there, and its entity tag."""
        known = self._located.get(store)
        if known is None:
            known = self._located[store] = Remembered(_MOST_LOCATED)
        found = known.get(key)
        if found is None:
            found = known.remember(key, Located(store.locate(key), etag_of(upstream.version_of(store), key)))
        return found


@dataclass(slots=True, eq=False)
class Call:
    """One request."""

    request: web.BaseRequest
    shared: Shared
    segments: list[str]
    """Of its path, behind the route's own."""
    ends_with_slash: bool
    path: str = ""
    """As it was sent, without what stands before it in absolute-form."""
    kind: str = "other"
    """What it is for, in metrics and the access log."""
    callers_upstreams: Mapping[str, Upstream] | None = None
    """As the caller sees them, where credentials are the caller's."""
    _held: tuple[Budget, int] | None = None

    @property
    def is_here(self) -> bool:
        """Whoever asks sits at this machine, and may know where folders lie, whose names may be patients'.

        A page of another origin says so.
        """
        return not self.shared.guard.open_to_others and "Origin" not in self.request.headers

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        """What may be asked, by name."""
        return self.shared.upstreams.by_name if self.callers_upstreams is None else self.callers_upstreams

    @property
    def values(self) -> str | None:
        """What arrays shall hold, by the storage option of that name; None where it is left to the gateway."""
        return self.request.query.get("values")

    def address(self) -> Address[Upstream]:
        """What the path names.

        Raises:
            RefusedError: Nothing.
        """
        if self.callers_upstreams is not None:
            return address_of(self.segments, self.callers_upstreams)
        named = self.shared.addresses
        path = "/".join(self.segments)
        address = named.get(path)
        if address is None:
            address = named.remember(path, address_of(self.segments, self.shared.upstreams.by_name))
        return address

    async def take(self, budget: Budget, nbytes: int) -> None:
        """Wait for room for so many bytes, and hold it, in the place of what was held, until the reply is sent.

        Raises:
            RefusedError: Too many wait already.
        """
        self.let_go()
        self._held = budget, await budget.take(nbytes)

    def let_go(self) -> None:
        """The reply is sent, or will not be."""
        if self._held is not None:
            budget, nbytes = self._held
            self._held = None
            budget.give_back(nbytes)


Handler: TypeAlias = "Callable[[Call], Awaitable[web.Response]]"
"""Answers a request, or raises a `RefusedError` or an error of ours."""
