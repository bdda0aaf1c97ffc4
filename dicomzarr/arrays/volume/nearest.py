"""Voxels of one grid placed and looked up in another. Pure (no I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

_ON_GRID: Final = 0.05
"""Part of a voxel by which one may lie off a grid: headers round."""


class Within(NamedTuple):
    """Where a volume lies in another one whose voxels are its own."""

    slices: tuple[int, ...]
    """Of the other one, for each of its own."""
    row: int
    column: int


def place_within(  # noqa: PLR0913  # two grids
    shape: tuple[int, ...],
    affine: npt.NDArray[np.float64],
    of: tuple[int, ...],
    onto: npt.NDArray[np.float64],
    *,
    planes: Sequence[float] | None = None,
    apart: bool = False,
) -> Within | None:
    """Find a volume in another one, as where empty slices were left out.

    Args:
        shape: (z, y, x) of the volume.
        affine: Its own: (column, row, slice, 1) to LPS.
        of: (z, y, x) of the other one.
        onto: Its affine.
        planes: Where each of its own slices is along the third axis of its affine; they are counted by default.
        apart: Its slices may lie several of the other's apart.

    Returns:
        None where their voxels lie otherwise, or it reaches beyond the other one.
    """
    ends = [range(shape[0]), *(sorted({0, size - 1}) for size in shape[1:])]
    z, y, x = (each.ravel() for each in np.meshgrid(*ends, indexing="ij"))
    along = z if planes is None else np.asarray(planes)[z]
    at = np.linalg.solve(onto, affine @ np.stack([x, y, along, np.ones_like(x)]))
    column, row = (round(float((found - own).mean())) for found, own in zip(at, (x, y), strict=False))
    slices = np.rint(at[2].reshape(shape[0], -1)[:, 0]).astype(int)
    off = np.abs([at[0] - x - column, at[1] - y - row, at[2] - slices[z]]).max()
    steps = np.diff(slices)
    even = (steps > 0).all() if apart else (steps == 1).all()
    first = (int(slices[0]), row, column)
    last = (int(slices[-1]) + 1, row + shape[1], column + shape[2])
    inside = min(first) >= 0 and all(end <= size for end, size in zip(last, of, strict=True))
    return Within(tuple(slices.tolist()), row, column) if off <= _ON_GRID and even and inside else None


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
