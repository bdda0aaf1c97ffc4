"""Changes to the database that wait for the writer."""

from __future__ import annotations

from collections.abc import Callable, Sequence  # noqa: TC003  # the tuples below show their types
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from dicomzarr.disk import rows
from dicomzarr.disk.rows import Record  # noqa: TC001  # as above

if TYPE_CHECKING:
    import sqlite3


class Keep(NamedTuple):
    """Write an entry, unless it is there."""

    record: Record


class Replace(NamedTuple):
    """Write an entry in the place of the one of its name."""

    make: Callable[[], Record | None]
    """Makes it, outside of a transaction; None for what cannot be written."""
    size: int
    """Bytes that it holds until then."""


class Remove(NamedTuple):
    """Remove the entries that have a tag."""

    column: Literal["name", "series", "view"]
    tag: bytes


class Touch(NamedTuple):
    """Note that entries were used."""

    names: Sequence[bytes]


Change: TypeAlias = Keep | Replace | Remove | Touch


def size_of(change: Change) -> int:
    """Bytes that a change holds while it waits."""
    match change:
        case Keep(record):
            return record.nbytes
        case Replace(size=size):
            return size
        case _:
            return 0


def prepared(changes: Sequence[Change], largest: int) -> list[Remove | Keep | Touch]:
    """The changes with all done that needs no database, but for entries that are too large to keep."""
    done: list[Remove | Keep | Touch] = []
    for change in changes:
        if isinstance(change, Replace):
            record = change.make()
            if record is not None:
                done += (Remove("name", record.name), Keep(record))
        else:
            done.append(change)
    return [change for change in done if not isinstance(change, Keep) or change.record.nbytes <= largest]


def apply(connection: sqlite3.Connection, secret: bytes, change: Remove | Keep | Touch, now: int) -> None:
    """Make a change, in a transaction."""
    match change:
        case Keep(record):
            rows.write(connection, secret, record, now)
        case Remove(column, tag):
            rows.remove(connection, column, tag)
        case Touch(names):
            rows.touch(connection, names, now)
