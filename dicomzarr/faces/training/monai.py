"""Readers for MONAI: volumes for ``LoadImage``, slides for ``PatchWSIDataset`` and its kin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dicomzarr.arrays.volume.nifti import ras
from dicomzarr.arrays.volume.volume import volume_of
from dicomzarr.errors import UsageError
from dicomzarr.faces.training.given import GivenOptions, is_series, opened, required
from dicomzarr.options import StorageOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from dicomzarr.arrays.volume.volume import Volume

_image_reader: Any = required("monai.data.image_reader", "monai")
_SPACE = "RAS"
_SPATIAL = 3


class VolumeReader(_image_reader.ImageReader):  # type: ignore[misc]  # MONAI need not be there when types are checked
    """Reads a series as a volume: ``LoadImage(reader=VolumeReader())("dicomwebs://...")``.

    Values are those of the modality, as Hounsfield units, the axes x, y, z and, of several volumes of one place, their
    number; the affine leads to RAS millimetres.

    Args:
        time: As for `Image.to_sitk`.
        channel: Likewise.
        absent: Likewise: what absent slices are filled with; without it, they are an error.
        **storage_options: See `dicomzarr.options.StorageOptions`.

    Raises:
        InvalidOptionError: An option is unknown or has an impossible value.
    """

    def __init__(
        self,
        *,
        time: int | None = None,
        channel: int | None = None,
        absent: float | None = None,
        **storage_options: Any,
    ) -> None:
        super().__init__()
        StorageOptions.parse(**storage_options)
        self._chosen: dict[str, Any] = {"time": time, "channel": channel, "absent": absent}
        self._options = GivenOptions(storage_options)

    def verify_suffix(self, filename: Any) -> bool:
        """Whether all are images or URLs of ours."""
        return all(map(is_series, _each(filename)))

    def read(self, data: Any, **options: Any) -> Any:
        """Open a series, or several.

        Args:
            data: URLs, paths or images.
            **options: Storage options beside those of the reader.

        Raises:
            DicomZarrError: One cannot be opened.
        """
        images = [opened(each, {**self._options, **options}) for each in _each(data)]
        return images if len(images) > 1 else images[0]

    def get_data(self, img: Any) -> tuple[npt.NDArray[Any], dict[str, Any]]:
        """Values, and where they lie; several images are stacked along a first axis.

        Raises:
            UsageError: One is no volume, or several do not lie in one place.
            DicomZarrError: A frame cannot be had.
        """
        volumes = [volume_of(each, **self._chosen) for each in _each(img)]
        arrays = [np.moveaxis(each.values, (-1, -2, -3), (0, 1, 2)) for each in volumes]
        if len(arrays) == 1:
            return arrays[0], _metadata(volumes[0], arrays[0], -1 if arrays[0].ndim > _SPATIAL else float("nan"))
        _check_alike(volumes)
        return np.stack(arrays), _metadata(volumes[0], arrays[0], 0)


def _each(given: Any) -> tuple[Any, ...]:
    return tuple(given) if isinstance(given, list | tuple) else (given,)


def _check_alike(volumes: Sequence[Volume]) -> None:
    """MONAI stacks several images into one, and keeps one affine.

    Raises:
        UsageError: They differ in shape or place.
    """
    first = volumes[0]
    for each in volumes[1:]:
        if each.values.shape != first.values.shape or not np.allclose(each.affine, first.affine):
            raise UsageError(
                f"Volumes of shapes {first.values.shape} and {each.values.shape} (z, y, x) do not lie in one place.",
                remedy="Load them one by one, and resample one onto the other.",
            )


def _metadata(volume: Volume, array: npt.NDArray[Any], channel: float) -> dict[str, Any]:
    """In MONAI's words."""
    affine = ras(volume.affine)
    return {
        "affine": affine,
        "original_affine": affine.copy(),
        "spatial_shape": np.array(array.shape[:_SPATIAL]),
        "original_channel_dim": channel,
        "space": _SPACE,
    }
