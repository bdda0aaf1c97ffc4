"""Those who read the slide: ourselves, our peers as their users call them, and the limit that nobody can beat."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

import dicomzarr
from dicomzarr.frames.decode import decode_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    Pixels = np.ndarray[Any, np.dtype[np.uint8]]

TILE = 256


@dataclass(frozen=True)
class Region:
    """A rectangle of level 0, in pixels."""

    y: int
    x: int
    rows: int
    columns: int


class Reader(Protocol):
    """Reads regions of level 0 of a slide; made anew for each measurement, so that nothing is cached."""

    name: str

    def read(self, regions: Sequence[Region]) -> list[Pixels]:
        """The pixels of each region, in the layout that the reader gives."""

    def close(self) -> None:
        """Let go of connections."""


class Ours:
    """dicomzarr, by ``level.read``."""

    name = "dicomzarr"

    def __init__(self, url: str) -> None:
        self.image = dicomzarr.open(url, cache_bytes=0)
        self.level = self.image.levels[0]

    def read(self, regions: Sequence[Region]) -> list[Pixels]:
        """One plan for all."""
        return self.level.read([index_of(region) for region in regions])

    def close(self) -> None:
        """Connections are the process's."""


class Wsidicom:
    """wsidicom, one ``read_region`` after another.

    Args:
        url: The series.
        threads: As ``read_region`` takes it.
    """

    def __init__(self, url: str, threads: int = 1) -> None:
        from dicomweb_client.web import DICOMwebClient  # noqa: PLC0415  # a peer's
        from wsidicom import WsiDicom, WsiDicomWebClient  # noqa: PLC0415  # a peer

        base, study, series = parts(url)
        self.name = f"wsidicom, {threads} threads" if threads > 1 else "wsidicom"
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


@dataclass
class Limit:
    """One round trip, and decoding by two threads into the layout that we deliver."""

    frames: dict[tuple[int, int], bytes]
    """Encoded tiles by (row, column)."""
    pixel: Any
    """Their PixelDescription."""
    name: str = "limit"
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2))

    def read(self, regions: Sequence[Region]) -> list[Pixels]:
        """Each tile is decoded once."""
        arrays = [np.empty((3, region.rows, region.columns), np.uint8) for region in regions]
        shares: dict[tuple[int, int], list[int]] = {}
        for number, region in enumerate(regions):
            for tile in tiles_of(region):
                shares.setdefault(tile, []).append(number)
        list(self._pool.map(lambda tile: self._place(tile, shares[tile], regions, arrays), shares))
        return arrays

    def _place(
        self, tile: tuple[int, int], numbers: list[int], regions: Sequence[Region], arrays: list[Pixels]
    ) -> None:
        pixels = decode_frame(self.frames[tile], self.pixel, transfer_syntax_uid=None, where="limit")
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
