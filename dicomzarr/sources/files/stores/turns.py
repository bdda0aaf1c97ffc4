"""Calls of another library that reads synchronously: one at a time where it is not made for several, each bounded."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from dicomzarr.errors import RequestTimeoutError
from dicomzarr.runtime.pools import FOREIGN
from dicomzarr.runtime.process import at_fork

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

_Answer = TypeVar("_Answer")


class Turns:
    """Who calls an object of another library, and when; lives on the home loop.

    Args:
        called: The object, which is held.
        one: Whether one thread at a time may be in it.
    """

    def __init__(self, called: object, *, one: bool = False) -> None:
        self.called = called
        self._turn = asyncio.Lock() if one else None
        self._inside: Future[Any] | None = None
        """What runs in the object, also when nobody waits for it any more."""
        self._began = self._returned = 0.0
        """When that began, and when a call returned last, in seconds of a steady clock."""

    @classmethod
    def of(cls, called: object, *, one: bool) -> Turns:
        """Those of an object, whoever calls it."""
        key = id(called), one  # it is held by what is found, so no other has this number
        found = _known.get(key)
        if found is None:
            found = _known[key] = cls(called, one=one)
        return found

    async def run(self, seconds: float, name: str, function: Callable[..., _Answer], *args: object) -> _Answer:
        """Call in another thread.

        Args:
            seconds: In which it has to return, once it is its turn.
            name: What it is about, for messages.
            function: What is called...
            *args: ... and with what.

        Raises:
            RequestTimeoutError: It does not return. It runs on, so until it does nothing else is called.
        """
        if self._turn is None:
            return await self.bounded(seconds, name, asyncio.wrap_future(FOREIGN.submit(function, *args)))
        async with self._turn:
            if self._inside is not None and not self._inside.done():  # whoever called was cancelled, or gave up
                await self._wait(seconds, name, asyncio.wrap_future(self._inside), self._began)
            self._inside, self._began = FOREIGN.submit(function, *args), time.monotonic()
            return await self.bounded(seconds, name, asyncio.wrap_future(self._inside))

    async def bounded(self, seconds: float, name: str, answer: asyncio.Future[_Answer]) -> _Answer:
        """Wait for an answer, as long as it or others come; raises as `run` does."""
        await self._wait(seconds, name, answer, time.monotonic())
        return answer.result()

    async def _wait(self, seconds: float, name: str, answer: asyncio.Future[Any], since: float) -> None:
        try:
            while not answer.done():
                left = max(since, self._returned) + seconds - time.monotonic()
                if left <= 0:
                    raise RequestTimeoutError(
                        f"{name}: the library that reads it has given nothing for {seconds:g} seconds.",
                        remedy="Try again, or give a longer timeout.",
                    )
                await asyncio.wait({answer}, timeout=left)
            self._returned = time.monotonic()
            if not answer.cancelled():
                answer.exception()  # somebody has looked at it, also where nobody wants it any more
        finally:
            answer.cancel()


_known: WeakValueDictionary[tuple[int, bool], Turns] = WeakValueDictionary()
at_fork(in_child=_known.clear)  # whose turn it was ends with the parent
