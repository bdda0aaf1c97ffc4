"""NIfTI: one volume, or times or weightings of one, in the patient's space (https://nifti.nimh.nih.gov/nifti-1)."""

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
from dicomzarr.arrays.volume.nifti import NO_VECTORS, gradient_paths, header_of, ras
from dicomzarr.arrays.volume.reasons import Why, refuse, why_no_volume, why_too_long
from dicomzarr.arrays.volume.times import step_of_times
from dicomzarr.arrays.volume.volume import INDICES, holds_indices
from dicomzarr.errors import LeftOutWarning, VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from dicomzarr.arrays.volume.diffusion import Gradients
    from dicomzarr.faces.export.series import Source
    from dicomzarr.plan import ImagePlan

_OFFSET: Final = 352
"""Bytes before the pixels: the header of NIfTI-1, and that there are no extensions."""

_PART: Final = 2**24


def adapt(source: Source) -> Source:
    """The finest level that is chosen, of a volume.

    Raises:
        UsageError: NIfTI cannot say what the volume is.
    """
    options = source.options
    source = source.with_options(replace(options, levels=(options.levels or (0,))[:1]))
    plan = source.only_image
    gradients = _gradients(plan)
    refuse(_reasons(plan, gradients, absent=options.absent), "This image does not go into NIfTI")
    if gradients is not None and gradients.directions is None:
        warnings.warn(NO_VECTORS, LeftOutWarning, stacklevel=2)
    if holds_indices(plan):
        warnings.warn(INDICES, LeftOutWarning, stacklevel=2)
    return source


def _sizes(plan: ImagePlan) -> dict[str, int]:
    return dict(zip((axis.name for axis in plan.axes), plan.levels[0].shape, strict=True))


def _gradients(plan: ImagePlan) -> Gradients | None:
    """What the volumes along t and c count, where that is diffusion."""
    sizes = _sizes(plan)
    return gradients_of(plan, {axis: np.arange(sizes.get(axis, 1)) for axis in "tc"})


def _reasons(plan: ImagePlan, gradients: Gradients | None, *, absent: float | None) -> Iterator[Why]:
    known, sizes = plan.attributes, _sizes(plan)
    yield from why_no_volume(plan, absent=absent)
    several = gradients is None and sizes.get("c", 1) > 1
    yield Why(several, "it has several channels", "Choose one, as the region c=0:1, or export to .zarr.")
    rescale = known.rescale
    same = rescale is not None and not isinstance(rescale.slope, list) and not isinstance(rescale.intercept, list)
    yield Why(not same, "its values are rescaled by a table or from slice to slice", 'Export values="modality".')
    yield why_too_long([*plan.levels[0].shape, sizes.get("t", 1) * sizes.get("c", 1)])


def beside(path: Path) -> list[Path]:
    """The files of FSL that may belong to one of NIfTI."""
    return list(gradient_paths(path).values())


def write(source: Source, root: Path, path: Path) -> None:
    """Write the volume, a plane after another, and read it again; b-values and b-vectors beside it.

    Raises:
        VerificationError: What is read is something else.
    """
    plan, gradients = source.only_image, _gradients(source.only_image)
    for ending, text in ({} if gradients is None else gradients.files(np.array(plan.affine))).items():
        gradient_paths(path)[ending].write_text(text, encoding="ascii")
    (part,) = source.selection.parts
    array = zarr.open_array(root, path=part.path, mode="r")
    header = _header(plan, is_diffusion=gradients is not None)
    written = blake2b(header, digest_size=16)
    with _open(path, "wb") as file:
        file.write(header)
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
    if path.suffix.lower() == ".gz":
        with gzip.GzipFile(path, mode, compresslevel=6, mtime=0) as file:  # no time: two exports are the same bytes
            yield file  # type: ignore[misc]  # as good as a file
    else:
        with path.open(mode) as file:
            yield file  # type: ignore[misc]  # binary, by the mode


def _header(plan: ImagePlan, *, is_diffusion: bool) -> bytes:
    level, sizes = plan.levels[0], _sizes(plan)
    step, unit = (1.0, None) if is_diffusion else step_of_times(plan)
    shape = [sizes.get(name, 1) for name in "xyz"]
    volumes = sizes.get("t", 1) * sizes.get("c", 1)
    header = header_of(
        [*shape, volumes] if "t" in sizes or volumes > 1 else shape,
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
