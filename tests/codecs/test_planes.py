"""Planes out of pixels that lie side by side: as NumPy would copy them, wherever they lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dicomzarr.codecs.planes import put, to_bytes
from dicomzarr.codecs.scratch import Scratch

quick = settings(max_examples=examples(60), deadline=None, database=None)
ROWS, COLUMNS = 9, 7
SCRATCH = Scratch(for_planes=True)


def tile(samples: int, held: int, dtype: str = "u1", memory: Any = None) -> Any:
    """Random pixels of the shape (samples, rows, columns), of which each is held with others beside it."""
    shape = (ROWS, COLUMNS, held)
    pixels = np.empty(shape, dtype) if memory is None else memory.array(shape, dtype)
    pixels[...] = np.random.default_rng(3).integers(0, 256, shape)
    return pixels[..., :samples].transpose(2, 0, 1)


TILES = {
    "words": tile(3, 4),
    "words in memory that is used again": tile(3, 4, memory=SCRATCH),
    "three bytes": tile(3, 3),
    "planes": np.ascontiguousarray(tile(3, 3)),
    "grey": tile(1, 1),
    "two samples of four": tile(2, 4),
    "large values": tile(3, 4, "<u2"),
    "signed": tile(3, 4, "i1"),
}


@pytest.mark.parametrize("pixels", TILES.values(), ids=TILES)
@quick
@given(st.slices(ROWS), st.slices(COLUMNS))
def test_parts_are_put_where_they_belong(pixels: Any, rows: slice, columns: slice) -> None:
    part = pixels[:, rows, columns]
    found, expected = (np.zeros((len(pixels), 20, 20), pixels.dtype) for _ in range(2))
    where = np.s_[:, 2 : 2 + part.shape[1], 5 : 5 + part.shape[2]]
    put(found, where, part)
    expected[where] = part
    assert (found == expected).all()


@pytest.mark.parametrize("pixels", TILES.values(), ids=TILES)
def test_axes_may_be_added_and_the_target_may_lie_otherwise(pixels: Any) -> None:
    samples = len(pixels)
    slices = np.zeros((samples, 2, 20, 20), pixels.dtype)
    put(slices, np.s_[:, 1:, 3 : 3 + ROWS, 4 : 4 + COLUMNS], pixels.reshape(samples, 1, ROWS, COLUMNS))
    assert (slices[:, 1, 3 : 3 + ROWS, 4 : 4 + COLUMNS] == pixels).all()
    assert slices[:, 0].max() == 0
    interleaved = np.zeros((20, 20, samples), pixels.dtype).transpose(2, 0, 1)
    put(interleaved, np.s_[:, :ROWS, :COLUMNS], pixels)
    assert (interleaved[:, :ROWS, :COLUMNS] == pixels).all()


@pytest.mark.parametrize("pixels", TILES.values(), ids=TILES)
def test_bytes_are_in_c_order(pixels: Any) -> None:
    assert to_bytes(pixels) == np.array(pixels.tolist(), pixels.dtype).tobytes()
    assert to_bytes(pixels[:, 2:5, ::2]) == np.array(pixels[:, 2:5, ::2].tolist(), pixels.dtype).tobytes()


def test_points_are_put_as_numpy_does() -> None:
    pixels = tile(3, 4)
    found, expected = np.zeros((3, 20, 1), np.uint8), np.zeros((3, 20, 1), np.uint8)
    rows, columns = np.array([1, 4, 8]), np.array([0, 6, 2])
    index = (slice(None), np.array([3, 0, 19]), 0)
    put(found, index, pixels[:, rows, columns])
    expected[index] = pixels[:, rows, columns]
    assert (found == expected).all()
