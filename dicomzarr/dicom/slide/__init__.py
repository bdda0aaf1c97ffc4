"""Tiled images to levels and pyramids (PS3.3 section C.8.12)."""
