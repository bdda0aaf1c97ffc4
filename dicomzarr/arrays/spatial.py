"""An image as SpatialData holds it: levels as they are, labels, and where it lies; everything stays lazy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from dicomzarr.arrays.resolutions import corner, downsamples
from dicomzarr.arrays.volume.volume import indices_taken
from dicomzarr.errors import UsageError
from dicomzarr.plan.coverage import edge_to_edge
from dicomzarr.plan.placing import patient_affine
from dicomzarr.runtime.extras import needed

if TYPE_CHECKING:
    import dask.array

    from dicomzarr.arrays.level import Level, MultiscaleImage

_RGB = ("r", "g", "b")
_CENTRE = 0.5
"""Of a pixel: coordinates of SpatialData begin at the corner of the first one."""


def spatial_data(image: MultiscaleImage, time: int | None) -> Any:
    """See `Image.to_spatialdata`."""
    library: Any = needed("spatialdata", "spatialdata")
    names = image.levels[0].axes
    if time is None and "t" in names:
        raise UsageError("SpatialData has no axis of time, and the image has.", remedy="Choose one, as time=0.")
    taken = int(indices_taken(image.plan, time=time)["t"][0])
    solid = "3D" if "z" in names else "2D"
    pixels = _tree(image, image, getattr(library.models, f"Image{solid}Model"), taken)
    labels = {
        name: _tree(label, image, getattr(library.models, f"Labels{solid}Model"), taken)
        for name, label in image.labels.items()
    }
    name = "".join(char if char.isalnum() else "_" for char in image.name).strip("_")
    return library.SpatialData(images={name: pixels}, labels=labels)


def _tree(image: MultiscaleImage, whole: MultiscaleImage, model: Any, time: int) -> Any:
    """All levels as one multiscale element, placed; of each what shows level 0, for SpatialData goes by shapes."""
    from spatialdata.transformations import set_transformation  # noqa: PLC0415  # an extra

    datasets = {
        f"scale{place}": _scale(image, image.levels[number], window, model, time)
        for place, (number, window) in enumerate(edge_to_edge(image.plan))
    }
    tree: Any = xr.DataTree.from_dict(datasets)
    set_transformation(tree, _placed(image, whole, time), set_all=True)
    return tree


def _scale(image: MultiscaleImage, level: Level, window: tuple[slice, slice], model: Any, time: int) -> xr.Dataset:
    pixels, names = _pixels(level, time)
    pixels = pixels[(..., *window)]
    if "c" in model.dims and "c" not in names:
        pixels, names = pixels[np.newaxis], ["c", *names]
    element = model.parse(xr.DataArray(pixels, dims=names), **_channels(image, model))
    finest = dict(zip(level.axes, image.levels[0].shape, strict=True))
    here = {name: size for name, size in zip(names, pixels.shape, strict=True) if name in "zyx"}
    element = element.assign_coords(
        {name: (np.arange(size) + _CENTRE) * finest[name] / size for name, size in here.items()}
    )
    return xr.Dataset({"image": element})


def _pixels(level: Level, time: int) -> tuple[dask.array.Array, list[str]]:
    pixels, names = level.to_dask(), list(level.axes)
    if "t" in names:
        return pixels[time], names[1:]
    return pixels, names


def _channels(image: MultiscaleImage, model: Any) -> dict[str, Any]:
    if "c" not in model.dims:
        return {}
    names = [channel.label for channel in image.channels]
    if image.plan.color and len(names) == len(_RGB):
        return {"c_coords": list(_RGB)}
    unique = len(set(names)) == len(names) and all(names)
    return {"c_coords": names if unique else [f"{number} {name}".strip() for number, name in enumerate(names)]}


def _placed(image: MultiscaleImage, whole: MultiscaleImage, time: int) -> dict[str, Any]:
    """Where an image or a label lies.

    Args:
        image: That.
        whole: The image that it is, or is a label of: ``global`` counts pixels of its finest level. Another system has
            their unit, or is ``patient``, in LPS.
        time: The index along t that is shown: where the patient moved, each has its own place.
    """
    from spatialdata.transformations import Affine, Identity, Scale  # noqa: PLC0415  # an extra

    level = image.plan.levels[0]
    (x, y), (across, down) = corner(whole.plan, level), downsamples(whole.plan, level)
    counted = np.array([[down, 0.0, y], [0.0, across, x], [0.0, 0.0, 1.0]])
    is_finest = np.allclose(counted, np.eye(3))
    plane = {"input_axes": ("y", "x"), "output_axes": ("y", "x")}
    placed: dict[str, Any] = {"global": Identity() if is_finest else Affine(counted, **plane)}
    affine, unit = patient_affine(image.plan, time), image.axes[-1].unit
    names = [name for name in image.levels[0].axes if name in "zyx"]
    if affine is not None and "z" in names:
        matrix = np.array(affine)
        matrix[:3, 3] -= matrix[:3, :3] @ np.full(3, _CENTRE)
        placed["patient"] = Affine(matrix, input_axes=("x", "y", "z"), output_axes=("x", "y", "z"))
    elif unit is not None and is_finest:  # z goes along, unless it counts
        steps = {axis.name: step for axis, step in zip(image.axes, level.scale, strict=True) if axis.unit == unit}
        placed[unit] = Scale([*steps.values()], axes=(*steps,))
    elif unit is not None:
        placed[unit] = Affine(np.diag([*whole.plan.levels[0].scale[-2:], 1]) @ counted, **plane)
    return placed
