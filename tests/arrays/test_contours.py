"""Regions of interest of structure sets as masks on an image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from radiology_model import AXIAL, OBLIQUE, SAGITTAL, TILTED, distinct
from radiology_opened import Opener
from radiology_volumes import uneven, volume
from structure_sets import structure_set

import dicomzarr
from dicomzarr.errors import InvalidAttributeError, UnsupportedSeriesError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom import Dataset
    from radiology_model import Grid, RadiologySeries

    from dicomzarr.arrays.image import Image

SHAPE = (5, 16, 20)


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def drawn(opened: Opener, series: RadiologySeries, structures: Dataset) -> tuple[Image, str]:
    """The image, and the URL of its structure set."""
    server = opened.serve([*series.datasets, structures])
    image = dicomzarr.open(server.series_url(series.study_uid, series.series_uid))
    return image, server.series_url(series.study_uid, str(structures.SeriesInstanceUID))


def star(seed: int, x: float = 9.6, y: float = 7.7, size: float = 6.3, corners: int = 9) -> NDArray[np.float64]:
    """A polygon with corners in and out, whose sides no centre lies on."""
    random = np.random.default_rng(seed)
    angles = np.sort(random.random(corners)) * 2 * np.pi
    radii = size * (0.4 + 0.6 * random.random(corners))
    return np.column_stack([x + radii * np.cos(angles), y + radii * np.sin(angles)])


def box(left: float, top: float, right: float, bottom: float) -> NDArray[np.float64]:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)


def goes_around(point: NDArray[np.float64], corners: NDArray[np.float64]) -> bool:
    """Whether a polygon goes around a point of its plane: by the angle that its corners sweep, in millimetres."""
    to = corners - point
    angles = np.arctan2(to[:, 1], to[:, 0])
    turns = (np.diff(angles, append=angles[:1]) + np.pi) % (2 * np.pi) - np.pi
    return abs(turns.sum()) > np.pi


def by_angles(grid: Grid, polygons: list[tuple[int, NDArray[np.float64]]]) -> NDArray[np.bool_]:
    """The mask of simple polygons that lie apart, centre by centre, in the plane of the patient that a slice is."""
    mask = np.zeros(SHAPE, np.bool_)
    axes = np.stack([grid.row, grid.column])
    for place, points in polygons:
        indices = np.column_stack([points, np.full(len(points), place), np.ones(len(points))])
        corners = (indices @ grid.affine.T)[:, :3] @ axes.T
        for y, x in np.ndindex(SHAPE[1:]):
            centre = (grid.affine @ (x, y, place, 1))[:3] @ axes.T
            mask[place, y, x] |= goes_around(centre, corners)
    return mask


@pytest.mark.parametrize("grid", [AXIAL, SAGITTAL, OBLIQUE, TILTED], ids=["axial", "sagittal", "oblique", "tilted"])
def test_voxels_are_those_that_a_contour_goes_around(opened: Opener, grid: Grid) -> None:
    liver = [(1, star(1)), (2, star(2)), (3, star(3))]
    spleen = [(2, star(4, x=3.2, y=3.4, size=2.4)), (2, star(5, x=15.3, y=12.6, size=2.6))]
    series = volume(grid)
    image, url = drawn(opened, series, structure_set(series, grid, {"Liver": liver, "Spleen": spleen}))
    found = image.contours(url)
    assert [each.name for each in found] == ["Liver", "Spleen"]
    assert np.array_equal(found["Liver"].mask(), by_angles(grid, liver))
    assert np.array_equal(found[1].mask(), by_angles(grid, spleen))
    assert found["Liver"].mask().sum() > 50
    assert (found[0].color, found[0].number, len(found[0].contours)) == ("FF1000", 1, 3)
    points = found[0].contours[0].points
    assert np.allclose(points[0], (grid.affine @ (*liver[0][1][0], 1, 1))[:3], atol=1e-6)


def test_regions_are_one_array_of_their_numbers(opened: Opener) -> None:
    series = volume()
    regions = {"A": [(1, box(1.5, 1.5, 6.5, 6.5))], "B": [(1, box(5.5, 5.5, 9.5, 9.5)), (2, box(0.5, 0.5, 3.5, 3.5))]}
    image, url = drawn(opened, series, structure_set(series, AXIAL, regions))
    structures = image.contours(url)
    with pytest.raises(UsageError, match="share 1 voxels"):
        structures.label_map()
    found = structures.label_map(overlap="first")
    assert found.names == {1: "A", 2: "B"}
    assert (found.values[1, 6, 6], found.values[1, 7, 7], found.values[2, 1, 1]) == (1, 2, 2)
    assert np.array_equal(structures.label_map(["B"]).values, 2 * structures["B"].mask())
    assert found.to_sitk().GetSpacing() == image.to_sitk().GetSpacing()


def test_a_contour_within_another_is_a_hole_and_one_within_that_is_none(opened: Opener) -> None:
    nested = [(1, box(1.5, 1.5, 14.5, 14.5)), (1, box(3.5, 3.5, 12.5, 12.5)), (1, box(5.5, 5.5, 8.5, 8.5))]
    series = volume()
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 0, 1, 2]):  # one may be drawn twice
        regions = {"Ring": [*(nested[place] for place in order), (1, box(16.5, 1.5, 18.5, 3.5))]}
        image, url = drawn(opened, series, structure_set(series, AXIAL, regions))
        mask = image.contours(url)[0].mask()[1]
        assert (mask[2, 2], mask[4, 4], mask[7, 7], mask[2, 17]) == (True, False, True, True)


def test_contours_that_overlap_in_part_are_joined_unless_the_standard_says_otherwise(opened: Opener) -> None:
    two = [(1, box(1.5, 1.5, 6.5, 6.5)), (1, box(4.5, 4.5, 9.5, 9.5))]
    series = volume()
    for kind, both in (("CLOSED_PLANAR", True), ("CLOSEDPLANAR_XOR", False)):
        image, url = drawn(opened, series, structure_set(series, AXIAL, {"Two": two}, kind=kind))
        mask = image.contours(url)[0].mask()[1]
        assert (mask[2, 2], mask[5, 5], mask[8, 8]) == (True, both, True)


WALL = box(3.6, 3.6, 12.4, 12.4)
"""It has the voxels 4 to 12 in both directions: 9 x 9."""

BETWEEN_CENTRES = {
    "one that sticks out by less than a voxel is joined": ([WALL, box(9.7, 6.7, 12.8, 9.3)], 81),
    "so is one that sticks out where there are many corners": (
        [WALL, np.array([(9.7, 6.7), *((12.39 + 0.005 * step, 6.7 + 0.01 * step) for step in range(99)), (9.7, 9.3)])],
        81,
    ),
    "a wall between centres has no voxel": ([WALL, box(3.7, 3.7, 12.3, 12.3)], 0),
    "an island that has the voxels of its hole fills it": (
        [box(1.5, 1.5, 14.5, 14.5), WALL, box(3.7, 3.7, 12.3, 12.3)],
        169,
    ),
    "a hole that touches its contour is a hole": ([WALL, box(3.6, 5.5, 7.5, 8.5)], 81 - 4 * 3),
    "also at a corner, in other digits": ([WALL, np.array([(3.603, 3.598), (6.5, 5.5), (5.5, 6.5)])], 81 - 2),
    "one that is drawn twice, in other digits, counts once": ([WALL, WALL[::-1] + 0.004, box(5.5, 5.5, 7.5, 7.5)], 77),
    "a hole in two that overlap is a hole in both": (
        [box(1.5, 1.5, 10.5, 10.5), box(4.5, 1.5, 14.5, 10.5), box(6.5, 4.5, 8.5, 6.5)],
        13 * 9 - 4,
    ),
    "what fills the hole of a keyhole is joined": (
        [np.array([*box(1.5, 1.5, 10.5, 10.5), (1.5, 1.5), *box(4.5, 4.5, 7.5, 7.5)[::-1], (4.5, 7.5)]),
         box(4.5, 4.5, 7.5, 7.5)],
        81,
    ),
}  # fmt: skip
"""Contours, and how many voxels they have by the sums beside them."""


@pytest.mark.parametrize("case", BETWEEN_CENTRES)
def test_what_lies_within_is_judged_by_contours_and_not_by_voxels(opened: Opener, case: str) -> None:
    contours, count = BETWEEN_CENTRES[case]
    series = volume()
    for order in (contours, contours[::-1], [each[::-1] for each in contours]):
        image, url = drawn(opened, series, structure_set(series, AXIAL, {"A": [(1, each) for each in order]}))
        assert image.contours(url)["A"].mask().sum() == count


def test_contours_that_go_back_and_forth_without_end_are_refused(opened: Opener) -> None:
    series = volume()
    steps = np.arange(9000)
    zigzag = np.column_stack([steps / 600, steps % 2 * 15.0])
    image, url = drawn(opened, series, structure_set(series, AXIAL, {"A": [(1, zigzag), (1, zigzag + 0.001)]}))
    with pytest.raises(UsageError, match="back and forth too often"):
        image.contours(url)["A"].mask()


def test_a_keyhole_leaves_its_hole_out(opened: Opener) -> None:
    outer, inner = box(1.5, 1.5, 10.5, 10.5), box(4.5, 4.5, 7.5, 7.5)
    keyhole = np.array([*outer, outer[0], *inner[::-1], inner[-1]])
    series = volume()
    image, url = drawn(opened, series, structure_set(series, AXIAL, {"Ring": [(1, keyhole)]}))
    mask = image.contours(url)[0].mask()[1]
    assert (mask[9, 9], mask[5, 6], mask[6, 6]) == (True, False, False)


def test_neighbours_share_no_voxel_and_leave_none_out_though_their_sides_run_through_centres(opened: Opener) -> None:
    quarters = [box(2, 3, 8, 9), box(8, 3, 14, 9), box(2, 9, 8, 13), box(8, 9, 14, 13)]
    triangles = [
        np.array([(2, 3), (14, 3), (8, 9)]),
        np.array([(2, 3), (8, 9), (2, 13)]),
        np.array([(8, 9), (14, 3), (14, 13)]),
    ]
    triangles.append(np.array([(2, 13), (8, 9), (14, 13)]))
    for parts in (quarters, triangles):
        regions = {str(number): [(1, np.array(part, float))] for number, part in enumerate(parts)}
        series = volume()
        image, url = drawn(opened, series, structure_set(series, AXIAL, regions))
        counts = sum(each.mask()[1].astype(int) for each in image.contours(url))
        assert counts.max() == 1
        assert counts[3:13, 2:14].sum() == counts.sum() == 10 * 12


def test_what_lies_beyond_the_image_is_cut_off(opened: Opener) -> None:
    regions = {"All": [(1, box(-30, -30, 60, 60)), (7, box(0.5, 0.5, 3.5, 3.5)), (2, box(-9.5, -9.5, -3.5, -3.5))]}
    series = volume()
    image, url = drawn(opened, series, structure_set(series, AXIAL, regions))
    mask = image.contours(url)[0].mask()
    assert (mask[1].all(), mask.sum()) == (True, mask[1].size)


def test_what_a_mask_does_not_show_is_said(opened: Opener) -> None:
    series = volume()
    regions = {
        "Beyond": [(1, star(1)), (2, star(2)), (9, star(3))],
        "Every other": [(0, star(1)), (2, star(1)), (4, star(1))],
        "Two nodes": [(0, star(1)), (1, star(1)), (4, star(1))],
    }
    image, url = drawn(opened, series, structure_set(series, AXIAL, regions))
    structures = image.contours(url)
    assert [len(each.notices) for each in structures] == [1, 1, 0]
    assert "1 of 3 contours of 'Beyond' lie above or below the image" in structures["Beyond"].notices[0]
    assert "'Every other' is drawn on 3 of 5 slices" in structures["Every other"].notices[0]
    assert structures.label_map(overlap="last").notices == (
        *structures["Beyond"].notices, *structures["Every other"].notices,
    )  # fmt: skip
    assert structures.label_map(["Two nodes"]).notices == ()


def test_contours_between_slices_are_refused_with_the_reason(opened: Opener) -> None:
    series = volume()
    image, url = drawn(opened, series, structure_set(series, AXIAL, {"Off": [(1.5, star(1)), (2, star(1))]}))
    with pytest.raises(UsageError, match="1 of 2 contours of 'Off' lie between slices"):
        image.contours(url)[0].mask()
    turned = structure_set(series, replace(OBLIQUE, origin=AXIAL.origin), {"Across": [(1, star(1))]})
    image, url = drawn(opened, series, turned)
    with pytest.raises(UsageError, match="lie between slices of the image, or across"):
        image.contours(url).label_map()


def test_another_frame_of_reference_is_refused(opened: Opener) -> None:
    series = volume()
    image, url = drawn(opened, series, structure_set(series, AXIAL, {"A": [(1, star(1))]}, reference="1.2.3"))
    with pytest.raises(UsageError, match="another frame of reference"):
        image.contours(url)["A"].mask()


def test_points_and_open_lines_enclose_nothing(opened: Opener) -> None:
    series = volume()
    structures = structure_set(series, AXIAL, {"Liver": [(1, star(1))], "Point": [(1, star(2)[:1])]})
    structures.ROIContourSequence[1].ContourSequence[0].ContourGeometricType = "POINT"
    image, url = drawn(opened, series, structures)
    found = image.contours(url)
    with pytest.raises(UsageError, match="No contour of 'Point' encloses anything"):
        found["Point"].mask()
    assert found.label_map().names == {1: "Liver"}
    assert found.label_map().notices == ("'Point' was left out: no contour of it encloses anything.",)
    assert found["Point"].contours[0].points.shape == (1, 3)


def test_names_that_are_not_there_are_answered_by_those_that_are(opened: Opener) -> None:
    series = volume()
    image, url = drawn(opened, series, structure_set(series, AXIAL, {"A": [(1, star(1))], "B": []}))
    found = image.contours(url)
    with pytest.raises(UsageError, match=r"no region named 'C'\. There are: 'A', 'B'"):
        found["C"]
    assert not found["B"].mask().any()
    assert repr(found).splitlines()[0] == "<2 regions of interest>"
    assert len(found[1:]) == 1


def test_what_is_no_structure_set_is_said(opened: Opener) -> None:
    series = volume()
    image, url = drawn(opened, series, structure_set(series, AXIAL, {"A": [(1, star(1))]}))
    with pytest.raises(UnsupportedSeriesError, match=r"holds no structure set \(RTSTRUCT\)"):
        image.contours(image.series_url)
    with pytest.raises(UsageError, match="not evenly spaced"):
        opened(uneven([0, 2.5, 5, 10, 17.5], distinct(SHAPE))).contours(url)


@pytest.mark.parametrize("data", [["1", "2"], [], None])
def test_contours_that_are_no_points_cost_no_more_than_themselves(opened: Opener, data: Any) -> None:
    series = volume()
    regions = {"A": [(1, star(1)), (2, star(2))], "B": [(3, star(3))], "C": [(4, star(4))]}
    structures = structure_set(series, AXIAL, regions)
    for number in (0, 1):
        structures.ROIContourSequence[number].ContourSequence[0].ContourData = data
    image, url = drawn(opened, series, structures)
    found = image.contours(url)
    assert np.array_equal(found["A"].mask(), by_angles(AXIAL, [(2, star(2))]))
    (notice,) = found["A"].notices
    assert notice.startswith("1 of 2 contours of 'A' were left out")
    with pytest.raises(InvalidAttributeError, match=r"No contour of 'B' can be read.*no list of points"):
        found["B"].mask()
    labels = found.label_map()
    assert (labels.names, len(labels.notices)) == ({1: "A", 3: "C"}, 2)


def test_contours_of_a_region_in_several_items_are_all_its_own(opened: Opener) -> None:
    series = volume()
    contours = [(1, star(1)), (2, star(2))]
    structures = structure_set(series, AXIAL, {"A": contours[:1], "B": [(3, star(3))]})
    more = structure_set(series, AXIAL, {"A": contours[1:]}).ROIContourSequence[0]
    structures.ROIContourSequence.append(more)
    image, url = drawn(opened, series, structures)
    found = image.contours(url)
    assert np.array_equal(found["A"].mask(), by_angles(AXIAL, contours))
    assert (found["A"].color, found["A"].notices, found["B"].mask()[2].any()) == ("FF1000", (), False)


def test_regions_of_one_number_are_said(opened: Opener) -> None:
    series = volume()
    structures = structure_set(series, AXIAL, {"A": [(1, star(1))], "B": [(3, star(3))]})
    structures.StructureSetROISequence[1].ROINumber = structures.ROIContourSequence[1].ReferencedROINumber = 1
    image, url = drawn(opened, series, structures)
    assert all("2 regions have the ROINumber" in each.notices[0] for each in image.contours(url))


def test_numbers_that_no_region_can_have_are_counted(opened: Opener) -> None:
    series = volume()
    for number in (-1, 0):
        structures = structure_set(series, AXIAL, {"A": [(1, star(1))], "B": [(3, star(3))]})
        structures.StructureSetROISequence[0].ROINumber = number
        structures.ROIContourSequence[0].ReferencedROINumber = number
        image, url = drawn(opened, series, structures)
        labels = image.contours(url).label_map()
        assert labels.names == {1: "A", 2: "B"}
        assert labels.values.dtype == np.uint8
        assert np.array_equal(labels.values == 2, by_angles(AXIAL, [(3, star(3))]))


def test_what_a_contour_encloses_lies_where_its_offset_moves_it(opened: Opener) -> None:
    series = volume(OBLIQUE)
    structures = structure_set(series, OBLIQUE, {"A": [(1, star(1))], "B": [(1, star(1))], "C": [(1, star(1))]})
    step = [str(number)[:16] for number in OBLIQUE.affine[:3, 2]]
    for number, offset in enumerate((step, ["0", "0", "0"], ["1"])):
        structures.ROIContourSequence[number].ContourSequence[0].ContourOffsetVector = offset
    image, url = drawn(opened, series, structures)
    found = image.contours(url)
    assert np.array_equal(found["A"].mask(), by_angles(OBLIQUE, [(2, star(1))]))
    assert found["A"].notices == ("1 contours of 'A' lie where their ContourOffsetVector (3006,0045) moves them.",)
    assert np.array_equal(found["B"].mask(), by_angles(OBLIQUE, [(1, star(1))]))
    assert found["B"].notices == ()
    with pytest.raises(InvalidAttributeError, match="No contour of 'C' can be read"):
        found["C"].mask()


def test_points_that_have_the_name_of_a_region_are_left_out(opened: Opener) -> None:
    series = volume()
    structures = structure_set(series, AXIAL, {"A": [(1, star(1)[:1])], "B": [(1, star(1))]})
    structures.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = "POINT"
    structures.StructureSetROISequence[0].ROIName = "B"
    image, url = drawn(opened, series, structures)
    for names in (None, ["B"]):
        labels = image.contours(url).label_map(names)
        assert labels.names == {2: "B"}
        assert labels.notices == ("'B' was left out: no contour of it encloses anything.",)


def test_slices_without_neighbours_are_said_though_others_have_them(opened: Opener) -> None:
    series = volume(AXIAL, distinct((12, 16, 20)))
    regions = {
        "Every other, and two": [(place, star(1)) for place in (0, 2, 4, 6, 7, 9, 11)],
        "All, then every other": [(place, star(1)) for place in (0, 1, 2, 3, 4, 5, 7, 9, 11)],
        "All": [(place, star(1)) for place in range(12)],
        "Three nodes": [(place, star(1)) for place in (0, 1, 5, 6, 10, 11)],
    }
    image, url = drawn(opened, series, structure_set(series, AXIAL, regions))
    assert [len(each.notices) for each in image.contours(url)] == [1, 1, 0, 0]


def test_contours_beyond_an_image_are_counted_wherever_slices_would_be(opened: Opener) -> None:
    for slices, beyond in ((1, (1, 2.3, -1)), (5, (5, 6.4, -1.6))):
        series = volume(AXIAL, distinct((slices, 16, 20)))
        regions = {"A": [(0, star(1)), *((place, star(2)) for place in beyond)]}
        image, url = drawn(opened, series, structure_set(series, AXIAL, regions))
        (found,) = image.contours(url)
        assert found.mask()[0].sum() == found.mask().sum() == by_angles(AXIAL, [(0, star(1))]).sum()
        assert "3 of 4 contours of 'A' lie above or below" in found.notices[0]


def test_a_folder_has_structure_sets_too(tmp_path: Path) -> None:
    series = volume()
    series.write(tmp_path / "ct")
    structures = structure_set(series, AXIAL, {"A": [(1, star(1))]})
    (tmp_path / "rt").mkdir()
    structures.save_as(tmp_path / "rt" / "a.dcm", enforce_file_format=True)
    image = dicomzarr.open(tmp_path / "ct")
    assert np.array_equal(image.contours(tmp_path / "rt")["A"].mask(), by_angles(AXIAL, [(1, star(1))]))
