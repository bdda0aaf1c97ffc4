"""Series for TorchIO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dicomzarr.arrays.volume.nifti import ras
from dicomzarr.arrays.volume.volume import volume_of
from dicomzarr.faces.training.given import opened
from dicomzarr.runtime.extras import needed
from dicomzarr.runtime.tracebacks import keeps_secrets

if TYPE_CHECKING:
    import numpy.typing as npt

_SPATIAL = 3


def scalar_image(path: Any, **options: Any) -> Any:
    """A ``torchio.ScalarImage`` of a series, read at once.

    It has no path: TorchIO looks for a file at one whenever it crops, and there is none.

    Args:
        path: As for `read`.
        **options: Likewise.

    Raises:
        UsageError: TorchIO is not installed, or the image is no volume; the text says why.
        DicomZarrError: It cannot be opened, or a frame cannot be had.
    """
    tio: Any = needed("torchio")
    values, affine = read(path, **options)
    return tio.ScalarImage(tensor=values, affine=affine)


@keeps_secrets
def read(
    path: Any,
    *,
    time: int | None = None,
    channel: int | None = None,
    absent: float | None = None,
    **storage_options: Any,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Read a series for ``tio.ScalarImage(url, reader=read, verify_path=False)``, which is read when it is used.

    Such an image has a path that is no file's, and TorchIO cannot crop it: for that, use `scalar_image`.

    Args:
        path: A URL, a path or an open image.
        time: As for `Image.to_sitk`.
        channel: Likewise.
        absent: Likewise.
        **storage_options: See `dicomzarr.options.StorageOptions`; ``functools.partial`` binds them.

    Returns:
        Values of the modality, shape (channel, x, y, z), where times or diffusion are channels; and the affine to RAS
        millimetres, shape (4, 4).

    Raises:
        UsageError: The image is no volume; the text says why.
        DicomZarrError: It cannot be opened, or a frame cannot be had.
    """
    volume = volume_of(opened(path, storage_options), time=time, channel=channel, absent=absent)
    values = volume.values if volume.values.ndim > _SPATIAL else volume.values[np.newaxis]
    return values.transpose(0, 3, 2, 1), ras(volume.affine)
