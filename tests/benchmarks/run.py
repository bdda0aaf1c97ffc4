"""Ratios of reading a large slide: ``python tests/benchmarks/run.py`` prints a table, ``--json FILE`` writes it too.

Each row is one task at one latency; all readers take turns in one process, and the median of their times counts.
"Limit" is one round trip plus decoding by two threads. ``--tiny`` proves in seconds that all of it still works.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from readers import TILE, Limit, Ours, Region, Wsidicom, tiles_of
from rich.console import Console
from rich.table import Table
from slide_server import served, slide

from dicomzarr.dicom.instance import parse_instance
from dicomzarr.dicom.json_model import decode_instances

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from readers import Pixels, Reader


@dataclass(frozen=True)
class Task:
    """What is read."""

    name: str
    regions: tuple[Region, ...]
    slow_peers: bool = True
    """Peers that read one region after another take part at every latency."""


@dataclass(frozen=True)
class Row:
    """What one reader took for one task."""

    task: str
    milliseconds: float
    """Latency of every reply."""
    reader: str
    seconds: float
    """Median."""
    cpu: float
    """Seconds of CPU of this process, median."""


def tasks(tiles: int, region: int, patches: int) -> list[Task]:
    """The tasks on a slide of ``tiles`` x ``tiles``."""
    random = np.random.default_rng(20)
    corners = random.integers(0, (tiles - 2) * TILE, (patches, 2)).tolist()
    middle = (tiles * TILE - region) // 2 // TILE * TILE
    return [
        Task(f"region of {region} x {region}", (Region(middle, middle, region, region),)),
        Task(f"{patches} random patches of 256", tuple(Region(y, x, 256, 256) for y, x in corners), slow_peers=False),
    ]


def limit_of(task: Task, tiles: int) -> Limit:
    """The limit, with the tiles of a task at hand."""
    (stored,) = slide(tiles).instances()
    header = parse_instance(decode_instances(json.dumps([stored.metadata()]).encode())[0])
    assert header is not None
    wanted = {tile for region in task.regions for tile in tiles_of(region)}
    return Limit({(row, column): stored.frame(row * tiles + column + 1) for row, column in wanted}, header.pixel)


def measure(task: Task, url: str, tiles: int, milliseconds: float, rounds: int) -> Iterator[Row]:
    """Let all readers take turns."""
    limit = limit_of(task, tiles)
    makers: list[Callable[[], Reader]] = [lambda: limit, lambda: Ours(url)]
    if task.slow_peers or milliseconds == 0:
        makers += [lambda: Wsidicom(url), lambda: Wsidicom(url, threads=4)]
    times: dict[str, list[tuple[float, float]]] = {}
    expected: Sequence[Pixels] = limit.read(task.regions)
    for _ in range(rounds):
        for make in makers:
            reader = make()
            began, cpu = time.perf_counter(), time.process_time()
            found = reader.read(task.regions)
            spent = time.perf_counter() - began, time.process_time() - cpu
            times.setdefault(reader.name, []).append(spent)
            check(found, expected)
            if reader is not limit:
                reader.close()
    limit.close()
    for name, each in times.items():
        seconds, cpu = (statistics.median(column) for column in zip(*each, strict=True))
        extra = milliseconds / 1000 if name == limit.name else 0.0
        yield Row(task.name, milliseconds, name, seconds + extra, cpu)


def check(found: Sequence[Pixels], expected: Sequence[Pixels]) -> None:
    """Speed counts for right pixels only."""
    for one, other in zip(found, expected, strict=True):
        pixels = one if one.shape == other.shape else np.moveaxis(one, -1, 0)
        assert np.abs(pixels.astype(np.int16) - other.astype(np.int16)).max() <= 2  # JPEG decoders differ


def table(rows: Sequence[Row]) -> Table:
    """Rows as a table, with ratios to ours."""
    shown = Table("task", "latency", "reader", "seconds", "CPU", "to dicomzarr")
    for row in rows:
        ours = next(
            each.seconds
            for each in rows
            if (each.task, each.milliseconds, each.reader) == (row.task, row.milliseconds, Ours.name)
        )
        shown.add_row(
            row.task,
            f"{row.milliseconds:g} ms",
            row.reader,
            f"{row.seconds:.3f}",
            f"{row.cpu:.3f}",
            f"{row.seconds / ours:.2f} x",
        )
    return shown


def main(arguments: Sequence[str]) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a small slide and one round, to see that it works")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency", type=float, nargs="*", default=[0, 20, 80], help="milliseconds")
    parser.add_argument("--json", type=Path, help="write the rows here")
    chosen = parser.parse_args(arguments)
    tiles, region, patches, rounds = (8, 512, 4, 1) if chosen.tiny else (225, 4096, 200, chosen.rounds)
    rows: list[Row] = []
    cpu: list[float] = []
    for milliseconds in chosen.latency:
        with served(tiles, milliseconds, cpu) as url, closing(Ours(url)):
            for task in tasks(tiles, region, patches):
                rows.extend(measure(task, url, tiles, milliseconds, rounds))
    console = Console()
    console.print(table(rows))
    console.print(f"CPU of the servers, apart: {sum(cpu):.2f} s")
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
