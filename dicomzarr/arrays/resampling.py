"""Pixels of one resolution out of those of a finer one, along rows and columns apart. Pure (no I/O).

A pixel of the result is a sum of pixels of the source: `Taps` say along one axis which, and how much each counts. What
would lie outside of the source counts for nothing, and `Taps.inside` says how much of each pixel is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Pixels = npt.NDArray[np.generic]

_GRAIN = 2.0**24
"""Parts of a pixel that positions are told to: coarser than the noise of their arithmetic, finer than what is seen."""

_EXACT_ITEMSIZE = 1
"""Bytes of values of which 32 bits of floating point hold the sum of thousands, each with its share."""


@dataclass(frozen=True, eq=False)
class Taps:
    """Along one axis: the pixels of the source that each pixel of the result is made of."""

    first: npt.NDArray[np.intp]
    """Index of the first, one for each pixel of the result, shape (n,)."""
    weights: npt.NDArray[np.float64]
    """How much it and those behind it count, shape (n, taps); 0 outside of the source."""

    @cached_property
    def inside(self) -> npt.NDArray[np.float64]:
        """How much of each pixel of the result lies in the source, 0 to 1, shape (n,)."""
        inside: npt.NDArray[np.float64] = self.weights.sum(axis=1)
        return inside

    @cached_property
    def window(self) -> tuple[int, int]:
        """The first index of the source that counts, and the first behind the last; equal where none does."""
        rows, taps = np.nonzero(self.weights)
        if not rows.size:
            return 0, 0
        touched = self.first[rows] + taps
        return int(touched.min()), int(touched.max()) + 1

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, rows: slice | npt.NDArray[np.bool_]) -> Taps:
        return Taps(self.first[rows], self.weights[rows])


def area_taps(start: float, step: float, count: int, size: int) -> Taps:
    """Means by area: each pixel of the result takes of the pixels beneath it as much as it covers.

    Args:
        start: Where the first pixel of the result begins, in pixels of the source, whose first begins at 0.
        step: Pixels of the source that a pixel of the result is wide, 1 or more.
        count: Pixels of the result.
        size: Pixels of the source.
    """
    edges = _snapped(start + step * np.arange(count + 1))
    inside = np.clip(edges, 0, size)
    begin, end = inside[:-1, None], inside[1:, None]
    first = np.floor(inside[:-1]).astype(np.intp)
    taps = int(np.max(np.ceil(inside[1:]) - first, initial=1))
    places = first[:, None] + np.arange(taps)
    covered = np.clip(np.minimum(places + 1, end) - np.maximum(places, begin), 0, None)
    return Taps(first, covered / np.diff(edges)[:, None])


def linear_taps(start: float, step: float, count: int, size: int) -> Taps:
    """Values between centres of pixels, for results that are finer than the source: as `area_taps`."""
    centres = _snapped(start + step * (np.arange(count) + 0.5))
    is_in = (centres >= 0) & (centres < size)
    places = np.clip(centres - 0.5, 0, size - 1) if size else centres
    first = np.floor(places).astype(np.intp)
    share = places - first
    weights = np.stack([1 - share, share], axis=1) * is_in[:, None]
    return Taps(first, weights)


def nearest_taps(start: float, step: float, count: int, size: int) -> Taps:
    """The pixel beneath the centre, for values that no mean can be taken of: as `area_taps`."""
    centres = _snapped(start + step * (np.arange(count) + 0.5))
    first = np.floor(centres).astype(np.intp)
    return Taps(first, ((first >= 0) & (first < size)).astype(np.float64)[:, None])


def resampled(pixels: Pixels, rows: Taps, columns: Taps) -> Floats:
    """The mean of what lies in the source, for each pixel of the result; 0 where nothing does.

    Args:
        pixels: What `Taps.window` names of the source, shape (rows, columns, ...).
        rows: Along the rows of the source.
        columns: Along its columns.

    Returns:
        Shape (len(rows), len(columns), ...).
    """
    wide = pixels.dtype.itemsize > _EXACT_ITEMSIZE
    return _along(_along(pixels, rows, 0, wide=wide), columns, 1, wide=wide)


def _along(pixels: Any, taps: Taps, axis: int, *, wide: bool) -> Floats:
    low, high = taps.window
    shape = [1] * pixels.ndim
    shape[axis] = len(taps)
    weights = (taps.weights / np.maximum(taps.inside, 1e-300)[:, None]).astype(np.float64 if wide else np.float32)
    total: Any = np.zeros((*pixels.shape[:axis], len(taps), *pixels.shape[axis + 1 :]), weights.dtype)
    if low == high:
        return np.asarray(total)
    for tap in range(weights.shape[1]):
        if weights[:, tap].any():
            places = np.clip(taps.first + tap, low, high - 1) - low
            total += pixels.take(places, axis=axis) * weights[:, tap].reshape(shape)
    return np.asarray(total)


def _snapped(positions: Floats) -> npt.NDArray[np.float64]:
    snapped: npt.NDArray[np.float64] = np.rint(positions * _GRAIN) / _GRAIN
    return snapped
