"""The reader that wsidata reads by: its own for OpenSlide, on ours. wsidata is imported here, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from spatialdata import SpatialData, read_zarr
from wsidata import WSIData
from wsidata.reader.openslide import OpenSlideReader

from dicomzarr.faces.openslide.slide import OpenSlide

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from dicomzarr.arrays.image import Image


class DICOMReader(OpenSlideReader):
    """Reads a slide; it travels by URL.

    Args:
        slide: The slide.
    """

    name = "dicomzarr"
    pkg_namespaces = "dicomzarr"
    extensions = None

    def __init__(self, slide: OpenSlide) -> None:
        self._slide = slide
        self.file = slide.url
        self.create_reader()
        self.set_properties(slide.properties)

    def create_reader(self) -> None:
        """Read by the slide, which needs no opening."""
        self.set_reader(self._slide)


def opened(
    slide: str | os.PathLike[str] | Image, store: str | os.PathLike[str] | None, options: Mapping[str, Any]
) -> WSIData:
    """See `dicomzarr.wsidata.open_wsi`."""
    reader = DICOMReader(OpenSlide(slide, **options))
    kept = None if store is None else Path(store)
    found = SpatialData() if kept is None or not kept.exists() else read_zarr(kept)
    data = WSIData.from_spatialdata(found, reader)
    if kept is not None:
        data.set_wsi_store(kept)
    return data
