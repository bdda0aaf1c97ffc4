"""The server stays down: whoever reads must hear of it in time, and read on when it is back."""

from __future__ import annotations

import time
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import zarr
from careful_readers import OPTIONS
from server_elsewhere import FaultyServer, mute_server

import dicomzarr
from dicomzarr.errors import ConnectionFailedError, DicomZarrError, RequestTimeoutError, ServerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from careful_readers import Readers

_SLACK = 2.0
"""Seconds beyond the timeout: threads."""
_MEASUREMENTS = 3
"""A busy machine may take longer for once."""
_SHOWN = 120
_BAND = 256
"""Rows that are read at a time."""
_TRIES = 20
"""Reads that may fail once the server is back, for it is a faulty one."""


def endure(readers: Readers, port: int, timeout: float, seed: int, say: Callable[[str], None]) -> list[str]:
    """Read while nobody listens, while somebody listens and never answers, and after that.

    Returns:
        What was wrong.
    """
    options = {**OPTIONS, "cache_bytes": 0, "timeout": timeout, "headers": {"X-Reader": "outage"}}
    with FaultyServer(seed, port):
        level = _patiently(lambda: dicomzarr.open(readers.url, **options).levels[0])
        array = _patiently(lambda: _array(readers.url, options))
    reads = {
        "level.read": lambda: level.read([np.s_[:, :100, :100]]),
        "zarr": lambda: array[:, :100, :100],
        "opening": lambda: dicomzarr.open(readers.url, **{**options, "headers": {"X-Reader": "newcomer"}}).levels,
        "fsspec": lambda: fsspec.filesystem("dicomweb", **options).cat_file(f"{readers.url}/0/c/0/9/9"),
    }
    found = _fails(reads, "nobody listens", (ConnectionFailedError,), timeout, say)
    with mute_server(port):
        wanted = (RequestTimeoutError, ConnectionFailedError)
        found += _fails(reads, "nobody answers", wanted, timeout, say)
    with FaultyServer(seed, port):
        # Band by band: of a whole level asked for frame by frame, some frame always meets a fault.
        tops = range(0, level.shape[1], _BAND)
        bands = [_patiently(lambda top=top: level[:, top : top + _BAND]) for top in tops]
    if not np.array_equal(np.concatenate(bands, axis=1), readers.expected[0]):
        found.append("after the outage: wrong pixels")
    return found


def _array(url: str, options: dict[str, Any]) -> Any:
    return zarr.open_group(url, mode="r", storage_options=options)["0"]


def _fails(
    reads: dict[str, Callable[[], object]],
    when: str,
    wanted: tuple[type[ServerError], ...],
    timeout: float,
    say: Callable[[str], None],
) -> list[str]:
    def fault(name: str, read: Callable[[], object], left: int) -> str:
        began = time.monotonic()
        try:
            read()
        except wanted as error:
            spent = time.monotonic() - began
            say(f"while {when}, {name}: {type(error).__name__} after {spent:.1f} s: {shorten(str(error), _SHOWN)}")
            if spent <= timeout + _SLACK:
                return ""
            if left:
                return fault(name, read, left - 1)
            return f"while {when}, {name} took {spent:.1f} s with a timeout of {timeout:g} s"
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is wrong
            return f"while {when}, {name} met {type(error).__name__}: {error}"
        return f"while {when}, {name} met no error"

    return [found for name, read in reads.items() if (found := fault(name, read, _MEASUREMENTS - 1))]


def _patiently(read: Callable[[], Any]) -> Any:
    """The server is there, and faulty."""
    for _ in range(_TRIES):
        try:
            return read()
        except DicomZarrError as error:
            last = error
    raise last
