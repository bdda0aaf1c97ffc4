"""A volume as SimpleITK's image: its axes are x, y, z (and t), its space is LPS, as DICOM's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dicomzarr.arrays.volume.volume import volume_of
from dicomzarr.runtime.extras import needed

if TYPE_CHECKING:
    from dicomzarr.arrays.level import MultiscaleImage
    from dicomzarr.arrays.volume.volume import Volume


def to_sitk(image: MultiscaleImage, **chosen: Any) -> Any:
    """See `arrays.Image.to_sitk`; what is chosen of it is that of `volume_of`."""
    needed("SimpleITK", "radiology")
    return sitk_image(volume_of(image, color=True, **chosen))


def sitk_image(volume: Volume) -> Any:
    """The image; in a sheared volume its directions are not at right angles, as the voxels are.

    Raises:
        UsageError: SimpleITK is not installed.
    """
    sitk: Any = needed("SimpleITK", "radiology")
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.values), isVector=volume.color)
    axes, origin = volume.affine[:3, :3], volume.affine[:3, 3].tolist()
    spacing = np.linalg.norm(axes, axis=0)
    direction, steps = axes / spacing, spacing.tolist()
    if image.GetDimension() == len(steps) + 1:
        direction = np.block([[direction, np.zeros((3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]])
        steps, origin = [*steps, volume.time_step], [*origin, 0.0]
    image.SetSpacing(steps)
    image.SetOrigin(origin)
    image.SetDirection(direction.reshape(-1).tolist())
    return image
