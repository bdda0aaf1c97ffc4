"""What is told of images and levels, in lines of text and tables of HTML that identify nobody. Pure (no I/O)."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from rich.filesize import decimal

from dicomzarr.plan.orientation import orientation_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dicomzarr.plan import Axis, ImagePlan, LevelPlan, SeriesPlan

_SAME = 1e-6
"""Relative difference up to which steps are told as one."""

_NAMED = 3
"""Absent frames that are named."""

_MOST_CHANNELS = 8
_MOST_SEGMENTS = 32
"""That are named."""


def summary(image: ImagePlan, series: SeriesPlan) -> str:
    """An image in a few lines: its levels and their spacing, how it lies, what is missing."""
    levels = [f"{number}: {_level_words(image, level)}" for number, level in enumerate(image.levels)]
    return "\n".join([f"<dicomzarr.{title(image)}>", *(f"  {line}" for line in (*levels, *facts(image, series)))])


def level_summary(image: ImagePlan, number: int) -> str:
    """A level in one line."""
    level = image.levels[number]
    sizes = ", ".join(f"{axis.name}: {size}" for axis, size in zip(image.axes, level.shape, strict=True))
    told = f"{level.dtype} in chunks of {level.chunks}, spacing {steps(image.axes, level.scale)}"
    return f"<dicomzarr.Level {number} ({sizes}) {told}>"


def title(image: ImagePlan) -> str:
    """The name of an image, and how many levels it has."""
    count = len(image.levels)
    return f"Image {image.name!r}, {count} {'level' if count == 1 else 'levels'}"


def facts(image: ImagePlan, series: SeriesPlan) -> Iterator[str]:
    """What there is to know besides levels, a line each: kind and orientation, what is missing, what else there is."""
    known = image.attributes
    how = ", ".join(filter(None, [known.kind, orientation_words(image)]))
    if how:
        yield how
    yield from _missing(image)
    measured = values_words(image)
    if measured:
        yield measured
    if "c" in _names(image) and not image.color:
        yield f"channels: {_listed([channel.label for channel in image.channels], _MOST_CHANNELS)}"
    if image.segments:
        names = [f"{segment.number} {segment.label}".strip() for segment in image.segments]
        yield f"segments: {_listed(names, _MOST_SEGMENTS)}"
    if image.labels:
        yield f"labels: {_listed([_label_words(label) for label in image.labels], _MOST_SEGMENTS)}"
    if len(series.images) > 1:
        yield f"one of {len(series.images)} images of the series"
    if series.associated:
        yield f"associated: {', '.join(name for name, _ in series.associated)}"
    if series.notices:
        yield f"{len(series.notices)} {'notice' if len(series.notices) == 1 else 'notices'}: see image.notices"


def values_words(image: ImagePlan) -> str:
    """What values measure, and how stored ones become that; empty where the header says nothing of it."""
    known = image.attributes
    unit = "" if known.units in {None, "US", "NONE"} else f"values in {known.units}"
    if image.levels[0].view is not None:
        return unit
    why = "slopes differ from slice to slice" if slopes_differ(image) else "a table rescales them"
    if slopes_differ(image) or known.modality_lut:
        return f'{unit} by values="modality": {why}' if unit else f'stored values; {why}: values="modality"'
    formula = rescaling_words(image)
    return f'{unit or "rescaled values"}: {formula}, or values="modality"' if formula else unit


def slopes_differ(image: ImagePlan) -> bool:
    """Whether no one slope and intercept lead from the values of the header's frames to rescaled ones."""
    rescale = image.attributes.rescale
    return rescale is not None and (isinstance(rescale.slope, list) or isinstance(rescale.intercept, list))


def rescaling_words(image: ImagePlan) -> str:
    """How one slope and intercept rescale values, as ``stored values - 1024``; empty where they change nothing."""
    rescale = image.attributes.rescale
    if rescale is None or slopes_differ(image) or (rescale.slope, rescale.intercept) == (1.0, 0.0):
        return ""
    times = "" if rescale.slope == 1 else f" x {rescale.slope:.6g}"
    plus = f" {'-' if rescale.intercept < 0 else '+'} {abs(rescale.intercept):.6g}" if rescale.intercept else ""
    return f"stored values{times}{plus}"


