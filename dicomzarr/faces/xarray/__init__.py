"""Images with labels: xarray datasets of levels, with physical coordinates of pixel centres."""

from __future__ import annotations

from dicomzarr.faces.xarray.datasets import image_tree, level_dataset, series_datasets
from dicomzarr.faces.xarray.values import VARIABLE

__all__ = ["VARIABLE", "image_tree", "level_dataset", "series_datasets"]
