"""A slide as OpenSlide's Python interface shows it, for code that was written for that."""

from __future__ import annotations

from dicomzarr.faces.openslide.slide import OpenSlide, open_slide

__all__ = ["OpenSlide", "open_slide"]
