"""How long tests wait for what must come, and for what."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dicomzarr.engine.scheduler import Scheduler

SECONDS = 300.0
"""Nothing takes that long, however busy the machine is: what does, hangs. Pytest's own limit is longer."""

BUSY = 3
"""Times the CPU that work takes on a quiet machine, beside others who use its caches."""

MEASUREMENTS = 3
"""How often work is measured that takes too long at first, for others may have had the CPU's caches."""


def more_and_more_patiently(check: Callable[[float], None], seconds: float) -> None:
    """Check what waits in vain for these seconds; where a busy machine fails it, for ten times as many."""
    for _ in range(3):
        try:
            check(seconds)
        except AssertionError as error:
            failure, seconds = error, 10 * seconds
        else:
            return
    raise failure


def is_idle(scheduler: Scheduler) -> bool:
    """Whether nothing is wanted of a scheduler, and nothing under way."""
    return not (scheduler._pending or scheduler._under_way or scheduler._look_ups)
