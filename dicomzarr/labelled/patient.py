"""Places of oblique voxels in the patient: three coordinates over all axes of space, computed where asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import xarray as xr
from xarray.indexes import CoordinateTransform, CoordinateTransformIndex

from dicomzarr.multiscale.placing import MILLIMETER, aligned_axes, patient_affine

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    import numpy.typing as npt

    from dicomzarr.arrays import Image, Level

    Numbers = npt.NDArray[np.float64]

NAMES: Final = ("lps_x", "lps_y", "lps_z")
"""Millimetres to the left, to the back and to the head (PS3.3 section C.7.6.2.1.1)."""

_ATTRIBUTES: Final = {"units": MILLIMETER}


def oblique_coordinates(image: Image, level: Level) -> xr.Coordinates | None:
    """``lps_x``, ``lps_y`` and ``lps_z`` over z, y and x; None where z, y and x say it all, or nothing is known."""
    affine = patient_affine(image.plan)
    if affine is None or aligned_axes(affine) is not None:
        return None
    sizes = {
        axis.name: size
        for axis, size in zip(image.axes, level.shape, strict=True)
        if axis.unit and axis.type == "space"
    }
    matrix = np.array(affine)[:3]
    steps = matrix[:, ["xyz".index(name) for name in sizes]]
    return xr.Coordinates.from_xindex(PatientIndex(PatientTransform(sizes, matrix[:, 3], steps)))


class PatientTransform(CoordinateTransform):
    """From places in an array to LPS millimetres, and back.

    Args:
        sizes: Of the array, by axis.
        origin: (3,): where place 0, 0, 0 lies.
        steps: (3, axes): from one place to the next along each axis.
    """

    def __init__(self, sizes: Mapping[str, int], origin: Numbers, steps: Numbers) -> None:
        super().__init__(NAMES, sizes)
        self.origin, self.steps = origin, steps

    def forward(self, dim_positions: dict[str, Any]) -> dict[Hashable, Any]:
        """Places to millimetres; arrays of one shape, by name."""
        places = [dim_positions[name] for name in self.dims]
        return {
            name: start + sum(step * place for step, place in zip(steps, places, strict=True))
            for name, start, steps in zip(self.coord_names, self.origin, self.steps, strict=True)
        }

    def reverse(self, coord_labels: dict[Hashable, Any]) -> dict[str, Any]:
        """Millimetres to places with fractions, on the slice that is nearest where there is one only."""
        points = np.stack([np.asarray(coord_labels[name], np.float64) for name in self.coord_names], axis=-1)
        places = (points - self.origin) @ np.linalg.pinv(self.steps).T
        return {name: places[..., axis] for axis, name in enumerate(self.dims)}

    def equals(self, other: CoordinateTransform, *, exclude: frozenset[Hashable] | None = None) -> bool:
        """Whether both give the same places; lengths of the axes in ``exclude`` do not count."""
        return (
            isinstance(other, PatientTransform)
            and self.dims == other.dims
            and all(self.dim_size[name] == other.dim_size[name] for name in self.dims if name not in (exclude or ()))
            and np.array_equal(self.origin, other.origin)
            and np.array_equal(self.steps, other.steps)
        )

    def taken(self, ranges: Mapping[str, range | int]) -> PatientTransform:
        """The transform of what is left when axes are cut to these places, or to one place."""
        origin, sizes, steps = self.origin, {}, []
        for axis, name in enumerate(self.dims):
            step, kept = self.steps[:, axis], ranges.get(name, range(self.dim_size[name]))
            if isinstance(kept, int):
                origin = origin + kept * step
                continue
            origin = origin + kept.start * step
            sizes[name] = len(kept)
            steps.append(kept.step * step)
        renamed = PatientTransform(sizes, origin, np.stack(steps, axis=1) if steps else np.empty((3, 0)))
        renamed.coord_names = self.coord_names
        return renamed


class PatientIndex(CoordinateTransformIndex):
    """Finds the voxels that are nearest to points of the patient, and stays when axes are cut."""

    transform: PatientTransform

    def create_variables(self, variables: Mapping[Any, xr.Variable] | None = None) -> dict[Any, xr.Variable]:
        """The coordinates, of which nothing is in memory."""
        made = super().create_variables(variables)
        return {
            name: _Computed(variable.dims, variable._data, variable.attrs if variables else _ATTRIBUTES)  # noqa: SLF001
            for name, variable in made.items()
        }

    def isel(self, indexers: Mapping[Any, Any]) -> Self | None:
        """The index of what is cut out evenly; None of anything else, whose coordinates are computed."""
        ranges: dict[str, range | int] = {}
        for name, indexer in indexers.items():
            kept = _even(indexer, self.transform.dim_size[name])
            if kept is None:
                return None
            ranges[name] = kept
        taken = self.transform.taken(ranges)
        return type(self)(taken) if taken.dims else None

    def sel(self, labels: dict[Any, Any], method: Any = None, tolerance: Any = None) -> Any:
        """The voxels nearest to points, given as numbers or as `xarray.DataArray` of one shape, by coordinate.

        Raises:
            KeyError: A point lies outside of the image.
        """
        points = {name: label if np.ndim(label) else xr.Variable((), label) for name, label in labels.items()}
        found = super().sel(points, method, tolerance)
        for name, places in found.dim_indexers.items():
            outside = (places < 0) | (places >= self.transform.dim_size[name])
            if outside.any():
                raise KeyError(f"{int(outside.sum())} of {outside.size} points lie outside of the image along {name}.")
        return found


def _even(indexer: Any, size: int) -> range | int | None:
    """The places that an index of one axis takes; None where they are not evenly spaced, or stand for points."""
    if isinstance(indexer, slice):
        return range(size)[indexer]
    if isinstance(indexer, xr.Variable | xr.DataArray):
        return None
    places = np.arange(size)[np.asarray(indexer)]
    if places.ndim != 1:
        return None if places.ndim else int(places)
    steps = set(np.diff(places).tolist()) or {1}
    if len(steps) > 1 or 0 in steps:
        return None
    first, step = int(places[0]) if places.size else 0, steps.pop()
    return range(first, first + step * len(places), step)


class _Computed(xr.Variable):
    """Values that are computed where they are asked for, and not kept, by dask neither."""

    __slots__ = ()

    def chunk(self, *_: Any, **__: Any) -> Self:
        return self.copy(deep=False)

    def load(self, **_: Any) -> Self:
        return self

    async def load_async(self, **_: Any) -> Self:
        return self
