"""``dicomzarr doctor``: what works with a server, what does not, and what can be done about it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.text import Text

from dicomzarr.errors import ServerError
from dicomzarr.faces.cli.connection import options_of
from dicomzarr.faces.cli.terminal import clean
from dicomzarr.faces.doctor import Outcome, doctor
from dicomzarr.sources.http.urls import host_of

if TYPE_CHECKING:
    from argparse import Namespace

    from dicomzarr.faces.cli.terminal import Terminal
    from dicomzarr.faces.doctor import Finding, Report

_MARKS = {Outcome.WORKS: ("ok", "green"), Outcome.NOTICE: ("!", "yellow"), Outcome.FAILS: ("no", "bold red")}


def run(arguments: Namespace, terminal: Terminal) -> None:
    """Examine a server and tell about it.

    Raises:
        UsageError: The URL or an option cannot be meant.
        ServerError: It does not work; what is wrong has been printed.
    """
    bare, options = options_of(arguments)
    with terminal.waiting(f"Looking at {host_of(bare)}"):
        report = doctor(bare, **options)
    if arguments.json:
        terminal.write_json(report.as_json())
    else:
        _show(report, terminal)
    if not report.works:
        sys.stdout.flush()
        raise ServerError("It does not work as it is.", remedy="See above what to do.")


def _show(report: Report, terminal: Terminal) -> None:
    terminal.print_line(Text(clean(report.url), style="bold"))
    for finding in report.findings:
        _show_finding(finding, terminal)
    if report.readable:
        terminal.print_line(Text(f"Images can be read. List what is there: dicomzarr ls {report.base}"))


def _show_finding(finding: Finding, terminal: Terminal) -> None:
    mark, style = _MARKS[finding.outcome]
    terminal.print_line(Text.assemble((f"{mark:>3} ", style), (f"{finding.check}: ", "bold"), clean(finding.found)))
    if finding.consequence:
        terminal.print_line(Text(f"      {clean(finding.consequence)}"))
    if finding.options:
        terminal.print_line(Text(f"      Option: {clean(', '.join(finding.options))}", style="dim"))
