"""Many readers on a slide whose pixels are known, while its server fails: ``python tests/soak/run.py --minutes 10``.

Every pixel is compared. What a read meets may only be pixels or an error of dicomzarr, after which it is repeated.
Nothing may hang, and nothing may be held more of in the end than after the warm-up. Now and then the server is killed
and started anew, which reads wait for. Then it stays down: that must be a clear error in time. Ends with status 0 if
all of that holds.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import outage
from careful_readers import Readers
from faulty_server import SHARES
from leaks import held
from server_elsewhere import FaultyServer
from soak_slide import TILE, expected_levels

from dicomzarr.errors import DicomZarrError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HANG = 150.0
"""Seconds that no read takes: each request may be sent four times and wait in between, and the server may be away."""
MOST_ERRORS = 0.05
"""The share of reads that may end in an error of dicomzarr."""
_FEW = 10
"""What may be chance."""
_LEAST = 3
"""Reads of each face, however long they take: on a busy machine the time may be over before any."""
_BEGAN = time.perf_counter()
_EACH = 2
"""Threads of each way of reading."""
_WARM_UP = 0.25
"""Of the time."""


@dataclass
class Log:
    """What the readers met."""

    reads: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    """Of dicomzarr, by class."""
    wrong: list[str] = field(default_factory=list)
    """Anything else, and wrong pixels."""
    busy_since: dict[int, float] = field(default_factory=dict)
    """When each thread began what it is at."""

    def enough(self, faces: Iterable[str]) -> bool:
        """Whether each face has read a few times."""
        return all(self.reads[face] >= _LEAST for face in faces)

    def hung(self) -> bool:
        """Whether a read takes far too long."""
        return any(time.monotonic() - since > HANG for since in list(self.busy_since.values()))


def read_on(readers: Readers, face: str, seed: int, until: float, log: Log) -> None:
    """Read until the time is over and all have read; what fails is repeated with the same choices."""
    choices = Random(seed)
    state = choices.getstate()
    while not log.wrong and time.monotonic() < (until if log.enough(readers.faces) else until + HANG):
        log.busy_since[seed] = time.monotonic()
        try:
            readers.faces[face](choices)
        except DicomZarrError as error:
            log.errors[type(error).__name__] += 1
            choices.setstate(state)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is wrong
            log.wrong.append(f"{face}: {type(error).__name__}: {error}")
        else:
            log.reads[face] += 1
            state = choices.getstate()
    log.busy_since.pop(seed, None)


def soak(readers: Readers, seconds: float, seed: int) -> Log:
    """All readers at once, watched."""
    log = Log()
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(target=read_on, args=(readers, face, seed * 1000 + number, until, log), daemon=True)
        for number, face in enumerate(list(readers.faces) * _EACH)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.5)
            if log.hung():
                say("A read hangs. All threads:")
                faulthandler.dump_traceback()
                os._exit(2)
    return log


def restart_now_and_then(server: FaultyServer, times: int, down: float, seconds: float) -> None:
    """Restart the server evenly spread over the time.

    Args:
        server: It.
        times: How often.
        down: Seconds for which it is away each time.
        seconds: Over which the restarts are spread.
    """
    for _ in range(times):
        time.sleep(max(0.0, seconds / (times + 1) - down))
        server.restart(down)
        say(f"the server was away for {down:g} s")


def say(text: str) -> None:
    """To whoever runs this."""
    print(f"[{time.perf_counter() - _BEGAN:5.1f} s] {text}", flush=True)  # noqa: T201  # a command


def complaints(log: Log, readers: Readers, injected: Counter[str]) -> list[str]:
    """What must not be."""
    found = [f"nothing was read by {face}" for face in readers.faces if not log.reads[face]]
    total, errors = sum(log.reads.values()), sum(log.errors.values())
    if errors > max(_FEW, MOST_ERRORS * total):
        found.append(f"{errors} errors in {total} reads are too many")
    expected = {name: share * injected["requests"] for name, share in SHARES.items()}
    return found + [
        f"{name} was never injected" for name, count in expected.items() if count > _FEW and not injected[name]
    ]


def main(arguments: Sequence[str]) -> int:
    """Soak, then take the server away."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 10_000, help="of all choices")
    parser.add_argument("--restarts", type=int, default=10, help="of the server, after the warm-up")
    parser.add_argument("--down", type=float, default=20, help="for how long it is away each time, in seconds")
    parser.add_argument("--outage", type=float, default=5, help="the timeout while the server is down, in seconds")
    chosen = parser.parse_args(arguments)
    say(f"seed {chosen.seed}")
    seconds = chosen.minutes * 60
    with FaultyServer(chosen.seed) as server:
        readers = Readers(server.url, expected_levels(), TILE)
        say("the slide is served")
        warm = soak(readers, seconds * _WARM_UP, chosen.seed)
        before = held()
        say(f"warm: {dict(warm.reads)}")
        rest = seconds * (1 - _WARM_UP)
        restarts = threading.Thread(target=restart_now_and_then, args=(server, chosen.restarts, chosen.down, rest))
        restarts.start()
        log = soak(readers, rest, chosen.seed + 1)
        restarts.join()
        after = held()
        injected = server.injected()
        port = server.port
    found = warm.wrong + log.wrong + complaints(log, readers, injected) + after.grown(before)
    say(f"reads after the warm-up: {dict(log.reads)}")
    say(f"errors of dicomzarr after which a read was repeated: {dict(log.errors)}")
    say(f"injected: {dict(injected)}")
    say(f"held after the warm-up: {before}\nheld in the end:        {after}")
    found += outage.endure(readers, port, chosen.outage, chosen.seed, say)
    for each in found or ["All is well."]:
        say(f"WRONG: {each}" if found else each)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
