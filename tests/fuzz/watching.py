"""Watches a worker: a crash, a hang and a fault are noticed, and the input is named that did it."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable

WORKER: Final = Path(__file__).parent / "worker.py"
_PLACE: Final = re.compile(r'File "(.+)", line (\d+)')
_NOT_YET: Final = -1
_LOOK_EVERY: Final = 0.1


@dataclass(frozen=True)
class Finding:
    """An input that did what it must not."""

    target: str
    seed: int
    number: int
    what: str
    """Of what kind, in one line: those that read alike are one."""
    text: str
    """All that is known of it."""


@dataclass
class Tried:
    """What became of one target."""

    met: Counter[str] = field(default_factory=Counter)
    """How often each outcome came: a word, or the class of an error."""
    findings: list[Finding] = field(default_factory=list)
    cases: int = 0
    """Inputs that were tried."""


@dataclass(frozen=True)
class Limits:
    """What a target may take."""

    seconds: float
    """For all inputs."""
    cases: int | None
    """The most inputs."""
    hang: float
    """Seconds for one input."""
    memory: int
    """Bytes beyond what the corpus takes."""
    most_findings: int = 50
    """After so many it is enough."""


def try_target(name: str, seed: int, limits: Limits, say: Callable[[str], None], first: int = 0) -> Tried:
    """Try inputs of a target, in as many processes as it takes."""
    tried = Tried()
    until = time.monotonic() + limits.seconds
    number = first
    while len(tried.findings) < limits.most_findings:
        left = None if limits.cases is None else first + limits.cases - number
        seconds = until - time.monotonic()
        if (left is not None and left <= 0) or seconds <= 0:
            break
        with _Worker(name, seed, number, left, seconds, limits) as worker:
            ended = worker.watch(tried)
            tried.cases += max(0, worker.number() + 1 - number)
        if ended is None:
            break
        tried.met[ended.what.partition(":")[0]] += 1
        tried.findings.append(ended)
        say(f"{name}: {ended.what} at number {ended.number}; going on behind it")
        number = ended.number + 1
    return tried


class _Worker:
    """A process that tries inputs from a number on."""

    def __init__(  # noqa: PLR0913, PLR0917  # what the worker is told
        self, name: str, seed: int, first: int, cases: int | None, seconds: float, limits: Limits
    ) -> None:
        self._name, self._seed, self._limits = name, seed, limits
        self._progress = tempfile.NamedTemporaryFile()  # noqa: SIM115  # closed with the worker
        self._write(_NOT_YET)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # as above
        words = ["--seed", seed, "--first", first, "--seconds", seconds, "--memory", limits.memory]
        words += ["--progress", self._progress.name, *([] if cases is None else ["--cases", cases])]
        command = [sys.executable, str(WORKER), name, *map(str, words)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._errors, text=True)  # noqa: S603  # ours
        self._hung = False
        self._ended = threading.Event()
        self._guard = threading.Thread(target=self._kill_when_it_hangs)

    def __enter__(self) -> Self:
        self._guard.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._ended.set()
        self._guard.join()
        self._progress.close()
        self._errors.close()

    def watch(self, tried: Tried) -> Finding | None:
        """Take what the worker tells until it ends; gives how it died, or None."""
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._take(json.loads(line), tried)
                if len(tried.findings) >= self._limits.most_findings:
                    return None
        code = self._process.wait()
        self._ended.set()
        if not code:
            return None
        number = self.number()
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace")
        if number == _NOT_YET:
            raise RuntimeError(f"The worker for {self._name} did not begin:\n{text}")
        what = f"hang: longer than {self._limits.hang:g} s" if self._hung else f"crash: exit status {code}"
        return Finding(self._name, self._seed, number, what, text)

    def _take(self, told: list[object], tried: Tried) -> None:
        match told:
            case ["met", dict() as met]:
                tried.met.update(met)
            case ["fault", int() as number, str() as text]:
                tried.findings.append(Finding(self._name, self._seed, number, _headline(text), text))

    def _kill_when_it_hangs(self) -> None:
        known, since = _NOT_YET, time.monotonic()
        while not self._ended.wait(_LOOK_EVERY):
            number = self.number()
            if number != known:
                known, since = number, time.monotonic()
            elif number != _NOT_YET and time.monotonic() - since > self._limits.hang:
                self._hung = True
                self._process.kill()
                return

    def number(self) -> int:
        """Of the input that the worker is at."""
        with Path(self._progress.name).open("rb") as file:
            number: int = struct.unpack("<q", file.read(8))[0]
        return number

    def _write(self, number: int) -> None:
        self._progress.write(struct.pack("<q", number))
        self._progress.flush()


def _headline(text: str) -> str:
    """The error, and where it was raised."""
    lines = text.strip().splitlines()
    places = [found for line in lines if (found := _PLACE.search(line))]
    own = [place for place in places if "dicomzarr" in place[1] or "fuzz" in place[1]]
    where = "".join(f", {Path(place[1]).name} line {place[2]}" for place in (own or places)[-1:])
    error = next((line for line in reversed(lines) if line and not line.startswith(" ")), "")
    return f"{error.partition(':')[0]}{where}"
