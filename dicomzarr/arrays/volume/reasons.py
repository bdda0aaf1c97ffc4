"""Why an image is no volume that an affine and an array of numbers can say: for all who hand on both. Pure (no I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from dicomzarr.dicom.volume.frame import MOSAICS
from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dicomzarr.plan import ImagePlan

_LONGEST: Final = 32767
_REMEDY: Final = "Export it to .zarr, which can say so."


class Why(NamedTuple):
    """A reason why something is no such volume."""

    is_so: bool
    text: str
    remedy: str = _REMEDY


def why_no_grid(plan: ImagePlan) -> Iterator[Why]:
    """Why nothing says where the voxels of an image are on an even grid."""
    known = plan.attributes
    yield Why(known.affine_reference == "slide", "it is a slide", "Read its levels.")
    yield Why(
        not MOSAICS.isdisjoint(known.image_type or ()) and all(axis.name != "z" for axis in plan.axes),
        "its frames are mosaics, and no affine says where the slices in them lie",
        "Read its levels, which are pictures as they are stored; dcm2niix makes volumes of the files.",
    )
    yield Why(
        known.plane_affine is not None or _counts_slices(plan),
        "its slices are not evenly spaced",
        "Read its levels, and place slices by plane_affine or the coordinate z; .zarr keeps both.",
    )
    yield Why(plan.affine is None, "DICOM does not say where its voxels are", "Read its levels.")


def why_no_volume(plan: ImagePlan, *, absent: float | None) -> Iterator[Why]:
    """Why all of an image is no volume, nor times of one."""
    known = plan.attributes
    yield from why_no_grid(plan)
    yield Why(len(set(known.poses)) > 1, "the patient moved, and each time has a place of its own", "Choose one time.")
    yield why_absent(len(known.absent) if absent is None else 0)


def why_absent(count: int) -> Why:
    """That slices are absent, and nothing says what they are filled with."""
    return Why(
        count > 0,
        f"{count} of its slices are absent",
        "Say what they are filled with, by absent=VALUE; or export it to .zarr, where they stay absent.",
    )


def why_too_long(shape: Sequence[int]) -> Why:
    """That NIfTI-1 counts in 16 bits."""
    return Why(max(shape) > _LONGEST, f"a side is longer than {_LONGEST}", "Cut a region out.")


def refuse(reasons: Iterable[Why], what: str) -> None:
    """Refuse for the first reason that holds.

    Raises:
        UsageError: One holds.
    """
    for why in reasons:
        if why.is_so:
            raise UsageError(f"{what}: {why.text}.", remedy=why.remedy)


def _counts_slices(plan: ImagePlan) -> bool:
    """Several slices that count, although the size of pixels is known: they lie on no line."""
    z = next((axis for axis in plan.axes if axis.name == "z"), None)
    return z is not None and z.unit is None and plan.axes[-1].unit is not None and plan.affine is None
