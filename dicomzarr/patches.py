"""Patches of slides for training and inference, and data sets of PyTorch that read them.

```python
from dicomzarr.patches import PatchDataset, grid, tissue_mask

patches = grid(image, 224, mpp=0.5, mask=tissue_mask(image))
loader = torch.utils.data.DataLoader(PatchDataset(patches), batch_size=64, num_workers=2)
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dicomzarr.errors import MissingPackageError
from dicomzarr.faces.patches.masks import tissue_mask
from dicomzarr.faces.patches.positions import Patches, at_random, grid
from dicomzarr.runtime.extras import is_there

if TYPE_CHECKING:
    from dicomzarr.faces.patches.datasets import PatchDataset, PatchStream

__all__ = ["Patches", "at_random", "grid", "tissue_mask"]
if is_there("torch"):
    __all__ += ["PatchDataset", "PatchStream"]


def __getattr__(name: str) -> Any:
    """Import PyTorch when a data set is first asked for.

    Raises:
        MissingPackageError: PyTorch is not installed.
    """
    if name not in {"PatchDataset", "PatchStream"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from dicomzarr.faces.patches import datasets  # noqa: PLC0415  # PyTorch is heavy, and need not be there
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "torch":
            raise
        message = f"dicomzarr.patches.{name} needs PyTorch."
        raise MissingPackageError(message, remedy="Install it: pip install torch.") from error
    return getattr(datasets, name)


def __dir__() -> list[str]:
    """The public names, which are there before they are imported; without PyTorch, those that need none."""
    return __all__