def steps(axes: Sequence[Axis], scale: Sequence[float]) -> str:
    """The step along every axis that has a unit: ``0.5 micrometer``, or ``z 2.5, y 0.7, x 0.7 millimeter``."""
    told = [(axis, step) for axis, step in zip(axes, scale, strict=True) if axis.unit]
    if not told:
        return "unknown"
    units = dict.fromkeys(axis.unit for axis, _ in told)
    by_unit = [_measure([pair for pair in told if pair[0].unit == unit]) for unit in units]
    uncounted = [axis.name for axis in axes if axis.type == "space" and not axis.unit]
    return ", ".join([*by_unit, *(f"{name} uneven or unknown" for name in uncounted)])


def levels_table(image: ImagePlan, levels: Iterable[int]) -> str:
    """Levels as a table of HTML; every text is escaped."""
    names = ("level", f"shape ({', '.join(_names(image))})", "type", "chunk", "spacing", "in memory")
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = ((str(number), *_cells(image, image.levels[number])) for number in levels)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def segments_table(image: ImagePlan) -> str:
    """Of a label image: what each value is, in its colour; empty for others."""
    rows = "".join(
        f'<tr><td style="background:#{escape(segment.color or "808080")}">&nbsp;&nbsp;</td>'
        f"<td>{segment.number}</td><td>{escape(segment.label)}</td></tr>"
        for segment in image.segments[:_MOST_SEGMENTS]
    )
    return f"<table><tbody>{rows}</tbody></table>" if rows else ""


def framed(heading: str, told: str, picture: str = "") -> str:
    """What a notebook shows: a picture, and HTML beside it under a heading."""
    head = f"<strong>dicomzarr.{escape(heading)}</strong>"
    return f'<div style="display:flex;gap:1em;align-items:flex-start">{picture}<div>{head}{told}</div></div>'


def _names(image: ImagePlan) -> list[str]:
    return [axis.name for axis in image.axes]


def _level_words(image: ImagePlan, level: LevelPlan) -> str:
    sizes = " x ".join(map(str, level.shape))
    return f"({', '.join(_names(image))}) {sizes} {level.dtype}, spacing {steps(image.axes, level.scale)}"


def _cells(image: ImagePlan, level: LevelPlan) -> tuple[str, ...]:
    shape, chunks = (" x ".join(map(str, sizes)) for sizes in (level.shape, level.chunks))
    nbytes = math.prod(level.shape) * level.dtype.itemsize
    return shape, str(level.dtype), chunks, steps(image.axes, level.scale), decimal(nbytes)


def _measure(steps_of_a_unit: list[tuple[Axis, float]]) -> str:
    unit, first = steps_of_a_unit[0][0].unit, steps_of_a_unit[0][1]
    if len(steps_of_a_unit) > 1 and all(math.isclose(step, first, rel_tol=_SAME) for _, step in steps_of_a_unit):
        return f"{first:.6g} {unit}"
    return f"{', '.join(f'{axis.name} {step:.6g}' for axis, step in steps_of_a_unit)} {unit}"


def _label_words(label: ImagePlan) -> str:
    names = [segment.label for segment in label.segments if segment.label]
    return f"{label.name} ({_listed(names, _NAMED)})" if names else label.name


def _missing(image: ImagePlan) -> Iterator[str]:
    """Frames that a regular grid lacks: they are absent chunks."""
    absent = image.attributes.absent
    if not absent:
        return
    frames = math.prod(image.levels[0].grid)
    cells = [" ".join(f"{axis} {place}" for axis, place in cell.items()) for cell in absent]
    yield f"missing: {len(absent)} of {frames} frames ({_listed(cells, _NAMED)})"


def _listed(texts: list[str], most: int) -> str:
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")
