"""``dicomzarr export``: copies of series that others keep."""

from __future__ import annotations

import csv
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from dicomzarr.errors import DicomZarrError, UsageError
from dicomzarr.faces.cli.connection import series_target, target_of
from dicomzarr.faces.cli.measures import amount, counted
from dicomzarr.faces.cli.remedies import remedy_for
from dicomzarr.faces.export import export

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from dicomzarr.faces.cli.connection import Target
    from dicomzarr.faces.cli.terminal import Terminal
    from dicomzarr.faces.export.zarr_export import Progress

_STUDY, _SERIES = "StudyInstanceUID", "SeriesInstanceUID"


def run(arguments: Namespace, terminal: Terminal) -> None:
    """Export one series, or those of a list.

    Raises:
        DicomZarrError: One cannot be had, or not be written; of a list, after all others were.
    """
    if arguments.listed is None:
        _export(series_target(arguments), arguments.output, arguments, terminal)
    else:
        _export_listed(arguments, terminal)


def _export(target: Target, output: str, arguments: Namespace, terminal: Terminal) -> None:
    with _shown(terminal) as progress:
        try:
            done = export(
                str(target.url),
                output,
                levels=arguments.levels,
                region=dict(arguments.region),
                images=arguments.image,
                zarr_format=arguments.zarr_format,
                compression=arguments.compression,
                shard=arguments.shard,
                keep_encoded=arguments.keep_encoded,
                build_levels=arguments.build_levels,
                absent=arguments.absent,
                overwrite=arguments.force,
                progress=progress.tell,
                **_view(arguments),
                **target.options,
            )
        except KeyboardInterrupt:
            progress.close()
            raise KeyboardInterrupt(progress.state) from None
    kept = f", {done.resumed} of {done.blocks} blocks from an earlier run" if done.resumed else ""
    arrays = counted(done.arrays, "array")
    terminal.note(f"{output}: {amount(done.nbytes)} of pixels in {arrays}, read again and compared{kept}")


def _view(arguments: Namespace) -> dict[str, Any]:
    # A label image says who the patient is: only who names it gets it.
    view: dict[str, Any] = {
        "labels": arguments.labels,
        "associated_label": "associated/label" in (arguments.image or ()),
    }
    return view if arguments.values is None else {**view, "values": arguments.values}


def _export_listed(arguments: Namespace, terminal: Terminal) -> None:
    if "{series}" not in arguments.output:
        raise UsageError("OUT names one target for many series.", remedy="Write {series} in it, as out/{series}.zarr.")
    base, failed = target_of(arguments), 0
    rows = list(_rows(arguments.listed))
    for number, (study, series) in enumerate(rows, 1):
        output = arguments.output.format(study=study, series=series)
        terminal.note(f"{number} of {len(rows)}: series {series}")
        try:
            _export(replace(base, url=replace(base.url, study=study, series=series)), output, arguments, terminal)
        except DicomZarrError as error:
            failed += 1
            terminal.error(f"{error.args[0]} {remedy_for(error)}")
    if failed:
        raise DicomZarrError(f"{failed} of {len(rows)} series failed.", remedy="The same command takes up those again.")


def _rows(path: str) -> Iterator[tuple[str, str]]:
    """Study and series of each row.

    Raises:
        UsageError: There is no such list.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:  # noqa: PTH123  # as the user spells it
            rows = csv.DictReader(file)
            if not {_STUDY, _SERIES} <= set(rows.fieldnames or ()):
                raise UsageError(
                    f"{path} has no columns {_STUDY} and {_SERIES}.", remedy="Name them so in its first line."
                )
            for row in rows:
                yield (row[_STUDY] or "").strip(), (row[_SERIES] or "").strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} could not be read ({type(error).__name__}).", remedy="Name a CSV file.") from None


class _Shown:
    """Progress on a terminal, and where it stands."""

    def __init__(self, bar: Bar | None) -> None:
        self._bar = bar
        self._task = None if bar is None else bar.add_task("opening", total=None)
        self._phase = "opening"
        self._last: Progress | None = None

    @property
    def state(self) -> str:
        """How far it is, in words."""
        last = self._last
        if last is None:
            return "nothing is written yet; the same command begins."
        blocks = last.all_blocks if last.phase == "verifying" else last.blocks
        return f"{blocks} of {last.all_blocks} blocks are written; the same command goes on from there."

    def tell(self, now: Progress) -> None:
        """Show how far it is."""
        self._last = now
        if self._bar is None or self._task is None:
            return
        if now.phase != self._phase:  # rate and time left are those of the phase
            self._phase = now.phase
            self._bar.reset(self._task, description=now.phase, total=now.all_nbytes - now.resumed)
        self._bar.update(self._task, completed=now.nbytes - now.resumed)

    def close(self) -> None:
        """Leave the line to others."""
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def _shown(terminal: Terminal) -> Iterator[_Shown]:
    if not terminal.err.file.isatty():
        yield _Shown(None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=terminal.err, transient=True) as bar:
        yield _Shown(bar)
