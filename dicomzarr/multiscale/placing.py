"""Where the voxels of a grid of frames are: steps, units, and the affine to the patient (PS3.3 section C.7.6.2.1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.values import FARTHEST

if TYPE_CHECKING:
    from dicomzarr.dicom.arrangement import Grid
    from dicomzarr.dicom.slices import Slices
    from dicomzarr.multiscale.plan import Affine, ImagePlan

MILLIMETER: Final = "millimeter"
_ALIGNED: Final = 1e-4
"""What direction cosines may differ by from those of an axis of the patient."""

_TILTED: Final = 0.1
"""Degrees off the normal from which slices count as tilted."""


@dataclass(frozen=True, slots=True)
class Placing:
    """Steps and units along z, y and x; lengths in millimetres where a unit says so, else counts."""

    scale: tuple[float, float, float]
    units: tuple[str | None, str | None, str | None]
    affine: Affine | None
    """(column, row, slice, 1) to LPS; None where DICOM gives no geometry or slices are not evenly spaced."""


def place(grid: Grid) -> Placing:
    """Where a grid lies."""
    spacing, slices = grid.first.spacing, grid.slices
    in_plane = MILLIMETER if spacing else None
    y, x = spacing or (1.0, 1.0)
    z = slices.spacing if slices is not None else None
    return Placing(
        scale=(round(z, 9) if z else 1.0, y, x),
        units=(MILLIMETER if z else None, in_plane, in_plane),
        affine=None if slices is None or spacing is None else _affine(grid, slices, spacing),
    )


def _affine(grid: Grid, slices: Slices, spacing: tuple[float, float]) -> Affine | None:
    orientation = grid.first.orientation
    if orientation is None or not slices.even:
        return None
    row_step, column_step = spacing
    matrix = np.eye(4)
    matrix[:3, 0] = orientation[:3] * column_step
    matrix[:3, 1] = orientation[3:] * row_step
    matrix[:3, 2] = (
        slices.normal * (grid.first.between or grid.first.thickness or 1.0) if slices.step is None else slices.step
    )
    matrix[:3, 3] = slices.origins[0]
    if np.abs(matrix).max() > FARTHEST:
        return None
    a, b, c, d = (tuple(float(value) for value in row) for row in matrix)
    return a, b, c, d  # type: ignore[return-value]  # rows of four


def to_ras(affine: Affine) -> Affine:
    """The same affine into RAS, NIfTI's axes: x to the right, y to the front."""
    flipped = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.array(affine)
    a, b, c, d = (tuple(float(value) + 0.0 for value in row) for row in flipped)
    return a, b, c, d  # type: ignore[return-value]  # rows of four


def aligned_axes(affine: Affine) -> tuple[tuple[int, int], ...] | None:
    """(axis of the patient, sign) of columns, rows and slices; None for an oblique or sheared image.

    Axes of the patient are 0 for left, 1 for posterior, 2 for head, PS3.3 section C.7.6.2.1.1.
    """
    matrix = np.array(affine)[:3, :3]
    found = []
    lengths = np.linalg.norm(matrix, axis=0)
    if not lengths.all():
        return None
    for direction in (matrix / lengths).T:
        axis = int(np.argmax(abs(direction)))
        if abs(abs(direction[axis]) - 1) > _ALIGNED or abs(np.delete(direction, axis)).max() > _ALIGNED:
            return None
        found.append((axis, 1 if direction[axis] > 0 else -1))
    return tuple(found)


def patient_affine(image: ImagePlan) -> Affine | None:
    """The affine of an image of a patient; None for slides, and where DICOM gives no geometry."""
    slide = image.attributes.get("affine_reference") == "slide" or image.axes[-1].unit != MILLIMETER
    return None if slide else image.affine


def origin_of(affine: Affine | None) -> tuple[float, float, float]:
    """(z, y, x) of the first voxel in LPS millimetres, as far as NGFF's translation can say it.

    It can where x runs to the left, y to the back and z to the head; zeros for every other image.
    """
    if affine is None or aligned_axes(affine) != ((0, 1), (1, 1), (2, 1)):
        return 0.0, 0.0, 0.0
    x, y, z = (row[3] for row in affine[:3])
    return z, y, x


def oddities(grid: Grid) -> list[str]:
    """What someone who trusts the arrays should know of the slices, in sentences."""
    slices = grid.slices
    if "MOSAIC" in grid.first.image.header.image_type:
        return ["frames are mosaics of slices, shown as they are stored; positions are those of a mosaic's corner."]
    if slices is None:
        return []
    if not slices.even:
        gaps = np.diff(slices.distances)
        odd = (
            f"the {len(slices.distances)} slices are not evenly spaced ({gaps.min():.6g} to {gaps.max():.6g} mm apart, "
            f"or not one above the other): z counts them, coordinates hold their places, and there is no affine."
        )
        return [odd]
    if slices.tilt > _TILTED:
        return [f"slices are sheared by {slices.tilt:.2f} degrees (a tilted gantry): the affine says so, scale cannot."]
    return []
