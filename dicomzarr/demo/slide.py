"""The slide that comes with the package."""

from dicomzarr.faces.demo.slide import SERIES, STUDY, demo_files

__all__ = ["SERIES", "STUDY", "demo_files"]
