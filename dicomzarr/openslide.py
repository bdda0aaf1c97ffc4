"""OpenSlide's Python interface on any DICOM slide: ``from dicomzarr.openslide import open_slide``."""

from __future__ import annotations

from dicomzarr.faces.openslide import OpenSlide, open_slide

__all__ = ["OpenSlide", "open_slide"]
