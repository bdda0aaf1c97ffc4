"""The search for what tells frames apart: how many sets it tries, and what it chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dicomzarr.dicom.volume import coverage
from dicomzarr.dicom.volume.columns import LAST, ORDER, STRONG, WEAK, Column
from dicomzarr.dicom.volume.coverage import MOST_SETS, Choice, best, evaluate
from dicomzarr.dicom.volume.ranking import ranks

if TYPE_CHECKING:
    import numpy.typing as npt

    Codes = npt.NDArray[np.int64]

TIMES, SLICES = 5, 10
PLACES = np.tile(np.arange(SLICES), TIMES)
TIME = np.repeat(np.arange(TIMES), SLICES)


def column(codes: Any, strength: int = STRONG, name: str = "echo_time") -> Column:
    """A column of integers from 0."""
    found = np.asarray(codes, np.int64)
    return Column(name, found, int(found.max()) + 1, tuple(range(int(found.max()) + 1)), strength)


def evaluated(columns: tuple[Column, ...], places: Codes = PLACES) -> Choice:
    """What a set leads to where every place is on a lattice."""
    return evaluate(columns, np.zeros(len(places), np.int64), places, lambda _: True)


def test_no_more_sets_are_tried_than_are_promised() -> None:
    rng = np.random.default_rng(3)
    tried = []

    def counted(columns: tuple[Column, ...]) -> Choice:
        tried.append(columns)
        return evaluated(columns)

    best([column(rng.integers(0, 2, TIMES * SLICES)) for _ in range(15)], counted)
    assert len(tried) <= MOST_SETS + 1  # and the empty one
    assert len({len(columns) for columns in tried}) >= 3


def test_singles_come_before_pairs_and_pairs_are_added_to() -> None:
    binary = [column((np.arange(8).repeat(2) >> bit) & 1) for bit in range(3)]
    places = np.tile([0, 1], 8)
    choice = best(binary, lambda columns: evaluated(columns, places))
    assert choice.doubled == 0
    assert len(choice.columns) == 3


@pytest.mark.parametrize("strength", [ORDER, LAST])
def test_what_is_no_attribute_never_hides_three_attributes_that_tell_as_much(strength: int) -> None:
    binary = [column((np.arange(8).repeat(2) >> bit) & 1) for bit in range(3)]
    places = np.tile([0, 1], 8)
    order = column(np.arange(8).repeat(2), strength, "acquisition_order")
    assert best([*binary, order], lambda columns: evaluated(columns, places)).columns == tuple(binary)


def test_of_sets_that_are_as_good_the_one_that_is_meant_for_it_is_chosen() -> None:
    weak, strong = column(TIME, WEAK), column(TIME[::-1].copy(), STRONG)
    assert best([weak, strong], evaluated).columns == (strong,)


def test_fewer_images_count_more_than_fewer_absent_cells() -> None:
    lost = np.ones(TIMES * SLICES, bool)
    lost[[3, 17]] = False
    times = column(TIME[lost])
    slices_apart = column((TIME * SLICES + PLACES)[lost])
    choice = best([slices_apart, times], lambda columns: evaluated(columns, PLACES[lost]))
    assert choice.columns == (times,)
    assert (len(choice.images), choice.absent) == (1, 2)


@pytest.mark.parametrize(
    ("slices", "lacking", "complete", "images"),
    [
        (10, 1, 1, 1),  # of many places one may be lacking
        (10, 2, 9, 2),
        (60, 3, 1, 1),  # or a twentieth
        (60, 4, 9, 2),
        (4, 1, 3, 1),  # of few one, if more values lack none
        (4, 1, 1, 2),
        (4, 2, 9, 2),
        (2, 1, 9, 2),  # a single slice is none that lacks one
    ],
)
def test_a_value_that_lacks_few_places_keeps_its_cells(slices: int, lacking: int, complete: int, images: int) -> None:
    places = np.concatenate([np.tile(np.arange(slices), complete), np.arange(slices - lacking)])
    times = np.concatenate([np.repeat(np.arange(complete), slices), np.full(slices - lacking, complete)])
    choice = evaluated((column(times),), places)
    assert len(choice.images) == images
    assert choice.absent == (lacking if images == 1 else 0)


@pytest.mark.parametrize(("slices", "times"), [(5, 5), (12, 12)])
def test_values_that_each_lack_another_place_are_one_image(slices: int, times: int) -> None:
    cells = [(time, place) for time in range(times) for place in range(slices) if time % slices != place]
    codes, places = np.array(cells).T
    choice = evaluated((column(codes),), places)
    assert (len(choice.images), choice.absent) == (1, times)


def test_a_place_that_few_values_hold_makes_no_image_for_all() -> None:
    cells = [(echo, place) for echo in range(3) for place in range(3) if echo == 0 or place > 0]
    codes, places = np.array(cells).T
    assert sorted(len(keys) for keys in evaluated((column(codes),), places).images) == [1, 2]


def test_values_that_are_apart_are_never_one_image() -> None:
    parted = Column("run", TIME % 2, 2, apart=True)
    choice = evaluated((column(TIME), parted))
    assert sorted(len(keys) for keys in choice.images) == [2, 3]


def test_many_kinds_of_coverage_are_not_compared_with_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    right = coverage._lacks_few
    monkeypatch.setattr(coverage, "_lacks_few", lambda *told: compared.append(told) or right(*told))
    places = np.concatenate([np.arange(first, first + 4) for first in range(300)])
    choice = evaluated((column(np.repeat(np.arange(300), 4)),), places)
    assert len(choice.images) == 300
    assert not compared


def test_ranks_are_those_among_the_values_of_a_group() -> None:
    groups = np.array([0, 0, 0, 1, 1, 1])
    found = ranks(np.array([4, 2, 9, 1, 7, 8]), groups)
    assert found is not None
    assert found.codes.tolist() == [1, 0, 2, 0, 1, 2]
    assert ranks(np.array([4, 2, 9, 1, 1, 8]), groups) is None


def test_ranks_do_not_depend_on_the_order_of_frames() -> None:
    rng = np.random.default_rng(4)
    groups, codes = np.repeat(np.arange(6), 7), np.concatenate([rng.permutation(7) for _ in range(6)])
    found = ranks(codes, groups)
    assert found is not None
    for _ in range(5):
        shuffle = rng.permutation(len(codes))
        again = ranks(codes[shuffle], groups[shuffle])
        assert again is not None
        assert (again.codes == found.codes[shuffle]).all()
