"""Where the voxels of a grid of frames are: steps, units, and the affine to the patient (PS3.3 section C.7.6.2.1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.model.values import FARTHEST
from dicomzarr.dicom.volume.grid import ABSENT, LIST

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.volume.grid import Grid
    from dicomzarr.dicom.volume.lattice import Slices
    from dicomzarr.plan.attributes import Affine
    from dicomzarr.plan.plan import ImagePlan

    Numbers = npt.NDArray[np.float64]

MILLIMETER: Final = "millimeter"
_ALIGNED: Final = 1e-4
"""What direction cosines may differ by from those of an axis of the patient."""

_OFF_LINE: Final = 0.05
"""Millimetres by which uneven slices may lie off the line through the first and the last."""


@dataclass(frozen=True, slots=True)
class Placing:
    """Steps and units along z, y and x; lengths in millimetres where a unit says so, else counts."""

    scale: tuple[float, float, float]
    units: tuple[str | None, str | None, str | None]
    affine: Affine | None
    """(column, row, slice, 1) to LPS; None where DICOM gives no geometry or slices are not evenly spaced."""
    plane_affine: Affine | None = None
    """(column, row, millimetres along the normal from the first slice, 1) to LPS, of slices that are not."""


def stepped(affine: Affine, steps: Sequence[tuple[float, float]]) -> Affine:
    """The affine of a grid of whose columns, rows and slices only some are taken, or in larger steps.

    Args:
        affine: Of the whole grid.
        steps: (step, first) along columns, rows and perhaps slices, in those of the grid.
    """
    own = np.eye(4)
    for axis, (step, first) in enumerate(steps):
        own[axis, axis], own[axis, 3] = step, first
    a, b, c, d = (tuple(float(value) for value in row) for row in np.array(affine) @ own)
    return a, b, c, d  # type: ignore[return-value]  # rows of four


def place(grid: Grid) -> Placing:
    """Where a grid lies."""
    spacing, slices = grid.first.spacing, grid.slices
    if grid.kind == LIST:
        return Placing((1.0, 1.0, 1.0), (None, None, None), None)
    in_plane = MILLIMETER if spacing else None
    y, x = spacing or (1.0, 1.0)
    # Without the size of pixels there is no affine, and z beside y and x that count would be of another kind.
    z = slices.spacing if slices is not None and spacing else None
    return Placing(
        scale=(round(z, 9) if z else 1.0, y, x),
        units=(MILLIMETER if z else None, in_plane, in_plane),
        affine=_affine(grid) if slices is not None and slices.even else None,
        plane_affine=None if slices is None or slices.even else _affine(grid),
    )


def _affine(grid: Grid) -> Affine | None:
    slices, spacing, orientation = grid.slices, grid.first.spacing, grid.stack.orientation
    direction = None if slices is None else _through_slices(grid, slices)
    if slices is None or spacing is None or orientation is None or direction is None or not grid.first.in_patient:
        return None
    return _matrix(orientation, spacing, direction, slices.origins[0])


def _through_slices(grid: Grid, slices: Slices) -> Numbers | None:
    """The step from slice to slice; of uneven ones a millimetre along the normal, None where they lie on no line."""
    if slices.step is not None:
        return slices.step
    if slices.even:
        return slices.normal * _to_next_slice(grid)
    along = slices.distances - slices.distances[0]
    direction: Numbers = (slices.origins[-1] - slices.origins[0]) / along[-1]
    off = np.linalg.norm(slices.origins - slices.origins[0] - np.outer(along, direction), axis=1).max()
    return direction if off <= max(_OFF_LINE, slices.jitter) else None


def _to_next_slice(grid: Grid) -> float:
    """Millimetres from a lone slice to where the header has the next."""
    return grid.first.between or grid.first.thickness or 1.0


def _matrix(orientation: Numbers, spacing: tuple[float, float], step: Numbers, origin: Numbers) -> Affine | None:
    row_step, column_step = spacing
    matrix = np.eye(4)
    matrix[:3, 0] = orientation[:3] * column_step
    matrix[:3, 1] = orientation[3:] * row_step
    matrix[:3, 2] = step
    matrix[:3, 3] = origin
    if np.abs(matrix).max() > FARTHEST:
        return None
    a, b, c, d = (tuple(float(value) for value in row) for row in matrix)
    return a, b, c, d  # type: ignore[return-value]  # rows of four


def poses(grid: Grid) -> list[Affine | None]:
    """The affine of each time, where times have poses of their own; empty where all have one."""
    slices = grid.slices
    if not grid.stack.moved or slices is None or not slices.even:
        return []
    spacing = slices.spacing or _to_next_slice(grid)
    found: list[Affine | None] = []
    for time in grid.cells:
        channel, plane = np.argwhere(time != ABSENT)[0]
        frame = grid.frames[int(time[channel, plane])]
        if frame.position is None or frame.orientation is None or frame.normal is None or frame.spacing is None:
            return []
        step = frame.normal * spacing
        found.append(_matrix(frame.orientation, frame.spacing, step, frame.position - plane * step))
    return found


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


def patient_affine(image: ImagePlan, time: int | None = None) -> Affine | None:
    """The affine of an image of a patient; None for slides, and where DICOM gives no geometry.

    Args:
        image: Its plan.
        time: The index along t that it is of; None for that of the image.
    """
    slide = image.attributes.affine_reference == "slide" or image.axes[-1].unit != MILLIMETER
    if slide:
        return None
    return image.affine if time is None else image.affine_at(time)


def origin_of(affine: Affine | None) -> tuple[float, float, float]:
    """(z, y, x) of the first voxel in LPS millimetres, as far as NGFF's translation can say it.

    It can where x runs to the left, y to the back and z to the head; zeros for every other image.
    """
    if affine is None or aligned_axes(affine) != ((0, 1), (1, 1), (2, 1)):
        return 0.0, 0.0, 0.0
    x, y, z = (row[3] for row in affine[:3])
    return z, y, x
