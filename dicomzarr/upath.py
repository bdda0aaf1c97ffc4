"""The paths of universal-pathlib, at the path that is documented."""

from __future__ import annotations

from dicomzarr.faces.fsspec.upath import DICOMFilePath, DICOMwebPath, DICOMwebsPath

__all__ = ["DICOMFilePath", "DICOMwebPath", "DICOMwebsPath"]
