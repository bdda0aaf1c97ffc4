"""b-values and directions of diffusion, as FSL reads them beside a file of NIfTI. Pure (no I/O)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.plan import ImagePlan

    Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Gradients:
    """Of each volume of a diffusion series, in the order of their axis."""

    b_values: Numbers
    """In s/mm2, shape (n,)."""
    directions: Numbers | None
    """Unit vectors in LPS, shape (n, 3), zeros without diffusion; None where headers do not say them in the patient."""

    def vectors(self, affine: Numbers) -> Numbers | None:
        """The directions as FSL wants them: along columns, rows and slices of the array, shape (3, n).

        By FSL's rule the first component is turned where the axes of the array are right-handed in RAS.

        Args:
            affine: (column, row, slice, 1) to LPS millimetres.
        """
        if self.directions is None:
            return None
        columns, rows = (affine[:3, place] / np.linalg.norm(affine[:3, place]) for place in (0, 1))
        axes = np.stack([columns, rows, np.cross(columns, rows)])  # in a sheared volume, the normal of its slices
        found: Numbers = axes @ self.directions.T
        if np.linalg.det(affine[:3, :3]) < 0:
            found[2] *= -1
        else:
            found[0] *= -1
        return found + 0.0  # no -0


def gradients_of(plan: ImagePlan, taken: dict[str, npt.NDArray[np.int64]]) -> Gradients | None:
    """The diffusion of volumes along t and c; None where b-values do not count an axis of them.

    Args:
        plan: The image.
        taken: The indices along t and c that are taken, t before c.
    """
    known = plan.attributes
    told = known.coordinates.get("b_value")
    if told is None or not told.axes or set(told.axes) - {"t", "c"} or taken["t"].size * taken["c"].size == 1:
        return None
    b_values = _spread(told.axes, told.values, taken)
    if any(value is None for value in b_values):
        return None
    return Gradients(np.array(b_values, np.float64), _directions(plan, taken, len(b_values)))


def _directions(plan: ImagePlan, taken: dict[str, npt.NDArray[np.int64]], count: int) -> Numbers | None:
    told = plan.attributes.coordinates.get("gradient_direction")
    if told is None or set(told.axes) - {"t", "c"} or not plan.attributes.gradients_in_patient:
        return None
    spread = [(0.0, 0.0, 0.0) if each is None else each for each in _spread(told.axes, told.values, taken)]
    return np.array(spread, np.float64).reshape(count, 3)


def _spread(axes: str, values: Any, taken: dict[str, npt.NDArray[np.int64]]) -> list[Any]:
    """What a coordinate says of each volume, t running slowest."""
    sizes = [taken[axis].size for axis in "tc"]
    found = []
    for t, c in np.ndindex(*sizes):
        at = {"t": int(taken["t"][t]), "c": int(taken["c"][c])}
        value = values
        for axis in axes:
            value = value[at[axis]]
        found.append(value)
    return found
