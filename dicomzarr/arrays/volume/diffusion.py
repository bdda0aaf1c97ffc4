"""b-values and directions of diffusion, as FSL reads them beside a file of NIfTI. Pure (no I/O)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import numpy as np

from dicomzarr.dicom.volume.diffusion import B_VALUE, DIRECTION
from dicomzarr.dicom.volume.dimensions import BY_NAME

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.plan import ImagePlan
    from dicomzarr.plan.attributes import FrameCoordinate

    Numbers = npt.NDArray[np.float64]


_WEIGHTING: Final = frozenset({B_VALUE, DIRECTION})


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

    def files(self, affine: Numbers) -> dict[str, str]:
        """The texts of FSL's files, by their endings: b-values, and vectors where directions are known.

        Args:
            affine: As for `vectors`.
        """
        files, vectors = {".bval": _line(self.b_values)}, self.vectors(affine)
        return files if vectors is None else {**files, ".bvec": "".join(map(_line, vectors))}


def gradients_of(plan: ImagePlan, taken: dict[str, npt.NDArray[np.int64]]) -> Gradients | None:
    """The diffusion of volumes along t and c; None where b-values do not count an axis of them.

    Args:
        plan: The image.
        taken: The indices along t and c that are taken, t before c.
    """
    known = plan.attributes
    told = known.coordinates.get(B_VALUE)
    if not _is_of_volumes(told) or taken["t"].size * taken["c"].size == 1:
        return None
    b_values = _spread(told.axes, told.values, taken)
    if any(value is None for value in b_values) or _has_other_contrasts(plan, b_values, taken):
        return None
    return Gradients(np.array(b_values, np.float64), _directions(plan, taken, len(b_values)))


def _line(numbers: Numbers) -> str:
    return " ".join(f"{number:.8g}" for number in numbers) + "\n"


def _has_other_contrasts(plan: ImagePlan, b_values: list[Any], taken: dict[str, npt.NDArray[np.int64]]) -> bool:
    """Whether volumes of one weighting differ in something else, as in their echo: they are no series of diffusion."""
    coordinates = plan.attributes.coordinates
    direction = coordinates.get(DIRECTION)
    along = _spread(direction.axes, direction.values, taken) if _is_of_volumes(direction) else [None] * len(b_values)
    weighting = [(b, None if each is None else tuple(each)) for b, each in zip(b_values, along, strict=True)]
    for name, told in coordinates.items():
        row = BY_NAME.get(name)
        if name in _WEIGHTING or row is None or not row.contrast or not _is_of_volumes(told):
            continue
        pairs = set(zip(weighting, map(repr, _spread(told.axes, told.values, taken)), strict=True))
        if len(pairs) > len(set(weighting)):
            return True
    return False


def _is_of_volumes(told: FrameCoordinate | None) -> TypeGuard[FrameCoordinate]:
    """Whether a coordinate varies along t and c alone."""
    return told is not None and bool(told.axes) and not set(told.axes) - {"t", "c"}


def _directions(plan: ImagePlan, taken: dict[str, npt.NDArray[np.int64]], count: int) -> Numbers | None:
    told = plan.attributes.coordinates.get(DIRECTION)
    if not _is_of_volumes(told) or not plan.attributes.gradients_in_patient:
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
