"""NIfTI: one volume, or times of one, in the patient's space (https://nifti.nimh.nih.gov/nifti-1)."""

from __future__ import annotations

import gzip
from contextlib import contextmanager
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import zarr

from dicomzarr.errors import UsageError, VerificationError
from dicomzarr.plan import to_ras

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from dicomzarr.faces.export.series import Source
    from dicomzarr.plan import ImagePlan

_OFFSET: Final = 352
"""Bytes before the pixels: the header of NIfTI-1, and that there are no extensions."""

_LONGEST: Final = 32767
"""Along a side: NIfTI-1 counts in 16 bits."""

_SCANNER: Final = 1
"""Code of a transform: to the coordinates of the scanner."""

_REMEDY: Final = "Export it to .zarr, which can say so."
_PART: Final = 2**24


class Why(NamedTuple):
    """A reason why something does not go into NIfTI."""

    is_so: bool
    text: str
    remedy: str = _REMEDY


def adapt(source: Source) -> Source:
    """The finest level that is chosen, of a volume.

    Raises:
        UsageError: NIfTI cannot say what the volume is.
    """
    options = source.options
    source = source.with_options(replace(options, levels=(options.levels or (0,))[:1]))
    plan = source.only_image
    for why in _reasons(plan, absent=options.absent):
        if why.is_so:
            raise UsageError(f"This image does not go into NIfTI: {why.text}.", remedy=why.remedy)
    return source


def _reasons(plan: ImagePlan, *, absent: float | None) -> Iterator[Why]:
    known, level = plan.attributes, plan.levels[0]
    sizes = dict(zip((axis.name for axis in plan.axes), level.shape, strict=True))
    yield Why(known.affine_reference == "slide", "it is a slide, and no volume")
    yield Why(known.plane_affine is not None, "its slices are not evenly spaced")
    yield Why(plan.affine is None, "DICOM does not say where its voxels are")
    yield Why(len(set(known.poses)) > 1, "the patient moved, and each time has a place of its own", "Cut one time out.")
    yield Why(sizes.get("c", 1) > 1, "it has several channels", "Choose one, as the region c=0:1, or export to .zarr.")
    yield Why(
        bool(known.absent) and absent is None,
        f"{len(known.absent)} of its slices are absent",
        "Say what they are filled with, by absent=VALUE; or export it to .zarr, where they stay absent.",
    )
    rescale = known.rescale
    same = rescale is not None and not isinstance(rescale.slope, list) and not isinstance(rescale.intercept, list)
    yield Why(not same, "its values are rescaled by a table or from slice to slice", 'Export values="modality".')
    yield Why(max(level.shape) > _LONGEST, f"a side is longer than {_LONGEST}", "Cut a region out.")


def write(source: Source, root: Path, path: Path) -> None:
    """Write the volume, a plane after another, and read it again.

    Raises:
        VerificationError: What is read is something else.
    """
    plan = source.only_image
    (part,) = source.selection.parts
    array = zarr.open_array(root, path=part.path, mode="r")
    written = blake2b(_header(plan), digest_size=16)
    with _open(path, "wb") as file:
        file.write(_header(plan))
        for index in np.ndindex(*array.shape[:-2]):
            plane = np.asarray(array[index]).tobytes()  # x runs fastest in both
            file.write(plane)
            written.update(plane)
    read = blake2b(digest_size=16)
    with _open(path, "rb") as file:
        while data := file.read(_PART):
            read.update(data)
    if read.digest() != written.digest():
        raise VerificationError(
            "The NIfTI file is not what was written when it is read again.",
            remedy="Look after the disk, and run the same command again.",
        )


@contextmanager
def _open(path: Path, mode: str) -> Iterator[BinaryIO]:
    if path.suffix == ".gz":
        with gzip.open(path, mode, compresslevel=6) if mode == "wb" else gzip.open(path, mode) as file:
            yield file  # type: ignore[misc]  # as good as a file
    else:
        with path.open(mode) as file:
            yield file  # type: ignore[misc]  # binary, by the mode


def _header(plan: ImagePlan) -> bytes:
    import nibabel as nib  # noqa: PLC0415  # an extra

    level = plan.levels[0]
    sizes = dict(zip((axis.name for axis in plan.axes), level.shape, strict=True))
    steps = dict(zip((axis.name for axis in plan.axes), level.scale, strict=True))
    units = {axis.name: axis.unit for axis in plan.axes}
    header: Any = nib.Nifti1Header()  # type: ignore[no-untyped-call]  # as nibabel has it
    header.set_data_dtype(level.dtype)
    shape = [sizes.get(name, 1) for name in "xyz"]
    header.set_data_shape([*shape, sizes["t"]] if "t" in sizes else shape)
    affine = np.array(to_ras(plan.affine)) if plan.affine else np.eye(4)
    header.set_qform(affine, _SCANNER)
    header.set_sform(affine, _SCANNER)
    if "t" in sizes:
        header["pixdim"][4] = steps["t"]
    known = {"second": "sec", "millisecond": "msec"}
    header.set_xyzt_units("mm", known.get(units.get("t") or "", "unknown"))
    rescale = plan.attributes.rescale
    if rescale is not None:
        header.set_slope_inter(float(rescale.slope), float(rescale.intercept))
    header["vox_offset"] = _OFFSET
    header["magic"] = b"n+1"
    data: bytes = header.binaryblock
    return data.ljust(_OFFSET, b"\0")
