"""Those who read regions of level 0: ourselves, our peers as their users call them, and the limit nobody can beat."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import imagecodecs
import numpy as np
from alone import alone, taken, warm_dask
from codings import CODINGS
from cores import thread_of_each_core
from measuring import Contestant, Take, Totals
from slide_server import TILE, slide

import dicomzarr
from dicomzarr.codecs.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from measuring import Pixels

_TILES_A_JOB = 8
"""Of the limit: handing over each tile alone would cost."""


@dataclass(frozen=True)
class Region:
    """A rectangle of level 0, in pixels."""

    y: int
    x: int
    rows: int
    columns: int


class Reader(Protocol):
    """Reads regions of level 0 of an opened slide, as its users would for speed."""

    def prepare(self, regions: Sequence[Region]) -> None:
        """What is not measured: frames at hand, where these are."""

    def read(self, regions: Sequence[Region]) -> Sequence[Pixels]:
        """The pixels of each region, in the layout that the reader gives."""

    def close(self) -> None:
        """Let go of connections."""


def contestant(
    name: str,
    reader: str,
    url: str,
    tasks: Sequence[Sequence[Region]],
    most_rounds: int | None = None,
    **options: Any,
) -> Contestant:
    """A reader that opens the slide in a process of its own each round, and then does each of the tasks."""
    lists = [[(each.y, each.x, each.rows, each.columns) for each in task] for task in tasks]
    question = {"url": url, "reader": reader, "options": options, "tasks": lists}
    return Contestant(name, lambda: alone("regions", **question), most_rounds)


def totals_of(url: str) -> Totals:
    """What the server has given so far."""
    base, _, _ = parts(url)
    with urllib.request.urlopen(f"{base.rpartition('/')[0]}/totals") as reply:  # noqa: S310  # ours
        return Totals(**json.loads(reply.read()))


class Prepared:
    """Needs nothing but the server."""

    def prepare(self, regions: Sequence[Region]) -> None:
        """See `Reader`."""

    def close(self) -> None:
        """Connections are the process's."""


class Ours(Prepared):
    """dicomzarr, by ``level.read``.

    Args:
        url: The series.
        order: As ``level.read`` takes it.
        **options: As ``open`` takes them.
    """

    def __init__(self, url: str, order: str | None = None, **options: Any) -> None:
        self.level = dicomzarr.open(url, **options).levels[0]
        self._order = order

    def read(self, regions: Sequence[Region]) -> list[Any]:
        """One plan for all."""
        return self.level.read([index_of(region) for region in regions], order=self._order)


class OursByDask(Prepared):
    """dicomzarr, a whole level by dask.

    Args:
        url: The series.
        stored: Block by block into an array that is there.
    """

    def __init__(self, url: str, *, stored: bool = False) -> None:
        import dask.array  # noqa: PLC0415  # who measures others does without

        self._da: Any = dask.array
        self._level = dicomzarr.open(url).levels[0]
        self._stored = stored
        warm_dask()

    def read(self, regions: Sequence[Region]) -> list[Pixels]:
        """All of the level, which is what is asked for."""
        assert len(regions) == 1
        blocks: Any = self._level.to_dask()
        if not self._stored:
            return [blocks.compute()]
        array = np.empty(self._level.shape, self._level.dtype)
        self._da.store(blocks, array, lock=False)
        return [array]


class DaskAlone(OursByDask):
    """What dask takes to put together blocks that need not be read."""

    def prepare(self, regions: Sequence[Region]) -> None:
        """Read them."""
        assert len(regions) == 1
        self._array = self._level[...]

    def read(self, regions: Sequence[Region]) -> list[Pixels]:
        """All of the level."""
        assert len(regions) == 1
        return [self._da.from_array(self._array, chunks=self._level.to_dask().chunks, name=False).compute()]


class OursByZarr(Prepared):
    """zarr, of our URL.

    Args:
        url: The series.
        concurrency: Chunks that zarr asks for at once; None for its default.
        opened: Opening is not measured.
    """

    def __init__(self, url: str, concurrency: int | None, *, opened: bool) -> None:
        import zarr  # noqa: PLC0415  # as above

        self._url = url
        if concurrency:
            zarr.config.set({"async.concurrency": concurrency})
        zarr.create_group("memory://warm").create_array("0", shape=(2,), dtype="u1")[:] = 1
        assert zarr.open_group("memory://warm", mode="r")["0"][...].all()  # what is imported at first use is there
        self._open: Any = lambda: zarr.open_group(url, mode="r")["0"]
        self._array = self._open() if opened else None

    def read(self, regions: Sequence[Region]) -> list[Pixels]:
        """One after the other."""
        array = self._array or self._open()
        return [array[index_of(region)] for region in regions]


