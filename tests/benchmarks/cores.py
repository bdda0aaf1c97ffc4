"""Threads of limits: one that keeps to each core."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

CORES = sorted(os.sched_getaffinity(0))


def thread_of_each_core() -> ThreadPoolExecutor:
    """As many threads as cores: two that hand the interpreter's lock to one another might else share a core."""
    left = iter(CORES)
    return ThreadPoolExecutor(len(CORES), initializer=lambda: os.sched_setaffinity(0, {next(left)}))
