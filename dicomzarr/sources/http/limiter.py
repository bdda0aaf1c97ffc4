"""The limit of requests under way at a server: they wait, first come first served, until the pace lets them go."""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from typing import TYPE_CHECKING

from dicomzarr.errors import DicomZarrError, HTTPStatusError
from dicomzarr.sources.http.retry import is_busy
from dicomzarr.sources.http.statuses import Meaning, means

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self

    from dicomzarr.sources.http.pacing import Pacing


class RequestLimiter:
    """Lets requests go at the pace of one server; lives on one event loop.

    Args:
        pacing: The pace.
        clock: Gives seconds, and never goes back.
        sleep: Waits.
    """

    def __init__(self, pacing: Pacing, clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        self.pacing = pacing
        self.clock = clock
        self._sleep = sleep
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._pause: asyncio.Task[None] | None = None

    async def take(self) -> None:
        """Wait for a slot; who gets one gives it back.

        Raises:
            HTTPStatusError: The server refuses everything, as it has told another request.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._let_go()
        try:
            await future
        except asyncio.CancelledError:
            if future.cancelled():
                self._leave(future)
            elif future.exception() is None:  # it came in the very moment in which nobody wanted it any more
                self.give_back()
            raise

    @property
    def under_way(self) -> int:
        """Requests that have a slot."""
        return self._under_way

    def give_back(self) -> None:
        """Let the next one go."""
        self._under_way -= 1
        self._let_go()

    def slow_down(self, epoch: int, error: HTTPStatusError) -> bool:
        """The server is too busy; gives whether there is hope."""
        hope = self.pacing.slow_down(self.clock(), epoch, error)
        if not hope:
            self._refuse(error)
        return hope

    def tune(self, most: int, budget: float) -> None:
        """Let more or fewer go at once; see `Pacing.tune`."""
        self.pacing.tune(most, budget)
        self._let_go()

    def _let_go(self) -> None:
        refusal = self.pacing.refusal(self.clock())
        if refusal is not None:
            self._refuse(refusal)
        if self._waiting and self._pause is None and self.pacing.pause(self.clock()) > 0:
            self._pause = asyncio.get_running_loop().create_task(self._wait())
        if self._pause is not None:
            return
        while self._waiting and self._under_way < self.pacing.connections:
            future = self._waiting.popleft()
            if not future.done():
                self._under_way += 1
                future.set_result(None)

    async def _wait(self) -> None:
        """One pause for all; it may be made longer meanwhile."""
        while (pause := self.pacing.pause(self.clock())) > 0:
            end = self.clock() + pause
            await self._sleep(pause)
            self.pacing.resume(max(end, self.clock()))
        self._pause = None
        self._let_go()

    def _refuse(self, error: HTTPStatusError) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(copy.copy(error))  # each is raised elsewhere

    def _leave(self, future: asyncio.Future[None]) -> None:
        if future in self._waiting:
            self._waiting.remove(future)
        if not self._waiting and self._pause is not None:  # nobody is left to wait for
            self._pause.cancel()
            self._pause = None


class RequestSlot:
    """One request's slot, as an async context manager around it."""

    def __init__(self, limiter: RequestLimiter) -> None:
        self._limiter = limiter
        self._epoch = 0
        self._served = limiter.pacing.served
        self.hopeless = False
        """The server refuses everything: there is no use in another try."""
        self.others_served = False
        """Another request was served since this one began to wait."""
        self.was_crowded = False
        """The server broke the connection while others were open: alone it might have been served."""

    async def __aenter__(self) -> Self:
        try:
            await self._limiter.take()
        except HTTPStatusError:
            self.hopeless = True
            raise
        self._epoch = self._limiter.pacing.epoch
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pacing = self._limiter.pacing
        self.others_served = pacing.served > self._served
        if error is None:
            pacing.succeed(self._epoch)
        elif isinstance(error, HTTPStatusError) and is_busy(error):
            self.hopeless = not self._limiter.slow_down(self._epoch, error)
        elif isinstance(error, DicomZarrError) and means(error, Meaning.NO_ANSWER):
            self.was_crowded = self._limiter.under_way > 1
            if self.was_crowded:
                pacing.drop(self._epoch)
        self._limiter.give_back()
