"""Images with labels: xarray datasets of levels, with physical coordinates of pixel centres."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing
from xarray.indexes import RangeIndex

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.arrays import Image, Level
    from dicomzarr.multiscale import Axis

VARIABLE = "image"
"""The name of the data variable of a level."""

_MOST_CENTRES = 2**24
"""Longer axes have coordinates that are computed where they are asked for: metadata can claim any length."""

_PER_MILLIMETRE = {"millimeter": 1.0, "micrometer": 1000.0}


class LevelArray(BackendArray):
    """A level as xarray indexes arrays: nothing is read before values are asked for."""

    def __init__(self, level: Level) -> None:
        self.level = level
        self.shape = level.shape
        self.dtype = level.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        # Every kind of key is read as it is: xarray's adapter would spell out points, and fails at empty slices.
        if isinstance(key, indexing.VectorizedIndexer):
            return self._read_points(key.tuple)
        return self.level.read_orthogonal(key.tuple)

    def _read_points(self, index: tuple[Any, ...]) -> Any:
        """Axes of the points first, as xarray wants them; NumPy leaves them where arrays stand side by side."""
        arrays = [place for place, item in enumerate(index) if not isinstance(item, slice)]
        pixels = self.level[index]
        if arrays[-1] - arrays[0] >= len(arrays):
            return pixels
        axes = range(index[arrays[0]].ndim)
        return np.moveaxis(pixels, [arrays[0] + axis for axis in axes], list(axes))


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
    attributes = {} if image.affine is None else {"affine": np.asarray(image.affine)}
    dataset = xr.Dataset({VARIABLE: variable}, attrs=attributes)
    for axis, size, scale, shift in zip(image.axes, level.shape, level.scale, level.translation, strict=True):
        dataset = dataset.assign_coords(_coordinate(image, axis, size, scale, shift))
        dataset[axis.name].attrs.update({"units": axis.unit} if axis.unit else {})
    return _with_source(dataset, image.url)


def _coordinate(image: Image, axis: Axis, size: int, scale: float, shift: float) -> Any:
    """What `xarray.Dataset.assign_coords` takes for one axis."""
    if axis.name == "c":
        return {axis.name: [channel.label for channel in image.channels]}
    if size > _MOST_CENTRES:
        index = RangeIndex.linspace(shift, shift + scale * size, size, endpoint=False, dim=axis.name)
        return xr.Coordinates.from_xindex(index)
    planes = image.plan.attributes.get("z_offsets")
    if axis.name == "z" and axis.unit in _PER_MILLIMETRE and isinstance(planes, list) and len(planes) == size:
        offsets = np.asarray(planes, np.float64)
        return {axis.name: np.round((offsets - offsets[0]) * _PER_MILLIMETRE[axis.unit], 9)}  # without noise
    return {axis.name: shift + scale * np.arange(size, dtype=np.float64)}


def _with_source(dataset: xr.Dataset, url: str) -> xr.Dataset:
    """Say where a dataset is from; else xarray would note the URL that the user gave, with a password in it."""
    dataset.encoding["source"] = url
    return dataset


def image_datasets(image: Image, prefix: str = "") -> dict[str, xr.Dataset]:
    """Datasets of all levels by their group: ``0``, ``1``, ..."""
    return {f"{prefix}{level.number}": level_dataset(image, level) for level in image.levels}


def image_tree(image: Image) -> xr.DataTree:
    """A DataTree with one node a level."""
    return xr.DataTree.from_dict({"/": xr.Dataset(), **image_datasets(image)}, name=image.name)


def series_datasets(images: Sequence[Image]) -> dict[str, xr.Dataset]:
    """Datasets of all levels of all images, by their group in the series' hierarchy."""
    datasets = {"/": _with_source(xr.Dataset(), images[0].series_url)}
    for image in images:
        datasets.update(image_datasets(image, f"{image.path}/" if image.path else ""))
    return datasets
