"""Axes, places and coarse pixels, without a viewer."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomzarr.faces.napari.coarse import enlarge, overlay
from dicomzarr.faces.napari.contrast import limits, middle_frame, needs_pixels
from dicomzarr.faces.napari.layout import Layout, compose, parse_index, shape_of
from dicomzarr.faces.napari.space import placed
from dicomzarr.plan.attributes import ImageAttributes
from dicomzarr.plan.plan import Axis, Channel, ImagePlan, LevelPlan

LAYOUTS = [
    (Layout((0, 1, 2)), (4, 5, 6), lambda array: array),
    (Layout((1, 2, 0)), (3, 5, 6), lambda array: np.moveaxis(array, 0, -1)),
    (Layout((1, 2), {0: 2}), (3, 5, 6), lambda array: array[2]),
    (Layout((1, 2, 0), {0: slice(3, 6)}), (6, 5, 4), lambda array: np.moveaxis(array[3:6], 0, -1)),
    (Layout((None, 0, 1)), (5, 6), lambda array: array[np.newaxis]),
    (Layout((2, 0, 1)), (4, 5, 6), lambda array: array.transpose(2, 0, 1)),
    (
        Layout((1, 2, 0)).within((3, 5, 6), slice(1, 4), slice(0, 6)),
        (3, 5, 6),
        lambda array: np.moveaxis(array[:, 1:4], 0, -1),
    ),
    (Layout((1, 2), {0: 2}).within((3, 5, 6), slice(0, 3), slice(2, 6)), (3, 5, 6), lambda array: array[2, :3, 2:]),
]


@st.composite
def pieces(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[int | slice, ...]:
    items: list[int | slice] = []
    for length in shape:
        start = draw(st.integers(0, length - 1))
        items.append(draw(st.sampled_from([start, slice(start, draw(st.integers(start + 1, length)))])))
    return tuple(items)


@given(st.data())
def test_an_index_into_a_layer_gives_what_numpy_gives_of_the_moved_array(data: st.DataObject) -> None:
    layout, shape, moved = data.draw(st.sampled_from(LAYOUTS))
    level = np.arange(np.prod(shape)).reshape(shape)
    layer = moved(level)
    assert layout.shape(shape) == layer.shape
    outer = data.draw(pieces(layer.shape))
    inner = data.draw(pieces(shape_of(outer)))
    index = compose(outer, inner)
    whole = tuple(item if isinstance(item, slice) else slice(item, item + 1) for item in layout.in_level(index))
    assert np.array_equal(layout.laid_out(level[whole], index), layer[outer][inner])


@pytest.mark.parametrize("index", [np.s_[::2], np.s_[[0, 1]], np.s_[None], np.s_[True], np.s_[0, 0, 0, 0]])
def test_what_is_no_piece_is_none(index: object) -> None:
    assert parse_index(index, (4, 5, 6)) is None


@pytest.mark.parametrize(
    "index", [np.s_[-1], np.s_[..., 2:], np.s_[1:3, ..., -2], np.s_[:, 9:], np.s_[np.int64(1), 3:1]]
)
def test_pieces_mean_what_numpy_means(index: object) -> None:
    array = np.arange(120).reshape(4, 5, 6)
    parsed = parse_index(index, array.shape)
    assert parsed is not None
    assert np.array_equal(array[parsed], array[index])  # type: ignore[index]
    assert shape_of(parsed) == array[parsed].shape


def test_beyond_the_end_is_an_error() -> None:
    with pytest.raises(IndexError):
        parse_index(4, (4,))


def test_coarse_pixels_stand_where_the_fine_ones_will() -> None:
    coarse = np.arange(12).reshape(3, 4)
    fine = coarse.repeat(4, 0).repeat(4, 1)
    target = np.zeros((5, 9), int)
    enlarge(coarse, target, np.s_[3:8, 2:11], fine.shape)
    assert np.array_equal(target, fine[3:8, 2:11])


def test_what_was_seen_before_stands_where_it_is_in_the_new_view() -> None:
    seen = np.arange(12).reshape(3, 4)  # rows 2 to 5, columns 1 to 5 of a level of 10 x 10
    target = np.full((8, 8), -1)
    overlay(seen, np.s_[2:5, 1:5], target, np.s_[0:8, 4:12], ((10, 10), (20, 20)))
    expected = np.full((8, 8), -1)
    expected[4:, :6] = seen.repeat(2, 0).repeat(2, 1)[:4, 2:]
    assert np.array_equal(target, expected)


GREY = Channel("CT", "FFFFFF", (0.0, 65535.0))


def test_the_window_of_the_header_counts_and_else_the_pixels() -> None:
    plane = np.array([[np.nan, 5.0], [7.0, np.inf]])
    assert limits(replace(GREY, shown=(-160.0, 239.0)), None) == (-160.0, 239.0)
    assert limits(GREY, plane) == pytest.approx((5.0, 7.0), abs=0.01)
    assert limits(GREY, None) == (0.0, 65535.0)
    assert limits(GREY, np.full((2, 2), 3)) == (3.0, 4.0)
    assert needs_pixels(GREY, np.dtype("u2"))
    assert not needs_pixels(GREY, np.dtype("u1"))
    assert not needs_pixels(replace(GREY, shown=(0.0, 1.0)), np.dtype("u2"))


def times_of(absent: list[dict[str, int]]) -> ImagePlan:
    """(t, c, z, y, x)."""
    nothing: Any = None
    axes = tuple(Axis(name, "space") for name in "tczyx")
    level = LevelPlan((3, 2, 5, 8, 8), (1, 1, 1, 8, 8), np.dtype("u2"), (1.0,) * 5, (0.0,) * 5, (0.0,), 0.0, nothing)
    return ImagePlan("MR", axes, (level,), (), None, color=False, attributes=ImageAttributes(absent=tuple(absent)))


def test_contrast_comes_from_a_frame_that_is_there() -> None:
    rows, lost = slice(None), [{"t": 1, "c": 0, "z": 2}]
    assert middle_frame(times_of([]), "tzyx", 0) == (1, 2, rows, rows)
    assert middle_frame(times_of(lost), "tzyx", 1) == (1, 2, rows, rows)
    assert middle_frame(times_of(lost), "tzyx", 0) in [(0, 2, rows, rows), (1, 1, rows, rows)]
    assert middle_frame(times_of(lost), "tyzx", 0) in [(0, rows, 2, rows), (1, rows, 1, rows)]
    every = [{"t": 1, "c": 0, "z": z} for z in range(5)] + [{"t": 0, "c": 0, "z": 2}]
    assert middle_frame(times_of(every), "tzyx", 0) == (2, 2, rows, rows)
    flat = replace(times_of([]), axes=tuple(Axis(name, "space") for name in "yx"))
    flat = replace(flat, levels=(replace(flat.levels[0], shape=(8, 8), chunks=(8, 8)),))
    assert middle_frame(flat, "zyx", 0) == (0, rows, rows)
    assert middle_frame(flat, "yx", 0) == (rows, rows)


def volume(matrix: Any) -> ImagePlan:
    nothing: Any = None
    axes = tuple(Axis(name, "space", "millimeter") for name in "zyx")
    level = LevelPlan((5, 8, 8), (1, 8, 8), np.dtype("u2"), (2.5, 0.8, 0.6), (0.0,) * 3, (0.0,), 0.0, nothing)
    return ImagePlan("CT", axes, (level,), (), tuple(map(tuple, matrix)), color=False)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("tilt", [0.0, 0.2])
def test_whatever_plane_was_taken_voxels_lie_where_the_affine_says(order: tuple[int, int, int], tilt: float) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3)[:, list(order)] * [0.6, -0.8, 2.5]
    matrix[:3, 2] += tilt * matrix[:3, 1]  # as of a gantry
    matrix[:3, 3] = [10, -20, 30]
    where = placed(volume(matrix))
    assert where.affine is not None
    for voxel in ((0, 0, 0), (3, 4, 5), (7, 1, 2)):
        index = [voxel["xyz".index(name)] for name in where.names]
        world = where.affine @ [*np.multiply(index, where.scale), 1]
        assert np.allclose(world[:3][::-1], (matrix @ [*voxel, 1])[:3])
    assert (np.abs(np.diag(where.affine[:3, :3])) > 0.8).all()  # each axis of the layer along one of the patient
