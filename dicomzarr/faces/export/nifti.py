"""NIfTI: one volume, or times of one, in the patient's space (https://nifti.nimh.nih.gov/nifti-1)."""

from __future__ import annotations

import gzip
import warnings
from contextlib import contextmanager
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np
import zarr

from dicomzarr.arrays.volume.diffusion import gradients_of
from dicomzarr.arrays.volume.nifti import header_of, ras
from dicomzarr.arrays.volume.reasons import Why, refuse, why_no_volume, why_too_long
from dicomzarr.arrays.volume.times import step_of_times
from dicomzarr.errors import LeftOutWarning, VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from dicomzarr.faces.export.series import Source
    from dicomzarr.plan import ImagePlan

_OFFSET: Final = 352
"""Bytes before the pixels: the header of NIfTI-1, and that there are no extensions."""

_PART: Final = 2**24
_NO_B_VALUES: Final = "There are no b-values and b-vectors beside this file: image.to_nifti() writes them."


def adapt(source: Source) -> Source:
    """The finest level that is chosen, of a volume.

    Raises:
        UsageError: NIfTI cannot say what the volume is.
    """
    options = source.options
    source = source.with_options(replace(options, levels=(options.levels or (0,))[:1]))
    plan = source.only_image
    refuse(_reasons(plan, absent=options.absent), "This image does not go into NIfTI")
    times = next((size for axis, size in zip(plan.axes, plan.levels[0].shape, strict=True) if axis.name == "t"), 1)
    if gradients_of(plan, {"t": np.arange(times), "c": np.zeros(1, np.int64)}) is not None:
        warnings.warn(_NO_B_VALUES, LeftOutWarning, stacklevel=2)
    return source


def _reasons(plan: ImagePlan, *, absent: float | None) -> Iterator[Why]:
    known, level = plan.attributes, plan.levels[0]
    sizes = dict(zip((axis.name for axis in plan.axes), level.shape, strict=True))
    yield from why_no_volume(plan, absent=absent)
    remedy = "Choose one, as the region c=0:1, or export to .zarr; image.to_nifti() takes all of a diffusion series."
    yield Why(sizes.get("c", 1) > 1, "it has several channels", remedy)
    rescale = known.rescale
    same = rescale is not None and not isinstance(rescale.slope, list) and not isinstance(rescale.intercept, list)
    yield Why(not same, "its values are rescaled by a table or from slice to slice", 'Export values="modality".')
    yield why_too_long(level.shape)


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
        with gzip.GzipFile(path, mode, compresslevel=6, mtime=0) as file:  # no time: two exports are the same bytes
            yield file  # type: ignore[misc]  # as good as a file
    else:
        with path.open(mode) as file:
            yield file  # type: ignore[misc]  # binary, by the mode


def _header(plan: ImagePlan) -> bytes:
    level = plan.levels[0]
    sizes = dict(zip((axis.name for axis in plan.axes), level.shape, strict=True))
    step, unit = step_of_times(plan)
    shape = [sizes.get(name, 1) for name in "xyz"]
    header = header_of(
        [*shape, sizes["t"]] if "t" in sizes else shape,
        level.dtype,
        ras(plan.affine),
        time_step=step,
        time_unit=unit,
    )
    rescale = plan.attributes.rescale
    if rescale is not None:
        header.set_slope_inter(float(rescale.slope), float(rescale.intercept))
    header["vox_offset"] = _OFFSET
    header["magic"] = b"n+1"
    data: bytes = header.binaryblock
    return data.ljust(_OFFSET, b"\0")
