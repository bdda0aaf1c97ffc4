"""One measurement in a process of its own, where nothing is cached, and memory is nobody else's.

Run as ``python alone.py KIND JSON FILE``; it prints each `Take` without its pixels, which go to that file.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measuring import Take, Totals, later, timed

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
        return taken(done.stdout, file)


def taken(answer: str, file: Path) -> Take:
    """What a process says that its readings took, the first and those after it, and the pixels that it wrote."""
    pixels: list[Pixels] = []
    if file.exists():
        with np.load(file) as arrays:
            pixels = [arrays[f"arr_{number}"] for number in range(len(arrays.files))]
        file.unlink()
    takes = [Take(**each, given=given and Totals(**given)) for each, given in json.loads(answer)]
    return replace(takes[0], pixels=pixels, warm=later(takes[1:]))


def _open(url: str) -> Take:
    """Open a series, and know its level; imports of neither reader are measured."""
    import dicomzarr  # noqa: PLC0415  # each kind has imports of its own
    import dicomzarr.arrays.image  # noqa: PLC0415  # as above
    import dicomzarr.sources.dicomweb.source  # noqa: PLC0415  # as above
    import dicomzarr.sources.http.transport  # noqa: PLC0415  # as above

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


def _regions(url: str, reader: str, options: dict[str, Any], tasks: list[list[list[int]]]) -> list[Take]:
    """Read regions of level 0, one list of them after the other, by a reader of `readers.READERS`."""
    from readers import READERS, Region, totals_of  # noqa: PLC0415  # as above

    takes = []
    with closing(READERS[reader](url, **options)) as opened:
        for task in tasks:
            regions = [Region(*each) for each in task]
            opened.prepare(regions)
            before = totals_of(url)
            pixels = sum(each.rows * each.columns for each in regions)
            took = timed(lambda regions=regions: opened.read(regions), pixels)  # type: ignore[misc]  # its default
            takes.append(replace(took, given=totals_of(url).since(before)))
    return takes


def _files(place: str, reader: str, options: dict[str, Any], tasks: list[list[list[int]]]) -> list[Take]:
    """As `_regions`, by a reader of `file_readers.FILE_READERS`."""
    from file_readers import FILE_READERS  # noqa: PLC0415  # as above
    from readers import Region  # noqa: PLC0415  # as above

    takes = []
    with closing(FILE_READERS[reader](place, **options)) as opened:
        for task in tasks:
            regions = [Region(*each) for each in task]
            opened.prepare(regions)
            pixels = sum(each.rows * each.columns for each in regions)
            took = timed(lambda regions=regions: opened.read(regions), pixels)  # type: ignore[misc]  # its default
            takes.append(took)
    return takes


def _export(url: str, way: str, tiles: int) -> Take:
    """An export by a way of `exports.WAYS`."""
    from exports import export_by  # noqa: PLC0415  # as above

    return export_by(url, way, tiles)


def _tiles(url: str, face: str, numbers: list[list[int]]) -> Take:
    """The latency of tiles one by one, whose frames are in memory: the median."""
    from tiles import FACES  # noqa: PLC0415  # as above

    return FACES[face](url, [(row, column) for row, column in numbers])


def _reduce(url: str, cache_bytes: int, workers: int) -> Take:
    """The maximum of a level, block by block."""
    import dicomzarr  # noqa: PLC0415  # as above

    level = dicomzarr.open(url, cache_bytes=cache_bytes).levels[0]
    assert level[:, :1, :1].size  # threads and connections are there
    warm_dask(workers)

    def read() -> Sequence[Pixels]:
        found = level.to_dask().max(axis=(1, 2), keepdims=True).compute(scheduler="threads", num_workers=workers)
        return [found]

    return timed(read)


def warm_dask(workers: int | None = None) -> None:
    """Let dask import what it needs and start its threads."""
    import dask.array  # noqa: PLC0415  # as above

    any_array: Any = dask.array.zeros((4, 4), chunks=2)
    any_array.max(axis=(0, 1), keepdims=True).compute(scheduler="threads", num_workers=workers)


def main() -> None:
    """Measure what the command line asks for."""
    kind, question, file = sys.argv[1:]
    found = globals()[f"_{kind}"](**json.loads(question))
    takes: list[Take] = found if isinstance(found, list) else [found]
    pixels = [each for take in takes for each in take.pixels]
    if pixels:
        np.savez(file, *pixels)
    print(json.dumps([told(take) for take in takes]))  # noqa: T201  # the parent reads it


def told(take: Take) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A take for `taken`, without its pixels."""
    numbers = {"seconds": take.seconds, "cpu": take.cpu, "peak": take.peak}
    return numbers, None if take.given is None else asdict(take.given)


if __name__ == "__main__":
    main()
