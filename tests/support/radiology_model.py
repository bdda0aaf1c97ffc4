"""What a synthetic radiology series is: datasets, and the grid that its slices lie on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydicom.valuerep import format_number_as_ds

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pydicom import Dataset

Pixels = NDArray[Any]
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class RadiologySeries:
    """A series as DICOM datasets."""

    datasets: tuple[Dataset, ...]
    """With ``file_meta``; in an order that means nothing."""
    study_uid: str
    series_uid: str

    def write(self, folder: Path) -> list[Path]:
        """Write each instance as a Part-10 file; gives the paths in the order of the datasets."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{number:03}.dcm" for number in range(len(self.datasets))]
        for path, dataset in zip(paths, self.datasets, strict=True):
            dataset.save_as(path, enforce_file_format=True)
        return paths


def series_of(datasets: Iterable[Dataset], *, shuffled: bool = True) -> RadiologySeries:
    """The series that these instances are; shuffled, their order means nothing."""
    listed = list(datasets)
    if shuffled:
        listed = [listed[number] for number in np.random.default_rng(len(listed)).permutation(len(listed))]
    return RadiologySeries(tuple(listed), str(listed[0].StudyInstanceUID), str(listed[0].SeriesInstanceUID))


def distinct(shape: tuple[int, ...], bits: int = 12, *, signed: bool = False) -> Pixels:
    """Pixels of which each has a value of its own, as far as the bits reach; neighbours are far apart.

    Args:
        shape: Of the array.
        bits: BitsStored.
        signed: Half of the values are negative.
    """
    # An odd factor makes this a permutation of all values of that many bits.
    values = (np.arange(math.prod(shape), dtype=np.int64) * (2 ** (bits - 1) // 3 * 2 + 1) + 5) % 2**bits
    if signed:
        values -= 2 ** (bits - 1)
    kind = "i" if signed else "u"
    cell = next(size for size in (1, 2, 4) if bits <= 8 * size)
    return values.reshape(shape).astype(f"{kind}{cell}")


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a volume lie, in LPS millimetres (PS3.3 section C.7.6.2.1.1)."""

    row: Vector = (1.0, 0.0, 0.0)
    """Unit vector along a row: where the next column lies."""
    column: Vector = (0.0, 1.0, 0.0)
    """Unit vector down a column: where the next row lies."""
    step: Vector = (0.0, 0.0, 2.5)
    """From a slice to the next: for each grid here, along the normal, or at an acute angle with it."""
    spacing: tuple[float, float] = (0.8, 0.6)
    """Millimetres from row to row, and from column to column: the order of PixelSpacing."""
    origin: Vector = (-100.5, -120.25, 40.75)
    """Centre of the first voxel of slice 0."""

    @property
    def cosines(self) -> tuple[float, ...]:
        """ImageOrientationPatient."""
        return (*self.row, *self.column)

    @cached_property
    def normal(self) -> NDArray[np.float64]:
        """Perpendicular to the slices: row cosines x column cosines."""
        return np.array(np.cross(self.row, self.column), float)

    @cached_property
    def z_spacing(self) -> float:
        """Millimetres from slice to slice, along the normal."""
        return float(np.dot(self.step, self.normal))

    def position(self, slices: float) -> Vector:
        """ImagePositionPatient so many slices from the first."""
        x, y, z = (start + slices * step for start, step in zip(self.origin, self.step, strict=True))
        return (x, y, z)

    @property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4): (column, row, slice, 1) to LPS millimetres."""
        down, across = self.spacing
        affine = np.eye(4)
        affine[:3, 0] = np.multiply(self.row, across)
        affine[:3, 1] = np.multiply(self.column, down)
        affine[:3, 2] = self.step
        affine[:3, 3] = self.origin
        return affine

    def starting_at(self, slices: float) -> Grid:
        """The same grid, from another slice on."""
        return replace(self, origin=self.position(slices))

    def along_normal(self, step: float) -> Grid:
        """The same slices, stacked along the normal at this distance."""
        x, y, z = self.normal * step
        return replace(self, step=(float(x), float(y), float(z)))


def _oblique() -> Grid:
    """Slices turned about two axes, as for a heart."""
    about_z, about_x = math.radians(25), math.radians(-35)
    turn_z = [[math.cos(about_z), -math.sin(about_z), 0], [math.sin(about_z), math.cos(about_z), 0], [0, 0, 1]]
    turn_x = [[1, 0, 0], [0, math.cos(about_x), -math.sin(about_x)], [0, math.sin(about_x), math.cos(about_x)]]
    row, column, normal = (np.array(turn_x) @ np.array(turn_z)).T
    return Grid(row=tuple(row), column=tuple(column), step=tuple(normal * 3.3))


AXIAL = Grid()
SAGITTAL = Grid(row=(0, 1, 0), column=(0, 0, -1), step=(-3.0, 0, 0))
CORONAL = Grid(row=(1, 0, 0), column=(0, 0, -1), step=(0, 1.75, 0))
PRONE = Grid(row=(-1, 0, 0), column=(0, -1, 0), step=(0, 0, 2.5))
FLIPPED = Grid(row=(-1, 0, 0), column=(0, 1, 0), step=(0, 0, -2.5))
"""Slices whose normal points to the feet."""
OBLIQUE = _oblique()
TILTED = Grid(step=(0.0, 5.0 * math.sin(math.radians(14.03)), 5.0 * math.cos(math.radians(14.03))))
"""A gantry tilted by 14 degrees: the table moves 5 mm, the slices are 4.851 mm apart."""

GRIDS = {
    "axial": AXIAL,
    "sagittal": SAGITTAL,
    "coronal": CORONAL,
    "prone": PRONE,
    "flipped": FLIPPED,
    "oblique": OBLIQUE,
}


def decimal(number: float) -> str:
    """A number as DICOM's decimal string (DS), at most 16 characters."""
    return format_number_as_ds(float(number))


def decimals(numbers: Iterable[float]) -> list[str]:
    """Numbers as decimal strings."""
    return [decimal(number) for number in numbers]
