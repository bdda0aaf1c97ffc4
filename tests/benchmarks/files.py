"""The same slide read from a file of this disk, and from a server of ranges, beside those who read files."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alone import alone
from measuring import Contestant, Results, Target, take_turns, warm_task
from regions import patches_task, region_task
from slide_files import served_file, tiff_alone, write_slide

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from measuring import Row
    from regions import Task
    from settings import Settings

_THREADS = (1, 2, 4, 8)
_FAR_THREADS = (1, 8)
_PEERS = ("wsidicom", "tiffslide", "openslide", "fastslide")
_FAR = 20.0
"""Milliseconds of the server of ranges."""
_FAR_TIMES = 3.0


def measure_files(settings: Settings) -> Results:
    """Regions and patches of a file here, and of one that a server has."""
    results = Results()
    tiles = settings.size(100, 16)
    tasks = region_task(settings, tiles), patches_task(settings, tiles)
    for peer in _PEERS:
        if find_spec(peer) is None:
            results.note(f"{peer} took no part: it is not installed")
    with tempfile.TemporaryDirectory() as folder:
        slide, tiff = Path(folder) / "slide.dcm", Path(folder) / "slide.tiff"
        write_slide(slide, tiles)
        tiff_alone(slide, tiff)
        for task in tasks:
            contestants = list(_here(task, slide, tiff, tiles, _THREADS[: settings.size(len(_THREADS), 1)]))
            name = f"file: {task.name}"
            results.rows += take_turns(name, 0, contestants, settings.rounds)
            for again in (name, warm_task(name)):
                results.targets += _targets(again, 0, results.of(again, 0), 1.0)
        for task in tasks:
            name = f"server of ranges: {task.name}"
            with served_file(slide, _FAR) as url:
                contestants = list(_far(task, url, settings))
                results.rows += take_turns(name, _FAR, contestants, settings.rounds)
            for again in (name, warm_task(name)):
                results.targets += _targets(again, _FAR, results.of(again, _FAR), _FAR_TIMES)
    return results


def _here(task: Task, slide: Path, tiff: Path, tiles: int, threads: Sequence[int]) -> Iterator[Contestant]:
    yield _contestant("limit, yxc", "limit", slide, task, tiles=tiles, order="yxc")
    yield _contestant("dicomzarr", "dicomzarr", slide, task)
    yield _contestant("dicomzarr, yxc", "dicomzarr", slide, task, order="yxc")
    for peer, file in _of_peers(slide, tiff):
        what = ", DICOM" if (peer, file) == ("fastslide", slide) else ""  # it reads both
        for number in threads if find_spec(peer) is not None else ():
            yield _contestant(f"{peer}{what}, threads={number}", peer, file, task, threads=number)


def _of_peers(slide: Path, tiff: Path) -> Iterator[tuple[str, Path]]:
    """Who reads which of the files."""
    yield from (
        ("wsidicom", slide),
        ("tiffslide", tiff),
        ("openslide", tiff),
        ("fastslide", tiff),
        ("fastslide", slide),
    )


def _far(task: Task, url: str, settings: Settings) -> Iterator[Contestant]:
    yield _contestant("dicomzarr", "dicomzarr", url, task)
    yield _contestant("dicomzarr, yxc", "dicomzarr", url, task, order="yxc")
    few = settings.few(_FAR)
    for threads in _FAR_THREADS[: settings.size(len(_FAR_THREADS), 1)]:
        yield _contestant(f"wsidicom, threads={threads}", "wsidicom", url, task, few, threads=threads)


def _contestant(
    name: str, reader: str, place: object, task: Task, most_rounds: int | None = None, **options: Any
) -> Contestant:
    lists = [[(each.y, each.x, each.rows, each.columns) for each in regions] for regions in task.reads]
    question = {"place": str(place), "reader": reader, "options": options, "tasks": lists}
    return Contestant(name, lambda: alone("files", **question), most_rounds, reader == "fastslide")


def _targets(name: str, milliseconds: float, rows: dict[str, Row], wanted: float) -> Iterator[Target]:
    for peer in _PEERS:
        theirs = [row.seconds for reader, row in rows.items() if reader.startswith(peer)]
        if theirs:
            times = min(theirs) / rows["dicomzarr, yxc"].seconds
            yield Target(f"{name} at {milliseconds:g} ms: times as fast as {peer} at its best", times, wanted)
