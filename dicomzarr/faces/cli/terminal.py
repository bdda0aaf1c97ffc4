"""Where output goes: standard output for data, standard error for the rest; colours and boxes on terminals only."""

from __future__ import annotations

import json
import sys
import warnings
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

_UNBOUNDED = 100_000
"""Columns of what is no terminal: nothing is wrapped or cut there."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """The two ends that a command writes to; rich decides on colours by ``NO_COLOR``, ``FORCE_COLOR`` and ``TERM``."""

    out: Console
    err: Console

    @classmethod
    def open(cls) -> Terminal:
        """The standard streams of this process, as they are now."""
        return cls(_console(sys.stdout), _console(sys.stderr))

    @property
    def for_people(self) -> bool:
        """Whether a person looks at the output, rather than a program."""
        return self.out.is_terminal

    def print(self, *renderables: RenderableType) -> None:
        """Write to standard output."""
        with self.out.capture() as captured:
            self.out.print(*renderables, sep="\n", soft_wrap=not self.for_people)
        self.write(captured.get())

    def print_line(self, text: Text | str) -> None:
        """Write one line that the terminal itself wraps, so that it is copied as one, such as a URL."""
        with self.out.capture() as captured:
            self.out.print(text, soft_wrap=True)
        self.write(captured.get())

    def write(self, text: str) -> None:
        """Write lines to standard output as they are, less the blanks that tables leave at their ends."""
        lines = text if self.for_people else "\n".join(line.rstrip() for line in text.split("\n"))
        self.out.file.write(lines)

    def write_json(self, document: Any) -> None:
        """Write one JSON document in ASCII, so that no control character of a server's reaches a terminal."""
        self.out.file.write(json.dumps(document, indent=2, allow_nan=False).replace("\x7f", "\\u007f") + "\n")

    def table(self, *headings: str, numbers: frozenset[str] = frozenset()) -> Table:
        """An empty table: lined on a terminal, bare columns elsewhere.

        Args:
            headings: The columns.
            numbers: Those of them that hold numbers, which stand to the right.
        """
        lines, gap = (box.SIMPLE_HEAD, 1) if self.for_people else (None, 2)
        table = Table(box=lines, padding=(0, gap, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
        for heading in headings:
            # What is copied, as a UID, must be there to its last digit on the narrowest terminal.
            table.add_column(heading, justify="right" if heading in numbers else "left", overflow="fold")
        return table

    def fits(self, table: Table) -> bool:
        """Whether a table needs to break no cell."""
        unbounded = self.out.options.update(max_width=_UNBOUNDED)
        return Measurement.get(self.out, unbounded, table).maximum <= self.out.width

    def note(self, text: str) -> None:
        """Say something that is no data."""
        self.err.print(Text(clean(text), style="dim"), soft_wrap=True)

    @contextmanager
    def noting_warnings(self) -> Iterator[None]:
        """Say what Python warns of as all else that is no data, and not where in the code it was."""

        def show(message: Warning | str, *_: object, **__: object) -> None:
            self.note(f"warning: {message}")

        with warnings.catch_warnings():
            warnings.showwarning = show
            yield

    def error(self, text: str) -> None:
        """Say in one line what went wrong."""
        self.err.print(Text.assemble("dicomzarr: ", ("error: ", "bold red"), clean(text)), soft_wrap=True)

    def choice(self, text: str) -> None:
        """Name one of those that an error leaves to choose from."""
        self.err.print(Text(f"  {clean(text)}"), soft_wrap=True)

    def waiting(self, text: str) -> AbstractContextManager[Any]:
        """Show that something is under way, to those who look on."""
        if not self.err.file.isatty():
            return nullcontext()
        return self.err.status(Text(clean(text)))

    def reading(self) -> AbstractContextManager[Any]:
        """Show how far reads are, to those who look on."""
        if not self.err.file.isatty():
            return nullcontext()
        from dicomzarr.arrays.progress import progress  # noqa: PLC0415  # help does without arrays

        return progress(console=self.err)


def clean(text: str) -> str:
    """Text of a server or of a user as a terminal may show it: in one line, without control characters."""
    return "".join(char for char in " ".join(text.split()) if char.isprintable())


def _console(stream: TextIO) -> Console:
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")  # a terminal that lacks a character still shows the others
    console = Console(file=stream, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = _UNBOUNDED
    return console
