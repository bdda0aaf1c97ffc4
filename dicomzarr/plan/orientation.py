"""Which way an image lies in the patient, in words (PS3.3 sections C.7.6.1.1.1 and C.7.6.2.1.1). Pure."""

from __future__ import annotations

import math
from itertools import permutations
from typing import TYPE_CHECKING, Final, NamedTuple

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

_LETTERS: Final = ("LR", "PA", "SI")


class _End(NamedTuple):
    """Where a direction leads, or mostly leads."""

    axis: int
    """Of the patient."""
    is_down: bool


def orientation_words(image: ImagePlan) -> str:
    """As ``axial: z to the head, y to the back, x to the left``; empty for slides and where DICOM gives no geometry."""
    matrix = _matrix(image)
    if matrix is None:
        return ""
    normal = np.cross(matrix[:, 0], matrix[:, 1])
    told = image.attributes.anatomical_orientation
    kind = told if told in _PLANES else "BIPED"
    off = _degrees_off(normal / np.linalg.norm(normal))
    plane = _PLANES[kind][int(np.argmax(np.abs(normal)))]
    plane = plane if off < _STRAIGHT else f"oblique {plane}, by {off:.3g} degrees"
    ends = dict(zip("xyz", _leading(matrix), strict=True))
    names = [axis.name for axis in image.axes if axis.name in "zyx"]
    told_ends = [f"{name} to the {_ENDS[kind][ends[name].axis][ends[name].is_down]}" for name in names]
    return f"{plane}: {', '.join(told_ends)}"


def orientation_letters(image: ImagePlan) -> str:
    """Where x, y and z lead, as ``LPS``: left, posterior and superior; empty where the words are, and of animals."""
    matrix = None if image.attributes.anatomical_orientation == "QUADRUPED" else _matrix(image)
    return "" if matrix is None else "".join(_LETTERS[end.axis][end.is_down] for end in _leading(matrix))


def _degrees_off(direction: Numbers) -> float:
    """The angle to the nearest axis of the patient."""
    return math.degrees(math.acos(min(1.0, float(np.abs(direction).max()))))


def _leading(matrix: Numbers) -> list[_End]:
    """Of three directions, each along an axis of its own: together as near to these as can be."""
    cosines = matrix / np.linalg.norm(matrix, axis=0)
    axes = max(permutations(range(3)), key=lambda order: sum(abs(cosines[axis, at]) for at, axis in enumerate(order)))
    return [_End(axis, bool(cosines[axis, at] < 0)) for at, axis in enumerate(axes)]


def _matrix(image: ImagePlan) -> Numbers | None:
    """The directions of columns, rows and slices in the patient; None where DICOM gives none."""
    affine = patient_affine(image) or image.attributes.plane_affine
    if affine is None:
        return None
    matrix: Numbers = np.array(affine, dtype=np.float64)[:3, :3]
    flat = not np.linalg.norm(matrix, axis=0).all() or not np.cross(matrix[:, 0], matrix[:, 1]).any()
    return None if flat else matrix
