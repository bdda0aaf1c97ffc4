"""``dicomzarr references``: where frames lie in files, for plain zarr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomzarr.faces.cli.connection import series_target
from dicomzarr.faces.cli.measures import counted
from dicomzarr.faces.export.references import references

if TYPE_CHECKING:
    from argparse import Namespace

    from dicomzarr.faces.cli.terminal import Terminal


def run(arguments: Namespace, terminal: Terminal) -> None:
    """Write the references of one series.

    Raises:
        DicomZarrError: Its frames cannot be referred to, or the file cannot be written.
    """
    target = series_target(arguments)
    # A label says who the patient is: only who names it gets it.
    asks_label = "associated/label" in (arguments.image or ())
    with terminal.waiting(f"Reading frames from {target.host}"):
        done = references(
            str(target.url),
            arguments.output,
            levels=arguments.levels,
            images=arguments.image,
            overwrite=arguments.force,
            associated_label=asks_label,
            **target.options,
        )
    needs = f"; readers need imagecodecs-zarr for {', '.join(done.codecs)}" if done.codecs else ""
    terminal.note(f"{done.target}: {counted(done.frames, 'frame')} of {counted(done.arrays, 'array')}{needs}")
