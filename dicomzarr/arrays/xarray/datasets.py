"""Levels as datasets, images as trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from dicomzarr.arrays.xarray.axes import with_axes
from dicomzarr.arrays.xarray.frame_coordinates import frame_coordinates
from dicomzarr.arrays.xarray.patient import oblique_coordinates
from dicomzarr.arrays.xarray.rescaling import factor_coordinates, factors_of
from dicomzarr.arrays.xarray.values import VARIABLE, image_variable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.arrays.level import Level, MultiscaleImage


def level_dataset(image: MultiscaleImage, level: Level, *, mask_and_scale: bool = True) -> xr.Dataset:
    """One level as a Dataset with the variable ``image``.

    Coordinates of space axes are centres of pixels in the axis' unit: in LPS for images that lie along the axes of a
    patient, else relative to the centre of the first pixel of level 0, and ``lps_x``, ``lps_y`` and ``lps_z`` say
    where in the patient. ``c`` holds channel names. ``affine`` (4x4) leads from (column, row, slice) to DICOM's
    coordinates; netCDF takes it as ``affine.ravel()``. What varies from frame to frame is a coordinate along t, c
    and z.

    Args:
        image: The image.
        level: One of its levels.
        mask_and_scale: Give what stored values measure, as xarray does for files.
    """
    factors = factors_of(image, level)
    told = {"affine": image.affine, "plane_affine": image.plan.attributes.plane_affine}
    attributes = {name: np.asarray(affine) for name, affine in told.items() if affine is not None}
    variable = image_variable(image, level, factors, mask_and_scale=mask_and_scale)
    dataset = with_axes(xr.Dataset({VARIABLE: variable}, attrs=attributes), image, level)
    dataset = dataset.assign_coords(frame_coordinates(image, level))
    if factors is not None and not factors.uniform:
        dataset = dataset.assign_coords(factor_coordinates(level, factors))
    oblique = oblique_coordinates(image, level)
    return _with_source(dataset if oblique is None else dataset.assign_coords(oblique), image.url)


def _with_source(dataset: xr.Dataset, url: str) -> xr.Dataset:
    """Say where a dataset is from; else xarray would note the URL that the user gave, with a password in it."""
    dataset.encoding["source"] = url
    return dataset


def image_datasets(image: MultiscaleImage, prefix: str = "", *, mask_and_scale: bool = True) -> dict[str, xr.Dataset]:
    """Datasets of all levels by their group: ``0``, ``1``, ..."""
    return {
        f"{prefix}{level.number}": level_dataset(image, level, mask_and_scale=mask_and_scale) for level in image.levels
    }


def image_tree(image: MultiscaleImage) -> xr.DataTree:
    """A DataTree with one node a level, and those of its labels below ``labels``."""
    groups = {"/": xr.Dataset(), **image_datasets(image)}
    for name, label in image.labels.items():
        groups |= image_datasets(label, f"labels/{name}/")
    name = image.name.replace("/", " per ")  # as of cm/s: xarray takes a slash for a path
    return xr.DataTree.from_dict(groups, name=name)


def series_datasets(images: Sequence[MultiscaleImage], *, mask_and_scale: bool = True) -> dict[str, xr.Dataset]:
    """Datasets of all levels of all images and of their labels, by their group in the series' hierarchy."""
    datasets = {"/": _with_source(xr.Dataset(), images[0].series_url)}
    for each in (*images, *(label for image in images for label in image.labels.values())):
        prefix = f"{each.path}/" if each.path else ""
        datasets.update(image_datasets(each, prefix, mask_and_scale=mask_and_scale))
    return datasets
