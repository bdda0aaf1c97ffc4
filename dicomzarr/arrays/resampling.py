"""Pixels of one resolution out of those of a finer one, along rows and columns apart. Pure (no I/O).

A pixel of the result is a sum of pixels of the source: `Taps` say along one axis which, and how much each counts. What
would lie outside of the source counts for nothing, and `Taps.inside` says how much of each pixel is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Pixels = npt.NDArray[np.generic]

_GRAIN = 2.0**24
"""Parts of a pixel that positions are told to: coarser than the noise of their arithmetic, finer than what is seen."""

_EXACT_ITEMSIZE = 1
"""Bytes of values of which 32 bits of floating point hold the sum of thousands, each with its share."""

_STRIP, _STRIP_SOURCE = 128, 2048
"""Rows of a result that are computed before the next are, and of the source that they may be made of."""

_BLOCK = 32
"""Weights, zeros among them, of a row of pixels that are computed at once: products of matrices want some, and most
are zeros where there are many."""


class Block(NamedTuple):
    """Neighbours of the result, all made of the same stretch of the source."""

    result: slice
    """Which."""
    source: slice
    """Of what, counted from where `Taps.window` begins."""
    weights: Floats
    """How much each of the source counts for each of the result, shape (result, source)."""


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

    @property
    def strip(self) -> int:
        """Pixels of the result after which all begins anew: what is cut there holds the same values as the whole."""
        taps: int = self.weights.shape[1]
        return max(1, min(_STRIP, _STRIP_SOURCE // taps))

    def blocks(self, dtype: np.dtype[Any], *, alone: bool) -> Iterator[Block]:
        """The whole result, some at a time: where each is made of many, one.

        Args:
            dtype: Of the weights.
            alone: One at a time, of nothing but what it is made of: in a product, what is no number spoils all.
        """
        pixels, taps = np.nonzero(self.weights)
        if not pixels.size:
            return
        step = 1 if alone else max(1, _BLOCK >> (self.weights.shape[1] - 1).bit_length())
        places, blocks = self.first[pixels] + taps - self.window[0], pixels // step
        starts = np.flatnonzero(np.diff(blocks, prepend=-1))
        lows, highs = np.minimum.reduceat(places, starts), np.maximum.reduceat(places, starts) + 1
        numbers = blocks[starts]
        ranks = np.searchsorted(numbers, blocks)
        weights = np.zeros((len(numbers), step, int((highs - lows).max())), dtype)
        weights[ranks, pixels % step, places - lows[ranks]] = self.weights[pixels, taps] / self.inside[pixels]
        for number, low, high, each in zip(numbers.tolist(), lows.tolist(), highs.tolist(), weights, strict=True):
            own = slice(number * step, min(number * step + step, len(self)))
            yield Block(own, slice(low, high), each[: own.stop - own.start, : high - low])

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


def overlaps(start: float, step: float, count: int, low: float, high: float) -> npt.NDArray[np.float64]:
    """How much of each pixel of the result lies between two places, 0 to 1, shape (count,).

    Args:
        start: As for `area_taps`; so are step and count.
        step: Likewise.
        count: Likewise.
        low: The first place, in pixels of the source.
        high: The last one.
    """
    edges = _snapped(start + step * np.arange(count + 1))
    found: npt.NDArray[np.float64] = np.diff(np.clip(edges, low, high)) / np.diff(edges)
    return found


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
        pixels: What `Taps.window` names of the source, shape (..., rows, columns).
        rows: Along the rows of the source.
        columns: Along its columns.

    Returns:
        Shape (..., len(rows), len(columns)).
    """
    dtype = np.dtype(np.float32 if pixels.dtype.itemsize <= _EXACT_ITEMSIZE else np.float64)
    alone = pixels.dtype.kind == "f"
    lead, width, begin = pixels.shape[:-2], pixels.shape[-1], rows.window[0]
    both = np.zeros((*lead, len(rows), len(columns)), dtype)
    across = list(columns.blocks(dtype, alone=alone))
    for start in range(0, len(rows), rows.strip):
        strip = rows[start : start + rows.strip]
        down, done = np.zeros((*lead, len(strip), width), dtype), np.zeros((*lead, len(strip), len(columns)), dtype)
        source = pixels[..., slice(*(place - begin for place in strip.window)), :]
        for block in strip.blocks(dtype, alone=alone):
            np.matmul(block.weights, source[..., block.source, :].astype(dtype), out=down[..., block.result, :])
        lines, results = down.reshape(-1, width), done.reshape(-1, len(columns))
        for block in across:
            np.matmul(lines[:, block.source], block.weights.T, out=results[:, block.result])
        both[..., start : start + len(strip), :] = done
    return both


def _snapped(positions: Floats) -> npt.NDArray[np.float64]:
    snapped: npt.NDArray[np.float64] = np.rint(positions * _GRAIN) / _GRAIN
    return snapped
