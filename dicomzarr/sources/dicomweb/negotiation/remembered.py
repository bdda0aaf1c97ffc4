"""What is known of instances or series: of those asked for last, for a while, until it is forgotten."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

MOST: Final = 4096
"""Instances of which something is known; the least recently used is forgotten."""

_Value = TypeVar("_Value")


class InstanceKey(NamedTuple):
    """Names an instance."""

    study: str
    series: str
    instance: str

    @property
    def subject(self) -> str:
        """The instance in words, for messages."""
        return f"the whole instance {self.instance}, series {self.series}, study {self.study}"


def is_within(key: tuple[str, ...], study: str | None, series: str | None) -> bool:
    """Whether a key, which begins with a study and a series, is of these; None stands for any."""
    return study in (None, key[0]) and series in (None, key[1])


class Remembered(Generic[_Value]):
    """One value for each of a bounded number of keys, which begin with a study and a series; from any thread.

    Args:
        clock: Gives seconds, and never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[tuple[str, ...], tuple[_Value, float]] = OrderedDict()
        """Values, and the seconds of the clock until which they hold."""
        self._lock = threading.Lock()

    def get(self, key: tuple[str, ...]) -> _Value | None:
        """The value, or None where none is known any more."""
        if not self._known:  # most often, and asked for each frame
            return None
        with self._lock:
            value, until = self._known.get(key, (None, -math.inf))
            if until <= self._clock():
                self._known.pop(key, None)
                return None
            self._known.move_to_end(key)
            return value

    def put(self, key: tuple[str, ...], value: _Value, seconds: float = math.inf) -> None:
        """Remember a value for some seconds."""
        with self._lock:
            self._known[key] = (value, self._clock() + seconds)
            self._known.move_to_end(key)
            while len(self._known) > MOST:
                self._known.popitem(last=False)

    def discard(self, key: tuple[str, ...]) -> None:
        """Forget one."""
        with self._lock:
            self._known.pop(key, None)

    def forget(self, study: str | None, series: str | None) -> None:
        """Forget those of a series, or all."""
        with self._lock:
            for key in [key for key in self._known if is_within(key, study, series)]:
                del self._known[key]

    def __contains__(self, key: tuple[str, ...]) -> bool:
        return self.get(key) is not None

    def __len__(self) -> int:
        with self._lock:
            now = self._clock()
            return sum(until > now for _, until in self._known.values())
