"""Which patch is read when and by whom: the same patches, once each, however many share in them. Pure (no I/O)."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Share:
    """One of those who read an epoch together."""

    number: int = 0
    """From 0."""
    count: int = 1
    """How many there are."""

    def within(self, outer: Share) -> Share:
        """The share of a worker in what a node has to read."""
        return Share(outer.number + outer.count * self.number, outer.count * self.count)


def epoch_order(count: int, epoch: int, seed: int, *, shuffle: bool) -> Indices:
    """The patches of an epoch in the order in which they are read: the same for all who share in it.

    Args:
        count: How many patches there are.
        epoch: From 0; each has an order of its own.
        seed: Where randomness begins.
        shuffle: False to read them as they come.
    """
    if not shuffle:
        return np.arange(count)
    return np.random.default_rng((seed, epoch)).permutation(count)


def batches(order: Indices, size: int, share: Share) -> list[Indices]:
    """The batches of a share: every ``share.count``-th, so that all are as full as if one read alone.

    Args:
        order: All patches of the epoch.
        size: Patches of a batch; the last has what is left.
        share: Whose batches.
    """
    return [order[start : start + size] for start in range(share.number * size, len(order), share.count * size)]


def chosen(which: Any, count: int) -> Indices:
    """The numbers of some patches.

    Args:
        which: A number, a slice, numbers, or a truth value for each; negative numbers count from the end.
        count: How many patches there are.

    Returns:
        From 0, in the order in which they were given.

    Raises:
        IndexError: There is no such patch, or it is said otherwise.
    """
    if isinstance(which, slice):
        return np.arange(count)[which]
    given = np.asarray(which)
    if not given.size and not isinstance(which, np.ndarray):
        given = given.astype(np.int64)  # NumPy has an empty list for one of floats
    if given.ndim > 1 or given.dtype.kind not in "iub" or (given.dtype == np.bool_ and given.shape != (count,)):
        raise IndexError(
            f"{which!r:.60} was given for some of {count} patches: give numbers, a slice, or {count} truth values"
        )
    return np.atleast_1d(np.arange(count)[given])


def checked_count(count: Any, what: str, least: int = 0) -> int:
    """A number of patches.

    Args:
        count: What was given.
        what: What it counts, and how it is given: ends a sentence.
        least: The least that can be meant.

    Raises:
        UsageError: It is no whole number, or too small.
    """
    try:
        found = operator.index(count)
    except TypeError:
        found = least - 1
    if found < least:
        raise UsageError(f"{count!r:.40} was given for {what}.", remedy=f"Give a whole number, {least} or more.")
    return found


def checked_node(node: Any) -> Share:
    """A node of several.

    Raises:
        UsageError: It is not named by two whole numbers, or there are not so many.
    """
    try:
        number, count = map(operator.index, node)
    except (TypeError, ValueError):
        number, count = -1, 0
    if not 0 <= number < count:
        raise UsageError(
            f"{node!r:.40} was given for node, which is (number, how many), counted from 0.",
            remedy="Give (rank, world size).",
        )
    return Share(number, count)
