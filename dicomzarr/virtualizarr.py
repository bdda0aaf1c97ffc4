"""The parser for VirtualiZarr, at the path that is documented."""

from __future__ import annotations

from dicomzarr.faces.export.manifests import DICOMParser

__all__ = ["DICOMParser"]
