"""Lazy arrays over a series that is open: images, levels, regions."""

from __future__ import annotations

from dicomzarr.arrays.image import Image, Level, open_image

__all__ = ["Image", "Level", "open_image"]
