"""Disk caches for tests: frames whose bytes follow from their numbers, in this process and in others."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waiting import SECONDS

from dicomzarr.codecs.encoded_frame import EncodedFrame
from dicomzarr.disk import names
from dicomzarr.disk.cache import DiskCache, DiskFrames
from dicomzarr.disk.process import _process
from dicomzarr.disk.storage import Storage
from dicomzarr.engine.ports import SeriesMetadata
from dicomzarr.engine.series_state import FrameKey, SeriesState
from dicomzarr.runtime.pools import DISK_READERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STUDY, SERIES, INSTANCE = "1.2.826.111", "1.2.826.222", "1.2.826.333"
BASE = "http://pacs.example/dicom-web"
METADATA = SeriesMetadata(b'[{"00100010":{"vr":"PN"}}]')

names._COST = 2  # here and in the processes that tests start: none of them guards a password


def cache_in(directory: Path, *, bound: int = 2**30, base: str = BASE, credentials: str = "nobody") -> DiskCache:
    return DiskCache(directory, bound, base, credentials)


def use_storage(directory: Path, **parts: Any) -> None:
    """Have the caches in a directory use a storage that is made of other parts than usual."""
    _process.storages[directory] = Storage(directory, 0, **parts)


def opened(cache: DiskCache, metadata: SeriesMetadata = METADATA, series: str = SERIES) -> DiskFrames:
    """The frames of a series that is opened with this metadata, whatever is held of it."""

    async def open_it() -> DiskFrames | None:
        held = await cache.series(STUDY, series)
        return await cache.opened(STUDY, series, metadata, held, countable=True)

    frames = asyncio.run(open_it())
    assert frames is not None
    return frames


def key_of(number: int, series: str = SERIES) -> FrameKey:
    return FrameKey(SeriesState(STUDY, series), INSTANCE, number)


def frame_of(number: int) -> EncodedFrame:
    """The one right frame of a number; up to 20 kB."""
    digest = hashlib.sha256(b"%d" % number).digest()
    syntax = None if number % 7 == 0 else "1.2.840.10008.1.2.4.50"
    return EncodedFrame(digest * (1 + number * 37 % 640), "image/jpeg", syntax)


def keep(frames: DiskFrames, numbers: Iterable[int]) -> None:
    for number in numbers:
        frames.keep(key_of(number), frame_of(number))


def read(frames: DiskFrames, numbers: Iterable[int]) -> set[int]:
    """The numbers of the frames that are held, each of them right."""
    found = asyncio.run(frames.frames([key_of(number) for number in numbers]))
    assert all(frame == frame_of(key.number) for key, frame in found.items())
    return {key.number for key in found}


def written() -> None:
    """Wait until all caches of this process have done what they were told."""
    both = threading.Barrier(DISK_READERS.threads)
    for done in [DISK_READERS.submit(both.wait, SECONDS) for _ in range(DISK_READERS.threads)]:
        done.result()
    for storage in _process.storages.values():
        assert storage.writer.drain(SECONDS)


def forget_storages() -> None:
    """As a new process would find it: what waits is written, and nothing is remembered."""
    written()
    for storage in _process.storages.values():
        storage.writer.stop(SECONDS)
        storage.close_connections()
    _process.storages.clear()


def main(words: Sequence[str]) -> None:
    """Keep and read frames of numbers below a bound, for ever or so many times: what other processes do."""
    directory, first, count, rounds = Path(words[0]), *map(int, words[1:])
    frames = opened(cache_in(directory, bound=2**24))
    print("ready", flush=True)  # noqa: T201  # the parent reads it
    turn = 0
    while turn != rounds:
        turn += 1
        for start in range(first, first + count, 64):
            numbers = range(start, start + 64)
            held = read(frames, numbers)
            keep(frames, set(numbers) - held)
            if turn % 3 == 0:
                frames.discard(key_of(start))
    assert rounds < 0 or read(frames, range(first, first + count))


if __name__ == "__main__":
    main(sys.argv[1:])
