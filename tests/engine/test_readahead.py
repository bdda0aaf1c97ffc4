"""What is foreseen of a read that goes on in order, and that nothing is of one that does not."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomzarr.engine.readahead import Block, Indices, ReadAhead

GRID = (1, 40, 50)


def scan(*ranges: range) -> list[Indices]:
    """The blocks of a box in C order."""
    return list(itertools.product(*ranges))


def foreseen(
    grid: Indices, blocks: list[Indices], size: Indices = (1, 1, 1), most: int = 64
) -> list[tuple[int, Indices]]:
    """(how many blocks had been read, block) of each block that was foreseen."""
    ahead = ReadAhead(grid)
    return [
        (number, block.first)
        for number, first in enumerate(blocks, start=1)
        for block in ahead.follow(Block(first, size), lambda: most)
    ]


def test_a_box_is_foreseen_but_for_its_first_blocks() -> None:
    blocks = scan(range(1), range(5, 15), range(10, 30))
    found = foreseen(GRID, blocks)
    order = {first: number for number, first in enumerate(blocks, start=1)}
    right = [(number, first) for number, first in found if first in order]
    assert all(number < order[first] for number, first in right)
    assert len({first for _, first in right}) == len(right)  # none twice
    assert len(right) > 0.7 * len(blocks)
    beyond_first_row = [first for _, first in found if first[2] >= 30]
    assert 0 < len(beyond_first_row) <= 10
    assert len(found) - len(right) - len(beyond_first_row) <= 64  # below the box, once


def test_a_box_is_foreseen_backwards_too() -> None:
    blocks = scan(range(1), range(5, 15), range(10, 30))[::-1]
    found = [first for _, first in foreseen(GRID, blocks)]
    assert len(set(found) & set(blocks)) > 0.7 * len(blocks)


@pytest.mark.parametrize("step", [1, -1])
def test_blocks_at_the_edge_may_be_smaller(step: int) -> None:
    """Blocks of 8 in a grid of 50: the last of each row has 2."""
    ahead = ReadAhead(GRID)
    blocks = [Block((0, y, x), (1, 8, min(8, 50 - x))) for y in range(0, 40, 8) for x in range(0, 50, 8)][::step]
    found = [each.first for block in blocks for each in ahead.follow(block, lambda: 256)]
    assert len(set(found) & {block.first for block in blocks}) > 0.7 * len(blocks)


@pytest.mark.parametrize("step", [1, -1])
def test_blocks_may_be_smaller_along_each_edge(step: int) -> None:
    """Backwards, as dask reads, the first row is the one that is cut off: what follows it is foreseen at once."""
    grid, side = (1, 79, 79), 8
    ahead = ReadAhead(grid)
    firsts = [(y, x) for y in range(0, 79, side) for x in range(0, 79, side)][::step]
    blocks = [Block((0, y, x), (1, min(side, 79 - y), min(side, 79 - x))) for y, x in firsts]
    known = set[Indices]()
    for number, block in enumerate(blocks):
        known.update(*(each.chunks(grid) for each in ahead.follow(block, lambda: 512)))
        if number >= 10:
            assert known.issuperset(chunk for each in blocks[number + 1 : number + 4] for chunk in each.chunks(grid))


def test_slices_of_a_volume_are_foreseen() -> None:
    found = foreseen((300, 1, 1), scan(range(300), range(1), range(1)))
    assert [first[0] for _, first in found] == list(range(16, 300))


def test_the_end_of_the_grid_ends_it() -> None:
    blocks = scan(range(1), range(38, 40), range(50))
    assert all(first in blocks for _, first in foreseen(GRID, blocks))


def test_blocks_of_many_chunks() -> None:
    size = (1, 8, 8)
    blocks = scan(range(1), range(0, 40, 8), range(0, 50, 8))
    found = foreseen(GRID, blocks, size, most=256)
    assert {first for _, first in found} <= set(blocks)
    assert len(found) > 0.8 * len(blocks)
    ahead = ReadAhead(GRID)
    for number, first in enumerate(blocks, start=1):
        for block in ahead.follow(Block(first, size), lambda: 256):
            assert blocks.index(block.first) < number + 4
            assert all(chunk[1] < 40 and chunk[2] < 50 for chunk in block.chunks(GRID))


@pytest.mark.parametrize("step", [1, -1])
def test_a_whole_array_is_foreseen_sooner_than_a_box(step: int) -> None:
    """It begins in a corner: its rows end where the array does."""
    size, rows = (1, 8, 8), (range(1), range(0, 40, 8), range(0, 48, 8))
    whole = scan(*rows)[::step]
    found = foreseen((1, 40, 48), whole, size, most=1024)
    assert {first for _, first in found} <= set(whole)
    inside = [(z, y + 8, x + 8) for z, y, x in whole]
    of_a_box = foreseen((1, 56, 64), inside, size, most=1024)
    early, early_of_a_box = (sum(number <= 3 for number, _ in each) for each in (found, of_a_box))
    assert early_of_a_box < early


@pytest.mark.parametrize("step", [1, -1])
def test_beside_a_box_in_the_corner_as_much_is_foreseen_as_its_first_row_has(step: int) -> None:
    box, grid = scan(range(1), range(0, 16, 8), range(0, 16, 8)), (1, 40, 48)
    if step < 0:
        box = [(z, y + 24, x + 32) for z, y, x in box][::-1]
    found = [first for _, first in foreseen(grid, box, (1, 8, 8), most=1024)]
    beside = {first for first in found if first[2] not in {place[2] for place in box}}
    assert 0 < len(beside) <= 2


def test_no_more_than_the_budget() -> None:
    blocks = scan(range(1), range(40), range(50))
    order = {first: number for number, first in enumerate(blocks, start=1)}
    assert all(order[first] - number <= 16 for number, first in foreseen(GRID, blocks, most=16))
    assert not foreseen(GRID, blocks, most=0)
    assert not foreseen(GRID, scan(range(1), range(0, 40, 8), range(0, 48, 8)), (1, 8, 8), most=63)


def test_threads_may_come_out_of_order() -> None:
    blocks = scan(range(1), range(10), range(20))
    for start in range(1, len(blocks) - 3, 20):  # within each row
        for at in range(start, start + 18, 3):
            blocks[at : at + 3] = reversed(blocks[at : at + 3])
    assert len(foreseen(GRID, blocks)) > 0.6 * len(blocks)


def test_two_reads_at_once() -> None:
    first, second = scan(range(1), range(10), range(20)), scan(range(1), range(20, 30), range(20, 40))
    together = [block for pair in zip(first, second, strict=True) for block in pair]
    assert len(foreseen(GRID, together)) > 0.7 * len(together)


@pytest.mark.parametrize("seed", range(5))
def test_a_read_without_order_is_not_foreseen(seed: int) -> None:
    blocks = scan(range(1), range(40), range(50))
    random.Random(seed).shuffle(blocks)
    assert len(foreseen(GRID, blocks)) < 0.02 * len(blocks)


def test_patches_of_one_size_are_not_foreseen() -> None:
    """Each a small box of its own, as models are fed with them."""
    places = random.Random(1)
    blocks = []
    for _ in range(200):
        y, x = places.randrange(37), places.randrange(47)
        blocks += scan(range(1), range(y, y + 3), range(x, x + 3))
    assert len(foreseen(GRID, blocks)) < 0.1 * len(blocks)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 5)), max_size=60), st.integers(0, 100))
def test_what_is_foreseen_is_in_the_grid_and_in_the_budget(blocks: list[Indices], most: int) -> None:
    ahead = ReadAhead((4, 6, 6))
    for block in blocks:
        found = ahead.follow(Block(block, (1, 1, 1)), lambda: most)
        assert len(found) <= most
        assert all(first < size for each in found for first, size in zip(each.first, (4, 6, 6), strict=True))
