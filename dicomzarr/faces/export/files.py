"""What is one file in the end: put together beside the target of a finished OME-Zarr, and then renamed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomzarr.errors import InvalidOptionError

if TYPE_CHECKING:
    from dicomzarr.faces.export.zarr_export import ZarrExport


def export_file(kind: str) -> ZarrExport:
    """Write one file.

    Raises:
        InvalidOptionError: The format cannot be written.
    """
    raise InvalidOptionError(f"Exports to {kind} cannot be written.", remedy="Name a target that ends in .zarr.")
