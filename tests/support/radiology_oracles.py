"""Other packages' view of a volume: its values, and where they lie.

Nothing here knows how the synthetic series are made, nor imports dicomzarr.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
from waiting import SECONDS

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # SWIG's types, on Python 3.12 and later
    import SimpleITK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom import Dataset

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Placed:
    """Values and where they lie."""

    values: NDArray[Any]
    """(z, y, x), or one axis more before these."""
    affine: NDArray[np.float64]
    """(4, 4): (x, y, z, 1) to LPS millimetres."""


def required(command: str) -> str:
    """The path of a command: where it is missing, skip; in CI, fail."""
    path = shutil.which(command)
    if path is None:
        reason = f"{command}: not found. On Debian: apt-get install {command}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def differences(ours: Placed, theirs: Placed, relative: float = 0.0) -> tuple[float, int]:
    """How two volumes differ: (millimetres between voxels that should coincide, number of unequal values).

    Axes may run the other way, or be others; values may differ by this part of their size.
    """
    assert sorted(ours.values.shape) == sorted(theirs.values.shape)
    z, y, x = (axis.ravel() for axis in np.indices(ours.values.shape))
    indices = np.stack([x, y, z, np.ones_like(x)])
    there = np.linalg.solve(theirs.affine, ours.affine @ indices)
    nearest = there.round().astype(int)
    apart = np.abs(theirs.affine @ nearest - ours.affine @ indices).max()
    inside = np.clip(nearest[:3], 0, np.array(theirs.values.shape[::-1])[:, None] - 1)
    found = theirs.values[inside[2], inside[1], inside[0]]
    return float(apart), int((~np.isclose(found, ours.values.ravel(), rtol=relative, atol=0)).sum())


def by_highdicom(datasets: Sequence[Dataset]) -> Placed:
    """A volume by highdicom, as stored values."""
    plain = {"apply_modality_transform": False, "apply_voi_transform": False, "apply_real_world_transform": False}
    if len(datasets) == 1 and "NumberOfFrames" in datasets[0]:
        volume = highdicom.Image.from_dataset(datasets[0]).get_volume(**plain)
    else:
        volume = highdicom.get_volume_from_series(datasets, **plain)
    return Placed(volume.array, volume.affine[:, [2, 1, 0, 3]])  # its indices are slice, row, column


def by_simpleitk(folder: Path) -> Placed:
    """A volume of single-frame files by ITK's series reader, rescaled as it always does."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return placed_by_simpleitk(reader.Execute())


def by_simpleitk_file(path: Path) -> Placed:
    """One file by ITK."""
    return placed_by_simpleitk(SimpleITK.ReadImage(str(path)))


def placed_by_simpleitk(image: Any) -> Placed:
    """An image of SimpleITK."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return Placed(SimpleITK.GetArrayFromImage(image), affine)


@dataclass(frozen=True)
class Conversion:
    """What dcm2niix made of files."""

    volumes: list[Placed]
    """Of each file of NIfTI, by name; rescaled; (z, y, x), or (n, z, y, x)."""
    said: str
    """Its warnings and remarks."""


@dataclass(frozen=True)
class Dcm2niix:
    """The converter to NIfTI."""

    command: str
    target: Path
    """An empty folder."""

    def convert(self, folder: Path) -> Conversion:
        """What it makes of files, be it nothing."""
        command = [self.command, "-b", "n", "-z", "n", "-f", "%s", "-o", str(self.target), str(folder)]
        done = subprocess.run(command, check=False, capture_output=True, timeout=SECONDS, text=True)  # noqa: S603  # our own
        return Conversion([_nifti(path) for path in sorted(self.target.glob("*.nii"))], done.stdout)

    def volumes(self, folder: Path) -> list[Placed]:
        """The volumes that files become, rescaled; several of one place are (n, z, y, x)."""
        converted = self.convert(folder)
        assert converted.volumes, converted.said
        return converted.volumes

    def b_values(self) -> list[float]:
        """The b-value of each n."""
        (written,) = self.target.glob("*.bval")
        return [float(word) for word in written.read_text().split()]


def _nifti(path: Path) -> Placed:
    image: Any = nibabel.load(path)
    values = np.moveaxis(np.asanyarray(image.dataobj), (0, 1, 2), (-1, -2, -3))
    return Placed(values, LPS_FROM_RAS @ image.affine)


def stored_by_pydicom(dataset: Dataset) -> NDArray[Any]:
    """The stored values of an instance, masked and sign-extended."""
    return pydicom.pixels.pixel_array(dataset)


def rescaled_by_pydicom(dataset: Dataset) -> NDArray[Any]:
    """The values of an instance after its Modality LUT."""
    return pydicom.pixels.apply_modality_lut(stored_by_pydicom(dataset), dataset)
