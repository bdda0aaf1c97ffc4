"""A DICOM series as BioIO's scenes and resolution levels."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import xarray as xr
from bioio_base import constants, io, reader
from bioio_base.exceptions import UnsupportedFileFormatError
from bioio_base.types import DimensionProperties, DimensionProperty, PhysicalPixelSizes, ureg

import dicomzarr

if TYPE_CHECKING:
    from pathlib import Path

    from fsspec.spec import AbstractFileSystem

    from dicomzarr import Image, Level

_PROTOCOLS = {"dicomweb", "dicomwebs", "dicomfile"}
_SECONDS = {"second": 1.0, "millisecond": 1e-3}


class Reader(reader.Reader):
    """Reads a series that dicomzarr opens.

    Args:
        image: ``dicomwebs://``, ``dicomweb://`` or ``dicomfile://`` and the path of a series.
        fs_kwargs: Storage options of dicomzarr.

    Raises:
        UnsupportedFileFormatError: It is the URL of something else.
        DicomZarrError: The series cannot be opened.
    """

    NAME = "bioio-dicomzarr"

    def __init__(self, image: str | Path, fs_kwargs: dict[str, Any] | None = None) -> None:
        options = fs_kwargs or {}
        self._fs, self._path = io.pathlike_to_fs(image, enforce_exists=False, fs_kwargs=options)
        if not self._is_supported_image(self._fs, self._path):
            raise UnsupportedFileFormatError(self.NAME, str(self._path), "It is no URL of dicomzarr.")
        first = dicomzarr.open(str(image), **options)
        self._images: tuple[Image, ...] = (*first.images, *first.associated.values())

    @staticmethod
    def _is_supported_image(fs: AbstractFileSystem, path: str, **_: Any) -> bool:  # noqa: ARG004  # BioIO's protocol
        protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
        return bool(protocols & _PROTOCOLS)

    @property
    def scenes(self) -> tuple[str, ...]:
        """The images of the series and then those that belong to them; by path where two have one name."""
        names = [image.name for image in self._images]
        if len(set(names)) == len(names):
            return tuple(names)
        return tuple(f"{image.path} {image.name}" for image in self._images)

    @property
    def resolution_levels(self) -> tuple[int, ...]:
        """Numbers of the levels, the finest first."""
        return tuple(range(len(self._image.levels)))

    @property
    def physical_pixel_sizes(self) -> PhysicalPixelSizes:
        """Steps along z, y and x, in the unit of `dimension_properties`; None where DICOM gives none."""
        steps = {axis.name: step for axis, step in self._steps() if axis.type == "space"}
        return PhysicalPixelSizes(*(steps.get(name) for name in "zyx"))

    @property
    def time_interval(self) -> dt.timedelta | None:
        """The step along t, where it is known."""
        seconds = [step * _SECONDS[axis.unit or ""] for axis, step in self._steps() if axis.unit in _SECONDS]
        return dt.timedelta(seconds=seconds[0]) if seconds else None

    @property
    def dimension_properties(self) -> DimensionProperties:
        """Kind and unit of each axis; the time's is what `scale` has, the second."""
        told = {
            axis.name: DimensionProperty(axis.type, axis.unit and ureg(axis.unit).units) for axis in self._image.axes
        }
        if self.time_interval is not None:
            told["t"] = DimensionProperty("time", ureg("second").units)
        return DimensionProperties(*(told.get(name, DimensionProperty(None, None)) for name in "tczyx"))

    def set_scene(self, scene_id: str | int) -> None:
        """Choose a scene; of one that has no such level, the finest."""
        super().set_scene(scene_id)
        if self._current_resolution_level not in self.resolution_levels:
            self.set_resolution_level(0)

    def _read_delayed(self) -> xr.DataArray:
        return self._labelled(self._level.to_dask())

    def _read_immediate(self) -> xr.DataArray:
        return self._labelled(self._level.to_numpy())

    @property
    def _image(self) -> Image:
        return self._images[self._current_scene_index]

    @property
    def _level(self) -> Level:
        return self._image.levels[self._current_resolution_level]

    def _steps(self) -> list[tuple[Any, float]]:
        """Axes that have a unit, and the step along them."""
        return [(axis, step) for axis, step in zip(self._image.axes, self._level.scale, strict=True) if axis.unit]

    def _labelled(self, pixels: Any) -> xr.DataArray:
        names = [axis.name.upper() for axis in self._image.axes]
        channels = {"C": [channel.label for channel in self._image.channels]} if "C" in names else {}
        document = json.loads(self._fs.cat_file(f"{self._image.url}/zarr.json"))
        return xr.DataArray(
            pixels, dims=names, coords=channels, attrs={constants.METADATA_UNPROCESSED: document["attributes"]}
        )
