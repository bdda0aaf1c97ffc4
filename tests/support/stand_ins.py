"""As much of MONAI, TorchIO, SpatialData and BioIO as the adapters touch: the suite does without the packages.

``tests/adapters/run.py`` checks against the real ones.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import fsspec
import numpy as np

if TYPE_CHECKING:
    import pytest
    import xarray as xr


def install(monkeypatch: pytest.MonkeyPatch, modules: dict[str, dict[str, Any]], *ours: str) -> None:
    """Put modules in place for one test, and forget those of ours that import them.

    Args:
        monkeypatch: Undoes it.
        modules: What is in each, by name.
        ours: Names of our modules.
    """
    for name, held in modules.items():
        module = ModuleType(name)
        vars(module).update(held)
        monkeypatch.setitem(sys.modules, name, module)
    for name in ours:
        monkeypatch.delitem(sys.modules, name, raising=False)


# --- MONAI ---


class ImageReader:
    """Of ``monai.data.image_reader``."""


class BaseWSIReader(ImageReader):
    """Of ``monai.data.wsi_reader``: what it keeps of its arguments, and a patch."""

    def __init__(self, level: int | None = None, *, channel_dim: int = 0, dtype: Any = np.uint8, **kwargs: Any) -> None:
        self.level, self.channel_dim, self.dtype, self.kwargs = level, channel_dim, np.dtype(dtype), kwargs

    def get_data(self, wsi: Any, location: tuple[int, int], size: tuple[int, int], mode: str = "RGB") -> Any:
        # (top, left) in pixels of level 0, (height, width) in those of the level
        return self._get_patch(wsi, location=location, size=size, level=self.level, dtype=self.dtype, mode=mode)  # type: ignore[attr-defined]


MONAI = {
    "monai": {},
    "monai.data": {},
    "monai.data.image_reader": {"ImageReader": ImageReader},
    "monai.data.wsi_reader": {"BaseWSIReader": BaseWSIReader},
}


# --- TorchIO ---


@dataclass
class ScalarImage:
    """Of ``torchio``."""

    tensor: Any
    affine: Any


TORCHIO = {"torchio": {"ScalarImage": ScalarImage}}


# --- SpatialData ---


class _Model:
    dims: tuple[str, ...]

    @classmethod
    def parse(cls, data: xr.DataArray, c_coords: list[str] | None = None) -> xr.DataArray:
        assert data.dims == cls.dims
        assert data.chunks is not None
        return data if c_coords is None else data.assign_coords(c=c_coords)


def _model(*dims: str) -> type[_Model]:
    return type("Model", (_Model,), {"dims": dims})


@dataclass
class SpatialData:
    images: dict[str, Any]
    labels: dict[str, Any]


@dataclass
class Placed:
    """Any transformation."""

    what: Any = None
    axes: tuple[str, ...] = ()
    input_axes: tuple[str, ...] = ()
    output_axes: tuple[str, ...] = ()


@dataclass
class _Transformations:
    of: dict[int, dict[str, Placed]] = field(default_factory=dict)

    def set_transformation(self, element: Any, placed: dict[str, Placed], *, set_all: bool) -> None:
        assert set_all
        element.attrs["placed"] = placed


SPATIALDATA = {
    "spatialdata": {
        "SpatialData": SpatialData,
        "models": type(
            "models",
            (),
            {
                "Image2DModel": _model("c", "y", "x"),
                "Image3DModel": _model("c", "z", "y", "x"),
                "Labels2DModel": _model("y", "x"),
                "Labels3DModel": _model("z", "y", "x"),
            },
        ),
    },
    "spatialdata.transformations": {
        "set_transformation": _Transformations().set_transformation,
        **dict.fromkeys(("Affine", "Identity", "Scale"), Placed),
    },
}


# --- BioIO ---


class BaseReader:
    """Of ``bioio_base.reader``."""

    _current_scene_index = 0
    _current_resolution_level = 0

    def set_scene(self, scene: str | int) -> None:
        self._current_scene_index = scene if isinstance(scene, int) else self.scenes.index(scene)  # type: ignore[attr-defined]

    def set_resolution_level(self, level: int) -> None:
        self._current_resolution_level = level


class PhysicalPixelSizes(NamedTuple):
    Z: float | None
    Y: float | None
    X: float | None


class DimensionProperty(NamedTuple):
    type: str | None
    unit: str | None


class DimensionProperties(NamedTuple):
    T: DimensionProperty
    C: DimensionProperty
    Z: DimensionProperty
    Y: DimensionProperty
    X: DimensionProperty


@dataclass
class _Unit:
    units: str


class UnsupportedFileFormatError(Exception):
    """Of ``bioio_base.exceptions``."""


def _to_fs(uri: str, *, enforce_exists: bool, fs_kwargs: dict[str, Any]) -> Any:
    assert not enforce_exists
    return fsspec.url_to_fs(uri, **fs_kwargs)


def _within(**held: Any) -> Any:
    return type("module", (), {name: staticmethod(value) if callable(value) else value for name, value in held.items()})


_TYPES = {
    "DimensionProperties": DimensionProperties,
    "DimensionProperty": DimensionProperty,
    "PhysicalPixelSizes": PhysicalPixelSizes,
    "ureg": _Unit,
}
BIOIO = {
    "bioio_base": {
        "constants": _within(METADATA_UNPROCESSED="unprocessed"),
        "io": _within(pathlike_to_fs=_to_fs),
        "reader": _within(Reader=BaseReader),
    },
    "bioio_base.exceptions": {"UnsupportedFileFormatError": UnsupportedFileFormatError},
    "bioio_base.types": _TYPES,
}
