"""Coordinates of the axes of a level: channel names, times, and centres of pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr
from xarray.indexes import RangeIndex

from dicomzarr.arrays.xarray.frame_coordinates import counted_times
from dicomzarr.arrays.xarray.places import places_of
from dicomzarr.plan.placing import MILLIMETER, aligned_axes

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from dicomzarr.arrays.level import Level, MultiscaleImage
    from dicomzarr.plan import Axis

MOST_CENTRES: Final = 2**24
"""Longer axes have coordinates that are computed where they are asked for: metadata can claim any length."""

_PER_MILLIMETRE: Final = {"millimeter": 1.0, "micrometer": 1000.0}


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Values along an axis: listed, or evenly spaced."""

    start: float
    step: float
    unit: str | None
    name: str = ""
    """Of what is measured, where the axis does not say it."""
    listed: npt.NDArray[np.float64] | None = None

    @property
    def attributes(self) -> dict[str, str]:
        told = {"units": self.unit, "long_name": self.name}
        return {key: text for key, text in told.items() if text}

    def coordinate(self, axis: str, size: int, most: int) -> Any:
        """What `xarray.Dataset.assign_coords` takes."""
        if self.listed is not None:
            return {axis: self.listed}
        if size > most:
            index = RangeIndex.linspace(self.start, self.start + self.step * size, size, endpoint=False, dim=axis)
            return xr.Coordinates.from_xindex(index)
        return {axis: self.start + self.step * np.arange(size, dtype=np.float64)}


def with_axes(
    dataset: xr.Dataset, image: MultiscaleImage, level: Level, *, most_centres: int = MOST_CENTRES
) -> xr.Dataset:
    """A level's dataset with the coordinates of its axes.

    Those of space are centres of pixels in the axis' unit: in LPS where the axes are those of a patient, else from
    the centre of the first pixel of level 0.

    Args:
        dataset: The level, without coordinates.
        image: Whose level it is.
        level: The level.
        most_centres: Pixels of the longest axis whose coordinates are held in memory.
    """
    aligned = _aligned(image)
    for place, (axis, size) in enumerate(zip(image.axes, level.shape, strict=True)):
        if axis.name == "c":
            dataset = dataset.assign_coords({"c": [channel.label for channel in image.channels]})
            continue
        even = _Places(level.translation[place], level.scale[place], axis.unit)
        own = aligned.get(axis.name)
        listed = own if own is not None and own.listed is not None else _listed(image, axis, size)
        places = listed or (own if axis.unit else None) or even
        dataset = dataset.assign_coords(places.coordinate(axis.name, size, most_centres))
        dataset[axis.name].attrs.update(places.attributes)
    if "z" in aligned and "z" not in level.axes:
        dataset = dataset.assign_coords({"z": ((), aligned["z"].start, aligned["z"].attributes)})
    return dataset


def _aligned(image: MultiscaleImage) -> dict[str, _Places]:
    """z, y and x where each runs along an axis of the patient."""
    places = places_of(image)
    axes = None if places is None else aligned_axes(places.affine)
    if places is None or axes is None:
        return {}
    found = {
        name: _Places(places.affine[axis][3], places.affine[axis][column], MILLIMETER, f"LPS {'xyz'[axis]}")
        for column, (name, (axis, _)) in enumerate(zip("xyz", axes, strict=True))
    }
    if places.slices is not None:
        even = found["z"]
        found["z"] = replace(even, listed=np.round(even.start + even.step * places.slices, 9))
    return found


def _listed(image: MultiscaleImage, axis: Axis, size: int) -> _Places | None:
    """Times that count t, places of planes and of slices that no step describes."""
    if axis.name == "t" and (times := counted_times(image)) is not None:
        return _Places(0.0, 1.0, times[1], listed=times[0])
    if axis.name != "z":
        return None
    return next((each for each in _planes(image, axis) if each.listed is not None and len(each.listed) == size), None)


def _planes(image: MultiscaleImage, axis: Axis) -> Iterator[_Places]:
    planes = image.plan.attributes.z_offsets
    if axis.unit in _PER_MILLIMETRE and planes:
        offsets = np.asarray(planes, np.float64)
        relative = np.round((offsets - offsets[0]) * _PER_MILLIMETRE[axis.unit], 9)  # without noise
        yield _Places(0.0, 1.0, axis.unit, listed=relative)
    slices = image.plan.attributes.coordinates.get("z")
    if image.affine is None and slices is not None:
        yield _Places(0.0, 1.0, MILLIMETER, "along the normal of the slices", np.asarray(slices.values, np.float64))
