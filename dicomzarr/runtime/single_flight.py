"""Work that is done once for all who ask for it at the same time."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class SingleFlight(Generic[_Key, _Value]):
    """Work under way, by what it gives; it goes on when those who asked are cancelled. Lives on one event loop."""

    def __init__(self) -> None:
        self._under_way: dict[_Key, asyncio.Task[_Value]] = {}
        self._lock = threading.Lock()
        """Around it, for ``forget``."""

    async def do(
        self, key: _Key, work: Callable[[], Coroutine[Any, Any, _Value]], keep: Callable[[_Value], None]
    ) -> _Value:
        """What work gives that is under way for a key, or is begun now; it fails for all who wait.

        Args:
            key: Names it.
            work: Does it.
            keep: Takes what it gave, unless that was forgotten meanwhile: then only those who wait get it.
        """
        with self._lock:
            task = self._under_way.get(key)
            if task is None:
                task = self._under_way[key] = asyncio.get_running_loop().create_task(work())
                task.add_done_callback(lambda done: self._done(key, done, keep))
        return await asyncio.shield(task)

    def forget(self, is_meant: Callable[[_Key], bool]) -> None:
        """Let whoever asks from now on begin anew, for the keys that are meant; from any thread."""
        with self._lock:
            for key in [key for key in self._under_way if is_meant(key)]:
                del self._under_way[key]

    def _done(self, key: _Key, task: asyncio.Task[_Value], keep: Callable[[_Value], None]) -> None:
        failed = task.cancelled() or task.exception() is not None
        with self._lock:
            if self._under_way.get(key) is not task:
                return
            del self._under_way[key]
            if not failed:
                keep(task.result())
