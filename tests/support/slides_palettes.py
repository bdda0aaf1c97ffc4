"""Slides whose pixels are indices into a palette."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pydicom import Dataset


def give_palette(dataset: Dataset, seed: int) -> None:
    """Make the grey values of an instance, of 8 bits, indices of colours at random (PS3.3 section C.7.6.3.1.5)."""
    random = np.random.default_rng(seed)
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    for name in ("Red", "Green", "Blue"):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 8])
        table = random.integers(0, 256, 256, dtype=np.uint8)
        setattr(dataset, f"{name}PaletteColorLookupTableData", table.tobytes())
