"""The grammar of the command line. Its errors never repeat what may be a secret."""

from __future__ import annotations

import argparse
import difflib
import re
from typing import TYPE_CHECKING, NoReturn

from dicomzarr import __version__
from dicomzarr.errors import UsageError
from dicomzarr.faces.cli.commands import COMMANDS
from dicomzarr.faces.cli.measures import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

_OPTION = re.compile(r"--?[a-z][a-z-]*")
_NEVER_GUESSED = frozenset({"--phi", "--label-images", "--insecure"})
"""Switches that show who somebody is, or send secrets: whoever wants one spells it."""
_USER_INFO = re.compile(r"://.*@")


class _Parser(argparse.ArgumentParser):
    """Raises what argparse would print; passwords in URLs stay unseen."""

    def error(self, message: str) -> NoReturn:
        asked = _USER_INFO.sub("://", message)
        words = [str(each.metavar) for each in self._get_positional_actions()]
        form = f"Write {' '.join((self.prog, *words))}. " if message.startswith("the following") and words else ""
        raise UsageError(f"{asked[:1].upper()}{asked[1:]}.", remedy=f"{form}See {self.prog} --help.")


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the words of the command line.

    Args:
        argv: The words behind the program's name.

    Returns:
        The options; ``module`` names the module that carries out the command.

    Raises:
        UsageError: They make no command.
        SystemExit: Help or the version was asked for.
    """
    parser = build_parser()
    if not argv:
        raise UsageError("No command is given.", remedy="See dicomzarr --help; dicomzarr demo needs nothing else.")
    if "://" in argv[0]:
        raise UsageError(
            "A URL came where a command belongs.", remedy="Write dicomzarr info URL, or see dicomzarr --help."
        )
    if not argv[0].startswith("-") and argv[0] not in COMMANDS:
        near = difflib.get_close_matches(argv[0], COMMANDS, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(COMMANDS)}."
        raise UsageError(f"There is no command {argv[0]!r:.30}.", remedy=f"{hint} See dicomzarr --help.")
    arguments, extra = parser.parse_known_args(argv)
    if extra:
        raise _unknown(extra, arguments)
    return arguments


def _unknown(extra: list[str], arguments: argparse.Namespace) -> UsageError:
    """The error for words that mean nothing; only what looks like an option is repeated."""
    remedy = f"See dicomzarr {arguments.command} --help."
    options = [name for name in (word.partition("=")[0] for word in extra) if _OPTION.fullmatch(name)]
    if not options:
        hint = "Name the folder of several files; quote a value that holds spaces."
        return UsageError(f"{counted(len(extra), 'word')} too many.", remedy=f"{hint} {remedy}")
    known = {f"--{name.replace('_', '-')}" for name in vars(arguments)} - _NEVER_GUESSED
    near = difflib.get_close_matches(options[0], known, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    return UsageError(f"{arguments.command} has no option {options[0]}.", remedy=hint + remedy)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = _Parser(
        prog="dicomzarr",
        description="Any DICOM series, on a server or in files, opened as OME-Zarr, without a download.",
        epilog="Try it now, without a server: dicomzarr demo",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"dicomzarr {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (help_text, example, add_options) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=help_text,
            description=f"Show {help_text}.",
            epilog=f"Example: dicomzarr {name} {example}".rstrip(),
            allow_abbrev=False,
        )
        command.set_defaults(module=f"dicomzarr.faces.cli.{name}")
        add_options(command)
        command.add_argument("--debug", action="store_true", help="show where an error comes from")
    return parser