class Wsidicom(Prepared):
    """wsidicom, one ``read_region`` after another, or several at once.

    Args:
        url: The series.
        threads: As ``read_region`` takes it.
        picture: It gives a picture of Pillow, which it does unless asked for an array.
        at_once: Threads that each read a region.
    """

    def __init__(self, url: str, threads: int | None = None, *, picture: bool = False, at_once: int = 1) -> None:
        from dicomweb_client.web import DICOMwebClient  # noqa: PLC0415  # a peer's
        from wsidicom import WsiDicom, WsiDicomWebClient  # noqa: PLC0415  # a peer

        base, study, series = parts(url)
        self._options = {"threads": threads, "as_array": not picture}
        self._slide = WsiDicom.open_web(WsiDicomWebClient(DICOMwebClient(base)), study, series)
        self._pool = ThreadPoolExecutor(at_once) if at_once > 1 else None

    def read(self, regions: Sequence[Region]) -> list[Pixels]:
        """As its users do."""
        return list((self._pool.map if self._pool else map)(self._region, regions))

    def _region(self, region: Region) -> Pixels:
        read: Any = self._slide.read_region
        return np.asarray(read((region.x, region.y), 0, (region.columns, region.rows), **self._options))

    def close(self) -> None:
        """Its own."""
        self._slide.close()


class LocalZarr(Prepared):
    """zarr, on an array on this disk with the same chunks: what a conversion would give.

    Args:
        url: Not asked.
        path: The array, see `converted`.
    """

    def __init__(self, url: str, path: str) -> None:  # noqa: ARG002  # as all readers are made
        import zarr  # noqa: PLC0415  # who measures others does without

        self._array: Any = zarr.open_array(path, mode="r")

    def read(self, regions: Sequence[Region]) -> list[Pixels]:
        """One after the other, as zarr reads."""
        return [self._array[index_of(region)] for region in regions]


def converted(tiles: int, tasks: Sequence[Sequence[Region]], path: Path) -> None:
    """Write a Zarr array with the tiles that tasks touch, in zarr's default codec."""
    import zarr  # noqa: PLC0415  # as above

    shape, chunks = (3, tiles * TILE, tiles * TILE), (3, TILE, TILE)
    array: Any = zarr.create_array(str(path), shape=shape, chunks=chunks, dtype="uint8", zarr_format=3)
    frames = frames_at_hand(tiles, {tile for task in tasks for region in task for tile in tiles_of(region)})
    for (row, column), frame in frames.items():
        pixels = np.moveaxis(imagecodecs.jpeg8_decode(frame), -1, 0)
        array[:, row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE] = pixels


