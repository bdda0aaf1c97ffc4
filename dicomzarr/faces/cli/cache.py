"""``dicomzarr cache``: what the cache on disk takes, and how to empty it."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from dicomzarr.disk.inspection import clear, look_at
from dicomzarr.errors import InvalidOptionError
from dicomzarr.faces.cli.measures import amount, counted
from dicomzarr.faces.cli.terminal import clean
from dicomzarr.options import StorageOptions

if TYPE_CHECKING:
    from argparse import Namespace

    from dicomzarr.faces.cli.terminal import Terminal


@dataclass(frozen=True, slots=True)
class _Shown:
    directory: str
    bytes: int
    frames: int | None
    series: int | None
    bound: int | None


def run(arguments: Namespace, terminal: Terminal) -> None:
    """Tell about the cache, or empty it.

    Raises:
        InvalidOptionError: The directory cannot be used as a cache.
    """
    directory = Path(StorageOptions.parse(cache_dir=arguments.cache_dir or True).cache_dir or "")
    try:
        if arguments.action == "clear":
            terminal.note(f"{amount(clear(directory))} freed in {directory}")
            return
        facts = look_at(directory)
    except (OSError, sqlite3.Error) as error:
        raise InvalidOptionError(
            f"The cache in {directory} cannot be used ({type(error).__name__}).",
            remedy="Name its directory with --cache-dir.",
        ) from None
    shown = _Shown(str(directory), **facts._asdict())
    if arguments.json:
        terminal.write_json(asdict(shown))
    else:
        _show(shown, terminal)


def _show(shown: _Shown, terminal: Terminal) -> None:
    held = "a database that cannot be read; it begins anew when it is used next"
    if shown.frames is not None:
        held = f"{counted(shown.frames, 'frame')}, {shown.series} series"
    bound = "nothing was written yet" if shown.bound is None else f"of {amount(shown.bound)} at most"
    terminal.print_line(Text(clean(shown.directory), style="bold"))
    terminal.print(Text(f"{amount(shown.bytes)}, {bound}"), Text(held))
