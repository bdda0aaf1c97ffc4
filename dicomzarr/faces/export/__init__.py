"""Copies of series that others keep: OME-Zarr on any target, one zip file, OME-TIFF and NIfTI.

A series is cut to a `selection.Part`, that to blocks, and each block is read, written and noted in a `journal.Journal`;
what is one file in the end is put together of a finished OME-Zarr beside it.
"""

from __future__ import annotations

from dicomzarr.faces.export.exporting import Exported, export

__all__ = ["Exported", "export"]
