"""Those who read regions of level 0: ourselves, our peers as their users call them, and the limit nobody can beat."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from measuring import Contestant, Take, timed
from slide_server import TILE, slide

import dicomzarr
from dicomzarr.codecs.decode import decode_frame
from dicomzarr.codecs.scratch import Scratch
from dicomzarr.dicom.instance_parser import parse_instance
from dicomzarr.dicom.model.image_model import decode_instances

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from measuring import Pixels

_FRESH = itertools.count(1)
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
    """Reads regions of level 0 of an opened slide."""

    def read(self, regions: Sequence[Region]) -> Sequence[Pixels]:
        """The pixels of each region, in the layout that the reader gives."""

    def close(self) -> None:
        """Let go of connections."""


def contestant(
    name: str, opened: Callable[[], Reader], regions: Sequence[Region], most_rounds: int | None = None
) -> Contestant:
    """A reader that is opened anew for each round; opening is not timed."""

    def take() -> Take:
        with closing(opened()) as reader:
            return timed(lambda: reader.read(regions))

    return Contestant(name, take, most_rounds)


def fresh_options() -> dict[str, Any]:
    """Options that no series was opened with before: nothing is cached or known of the server."""
    return {"timeout": 60 + next(_FRESH) / 1000}


class Ours:
    """dicomzarr, by ``level.read``.

    Args:
        url: The series.
        fresh: The server is met for the first time; else only its frames are not cached.
    """

    def __init__(self, url: str, *, fresh: bool = False) -> None:
        options: dict[str, Any] = fresh_options() if fresh else {"cache_bytes": 0}
        self.level = dicomzarr.open(url, **options).levels[0]

    def read(self, regions: Sequence[Region]) -> list[Any]:
        """One plan for all."""
        return self.level.read([index_of(region) for region in regions])

    def close(self) -> None:
        """Connections are the process's."""


class Wsidicom:
    """wsidicom, one ``read_region`` after another.

    Args:
        url: The series.
        threads: As ``read_region`` takes it; None is its default.
    """

    def __init__(self, url: str, threads: int | None = None) -> None:
        from dicomweb_client.web import DICOMwebClient  # noqa: PLC0415  # a peer's
        from wsidicom import WsiDicom, WsiDicomWebClient  # noqa: PLC0415  # a peer

        base, study, series = parts(url)
        self._threads = threads
        self._slide = WsiDicom.open_web(WsiDicomWebClient(DICOMwebClient(base)), study, series)

    def read(self, regions: Sequence[Region]) -> list[Pixels]:
        """As its users do."""
        return [
            np.asarray(
                self._slide.read_region((region.x, region.y), 0, (region.columns, region.rows), threads=self._threads)
            )
            for region in regions
        ]

    def close(self) -> None:
        """Its own."""
        self._slide.close()


class EzWsi:
    """ez-wsi-dicomweb with its preload, in an interpreter of its own: it cannot be installed beside wsidicom.

    Args:
        python: That interpreter.
    """

    def __init__(self, python: str) -> None:
        script = str(Path(__file__).with_name("ez_wsi_reader.py"))
        self._process = subprocess.Popen(  # noqa: S603  # ours
            [python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._folder = tempfile.TemporaryDirectory()

    def contestant(self, url: str, regions: Sequence[Region]) -> Contestant:
        """It, in a task."""
        return Contestant("ez-wsi with preload", lambda: self._take(url, regions))

    def _take(self, url: str, regions: Sequence[Region]) -> Take:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        base, study, series = parts(url)
        file = Path(self._folder.name) / "pixels.npz"
        boxes = [(region.y, region.x, region.rows, region.columns) for region in regions]
        question = {"url": f"{base}/studies/{study}/series/{series}", "regions": boxes, "file": str(file)}
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "ez_wsi_reader.py ended; its error is above"
        with np.load(file) as arrays:
            pixels = [arrays[f"arr_{number}"] for number in range(len(regions))]
        file.unlink()
        return Take(**json.loads(answer), pixels=pixels)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._folder.cleanup()


@dataclass
class Limit:
    """Decoding by two threads into the layout that we deliver, the frames being at hand."""

    frames: dict[tuple[int, int], bytes]
    """Encoded tiles by (row, column)."""
    pixel: Any
    """Their PixelDescription."""
    _scratch: Scratch = field(default_factory=Scratch)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2))

    def read(self, regions: Sequence[Region]) -> list[Pixels]:
        """Each tile is decoded once."""
        arrays = [np.empty((3, region.rows, region.columns), np.uint8) for region in regions]
        shares: dict[tuple[int, int], list[int]] = {}
        for number, region in enumerate(regions):
            for tile in tiles_of(region):
                shares.setdefault(tile, []).append(number)
        tiles = list(shares)
        jobs = [tiles[start : start + _TILES_A_JOB] for start in range(0, len(tiles), _TILES_A_JOB)]
        list(self._pool.map(lambda job: [self._place(tile, shares[tile], regions, arrays) for tile in job], jobs))
        return arrays

    def _place(
        self, tile: tuple[int, int], numbers: list[int], regions: Sequence[Region], arrays: list[Pixels]
    ) -> None:
        pixels = decode_frame(
            self.frames[tile], self.pixel, transfer_syntax_uid=None, where="limit", scratch=self._scratch
        )
        for number in numbers:
            region = regions[number]
            top, left = tile[0] * TILE, tile[1] * TILE
            y0, y1 = max(region.y, top), min(region.y + region.rows, top + TILE)
            x0, x1 = max(region.x, left), min(region.x + region.columns, left + TILE)
            arrays[number][:, y0 - region.y : y1 - region.y, x0 - region.x : x1 - region.x] = pixels[
                :, y0 - top : y1 - top, x0 - left : x1 - left
            ]

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def limit(regions: Sequence[Region], tiles: int, milliseconds: float) -> Contestant:
    """The limit of a task: one round trip, then decoding."""
    (stored,) = slide(tiles).instances()
    wanted = {tile for region in regions for tile in tiles_of(region)}
    frames = {(row, column): bytes(stored.frame(row * tiles + column + 1)) for row, column in wanted}
    header = parse_instance(decode_instances(json.dumps([stored.metadata()]).encode())[0])
    assert header is not None

    def take() -> Take:
        with closing(Limit(frames, header.pixel)) as reader:
            took = timed(lambda: reader.read(regions))
        return replace(took, seconds=took.seconds + milliseconds / 1000)

    return Contestant("limit", take)


def index_of(region: Region) -> tuple[slice, slice, slice]:
    """The NumPy index of a region in (c, y, x)."""
    return (slice(None), slice(region.y, region.y + region.rows), slice(region.x, region.x + region.columns))


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
