"""Where the voxels of an image lie in a patient, on even slices and on uneven ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dicomzarr.plan.placing import patient_affine

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.arrays.level import MultiscaleImage
    from dicomzarr.plan import Affine


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """An affine to LPS millimetres, and what it takes for slices."""

    affine: Affine
    slices: npt.NDArray[np.float64] | None = None
    """Of uneven slices, millimetres along the normal from the first; None where the affine counts them."""


def places_of(image: MultiscaleImage) -> Places | None:
    """Where an image lies; None of slides, of slices on no line, and where DICOM gives no geometry."""
    affine = patient_affine(image.plan)
    if affine is not None:
        return Places(affine)
    plane, slices = image.plan.attributes.plane_affine, image.plan.attributes.coordinates.get("z")
    if plane is None or slices is None:
        return None
    distances = np.asarray(slices.values, np.float64)
    return Places(plane, np.round(distances - distances[0], 9))  # without noise
