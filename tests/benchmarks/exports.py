"""Exports beside reading alone, decoding and compressing alone, making the files alone, and what others do.

That is blocks by wsidicom into zarr, and a download of the file, a TIFF too, that tiffslide or ngff-zarr then read.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from alone import alone
from cores import thread_of_each_core
from measuring import Contestant, Results, Take, Target, take_turns, timed
from readers import frames_at_hand, parts
from slide_files import served_file, tiff_alone, write_slide
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
_READING, _CODING = "dicomzarr, reading by blocks", "decoding and zstd alone"
_BESIDE = {
    "keep encoded": (_READING, "reading"),
    "uncompressed": (_READING, "reading"),
    "zstd": (_CODING, "decoding and compressing alone"),
}
"""What each is compared with: a row, and how it is called."""
_ENOUGH = 0.8


def measure_exports(settings: Settings) -> Results:
    """A level of a slide, copied in each way."""
    results = Results()
    tiles = settings.size(80, 8)
    task = f"export of a level of {tiles * tiles} frames"
    for way, needs in _DOWNLOADS.items():
        if find_spec(needs) is None:
            results.note(f"{way} took no part: {needs} is not installed")
    with tempfile.TemporaryDirectory() as folder, served(Contents(tiles=tiles)) as server:
        slide, tiff = Path(folder) / "slide.dcm", Path(folder) / "slide.tiff"
        write_slide(slide, tiles)
        tiff_alone(slide, tiff)
        with served_file(tiff, 0) as file_url:
            contestants = list(_contestants(server.url, file_url, tiles))
            results.rows += take_turns(task, 0, contestants, settings.rounds, server)
    results.targets += _targets(task, results.of(task, 0))
    return results


def _contestants(url: str, file_url: str, tiles: int) -> Iterator[Contestant]:
    for way in WAYS:
        if find_spec(_DOWNLOADS.get(way, "zarr")) is not None:
            place = file_url if way in _DOWNLOADS else url
            yield Contestant(way, lambda place=place, way=way: alone("export", url=place, way=way, tiles=tiles))  # type: ignore[misc]


def _targets(task: str, rows: dict[str, Row]) -> Iterator[Target]:
    seconds = {name: row.seconds for name, row in rows.items()}
    for how, (work, text) in _BESIDE.items():
        ours, files = seconds[f"dicomzarr, {how}"], seconds[f"making the files alone, {how}"]
        yield Target(f"{task}: {how}, times the speed of {text}", seconds[work] / ours, _ENOUGH)
        both = seconds[work] + files
        yield Target(f"{task}: {how}, times the speed of {text}, and of making the files", both / ours, _ENOUGH)
    for peer in ("wsidicom, blocks into zarr", *_DOWNLOADS):
        if peer in seconds:
            times = seconds[peer] / seconds["dicomzarr, zstd, with reading again"]
            yield Target(f"{task}: zstd with reading again, times as fast as {peer}", times, 1.0)


def export_by(url: str, way: str, tiles: int) -> Take:
    """Export once in this process; what is opened and imported is not timed."""
    with tempfile.TemporaryDirectory() as folder:
        return WAYS[way](url, Path(folder) / "out.zarr", tiles)


def _ours(url: str, out: Path, *, whole: bool = False, **how: Any) -> Take:
    image = dicomzarr.open(url)
    dicomzarr.export(image, out.with_suffix(".small.zarr"), region={"x": (0, TILE), "y": (0, TILE)}, **how)
    copied: list[float] = []
    began: list[float] = []

    def tell(now: Any) -> None:
        if now.phase == "copying":
            copied[:] = [time.perf_counter(), time.process_time()]

    def copy() -> Sequence[Any]:
        began[:] = [time.perf_counter(), time.process_time()]
        dicomzarr.export(image, out, levels=[0], progress=tell, **how)
        return ()

    took = timed(copy)
    return took if whole else Take(copied[0] - began[0], copied[1] - began[1], took.peak)


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


def _frames(tiles: int) -> list[bytes]:
    return list(frames_at_hand(tiles, {(y, x) for y in range(tiles) for x in range(tiles)}).values())


def _planes(frame: bytes) -> bytes:
    return np.moveaxis(imagecodecs.jpeg8_decode(frame), -1, 0).tobytes()


def _zstd(frame: bytes) -> bytes:
    return bytes(imagecodecs.zstd_encode(_planes(frame), level=_ZSTD))


def _alone(_: str, __: Path, tiles: int) -> Take:
    frames = _frames(tiles)
    with thread_of_each_core() as threads:

        def read() -> Sequence[Any]:
            assert all(threads.map(_zstd, frames))
            return ()

        return timed(read)


def _making(out: Path, tiles: int, code: Callable[[bytes], bytes]) -> Take:
    """Open, write and close as many files as an export makes; their data are there, and so are folders."""
    for row in range(tiles):
        (out / f"{row}").mkdir(parents=True)
    files = [(f"{out}/{n // tiles}/{n % tiles}", code(frame)) for n, frame in enumerate(_frames(tiles))]

    def write(path: str, data: bytes) -> int:
        with open(path, "wb") as file:  # noqa: PTH123  # as dicomzarr does
            return file.write(data)

    with thread_of_each_core() as threads:

        def make() -> Sequence[Any]:
            assert all(threads.map(write, *zip(*files, strict=True)))
            return ()

        return timed(make)


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


def _downloaded(url: str, out: Path) -> Path:
    path = out.with_suffix(".tiff")
    with urllib.request.urlopen(url) as reply, path.open("wb") as file:  # noqa: S310  # ours
        shutil.copyfileobj(reply, file, 2**20)
    return path


def _tiffslide(url: str, out: Path, tiles: int) -> Take:
    import zarr  # noqa: PLC0415  # who measures others does without
    from tiffslide import TiffSlide  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  # a peer

    side = tiles * TILE
    array: Any = zarr.create_array(str(out), shape=(side, side, 3), chunks=(TILE, TILE, 3), dtype="uint8")
    places = [(y, x) for y in range(0, side, _BLOCK) for x in range(0, side, _BLOCK)]

    def read() -> Sequence[Any]:
        with TiffSlide(_downloaded(url, out)) as slide, ThreadPoolExecutor(_CORES) as threads:

            def copy(place: tuple[int, int]) -> None:
                y, x = place
                size = min(_BLOCK, side - x), min(_BLOCK, side - y)
                array[y : y + size[1], x : x + size[0]] = slide.read_region((x, y), 0, size, as_array=True)

            list(threads.map(copy, places))
        return ()

    return timed(read)


def _ngff_zarr(url: str, out: Path, _: int) -> Take:
    import ngff_zarr  # noqa: PLC0415  # a peer
    from ngff_zarr.tiff_to_ngff_image import tiff_file_to_ngff_images  # noqa: PLC0415  # a peer

    def read() -> Sequence[Any]:
        ((_, image),) = tiff_file_to_ngff_images(_downloaded(url, out))
        levels = ngff_zarr.to_multiscales(image, scale_factors=[], chunks={"y": TILE, "x": TILE, "c": 3})  # type: ignore[arg-type]
        ngff_zarr.to_ngff_zarr(str(out), levels, version="0.5")
        return ()

    return timed(read)


_DOWNLOADS = {"download, tiffslide, blocks into zarr": "tiffslide", "download, ngff-zarr": "ngff_zarr"}
"""Who reads a file, and the package that it takes."""

WAYS: dict[str, Callable[[str, Path, int], Take]] = {
    _READING: _reading,
    "dicomzarr, keep encoded": lambda url, out, _: _ours(url, out, keep_encoded=True),
    "dicomzarr, uncompressed": lambda url, out, _: _ours(url, out, compression="none"),
    "dicomzarr, zstd": lambda url, out, _: _ours(url, out),
    "dicomzarr, zstd in shards of 8 x 8": lambda url, out, _: _ours(url, out, shard=8),
    "dicomzarr, zstd, with reading again": lambda url, out, _: _ours(url, out, whole=True),
    _CODING: _alone,
    "making the files alone, keep encoded": lambda _, out, tiles: _making(out, tiles, bytes),
    "making the files alone, uncompressed": lambda _, out, tiles: _making(out, tiles, _planes),
    "making the files alone, zstd": lambda _, out, tiles: _making(out, tiles, _zstd),
    "wsidicom, blocks into zarr": _wsidicom,
    "download, tiffslide, blocks into zarr": _tiffslide,
    "download, ngff-zarr": _ngff_zarr,
}
"""By the names of rows."""
