"""Readers for MONAI; importing it needs MONAI."""

from __future__ import annotations

from dicomzarr.faces.training.monai import VolumeReader, WSIReader

__all__ = ["VolumeReader", "WSIReader"]
