"""NIfTI: the header of a volume, nibabel's image, and files with what lies beside them (https://nifti.nimh.nih.gov)."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.arrays.volume.reasons import refuse, why_too_long
from dicomzarr.arrays.volume.volume import volume_of
from dicomzarr.errors import LeftOutWarning, TargetError, UsageError
from dicomzarr.plan import to_ras
from dicomzarr.runtime.extras import needed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from dicomzarr.arrays.level import MultiscaleImage
    from dicomzarr.arrays.volume.volume import Volume

    Numbers = npt.NDArray[np.float64]

_SCANNER: Final = 1
"""Code of a transform: to the coordinates of the scanner."""

_SQUARE: Final = 1e-4
"""Cosine between two axes up to which they are at a right angle."""

_ENDINGS: Final = (".nii.gz", ".nii")
NO_VECTORS: Final = (
    "There are b-values beside the file of NIfTI, and no b-vectors: the headers do not give directions in the patient."
)
_TIME_UNITS: Final = {"second": "sec", "millisecond": "msec"}


def ras(affine: Any) -> Numbers:
    """An affine to LPS as one to RAS, NIfTI's axes."""
    found: Numbers = np.array(to_ras(affine))
    return found


def header_of(
    shape: Sequence[int],
    dtype: np.dtype[Any],
    affine: Numbers,
    *,
    time_step: float = 1.0,
    time_unit: str | None = None,
) -> Any:
    """The header of a volume, nibabel's.

    A shear goes into the sform, and the qform, which cannot say it, has the code 0.

    Args:
        shape: Sizes along x, y, z and, of several volumes, t.
        dtype: Of its values.
        affine: To RAS.
        time_step: From one volume to the next.
        time_unit: As ``second``.

    Raises:
        UsageError: nibabel is not installed, or a side is too long.
    """
    nib: Any = needed("nibabel", "radiology")
    refuse([why_too_long(shape)], "This image does not go into NIfTI")
    header = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    header.set_qform(affine, _SCANNER)
    if is_sheared(affine):
        header["qform_code"] = 0
    header.set_sform(affine, _SCANNER)
    steps = [*np.linalg.norm(affine[:3, :3], axis=0), time_step]
    header["pixdim"][1 : len(shape) + 1] = steps[: len(shape)]
    header.set_xyzt_units("mm", _TIME_UNITS.get(time_unit or "", "unknown"))
    return header


def is_sheared(affine: Numbers) -> bool:
    """Whether two of the axes of voxels are not at a right angle."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > _SQUARE)


def to_nibabel(image: MultiscaleImage, **chosen: Any) -> Any:
    """See `arrays.Image.to_nibabel`; what is chosen of it is that of `volume_of`."""
    needed("nibabel", "radiology")
    return nibabel_image(volume_of(image, **chosen))


def nibabel_image(volume: Volume) -> Any:
    """The volume as nibabel's image: axes x, y, z (and t), RAS millimetres.

    Raises:
        UsageError: nibabel is not installed, or NIfTI cannot say what the volume is.
    """
    nib: Any = needed("nibabel", "radiology")
    values = np.moveaxis(volume.values, (-1, -2, -3), (0, 1, 2))
    affine = ras(volume.affine)
    step, unit = volume.time_step, volume.time_unit
    header = header_of(values.shape, values.dtype, affine, time_step=step, time_unit=unit)
    image = nib.Nifti1Image(values, affine, header)
    image.header["qform_code"] = header["qform_code"]
    return image


def to_nifti(image: MultiscaleImage, path: str | os.PathLike[str], *, overwrite: bool, **chosen: Any) -> None:
    """See `arrays.Image.to_nifti`: the file, and b-values and b-vectors beside it, are each whole, or not there."""
    needed("nibabel", "radiology")
    _checked(path, overwrite=overwrite)
    write_nifti(volume_of(image, **chosen), path, overwrite=overwrite)


def write_nifti(volume: Volume, path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Write a volume that is read already.

    Raises:
        UsageError: The ending is another one, or there is something at the path.
        TargetError: The file could not be written.
    """
    target, ending = _checked(path, overwrite=overwrite)
    converted, gradients = nibabel_image(volume), volume.gradients
    files = {} if gradients is None else gradients.files(volume.affine)
    if gradients is not None and gradients.directions is None:
        warnings.warn(NO_VECTORS, LeftOutWarning, stacklevel=4)
    try:
        with tempfile.TemporaryDirectory(prefix=".nifti-", dir=target.parent) as folder:
            converted.to_filename(Path(folder) / f"whole{ending}")
            for suffix, text in files.items():
                (Path(folder) / f"whole{suffix}").write_text(text, encoding="ascii")
            beside = gradient_paths(target)
            for old in beside.values():
                old.unlink(missing_ok=True)
            for suffix in (*files, ending):
                (Path(folder) / f"whole{suffix}").replace(beside.get(suffix, target))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise TargetError(
            f"The file of NIfTI could not be written: {reason}.", remedy="Make room or give access, and try again."
        ) from error


def _checked(path: str | os.PathLike[str], *, overwrite: bool) -> tuple[Path, str]:
    """The path of a file of NIfTI, and its ending: asked before anything is read.

    Raises:
        UsageError: It ends otherwise, or there is something at it, or where b-values and b-vectors go.
    """
    target = Path(os.path.expanduser(path))  # noqa: PTH111  # of nobody, it stays as it is named
    ending = _ending(target.name)
    if ending is None:
        raise UsageError("A file of NIfTI ends in .nii or .nii.gz.", remedy="Name it so.")
    there = [each.name for each in (target, *gradient_paths(target).values()) if each.exists()]
    if there and not overwrite:
        raise UsageError(
            f"There is something at the target already: {there[0]}.", remedy="Give overwrite=True, or another path."
        )
    return target, ending


def _ending(name: str) -> str | None:
    return next((each for each in _ENDINGS if name.lower().endswith(each)), None)


def gradient_paths(path: Path) -> dict[str, Path]:
    """Where b-values and b-vectors lie beside a file of NIfTI, by their endings."""
    stem = path.name[: -len(_ending(path.name) or "")]
    return {ending: path.with_name(f"{stem}{ending}") for ending in (".bval", ".bvec")}
