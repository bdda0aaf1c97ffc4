"""Slides in wsidata and LazySlide: ``from dicomzarr.wsidata import open_wsi``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dicomzarr.errors import UsageError
from dicomzarr.runtime.tracebacks import keeps_secrets

if TYPE_CHECKING:
    import os

    from dicomzarr.arrays.image import Image

__all__ = ["open_wsi"]


@keeps_secrets
def open_wsi(
    slide: str | os.PathLike[str] | Image, store: str | os.PathLike[str] | None = None, **storage_options: Any
) -> Any:
    """Open a slide as `wsidata.open_wsi` opens files, which takes no URL.

    Args:
        slide: A URL or path, as `dicomzarr.open` takes it, or an image that is open.
        store: A Zarr folder of what is found out about the slide, which ``write`` makes; if there is one, it is read.
        **storage_options: As for `dicomzarr.open`.

    Returns:
        A `wsidata.WSIData`.

    Raises:
        UsageError: wsidata is not installed, or the slide is not in colour of 8 bits.
        DicomZarrError: It cannot be opened, as for `dicomzarr.open`.
    """
    try:
        from dicomzarr.faces.openslide.wsidata import opened  # noqa: PLC0415  # heavy, and need not be there
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"wsidata", "spatialdata"}:
            raise
        raise UsageError(
            "dicomzarr.wsidata needs wsidata.", remedy="Install it, with Python 3.12 or later: pip install wsidata."
        ) from error
    return opened(slide, store, storage_options)
