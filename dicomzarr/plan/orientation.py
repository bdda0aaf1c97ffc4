"""Which way an image lies in the patient, in words (PS3.3 sections C.7.6.1.1.1 and C.7.6.2.1.1). Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.plan.placing import patient_affine

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.plan.plan import ImagePlan

    Numbers = npt.NDArray[np.float64]

_STRAIGHT: Final = 0.1
"""Degrees from which a plane or an axis counts as oblique."""

_PLANES: Final = {"BIPED": ("sagittal", "coronal", "axial"), "QUADRUPED": ("sagittal", "dorsal", "transverse")}
_ENDS: Final = {
    "BIPED": (("left", "right"), ("back", "front"), ("head", "feet")),
    "QUADRUPED": (("left", "right"), ("back", "belly"), ("head", "tail")),
}
"""Where each axis of the patient leads, upwards and downwards, by AnatomicalOrientationType (0010,2210)."""


def orientation_words(image: ImagePlan) -> str:
    """As ``axial: z to the head, y to the back, x to the left``; empty for slides and where DICOM gives no geometry."""
    affine = patient_affine(image) or image.attributes.plane_affine
    if affine is None:
        return ""
    matrix: Numbers = np.array(affine, dtype=np.float64)[:3, :3]
    lengths = np.linalg.norm(matrix, axis=0)
    normal = np.cross(matrix[:, 0], matrix[:, 1])
    if not lengths.all() or not np.linalg.norm(normal):
        return ""
    told = image.attributes.anatomical_orientation
    kind = told if told in _PLANES else "BIPED"
    off = _degrees_off(normal / np.linalg.norm(normal))
    plane = _PLANES[kind][int(np.argmax(np.abs(normal)))]
    plane = plane if off < _STRAIGHT else f"oblique {plane}, by {off:.3g} degrees"
    names = [axis.name for axis in image.axes if axis.name in "zyx"]
    ends = [f"{name} to the {_end(matrix[:, 'xyz'.index(name)], kind)}" for name in names]
    return f"{plane}: {', '.join(ends)}"


def _end(direction: Numbers, kind: str) -> str:
    """Where a direction leads, or mostly leads."""
    axis = int(np.argmax(np.abs(direction)))
    return _ENDS[kind][axis][int(direction[axis] < 0)]


def _degrees_off(direction: Numbers) -> float:
    """The angle to the nearest axis of the patient."""
    return math.degrees(math.acos(min(1.0, float(np.abs(direction).max()))))
