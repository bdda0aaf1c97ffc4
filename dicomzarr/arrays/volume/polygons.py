"""Voxels whose centres lie within a closed contour, and contours that lie within others. Pure (no I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    Points = npt.NDArray[np.float64]
    Numbers = npt.NDArray[np.intp]

_BESIDE: Final = 0.02
"""Pixels beside a side at which is asked what lies there: contours that touch are written with few digits."""

_AROUND: Final = np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]) * _BESIDE / 2
"""What has to lie alike around such a place, or it is in what rounding leaves between contours."""

_PAIRS: Final = 2**20
"""Points and sides that are compared at a time."""

_MOST: Final = 2**26
"""Of these in one go: in a row, real contours go back and forth a few times, hostile ones at each of their sides."""


def inside(points: Points, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The pixels whose centres a contour goes around an odd number of times.

    So a keyhole, which goes in and out on one line, leaves the hole out (PS3.3 section C.8.8.6.3).

    Args:
        points: (n, 2): columns and rows, 0 at the centre of the first pixel; the last is joined to the first.
        shape: Rows and columns.

    Returns:
        Truth values of that shape.
    """
    mask = np.zeros(shape, np.bool_)
    x, y = points.T
    after_x, after_y = np.roll(x, -1), np.roll(y, -1)
    first = max(0, int(np.ceil(y.min())))
    last = min(shape[0] - 1, int(np.floor(y.max())))
    columns: npt.NDArray[Any] = np.arange(shape[1])
    for row in range(first, last + 1):
        crossed = (y <= row) != (after_y <= row)  # half-open: an end that two sides share counts once
        part = (row - y[crossed]) / (after_y[crossed] - y[crossed])
        at = np.sort(x[crossed] + part * (after_x[crossed] - x[crossed]))
        mask[row] = (len(at) - np.searchsorted(at, columns, side="right")) % 2 == 1
    return mask


def holders(contours: Sequence[Points]) -> list[frozenset[int]]:
    """The places of the contours that each closed contour lies within; two that are alike lie within each other.

    What lies within is judged by the contours and not by voxels: a wall may be thinner than these.

    Args:
        contours: (n, 2) each: columns and rows; the last is joined to the first.

    Raises:
        UsageError: They go back and forth too often.
    """
    low, high = np.array([each.min(0) for each in contours]), np.array([each.max(0) for each in contours])
    by_size = np.argsort((high - low).sum(1), kind="stable")
    found: dict[int, frozenset[int]] = {}
    for place in map(int, by_size[::-1]):
        around = ((low <= low[place] + _BESIDE) & (high >= high[place] - _BESIDE)).all(1)
        held: frozenset[int] = frozenset({place})
        for at in map(int, by_size[around[by_size]]):
            if at not in held and _lies_within(contours[place], contours[at]):
                held |= {at, *found.get(at, ())}
        found[place] = held - {place}
    return [found[place] for place in range(len(contours))]


def _lies_within(inner: Points, outer: Points) -> bool:
    """Whether a contour encloses nothing that another does not enclose.

    Sides cut the plane into parts, and each part has a side. So it is asked on both sides of each, between the places
    where it meets another. What is narrower than about a fiftieth of a pixel is taken for the rounding of contours that
    touch.
    """
    both = _sides(inner), _sides(outer)
    for sides, others in (both, both[::-1]):
        for pieces in _pieces(sides, others):
            along = pieces[:, 1] - pieces[:, 0]
            aside = _BESIDE * np.column_stack([-along[:, 1], along[:, 0]]) / np.hypot(*along.T)[:, None]
            middles = pieces.mean(1)
            probes = np.concatenate([middles + aside, middles - aside])
            for away in _AROUND:
                moved = probes + away
                probes = probes[_encloses(inner, moved) & ~_encloses(outer, moved)]
            if len(probes):
                return False
    return True


def _sides(points: Points) -> Points:
    """(n, 2, 2): the ends of each side that has a length."""
    sides: Points = np.stack([points, np.roll(points, -1, 0)], 1)
    there: npt.NDArray[np.bool_] = (sides[:, 0] != sides[:, 1]).any(1)
    return sides[there]


