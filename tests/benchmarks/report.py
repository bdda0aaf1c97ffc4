"""What was found, as tables: for the terminal, as JSON, and as a page of ratios."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from measuring import Results, Row, Target

_LIBRARIES = ("aiohttp", "dask", "imagecodecs", "numpy", "wsidicom", "zarr")
MARK = "<!-- measured: what follows is written by tests/benchmarks/run.py --markdown -->"


def machine() -> str:
    """What it ran on, in words."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores of {model}, {platform.system()}, Python {platform.python_version()}, {versions}"


def ratio(row: Row, rows: Sequence[Row]) -> float:
    """How many times as long as the best of dicomzarr it took."""
    ours = [
        each.seconds
        for each in rows
        if (each.task, each.milliseconds) == (row.task, row.milliseconds) and is_ours(each.reader)
    ]
    return row.seconds / min(ours)


def is_ours(reader: str) -> bool:
    """Whether it reads by dicomzarr, under whatever face."""
    return reader.startswith(("dicomzarr", "zarr.open_group(url)"))


def rows_table(rows: Sequence[Row]) -> Table:
    """Everything that was measured."""
    table = Table("task", "ms", "reader", "rounds", "seconds", "x ours", "CPU", "server", "requests", "MB", "peak MB")
    previous = None
    for row in rows:
        task = (row.task, row.milliseconds)
        if previous not in (None, task):
            table.add_section()
        previous = task
        table.add_row(
            row.task,
            f"{row.milliseconds:g}",
            row.reader,
            str(row.rounds),
            f"{row.seconds:.4f}",
            f"{ratio(row, rows):.2f}",
            f"{row.cpu:.4f}",
            *(_shown(value, places) for value, places in _numbers(row)),
        )
    return table


def _numbers(row: Row) -> tuple[tuple[float | None, int], ...]:
    return ((row.server_cpu, 3), (row.requests, 0), (row.megabytes, 1), (row.peak, 0))


def _shown(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def targets_table(targets: Sequence[Target]) -> Table:
    """What was wanted."""
    table = Table("target", "found", "wanted", "reached")
    for target in targets:
        table.add_row(target.text, f"{target.found:.2f}", _wanted(target), "yes" if target.reached else "NO")
    return table


def _wanted(target: Target) -> str:
    return f"{'at least' if target.at_least else 'at most'} {target.wanted:g}"


def as_json(results: Results) -> dict[str, Any]:
    """Everything, with the machine."""
    return {
        "machine": machine(),
        "rows": [asdict(row) for row in results.rows],
        "targets": [{**asdict(target), "reached": target.reached} for target in results.targets],
        "notes": results.notes,
    }


def write_page(page: Path, results: Results) -> None:
    """Put the ratios behind the mark of a page."""
    kept = page.read_text().partition(MARK)[0]
    page.write_text("\n".join([kept + MARK, "", *map(_escaped, _page(results)), ""]))


def _escaped(line: str) -> str:
    """Brackets that are no link."""
    return line.replace("[", "\\[").replace("]", "\\]")


def _page(results: Results) -> Iterator[str]:
    yield f"Measured on {machine()}."
    yield from (f"\nNote: {note}." for note in results.notes)
    previous = None
    for row in results.rows:
        task = (row.task, row.milliseconds)
        if task != previous:
            yield f"\n### {row.task[0].upper()}{row.task[1:]}, {row.milliseconds:g} ms\n"
            yield "| Reader | Time | CPU | Server's CPU | Requests | MB | Peak MB |"
            yield "|---|---|---|---|---|---|---|"
        previous = task
        yield _page_row(row, results.rows)
    yield "\n### Targets\n"
    yield "| Target | Found | Wanted | Reached |\n|---|---|---|---|"
    for target in results.targets:
        yield f"| {target.text} | {target.found:.2f} | {_wanted(target)} | {'yes' if target.reached else '**no**'} |"


def _page_row(row: Row, rows: Sequence[Row]) -> str:
    """Times are given in those of dicomzarr's fastest row."""
    ours = row.seconds / ratio(row, rows)
    server = "-" if row.server_cpu is None else f"{row.server_cpu / ours:.2f}"
    rest = (_shown(row.requests, 0), _shown(row.megabytes, 1), _shown(row.peak, 0))
    return f"| {row.reader} | {row.seconds / ours:.2f} | {row.cpu / ours:.2f} | {server} | {' | '.join(rest)} |"
