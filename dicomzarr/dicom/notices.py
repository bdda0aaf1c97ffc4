"""What is odd about the instances of a series, in sentences: equal ones of many instances are one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_NAMED: Final = 5
"""Files that a sentence names."""

_OF_FILES: Final = re.compile(r"([0-9]+ (?:file|folder)s? (?:was|were) left out)( \([^()]*\))?: .*", re.DOTALL)


class Notices:
    """Collects remarks on instances; to make one again changes nothing."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, str]] = {}

    def add(self, instance: str, text: str, found: str = "") -> None:
        """Remark on an instance.

        Args:
            instance: Its SOP Instance UID.
            text: What is odd and what follows from it, a sentence that any instance could have, without patient text.
            found: What the instance holds, as messages may show it; it may differ from one to the next.
        """
        self._found.setdefault(text, {}).setdefault(instance, found)

    def __len__(self) -> int:
        """How often something was remarked."""
        return sum(max(1, len(instances)) for instances in self._found.values())

    def say(self, sentence: str) -> None:
        """Add a whole sentence."""
        self._found.setdefault(sentence, {})

    def sentences(self) -> list[str]:
        """One for each remark, in the order of their first times; of several instances the first is named."""
        return [_sentence(text, instances) for text, instances in self._found.items()]


def files_left_out(reason: str, names: Sequence[str], what: str = "file") -> str:
    """That files were left out, or folders, and the names of the first of them."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    count = f"1 {what} was" if len(names) == 1 else f"{len(names)} {what}s were"
    return f"{count} left out ({reason}): {', '.join(map(_printable, names[:_MOST_NAMED]))}{more}."


def file_left_out(error: Exception) -> str:
    """That a file was left out, and the error that names it."""
    return f"1 file was left out: {_printable(str(error))}"


def files_mislabelled(count: int, syntax: str) -> str:
    """That so many files name a transfer syntax that their pixels are not in."""
    files = "1 file says" if count == 1 else f"{count} files say"
    return f"{files} that pixels are in {syntax}, and they are not: they are read as what they show to be."


def without_files(sentence: str) -> str:
    """A sentence for whom does not see the files: people name files and folders by patients, others' too."""
    return _OF_FILES.sub(r"\1\2.", sentence)


def _printable(name: str) -> str:
    """A name need be no text, and may hold what ends lines or moves cursors."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in name)


def _sentence(text: str, instances: dict[str, str]) -> str:
    if not instances:
        return text
    first, found = next(iter(instances.items()))
    if len(instances) == 1:
        return f"Instance {first}: {text}" + (f" It holds {found}." if found else "")
    return f"{len(instances)} instances: {text} The first is {first}" + (f", which holds {found}." if found else ".")