def ez_wsi(python: str, url: str, tasks: Sequence[Sequence[Region]]) -> Contestant:
    """ez-wsi-dicomweb with its preload, in an interpreter of its own: it cannot be installed beside wsidicom.

    Args:
        python: That interpreter.
        url: The series.
        tasks: What it reads.
    """
    script = str(Path(__file__).with_name("ez_wsi_reader.py"))
    base, study, series = parts(url)
    boxes = [[(region.y, region.x, region.rows, region.columns) for region in task] for task in tasks]
    question = json.dumps({"url": f"{base}/studies/{study}/series/{series}", "tasks": boxes})

    def take() -> Take:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pixels.npz"
            command = [python, script, question, str(file)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # ours
            assert done.returncode == 0, done.stderr
            return taken(done.stdout, file)

    return Contestant("ez-wsi with preload", take)


class Limit:
    """imagecodecs alone, with a thread for each core, the frames being at hand: into the caller's arrays.

    Args:
        url: Not asked.
        tiles: Of the level, along each side.
        order: "cyx" for planes, "yxc" for pixel by pixel.
        milliseconds: Of one round trip, which no reader can do without.
        coding: A name of `codings.CODINGS`; empty for JPEG.
    """

    def __init__(
        self,
        url: str,  # noqa: ARG002  # as all readers are made
        tiles: int,
        order: str = "cyx",
        milliseconds: float = 0.0,
        coding: str = "",
    ) -> None:
        self._coding = coding
        self._tiles = tiles
        self._order = order
        self._seconds = milliseconds / 1000
        self._pool = thread_of_each_core()
        self._scratch = Scratch()
        self._frames: dict[tuple[int, int], bytes] = {}

    def prepare(self, regions: Sequence[Region]) -> None:
        """Have the frames at hand."""
        self._frames = frames_at_hand(
            self._tiles, {tile for region in regions for tile in tiles_of(region)}, self._coding
        )

    def read(self, regions: Sequence[Region]) -> list[Pixels]:
        """Each tile is decoded once."""
        time.sleep(self._seconds)
        coding = CODINGS.get(self._coding)
        samples, dtype = (coding.samples, coding.dtype) if coding else (3, "u1")
        arrays = [_pixel_by_pixel(self._order, region, samples, dtype) for region in regions]
        shares: dict[tuple[int, int], list[int]] = {}
        for number, region in enumerate(regions):
            for tile in tiles_of(region):
                shares.setdefault(tile, []).append(number)
        tiles = list(shares)
        jobs = [tiles[start : start + _TILES_A_JOB] for start in range(0, len(tiles), _TILES_A_JOB)]
        list(self._pool.map(lambda job: [self._place(tile, shares[tile], regions, arrays) for tile in job], jobs))
        return [np.moveaxis(array, -1, 0) for array in arrays]

    def _place(
        self, tile: tuple[int, int], numbers: list[int], regions: Sequence[Region], arrays: list[Pixels]
    ) -> None:
        # Planes of JPEG are had soonest out of words, a pixel each.
        planes = self._order == "cyx" and not self._coding
        pixels = self._decoded(self._frames[tile], planes=planes)
        for number in numbers:
            region = regions[number]
            top, left = tile[0] * TILE, tile[1] * TILE
            y0, y1 = max(region.y, top), min(region.y + region.rows, top + TILE)
            x0, x1 = max(region.x, left), min(region.x + region.columns, left + TILE)
            target = arrays[number][y0 - region.y : y1 - region.y, x0 - region.x : x1 - region.x]
            source = pixels[y0 - top : y1 - top, x0 - left : x1 - left]
            if not planes:
                target[...] = source
                continue
            words = source.view("<u4")[..., 0]
            target[..., 0] = words
            for sample in (1, 2):
                np.right_shift(words, 8 * sample, out=target[..., sample], casting="unsafe")

    def _decoded(self, frame: bytes, *, planes: bool) -> Any:
        if self._coding:
            return CODINGS[self._coding].decode(frame)
        memory = self._scratch.array((TILE, TILE, 4 if planes else 3), np.uint8)
        return imagecodecs.jpeg8_decode(frame, outcolorspace="RGBA" if planes else "RGB", out=memory)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _pixel_by_pixel(order: str, region: Region, samples: int, dtype: str) -> Pixels:
    """An array seen as (y, x, c), whatever the order in memory."""
    if order == "yxc":
        return np.empty((region.rows, region.columns, samples), dtype)
    return np.moveaxis(np.empty((samples, region.rows, region.columns), dtype), 0, -1)


def limit(tiles: int, milliseconds: float, tasks: Sequence[Sequence[Region]], order: str, url: str) -> Contestant:
    """The limit of tasks: one round trip, then decoding."""
    name = "limit" if order == "cyx" else f"limit, {order}"
    return contestant(name, "limit", url, tasks, tiles=tiles, order=order, milliseconds=milliseconds)


def frames_at_hand(tiles: int, wanted: Iterable[tuple[int, int]], coding: str = "") -> dict[tuple[int, int], bytes]:
    """Encoded tiles of the served slide by (row, column)."""
    (stored,) = slide(tiles, coding).instances()
    return {(row, column): bytes(stored.frame(row * tiles + column + 1)) for row, column in wanted}


def _plain_http(url: str, **options: Any) -> Reader:
    from plain_http import PlainHTTP  # noqa: PLC0415  # which is a limit, too

    return PlainHTTP(url, **options)


READERS: dict[str, Callable[..., Reader]] = {
    "dicomzarr": Ours,
    "dask": OursByDask,
    "dask stored": functools.partial(OursByDask, stored=True),
    "dask alone": DaskAlone,
    "zarr of ours": OursByZarr,
    "wsidicom": Wsidicom,
    "zarr": LocalZarr,
    "limit": Limit,
    "plain HTTP": _plain_http,
}
"""By the names that a process is told."""


def index_of(region: Region) -> tuple[Any, slice, slice]:
    """The NumPy index of a region in (c, y, x), or in (y, x)."""
    return (..., slice(region.y, region.y + region.rows), slice(region.x, region.x + region.columns))


def tiles_of(region: Region) -> list[tuple[int, int]]:
    """(row, column) of the tiles that a region touches."""
    return [
        (row, column)
        for row in range(region.y // TILE, -(-(region.y + region.rows) // TILE))
        for column in range(region.x // TILE, -(-(region.x + region.columns) // TILE))
    ]


def parts(url: str) -> tuple[str, str, str]:
    """(http URL of the service, study, series)."""
    found = re.fullmatch(r"dicomweb://(.*)/studies/([\d.]+)/series/([\d.]+)", url)
    assert found, url
    return f"http://{found[1]}", found[2], found[3]
