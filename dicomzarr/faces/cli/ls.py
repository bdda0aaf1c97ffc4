"""``dicomzarr ls``: what a server, a study or a series holds."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any

from rich.text import Text

from dicomzarr.errors import DicomZarrError, UsageError
from dicomzarr.faces.cli.connection import target_of
from dicomzarr.faces.cli.listing import STUDIES, find
from dicomzarr.faces.cli.measures import amount
from dicomzarr.faces.cli.terminal import clean
from dicomzarr.faces.fsspec.filesystem import SeriesFileSystem
from dicomzarr.sources.files.urls import split_place

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from dicomzarr.faces.cli.connection import Target
    from dicomzarr.faces.cli.listing import Listing
    from dicomzarr.faces.cli.terminal import Terminal
    from dicomzarr.faces.results import Value


def run(arguments: Namespace, terminal: Terminal) -> None:
    """List what lies at a URL.

    Raises:
        DicomZarrError: It cannot be had.
    """
    target = target_of(arguments)
    if target.url.series is not None:
        _list_series(target, arguments, terminal)
        return
    with terminal.waiting(f"Searching at {target.host}"):
        listing = find(target, arguments)
    if arguments.json:
        terminal.write_json(_document(target, listing))
    else:
        _show(listing, terminal)
    _comment(listing, arguments, terminal)


def _document(target: Target, listing: Listing) -> dict[str, Any]:
    return {
        "url": str(target.url),
        "kind": listing.kind.name,
        "offset": listing.offset,
        "limit": listing.limit,
        "more": listing.more,
        "results": list(listing.rows),
    }


def _show(listing: Listing, terminal: Terminal) -> None:
    if not listing.rows:
        return
    numbers = frozenset(column.heading for column in listing.columns if column.kind == "number")
    table = terminal.table(*(column.heading for column in listing.columns), numbers=numbers)
    for row in listing.rows:
        table.add_row(*(Text(_cell(row[column.key])) for column in listing.columns))
    if terminal.fits(table):
        terminal.print(table)
        return
    for row in listing.rows:
        _show_record(listing, row, terminal)


def _show_record(listing: Listing, row: Mapping[str, Value], terminal: Terminal) -> None:
    """One result in two lines, for narrow terminals: a UID is good for copying only in one piece."""
    uid, *others = listing.columns
    told = [(column, _cell(row[column.key])) for column in others]
    facts = [f"{column.heading} {cell}" if column.kind == "number" else cell for column, cell in told if cell]
    terminal.print_line(Text(_cell(row[uid.key]), style="bold"))
    terminal.print_line(Text(f"  {' · '.join(facts)}"))


def _cell(value: Value) -> str:
    if isinstance(value, list):
        return clean(" ".join(value))
    return "" if value is None else clean(str(value))


def _comment(listing: Listing, arguments: Namespace, terminal: Terminal) -> None:
    """What the table does not say."""
    if not listing.rows:
        what = "No study" if listing.kind is STUDIES else "No series"
        terminal.note(
            f"{what} matches." if not listing.offset else f"{what} matches from --offset {listing.offset} on."
        )
    for remark in listing.remarks:
        terminal.note(remark)
    if listing.more:
        following = listing.offset + len(listing.rows)
        terminal.note(f"There are more: --offset {following} shows the next, --limit more at once.")
    for keyword in listing.ignored:
        terminal.note(f"The server ignored the filter {keyword}: not all of these match it.")
    url = next((row["url"] for row in listing.rows if row["url"]), None)
    if terminal.for_people and not arguments.json and url:
        terminal.note(
            f"Go on with one of them: dicomzarr {'ls' if listing.kind is STUDIES else 'info'} {quote(str(url))}"
        )


def _list_series(target: Target, arguments: Namespace, terminal: Terminal) -> None:
    _refuse_filters(arguments)
    url = str(target.url)
    with terminal.waiting(f"Reading the metadata at {target.host}"):
        entries = _entries(url, SeriesFileSystem(**target.options))
    if arguments.json:
        terminal.write_json({"url": url, "kind": "keys", "results": entries})
        return
    table = terminal.table("Key", "Type", "Size", numbers=frozenset({"Size"}))
    for entry in entries:
        size = amount(entry["size"]) if entry["type"] == "file" else ""
        table.add_row(*map(Text, (clean(entry["name"]), entry["type"], size)))
    terminal.print(table)


def _entries(url: str, filesystem: Any) -> list[dict[str, Any]]:
    try:
        found = filesystem.ls(url, detail=True)
    except FileNotFoundError as error:
        # fsspec's word for absence; below it is ours, which says what is absent.
        if isinstance(error.__cause__, DicomZarrError):
            raise error.__cause__ from None
        raise UsageError(f"There is nothing at {url}.", remedy="List the series first: end the URL after it.") from None
    return [{**entry, "name": _last(entry["name"]), "url": entry["name"]} for entry in found]


def _last(path: str) -> str:
    """The last part of a path; what stands behind ``::`` is the place that it is in."""
    return split_place(path)[0].rpartition("/")[2]


def _refuse_filters(arguments: Namespace) -> None:
    given = [
        f"--{name.replace('_', '-')}"
        for name in ("modality", "patient_id", "study_date", "match", "limit", "offset", "phi")
        if getattr(arguments, name) not in (None, [], False)
    ]
    if given:
        raise UsageError(
            f"The URL names a series; {', '.join(given)} is for what lies above.",
            remedy="Leave it out, or end the URL before /series.",
        )
