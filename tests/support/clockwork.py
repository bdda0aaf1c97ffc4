"""A loop whose time passes only while nothing happens: what waits takes no time, and a busy machine changes nothing."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

Result = TypeVar("Result")


class _Selector(selectors.DefaultSelector):  # type: ignore[valid-type,misc]  # the platform's
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found: list[tuple[selectors.SelectorKey, int]] = super().select(None if timeout is None else 0)
        if not found and timeout:
            self.now += timeout
        return found


class ClockworkLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run_at_once(main: Coroutine[Any, Any, Result]) -> Result:
    """As `asyncio.run`; clocks have to ask the loop for the time."""
    with asyncio.Runner(loop_factory=ClockworkLoop) as runner:
        return runner.run(main)
