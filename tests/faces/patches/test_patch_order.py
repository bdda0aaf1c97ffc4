"""Each patch is read once an epoch, whoever reads it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomzarr.faces.patches.order import Share, batches, epoch_order


@given(
    count=st.integers(0, 300),
    size=st.integers(1, 70),
    nodes=st.integers(1, 4),
    workers=st.integers(1, 5),
    epoch=st.integers(0, 3),
    shuffle=st.booleans(),
)
def test_nodes_and_workers_read_each_patch_once(  # noqa: PLR0913  # as many as there are
    *,
    count: int,
    size: int,
    nodes: int,
    workers: int,
    epoch: int,
    shuffle: bool,
) -> None:
    order = epoch_order(count, epoch, 7, shuffle=shuffle)
    alone = [tuple(batch) for batch in batches(order, size, Share())]
    parts = [
        [tuple(batch) for batch in batches(order, size, Share(worker, workers).within(Share(node, nodes)))]
        for node in range(nodes)
        for worker in range(workers)
    ]
    read = [batch for part in parts for batch in part]
    assert sorted(read) == sorted(alone)
    assert sorted(number for batch in read for number in batch) == list(range(count))
    assert all(len(batch) == size for batch in alone[:-1])


def test_batches_come_in_one_order_whatever_the_number_of_workers() -> None:
    order = epoch_order(100, 1, 3, shuffle=True)
    alone = [list(batch) for batch in batches(order, 8, Share())]
    parts = [[list(batch) for batch in batches(order, 8, Share(worker, 3))] for worker in range(3)]
    by_turns = [part[turn] for turn in range(5) for part in parts if turn < len(part)]
    assert by_turns == alone


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [tuple(epoch_order(50, epoch, seed, shuffle=True)) for epoch in range(3) for seed in range(3)]
    assert len(set(orders)) == 9
    assert orders[4] == tuple(epoch_order(50, 1, 1, shuffle=True))


@pytest.mark.parametrize("epoch", [0, 5])
def test_without_shuffling_patches_come_as_they_are(epoch: int) -> None:
    np.testing.assert_array_equal(epoch_order(9, epoch, 3, shuffle=False), np.arange(9))
