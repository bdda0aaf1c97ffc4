"""Pictures become PNG files whatever their shape and however noisy they are."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest

from dicomzarr.codecs.png import png_of

SIDES = (1, 2, 3, 16, 257, 512, 5000)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("samples", [(), (3,)])
@pytest.mark.parametrize("short", [1, 2, 3, 4])
def test_noise_comes_back(short: int, samples: tuple[int, ...], dtype: type[np.unsignedinteger]) -> None:
    random = np.random.default_rng(1)
    for side in SIDES:
        for shape in ((side, short), (short, side)):
            picture = random.integers(0, np.iinfo(dtype).max, (*shape, *samples), dtype, endpoint=True)
            found = imagecodecs.png_decode(png_of(picture))
            assert found.dtype == dtype
            assert np.array_equal(found.reshape(picture.shape), picture)


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 1, 7), (3, 7, 1), (3, 7, 5)])
def test_axes_may_lie_in_memory_in_another_order(shape: tuple[int, ...]) -> None:
    picture = np.moveaxis(np.random.default_rng(3).integers(0, 256, shape, np.uint8), 0, -1)
    for given in (picture, np.ascontiguousarray(picture)):
        assert np.array_equal(imagecodecs.png_decode(png_of(given)), picture)


def test_large_noise_comes_back() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (1500, 2000, 3), np.uint8)
    assert np.array_equal(imagecodecs.png_decode(png_of(picture)), picture)
