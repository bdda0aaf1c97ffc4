"""Places of oblique voxels in the patient: three coordinates over all axes of space, computed where asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import xarray as xr
from xarray.core.indexing import CoordinateTransformIndexingAdapter
from xarray.indexes import CoordinateTransformIndex, PandasIndex

from dicomzarr.arrays.xarray.grid import PatientTransform
from dicomzarr.arrays.xarray.places import places_of
from dicomzarr.errors import UsageError
from dicomzarr.plan.placing import MILLIMETER, aligned_axes

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from dicomzarr.arrays.level import Level, MultiscaleImage
    from dicomzarr.arrays.xarray.grid import Voxels

_ATTRIBUTES: Final = {"units": MILLIMETER}


def oblique_coordinates(image: MultiscaleImage, level: Level) -> xr.Coordinates | None:
    """``lps_x``, ``lps_y`` and ``lps_z`` over z, y and x; None where z, y and x say it all, or nothing is known."""
    places = places_of(image)
    if places is None or aligned_axes(places.affine) is not None:
        return None
    voxels: dict[str, Voxels] = {
        axis.name: np.arange(size)
        for axis, size in zip(image.axes, level.shape, strict=True)
        if axis.unit and axis.type == "space"
    }
    if places.slices is not None:
        voxels = {"z": places.slices, **voxels}
    matrix = np.array(places.affine)[:3]
    steps = matrix[:, ["xyz".index(name) for name in voxels]]
    return xr.Coordinates.from_xindex(PatientIndex(PatientTransform(voxels, matrix[:, 3], steps)))


class PatientIndex(CoordinateTransformIndex):
    """Finds the voxels that are nearest to points of the patient, and stays when axes are cut."""

    transform: PatientTransform

    def create_variables(self, variables: Mapping[Any, xr.Variable] | None = None) -> dict[Any, xr.Variable]:
        """The coordinates, of which nothing is in memory; with the order of axes and the attributes of those given."""
        made: dict[Any, xr.Variable] = {}
        for name in self.transform.coord_names:
            known = (variables or {}).get(name)
            same = known is not None and {*known.dims} == {*self.transform.dims}
            transform = self.transform.ordered(known.dims) if known is not None and same else self.transform
            made[name] = _computed(transform, name, _ATTRIBUTES if known is None else known.attrs)
        return made

    def isel(self, indexers: Mapping[Any, Any]) -> Self | None:
        """The index of what is cut out; None where an axis goes, as of a single slice."""
        cut = self.transform.cut(indexers)
        return None if cut is None or len(cut.dims) < len(self.transform.dims) else type(self)(cut)

    def sel(self, labels: dict[Any, Any], method: Any = None, tolerance: Any = None) -> Any:
        """The voxels nearest to points, given as numbers or as `xarray.DataArray` of one shape, by coordinate.

        Raises:
            KeyError: A point lies outside of the image.
            UsageError: They are said otherwise, as by a slice.
        """
        for name, label in labels.items():
            _check_places(name, label)
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

    def reindex_like(self, other: Self, method: Any = None, tolerance: Any = None) -> dict[Hashable, Any]:  # noqa: ARG002  # xarray's
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


def _check_places(name: Hashable, label: Any) -> None:
    try:
        np.asarray(label, np.float64)
    except (TypeError, ValueError):
        raise UsageError(
            f"{name}={label!r:.60} was given for places in the patient.",
            remedy="Give millimetres: numbers, or arrays of one shape. Slices go with z, y and x.",
        ) from None


def _by_axis(transform: PatientTransform) -> list[PandasIndex]:
    """An index of the voxels of each axis."""
    return [PandasIndex(held, name) for name, held in transform.voxels.items()]


def _computed(transform: PatientTransform, name: Hashable, attributes: Mapping[Any, Any]) -> _Computed:
    return _Computed(transform.dims, CoordinateTransformIndexingAdapter(transform, name), attributes)


class _Computed(xr.Variable):
    """Values that are computed where they are asked for, and not kept, by dask neither."""

    __slots__ = ()

    def isel(self, indexers: Mapping[Any, Any] | None = None, missing_dims: Any = "raise", **more: Any) -> Self:
        given = {**(indexers or {}), **more}
        transform = self._transform if {*given} <= {*self.dims} else None
        cut = None if transform is None else transform.cut(given)
        return super().isel(given, missing_dims) if cut is None else self._with(cut)

    def transpose(self, *dim: Any, missing_dims: Any = "raise") -> Self:
        # xarray's own has no right shape before 2026.
        if self._transform is None:
            return super().transpose(*dim, missing_dims=missing_dims)
        turned = xr.Variable(self.dims, np.empty([0] * self.ndim)).transpose(*dim, missing_dims=missing_dims)
        return self._with(self._transform.ordered(turned.dims))

    def chunk(self, *_: Any, **__: Any) -> Self:
        return self.copy(deep=False)

    def load(self, **_: Any) -> Self:
        return self

    async def load_async(self, **_: Any) -> Self:
        return self

    @property
    def _transform(self) -> PatientTransform | None:
        """None of parts whose values are in memory."""
        return getattr(self._data, "_transform", None)

    def _with(self, transform: PatientTransform) -> Self:
        data: Any = self._data
        adapter = CoordinateTransformIndexingAdapter(transform, data._coord_name)  # noqa: SLF001  # it has no other
        return type(self)(transform.dims, adapter, self.attrs)
