"""500 patches through a DataLoader, 20 ms away: ``python tests/benchmarks/patches_loader.py``; it needs PyTorch.

Each reader has a process of its own in each round, and gives patches in batches of 64 by two workers that are forked.
Each worker's first batch is not counted, in which it opens the slide; from then on 500 patches are timed. Who reads
ahead has some of these by then: so all of it is timed too, from the start of the workers on.
``--tiatoolbox PYTHON`` names an interpreter with tiatoolbox and PyTorch; it reads through `dicomzarr serve`, for by
itself it opens no DICOMweb server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIDE, COUNT, BATCH, WORKERS = 224, 500, 64, 2
FIRST = BATCH * WORKERS
"""Patches that are not timed."""
SERVE = "import sys; from dicomzarr.faces.cli import main; sys.exit(main(sys.argv[1:]))"
TILES = 128
"""Along each side of the slide, of 256 x 256 pixels each."""

Positions = list[tuple[int, int]]


def positions() -> Positions:
    """Corners at random."""
    places = np.random.default_rng(0).integers(0, TILES * 256 - SIDE, (FIRST + COUNT, 2))
    return [(int(x), int(y)) for x, y in places]


class Each(Dataset[Any]):
    """Patches by number, each read alone by a reader that a worker opens when it first needs it.

    Args:
        opened: Opens the slide; gives a function of (x, y) to pixels of (height, width, 3).
        threads: Patches of a batch that are read at once; None to let the DataLoader ask for one by one.
    """

    def __init__(self, opened: Callable[[], Callable[[tuple[int, int]], Any]], threads: int | None = None) -> None:
        self._positions = positions()
        self._opened = opened
        self._read: Any = None
        self._threads = threads

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, number: int) -> Any:
        if self._read is None:
            self._read = self._opened()
        return np.ascontiguousarray(np.moveaxis(self._read(self._positions[number]), -1, 0))

    def __getitems__(self, numbers: list[int]) -> list[Any]:
        first = self[numbers[0]]
        if self._threads is None:
            return [first, *map(self.__getitem__, numbers[1:])]
        with ThreadPoolExecutor(self._threads) as pool:
            return [first, *pool.map(self.__getitem__, numbers[1:])]


def ours(url: str) -> Any:
    """`PatchDataset`."""
    from dicomzarr.patches import PatchDataset  # noqa: PLC0415  # each reader has imports of its own

    return PatchDataset(_patches(url))


def stream(url: str) -> Any:
    """`PatchStream`."""
    from dicomzarr.patches import PatchStream  # noqa: PLC0415  # as above

    return PatchStream(_patches(url), batch_size=BATCH, shuffle=False)


def _patches(url: str) -> Any:
    import dicomzarr  # noqa: PLC0415  # as above
    from dicomzarr.patches import Patches  # noqa: PLC0415  # as above

    return Patches(dicomzarr.open(url), np.array(positions()), (SIDE, SIDE))


def face(url: str) -> Any:
    """Our face of OpenSlide, one patch after another."""
    from dicomzarr.openslide import open_slide  # noqa: PLC0415  # as above

    def opened() -> Callable[[tuple[int, int]], Any]:
        slide = open_slide(url)
        return lambda at: np.asarray(slide.read_region(at, 0, (SIDE, SIDE)).convert("RGB"))

    return Each(opened)


def wsidicom(url: str, threads: int | None = None) -> Any:
    """wsidicom, opened by each worker."""

    def opened() -> Callable[[tuple[int, int]], Any]:
        from dicomweb_client.web import DICOMwebClient  # noqa: PLC0415  # as above
        from wsidicom import WsiDicom, WsiDicomWebClient  # noqa: PLC0415  # as above

        study, _, series = url.partition("/studies/")[2].partition("/series/")
        slide = WsiDicom.open_web(WsiDicomWebClient(DICOMwebClient(_base(url))), study, series)
        read: Any = slide.read_region
        return lambda at: read(at, 0, (SIDE, SIDE), as_array=True)

    return Each(opened, threads)


def tiatoolbox(url: str) -> Any:
    """tiatoolbox on what the gateway serves."""

    def opened() -> Callable[[tuple[int, int]], Any]:
        from tiatoolbox.wsicore.wsireader import WSIReader  # noqa: PLC0415  # as above

        reader = WSIReader.open(url)
        return lambda at: reader.read_rect(at, (SIDE, SIDE), resolution=0, units="level")

    return Each(opened)


def _base(url: str) -> str:
    return url.partition("/studies/")[0].replace("dicomweb:", "http:")


READERS: dict[str, Callable[[str], Any]] = {
    "dicomzarr PatchDataset": ours,
    "dicomzarr PatchStream": stream,
    "dicomzarr.openslide": face,
    "wsidicom": wsidicom,
    "wsidicom, 8 threads": lambda url: wsidicom(url, 8),
    "tiatoolbox": tiatoolbox,
}


def epoch(name: str, url: str) -> None:
    """Time one epoch; print seconds, those of all of it, seconds of CPU of all workers, and the sum of all pixels."""
    sums = count = 0
    began = started = time.perf_counter()
    for batch in DataLoader(READERS[name](url), BATCH, num_workers=WORKERS, multiprocessing_context="fork"):
        sums, count = sums + int(batch.sum()), count + len(batch)
        if count == FIRST:
            started = time.perf_counter()
    assert count == FIRST + COUNT
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = time.perf_counter()
    print(json.dumps((ended - started, ended - began, used.ru_utime + used.ru_stime, sums)))  # noqa: T201  # read by the process that asked


def serve(milliseconds: float) -> None:
    """Serve the slide from afar until standard input closes."""
    from aiohttp import web  # noqa: PLC0415  # as above
    from slide_server import SERIES, STUDY, slide  # noqa: PLC0415  # as above

    from dicomzarr.demo.server import DICOMwebServer  # noqa: PLC0415  # as above

    @web.middleware
    async def late(request: web.Request, handler: Any) -> Any:
        await asyncio.sleep(milliseconds / 1000)
        return await handler(request)

    with DICOMwebServer(slide(TILES), middlewares=[late]) as server:
        print(server.series_url(STUDY, SERIES), flush=True)  # noqa: T201  # read by the process that asked
        sys.stdin.read()


@contextmanager
def running(*command: str) -> Iterator[str]:
    """A process while it is needed, and the first line that it prints."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603  # ours
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiatoolbox", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=20.0, help="milliseconds")
    parser.add_argument("--epoch", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.epoch:
        epoch(*asked.epoch)
    elif asked.serve:
        serve(asked.latency)
    else:
        compare(asked)


def compare(asked: argparse.Namespace) -> None:
    """Let readers take turns, and print a table."""
    took: dict[str, list[tuple[float, float, float]]] = {}
    sums = {}
    ours = [sys.executable, __file__, "--serve", "--latency", str(asked.latency)]
    with running(*ours) as url:
        for _ in range(asked.rounds):
            for name in READERS:
                if name != "tiatoolbox":
                    *times, sums[name] = _epoch(sys.executable, name, url)
                elif asked.tiatoolbox:
                    with running(sys.executable, "-c", SERVE, "serve", _base(url), "--port", "0") as gateway:
                        zarr_url = f"{gateway.rstrip('/')}/0.4/studies/{url.partition('/studies/')[2]}.zarr"
                        *times, sums[name] = _epoch(asked.tiatoolbox, name, zarr_url)
                else:
                    continue
                took.setdefault(name, []).append((times[0], times[1], times[2]))
    print(f"{COUNT} patches of {SIDE}, batches of {BATCH}, {WORKERS} workers, {asked.latency:g} ms away")  # noqa: T201  # a command
    for name, epochs in took.items():
        each, whole, used = (list(values) for values in zip(*epochs, strict=True))
        print(  # noqa: T201  # as above
            f"{name:24} {statistics.median(each):6.2f} s ({min(each):.2f} to {max(each):.2f}),"
            f" {statistics.median(whole):.2f} from the start; workers took {statistics.median(used):.2f} s of CPU;"
            f" mean of pixels off by {sums[name] / sums['wsidicom'] - 1:.1e}"
        )


def _epoch(python: str, name: str, url: str) -> tuple[float, float, float, int]:
    """Have an epoch timed by a process of its own."""
    command = [python, __file__, "--epoch", name, url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # ours
    assert done.returncode == 0, done.stderr
    seconds, whole, used, total = json.loads(done.stdout.splitlines()[-1])
    return seconds, whole, used, total


if __name__ == "__main__":
    main()
