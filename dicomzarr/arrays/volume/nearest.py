"""Voxels of one grid placed and looked up in another. Pure (no I/O)."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


_ON_GRID: Final = 0.05
"""Part of a voxel by which one may lie off a grid: headers round."""


def place_within(
    shape: tuple[int, ...], affine: npt.NDArray[np.float64], of: tuple[int, ...], onto: npt.NDArray[np.float64]
) -> tuple[int, ...] | None:
    """Where a volume begins in another one whose voxels are its own, as where empty slices were left out.

    Args:
        shape: (z, y, x) of the volume.
        affine: Its own: (column, row, slice, 1) to LPS.
        of: (z, y, x) of the other one.
        onto: Its affine.

    Returns:
        Slice, row and column; None where their voxels lie otherwise, or it reaches beyond the other one.
    """
    corners = np.array([(x, y, z, 1) for z, y, x in product(*({0, size - 1} for size in shape))])
    at = (np.linalg.solve(onto, affine @ corners.T) - corners.T)[:3]
    start = np.rint(at.mean(axis=1)).astype(int)
    ends = start + shape[::-1]
    if np.abs(at.T - start).max() > _ON_GRID or start.min() < 0 or (ends > of[::-1]).any():
        return None
    x, y, z = start.tolist()
    return z, y, x


def looked_up(
    source: npt.NDArray[Any], affine: npt.NDArray[np.float64], shape: tuple[int, ...], onto: npt.NDArray[np.float64]
) -> npt.NDArray[Any]:
    """The nearest voxel of a volume for each voxel of another grid; 0 beyond its edges.

    Args:
        source: The volume, (z, y, x).
        affine: Its own: (column, row, slice, 1) to LPS.
        shape: (z, y, x) of the other grid.
        onto: Its affine.

    Returns:
        An array of that shape and the type of ``source``.
    """
    found = np.zeros(shape, source.dtype)
    step = np.linalg.solve(affine, onto)  # from indices to indices, in the order x, y, z
    y, x = np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")
    in_plane = [row[0] * x + row[1] * y + row[3] for row in step[:3]]
    sizes = source.shape[::-1]
    for z in range(shape[0]):
        at = [np.floor(part + row[2] * z + 0.5).astype(np.int64) for part, row in zip(in_plane, step[:3], strict=True)]
        inside = np.logical_and.reduce([(each >= 0) & (each < size) for each, size in zip(at, sizes, strict=True)])
        found[z][inside] = source[at[2][inside], at[1][inside], at[0][inside]]
    return found
