"""Means over areas as products of matrices: sums of what each pixel covers, whatever is computed at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dicomzarr.arrays.resampling import area_taps, linear_taps, resampled

if TYPE_CHECKING:
    from dicomzarr.arrays.resampling import Taps

SIZE = 160


def covered(start: float, step: float, count: int) -> Any:
    """How much of each pixel of the source lies in each of the result, in pixels of the result; by another way."""
    begin = start + step * np.arange(count)[:, None]
    pixels = np.arange(SIZE)
    return np.clip(np.minimum(begin + step, pixels + 1) - np.maximum(begin, pixels), 0, None) / step


def windowed(pixels: Any, rows: Taps, columns: Taps) -> Any:
    return pixels[..., slice(*rows.window), slice(*columns.window)]


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<f4"])
@pytest.mark.parametrize(("step", "count"), [(1.0, 90), (1.37, 140), (2.0, 90), (9.3, 20), (41.0, 5), (700.0, 2)])
def test_each_pixel_is_the_mean_of_what_it_covers_of_the_source(dtype: str, step: float, count: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE)).astype(dtype)
    starts = -2.3 * step, 17.75
    rows, columns = (area_taps(start, step, count, SIZE) for start in starts)
    down, across = (covered(start, step, count) for start in starts)
    inside = np.multiply.outer(down.sum(1), across.sum(1))
    exact = np.einsum("iy,cyx->cix", down, pixels)
    exact = np.einsum("cix,jx->cij", exact, across) / np.where(inside, inside, 1)
    found = resampled(windowed(pixels, rows, columns), rows, columns)
    assert found.shape == (3, count, count)
    assert np.abs(found - exact).max() < 1e-3
    assert np.abs(resampled(windowed(pixels[0], rows, columns), rows, columns) - exact[0]).max() < 1e-3


@pytest.mark.parametrize("step", [0.4, 1.6, 7.5])
def test_what_is_no_number_spoils_only_what_is_made_of_it(step: float) -> None:
    pixels = np.ones((SIZE, SIZE), np.float32)
    pixels[40, 50] = np.nan
    taps = (area_taps if step >= 1 else linear_taps)(0.0, step, 60, SIZE)
    rows, columns = (np.zeros(60, bool) for _ in range(2))
    for spoiled, place in ((rows, 40), (columns, 50)):
        pixel, tap = np.nonzero(taps.weights)
        spoiled[pixel[taps.first[pixel] + tap == place]] = True
    found = resampled(windowed(pixels, taps, taps), taps, taps)
    assert (np.isnan(found) == np.logical_and.outer(rows, columns)).all()


@pytest.mark.parametrize("step", [1.0009, 1.4, 2.0, 5.5, 30.1])
def test_shares_of_whole_strips_hold_the_same_values_as_the_whole(step: float) -> None:
    """As those of a read that is made in portions."""
    height, width = int(150 * step) + 1, int(10 * step) + 1
    pixels = np.random.default_rng(2).integers(0, 256, (3, height, width), np.uint8)
    rows, columns = area_taps(0.3, step, 150, height), area_taps(0.3, step, 10, width)
    whole = resampled(windowed(pixels, rows, columns), rows, columns)
    part = rows[rows.strip :]
    assert 0 < len(part) < 150
    assert (resampled(windowed(pixels, part, columns), part, columns) == whole[:, rows.strip :]).all()
