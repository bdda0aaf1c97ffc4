"""Where the voxels of a grid lie in a patient, and which voxel lies at a place there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeGuard

import numpy as np
import xarray as xr
from xarray.indexes import CoordinateTransform

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]
    Voxels = npt.NDArray[np.intp] | Numbers

NAMES: Final = ("lps_x", "lps_y", "lps_z")
"""Millimetres to the left, to the back and to the head (PS3.3 section C.7.6.2.1.1)."""


class PatientTransform(CoordinateTransform):
    """From places in an array to LPS millimetres, and back.

    Args:
        voxels: Of each axis of the array, which voxels it holds; of uneven slices, how many millimetres from the first.
        origin: (3,): where voxel 0, 0, 0 lies.
        steps: (3, axes): from one voxel to the next along each axis, or for a millimetre.
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

    def ordered(self, names: Sequence[Any]) -> PatientTransform:
        """The transform with its axes in this order."""
        order = [self.dims.index(name) for name in names]
        voxels = {self.dims[axis]: self._held[axis] for axis in order}
        return self._renamed(PatientTransform(voxels, self.origin, self.steps[:, order]))

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
    kept = str(indexer.dims[0]) if isinstance(indexer, xr.Variable | xr.DataArray) else name
    return kept, places if places.size else places.astype(np.intp)


def _nearest(held: Voxels, voxels: Numbers) -> Voxels:
    """Where the voxels that are nearest stand; -1 beyond half a step from the outermost."""
    if not held.size:
        return np.full(voxels.shape, -1)
    ascending, first = np.unique(held, return_index=True)
    middles = (ascending[1:] + ascending[:-1]) / 2
    gaps = np.diff(ascending) if len(ascending) > 1 else np.ones(1)
    inside = (voxels >= ascending[0] - gaps[0] / 2) & (voxels <= ascending[-1] + gaps[-1] / 2)
    return np.where(inside, first[np.searchsorted(middles, voxels)], -1)
