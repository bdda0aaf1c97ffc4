"""Patches lie where they should, and are read at their resolution."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fetched import frames_of
from serving import Served, serving
from slides import BUILDERS

import dicomzarr
from dicomzarr.demo.show import demo_server, demo_url
from dicomzarr.errors import UsageError
from dicomzarr.patches import at_random, grid, tissue_mask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr import Image

WIDTH, HEIGHT, MPP = 1400, 1600, 0.499


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with demo_server() as server:
        yield dicomzarr.open(demo_url(server))


@pytest.fixture(scope="module")
def pyramid() -> Iterator[Served]:
    with serving(BUILDERS["brightfield_pyramid"]()) as served:
        yield served


def test_a_grid_covers_the_slide_once(image: Image) -> None:
    counts = np.zeros((HEIGHT + 300, WIDTH + 300), int)
    for x, y in grid(image, (224, 160)):
        counts[y : y + 160, x : x + 224] += 1
    assert (counts[:HEIGHT, :WIDTH] == 1).all()


def test_whole_patches_lie_within(image: Image) -> None:
    found = grid(image, 200, partial=False)
    assert len(found) == 7 * 8  # 1400 and 1600 pixels: the last patch ends with the slide
    assert (found.positions + 200 <= (WIDTH, HEIGHT)).all()


@pytest.mark.parametrize("size", [7, 100, 223, (224, 61), 1399, 4000])
@pytest.mark.parametrize("mpp", [None, MPP, 2 * MPP, 0.5, 0.7, 1.3, (0.61, 1.01)])
@pytest.mark.parametrize("overlap", [0, 3])
def test_whole_patches_lie_within_at_any_resolution(image: Image, size: Any, mpp: Any, overlap: int) -> None:
    found = grid(image, size, mpp=mpp, overlap=overlap, partial=False)
    extent = np.broadcast_to(size, 2) * np.broadcast_to(MPP if mpp is None else mpp, 2) / MPP
    assert (found.positions + extent <= np.array([WIDTH, HEIGHT]) + 1e-6).all()
    every = grid(image, size, mpp=mpp, overlap=overlap).positions
    within = (every + extent <= np.array([WIDTH, HEIGHT]) + 1e-6).all(axis=1)
    assert list(found) == [tuple(place) for place in every[within].tolist()]


@pytest.mark.parametrize("size", [100, (1400, 1600), (3, 1599), 333])
@pytest.mark.parametrize("mpp", [None, 0.5, 0.47])
def test_patches_at_random_lie_within_at_any_resolution(image: Image, size: Any, mpp: Any) -> None:
    extent = np.broadcast_to(size, 2) * (MPP if mpp is None else mpp) / MPP
    if (extent > (WIDTH, HEIGHT)).any():
        with pytest.raises(UsageError, match="the slide is smaller"):
            at_random(image, 3, size, mpp=mpp)
        return
    found = at_random(image, 3000, size, mpp=mpp).positions
    assert found.min() >= 0
    assert (found + extent <= np.array([WIDTH, HEIGHT]) + 1e-6).all()


def test_patches_at_random_that_the_slide_is_too_small_for_are_refused(image: Image) -> None:
    for size in (3000, (1401, 5), (5, 1601)):
        with pytest.raises(UsageError, match=r"the slide is smaller.*partial=True"):
            at_random(image, 3, size)
        assert len(at_random(image, 0, size)) == 0


@pytest.mark.parametrize("size", [1500, 2801, 10001, (3500, 9)])
@pytest.mark.parametrize("mpp", [None, 0.7])
def test_partial_patches_larger_than_the_slide_have_their_middle_on_it(image: Image, size: Any, mpp: Any) -> None:
    extent = np.broadcast_to(size, 2) * (MPP if mpp is None else mpp) / MPP
    middles = at_random(image, 3000, size, mpp=mpp, partial=True).positions + extent / 2
    assert middles.min() >= -1e-6
    assert (middles <= np.array([WIDTH, HEIGHT]) + 1e-6).all()
    assert (middles.min(axis=0) < 100).all()
    assert (middles.max(axis=0) > (WIDTH - 100, HEIGHT - 100)).all()


def test_neighbours_share_what_overlaps(image: Image) -> None:
    found = grid(image, 224, overlap=24)
    assert sorted(set(found.positions[:, 0]))[:3] == [0, 200, 400]
    with pytest.raises(UsageError, match="overlap"):
        grid(image, 224, overlap=224)


def test_patches_of_another_resolution_lie_as_far_apart_as_they_are_wide(image: Image) -> None:
    found = grid(image, 224, mpp=1.3)
    step = 224 * 1.3 / MPP
    columns, rows = int(np.ceil(WIDTH / step)), int(np.ceil(HEIGHT / step))
    assert len(found) == columns * rows
    expected = [(round(column * step), round(row * step)) for row in range(rows) for column in range(columns)]
    assert list(found) == expected


def test_a_patch_as_large_as_the_slide_or_larger_is_one(image: Image) -> None:
    assert list(grid(image, 4000)) == [(0, 0)]
    assert len(grid(image, 4000, partial=False)) == 0
    assert list(grid(image, (WIDTH, HEIGHT), partial=False)) == [(0, 0)]


def test_only_patches_with_enough_tissue_are_taken(image: Image) -> None:
    mask = np.zeros((16, 14), bool)
    mask[2:8, 3:9] = True  # 100 pixels of level 0 each
    found = grid(image, 200, mask=mask, tissue=0.5)
    expected = {
        (x, y): mask[y // 100 : y // 100 + 2, x // 100 : x // 100 + 2].mean()
        for y in range(0, HEIGHT, 200)
        for x in range(0, WIDTH, 200)
    }
    assert dict(zip(found, found.tissue, strict=True)) == pytest.approx(
        {place: share for place, share in expected.items() if share >= 0.5}
    )
    every = grid(image, 200, mask=mask, tissue=0)
    assert dict(zip(every, every.tissue, strict=True)) == pytest.approx(expected)
    assert list(grid(image, 200, mask=mask, tissue=1e-12)) == list(every) == list(grid(image, 200))


def test_patches_at_random_are_the_same_for_a_seed_and_have_enough_tissue(image: Image) -> None:
    mask = np.zeros((16, 14), bool)
    mask[2:8, 3:9] = True
    one, two, other = (at_random(image, 300, 100, mask=mask, tissue=0.8, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.positions, two.positions)
    assert list(one) != list(other)
    assert len(one) == 300
    assert one.tissue.min() >= 0.8
    assert (one.positions >= (280, 180)).all()
    assert (one.positions + 100 <= (920, 820)).all()


def test_patches_at_random_lie_within_and_reach_every_edge(image: Image) -> None:
    found = at_random(image, 5000, 1390).positions
    assert found.min(axis=0).tolist() == [0, 0]
    assert found.max(axis=0).tolist() == [WIDTH - 1390, HEIGHT - 1390]


def test_partial_patches_at_random_have_their_middle_on_the_slide(image: Image) -> None:
    found = at_random(image, 5000, 200, partial=True).positions
    middles = found + 100
    assert middles.min() >= 0
    assert (middles <= (WIDTH, HEIGHT)).all()
    assert (found.min(axis=0) < -80).all()
    assert (found.max(axis=0) > (WIDTH - 120, HEIGHT - 120)).all()


def test_resolutions_may_differ_along_x_and_y(image: Image) -> None:
    found = grid(image, 100, mpp=(2 * MPP, 4 * MPP))
    assert sorted(set(found.positions[:, 0])) == [*range(0, WIDTH, 200)]
    assert sorted(set(found.positions[:, 1])) == [*range(0, HEIGHT, 400)]


def test_too_little_tissue_is_said_and_does_not_go_on_for_ever(image: Image) -> None:
    mask = np.zeros((160, 140), bool)
    mask[5, 5] = True
    with pytest.raises(UsageError, match="0 found"):
        at_random(image, 10, 224, mask=mask, tissue=0.9)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 0}, "Patches of 0"),
        ({"size": 224.5}, "224.5"),
        ({"size": (224, 224, 3)}, "whole numbers"),
        ({"size": (224, -1)}, "-1"),
        ({"mpp": 0}, "mpp"),
        ({"mpp": float("nan")}, "mpp"),
        ({"mask": np.zeros(5)}, "rows and columns"),
        ({"mask": np.zeros((5, 5, 3))}, "rows and columns"),
        ({"mask": np.ones((5, 5)), "tissue": 50}, "tissue=50"),
        ({"mask": np.ones((5, 5)), "tissue": "a"}, "tissue='a'"),
        ({"mask": np.ones((5, 5)), "tissue": None}, "tissue=None"),
        ({"overlap": "a"}, "overlap of 'a'"),
        ({"overlap": None}, "overlap of None"),
        ({"overlap": float("nan")}, "overlap of nan"),
        ({"overlap": [1, 2]}, "overlap of .1, 2."),
        ({"overlap": -1}, "overlap of -1"),
        ({"mask": np.ones((140, 160))}, r"140 rows and 160 columns.*mask\.T"),
        ({"overlap": 0.5}, r"counted in pixels of a patch\. Write overlap=112"),
    ],
)
def test_what_cannot_be_meant_is_said(image: Image, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        grid(image, **wrong)


@pytest.mark.parametrize("wrong", [{"mpp": 1e-7}, {"mpp": 5e-324}, {"size": 1, "mpp": 1e-3}, {"overlap": 223.999}])
def test_more_patches_than_memory_holds_are_refused_at_once(image: Image, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"patches were asked for, and 1e\+08 are the most"):
        grid(image, **wrong)
    with pytest.raises(UsageError, match=r"1e\+12 patches were asked for, and 1e\+08 are the most"):
        at_random(image, 10**12)


@pytest.mark.parametrize("seed", ["a", -1, 1.5, [-1], object()])
def test_what_is_no_seed_is_said(image: Image, seed: Any) -> None:
    with pytest.raises(UsageError, match="given for seed"):
        at_random(image, 5, seed=seed)


@pytest.mark.parametrize("threshold", ["a", -1, 1.01, float("nan"), [0.1, 0.2], {}])
def test_what_is_no_saturation_is_said(image: Image, threshold: Any) -> None:
    with pytest.raises(UsageError, match="is no saturation"):
        tissue_mask(image, threshold=threshold)


@pytest.mark.parametrize("shape", [(8, 7), (7, 6), (160, 140), (161, 140), (1600, 1400), (50, 45), (1, 1)])
def test_masks_of_rounded_proportions_serve(image: Image, shape: tuple[int, int]) -> None:
    assert len(grid(image, 224, mask=np.ones(shape), tissue=0)) == len(grid(image, 224))


@pytest.mark.parametrize("count", [-1, 5.5, "5"])
def test_patches_at_random_are_counted_in_whole_numbers(image: Image, count: Any) -> None:
    with pytest.raises(UsageError, match="given for count"):
        at_random(image, count)


def test_what_is_no_slide_is_named(image: Image) -> None:
    for given in (image.levels[1], image.url, np.zeros((9, 9, 3))):
        for ask in (grid, tissue_mask):
            with pytest.raises(UsageError, match=f"given was {type(given).__name__}"):
                ask(given)  # type: ignore[arg-type]


def test_pixels_are_those_of_the_level_padded_at_the_edges(pyramid: Served) -> None:
    image = dicomzarr.open(pyramid.url)
    level = image.levels[0]
    whole = np.moveaxis(level[...], 0, -1)
    found = grid(image, 100)
    padded = np.full((whole.shape[0] + 100, whole.shape[1] + 100, 3), 255, np.uint8)
    padded[: whole.shape[0], : whole.shape[1]] = whole
    for (x, y), pixels in zip(found, found.read(range(len(found))), strict=True):
        np.testing.assert_array_equal(pixels, padded[y : y + 100, x : x + 100])


def test_patches_between_levels_are_means_by_area(image: Image) -> None:
    found = grid(image, 100, mpp=2 * 1.5 * MPP, partial=False)
    pixels = found.read([3])[0]
    x, y = found.positions[3]
    level = np.moveaxis(image.levels[1][...], 0, -1)  # twice as coarse as level 0: a pixel of the patch is 1.5 of it
    top, left = y / 2, x / 2
    fine = np.repeat(np.repeat(level, 2, axis=0), 2, axis=1).astype(float)  # halves of its pixels
    assert (top * 2).is_integer()
    assert (left * 2).is_integer()
    block = fine[int(top * 2) : int(top * 2) + 300, int(left * 2) : int(left * 2) + 300]
    means = block.reshape(100, 3, 100, 3, 3).mean(axis=(1, 3))
    assert np.abs(pixels - means).max() <= 0.51


@pytest.mark.parametrize("mpp", [None, 0.75])
def test_each_frame_of_a_batch_is_fetched_once(mpp: float | None) -> None:
    with demo_server() as server:
        image = dicomzarr.open(demo_url(server), cache_bytes=0)
        found = at_random(image, 300, 224, mpp=mpp)
        found.read(range(300))
        fetched = frames_of(server)
    touched = {
        (row, column)
        for x, y in found
        for row in range(y // 256, min(6, (y + round(224 * (mpp or MPP) / MPP)) // 256) + 1)
        for column in range(x // 256, min(5, (x + round(224 * (mpp or MPP) / MPP)) // 256) + 1)
    }
    assert len(fetched) == len(set(fetched))
    assert 30 < len(set(fetched)) <= len(touched)


def test_patches_travel_by_url(pyramid: Served) -> None:
    found = grid(dicomzarr.open(pyramid.url), 100)
    sent = pickle.loads(pickle.dumps(found))  # noqa: S301  # our own
    assert list(sent) == list(found)
    np.testing.assert_array_equal(sent.read([1])[0], found.read([1])[0])


def test_some_of_them_are_patches_too(image: Image) -> None:
    found = grid(image, 224, mask=np.ones((5, 5)), tissue=0.1)
    assert list(found[2:4]) == list(found)[2:4]
    assert list(found[[5, 1]]) == [list(found)[5], list(found)[1]]
    assert list(found[found.tissue > 0.99]) == [
        at for at, share in zip(found, found.tissue, strict=True) if share > 0.99
    ]
    assert repr(found[:3]) == "<3 patches of 224 x 224>"
    assert list(found[3]) == [list(found)[3]]
    assert len(found[3].tissue) == 1
    assert list(found[[]]) == found[[]].read([]) == []


def same(found: Any, expected: Any) -> bool:
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


def test_reading_some_is_reading_all_of_some(image: Image) -> None:
    found = grid(image, 300, mask=np.eye(8), tissue=0.1)
    enough = found.tissue > 0.3
    assert 2 < enough.sum() < len(found)
    every = found.read(range(len(found)))
    assert not same(every[:1], every[1:2])
    for which in (
        enough,
        enough.tolist(),
        tuple(enough.tolist()),
        np.zeros(len(found), bool),
        slice(1, 5, 2),
        slice(None, None, -1),
        3,
        np.int64(-1),
        [2, -1, 2],
        (1, 2),
        np.array([1, 0], np.uint64),
        np.array(2, np.int8),
        range(2),
        [],
        np.array([], int),
    ):
        index = which if isinstance(which, slice) else np.array(which, dtype=None if np.size(which) else int)
        expected = [every[number] for number in np.atleast_1d(np.arange(len(found))[index])]
        assert same(found.read(which), expected), which
        assert same(found[which].read(slice(None)), expected), which


@pytest.mark.parametrize(
    "which",
    [
        [2.9],
        2.0,
        "1",
        ["1"],
        None,
        True,
        False,
        ...,
        [[0, 1]],
        [True],
        [True] * 99,
        99,
        -99,
        [0, 99],
        {1},
        np.array([]),
    ],
)
def test_what_names_no_patch_is_refused(image: Image, which: Any) -> None:
    found = grid(image, 500)
    for ask in (found.read, found.__getitem__):
        with pytest.raises(IndexError, match=r"some of 12 patches|out of bounds .* size 12"):
            ask(which)


def test_no_tissue_is_no_patch(image: Image) -> None:
    found = grid(image, 224, mask=np.zeros((4, 4)))
    assert (len(found), found.positions.shape, found.tissue.shape) == (0, (0, 2), (0,))
    assert len(at_random(image, 0, mask=np.zeros((4, 4)))) == 0
