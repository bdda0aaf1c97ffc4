"""How an image lies in the patient, in words: against nibabel's reading of the same affine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from radiology_model import AXIAL, GRIDS, OBLIQUE, Grid, distinct, series_of
from radiology_opened import Opener
from radiology_slices import Identity, instance
from radiology_volumes import uneven, volume
from serving import serving
from slides import brightfield_pyramid

import dicomzarr
from dicomzarr.plan.orientation import orientation_letters, orientation_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.arrays import Image

ENDS = (("left", "right"), ("back", "front"), ("feet", "head"))
"""Of the axes of RAS."""

PLANES = {
    "axial": "axial: z to the head, y to the back, x to the left",
    "sagittal": "sagittal: z to the right, y to the feet, x to the back",
    "coronal": "coronal: z to the back, y to the feet, x to the left",
    "prone": "axial: z to the head, y to the front, x to the right",
}


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def ends_of(words: str) -> dict[str, str]:
    return {part.split(" ")[0]: part.split(" ")[-1] for part in words.partition(": ")[2].split(", ")}


@pytest.mark.parametrize("name", GRIDS)
def test_each_axis_leads_where_nibabel_says(opened: Opener, name: str) -> None:
    image = opened(volume(GRIDS[name]))
    codes = nib.orientations.aff2axcodes(np.array(image.affine_ras), labels=ENDS)
    assert ends_of(orientation_words(image.plan)) == dict(zip("xyz", codes, strict=True))


@pytest.mark.parametrize("name", GRIDS)
def test_letters_are_those_of_nibabel_turned_to_lps(opened: Opener, name: str) -> None:
    image = opened(volume(GRIDS[name]))
    codes = nib.orientations.aff2axcodes(np.array(image.affine_ras))
    assert orientation_letters(image.plan) == "".join(codes)


def test_each_axis_has_a_letter_of_its_own_though_two_lead_mostly_one_way(opened: Opener) -> None:
    row, column = np.linalg.qr(np.column_stack([(1.0, 0.62, 0.6), (1.0, -0.8, -0.72)]))[0].T
    assert {int(np.abs(each).argmax()) for each in (row, column)} == {0}
    image = opened(volume(Grid(row=tuple(row), column=tuple(column), step=tuple(np.cross(row, column) * 2))))
    letters = orientation_letters(image.plan)
    assert len({"LRPASI".index(letter) // 2 for letter in letters}) == 3
    assert len(set(ends_of(orientation_words(image.plan)).values())) == 3


@pytest.mark.parametrize("name", [name for name in PLANES if name in GRIDS])
def test_planes_are_named(opened: Opener, name: str) -> None:
    assert orientation_words(opened(volume(GRIDS[name])).plan) == PLANES[name]


def test_an_oblique_plane_says_by_how_much(opened: Opener) -> None:
    image = opened(volume(OBLIQUE))
    normal = np.cross(OBLIQUE.row, OBLIQUE.column)
    degrees = np.degrees(np.arccos(np.abs(normal).max()))
    assert f"by {degrees:.3g} degrees: " in orientation_words(image.plan)
    assert orientation_words(image.plan).startswith("oblique ")


def test_animals_have_tails(opened: Opener) -> None:
    image = opened(volume(AXIAL, AnatomicalOrientationType="QUADRUPED"))
    assert orientation_words(image.plan) == "transverse: z to the head, y to the back, x to the left"
    other = replace(image.plan, affine=tuple(tuple(-each for each in row) for row in image.plan.affine or ()))
    assert orientation_words(other) == "transverse: z to the tail, y to the belly, x to the right"


def test_uneven_slices_and_single_ones_have_a_plane(opened: Opener) -> None:
    assert orientation_words(opened(uneven([0, 2, 7], distinct((3, 8, 9)))).plan) == PLANES["axial"]
    single = opened(volume(AXIAL, distinct((1, 8, 9))))
    assert orientation_words(single.plan) in {PLANES["axial"], PLANES["axial"].replace("z to the head, ", "")}


def test_what_lies_nowhere_has_no_words(opened: Opener) -> None:
    unplaced = series_of([instance(Identity("unplaced"), 1, distinct((8, 9)))])
    assert orientation_words(opened(unplaced).plan) == ""
    with serving(brightfield_pyramid()) as slide:
        image: Image = dicomzarr.open(slide.url)
        assert orientation_words(image.plan) == ""
