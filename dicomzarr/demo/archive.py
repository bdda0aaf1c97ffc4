"""What the demo server holds."""

from dicomzarr.faces.demo.archive import Archive

__all__ = ["Archive"]
