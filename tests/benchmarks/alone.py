"""One measurement in a process of its own, where nothing is cached, and memory is nobody else's.

Run as ``python alone.py KIND JSON``; it prints a `Take` without its pixels, which go to the file that is named.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measuring import Take, timed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from measuring import Pixels


def alone(kind: str, **question: Any) -> Take:
    """Measure elsewhere.

    Args:
        kind: A function of this module without its underscore.
        **question: The arguments of that function.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pixels.npz"
        command = [sys.executable, __file__, kind, json.dumps(question), str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # ours
        assert done.returncode == 0, done.stderr
        pixels: list[Pixels] = []
        if file.exists():
            with np.load(file) as arrays:
                pixels = [arrays[f"arr_{number}"] for number in range(len(arrays.files))]
        return Take(**json.loads(done.stdout), pixels=pixels)


def _open(url: str) -> Take:
    """Open a series, and know its level."""
    import dicomzarr  # noqa: PLC0415  # each kind has imports of its own
    import dicomzarr.arrays.image  # noqa: PLC0415  # as above

    def read() -> Sequence[Pixels]:
        assert dicomzarr.open(url).levels[0].shape[0] == 3
        return ()

    return timed(read)


def _open_wsidicom(url: str) -> Take:
    """As `_open`, by wsidicom."""
    from readers import Wsidicom  # noqa: PLC0415  # as above
    from wsidicom import WsiDicom, WsiDicomWebClient  # noqa: F401, PLC0415  # imported before it is measured

    def read() -> Sequence[Pixels]:
        assert Wsidicom(url)
        return ()

    return timed(read)


def _read(url: str, index: list[list[int]], by_dask: bool) -> Take:  # noqa: FBT001  # comes by name
    """Read a part of level 0 of a server that was never met before."""
    import dask.array  # noqa: F401, PLC0415  # as above

    import dicomzarr  # noqa: PLC0415  # as above

    level = dicomzarr.open(url).levels[0]
    box = (slice(None), *(slice(*ends) for ends in index))
    return timed(lambda: [level.to_dask()[box].compute() if by_dask else level[box]])


def _reduce(url: str, cache_bytes: int, workers: int) -> Take:
    """The maximum of a level, block by block."""
    import dask.array  # noqa: PLC0415  # as above

    import dicomzarr  # noqa: PLC0415  # as above

    level = dicomzarr.open(url, cache_bytes=cache_bytes).levels[0]
    assert level[:, :1, :1].size  # threads and connections are there, and dask has imported what it needs
    any_array: Any = dask.array.zeros((4, 4), chunks=2)
    any_array.max(axis=(0, 1), keepdims=True).compute(scheduler="threads", num_workers=workers)

    def read() -> Sequence[Pixels]:
        found = level.to_dask().max(axis=(1, 2), keepdims=True).compute(scheduler="threads", num_workers=workers)
        return [found]

    return timed(read)


def main() -> None:
    """Measure what the command line asks for."""
    kind, question, file = sys.argv[1:]
    took: Take = globals()[f"_{kind}"](**json.loads(question))
    if took.pixels:
        np.savez(file, *took.pixels)
    print(json.dumps({"seconds": took.seconds, "cpu": took.cpu, "peak": took.peak}))  # noqa: T201  # the parent reads it


if __name__ == "__main__":
    main()