def _pieces(sides: Points, others: Points) -> Iterator[Points]:
    """(n, 2, 2): sides, cut where others meet them; many of them at a time."""
    others = others[np.argsort(others[:, :, 1].min(1))]
    low, high = sides.min(1) - _BESIDE, sides.max(1) + _BESIDE
    others_low, others_high = others.min(1), others.max(1)
    tallest = (others_high - others_low)[:, 1].max(initial=0)
    first = np.searchsorted(others_low[:, 1], low[:, 1] - tallest, "left")
    last = np.searchsorted(others_low[:, 1], high[:, 1], "right")
    for block, i, j in _ranges(first, last):
        meet = ((low[i] <= others_high[j]) & (high[i] >= others_low[j])).all(1)
        cuts = list(_cuts(sides[i[meet]], others[j[meet]]))
        number = np.concatenate([block, block, *[i[meet]] * len(cuts)])
        part = np.concatenate([np.zeros(len(block)), np.ones(len(block)), *cuts])
        number, part = number[(part >= 0) & (part <= 1)], part[(part >= 0) & (part <= 1)]
        order = np.lexsort([part, number])
        number, part = number[order], part[order]
        at = sides[number, 0] + part[:, None] * (sides[number, 1] - sides[number, 0])
        pieces = np.stack([at[:-1], at[1:]], 1)[number[:-1] == number[1:]]
        yield pieces[(pieces[:, 0] != pieces[:, 1]).any(1)]


def _cuts(sides: Points, others: Points) -> Iterator[Points]:
    """Where others cross sides, and where their ends lie beside them: parts of the sides' lengths."""
    with np.errstate(divide="ignore", invalid="ignore"):
        along, across = sides[:, 1] - sides[:, 0], others[:, 1] - others[:, 0]
        yield _cross(others[:, 0] - sides[:, 0], across) / _cross(along, across)
        for end in (0, 1):
            yield _dot(others[:, end] - sides[:, 0], along) / _dot(along, along)


def _dot(one: Points, other: Points) -> Points:
    return one[:, 0] * other[:, 0] + one[:, 1] * other[:, 1]


def _cross(one: Points, other: Points) -> Points:
    return one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]


def _encloses(contour: Points, points: Points) -> npt.NDArray[np.bool_]:
    """Whether a contour goes around each point an odd number of times."""
    order = np.argsort(points[:, 1])
    x, y = points[order].T
    start, end = np.swapaxes(_sides(contour), 0, 1)
    ends = np.sort([start[:, 1], end[:, 1]], 0)
    odd = np.zeros(len(points), np.intp)
    for _, side, place in _ranges(*np.searchsorted(y, ends, "left")):
        part = (y[place] - start[side, 1]) / (end[side, 1] - start[side, 1])
        right = start[side, 0] + part * (end[side, 0] - start[side, 0]) > x[place]
        odd += np.bincount(place[right], minlength=len(points))
    found = np.empty(len(points), np.bool_)
    found[order] = odd % 2 == 1
    return found


def _ranges(first: Numbers, last: Numbers) -> Iterator[tuple[Numbers, Numbers, Numbers]]:
    """Numbers ``i``, and (i, j) for each j from ``first[i]`` up to ``last[i]``, in blocks that fit in memory."""
    counts = last - first
    total = np.cumsum(counts)
    if counts.sum() > _MOST:
        raise UsageError(
            "Contours go back and forth too often for it to be told which lies within which.",
            remedy="contours holds their points.",
        )
    most = np.arange(_PAIRS, total[-1] if len(total) else 0, _PAIRS)
    for block in np.split(np.arange(len(counts)), np.searchsorted(total, most)):
        of_block = counts[block]
        i = np.repeat(block, of_block)
        yield block, i, np.arange(len(i)) - np.repeat(np.cumsum(of_block) - of_block, of_block) + first[i]
