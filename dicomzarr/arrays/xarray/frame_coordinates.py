"""What varies from frame to frame, as coordinates: echo times, b-values, directions, times."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.arrays.level import Level, MultiscaleImage
    from dicomzarr.plan.attributes import FrameCoordinate

_VECTOR: Final = 3
_VECTOR_AXES: Final = {"gradient_direction": "gradient_axis"}
"""The names of the axes of vectors."""
_TIMES: Final = {"ms": "millisecond", "s": "second"}
"""Units of axes, in the words of NGFF. xarray takes neither these nor the short ones for times that it must decode."""


def frame_coordinates(image: MultiscaleImage, level: Level) -> dict[str, xr.Variable]:
    """A coordinate for each attribute that varies, with its unit; those of the axes themselves are not here.

    Numbers are 64 bits of floating point, NaN where a frame has none. Vectors have an axis more: x, y and z of the
    patient, along ``gradient_axis`` for the direction of a diffusion gradient. ``absent`` is true of frames that are
    not there, where one is not. ``poses`` is the affine of each time, where times have poses of their own.
    """
    found: dict[str, xr.Variable] = {}
    for name, coordinate in image.plan.attributes.coordinates.items():
        if name in level.axes:
            continue
        values, unit = _values(coordinate), coordinate.unit
        dims = list(coordinate.axes)
        if values.ndim > len(dims):
            dims.append(_VECTOR_AXES.get(name, f"{name}_axis"))
            found[dims[-1]] = xr.Variable(dims[-1], list("xyz"))
        found[name] = _fitted(xr.Variable(dims, values, {"units": unit} if unit else {}), level)
    if image.plan.attributes.poses and "t" in level.axes:
        nowhere = np.full((4, 4), np.nan)
        poses = [nowhere if pose is None else pose for pose in image.plan.attributes.poses]
        found["poses"] = xr.Variable(("t", "pose_row", "pose_column"), np.array(poses, np.float64))
    absent = absent_frames(image, level)
    if absent is not None:
        found["absent"] = _fitted(xr.Variable(level.axes[:-2], absent[..., 0, 0]), level)
    return found


def absent_frames(image: MultiscaleImage, level: Level) -> npt.NDArray[np.bool_] | None:
    """Where a level has no frame: of its axes, but 1 along y and x; None where none is absent."""
    if not image.plan.attributes.absent:
        return None
    absent = np.zeros((*level.shape[:-2], 1, 1), np.bool_)
    for cell in image.plan.attributes.absent:
        firsts = [cell.get(name, 0) for name in level.axes[:-2]]  # a frame in colour has three places along c
        absent[tuple(slice(at, at + side) for at, side in zip(firsts, level.chunks, strict=False))] = True
    return absent


def _values(coordinate: FrameCoordinate) -> npt.NDArray[Any]:
    """The nested values as an array: texts, numbers, or vectors with an axis more."""
    flat, shape = coordinate.values, [len(coordinate.values)]
    for _ in coordinate.axes[1:]:
        shape.append(len(flat[0]))
        flat = list(chain.from_iterable(flat))
    if any(isinstance(value, str) for value in flat):
        return np.array(["" if value is None else str(value) for value in flat]).reshape(shape)
    if any(isinstance(value, tuple | list) for value in flat):
        nothing = (np.nan,) * _VECTOR
        return np.array([nothing if value is None else value for value in flat], np.float64).reshape(*shape, _VECTOR)
    return np.array([np.nan if value is None else value for value in flat], np.float64).reshape(shape)


def _fitted(variable: xr.Variable, level: Level) -> xr.Variable:
    """Along the axes that the level has: where there is but one value an axis is left out, colours share theirs."""
    sizes = dict(zip(level.axes, level.shape, strict=True))
    variable = variable.isel({str(name): 0 for name, size in variable.sizes.items() if size == 1})
    for axis, name in enumerate(variable.dims):
        size = sizes.get(str(name), variable.shape[axis])
        if size != variable.shape[axis]:
            values = np.repeat(variable.to_numpy(), size // variable.shape[axis], axis)
            variable = xr.Variable(variable.dims, values, variable.attrs)
    return variable


def counted_times(image: MultiscaleImage) -> tuple[npt.NDArray[np.float64], str] | None:
    """(values, unit) of the t axis: the first attribute that counts it, where this is a time for each index."""
    known = image.plan.attributes.coordinates
    counting = next((coordinate for coordinate in known.values() if "t" in coordinate.axes), None)
    if counting is None or counting.axes != "t" or counting.unit not in _TIMES:
        return None
    values = _values(counting)
    return None if np.isnan(values).any() else (values, _TIMES[counting.unit])
