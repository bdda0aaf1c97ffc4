"""Where tissue is: a mask from a small picture of a slide, and how much of each patch is tissue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.arrays.image import Image
from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]
    Floats = npt.NDArray[np.float64]

_BINS: Final = 256
"""Of the histogram that the threshold is found in."""

_LEAST: Final = 15 / 255
"""Saturation below which nothing is tissue: Otsu's method cuts also a slide in two that is glass alone."""

_DARKEST: Final = 26
"""Of 255: the brightest of R, G, B where colour can be told. Noise on black is as saturated as any stain."""


def tissue_mask(image: Image, size: int = 2048, *, threshold: float | None = None) -> Mask:
    """Where a stained slide has tissue: pixels more saturated than glass, told apart by Otsu's method.

    Saturation is that of HSV, (highest - lowest) / highest of R, G, B; what is nearly black is no tissue. Otsu,
    "A Threshold Selection Method from Gray-Level Histograms", IEEE Trans. SMC 9 (1979).

    Args:
        image: A slide in colour.
        size: Pixels of the mask's longer side, at most: it is made from a thumbnail.
        threshold: Saturation from 0 to 1 above which a pixel is tissue; None to find it.

    Returns:
        Shape (rows, columns), over the whole of level 0.

    Raises:
        UsageError: The image is not in colour, or no level of it is coarse enough; or the threshold is beyond 0 to 1.
        DicomZarrError: A frame cannot be had, as for `Image.thumbnail`.
    """
    if not checked_slide(image).plan.color:
        raise UsageError(
            "A tissue mask was asked for of an image without colour, and tissue is told by the colour of its stain.",
            remedy="Give a mask of your own: an array over the whole image, of any resolution.",
        )
    if threshold is not None and not is_within(threshold, 0, 1):
        raise UsageError(f"The threshold {threshold!r:.40} is no saturation.", remedy="Give one from 0 to 1, or none.")
    found = saturation(image.thumbnail(size))
    return found > (max(otsu(found), _LEAST) if threshold is None else threshold)


def checked_slide(image: Any) -> Image:
    """An image, as `dicomzarr.open` gives it.

    Raises:
        UsageError: It is something else, as one of its levels.
    """
    if not isinstance(image, Image):
        raise UsageError(
            f"A slide was wanted, and given was {type(image).__name__}.",
            remedy="Give what dicomzarr.open gives, and not one of its levels, pixels, or its URL.",
        )
    return image


def is_within(given: Any, least: float, most: float) -> bool:
    """Whether it is a number, and no less and no more than these."""
    try:
        return bool(least <= given <= most)
    except (TypeError, ValueError):
        return False


def saturation(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """That of HSV, from 0 to 1.

    Args:
        picture: Shape (rows, columns, 3).
    """
    highest, lowest = picture.max(axis=-1), picture.min(axis=-1)
    found: npt.NDArray[np.float32] = (highest - lowest) / np.maximum(highest, 1, dtype=np.float32)
    found[highest < _DARKEST] = 0
    return found


def otsu(values: npt.NDArray[np.float32]) -> float:
    """The threshold that parts values from 0 to 1 into two classes with the greatest variance between them."""
    counts, edges = np.histogram(values, _BINS, (0, 1))
    below = np.cumsum(counts)[:-1]
    above = values.size - below
    sums = np.cumsum(counts * (edges[:-1] + edges[1:]) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = sums[:-1] / below - (sums[-1] - sums[:-1]) / above
        between = np.nan_to_num(below * above * apart**2)
    return float(edges[1 + int(np.argmax(between))])


def shares(mask: npt.NDArray[np.generic], corners: Floats, extent: Floats, shape: Floats) -> Floats:
    """How much of each patch is tissue, from 0 to 1; what lies beyond the image is none.

    A sum over all pixels above and to the left is interpolated at the patch's corners: a pixel of the mask counts by
    the part of it that the patch covers.

    Args:
        mask: Shape (rows, columns), over an image of ``shape``; what is not zero is tissue.
        corners: (x, y) of each patch, shape (patches, 2), in the unit of ``shape``.
        extent: (width, height) of a patch.
        shape: (width, height) of the image.
    """
    sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1))
    np.cumsum(np.cumsum(mask != 0, axis=0), axis=1, out=sums[1:, 1:])
    steps = shape / np.array(mask.shape[::-1])
    first, last = corners / steps, (corners + extent) / steps

    def up_to(x: Floats, y: Floats) -> Floats:
        return _between(sums, x, y)

    covered = (
        up_to(last[:, 0], last[:, 1])
        - up_to(first[:, 0], last[:, 1])
        - up_to(last[:, 0], first[:, 1])
        + up_to(first[:, 0], first[:, 1])
    )
    found: Floats = np.clip(covered / np.prod(extent / steps), 0, 1)
    return found


def _between(table: Floats, x: Floats, y: Floats) -> Floats:
    """A table at places between its entries, bilinearly; beyond its edges as at these."""
    x, y = np.clip(x, 0, table.shape[1] - 1), np.clip(y, 0, table.shape[0] - 1)
    column, row = np.minimum(x.astype(int), table.shape[1] - 2), np.minimum(y.astype(int), table.shape[0] - 2)
    across, down = x - column, y - row
    upper = table[row, column] * (1 - across) + table[row, column + 1] * across
    lower = table[row + 1, column] * (1 - across) + table[row + 1, column + 1] * across
    found: Floats = upper * (1 - down) + lower * down
    return found
