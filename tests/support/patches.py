"""Readers of patches in many processes, as data loaders have them: ``python patches.py CONTEXT WAY URL``.

torch is not needed: its DataLoader's worker is a loop that takes indices from one queue and puts what the data set
gives for them into another.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import threading
import zlib
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from waiting import SECONDS

import dicomzarr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

SIDE = 50
"""Rows and columns of a patch, which is of no tile's size."""

WORKERS = 2


def corners(rows: int, columns: int) -> list[tuple[int, int]]:
    """The first row and column of each patch of an image."""
    return [(y, x) for y in range(0, rows - SIDE, SIDE) for x in range(0, columns - SIDE, SIDE)]


def checksum(patch: NDArray[Any]) -> int:
    """A number for the pixels, to compare them by between processes."""
    return zlib.crc32(np.ascontiguousarray(patch).tobytes())


class Patches:
    """A data set: patches by index."""

    def __init__(self, url: str) -> None:
        self.level = dicomzarr.open(url).levels[0]
        self.corners = corners(*self.level.shape[-2:])

    def __len__(self) -> int:
        return len(self.corners)

    def __getitem__(self, index: int) -> NDArray[Any]:
        y, x = self.corners[index]
        patch: NDArray[Any] = self.level[:, y : y + SIDE, x : x + SIDE]
        return patch

    def checksum(self, index: int) -> int:
        """That of one patch."""
        return checksum(self[index])


def work(patches: Patches, indices: Any, results: Any) -> None:
    """What a worker process of a data loader does."""
    while (index := indices.get()) is not None:
        results.put((index, patches.checksum(index)))


def by_loader(patches: Patches, context: Any) -> list[int]:
    """As torch.utils.data.DataLoader: a queue of indices for each worker, one for all results."""
    results = context.Queue()
    queues = [context.Queue() for _ in range(WORKERS)]
    workers = [context.Process(target=work, args=(patches, queue, results), daemon=True) for queue in queues]
    for worker in workers:
        worker.start()
    for index in range(len(patches)):
        queues[index % WORKERS].put(index)
    found = dict(results.get(timeout=SECONDS) for _ in range(len(patches)))
    for queue in queues:
        queue.put(None)
    for worker in workers:
        worker.join(SECONDS)
        assert worker.exitcode == 0
    return [found[index] for index in range(len(patches))]


def by_pool(patches: Patches, context: Any) -> list[int]:
    """As multiprocessing.Pool."""
    with context.Pool(WORKERS) as pool:
        found: list[int] = pool.map(patches.checksum, range(len(patches)))
        pool.close()
        pool.join()
    return found


def by_executor(patches: Patches, context: Any) -> list[int]:
    """As concurrent.futures."""
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        return list(pool.map(patches.checksum, range(len(patches)), timeout=SECONDS))


WAYS: dict[str, Callable[[Patches, Any], list[int]]] = {
    "loader": by_loader,
    "pool": by_pool,
    "executor": by_executor,
}


def epochs(patches: Patches, way: str, context: str, count: int) -> Iterable[list[int]]:
    """What the workers of each epoch read, while this process reads on."""
    expected = [patches.checksum(index) for index in range(len(patches))]
    done = threading.Event()
    failures: list[str] = []

    def read_on() -> None:
        while not done.is_set():
            if [patches.checksum(index) for index in range(len(patches))] != expected:
                failures.append("The parent read something else.")

    reader = threading.Thread(target=read_on)
    reader.start()
    try:
        for _ in range(count):
            yield WAYS[way](patches, multiprocessing.get_context(context))
    finally:
        done.set()
        reader.join()
    assert not failures


if __name__ == "__main__":
    print(json.dumps(list(epochs(Patches(sys.argv[3]), sys.argv[2], sys.argv[1], 2))))  # noqa: T201  # the parent reads it
