"""What is known of instances or series: of those asked for last, for a while, until it is forgotten."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from cachetools import TLRUCache

from dicomzarr.sources.dicomweb.negotiation.instance_key import is_within

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_MOST: Final = 4096

_Value = TypeVar("_Value")


class _Entry(NamedTuple, Generic[_Value]):
    value: _Value
    seconds: float


def _end(_key: tuple[Hashable, ...], entry: _Entry[_Value], now: float) -> float:
    return now + entry.seconds


class SeriesTTLCache(Generic[_Value]):
    """One value for each of a bounded number of keys, which begin with a study and a series; from any thread.

    Args:
        clock: Gives seconds, and never goes back.
        most: Keys of which something is known; the least recently used is forgotten.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = _MOST) -> None:
        self._entries: TLRUCache[tuple[Hashable, ...], _Entry[_Value]] = TLRUCache(most, _end, clock)
        self._lock = threading.Lock()

    def get(self, key: tuple[Hashable, ...]) -> _Value | None:
        """The value, or None where none is known any more."""
        with self._lock:
            entry = self._entries.get(key)
            return None if entry is None else entry.value

    def put(self, key: tuple[Hashable, ...], value: _Value, seconds: float = math.inf) -> None:
        """Remember a value for some seconds."""
        with self._lock:
            self._entries[key] = _Entry(value, seconds)

    def discard(self, key: tuple[Hashable, ...]) -> None:
        """Forget one."""
        with self._lock:
            self._entries.pop(key, None)

    def forget(self, study: str | None, series: str | None) -> None:
        """Forget those of a series, or all."""
        with self._lock:
            for key in [key for key in self._entries if is_within(key, study, series)]:
                self._entries.pop(key, None)

    def __contains__(self, key: tuple[Hashable, ...]) -> bool:
        return self.get(key) is not None

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)
