"""Where the processes of one gateway tell each other their numbers: a file of each in a directory of theirs.

Whoever is asked for the numbers of all takes those of the files alone, its own among them: so they never go down,
whichever process is asked next.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from dicomzarr.faces.gateway.metrics import FAMILIES, GAUGE, Samples, added_up

SECONDS: Final = 1.0
"""After which each process tells its numbers anew."""

_SAMPLES: Final = msgspec.json.Decoder(dict[str, dict[str, float]])


class Board:
    """The directory, as one process sees it; not on the home loop, for it waits for the disk.

    Args:
        directory: Which only these processes write to.
    """

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._own = self._directory / f"{os.getpid()}-{secrets.token_hex(4)}.json"

    def tell(self, samples: Samples) -> None:
        """Tell the others the numbers of this process."""
        writing = self._own.with_suffix(f".{secrets.token_hex(4)}")
        with suppress(OSError):  # numbers are no reason to fail
            writing.write_bytes(msgspec.json.encode(samples))
            writing.replace(self._own)

    def all(self, samples: Samples) -> Samples:
        """The numbers of all processes, those of this one among them, which the others are told."""
        self.tell(samples)
        return added_up(filter(None, map(_read, sorted(self._directory.glob("*.json")))))


def _read(file: Path) -> Samples | None:
    """What a process told; what one that has ended did still counts, but it holds and waits for nothing."""
    try:
        samples = _SAMPLES.decode(file.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
    lives = _lives(int(file.name.partition("-")[0]))
    return {family: own for family, own in samples.items() if lives or not _is_gauge(family)}


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _is_gauge(family: str) -> bool:
    return family in FAMILIES and FAMILIES[family].kind == GAUGE
