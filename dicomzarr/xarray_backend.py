"""The backend of xarray, at the path that is documented."""

from __future__ import annotations

from dicomzarr.faces.xarray.backend import DicomZarrBackendEntrypoint

__all__ = ["DicomZarrBackendEntrypoint"]
