"""What is told of images and levels, in lines of text that identify nobody."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dicomzarr.plan.orientation import orientation_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.arrays.level import Level, MultiscaleImage
    from dicomzarr.plan import Axis

_SAME = 1e-6
"""Relative difference up to which steps are told as one."""

_NAMED = 3
"""Absent frames that are named."""

_MOST_CHANNELS = 8
"""That are named."""


def summary(image: MultiscaleImage) -> str:
    """An image in a few lines: its levels and their spacing, how it lies, what is missing."""
    return "\n".join([f"<dicomzarr.{title(image)}>", *(f"  {line}" for line in _lines(image))])


def title(image: MultiscaleImage) -> str:
    """The name of an image, and how many levels it has."""
    count = len(image.plan.levels)
    return f"Image {image.name!r}, {count} {'level' if count == 1 else 'levels'}"


def facts(image: MultiscaleImage) -> Iterator[str]:
    """What there is to know besides levels, a line each: kind and orientation, what is missing, what else there is."""
    known = image.plan.attributes
    how = ", ".join(filter(None, [known.kind, orientation_words(image.plan)]))
    if how:
        yield how
    yield from _missing(image)
    if known.units and known.units not in {"US", "NONE"}:
        yield f"values in {known.units}{_rescaled(image)}"
    if "c" in image.levels[0].axes and not image.plan.color:
        yield f"channels: {_listed([channel.label for channel in image.channels], _MOST_CHANNELS)}"
    if image.segments:
        yield f"segments: {', '.join(f'{each.number} {each.label}'.strip() for each in image.segments)}"
    if image.labels:
        yield f"labels: {', '.join(image.labels)}"
    if len(image.images) > 1:
        yield f"one of {len(image.images)} images of the series"
    if image.associated:
        yield f"associated: {', '.join(image.associated)}"
    if image.notices:
        yield f"{len(image.notices)} {'notice' if len(image.notices) == 1 else 'notices'}: see image.notices"


def steps(axes: tuple[Axis, ...], scale: tuple[float, ...]) -> str:
    """The step along every axis that has a unit: ``0.5 micrometer``, or ``z 2.5, y 0.7, x 0.7 millimeter``."""
    told = [(axis, step) for axis, step in zip(axes, scale, strict=True) if axis.unit]
    if not told:
        return "unknown"
    by_unit = [
        _measure([pair for pair in told if pair[0].unit == unit])
        for unit in dict.fromkeys(axis.unit for axis, _ in told)
    ]
    uncounted = [axis.name for axis in axes if axis.type == "space" and not axis.unit]
    return ", ".join([*by_unit, *(f"{name} uneven or unknown" for name in uncounted)])


def shape_words(level: Level) -> str:
    """Sizes by axis, as ``c: 3, y: 1600, x: 1400``."""
    return ", ".join(f"{name}: {size}" for name, size in zip(level.axes, level.shape, strict=True))


def _lines(image: MultiscaleImage) -> Iterator[str]:
    for level in image.levels:
        sizes = " x ".join(map(str, level.shape))
        spacing = image.spacing(level)
        yield f"{level.number}: ({', '.join(level.axes)}) {sizes} {level.dtype}, spacing {spacing}"
    yield from facts(image)


def _measure(steps_of_a_unit: list[tuple[Axis, float]]) -> str:
    unit, first = steps_of_a_unit[0][0].unit, steps_of_a_unit[0][1]
    if len(steps_of_a_unit) > 1 and all(math.isclose(step, first, rel_tol=_SAME) for _, step in steps_of_a_unit):
        return f"{first:.6g} {unit}"
    return f"{', '.join(f'{axis.name} {step:.6g}' for axis, step in steps_of_a_unit)} {unit}"


def _missing(image: MultiscaleImage) -> Iterator[str]:
    """Frames that a regular grid lacks: they are absent chunks."""
    absent = image.plan.attributes.absent
    if not absent:
        return
    frames = math.prod(image.plan.levels[0].grid)
    cells = [" ".join(f"{axis} {place}" for axis, place in cell.items()) for cell in absent]
    yield f"missing: {len(absent)} of {frames} frames ({_listed(cells, _NAMED)})"


def _listed(texts: list[str], most: int) -> str:
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")


def _rescaled(image: MultiscaleImage) -> str:
    """How stored values become those of the unit."""
    rescale = image.plan.attributes.rescale
    if rescale is None or isinstance(rescale.slope, list) or isinstance(rescale.intercept, list):
        return ', by values="modality"'
    if (rescale.slope, rescale.intercept) == (1.0, 0.0):
        return ""
    times = "" if rescale.slope == 1 else f" x {rescale.slope:.6g}"
    plus = f" {'-' if rescale.intercept < 0 else '+'} {abs(rescale.intercept):.6g}" if rescale.intercept else ""
    return f': stored values{times}{plus}, or values="modality"'
