"""Work that is done once for all who ask for it at the same time."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class SingleFlight(Generic[_Key, _Value]):
    """Work under way, by what it gives. Lives on one event loop.

    Args:
        goes_on: Whether it goes on when all who asked are cancelled.
    """

    def __init__(self, *, goes_on: bool = True) -> None:
        self._goes_on = goes_on
        self._under_way: dict[_Key, asyncio.Task[_Value]] = {}
        self._waiting: Counter[asyncio.Task[_Value]] = Counter()
        self._lock = threading.Lock()
        """Around what is under way and what comes of it, for ``forget``."""

    async def do(
        self,
        key: _Key,
        work: Callable[[], Coroutine[Any, Any, _Value]],
        keep: Callable[[_Value], None] | None = None,
        failed: Callable[[BaseException], None] | None = None,
    ) -> _Value:
        """What work gives that is under way for a key, or is begun now; it fails for all who wait.

        Args:
            key: Names it.
            work: Does it.
            keep: Takes what it gave, unless that was forgotten meanwhile: then only those who wait get it.
            failed: Takes how it failed, unless that was forgotten meanwhile.
        """
        with self._lock:
            task = self._under_way.get(key)
            if task is None:
                task = self._under_way[key] = asyncio.get_running_loop().create_task(work())
                task.add_done_callback(lambda done: self._done(key, done, keep, failed))
        self._waiting[task] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._leave(key, task)

    def forget(self, is_meant: Callable[[_Key], bool]) -> None:
        """Let whoever asks from now on begin anew, for the keys that are meant; from any thread."""
        with self._lock:
            for key in [key for key in self._under_way if is_meant(key)]:
                del self._under_way[key]

    def _leave(self, key: _Key, task: asyncio.Task[_Value]) -> None:
        self._waiting[task] -= 1
        if self._waiting[task]:
            return
        del self._waiting[task]
        if self._goes_on or task.done():
            return
        with self._lock:
            if self._under_way.get(key) is task:
                del self._under_way[key]  # whoever asks in this very moment begins anew
        task.cancel()

    def _done(
        self,
        key: _Key,
        task: asyncio.Task[_Value],
        keep: Callable[[_Value], None] | None,
        failed: Callable[[BaseException], None] | None,
    ) -> None:
        error = None if task.cancelled() else task.exception()  # nobody may be left to hear of it
        with self._lock:
            if self._under_way.get(key) is not task:
                return
            del self._under_way[key]
            if error is not None and failed is not None:
                failed(error)
            elif error is None and keep is not None and not task.cancelled():
                keep(task.result())
