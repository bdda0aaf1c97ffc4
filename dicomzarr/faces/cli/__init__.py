"""The command line: ``dicomzarr info | ls | thumbnail | export | serve | doctor | cache | demo``.

Data go to standard output, everything else to standard error. Exit codes: 0 done, 1 what was asked for could not be
had, 2 it could not be meant, 130 interrupted, 141 nobody read the output to its end.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # nothing is imported here by which an interrupt would be a traceback
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

__all__ = ["main"]

_FAILED = 1
_MISUSED = 2
_INTERRUPTED = 130
_BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The words behind the program's name; those of the process by default.

    Returns:
        The exit code.

    Raises:
        SystemExit: ``--help`` or ``--version`` was asked for, and printed.
    """
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt as interrupt:
        sys.stderr.write(f"dicomzarr: {': '.join(('interrupted', *map(str, interrupt.args)))}\n")
        return _INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return _BROKEN_PIPE


def _run(argv: Sequence[str]) -> int:
    """Run a command; what it needs is imported here, where an interrupt is no traceback."""
    import importlib  # noqa: PLC0415  # as said above

    from dicomzarr.errors import DicomZarrError, UsageError  # noqa: PLC0415  # as above
    from dicomzarr.faces.cli.parser import parse_arguments  # noqa: PLC0415  # as above
    from dicomzarr.faces.cli.remedies import remedy_for  # noqa: PLC0415  # as above
    from dicomzarr.faces.cli.telling import told_of_secrets  # noqa: PLC0415  # as above
    from dicomzarr.faces.cli.terminal import Terminal  # noqa: PLC0415  # as above

    arguments: Namespace | None = None
    terminal = Terminal.open()
    try:
        arguments = parse_arguments(argv)
        note = told_of_secrets(arguments)
        if note:
            terminal.note(note)
        # Only what the command needs is imported: info does without dask, help without everything.
        with terminal.noting_warnings():
            importlib.import_module(arguments.module).run(arguments, terminal)
        sys.stdout.flush()
    except MemoryError:
        terminal.error("There is not enough memory for this. The same command may do where there is more.")
        return _FAILED
    except DicomZarrError as error:
        if arguments is not None and arguments.debug:
            import traceback  # noqa: PLC0415  # only here

            traceback.print_exc()
        terminal.error(f"{error.args[0]} {remedy_for(error)}")
        for choice in getattr(error, "choices", ()):
            terminal.choice(choice)
        return _MISUSED if isinstance(error, UsageError) else _FAILED
    return 0


def _discard_output() -> None:
    """Let the interpreter flush at exit without meeting the broken pipe again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
