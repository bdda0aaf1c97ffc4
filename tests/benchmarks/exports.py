"""Exports beside reading alone, decoding and compressing alone, and what others do: blocks by wsidicom into zarr."""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from alone import alone
from measuring import Contestant, Results, Take, Target, take_turns, timed
from readers import frames_at_hand, parts
from slide_server import TILE, Contents, served

import dicomzarr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from measuring import Row
    from settings import Settings

_BLOCK = 2048
"""Rows and columns that are read at a time, by those who are told."""
_CORES = 2
_ZSTD = 3
_ENOUGH = 0.8


def measure_exports(settings: Settings) -> Results:
    """A level of a slide, copied in each way."""
    results = Results()
    tiles = settings.size(40, 8)
    task = f"export of a level of {tiles * tiles} frames"
    with served(Contents(tiles=tiles)) as server:
        contestants = [
            Contestant(name, lambda name=name: alone("export", url=server.url, way=name, tiles=tiles))  # type: ignore[misc]
            for name in WAYS
        ]
        results.rows += take_turns(task, 0, contestants, settings.rounds, server)
    results.targets += _targets(task, results.of(task, 0))
    return results


def _targets(task: str, rows: dict[str, Row]) -> Iterator[Target]:
    seconds = {name: row.seconds for name, row in rows.items()}
    reading, coding = seconds["dicomzarr, reading by blocks"], seconds["decoding and zstd alone"]
    for how in ("keep encoded", "uncompressed"):
        yield Target(f"{task}: {how}, times the speed of reading", reading / seconds[f"dicomzarr, {how}"], _ENOUGH)
    times = coding / seconds["dicomzarr, zstd"]
    yield Target(f"{task}: zstd, times the speed of decoding and compressing alone", times, _ENOUGH)
    times = seconds["wsidicom, blocks into zarr"] / seconds["dicomzarr, zstd, with reading again"]
    yield Target(f"{task}: zstd with reading again, times as fast as wsidicom", times, 1.0)


def export_by(url: str, way: str, tiles: int) -> Take:
    """Export once in this process; what is opened and imported is not timed."""
    with tempfile.TemporaryDirectory() as folder:
        return WAYS[way](url, Path(folder) / "out.zarr", tiles)


def _ours(url: str, out: Path, *, whole: bool = False, **how: Any) -> Take:
    image = dicomzarr.open(url)
    dicomzarr.export(image, out.with_suffix(".small.zarr"), region={"x": (0, TILE), "y": (0, TILE)}, **how)
    copied: list[float] = []

    def tell(now: Any) -> None:
        if now.phase == "copying":
            copied[:] = [time.perf_counter()]

    began = time.perf_counter()
    took = timed(lambda: (dicomzarr.export(image, out, levels=[0], progress=tell, **how), ())[1])
    # The processor is counted to the end, for what reads again has no clock of its own.
    return took if whole else Take(copied[0] - began, took.cpu, took.peak)


def _reading(url: str, _: Path, __: int) -> Take:
    level = dicomzarr.open(url).levels[0]
    assert level[:, :1, :1].size

    def read() -> Sequence[Any]:
        side = level.shape[-1]
        for y in range(0, side, _BLOCK):
            for x in range(0, side, _BLOCK):
                level[:, y : y + _BLOCK, x : x + _BLOCK]
        return ()

    return timed(read)


def _alone(_: str, __: Path, tiles: int) -> Take:
    frames = list(frames_at_hand(tiles, {(y, x) for y in range(tiles) for x in range(tiles)}).values())

    def code(frame: bytes) -> int:
        planes = np.ascontiguousarray(np.moveaxis(imagecodecs.jpeg8_decode(frame), -1, 0))
        return len(imagecodecs.zstd_encode(planes, level=_ZSTD))

    with ThreadPoolExecutor(_CORES) as threads:

        def read() -> Sequence[Any]:
            assert all(threads.map(code, frames))
            return ()

        return timed(read)


def _wsidicom(url: str, out: Path, tiles: int) -> Take:
    import zarr  # noqa: PLC0415  # who measures others does without
    from dicomweb_client.web import DICOMwebClient  # noqa: PLC0415  # a peer's
    from wsidicom import WsiDicom, WsiDicomWebClient  # noqa: PLC0415  # a peer

    base, study, series = parts(url)
    side = tiles * TILE
    array: Any = zarr.create_array(str(out), shape=(side, side, 3), chunks=(TILE, TILE, 3), dtype="uint8")
    with WsiDicom.open_web(WsiDicomWebClient(DICOMwebClient(base)), study, series) as slide:

        def read() -> Sequence[Any]:
            for y in range(0, side, _BLOCK):
                for x in range(0, side, _BLOCK):
                    size = min(_BLOCK, side - x), min(_BLOCK, side - y)
                    pixels: Any = slide.read_region((x, y), 0, size, threads=_CORES, as_array=True)
                    array[y : y + size[1], x : x + size[0]] = np.asarray(pixels)
            return ()

        return timed(read)


WAYS: dict[str, Callable[[str, Path, int], Take]] = {
    "dicomzarr, reading by blocks": _reading,
    "dicomzarr, keep encoded": lambda url, out, _: _ours(url, out, keep_encoded=True),
    "dicomzarr, uncompressed": lambda url, out, _: _ours(url, out, compression="none"),
    "dicomzarr, zstd": lambda url, out, _: _ours(url, out),
    "dicomzarr, zstd, with reading again": lambda url, out, _: _ours(url, out, whole=True),
    "decoding and zstd alone": _alone,
    "wsidicom, blocks into zarr": _wsidicom,
}
"""By the names of rows."""
