"""Values along t, c and z: every attribute that varies over a grid, on as few axes as it varies along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.dicom.volume.clock import first_time, in_order
from dicomzarr.dicom.volume.columns import names_in
from dicomzarr.dicom.volume.diffusion import B_VALUE, DIRECTION
from dicomzarr.dicom.volume.dimensions import ATTRIBUTES, BY_NAME, CONTENT_TIME
from dicomzarr.dicom.volume.grid import ABSENT, LIST
from dicomzarr.dicom.volume.words import Words, shown_texts
from dicomzarr.plan.attributes import FrameCoordinate
from dicomzarr.plan.placing import place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.volume.dimensions import Attribute
    from dicomzarr.dicom.volume.grid import Grid

    Values = npt.NDArray[np.object_]

AXES: Final = "tcz"

_MOST_VALUES: Final = 100_000
"""Of one coordinate; beyond, only what counts an axis is told."""

_EVEN: Final = 0.01
"""Relative difference of time steps up to which they are one."""


def coordinates(grid: Grid, samples: int = 1) -> dict[str, FrameCoordinate]:
    """What varies over the grid, by name.

    Times of acquisition are seconds since the first.

    Args:
        grid: The frames.
        samples: Of one pixel; each takes a place along c.
    """
    chosen = [name for dimension in grid.dimensions for name in dimension.names]
    told = {name: found for name in chosen if (found := _reduced(grid, name, always=True)) is not None}
    there = names_in(grid.frames)
    for row in (row for row in ATTRIBUTES if row.name in there and not row.last_resort):
        found = _reduced(grid, row.name) if row.name not in told else None
        if found is not None and found[1].size <= _MOST_VALUES and not (chosen and _contradicts(grid, row)):
            told[row.name] = found
    if DIRECTION in told and B_VALUE not in told:
        told |= _one_b_value(grid, *told[DIRECTION])
    if samples > 1:
        told = {name: (axes, _repeated(axes, values, samples)) for name, (axes, values) in told.items()}
    varying = {name: _coordinate(name, axes, values) for name, (axes, values) in told.items()}
    if grid.slices is not None and len(grid.slices.distances) > 1:
        distances = [round(float(distance), 9) for distance in grid.slices.distances]
        varying["z"] = FrameCoordinate("z", distances, "mm")
    return {**varying, **_positions(grid)}


def _one_b_value(grid: Grid, axes: str, directions: Values) -> dict[str, tuple[str, Values]]:
    """The b-value of directions that all have one: without it they weight nothing."""
    told = {frame.values.get(B_VALUE) for frame in grid.frames}
    return (
        {B_VALUE: (axes, np.full(directions.shape, told.pop(), object))} if len(told) == 1 and None not in told else {}
    )


def _positions(grid: Grid) -> dict[str, FrameCoordinate]:
    """ImagePositionPatient where no affine says it.

    Along t it is that of each frame of a list, or of the first slice of times with poses of their own; along z that of
    slices that lie on no line.
    """
    if grid.kind == LIST or grid.stack.moved:
        first = [grid.frames[int(time[time != ABSENT][0])] for time in grid.cells]
        places = [None if frame.position is None else tuple(frame.position.tolist()) for frame in first]
        return {"position": FrameCoordinate("t", places, "mm")} if any(places) else {}
    if grid.slices is None or grid.slices.even or place(grid).plane_affine is not None:
        return {}
    origins = [tuple(origin) for origin in grid.slices.origins.round(9).tolist()]
    return {"position": FrameCoordinate("z", origins, "mm")}


def _contradicts(grid: Grid, row: Attribute) -> bool:
    """Whether times fall while t rises: what counts t knows better."""
    if row.axis != "t" or grid.kind == LIST or grid.cells.shape[0] == 1:
        return False
    values = in_order(grid.values(row.name)) if row.clock else grid.values(row.name)
    times = np.array([np.nan if not isinstance(value, float | int) else value for value in values])
    steps = times.reshape(grid.cells.shape[0], -1)
    before = np.fmax.accumulate(steps, axis=0)[:-1]
    return bool((steps[1:] < before).any())


def _reduced(grid: Grid, name: str, *, always: bool = False) -> tuple[str, Values] | None:
    """(axes, values) without the axes along which nothing changes; None for what is constant or unknown."""
    if grid.cells.size == 1 and not always:
        return None
    told = [frame.values.get(name) for frame in grid.frames]
    counted = next((dimension.axis for dimension in grid.dimensions if name in dimension.names), None)
    levels = dict.fromkeys(told)
    if levels.keys() == {None} or (len(levels) == 1 and not always and not len(grid.absent)):
        return None
    number = {value: place for place, value in enumerate(levels)}
    codes = np.array([*(number[value] for value in told), ABSENT], np.int64)[grid.cells]  # the last one is of ABSENT
    axes = AXES
    for axis in sorted(AXES, key=lambda axis: axis == counted):  # sparse values may vary along either: along their own
        place = axes.index(axis)
        if _constant(codes, place):
            codes = codes.max(axis=place)
            axes = axes.replace(axis, "")
    values = np.array([*levels, None, None], object)[:-1]  # two None: never an array of vectors
    if axes:
        return axes, _shown(name, values[codes])
    return (counted, _shown(name, values[codes.reshape(1)])) if always and counted else None


def _constant(codes: npt.NDArray[np.int64], axis: int) -> bool:
    """Whether the frames along an axis have one value, as far as there are any."""
    lowest = np.where(codes == ABSENT, np.iinfo(np.int64).max, codes).min(axis=axis)
    highest = codes.max(axis=axis)
    return bool(((lowest == highest) | (highest == ABSENT)).all())


def _shown(name: str, values: Values) -> Values:
    """Only differences of times leave, for a date would identify; and of texts only known words."""
    row = BY_NAME.get(name)
    if row is not None and row.clock:
        times = in_order(values.reshape(-1).tolist())
        values = np.array([*times, None], object)[:-1].reshape(values.shape)  # None: never an array of numbers
        start = first_time(times)
        return _each(values, lambda time: round(time - start, 6))
    texts = shown_texts(value for value in values.reshape(-1).tolist() if isinstance(value, str))
    return _each(values, lambda value: texts.get(value, value))


def _each(values: Values, change: Callable[[Any], Any]) -> Values:
    changed = np.empty(values.size, object)
    changed[:] = [None if value is None else change(value) for value in values.flat]
    return changed.reshape(values.shape)


def _repeated(axes: str, values: Values, samples: int) -> Values:
    """Values of frames as those of their colours."""
    return np.repeat(values, samples, axis=axes.index("c")) if "c" in axes else values


def _coordinate(name: str, axes: str, values: Values) -> FrameCoordinate:
    return FrameCoordinate(axes, values.tolist(), BY_NAME[name].unit if name in BY_NAME else "")


def time_step(grid: Grid) -> tuple[float, str | None]:
    """(step along t, NGFF's unit): 1 without a unit where times are unknown or uneven."""
    if grid.kind == LIST:
        return 1.0, None
    counted = [name for dimension in grid.dimensions if dimension.axis == "t" for name in dimension.names]
    others = (name for name, row in BY_NAME.items() if row.axis == "t" and name != CONTENT_TIME)
    names = counted and dict.fromkeys([*counted, *others])
    units = {"ms": "millisecond", "s": "second"}
    by_position = bool(counted) and counted[0] == "temporal_position"  # which is a time, and not when it was
    for name in names:
        unit = units.get(BY_NAME[name].unit) if name in BY_NAME else None
        found = _reduced(grid, name)
        if unit is None or found is None or any(value is None for value in found[1].flat):
            continue
        if found[0] != "t" and not (found[0] == "tz" and (by_position or name == counted[0])):
            continue
        step = _even_step(found[1].astype(np.float64))
        if step is not None:
            return step, unit
        if name in counted:  # another clock may be even, and is not the one that t goes by
            return 1.0, None
    return 1.0, None


def _even_step(times: npt.NDArray[np.float64]) -> float | None:
    """The step of times that go forward evenly."""
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers that are no times
        steps = np.diff(times, axis=0)
        mean = float(steps.mean())
        even = 0 < mean < np.inf and bool((abs(steps - mean) <= _EVEN * mean).all())
    return float(f"{mean:.9g}") if even else None


def channel_labels(grid: Grid) -> list[str]:
    """What each index along c is, as ``echo_time 12.5 ms``; one empty label where there is no dimension."""
    names = [name for dimension in grid.dimensions if dimension.axis == "c" for name in dimension.names]
    names += [name for name, row in BY_NAME.items() if row.strong and name not in names and _along_c(grid, name)]
    told = [name for name in BY_NAME if name in names] or names
    words = Words(grid.frames)
    return [", ".join(_words(grid, index, told, words)) for index in range(grid.cells.shape[1])]


def _along_c(grid: Grid, name: str) -> bool:
    if grid.cells.shape[1] == 1:
        return False
    found = _reduced(grid, name)
    return found is not None and found[0] == "c"


def _words(grid: Grid, index: int, names: Sequence[str], words: Words) -> Iterator[str]:
    cells: Any = grid.cells[:, index]
    there = cells[cells != ABSENT]
    for name in names if there.size else ():
        if grid.frames[there[0]].values.get(name) is not None:
            yield words.of(there[0], name)
