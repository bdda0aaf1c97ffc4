"""Where the pixels of a slide are: steps, shifts between levels, and the affine to the slide coordinate system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dicomzarr.dicom.slide.level import SlideLevel
    from dicomzarr.plan.affine import Affine

    Step = tuple[float, float, float]


def micrometres(millimetres: float) -> float:
    """Without the noise that the multiplication puts behind the twelfth digit."""
    return float(f"{millimetres * 1000:.12g}")


def steps(level: SlideLevel, finest: SlideLevel) -> Step:
    """(z, y, x) steps in micrometres; ratios to the finest level where DICOM gives no spacing."""
    plane_step = level.plane_step or finest.plane_step
    z = micrometres(abs(plane_step)) if plane_step else 1.0
    if finest.spacing is not None and level.spacing is not None:
        return z, micrometres(level.spacing[0]), micrometres(level.spacing[1])
    return (
        z,
        finest.grid.matrix_rows / level.grid.matrix_rows,
        finest.grid.matrix_columns / level.grid.matrix_columns,
    )


def shift(level: SlideLevel, finest: SlideLevel) -> tuple[float, float]:
    """(y, x) from the centre of the finest level's first pixel to that of this level, in the unit of `steps`.

    Corners of levels coincide, so centres of first pixels are half a difference of steps apart. Where the headers'
    origins differ by more than a pixel of this level, they say that the corners do not coincide, and how.
    """
    own, base = steps(level, finest)[1:], steps(finest, finest)[1:]
    half = [(coarse - fine) / 2 for coarse, fine in zip(own, base, strict=True)]
    apart = _origin_difference(level, finest)
    if all(abs(distance) <= step for distance, step in zip(apart, own, strict=True)):
        return half[0], half[1]
    return half[0] + apart[0], half[1] + apart[1]


def _origin_difference(level: SlideLevel, finest: SlideLevel) -> tuple[float, float]:
    """(y, x) from the finest level's origin to this level's, along its rows and columns, in micrometres."""
    axes = _axes(finest)
    one, other = finest.header.origin, level.header.origin
    if axes is None or one is None or other is None or finest.spacing is None:
        return 0.0, 0.0
    difference = np.subtract(other[:2], one[:2])
    along_row, along_column = axes
    return micrometres(float(along_column[:2] @ difference)), micrometres(float(along_row[:2] @ difference))


def affine(level: SlideLevel) -> Affine | None:
    """Pixel (column, row, plane) to the slide coordinate system, PS3.3 section C.8.12.2.1.1.

    The origin is taken for the centre of the first pixel of the finest level; where the header has none, the affine
    starts at 0, 0 (see `origin_known`).
    """
    axes = _axes(level)
    if axes is None or level.spacing is None:
        return None
    row_step, column_step = level.spacing
    x, y, bottom = level.header.origin or (0.0, 0.0, 0.0)
    matrix = np.eye(4)
    matrix[:3, 0] = axes[0] * column_step
    matrix[:3, 1] = axes[1] * row_step
    matrix[:3, 2] = (0.0, 0.0, level.plane_step or 1.0)
    matrix[:3, 3] = (x, y, level.plane_offsets[0] if level.plane_step else bottom)
    rows = (tuple(float(value) for value in row) for row in matrix)
    return tuple((a, b, c, d) for a, b, c, d in rows)


def origin_known(level: SlideLevel) -> bool:
    """Whether the header has a TotalPixelMatrixOriginSequence."""
    return level.header.origin is not None


def _axes(level: SlideLevel) -> tuple[np.ndarray, np.ndarray] | None:
    """(direction along a row, direction along a column), or None where they are missing."""
    cosines = level.header.orientation_slide
    return None if cosines is None else (np.array(cosines[:3]), np.array(cosines[3:]))
