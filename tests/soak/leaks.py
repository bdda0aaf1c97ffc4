"""What a process holds when nobody reads: it must not grow."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))  # the modules of the tests
from serving import forget_servers

from dicomzarr.runtime.home_loop import home_loop

_DESCRIPTORS, _STATUS = Path("/proc/self/fd"), Path("/proc/self/status")
_PATIENCE = 10.0
_SETTLED = 2.0
"""Seconds for which nothing changes once all is at rest: threads that nobody needs end after one."""
ALLOWED = {"descriptors": 4, "threads": 2, "tasks": 0, "megabytes": 64}
"""How much more may be held than after the warm-up: pools of threads grow as they are used."""


@dataclass(frozen=True)
class Held:
    """What is held."""

    descriptors: int
    threads: int
    tasks: int
    """Of the loop that owns the connections."""
    megabytes: int

    def grown(self, before: Held) -> list[str]:
        """What there is more of than is allowed."""
        now, then = asdict(self), asdict(before)
        return [
            f"{name}: {then[name]} after the warm-up, {now[name]} in the end"
            for name, most in ALLOWED.items()
            if now[name] > then[name] + most
        ]


def held() -> Held:
    """What is held once every server is forgotten, and connections have had time to close."""
    forget_servers()
    now, since = _now(), time.monotonic()
    deadline = since + _PATIENCE
    while since + _SETTLED > time.monotonic() < deadline:
        time.sleep(0.1)
        later = _now()
        if replace(later, megabytes=0) != replace(now, megabytes=0):
            since = time.monotonic()
        now = later
    return now


def _now() -> Held:
    gc.collect()
    status = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return Held(
        descriptors=len(list(_DESCRIPTORS.iterdir())),
        threads=threading.active_count(),
        tasks=len(asyncio.all_tasks(home_loop())),
        megabytes=int(status["VmRSS"].split()[0]) // 1024,
    )
