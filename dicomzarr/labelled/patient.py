"""Places of oblique voxels in the patient: three coordinates over all axes of space, computed where asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self, TypeGuard

import numpy as np
import xarray as xr
from xarray.indexes import CoordinateTransform, CoordinateTransformIndex, PandasIndex

from dicomzarr.multiscale.placing import MILLIMETER, aligned_axes, patient_affine

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import numpy.typing as npt

    from dicomzarr.arrays import Image, Level

    Numbers = npt.NDArray[np.float64]
    Voxels = npt.NDArray[np.intp]

NAMES: Final = ("lps_x", "lps_y", "lps_z")
"""Millimetres to the left, to the back and to the head (PS3.3 section C.7.6.2.1.1)."""

_ATTRIBUTES: Final = {"units": MILLIMETER}


def oblique_coordinates(image: Image, level: Level) -> xr.Coordinates | None:
    """``lps_x``, ``lps_y`` and ``lps_z`` over z, y and x; None where z, y and x say it all, or nothing is known."""
    affine = patient_affine(image.plan)
    if affine is None or aligned_axes(affine) is not None:
        return None
    voxels = {
        axis.name: np.arange(size)
        for axis, size in zip(image.axes, level.shape, strict=True)
        if axis.unit and axis.type == "space"
    }
    matrix = np.array(affine)[:3]
    steps = matrix[:, ["xyz".index(name) for name in voxels]]
    return xr.Coordinates.from_xindex(PatientIndex(PatientTransform(voxels, matrix[:, 3], steps)))


class PatientTransform(CoordinateTransform):
    """From places in an array to LPS millimetres, and back.

    Args:
        voxels: Of each axis of the array, which voxels it holds.
        origin: (3,): where voxel 0, 0, 0 lies.
        steps: (3, axes): from one voxel to the next along each axis.
    """

    def __init__(self, voxels: Mapping[str, Voxels], origin: Numbers, steps: Numbers) -> None:
        super().__init__(NAMES, {name: len(held) for name, held in voxels.items()})
        self._held, self.origin, self.steps = tuple(voxels.values()), origin, steps

    @property
    def voxels(self) -> dict[str, Voxels]:
        """Of each axis, which voxels it holds; xarray changes the names."""
        return dict(zip(self.dims, self._held, strict=True))

    def forward(self, dim_positions: dict[str, Any]) -> dict[Hashable, Any]:
        """Places to millimetres; arrays of one shape, by name."""
        voxels = [held[dim_positions[name]] for name, held in self.voxels.items()]
        return {
            name: start + sum(step * voxel for step, voxel in zip(steps, voxels, strict=True))
            for name, start, steps in zip(self.coord_names, self.origin, self.steps, strict=True)
        }

    def reverse(self, coord_labels: dict[Hashable, Any]) -> dict[str, Any]:
        """Millimetres to the nearest places; -1 outside. Of a single slice, the distance from it does not count."""
        points = np.stack([np.asarray(coord_labels[name], np.float64) for name in self.coord_names], axis=-1)
        voxels = (points - self.origin) @ np.linalg.pinv(self.steps).T
        return {name: _nearest(held, voxels[..., axis]) for axis, (name, held) in enumerate(self.voxels.items())}

    def equals(self, other: CoordinateTransform, *, exclude: frozenset[Hashable] | None = None) -> bool:
        """Whether both give the same places; what axes in ``exclude`` hold does not count."""
        return self.same_grid(other) and all(
            np.array_equal(held, other.voxels[name]) or name in (exclude or ()) for name, held in self.voxels.items()
        )

    def same_grid(self, other: CoordinateTransform) -> TypeGuard[PatientTransform]:
        """Whether both hold voxels of one grid."""
        return (
            isinstance(other, PatientTransform)
            and self.dims == other.dims
            and np.array_equal(self.origin, other.origin)
            and np.array_equal(self.steps, other.steps)
        )

    def holding(self, voxels: Mapping[str, Voxels]) -> PatientTransform:
        """The transform of other voxels of this grid."""
        return self._renamed(PatientTransform(voxels, self.origin, self.steps))

    def cut(self, indexers: Mapping[Any, Any]) -> PatientTransform | None:
        """The transform of what is left of an array; None of points in several axes."""
        origin, voxels, steps = self.origin, {}, []
        for axis, (name, held) in enumerate(self.voxels.items()):
            cut = _cut(name, indexers.get(name, slice(None)))
            if cut is None or (not isinstance(cut, int) and cut[0] in voxels):
                return None
            if isinstance(cut, int):
                origin = origin + held[cut] * self.steps[:, axis]
                continue
            voxels[cut[0]] = held[cut[1]]
            steps.append(self.steps[:, axis])
        return self._renamed(PatientTransform(voxels, origin, np.array(steps).reshape(-1, 3).T))

    def _renamed(self, other: PatientTransform) -> PatientTransform:
        other.coord_names = self.coord_names
        return other


def _cut(name: str, indexer: Any) -> int | tuple[str, Any] | None:
    """What an index of one axis leaves: a place, or (name, places) of an axis; None of points in several axes."""
    if isinstance(indexer, slice):
        return name, indexer
    places = np.asarray(indexer)
    if places.ndim > 1:
        return None
    if places.ndim == 0:
        return int(places)
    return (str(indexer.dims[0]) if isinstance(indexer, xr.Variable | xr.DataArray) else name), places


def _nearest(held: Voxels, voxels: Numbers) -> Voxels:
    """Where the voxels that are nearest stand; -1 beyond half a step from the outermost."""
    if not held.size:
        return np.full(voxels.shape, -1)
    ascending, first = np.unique(held, return_index=True)
    middles = (ascending[1:] + ascending[:-1]) / 2
    gaps = np.diff(ascending) if len(ascending) > 1 else np.ones(1)
    inside = (voxels >= ascending[0] - gaps[0] / 2) & (voxels <= ascending[-1] + gaps[-1] / 2)
    return np.where(inside, first[np.searchsorted(middles, voxels)], -1)


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
        """The index of what is cut out; None where an axis goes, as of a single slice."""
        cut = self.transform.cut(indexers)
        return None if cut is None or len(cut.dims) < len(self.transform.dims) else type(self)(cut)

    def sel(self, labels: dict[Any, Any], method: Any = None, tolerance: Any = None) -> Any:
        """The voxels nearest to points, given as numbers or as `xarray.DataArray` of one shape, by coordinate.

        Raises:
            KeyError: A point lies outside of the image.
        """
        points = {name: label if np.ndim(label) else xr.Variable((), label) for name, label in labels.items()}
        found = super().sel(points, method, tolerance)
        for name, places in found.dim_indexers.items():
            outside = places < 0
            if outside.any():
                raise KeyError(f"{int(outside.sum())} of {outside.size} points lie outside of the image along {name}.")
        return found

    def join(self, other: Self, how: Any = "inner") -> Self:
        """The index of the voxels of both, or of either, which are of one grid."""
        if not self.transform.same_grid(other.transform):
            return super().join(other, how)
        pairs = zip(_by_axis(self.transform), _by_axis(other.transform), strict=True)
        joined = {str(own.dim): own.join(others, how).index.to_numpy() for own, others in pairs}
        return type(self)(self.transform.holding(joined))

    def reindex_like(self, other: Self, method: Any = None, tolerance: Any = None) -> dict[Hashable, Any]:
        """Where the voxels of another index stand in this; -1 where they do not."""
        pairs = zip(_by_axis(self.transform), _by_axis(other.transform), strict=True)
        return {name: places for own, others in pairs for name, places in own.reindex_like(others).items()}

    @classmethod
    def concat(cls, indexes: Sequence[Self], dim: Hashable, positions: Any = None) -> Self:
        """One index of voxels of one grid, one after another along an axis."""
        first, *others = (index.transform for index in indexes)
        if positions is not None or not all(first.equals(other, exclude=frozenset({dim})) for other in others):
            return super().concat(indexes, dim, positions)
        held = np.concatenate([index.transform.voxels[str(dim)] for index in indexes])
        return cls(first.holding({**first.voxels, str(dim): held}))


def _by_axis(transform: PatientTransform) -> list[PandasIndex]:
    """An index of the voxels of each axis."""
    return [PandasIndex(held, name) for name, held in transform.voxels.items()]


class _Computed(xr.Variable):
    """Values that are computed where they are asked for, and not kept, by dask neither."""

    __slots__ = ()

    def isel(self, indexers: Mapping[Any, Any] | None = None, missing_dims: Any = "raise", **more: Any) -> Self:
        given, data = {**(indexers or {}), **more}, self._data
        transform = getattr(data, "_transform", None)
        known = isinstance(transform, PatientTransform) and transform.dims == self.dims
        cut = transform.cut(given) if known and set(given) <= set(self.dims) else None
        if cut is None:
            return super().isel(given, missing_dims)
        return self._replace(dims=cut.dims, data=type(data)(cut, data._coord_name))  # noqa: SLF001

    def chunk(self, *_: Any, **__: Any) -> Self:
        return self.copy(deep=False)

    def load(self, **_: Any) -> Self:
        return self

    async def load_async(self, **_: Any) -> Self:
        return self
