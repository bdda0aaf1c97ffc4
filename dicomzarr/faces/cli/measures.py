"""Sizes, steps and amounts as people read them. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.filesize import decimal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dicomzarr.plan import Axis

__all__ = ["amount", "by", "counted", "extent", "spacing"]

_TIMES = "\N{MULTIPLICATION SIGN}"
_SYMBOLS = {"micrometer": "µm", "millimeter": "mm", "second": "s", "millisecond": "ms"}
_MICROMETRES = 1000
_SAME = 1e-6
amount = decimal
"""Bytes, as ``6.7 MB``."""


def counted(number: int, noun: str) -> str:
    """How many there are: ``1 array``, ``2 arrays``."""
    return f"{number} {noun}{'s' * (number != 1)}"


def by(sizes: Iterable[object]) -> str:
    """Sizes along several axes: ``3 x 1600 x 1400``."""
    return f" {_TIMES} ".join(map(str, sizes))


def spacing(axes: Sequence[Axis], scale: Sequence[float]) -> str:
    """Steps along space and time, in array order: ``0.5 µm`` for square pixels, ``5 x 0.7 x 0.7 mm``, ``none``."""
    steps = [(axis, step) for axis, step in zip(axes, scale, strict=True) if axis.unit]
    told = [_measure(steps, kind) for kind in ("time", "space")]
    return ", ".join(filter(None, told)) or "none"


def _measure(steps: list[tuple[Axis, float]], kind: str) -> str:
    chosen = [(axis.unit or "", step) for axis, step in steps if axis.type == kind]
    if not chosen:
        return ""
    unit, first = chosen[0]
    if all(math.isclose(step, first, rel_tol=_SAME) for _, step in chosen):
        return f"{first:.4g} {_SYMBOLS.get(unit, unit)}"
    return f"{by(f'{step:.4g}' for _, step in chosen)} {_SYMBOLS.get(unit, unit)}"


def extent(axes: Sequence[Axis], shape: Sequence[int], scale: Sequence[float]) -> str:
    """The physical width and height: ``13.3 x 11.2 mm``; empty where there is no unit."""
    sides = [(axis.unit, size * step) for axis, size, step in zip(axes, shape, scale, strict=True)][:-3:-1]
    unit = sides[0][0]
    if not unit:
        return ""
    if unit == "micrometer" and max(side for _, side in sides) >= _MICROMETRES / 10:
        unit, sides = "millimeter", [("", side / _MICROMETRES) for _, side in sides]
    return f"{by(f'{side:.3g}' for _, side in sides)} {_SYMBOLS.get(unit, unit)}"
