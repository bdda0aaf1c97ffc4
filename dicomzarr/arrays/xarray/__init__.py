"""Images with labels: xarray datasets of levels, with physical coordinates of pixel centres."""

from __future__ import annotations

from dicomzarr.arrays.xarray.datasets import image_tree, level_dataset, series_datasets
from dicomzarr.arrays.xarray.values import VARIABLE

__all__ = ["VARIABLE", "image_tree", "level_dataset", "series_datasets"]
