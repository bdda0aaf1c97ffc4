"""Places of slices, and the lattices that they lie on: what is rounding, what is a hole, what is uneven."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dicomzarr.dicom.volume.lattice import Tolerance, find_lattice, find_places, runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.volume.lattice import Places

NORMAL = np.array([0.0, 0.0, 1.0])
ODD = 0.000123
"""Millimetres, so that positions have more digits than are ever rounded."""


def places_of(distances: Sequence[float], thickness: float | None = 3.0, tilt: float = 0.0) -> Places:
    """Places of slices at these distances along the normal."""
    along = np.asarray(distances, float) + ODD
    positions = np.stack([along * 0 - 100.12345, along * tilt - 120.54321, along], axis=1)
    return find_places(positions, NORMAL, Tolerance(0.8, thickness))


def stacked(gaps: Sequence[float], **told: Any) -> Places:
    """Places with these gaps between them."""
    return places_of(np.concatenate([[0.0], np.cumsum(gaps)]).tolist(), **told)


@pytest.mark.parametrize(
    ("gaps", "absent"),
    [
        ([5, 5, 10], (3,)),
        ([3, 6, 3], (2,)),
        ([2] * 20 + [4] + [2] * 34, (21,)),
        ([2] * 6 + [6] + [2] * 6, (7, 8)),  # two absent slices beside runs of seven
        ([3, 3, 3, 3], ()),
    ],
)
@pytest.mark.parametrize("tilt", [0.0, 0.33])
def test_few_slices_that_lack_are_holes_of_one_lattice(gaps: list[float], absent: tuple[int, ...], tilt: float) -> None:
    found = find_lattice(stacked(gaps, tilt=tilt))
    assert found is not None
    assert found.absent == absent
    assert found.spacing == pytest.approx(min(gaps))


@pytest.mark.parametrize(
    "gaps",
    [
        [10.5, 21],  # no gap is the commonest
        [2, 4, 4, 2, 2, 2, 2],  # two greater gaps follow each other
        [2, 2, 2, 10, 2],  # the hole is wider than the run behind it
        [2, 4, 2, 4, 2, 2, 6, 2, 2],  # more than a quarter is absent
        [2, 2, 3, 2, 2],  # no multiple
        [5.0, 5.0, 5.6, 5.0],
    ],
)
def test_others_are_no_lattice(gaps: list[float]) -> None:
    assert find_lattice(stacked(gaps)) is None


def test_numbers_in_proportion_to_distance_prove_a_loss() -> None:
    places = stacked([10.5, 21])
    found = find_lattice(places, np.array([1.0, 2.0, 4.0]))
    assert found is not None
    assert (found.absent, found.lost) == ((2,), True)
    assert find_lattice(places, np.array([1.0, 2.0, 3.0])) is None
    falling = find_lattice(places, np.array([9.0, 7.0, 3.0]))
    assert falling is not None
    assert falling.absent == (2,)


def test_numbers_do_not_make_a_lattice_of_which_most_is_absent() -> None:
    assert find_lattice(stacked([5, 200]), np.array([1.0, 2.0, 42.0])) is None


def test_less_than_a_twentieth_of_a_step_is_one_place() -> None:
    times = [z * 3 + shift for shift in (0.0, 0.1, -0.04) for z in range(6)]
    places = places_of(times)
    assert len(places) == 6
    assert places.tolerance.jitter == pytest.approx(0.1)
    assert len(places_of([z * 3 + shift for shift in (0.0, 0.2) for z in range(6)])) == 12


def test_frames_that_lie_a_part_of_a_pixel_apart_are_one_place_and_no_stack() -> None:
    scattered = np.array([[0, 0, z] for z in (0.0, 0.012, 0.03)])
    assert len(find_places(scattered, np.array([0.0, 0, 1]), Tolerance(pixel=0.8))) == 1
    assert len(find_places(scattered, np.array([0.0, 0, 1]), Tolerance(pixel=0.05))) == 3


def test_half_a_step_is_never_one_place() -> None:
    assert len(places_of([z * 0.5 for z in range(10)], thickness=None)) == 10


@pytest.mark.parametrize("thickness", [1.0, None])
def test_two_pairs_of_slices_far_apart_are_four_places(thickness: float | None) -> None:
    assert len(places_of([0, 1, 100, 101], thickness=thickness)) == 4


def test_positions_in_tenths_are_even_if_digits_explain_it() -> None:
    exact = np.arange(12)[:, None] * np.array([0.0, -0.2012, 1.4864]) + [-110.5, -78.3, -72.7]
    normal = np.array([0.0, -0.134158, 0.99096])
    written: npt.NDArray[np.float64] = np.round(exact, 1)
    found = find_lattice(find_places(written, normal, Tolerance(1.5, 1.5)))
    assert found is not None
    assert found.rounding > 0.01 * 1.5
    off = written.copy()
    off[5] += [0.0, 0.0, 0.3]
    assert find_lattice(find_places(off, normal, Tolerance(1.5, 1.5))) is None


def test_whole_millimetres_do_not_make_everything_even() -> None:
    positions = np.array([[0.0, 0.0, z] for z in (0, 5, 10, 16, 20, 25, 30)])
    assert find_lattice(find_places(positions, NORMAL, Tolerance(1.0, 5.0))) is None


@pytest.mark.parametrize(
    ("gaps", "lengths"),
    [
        ([4] * 14 + [7] * 13, [15, 13]),
        ([2.5] * 9 + [5] * 16, [10, 16]),
        ([3, 3, 40, 3, 3], [3, 3]),
        ([3, 40, 3], [2, 2]),  # one step explains both
    ],
)
def test_runs_of_even_steps_are_apart(gaps: list[float], lengths: list[int]) -> None:
    found = runs(stacked(gaps))
    assert found is not None
    assert list(map(len, found)) == lengths


@pytest.mark.parametrize("gaps", [[1, 2, 3, 4, 5], [3, 3, 3], [3, 3, 3, 7]])
def test_pieces_that_explain_nothing_are_no_runs(gaps: list[float]) -> None:
    assert runs(stacked(gaps)) is None
