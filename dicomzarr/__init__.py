"""Any DICOM series, on a server or in files, opened as OME-Zarr, without a download.

```python
import dicomzarr

image = dicomzarr.open("dicomwebs://host/dicom-web/studies/1.2.3/series/1.2.3.4")
image.levels[0][:, 1000:1256, 2000:2256]
```

zarr, xarray, dask and fsspec take the URL as it is, with nothing imported from here.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers take it; typing itself, and all else, is imported when it is needed
if TYPE_CHECKING:
    from typing import Any

    from dicomzarr import errors
    from dicomzarr.arrays.image import Image
    from dicomzarr.arrays.image import open_image as open  # noqa: A004  # dicomzarr.open is the public name
    from dicomzarr.arrays.level import Level
    from dicomzarr.arrays.progress import progress
    from dicomzarr.faces.doctor import doctor
    from dicomzarr.faces.export import export
    from dicomzarr.faces.export.many import export_many
    from dicomzarr.faces.export.references import references
    from dicomzarr.faces.reports import key_objects, measurements
    from dicomzarr.faces.search import FoundSeries, search

__version__ = "0.1.0"
__all__ = [
    "FoundSeries",
    "Image",
    "Level",
    "__version__",
    "doctor",
    "errors",
    "export",
    "export_many",
    "key_objects",
    "measurements",
    "open",
    "progress",
    "references",
    "search",
]

_LAZY = {
    "FoundSeries": ("dicomzarr.faces.search", "FoundSeries"),
    "Image": ("dicomzarr.arrays", "Image"),
    "Level": ("dicomzarr.arrays", "Level"),
    "doctor": ("dicomzarr.faces.doctor", "doctor"),
    "export": ("dicomzarr.faces.export", "export"),
    "export_many": ("dicomzarr.faces.export.many", "export_many"),
    "key_objects": ("dicomzarr.faces.reports", "key_objects"),
    "measurements": ("dicomzarr.faces.reports", "measurements"),
    "open": ("dicomzarr.arrays", "open_image"),
    "progress": ("dicomzarr.arrays.progress", "progress"),
    "references": ("dicomzarr.faces.export.references", "references"),
    "search": ("dicomzarr.faces.search", "search"),
}
"""Where the public names are, and what they are called there."""


def __getattr__(name: str) -> Any:
    """Import what has this name when it is first asked for."""
    from importlib import import_module  # noqa: PLC0415  # see above

    if name == "errors":
        return import_module("dicomzarr.errors")
    if name not in _LAZY:
        import sys  # noqa: PLC0415  # as above; with the module, Python says which name may be meant

        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__])
    from dicomzarr.runtime.collection import without_collection  # noqa: PLC0415  # as above

    module, own = _LAZY[name]
    return getattr(without_collection(import_module)(module), own)


def __dir__() -> list[str]:
    """The public names, which are there before they are imported."""
    return __all__
