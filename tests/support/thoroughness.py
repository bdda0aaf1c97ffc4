"""How many examples Hypothesis tries: all of them in CI, a fifth of them where somebody waits for the tests."""

from __future__ import annotations

import os

from hypothesis import settings

ALL = 100
"""Hypothesis' own number, for tests that do not name one."""


def be_brief() -> None:
    """Try fewer from now on, but in CI; ``pytest --hypothesis-profile=default`` tries all of them here too."""
    settings.register_profile("brief", max_examples=ALL // 5)
    if not os.environ.get("CI"):
        settings.load_profile("brief")


def examples(most: int) -> int:
    """How many to try in place of so many, which is their number in CI."""
    return -(-most * settings().max_examples // ALL)
