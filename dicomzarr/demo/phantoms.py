"""Series that are made when they are asked for."""

from dicomzarr.faces.demo.phantoms import phantoms, uid

__all__ = ["phantoms", "uid"]
