"""How long tests wait for what must come, and for what."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dicomzarr.engine.scheduler import Scheduler

SECONDS = 300.0
"""Nothing takes that long, however busy the machine is: what does, hangs. Pytest's own limit is longer."""

BUSY = 3
"""Times the CPU that work takes on a quiet machine, beside others who use its caches."""


def is_idle(scheduler: Scheduler) -> bool:
    """Whether nothing is wanted of a scheduler, and nothing under way."""
    return not (scheduler._pending or scheduler._under_way or scheduler._look_ups)
