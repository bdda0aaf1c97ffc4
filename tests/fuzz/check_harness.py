"""Targets that go wrong on purpose: what ``run.py`` would not notice here, it would not notice anywhere."""

from __future__ import annotations

import os
import signal
import time
import warnings
from typing import TYPE_CHECKING, Final

from cases import Case

from dicomzarr.errors import MetadataError

if TYPE_CHECKING:
    from random import Random

_BAD: Final = 4
"""One input in so many is bad."""


class _Harmless:
    """Numbers, of which all but a few are fine."""

    def make(self, random: Random) -> Case:
        return Case(b"input", {"number": random.randrange(_BAD)})

    def run(self, case: Case) -> str:
        if case.settings["number"] == 0:
            self.go_wrong()
        if case.settings["number"] == 1:
            raise MetadataError("As it should.")
        return "fine"

    def go_wrong(self) -> None:
        raise NotImplementedError


class _Fault(_Harmless):
    def go_wrong(self) -> None:
        raise KeyError("a fault")


class _Warning(_Harmless):
    def go_wrong(self) -> None:
        warnings.warn("overflow", RuntimeWarning, stacklevel=1)


class _Crash(_Harmless):
    def go_wrong(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class _Hang(_Harmless):
    def go_wrong(self) -> None:
        time.sleep(1000)


class _Memory(_Harmless):
    def go_wrong(self) -> None:
        bytearray(2**40)


TARGETS = {
    "check_fault": _Fault,
    "check_warning": _Warning,
    "check_memory": _Memory,
    "check_crash": _Crash,
    "check_hang": _Hang,
}
