"""Readers for MONAI: volumes for ``LoadImage``, slides for ``PatchWSIDataset`` and its kin."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomzarr.arrays.volume.nifti import ras
from dicomzarr.arrays.volume.volume import volume_of
from dicomzarr.errors import UsageError
from dicomzarr.faces.training.given import GivenOptions, is_series, opened
from dicomzarr.options import StorageOptions
from dicomzarr.runtime.extras import needed
from dicomzarr.runtime.tracebacks import keeps_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from dicomzarr.arrays.image import Image
    from dicomzarr.arrays.volume.volume import Volume

needed("monai")
_image_reader: Any = import_module("monai.data.image_reader")
_wsi_reader: Any = import_module("monai.data.wsi_reader")
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

    @keeps_secrets
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

    @keeps_secrets
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

        Returns:
            (x, y, z) or (x, y, z, t), and what MONAI reads of them: the affine in RAS millimetres, shape and spacing.

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


class WSIReader(_wsi_reader.BaseWSIReader):  # type: ignore[misc]  # as above
    """Reads patches of a slide: ``PatchWSIDataset(..., reader=WSIReader(level=1))``.

    Outside of the slide, patches are white. Arguments are those of MONAI's ``BaseWSIReader``; what else is given are
    storage options.
    """

    backend = "dicomzarr"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        given: dict[str, Any] = self.kwargs
        StorageOptions.parse(**given)
        self.kwargs: dict[str, Any] = GivenOptions(given)

    def verify_suffix(self, filename: Any) -> bool:
        """Whether all are images or URLs of ours."""
        return all(map(is_series, _each(filename)))

    def read(self, data: Any, **options: Any) -> Any:
        """Open a slide, or several; see `VolumeReader.read`."""
        images = [opened(each, {**self.kwargs, **options}) for each in _each(data)]
        return images if len(images) > 1 else images[0]

    def get_level_count(self, wsi: Image) -> int:
        """Number of levels."""
        return len(wsi.levels)

    def get_size(self, wsi: Image, level: int) -> tuple[int, int]:
        """(height, width) of a level."""
        height, width = wsi.levels[level].shape[-2:]
        return height, width

    def get_downsample_ratio(self, wsi: Image, level: int) -> float:
        """How much coarser a level is than the finest."""
        return wsi.levels[level].downsample

    def get_file_path(self, wsi: Image) -> str:
        """The URL of the slide."""
        return wsi.url

    def get_mpp(self, wsi: Image, level: int) -> tuple[float, float]:
        """(y, x) spacing of a level in micrometres.

        Raises:
            ValueError: DICOM does not say it.
        """
        if wsi.mpp is None:
            raise ValueError("DICOM does not say how large the pixels of this slide are: choose a level.")
        y, x = wsi.levels[level].scale[-2:]
        return y, x

    def get_power(self, wsi: Image, level: int) -> float:
        """The objective's power at a level.

        Raises:
            ValueError: DICOM does not say it.
        """
        if wsi.magnification is None:
            raise ValueError("DICOM does not say the objective's power of this slide: choose a level or mpp.")
        return wsi.magnification / self.get_downsample_ratio(wsi, level)

    def _get_patch(  # noqa: PLR0913, PLR0917  # MONAI's protocol
        self, wsi: Image, location: tuple[int, int], size: tuple[int, int], level: int, dtype: Any, mode: str
    ) -> npt.NDArray[Any]:
        # Channels come last, and of one channel there is no axis.
        pixels: npt.NDArray[Any] = np.atleast_3d(wsi.read_region(location[::-1], size[::-1], level=level))
        if not (np.can_cast(pixels.dtype, dtype) or np.issubdtype(dtype, np.floating)):
            raise UsageError(
                f"Pixels of {pixels.dtype} do not fit {np.dtype(dtype)}.", remedy="Give the reader dtype=."
            )
        if mode == "RGBA":
            pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=-1)
        return np.moveaxis(pixels.astype(dtype, copy=False), -1, self.channel_dim)


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
