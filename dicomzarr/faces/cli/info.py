"""``dicomzarr info``: what a series holds. One metadata request, no frame."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from dicomzarr.arrays.image import open_image
from dicomzarr.dicom.pixels.syntax import transfer_syntax_name
from dicomzarr.faces.cli.connection import series_target
from dicomzarr.faces.cli.facts import series_facts
from dicomzarr.faces.cli.measures import amount, by, counted, extent, spacing
from dicomzarr.faces.cli.terminal import clean
from dicomzarr.session.kinds import kind_of

if TYPE_CHECKING:
    from argparse import Namespace

    from dicomzarr.faces.cli.facts import CoordinateFacts, ImageFacts, SeriesFacts
    from dicomzarr.faces.cli.terminal import Terminal

_MOST_CHANNELS = 12
_MOST_VALUES = 6
"""That are listed; of more the first ones."""

_PLURALS = {"z": "planes", "t": "time points"}


def run(arguments: Namespace, terminal: Terminal) -> None:
    """Open a series and tell about it.

    Raises:
        DicomZarrError: It cannot be opened.
    """
    target = series_target(arguments)
    with terminal.waiting(f"Reading the metadata at {target.host}"):
        facts = series_facts(open_image(str(target.url), **target.options), target)
    if arguments.json:
        terminal.write_json(asdict(facts))
    else:
        show(facts, terminal)


def show(facts: SeriesFacts, terminal: Terminal) -> None:
    """Print the facts for people."""
    terminal.print_line(Text(clean(facts.url), style="bold"))
    terminal.print("", _summary(facts), "", _arrays(facts, terminal))
    if facts.notices:
        terminal.print("", *(Text(f"! {clean(notice)}", style="yellow") for notice in facts.notices))


def _summary(facts: SeriesFacts) -> Table:
    grid = Table.grid(padding=(0, 2))
    for image in facts.images:
        grid.add_row(Text(clean(f"{image.path} {image.name}".strip()), style="bold cyan"), _sizes(facts, image))
        if image.orientation:
            grid.add_row(Text("  orientation", style="dim"), Text(clean(_orientation(image))))
        if image.values:
            grid.add_row(Text("  values", style="dim"), Text(clean(image.values)))
        for coordinate in image.coordinates:
            grid.add_row(Text(clean(f"  {coordinate.name}"), style="dim"), Text(clean(_values(coordinate))))
        if image.labels:
            grid.add_row(Text("  labels", style="dim"), Text(clean(", ".join(image.labels))))
    rows = {
        "channels": _channels(facts.images[0]),
        "transfer syntax": Text(_transfer_syntaxes(facts)),
        "associated": Text(clean(", ".join(image.path for image in facts.associated))),
        "decoded size": Text(amount(facts.bytes)),
        kind_of(facts.url).name: Text(clean(facts.server)),
    }
    for name, value in rows.items():
        if value:
            grid.add_row(Text(name, style="dim"), value)
    return grid


def _sizes(facts: SeriesFacts, image: ImageFacts) -> Text:
    """What an image is, in one line."""
    finest = image.levels[0]
    plurals = _PLURALS | ({"t": "frames"} if image.kind.startswith("list") else {})
    many = [
        f"{size} {plurals[axis.name]}"
        for axis, size in zip(image.axes, finest.shape, strict=True)
        if axis.name in plurals
    ]
    told = (
        facts.modality,
        image.kind,
        f"{by(finest.shape[:-3:-1])} pixels (width, height)",
        *many,
        extent(image.axes, finest.shape, finest.scale),
        f"RGB {finest.dtype}" if image.color else finest.dtype,
        "lossy" if finest.lossy else "",
        counted(len(image.levels), "level"),
    )
    return Text(" · ".join(clean(fact) for fact in told if fact))


def _orientation(image: ImageFacts) -> str:
    """As ``axial: z to the head, y to the back, x to the left (x y z: LPS)``."""
    letters = f" (x y z: {image.orientation_letters})" if image.orientation_letters else ""
    return f"{image.orientation}{letters}"


def _values(coordinate: CoordinateFacts) -> str:
    """What an axis counts, in one line: all of few values, else the first and the last."""
    values: list[Any] = list(coordinate.values)
    nested = len(coordinate.axes) > 1 or any(isinstance(value, list | tuple) for value in values)
    if nested:
        told = f"{len(values)} values" + (" in" if coordinate.unit else "")
    elif len(values) > _MOST_VALUES:
        told = f"{_value(values[0])} to {_value(values[-1])} ({len(values)} values)"
    else:
        told = ", ".join(map(_value, values))
    return f"{told} {coordinate.unit}".rstrip() + f" along {' and '.join(coordinate.axes)}"


def _value(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)


def _channels(image: ImageFacts) -> Text:
    """Names, each behind a dot in its colour; none of images whose channels say nothing."""
    if image.kind and len(image.channels) == 1:
        return Text()
    parts = []
    for channel in image.channels[:_MOST_CHANNELS]:
        parts += [Text("● ", style=f"#{channel.color}"), Text(clean(channel.label) + "  ")]
    more = len(image.channels) - _MOST_CHANNELS
    return Text.assemble(*parts, Text(f"and {more} more") if more > 0 else "")


def _transfer_syntaxes(facts: SeriesFacts) -> str:
    uids = {level.transfer_syntax_uid for image in facts.all_images for level in image.levels}
    known = sorted(uid for uid in uids if uid)
    names = [f"{transfer_syntax_name(uid)} ({uid})" for uid in known]
    return clean(", ".join(names + ["known at the first frame"] * (None in uids)))


def _arrays(facts: SeriesFacts, terminal: Terminal) -> Table:
    table = terminal.table(
        "Array",
        "Axes",
        "Shape",
        "Chunk",
        "Type",
        "Spacing",
        "Decoded",
        numbers=frozenset({"Shape", "Chunk", "Decoded"}),
    )
    for image in facts.all_images:
        axes = " ".join(axis.name for axis in image.axes)
        for level in image.levels:
            cells = (
                level.path,
                axes,
                by(level.shape),
                by(level.chunks),
                level.dtype,
                spacing(image.axes, level.scale),
                amount(level.bytes),
            )
            table.add_row(*(Text(clean(cell)) for cell in cells))
        if image in facts.images:
            table.add_section()
    return table
