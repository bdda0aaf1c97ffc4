"""Lazy arrays over a series that is open: images, levels, regions."""

from __future__ import annotations

from dicomzarr.arrays.image import Image, open_image
from dicomzarr.arrays.level import Level

__all__ = ["Image", "Level", "open_image"]
