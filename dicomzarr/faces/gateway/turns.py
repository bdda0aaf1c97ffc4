"""How much is at work at a time: bounded memory and queues; what somebody looks at goes before thumbnails."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from dicomzarr.faces.gateway.refusals import RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

BYTES_AT_WORK: Final = 128 * 2**20
"""Of chunks of one upstream that are waited for, decoded or sent."""

MOST_WAITING: Final = 4096
"""Requests of one upstream that wait for their turn."""

_THUMBNAILS: Final = 2
_THUMBNAILS_BESIDE_FRAMES: Final = 1


class Budget:
    """Bytes that requests of one upstream may take together; they get them in the order in which they came.

    Args:
        limit: Bytes.
        most_waiting: Requests that may wait for some.
    """

    def __init__(self, limit: int = BYTES_AT_WORK, most_waiting: int = MOST_WAITING) -> None:
        self._limit = limit
        self._most_waiting = most_waiting
        self._free = limit
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def taken(self) -> int:
        """Bytes that are at work."""
        return self._limit - self._free

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    async def take(self, nbytes: int) -> int:
        """Wait for so many bytes, or for all there are, and hold them; gives how many, for `give_back`.

        Raises:
            RefusedError: Too many wait already.
        """
        wanted = min(nbytes, self._limit)
        if self._waiting or wanted > self._free:
            await self._turn(wanted)
        else:
            self._free -= wanted
        return wanted

    def give_back(self, nbytes: int) -> None:
        """Let others have what was held."""
        self._free += nbytes
        self._next()

    async def _turn(self, wanted: int) -> None:
        if len(self._waiting) >= self._most_waiting:
            raise RefusedError(503, "Too many requests wait. Ask again in a moment.", {"Retry-After": "1"})
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (wanted, future)
        self._waiting.append(entry)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._free += wanted  # it had got them just now
            elif entry in self._waiting:
                self._waiting.remove(entry)
            self._next()
            raise

    def _next(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            wanted, future = self._waiting.popleft()
            if not future.cancelled():
                self._free -= wanted
                future.set_result(None)


class ThumbnailTurns:
    """Two thumbnails are made at a time; one, while somebody waits for frames."""

    def __init__(self) -> None:
        self._frames = 0
        self._at_work = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def waiting(self) -> int:
        """Thumbnails that wait."""
        return len(self._waiting)

    @contextmanager
    def frame(self) -> Iterator[None]:
        """Somebody waits for a frame."""
        self._frames += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._frames -= 1
            self._next()

    @asynccontextmanager
    async def thumbnail(self) -> AsyncIterator[None]:
        """Wait until a thumbnail may be made.

        Raises:
            RefusedError: Too many wait already.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise RefusedError(503, "Too many thumbnails wait. Ask again in a moment.", {"Retry-After": "1"})
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._quiet.clear()
        self._next()
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._at_work -= 1
            elif future in self._waiting:
                self._waiting.remove(future)
            self._next()
            raise
        try:
            yield
        finally:
            self._at_work -= 1
            self._next()

    async def quiet(self, patience: float) -> None:
        """Wait until nobody waits for a frame or thumbnail, for so many seconds at most."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._quiet.wait(), patience)

    def _next(self) -> None:
        limit = _THUMBNAILS_BESIDE_FRAMES if self._frames else _THUMBNAILS
        while self._waiting and self._at_work < limit:
            future = self._waiting.popleft()
            if not future.cancelled():
                self._at_work += 1
                future.set_result(None)
        if not (self._frames or self._at_work or self._waiting):
            self._quiet.set()
