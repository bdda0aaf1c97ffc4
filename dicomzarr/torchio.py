"""Series as images of TorchIO, and a reader for it."""

from __future__ import annotations

from dicomzarr.faces.training.torchio import read, scalar_image

__all__ = ["read", "scalar_image"]
