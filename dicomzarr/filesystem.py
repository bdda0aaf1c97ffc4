"""The fsspec filesystems, at the path that is documented."""

from __future__ import annotations

from dicomzarr.faces.fsspec.filesystem import (
    DICOMFileSystem,
    DICOMwebFileSystem,
    DICOMwebsFileSystem,
    GivenStore,
)

__all__ = ["DICOMFileSystem", "DICOMwebFileSystem", "DICOMwebsFileSystem", "GivenStore"]
