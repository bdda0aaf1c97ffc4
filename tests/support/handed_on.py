"""Volumes as they are handed on to SimpleITK and to files of NIfTI, read back by those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
from radiology_oracles import LPS_FROM_RAS, Placed, placed_by_simpleitk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from dicomzarr.arrays.image import Image

Key = tuple[int, int, int]
"""(image, channel, time)."""


def each_volume(image: Image) -> Iterator[tuple[Key, Image, dict[str, int]]]:
    """Each volume of all images of a series: its key, its image, and how it is chosen."""
    for number, one in enumerate(image.images):
        sizes = dict(zip((axis.name for axis in one.axes), one.levels[0].shape, strict=True))
        for c, t in np.ndindex(sizes.get("c", 1), sizes.get("t", 1)):
            yield (number, c, t), one, {"channel": c, "time": t}


def by_way_of_sitk(image: Image, **chosen: Any) -> Placed:
    """What `Image.to_sitk` gives, as SimpleITK sees it."""
    return placed_by_simpleitk(image.to_sitk(**chosen))


def by_way_of_nifti(image: Image, path: Path, **chosen: Any) -> Placed:
    """What `Image.to_nifti` writes, as nibabel reads it: by the sform."""
    image.to_nifti(path, overwrite=True, **chosen)
    read: Any = nibabel.load(path)
    values = np.moveaxis(np.asanyarray(read.dataobj), (0, 1, 2), (-1, -2, -3))
    return Placed(values, LPS_FROM_RAS @ read.affine)


def directions(bvec: Path, affine: NDArray[Any]) -> NDArray[Any]:
    """FSL's vectors beside a file of NIfTI as directions in RAS, (n, 3).

    Args:
        bvec: The file of vectors.
        affine: To RAS, of the file of NIfTI.
    """
    vectors = np.loadtxt(bvec).reshape(3, -1)
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.linalg.det(axes) > 0:
        vectors[0] *= -1
    found: NDArray[Any] = (axes @ vectors).T
    return found
