"""How far volumes of one place are apart in time, as files of NIfTI say it. Pure (no I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.dicom.volume.dimensions import BY_NAME, CONTENT_TIME

if TYPE_CHECKING:
    from dicomzarr.plan import ImagePlan

_UNITS: Final = {"s": "second", "ms": "millisecond"}
_EVEN: Final = 0.01
"""Relative difference of steps up to which they are one."""


def step_of_times(plan: ImagePlan) -> tuple[float, str | None]:
    """(step, unit as ``second``) from one volume to the next; 1 without a unit where times are unknown or uneven.

    Where slices of a volume follow each other in time, t has no step; but each place is then seen again after one.
    ContentTime (0008,0033) is when images were computed; where it counts t after all, t has its step.
    """
    for axis, step in zip(plan.axes, plan.levels[0].scale, strict=True):
        if axis.name == "t" and axis.unit is not None:
            return step, axis.unit
    for name, told in plan.attributes.coordinates.items():
        row, unit = BY_NAME.get(name), _UNITS.get(told.unit)
        if told.axes == "tz" and name != CONTENT_TIME and row is not None and row.axis == "t" and unit is not None:
            even = _even_step(told.values)
            if even is not None:
                return even, unit
    return 1.0, None


def _even_step(values: Any) -> float | None:
    steps = np.diff(np.array(values, np.float64), axis=0)  # of what is None, NaN, which is even with nothing
    mean = float(steps.mean())
    return float(f"{mean:.9g}") if mean > 0 and (np.abs(steps - mean) <= _EVEN * mean).all() else None
