"""Volumes as the libraries of radiology hold them: SimpleITK, nibabel, files of NIfTI."""

from __future__ import annotations
