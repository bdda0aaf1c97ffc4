"""Images with labels: xarray datasets of levels, with physical coordinates of pixel centres."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dicomzarr.arrays import Image, Level
    from dicomzarr.multiscale import Axis

VARIABLE = "image"
"""The name of the data variable of a level."""


class LevelArray(BackendArray):
    """A level as xarray indexes arrays: nothing is read before values are asked for."""

    def __init__(self, level: Level) -> None:
        self.level = level
        self.shape = level.shape
        self.dtype = level.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, self.level.__getitem__
        )


def level_dataset(image: Image, level: Level) -> xr.Dataset:
    """One level as a Dataset with the variable ``image``.

    Coordinates of space axes are centres of pixels in the axis' unit, relative to the centre of the first
    pixel of level 0; ``c`` holds channel names. ``affine`` (4x4) leads from there to DICOM's coordinates.
    """
    variable = xr.Variable(
        level.axes,
        indexing.LazilyIndexedArray(LevelArray(level)),
        encoding={"preferred_chunks": dict(zip(level.axes, level.chunks, strict=True))},
    )
    coordinates = {
        axis.name: _coordinate(image, axis, size, scale, shift)
        for axis, size, scale, shift in zip(image.axes, level.shape, level.scale, level.translation, strict=True)
    }
    attributes = {} if image.affine is None else {"affine": np.asarray(image.affine)}
    return xr.Dataset({VARIABLE: variable}, coordinates, attributes)


def _coordinate(image: Image, axis: Axis, size: int, scale: float, shift: float) -> tuple[str, Any, dict[str, str]]:
    if axis.name == "c":
        return (axis.name, [channel.label for channel in image.channels], {})
    centres = shift + scale * np.arange(size, dtype=np.float64)
    return (axis.name, centres, {"units": axis.unit} if axis.unit else {})


def image_datasets(image: Image, prefix: str = "") -> dict[str, xr.Dataset]:
    """Datasets of all levels by their group: ``0``, ``1``, ..."""
    return {f"{prefix}{level.number}": level_dataset(image, level) for level in image.levels}


def image_tree(image: Image) -> xr.DataTree:
    """A DataTree with one node a level."""
    return xr.DataTree.from_dict({"/": xr.Dataset(), **image_datasets(image)}, name=image.name)


def series_datasets(images: Iterable[Image]) -> dict[str, xr.Dataset]:
    """Datasets of all levels of all images, by their group in the series' hierarchy."""
    datasets: dict[str, xr.Dataset] = {"/": xr.Dataset()}
    for image in images:
        datasets.update(image_datasets(image, f"{image.path}/" if image.path else ""))
    return datasets
