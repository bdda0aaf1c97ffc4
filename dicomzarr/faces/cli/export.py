"""``dicomzarr export``: copies of series that others keep."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from dicomzarr.errors import DicomZarrError, SeveralSeriesError, TargetExistsError, UsageError
from dicomzarr.faces.cli.connection import series_target, target_of
from dicomzarr.faces.cli.export_list import listed, on_cluster
from dicomzarr.faces.cli.measures import amount, counted
from dicomzarr.faces.cli.remedies import remedy_for
from dicomzarr.faces.export import export

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Mapping

    from dicomzarr.faces.cli.connection import Target
    from dicomzarr.faces.cli.terminal import Terminal
    from dicomzarr.faces.export import Exported
    from dicomzarr.faces.export.zarr_export import Progress


def run(arguments: Namespace, terminal: Terminal) -> None:
    """Export one series, or those of a list.

    Raises:
        DicomZarrError: One cannot be had, or not be written; of a list, after all others were.
    """
    if arguments.cluster is not None and arguments.listed is None:
        raise UsageError("--cluster is for many series.", remedy="Name their list, by --from.")
    if arguments.listed is None:
        try:
            target = series_target(arguments)
        except SeveralSeriesError as error:
            error.choices = (*error.choices, "or all of a list: --from LIST.csv, with {series} in OUT")
            raise
        _export(target, arguments.output, arguments, terminal)
    else:
        _export_listed(arguments, terminal)


def _export(target: Target, output: str, arguments: Namespace, terminal: Terminal) -> None:
    with _shown(terminal) as progress:
        try:
            done = export(str(target.url), output, progress=progress.tell, **_how(arguments), **target.options)
        except KeyboardInterrupt:
            progress.close()
            raise KeyboardInterrupt(progress.state) from None
    _tell(output, done, terminal)


def _how(arguments: Namespace) -> dict[str, Any]:
    """What is taken, and how it is written."""
    return {
        "levels": arguments.levels,
        "region": _region(arguments),
        "images": arguments.image,
        "zarr_format": arguments.zarr_format,
        "compression": arguments.compression,
        "shard": arguments.shard,
        "keep_encoded": arguments.keep_encoded,
        "build_levels": arguments.build_levels,
        "absent": arguments.absent,
        "overwrite": arguments.force,
        **_view(arguments),
    }


def _region(arguments: Namespace) -> dict[str, tuple[int, int]]:
    region = dict(arguments.region)
    if len(region) < len(arguments.region):
        raise UsageError("--region names an axis twice.", remedy="Give one for each axis.")
    return region


def _view(arguments: Namespace) -> dict[str, Any]:
    # A label image says who the patient is: only who names it gets it.
    view: dict[str, Any] = {
        "labels": arguments.labels,
        "associated_label": "associated/label" in (arguments.image or ()),
    }
    return view if arguments.values is None else {**view, "values": arguments.values}


def _export_listed(arguments: Namespace, terminal: Terminal) -> None:
    rows = listed(arguments.listed, arguments.output)
    base, failed = target_of(arguments), 0
    targets = {replace(base.url, study=row.study, series=row.series): row.output for row in rows}
    outcomes: Mapping[str, Exported | DicomZarrError] = {}
    if arguments.cluster is not None:
        options = {**_how(arguments), **base.options}
        outcomes = on_cluster(arguments.cluster, {str(url): output for url, output in targets.items()}, options)
    for number, (url, output) in enumerate(targets.items(), 1):
        terminal.note(f"{number} of {len(targets)}: series {url.series}")
        try:
            if arguments.cluster is None:
                _export(replace(base, url=url), output, arguments, terminal)
            else:
                _tell(output, outcomes[str(url)], terminal)
        except TargetExistsError:  # as of an earlier run, of which others failed
            terminal.note(f"{output}: is there already, and stays as it is; --force replaces it")
        except DicomZarrError as error:
            failed += 1
            terminal.error(f"{error.args[0]} {remedy_for(error)}")
    if failed:
        raise DicomZarrError(
            f"{failed} of {len(targets)} series failed.", remedy="The same command takes up those again."
        )


def _tell(output: str, outcome: Exported | DicomZarrError, terminal: Terminal) -> None:
    """Say what was written, or raise why it was not."""
    if isinstance(outcome, DicomZarrError):
        raise outcome
    kept = f", {outcome.resumed} of {outcome.blocks} blocks from an earlier run" if outcome.resumed else ""
    pixels = f"{amount(outcome.nbytes)} of pixels in {counted(outcome.arrays, 'array')}"
    terminal.note(f"{output}: {pixels}, read again and compared{kept}")


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
