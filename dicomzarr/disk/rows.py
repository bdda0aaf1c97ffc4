"""Entries in the tables: read and verified, written, left out by age."""

from __future__ import annotations

import hmac
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from dicomzarr.disk.names import seal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

USE_SECONDS = 60
"""How exactly it is known when an entry was last used."""

_NAMES_AT_ONCE = 256
_MOST_BROKEN = 16
_EVICTED_AT_ONCE = 512
_OVERHEAD = 256
"""Bytes that an entry needs besides its body, at most."""


class Content(NamedTuple):
    """What an entry holds."""

    facts: bytes
    """JSON about the body."""
    body: bytes


class Record(NamedTuple):
    """An entry to write."""

    name: bytes
    series: bytes
    view: bytes
    content: Content

    @property
    def nbytes(self) -> int:
        """Bytes that it needs."""
        return len(self.content.body) + len(self.content.facts) + _OVERHEAD


@dataclass(slots=True)
class Found:
    """What was there under the names that were asked for."""

    contents: dict[bytes, Content] = field(default_factory=dict)
    """By name; verified."""
    old: list[bytes] = field(default_factory=list)
    """Names of those whose last use was noted some time ago."""
    broken: list[bytes] = field(default_factory=list)
    """Names of those that do not verify."""


def read(connection: sqlite3.Connection, secret: bytes, names: Sequence[bytes], now: int) -> Found:
    """Read entries.

    Args:
        connection: To the database.
        secret: Of the directory.
        names: What to look for.
        now: Seconds, as entries are dated.

    Raises:
        sqlite3.DatabaseError: Too many do not verify for the file to be worth keeping.
    """
    found = Found()
    for start in range(0, len(names), _NAMES_AT_ONCE):
        asked = dict.fromkeys(names[start : start + _NAMES_AT_ONCE])
        marks = ",".join("?" * len(asked))
        rows = connection.execute(
            "SELECT name, used, seal, facts, body FROM entries LEFT JOIN bodies USING (id)"  # noqa: S608  # only marks
            f" WHERE name IN ({marks})",
            [*asked],
        ).fetchall()  # what is read is let go of before it is verified
        for name, used, expected, facts, body in rows:
            if name not in asked:  # of a damaged index
                continue
            if not _verifies(secret, name, expected, facts, body):
                found.broken.append(name)
                continue
            found.contents[name] = Content(facts, body)
            if not isinstance(used, int) or abs(now - used) > USE_SECONDS:
                found.old.append(name)
    if len(found.broken) > _MOST_BROKEN:
        raise sqlite3.DatabaseError("many entries do not verify")
    return found


def _verifies(secret: bytes, name: bytes, expected: object, facts: object, body: object) -> bool:
    if not (isinstance(expected, bytes) and isinstance(facts, bytes) and isinstance(body, bytes)):
        return False
    return hmac.compare_digest(expected, seal(secret, name, facts, body))


def names_held(connection: sqlite3.Connection, names: Sequence[bytes]) -> set[bytes]:
    """Those of the names that entries have."""
    found: set[bytes] = set()
    for start in range(0, len(names), _NAMES_AT_ONCE):
        asked = names[start : start + _NAMES_AT_ONCE]
        marks = ",".join("?" * len(asked))
        found.update(row[0] for row in connection.execute(f"SELECT name FROM entries WHERE name IN ({marks})", asked))  # noqa: S608  # only marks
    return found.intersection(names)


def count(connection: sqlite3.Connection, series: bytes) -> int:
    """How many entries a series has, but for the one of its own name: its metadata."""
    asked = "SELECT count(*) FROM entries WHERE series = ? AND name != series"
    (found,) = connection.execute(asked, (series,)).fetchone()
    return int(found)


def write(connection: sqlite3.Connection, secret: bytes, record: Record, now: int) -> None:
    """Write an entry, unless there is one of its name."""
    if connection.execute("SELECT 1 FROM entries WHERE name = ?", (record.name,)).fetchone():
        touch(connection, (record.name, record.series), now)
        return
    facts, body = record.content
    row = connection.execute(
        "INSERT INTO entries (name, series, view, size, used) VALUES (?, ?, ?, ?, ?)",
        (record.name, record.series, record.view, record.nbytes, now),
    )
    sealed = seal(secret, record.name, facts, body)
    connection.execute("INSERT INTO bodies VALUES (?, ?, ?, ?)", (row.lastrowid, sealed, facts, body))


def touch(connection: sqlite3.Connection, names: Iterable[bytes], now: int) -> None:
    """Note that entries were used."""
    connection.executemany("UPDATE entries SET used = ? WHERE name = ?", [(now, name) for name in names])


def remove(connection: sqlite3.Connection, column: str, tag: bytes) -> None:
    """Remove the entries that have a tag in ``name``, ``series`` or ``view``.

    Raises:
        sqlite3.DatabaseError: They are still there.
    """
    select = f"SELECT id FROM entries WHERE {column} = ?"  # noqa: S608  # one of three
    _remove(connection, [row[0] for row in connection.execute(select, (tag,))])
    if connection.execute(select, (tag,)).fetchone():
        raise sqlite3.DatabaseError("what is removed stays")


def _remove(connection: sqlite3.Connection, rows: Sequence[int]) -> None:
    marked = [(row,) for row in rows]
    connection.executemany("DELETE FROM bodies WHERE id = ?", marked)
    connection.executemany("DELETE FROM entries WHERE id = ?", marked)


def make_room(connection: sqlite3.Connection, size: int, most: int) -> bool:
    """Make room for more, by removing some of what was not used for the longest time.

    Args:
        connection: To the database, in a transaction.
        size: Bytes to come.
        most: Bytes that the file may have.

    Returns:
        Whether there is room; else `shrink`, and call it again in another transaction.

    Raises:
        sqlite3.DatabaseError: What fills the file belongs to no entry.
    """
    page, pages = _pragma(connection, "page_size"), _pragma(connection, "page_count")
    excess = (pages - _pragma(connection, "freelist_count")) * page + size - most
    if excess > 0:
        _evict(connection, excess)
    return excess <= 0 and pages * page <= most


def shrink(connection: sqlite3.Connection, most: int, at_once: int) -> bool:
    """Give free pages of a file that is too large back; outside of a transaction.

    Args:
        connection: To the database.
        most: Bytes that the file may have.
        at_once: Bytes of pages that may be moved.

    Returns:
        Whether any were there to be given back.
    """
    page, free = _pragma(connection, "page_size"), _pragma(connection, "freelist_count")
    excess = _pragma(connection, "page_count") * page - most
    if excess <= 0 or not free:
        return False
    # A script, for a single statement would be stepped once, which frees one page.
    connection.executescript(f"PRAGMA incremental_vacuum({min(at_once, excess) // page + 1})")
    return True


def _evict(connection: sqlite3.Connection, excess: int) -> None:
    """Remove the oldest entries, of so many bytes or as many as may go at once."""
    rows = []
    oldest = connection.execute("SELECT id, size FROM entries ORDER BY used, id LIMIT ?", (_EVICTED_AT_ONCE,))
    for row, size in oldest.fetchall():
        if excess <= 0:
            break
        rows.append(row)
        excess -= size if isinstance(size, int) else 0
    if not rows:
        raise sqlite3.DatabaseError("the file is full of what belongs to no entry")
    _remove(connection, rows)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)
