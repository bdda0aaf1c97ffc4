"""How much is tried: all of it in CI, a part of it where somebody waits for the tests."""

from __future__ import annotations

import itertools
import math
import os
import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _pytest.mark.structures import ParameterSet

ALL = 100
"""Hypothesis' own number, for tests that do not name one."""


def be_brief() -> None:
    """Try fewer, and the same each time, but in CI; ``--hypothesis-profile=default`` tries all, by chance.

    How long an example takes says how busy the machine is, and fails nothing.
    """
    patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("default", patient)
    settings.register_profile("brief", patient, max_examples=ALL // 5, derandomize=True)
    if not os.environ.get("CI"):
        settings.load_profile("brief")


def examples(most: int) -> int:
    """How many to try in place of so many, which is their number in CI."""
    return -(-most * settings().max_examples // ALL)


def sample(items: Sequence[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Every test, but of one with many cases only about the root of their number; and those that are left out.

    Which ones is chance, and always the same.
    """
    cases: dict[str, list[str]] = defaultdict(list)
    for item in items:
        cases[item.nodeid.partition("[")[0]].append(item.nodeid)
    chosen = {
        name
        for names in cases.values()
        for name in sorted(names, key=lambda name: zlib.crc32(name.encode()))[: math.ceil(math.sqrt(len(names)))]
    }
    taken = [item for item in items if item.nodeid in chosen]
    return taken, [item for item in items if item.nodeid not in chosen]


def swept(*axes: Sequence[Any]) -> list[ParameterSet]:
    """All combinations of some values: those of the default run show each value once or more, the others are slow."""
    longest = max(map(len, axes))
    shown = {tuple(nth % len(axis) for axis in axes) for nth in range(longest)}
    return [
        pytest.param(
            *(axis[at] for axis, at in zip(axes, places, strict=True)),
            marks=() if places in shown else pytest.mark.slow,
        )
        for places in itertools.product(*(range(len(axis)) for axis in axes))
    ]
