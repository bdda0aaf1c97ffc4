"""What is fuzzed: named targets, each of which makes an input from random choices and tries it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))  # the modules of the tests

HARNESS: Final = ("check_fault", "check_warning", "check_memory", "check_crash", "check_hang")
"""Targets that go wrong on purpose, by which the tests show that it is noticed."""

TARGETS: Final = ("metadata", "multipart", "replies", "frames", "headers", "instances")
"""Those that are run unless others are named."""


@dataclass(frozen=True)
class Case:
    """One input."""

    data: bytes
    settings: dict[str, Any] = field(default_factory=dict)
    """What else is chosen, in words and numbers."""


class Target(Protocol):
    """Makes inputs, and tries them."""

    def make(self, random: Random) -> Case:
        """An input, the same for the same random choices."""

    def run(self, case: Case) -> str:
        """Try an input; gives a word for what came out.

        Raises:
            DicomZarrError: As it should for what is broken. Anything else is a fault.
        """


def target(name: str) -> Target:
    """A target by its name; its corpus is made here."""
    module = "check_harness" if name in HARNESS else f"fuzz_{name}"
    made: Target = import_module(module).TARGETS[name]()
    return made


def case_of(made: Target, name: str, seed: int, number: int) -> Case:
    """The input of a number: nothing but these words decides what it is."""
    return made.make(Random(f"{name} {seed} {number}"))
