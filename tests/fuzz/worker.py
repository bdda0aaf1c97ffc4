"""Tries inputs of one target, one after the other, in a process that may die of it: ``run.py`` starts it.

Each number is written down before its input is tried. What comes out goes to standard output, a JSON array a line:
``["began"]``, ``["met", {word: count}]``, ``["fault", number, text]``.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import mmap
import resource
import struct
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from cases import case_of, target

from dicomzarr.errors import DicomZarrError, ServerDecodedWarning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cases import Case, Target

TOLD_EVERY = 0.3
"""Seconds after which counts are told."""


def tried(made: Target, case: Case) -> tuple[str, str]:
    """(a word for what came out, the text of a fault)."""
    try:
        return made.run(case), ""
    except DicomZarrError as error:
        return type(error).__name__, ""
    except BaseException:  # noqa: BLE001  # whatever else it is, it is a fault
        return "fault", traceback.format_exc()


def numbers(first: int, most: int | None, until: float) -> Iterator[int]:
    """Numbers of inputs, until there were enough or the time is over."""
    number = first
    while (most is None or number < first + most) and time.monotonic() < until:
        yield number
        number += 1


def limit_memory(more: int) -> None:
    """Let the process take so many bytes more than it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * mmap.PAGESIZE + more
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def tell(*what: object) -> None:
    """To whoever watches."""
    print(json.dumps(what), flush=True)  # noqa: T201  # that is how


def main(arguments: Sequence[str]) -> None:
    """Try inputs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", type=int)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--memory", type=int, required=True, help="bytes")
    parser.add_argument("--progress", type=Path, required=True, help="a file of 8 bytes for the number")
    chosen = parser.parse_args(arguments)
    warnings.simplefilter("error")  # NumPy's tell of numbers that nobody thought of
    warnings.simplefilter("ignore", ServerDecodedWarning)
    made = target(chosen.target)
    faulthandler.enable()
    limit_memory(chosen.memory)
    tell("began")
    met: Counter[str] = Counter()
    told = time.monotonic()
    with chosen.progress.open("r+b") as file, mmap.mmap(file.fileno(), 8) as progress:
        for number in numbers(chosen.first, chosen.cases, told + chosen.seconds):
            progress[:] = struct.pack("<q", number)
            word, fault = tried(made, case_of(made, chosen.target, chosen.seed, number))
            met[word] += 1
            if fault:
                tell("fault", number, fault)
            if time.monotonic() - told > TOLD_EVERY:
                tell("met", met)
                met, told = Counter(), time.monotonic()
    tell("met", met)


if __name__ == "__main__":
    main(sys.argv[1:])
