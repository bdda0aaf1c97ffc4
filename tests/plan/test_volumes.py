"""Series of single-frame radiology instances: what they become."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import radiology_dimensions as dimensions
import radiology_volumes as volumes
from aiohttp import web
from multipart_parts import json_of
from opened import group_at
from radiology import BUILDERS, COLOR
from radiology_model import (
    AXIAL,
    CORONAL,
    FLIPPED,
    GRIDS,
    OBLIQUE,
    SAGITTAL,
    TILTED,
    Grid,
    decimal,
    decimals,
    distinct,
    series_of,
)
from radiology_opened import (
    Opener,
    affine_of,
    axes_of,
    coordinate,
    has_no_space,
    lies_on,
    pixels_of,
    shows,
    units_of,
)
from radiology_oracles import (
    Dcm2niix,
    Placed,
    by_highdicom,
    by_simpleitk,
    by_simpleitk_file,
    differences,
    required,
    rescaled_by_pydicom,
    stored_by_pydicom,
)
from radiology_slices import Identity, instance
from radiology_volumes import VOLUME, volume
from slides_model import PHI

import dicomzarr
from dicomzarr.demo.instances import from_dataset
from dicomzarr.errors import GuessWarning
from dicomzarr.omezarr.attributes import dicomzarr_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from aiohttp.typedefs import Handler
    from pydicom import Dataset
    from radiology_model import Pixels, RadiologySeries

    from dicomzarr.arrays.image import Image

SIXTEEN = Identity("sixteen", "MR", 16)
LATER = distinct((2, 16, 20))
"""(z, y, x)."""


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens series from servers in this process."""
    with Opener() as opener:
        yield opener


@pytest.fixture
def dcm2niix(tmp_path_factory: pytest.TempPathFactory) -> Dcm2niix:
    """The converter; where it is missing, skip, and in CI fail."""
    return Dcm2niix(required("dcm2niix"), tmp_path_factory.mktemp("niix"))


def notices_of(image: Image) -> str:
    """All notices in one text."""
    return " ".join(image.notices)


def by_position(series: RadiologySeries, grid: Grid) -> list[Dataset]:
    """The datasets in the order of their places along the normal."""
    return sorted(series.datasets, key=lambda ds: float(np.dot(ds.ImagePositionPatient, grid.normal)))


# --- places come from ImagePositionPatient and ImageOrientationPatient alone


@pytest.mark.parametrize("name", GRIDS)
def test_slices_ascend_along_the_normal_whatever_their_numbers(opened: Opener, name: str) -> None:
    image = opened(volume(GRIDS[name]))
    assert shows(image, "zyx", VOLUME)
    assert lies_on(image, GRIDS[name])
    assert image.levels[0].chunks == (1, 16, 20)
    assert image.images == (image,)
    assert image.path == ""


@pytest.mark.parametrize("grid", [AXIAL, SAGITTAL, OBLIQUE], ids=["axial", "sagittal", "oblique"])
def test_slices_that_were_numbered_against_the_normal_are_turned_round(opened: Opener, grid: Grid) -> None:
    backwards = replace(grid, step=tuple(-step for step in grid.step))
    image = opened(volume(backwards))
    assert shows(image, "zyx", VOLUME[::-1])
    assert lies_on(image, replace(grid, origin=backwards.position(len(VOLUME) - 1)))


@pytest.mark.parametrize("name", GRIDS)
def test_highdicom_and_itk_find_each_value_at_the_same_place(opened: Opener, tmp_path: Path, name: str) -> None:
    series = volume(GRIDS[name], RescaleIntercept="0")  # so that who rescales finds the same values
    series.write(tmp_path)
    image = opened(series)
    ours = Placed(pixels_of(image), affine_of(image))
    for oracle in (by_highdicom(series.datasets), by_simpleitk(tmp_path)):
        assert differences(ours, oracle) == (pytest.approx(0, abs=1e-6), 0)


@pytest.mark.parametrize("name", ["sagittal", "flipped", "oblique"])
def test_dcm2niix_finds_each_value_at_the_same_place(
    opened: Opener, dcm2niix: Dcm2niix, tmp_path: Path, name: str
) -> None:
    series = volume(GRIDS[name], RescaleIntercept="0")
    series.write(tmp_path)
    image = opened(series)
    (niix,) = dcm2niix.volumes(tmp_path)
    assert differences(Placed(pixels_of(image), affine_of(image)), niix) == (pytest.approx(0, abs=1e-3), 0)


def test_zarr_and_xarray_show_what_the_image_shows(opened: Opener) -> None:
    image = opened(volume(SAGITTAL))
    group = group_at(image.url)
    assert np.array_equal(group["0"][...], VOLUME)
    assert group["0"].metadata.dimension_names == ("z", "y", "x")
    (multiscale,) = group.attrs["ome"]["multiscales"]
    assert [axis.get("unit") for axis in multiscale["axes"]] == ["millimeter"] * 3
    assert multiscale["datasets"][0]["coordinateTransformations"][0]["scale"] == pytest.approx([3.0, 0.8, 0.6])
    assert np.allclose(group.attrs["dicomzarr"]["affine"], SAGITTAL.affine, rtol=0, atol=1e-6)
    array = image.to_xarray()["0"]["image"]
    assert array.dims == ("z", "y", "x")
    assert np.array_equal(array.to_numpy(), VOLUME - 1024.0)  # CF's scale_factor and add_offset, decoded


def test_opening_reads_no_frame_and_a_slice_is_one_frame(opened: Opener) -> None:
    image = opened(volume())
    assert (image.levels[0].shape, image.levels[0].dtype) == ((5, 16, 20), np.uint16)
    assert (opened.count("metadata"), opened.count("frames")) == (1, 0)
    assert np.array_equal(image.levels[0][3], VOLUME[3])
    assert opened.count("frames") == 1


@pytest.mark.parametrize(("bits", "signed"), [(8, False), (12, True), (16, False), (16, True), (32, False)])
def test_every_type_of_pixel_keeps_its_values(opened: Opener, bits: int, signed: bool) -> None:  # noqa: FBT001
    pixels = distinct((3, 10, 12), bits, signed=signed)
    assert shows(opened(volume(pixels=pixels, bits=bits)), "zyx", pixels)


@pytest.mark.parametrize("signed", [False, True])
def test_bits_beyond_those_stored_are_not_values(opened: Opener, signed: bool) -> None:  # noqa: FBT001
    pixels = distinct((3, 16, 20), signed=signed)
    series = volumes.garbage_in_high_bits(pixels, signed=signed)
    image = opened(series)
    assert shows(image, "zyx", pixels)
    assert all(
        np.array_equal(stored_by_pydicom(dataset), picture)
        for dataset, picture in zip(by_position(series, AXIAL), pixels_of(image), strict=True)
    )


# --- PixelSpacing is from row to row first


def test_the_first_spacing_is_from_row_to_row(opened: Opener) -> None:
    image = opened(volume(replace(AXIAL, spacing=(2.0, 0.5))))
    assert image.levels[0].scale == pytest.approx((2.5, 2.0, 0.5))
    assert affine_of(image)[:3, 0] == pytest.approx([0.5, 0, 0])
    assert affine_of(image)[:3, 1] == pytest.approx([0, 2.0, 0])


def test_columns_advance_along_the_row_cosines(opened: Opener) -> None:
    image = opened(volume(replace(CORONAL, spacing=(2.0, 0.5))))
    assert affine_of(image)[:3, 0] == pytest.approx([0.5, 0, 0])
    assert affine_of(image)[:3, 1] == pytest.approx([0, 0, -2.0])
    assert affine_of(image)[:3, 2] == pytest.approx([0, 1.75, 0])


# --- the distance of slices comes from their places


def test_neither_thickness_nor_spacing_between_slices_wins_over_the_places(opened: Opener) -> None:
    image = opened(volume(OBLIQUE, SliceThickness="9", SpacingBetweenSlices="7"))
    assert lies_on(image, OBLIQUE)


@pytest.mark.parametrize(
    ("attributes", "step"),
    [
        ({"SpacingBetweenSlices": "4", "SliceThickness": "3"}, 4.0),
        ({"SliceThickness": "3"}, 3.0),
        ({"SliceThickness": None}, 1.0),
    ],
    ids=["spacing", "thickness", "neither"],
)
def test_one_slice_steps_along_the_normal(opened: Opener, attributes: dict[str, object], step: float) -> None:
    image = opened(volume(OBLIQUE, VOLUME[:1], **attributes))
    assert shows(image, "yx", VOLUME[0])
    expected = OBLIQUE.along_normal(step).affine
    assert np.allclose(affine_of(image), expected, rtol=0, atol=1e-6)
    assert image.levels[0].scale == pytest.approx(OBLIQUE.spacing)


# --- a hole in the stack shows


@pytest.mark.parametrize(
    ("grid", "distances"),
    [
        (SAGITTAL, [0, 2.5, 4, 9, 10]),
        (OBLIQUE, [0, 2.5, 4, 9, 10]),
        (AXIAL, [0, 2.5, 5, 12.5, 20]),
        (AXIAL, [0, 2.5, 5, 7.5, 10.06]),
        (AXIAL, [0, 0.3, 0.6, 0.9, 1.215]),
    ],
    ids=["irregular", "oblique", "two holes", "beyond one per cent", "beyond a hundredth of a millimetre"],
)
def test_uneven_slices_get_coordinates_instead_of_a_step(
    opened: Opener, grid: Grid, distances: Sequence[float]
) -> None:
    image = opened(volumes.uneven(distances, VOLUME, grid))
    assert shows(image, "zyx", VOLUME)
    assert image.affine is None
    assert image.affine_ras is None
    assert units_of(image) == {"z": None, "y": "millimeter", "x": "millimeter"}
    assert image.levels[0].scale == pytest.approx((1.0, *grid.spacing))
    z = coordinate(image, "z")
    assert z["axis"] == "z"
    assert np.diff(z["values"]) == pytest.approx(np.diff(distances), abs=1e-6)
    start = float(np.dot(grid.origin, grid.normal))
    assert z["values"] == pytest.approx([start + distance for distance in distances], abs=1e-6)
    assert z["unit"] in {"mm", "millimeter"}
    assert np.allclose(
        dicomzarr_attributes(image.plan)["plane_affine"], grid.along_normal(1.0).affine, rtol=0, atol=1e-6
    )
    assert len(image.images) == 1
    assert "not evenly spaced" in notices_of(image)


@pytest.mark.parametrize("grid", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
@pytest.mark.parametrize(("numbered", "why"), [(True, "were lost"), (False, "were left out or renumbered")])
def test_a_slice_that_is_not_there_is_an_absent_chunk_of_an_even_grid(
    opened: Opener, grid: Grid, why: str, *, numbered: bool
) -> None:
    series = volume(grid, distinct((6, 16, 20), bits=12, signed=True))
    pixels = np.stack([stored_by_pydicom(dataset) for dataset in by_position(series, grid)])
    lost = decimals(grid.position(3))
    kept = [dataset for dataset in series.datasets if dataset.ImagePositionPatient != lost]
    assert len(kept) == 5
    for number, dataset in enumerate(by_position(series_of(kept), grid), 1):
        dataset.InstanceNumber = dataset.InstanceNumber if numbered else number
    image = opened(series_of(kept))
    pixels[3] = -2048  # no value that a tissue could have
    assert shows(image, "zyx", pixels)
    assert lies_on(image, grid)
    assert dicomzarr_attributes(image.plan)["absent"] == [{"z": 3}]
    assert "1 of 6 slices " + why in notices_of(image)
    assert opened.count("frames") == 5


@pytest.mark.parametrize(
    "distances",
    [
        [0, 2.52, 5, 7.5, 10],
        [0, 3.8001, 7.5992, 11.3993, 15.1994],
        [0, 4.999998, 9.999998, 15, 20],
        [0, 0.309, 0.6, 0.9, 1.2],
    ],
    ids=["within one per cent", "3.8001 and 3.7991", "4.999998", "within a hundredth of a millimetre"],
)
def test_rounded_positions_are_even(opened: Opener, distances: Sequence[float]) -> None:
    image = opened(volumes.uneven(distances, VOLUME))
    assert shows(image, "zyx", VOLUME)
    step = (distances[-1] - distances[0]) / 4
    assert lies_on(image, AXIAL.along_normal(step))
    assert image.notices == ()


@pytest.mark.parametrize("shift", [lambda z: 5 * (z % 2), lambda z: z**2], ids=["zigzag", "curved"])
def test_slices_that_are_shifted_in_their_plane_are_not_sheared(opened: Opener, shift: Callable[[int], float]) -> None:
    series = volume()
    for dataset in series.datasets:
        x, y, z = map(float, dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = decimals((x + shift(round((z - AXIAL.origin[2]) / 2.5)), y, z))
    image = opened(series)
    assert shows(image, "zyx", VOLUME)
    assert image.affine is None
    assert units_of(image)["z"] is None
    assert "slice" in notices_of(image)


# --- two slices at one place


def test_of_duplicates_that_nothing_tells_apart_the_first_uid_stays_and_a_warning_says_so(opened: Opener) -> None:
    series = volumes.duplicated(LATER[1])
    there = decimals(AXIAL.position(2))
    twice = {str(ds.SOPInstanceUID): ds for ds in series.datasets if decimals(ds.ImagePositionPatient) == there}
    assert len(twice) == 2
    for dataset in twice.values():
        dataset.InstanceNumber = 3
    with pytest.warns(GuessWarning, match="guess"):
        image = opened(series)
    assert opened.count("frames") == 0
    stays, goes = sorted(twice)
    expected = VOLUME.copy()
    expected[2] = stored_by_pydicom(twice[stays])
    most, one = image.images
    assert shows(most, "zyx", expected)
    assert lies_on(most, AXIAL)
    assert shows(one, "yx", stored_by_pydicom(twice[goes]))
    assert affine_of(one)[:3, 3] == pytest.approx(AXIAL.position(2))
    assert ["perhaps sent twice" in each.name for each in image.images] == [True, True]
    assert goes in notices_of(image)


@pytest.mark.parametrize("again", [None, LATER[1]], ids=["the same pixels", "other pixels"])
def test_a_slice_that_was_numbered_after_all_others_is_an_image_of_its_own(
    opened: Opener, again: Pixels | None
) -> None:
    image = opened(volumes.duplicated(again))
    assert opened.count("frames") == 0  # nothing is compared
    most, one = image.images
    assert shows(most, "zyx", VOLUME)
    assert lies_on(most, AXIAL)
    assert shows(one, "yx", VOLUME[2] if again is None else again)
    assert affine_of(one)[:3, 3] == pytest.approx(AXIAL.position(2))
    assert "order of acquisition" in notices_of(image)
    assert "t counts" not in notices_of(image)


def test_one_instance_that_is_listed_twice_is_one_slice(opened: Opener) -> None:
    @web.middleware
    async def twice(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.endswith("/metadata"):
            return await handler(request)
        listed = await json_of(await handler(request))
        return web.json_response([*listed, listed[0]], content_type="application/dicom+json")

    image = opened(volume(), twice)
    assert shows(image, "zyx", VOLUME)
    assert lies_on(image, AXIAL)
    assert "repeated" in notices_of(image)


def test_a_duplicate_at_one_place_makes_no_time_axis_with_holes(opened: Opener) -> None:
    most, one = opened(volumes.duplicated(AcquisitionNumber=2, AcquisitionTime="120001")).images
    assert shows(most, "zyx", VOLUME)
    assert lies_on(most, AXIAL)
    assert shows(one, "yx", VOLUME[2])
    assert "1 of 5 slices" in one.name


# --- bolus monitoring


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        (["120000", "120002", "120004", "120006"], [0, 2, 4, 6]),
        (["120000.25", "120001.25", "120004.5", "120006"], [0, 1, 4.25, 5.75]),
        (["115958", "120000", "120002", "120004"], [0, 2, 4, 6]),
    ],
    ids=["even", "uneven", "over the hour"],
)
def test_one_place_many_times_is_a_time_axis(opened: Opener, times: Sequence[str], seconds: Sequence[float]) -> None:
    pixels = distinct((4, 16, 20))
    image = opened(volumes.bolus(pixels, times))
    assert shows(image, "tyx", pixels)
    moments = coordinate(image, "acquisition_time")
    assert moments["axis"] == "t"
    assert moments["values"] == pytest.approx(seconds)
    assert moments["unit"] in {"s", "second"}
    expected = AXIAL.along_normal(2 * AXIAL.z_spacing).affine  # one slice: its thickness
    assert np.allclose(affine_of(image), expected, rtol=0, atol=1e-6)


def test_an_even_time_axis_has_a_step_in_seconds(opened: Opener) -> None:
    pixels = distinct((4, 16, 20))
    image = opened(volumes.bolus(pixels, ["120000", "120002", "120004", "120006"]))
    assert units_of(image)["t"] == "second"
    assert image.levels[0].scale == pytest.approx((2.0, *AXIAL.spacing))


def test_time_goes_on_at_midnight(opened: Opener) -> None:
    pixels = distinct((4, 16, 20))
    series = volumes.bolus(pixels, ["235956", "235958", "000000", "000002"])
    for dataset in series.datasets:
        dataset.AcquisitionDate = "20200103" if dataset.AcquisitionTime < "12" else "20200102"
    image = opened(series)
    assert shows(image, "tyx", pixels)
    assert coordinate(image, "acquisition_time")["values"] == pytest.approx([0, 2, 4, 6])


def test_time_goes_on_at_midnight_where_only_numbers_say_the_order(opened: Opener) -> None:
    pixels = distinct((4, 16, 20))
    image = opened(volumes.bolus(pixels, ["235956", "235958", "000000", "000002"]))
    assert shows(image, "tyx", pixels)
    assert coordinate(image, "acquisition_time")["values"] == pytest.approx([0, 2, 4, 6])


# --- several orientations


def test_orientations_are_images_of_their_own(opened: Opener) -> None:
    axial, sagittal = distinct((3, 16, 20)), distinct((5, 12, 16))
    image = opened(volumes.two_orientations(axial, sagittal))
    most, fewest = image.images
    assert image == most
    assert (most.path, fewest.path) == ("0", "1")
    assert shows(most, "zyx", sagittal)
    assert lies_on(most, SAGITTAL)
    assert shows(fewest, "zyx", axial)
    assert lies_on(fewest, AXIAL)
    assert "orientation" in notices_of(image).lower()


def test_equal_images_are_listed_by_their_smallest_instance_number(opened: Opener) -> None:
    axial, sagittal = distinct((3, 16, 20)), distinct((3, 12, 16))
    first, second = opened(volumes.two_orientations(axial, sagittal)).images
    assert shows(first, "zyx", axial)
    assert shows(second, "zyx", sagittal)


@pytest.mark.parametrize("grid", [AXIAL, CORONAL], ids=["as the volume", "another orientation"])
def test_a_localizer_is_no_slice_of_the_volume(opened: Opener, grid: Grid) -> None:
    scout = distinct((16, 20), signed=False)[::-1]
    image = opened(volumes.with_localizer(VOLUME, scout, grid))
    volume_image, localizer = image.images
    assert shows(volume_image, "zyx", VOLUME)
    assert lies_on(volume_image, AXIAL)
    assert shows(localizer, "yx", scout)
    assert affine_of(localizer)[:3, 3] == pytest.approx(grid.position(5), abs=1e-6)
    assert "LOCALIZER" in notices_of(image).upper()


def test_cosines_that_differ_in_the_fifth_digit_are_one_orientation(opened: Opener) -> None:
    series = volume()
    for number, dataset in enumerate(series.datasets):
        dataset.ImageOrientationPatient = decimals((1.0, number * 1e-5, 0, -number * 1e-5, 1.0, 0))
    image = opened(series)
    assert shows(image, "zyx", VOLUME)
    assert np.allclose(affine_of(image), AXIAL.affine, rtol=0, atol=1e-4)


def test_cosines_that_differ_in_the_second_digit_are_two_orientations(opened: Opener) -> None:
    series = volume()
    upper = [ds for ds in series.datasets if float(ds.ImagePositionPatient[2]) > AXIAL.position(2.5)[2]]
    for dataset in upper:
        angle = 0.02
        dataset.ImageOrientationPatient = decimals(
            (math.cos(angle), math.sin(angle), 0, -math.sin(angle), math.cos(angle), 0)
        )
    first, second = opened(series).images
    assert shows(first, "zyx", VOLUME[:3])
    assert shows(second, "zyx", VOLUME[3:])


@pytest.mark.parametrize(
    "cosines",
    [("0.71", "0.70", "0", "-0.70", "0.71", "0"), ("0.707", "0.707", "0.002", "-0.707", "0.707", "0.003")],
    ids=["two digits", "three digits"],
)
def test_cosines_that_were_rounded_are_an_orientation(opened: Opener, cosines: Sequence[str]) -> None:
    image = opened(volume(ImageOrientationPatient=list(cosines)))
    assert shows(image, "zyx", VOLUME)
    assert np.allclose(affine_of(image)[:3, 3], AXIAL.origin)
    assert affine_of(image)[:3, 2] == pytest.approx(AXIAL.step, abs=1e-6)
    across = np.array(cosines[:3], float)
    assert np.allclose(affine_of(image)[:3, 0], 0.6 * across / np.linalg.norm(across), atol=5e-3)


# --- gantry tilt


@pytest.mark.parametrize("tag", [None, 0.0, 14.03, -14.03], ids=["absent", "zero", "right", "of the other sign"])
def test_gantry_tilt_shears_the_affine_whatever_the_tag_says(opened: Opener, tag: float | None) -> None:
    image = opened(volumes.gantry_tilt(tag=tag))
    assert shows(image, "zyx", VOLUME)
    assert lies_on(image, TILTED)
    assert image.levels[0].scale[0] == pytest.approx(4.851, abs=1e-3)
    step = affine_of(image)[:3, 2]
    assert np.linalg.norm(step) == pytest.approx(5.0)


def test_gantry_tilt_maps_each_slice_to_its_own_position(opened: Opener, tmp_path: Path) -> None:
    series = volumes.gantry_tilt()
    affine = affine_of(opened(series))
    slices = by_position(series, TILTED)
    corners = np.array([affine @ (0, 0, number, 1) for number in range(len(slices))])[:, :3]
    stated = np.array([dataset.ImagePositionPatient for dataset in slices], float)
    assert np.allclose(corners, stated, rtol=0, atol=1e-6)
    # ITK's reader disagrees: its slices lie 5 mm apart along the normal, without shear.
    series.write(tmp_path)
    orthogonal = by_simpleitk(tmp_path).affine
    off = [np.linalg.norm((orthogonal @ (0, 0, number, 1))[:3] - stated[number]) for number in range(len(slices))]
    assert off[1] == pytest.approx(math.hypot(TILTED.step[1], 5 - TILTED.z_spacing), abs=1e-3)
    assert off[4] == pytest.approx(4 * off[1], rel=1e-3)


# --- slices that fit no one array


@pytest.mark.parametrize(
    ("other", "bits", "attributes", "word"),
    [
        (distinct((2, 12, 20)), 12, {}, "rows"),
        (distinct((2, 16, 10)), 12, {}, "columns"),
        (distinct((2, 12, 16), bits=8), 8, {}, "bits"),
        (distinct((2, 16, 20), signed=True), 12, {}, "sign"),
        (distinct((2, 16, 20)), 12, {"PhotometricInterpretation": "MONOCHROME1"}, "colours"),
        (distinct((2, 16, 20, 3), bits=8), 8, {}, "colours"),
        (distinct((2, 16, 20)), 12, {"PixelSpacing": ["0.4", "0.3"]}, "spacing"),
    ],
    ids=["rows", "columns", "bits allocated", "sign", "photometric", "samples", "spacing"],
)
def test_slices_of_another_kind_are_an_image_of_their_own(
    opened: Opener, other: Pixels, bits: int, attributes: dict[str, object], word: str
) -> None:
    image = opened(volumes.changed(VOLUME, other, bits, **attributes))
    most, rest = image.images
    assert shows(most, "zyx", VOLUME)
    assert lies_on(most, AXIAL)
    color = other.ndim > 3
    assert shows(rest, "czyx" if color else "zyx", np.moveaxis(other, -1, 0) if color else other)
    assert word in notices_of(image)


def test_slices_of_several_transfer_syntaxes_are_one_volume(opened: Opener) -> None:
    image = opened(volumes.mixed_syntaxes())
    assert shows(image, "zyx", VOLUME)
    assert len(image.images) == 1


def test_a_colour_volume_has_its_colours_before_z(opened: Opener) -> None:
    pixels = distinct((3, 8, 10, 3), bits=8)
    image = opened(volumes.volume(pixels=pixels, bits=8))
    assert shows(image, "czyx", np.moveaxis(pixels, -1, 0))
    assert lies_on(image, AXIAL)
    assert image.levels[0].chunks == (3, 1, 8, 10)


def test_slices_that_use_fewer_of_the_same_bits_are_of_the_same_image(opened: Opener) -> None:
    other = distinct((2, 16, 20), bits=10)
    image = opened(volumes.changed(VOLUME, other, 10))
    assert len(image.images) == 1
    assert image.levels[0].shape[0] == len(VOLUME) + len(other)
    assert image.channels[0].window == (0, 4095)


# --- dimensions beyond space


def test_echo_times_are_channels_in_ascending_order(opened: Opener) -> None:
    pixels = dimensions.TWICE
    image = opened(dimensions.repeated(pixels, dimensions.ECHOES))
    assert shows(image, "czyx", pixels[::-1])
    assert lies_on(image, AXIAL)
    assert coordinate(image, "echo_time") == {"axis": "c", "values": [5.0, 12.5], "unit": "ms"}
    assert [channel.label for channel in image.channels] == ["echo_time 5 ms", "echo_time 12.5 ms"]
    assert image.levels[0].chunks == (1, 1, 16, 20)


@pytest.mark.parametrize(
    ("keyword", "values", "name", "expected", "axis"),
    [
        ("TemporalPositionIdentifier", [1, 2], "temporal_position", [1, 2], "t"),
        ("TriggerTime", ["30.5", "130.5"], "trigger_time", [30.5, 130.5], "t"),
        ("AcquisitionTime", ["120000", "120007.5"], "acquisition_time", [0, 7.5], "t"),
        ("EchoTime", ["5", "12.5"], "echo_time", [5, 12.5], "c"),
        ("DiffusionBValue", [0.0, 1000.0], "b_value", [0, 1000], "c"),
        ("FlipAngle", ["10", "20"], "flip_angle", [10, 20], "c"),
    ],
)
@pytest.mark.parametrize("turned", [False, True], ids=["in order", "reversed"])
def test_the_attribute_that_differs_is_the_axis(  # noqa: PLR0913  # the table's columns
    opened: Opener, *, keyword: str, values: list[object], name: str, expected: list[float], axis: str, turned: bool
) -> None:
    order = slice(None, None, -1 if turned else 1)
    pixels = dimensions.TWICE
    series = dimensions.repeated(pixels, dimensions.along(keyword, values[order]))
    image = opened(series)
    assert shows(image, f"{axis}zyx", pixels[order])
    assert lies_on(image, AXIAL)
    found = coordinate(image, name)
    assert found["axis"] == axis
    assert found["values"] == pytest.approx(expected)
    assert image.notices == ()


@pytest.mark.parametrize(
    ("keyword", "values", "unit", "step"),
    [
        ("TriggerTime", ["0", "50", "100", "150"], "millisecond", 50.0),
        ("AcquisitionTime", ["120000", "120001.5", "120003", "120004.5"], "second", 1.5),
        ("TemporalPositionIdentifier", [1, 2, 3, 4], None, 1.0),
    ],
)
def test_a_time_axis_has_a_step_in_its_unit(
    opened: Opener, keyword: str, values: list[object], unit: str | None, step: float
) -> None:
    pixels = distinct((4, 2, 16, 20))
    image = opened(dimensions.repeated(pixels, dimensions.along(keyword, values)))
    assert shows(image, "tzyx", pixels)
    assert units_of(image)["t"] == unit
    assert image.levels[0].scale == pytest.approx((step, 2.5, *AXIAL.spacing))


@pytest.mark.parametrize("differences_", [dimensions.PHASES, dimensions.COMPONENTS], ids=["ImageType", "component"])
def test_magnitude_and_phase_are_channels(opened: Opener, differences_: list[dict[str, object]]) -> None:
    pixels = dimensions.TWICE
    image = opened(dimensions.repeated(pixels, differences_))
    assert shows(image, "czyx", pixels)
    values = coordinate(image, "component")["values"]
    assert [str(value)[:1].upper() for value in values] == ["M", "P"]


def test_ragged_diffusion_shares_one_axis(opened: Opener) -> None:
    pixels = distinct((4, 2, 16, 20))
    image = opened(dimensions.repeated(pixels, dimensions.RAGGED))
    assert (axes_of(image), image.levels[0].shape) == ("czyx", (4, 2, 16, 20))
    b_values, directions = coordinate(image, "b_value"), coordinate(image, "gradient_direction")
    assert b_values["axis"] == directions["axis"] == "c"
    assert sorted(b_values["values"]) == [0, 1000, 1000, 1000]
    assert b_values["unit"] == "s/mm2"
    found = pixels_of(image)
    for channel, (b, direction) in enumerate(zip(b_values["values"], directions["values"], strict=True)):
        stored = 0 if b == 0 else 1 + dimensions.DIRECTIONS.index(tuple(direction))
        assert np.array_equal(found[channel], pixels[stored])
    assert b_values["values"][0] == 0


def test_b_values_in_several_directions_are_a_ragged_axis_too(opened: Opener) -> None:
    pixels = distinct((7, 1, 16, 20))
    weightings = [(0.0, None), *((b, direction) for b in (500.0, 1000.0) for direction in dimensions.DIRECTIONS)]
    image = opened(dimensions.repeated(pixels, dimensions.diffusion(weightings)))
    assert (axes_of(image), image.levels[0].shape) == ("cyx", (7, 16, 20))
    found = pixels_of(image)
    pairs = zip(coordinate(image, "b_value")["values"], coordinate(image, "gradient_direction")["values"], strict=True)
    for channel, (b, direction) in enumerate(pairs):
        stored = weightings.index((b, None if b == 0 else tuple(direction)))
        assert np.array_equal(found[channel], pixels[stored, 0])


def test_time_and_echo_are_two_axes(opened: Opener) -> None:
    pixels = distinct((2, 3, 2, 16, 20))
    axes = dimensions.product(
        dimensions.along("TriggerTime", ["0", "40"]), dimensions.along("EchoTime", ["5", "12.5", "20"])
    )
    image = opened(dimensions.repeated(pixels.reshape(6, 2, 16, 20), axes))
    assert shows(image, "tczyx", pixels)
    assert coordinate(image, "trigger_time")["values"] == [0, 40]
    assert coordinate(image, "echo_time")["values"] == [5, 12.5, 20]
    assert image.levels[0].chunks == (1, 1, 1, 16, 20)


def test_a_third_dimension_splits_into_images(opened: Opener) -> None:
    pixels = distinct((2, 2, 2, 2, 16, 20))
    axes = dimensions.product(
        dimensions.along("TriggerTime", ["0", "40"]),
        dimensions.along("EchoTime", ["5", "12.5"]),
        dimensions.COMPONENTS,
    )
    image = opened(dimensions.repeated(pixels.reshape(8, 2, 16, 20), axes))
    assert [axes_of(one) for one in image.images] == ["tczyx", "tczyx"]
    assert len(image.notices) > 0
    by_component = [pixels[:, :, 0], pixels[:, :, 1]]
    by_echo = [pixels[:, 0], pixels[:, 1]]
    found = [pixels_of(one) for one in image.images]
    assert any(all(map(np.array_equal, found, expected)) for expected in (by_component, by_echo))


def test_two_dimensions_that_are_no_time_are_a_channel_axis_and_images(opened: Opener) -> None:
    pixels = distinct((2, 3, 2, 16, 20))
    axes = dimensions.product(
        dimensions.along("FlipAngle", ["10", "20"]), dimensions.along("EchoTime", ["5", "12.5", "20"])
    )
    image = opened(dimensions.repeated(pixels.reshape(6, 2, 16, 20), axes))
    found = [pixels_of(one) for one in image.images]
    by_angle, by_echo = list(pixels), list(np.moveaxis(pixels, 1, 0))
    assert any(
        len(found) == len(expected) and all(map(np.array_equal, found, expected)) for expected in (by_angle, by_echo)
    )
    assert len(image.notices) > 0


def test_attributes_that_say_the_same_are_one_axis(opened: Opener) -> None:
    pixels = dimensions.TWICE
    together = [
        {"EchoTime": "5", "EchoNumbers": 1, "AcquisitionNumber": 1, "AcquisitionTime": "120000"},
        {"EchoTime": "12.5", "EchoNumbers": 2, "AcquisitionNumber": 1, "AcquisitionTime": "120000"},
    ]
    image = opened(dimensions.repeated(pixels, together))
    assert shows(image, "czyx", pixels)
    assert coordinate(image, "echo_time")["values"] == [5, 12.5]


@pytest.mark.parametrize("numbered", [True, False])
def test_times_that_differ_from_slice_to_slice_are_passes(opened: Opener, *, numbered: bool) -> None:
    pixels = distinct((3, 4, 16, 20))
    image = opened(dimensions.times_by_slice(pixels, numbered=numbered))
    assert shows(image, "tzyx", pixels)
    assert lies_on(image, AXIAL)
    times = coordinate(image, "acquisition_time")
    assert (times["axis"], times["unit"]) == ("tz", "s")
    assert times["values"] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_a_vendors_private_b_values_are_found(opened: Opener) -> None:
    pixels = distinct((3, 2, 16, 20))
    image = opened(dimensions.vendor_b_values(pixels, [1000, 0, 500]))
    assert shows(image, "czyx", pixels[[1, 2, 0]])
    assert coordinate(image, "b_value")["values"] == [0, 500, 1000]


def test_kinds_of_image_are_channels(opened: Opener) -> None:
    pixels, names = distinct((3, 2, 16, 20)), ["WATER", "FAT", "IN_PHASE"]
    image = opened(
        dimensions.repeated(pixels, [{"ImageType": ["DERIVED", "PRIMARY", "DIXON", name]} for name in names])
    )
    assert axes_of(image) == "czyx"
    found = pixels_of(image)
    for channel, label in enumerate(channel.label for channel in image.channels):
        (stored,) = [number for number, name in enumerate(names) if name in label]
        assert np.array_equal(found[channel], pixels[stored])


def test_values_that_differ_by_rounding_are_one(opened: Opener) -> None:
    datasets = dimensions.instances(dimensions.TWICE, dimensions.ECHOES)
    for number, dataset in enumerate(datasets):
        dataset.EchoTime = decimal(float(dataset.EchoTime) * (1 + number % 3 * 1e-7))  # single precision in between
    image = opened(series_of(datasets))
    assert shows(image, "czyx", dimensions.TWICE[::-1])
    assert coordinate(image, "echo_time")["values"] == pytest.approx([5, 12.5], rel=1e-6)


def test_positions_that_differ_by_rounding_are_one(opened: Opener) -> None:
    datasets = dimensions.instances(dimensions.TWICE, dimensions.ECHOES)
    for number, dataset in enumerate(datasets):
        x, y, z = map(float, dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = decimals((x + number * 1e-4, y, z - number * 1e-4))
    image = opened(series_of(datasets))
    assert shows(image, "czyx", dimensions.TWICE[::-1])
    assert np.allclose(affine_of(image), AXIAL.affine, rtol=0, atol=1e-3)


# --- an incomplete grid


def test_an_echo_that_lacks_a_slice_moves_none_of_another(opened: Opener) -> None:
    series, _ = dimensions.incomplete()
    whole, lacking = opened(series).images
    assert shows(whole, "zyx", dimensions.TWICE[0])
    assert lies_on(whole, AXIAL)
    assert "echo time 12.5 ms" in whole.name
    assert shows(lacking, "zyx", dimensions.TWICE[1][[0, 2]])
    assert affine_of(lacking)[:3, 2] == pytest.approx((0, 0, 2 * AXIAL.z_spacing))
    assert "echo time 5 ms, 2 of 3 slices" in lacking.name


def test_an_absent_frame_of_many_slices_is_an_absent_chunk_that_is_named(opened: Opener) -> None:
    pixels = distinct((2, 9, 16, 20))
    series, _ = dimensions.incomplete(pixels, (1, 4))
    image = opened(series)
    expected = pixels[::-1].copy()
    expected[0, 4] = 0
    assert shows(image, "czyx", expected)
    assert dicomzarr_attributes(image.plan)["absent"] == [{"c": 0, "z": 4}]
    assert f"echo_time 5 ms), z 4 (at {AXIAL.position(4)[2]:g} mm)" in notices_of(image)


# --- slopes that differ


def test_one_slope_is_two_numbers(opened: Opener) -> None:
    image = opened(volume())
    assert dicomzarr_attributes(image.plan)["rescale"] == {"slope": 1.0, "intercept": -1024.0}
    assert shows(image, "zyx", VOLUME)


def test_each_slice_has_its_slope(opened: Opener) -> None:
    pixels = distinct((4, 16, 20), bits=16)
    slopes, intercepts = [0.5, 1.25, 2, 4.75], [0.0, 10, -3, 7]
    image = opened(volumes.pet(pixels, slopes, intercepts))
    assert shows(image, "zyx", pixels)
    assert dicomzarr_attributes(image.plan)["rescale"] == {"slope": slopes, "intercept": intercepts}
    assert len(image.images) == 1


def test_slopes_are_nested_along_the_axes(opened: Opener) -> None:
    pixels = distinct((2, 3, 4, 16, 20), bits=16)
    axes = dimensions.product(
        dimensions.along("TriggerTime", ["0", "40"]), dimensions.along("EchoTime", ["5", "12.5", "20"])
    )
    datasets = dimensions.instances(pixels.reshape(6, 4, 16, 20), axes, SIXTEEN)
    slopes = np.arange(24, dtype=float).reshape(2, 3, 4) + 1
    for dataset, slope in zip(datasets, slopes.ravel(), strict=True):
        dataset.RescaleSlope, dataset.RescaleIntercept = decimal(slope), decimal(-slope)
    image = opened(series_of(datasets))
    assert shows(image, "tczyx", pixels)
    assert dicomzarr_attributes(image.plan)["rescale"] == {"slope": slopes.tolist(), "intercept": (-slopes).tolist()}


def test_slopes_of_times_only_are_nested_all_the_same(opened: Opener) -> None:
    pixels = distinct((2, 3, 16, 20), bits=16)
    datasets = dimensions.instances(pixels, dimensions.along("TriggerTime", ["0", "40"]), SIXTEEN)
    for number, dataset in enumerate(datasets):
        dataset.RescaleSlope, dataset.RescaleIntercept = decimal(1 + number // 3), "0"
    rescale: Any = dicomzarr_attributes(opened(series_of(datasets)).plan)["rescale"]
    assert np.broadcast_to(rescale["slope"], (2, 3)).tolist() == [[1, 1, 1], [2, 2, 2]]


@pytest.mark.parametrize(
    ("attributes", "dtype"),
    [
        ({"RescaleSlope": "1", "RescaleIntercept": "-1024"}, np.int16),
        ({"RescaleSlope": "1", "RescaleIntercept": "0"}, np.uint16),
        ({"RescaleSlope": "2", "RescaleIntercept": "-8192"}, np.int16),
        ({"RescaleSlope": "100", "RescaleIntercept": "-8192"}, np.int32),
        ({"RescaleSlope": "0.25", "RescaleIntercept": "-8"}, np.float32),
    ],
)
def test_modality_values_take_the_smallest_exact_type(
    opened: Opener, attributes: dict[str, object], dtype: type[np.generic]
) -> None:
    series = volume(**attributes)
    image = opened(series, values="modality")
    slope, intercept = (float(str(attributes[name])) for name in ("RescaleSlope", "RescaleIntercept"))
    assert shows(image, "zyx", (VOLUME * slope + intercept).astype(dtype))
    for dataset, picture in zip(by_position(series, AXIAL), pixels_of(image), strict=True):
        assert np.allclose(rescaled_by_pydicom(dataset), picture)


def test_modality_values_use_the_slope_of_each_slice(opened: Opener, dcm2niix: Dcm2niix, tmp_path: Path) -> None:
    pixels = distinct((4, 16, 20), bits=16)
    slopes, intercepts = [0.5, 1.25, 2, 4.75], [0.0, 10, -3, 7]
    series = volumes.pet(pixels, slopes, intercepts)
    image = opened(series, values="modality")
    expected = pixels * np.array(slopes)[:, None, None] + np.array(intercepts)[:, None, None]
    assert shows(image, "zyx", expected.astype(np.float32))
    # ITK's series reader takes the slope of each file too, dcm2niix writes floating point.
    series.write(tmp_path)
    ours = Placed(pixels_of(image), affine_of(image))
    for oracle in (by_simpleitk(tmp_path), *dcm2niix.volumes(tmp_path)):
        assert differences(ours, oracle, 1e-6) == (pytest.approx(0, abs=1e-3), 0)


def test_xarray_gives_modality_values_of_each_slice(opened: Opener) -> None:
    pixels = distinct((4, 16, 20), bits=16)
    slopes = [0.5, 1.25, 2, 4.75]
    array = opened(volumes.pet(pixels, slopes)).to_xarray()["0"]["image"]
    assert np.allclose(array.to_numpy(), pixels * np.array(slopes)[:, None, None])


def test_zarr_serves_modality_values(opened: Opener) -> None:
    url = opened.url(volume())
    group = group_at(url, storage_options={"values": "modality"})
    assert np.array_equal(group["0"][...], VOLUME.astype(np.int16) - 1024)
    assert group["0"].dtype == np.int16


# --- what the values mean


@pytest.mark.parametrize(
    ("build", "units"),
    [(volume, "HU"), (lambda: volumes.pet(distinct((2, 16, 20), bits=16), [1, 2]), "BQML")],
    ids=["HU", "BQML"],
)
def test_units_are_said_and_nothing_is_converted(
    opened: Opener, build: Callable[[], RadiologySeries], units: str
) -> None:
    assert dicomzarr_attributes(opened(build()).plan)["units"] == units


def test_a_vendors_private_scaling_is_left_alone(opened: Opener) -> None:
    series = volume(RescaleSlope="2", RescaleIntercept="0")
    for dataset in series.datasets:
        block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0x0E, "FL", 0.125)
        block.add_new(0x0D, "FL", 3.0)
    assert dicomzarr_attributes(opened(series).plan)["rescale"] == {"slope": 2.0, "intercept": 0.0}
    assert shows(opened(series, values="modality"), "zyx", VOLUME * np.uint16(2))


# --- a table instead of a slope


def test_a_modality_table_is_no_slope_of_one(opened: Opener) -> None:
    image = opened(volumes.modality_lut())
    assert shows(image, "zyx", VOLUME)
    assert dicomzarr_attributes(image.plan)["modality_lut"]
    assert dicomzarr_attributes(image.plan).get("rescale") is None


def test_modality_values_come_from_the_table(opened: Opener) -> None:
    series = volumes.modality_lut()
    image = opened(series, values="modality")
    for dataset, picture in zip(by_position(series, AXIAL), pixels_of(image), strict=True):
        assert np.array_equal(rescaled_by_pydicom(dataset), picture)


# --- windows


def test_windows_are_in_rescaled_units_and_keep_their_names(opened: Opener) -> None:
    image = opened(volume())
    assert dicomzarr_attributes(image.plan)["windows"] == [
        {"center": 40.0, "width": 401.0, "name": "SOFT TISSUE", "function": "LINEAR"},
        {"center": -600.0, "width": 1601.0, "name": "LUNG", "function": "LINEAR"},
    ]


@pytest.mark.parametrize(
    ("function", "edges", "slope", "intercept"),
    [
        (None, (-160.5, 239.5), 1.0, -1024.0),
        ("LINEAR", (-160.5, 239.5), 0.5, -10.0),
        ("LINEAR_EXACT", (-160.5, 240.5), 1.0, -1024.0),
        ("SIGMOID", (-160.5, 240.5), 1.0, -1024.0),
    ],
)
def test_the_first_window_is_shown_in_the_units_of_the_array(
    opened: Opener, *, function: str | None, edges: tuple[float, float], slope: float, intercept: float
) -> None:
    named = {} if function is None else {"VOILUTFunction": function}
    series = volume(RescaleSlope=decimal(slope), RescaleIntercept=decimal(intercept), **named)
    (channel,) = opened(series).channels
    assert channel.window == (0.0, 4095.0)
    assert channel.shown == pytest.approx([(edge - intercept) / slope for edge in edges])


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_a_window_says_of_which_function_it_is(opened: Opener, function: str) -> None:
    image = opened(volume(VOILUTFunction=function))
    assert {each["function"] for each in dicomzarr_attributes(image.plan)["windows"]} == {function}


def test_modality_values_show_the_window_as_it_is(opened: Opener) -> None:
    (channel,) = opened(volume(), values="modality").channels
    assert channel.shown == pytest.approx((-160.5, 239.5))


def test_ome_tells_viewers_the_window(opened: Opener) -> None:
    group = group_at(opened.url(volume()))
    (channel,) = group.attrs["ome"]["omero"]["channels"]
    assert channel["window"] == pytest.approx({"min": 0, "max": 4095, "start": 863.5, "end": 1263.5})


def test_a_window_of_width_one_is_no_division_by_zero(opened: Opener) -> None:
    (channel,) = opened(volume(WindowCenter="40", WindowWidth="1", WindowCenterWidthExplanation="EDGE")).channels
    start, end = channel.shown
    assert math.isfinite(start)
    assert math.isfinite(end)
    assert start <= end
    assert start == pytest.approx(40 + 1024, abs=1)


def test_without_window_the_whole_type_is_shown(opened: Opener) -> None:
    series = volumes.without(volume(), *volumes.WINDOWS)
    image = opened(series)
    (channel,) = image.channels
    assert channel.shown in (None, (0.0, 4095.0))
    assert dicomzarr_attributes(image.plan).get("windows", []) == []


# --- MONOCHROME1


def test_monochrome1_is_said_and_the_values_stay(opened: Opener) -> None:
    series = volumes.monochrome1()
    image = opened(series)
    assert shows(image, "zyx", VOLUME)
    assert [channel.inverted for channel in image.channels] == [True]
    for dataset, picture in zip(by_position(series, AXIAL), pixels_of(image), strict=True):
        assert np.array_equal(stored_by_pydicom(dataset), picture)


@pytest.mark.parametrize("values", ["stored", "modality"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_negative_slope_inverts_stored_values_and_no_others(opened: Opener, photometric: str, values: str) -> None:
    series = volume(PhotometricInterpretation=photometric, RescaleSlope="-1", RescaleIntercept="4095")
    (channel,) = opened(series, values=values).channels
    assert channel.inverted == ((photometric == "MONOCHROME1") != (values == "stored"))


def test_slopes_of_both_signs_invert_nothing(opened: Opener) -> None:
    series = volume(RescaleSlope="-1", RescaleIntercept="4095")
    series.datasets[0].RescaleSlope = "1"
    assert not opened(series).channels[0].inverted


def test_itk_inverts_on_reading_and_we_do_not(opened: Opener, tmp_path: Path) -> None:
    series = volume(pixels=VOLUME[:1], PhotometricInterpretation="MONOCHROME1", RescaleIntercept="0")
    (path,) = series.write(tmp_path)
    itk = by_simpleitk_file(path).values[0]
    assert not np.array_equal(itk, VOLUME[0])
    assert shows(opened(series), "yx", VOLUME[0])


# --- padding


@pytest.mark.parametrize(("value", "vr"), [(-2000, "SS"), (63536, "US")], ids=["as it should be", "as unsigned"])
def test_padding_is_said_in_the_sign_of_the_pixels(opened: Opener, value: int, vr: str) -> None:
    pixels = distinct((3, 16, 20), bits=16, signed=True)
    pixels[:, 0, :4] = -2000
    image = opened(volumes.padded(pixels, value, vr))
    assert shows(image, "zyx", pixels)
    assert dicomzarr_attributes(image.plan)["pixel_padding_value"] == -2000


# --- MOSAIC


def test_a_mosaic_is_a_picture_as_it_is_stored(opened: Opener) -> None:
    pixels = distinct((3, 16, 20))
    image = opened(volumes.mosaic(pixels, [1, 3, 5]))
    assert shows(image, "tyx", pixels)
    assert "mosaic" in notices_of(image).lower()


# --- no geometry


@pytest.mark.parametrize(
    "keywords",
    [
        ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "FrameOfReferenceUID", "SliceThickness"),
        ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"),
    ],
    ids=["nothing", "only a thickness"],
)
def test_without_geometry_nothing_is_invented(opened: Opener, keywords: tuple[str, ...]) -> None:
    image = opened(volumes.without(volume(pixels=VOLUME[:1]), *keywords))
    assert shows(image, "yx", VOLUME[0])
    assert has_no_space(image)


def test_spacing_without_place_is_spacing_alone(opened: Opener) -> None:
    series = volumes.without(volume(pixels=VOLUME[:1]), "ImageOrientationPatient", "ImagePositionPatient")
    image = opened(series)
    assert image.affine is None
    assert image.levels[0].scale == pytest.approx(AXIAL.spacing)
    assert units_of(image) == {"y": "millimeter", "x": "millimeter"}


def test_a_frame_of_reference_is_not_needed(opened: Opener) -> None:
    # highdicom refuses such series; places within one series need no name for their origin.
    series = volumes.without(volume(OBLIQUE), "FrameOfReferenceUID")
    with pytest.raises((AttributeError, ValueError)):
        by_highdicom(series.datasets)
    image = opened(series)
    assert shows(image, "zyx", VOLUME)
    assert lies_on(image, OBLIQUE)


def test_several_frames_of_reference_are_images_of_their_own(opened: Opener) -> None:
    series = volume()
    for dataset in series.datasets:
        if float(dataset.ImagePositionPatient[2]) > AXIAL.position(2.5)[2]:
            dataset.FrameOfReferenceUID = "1.2.3.4"
    first, second = opened(series).images
    assert shows(first, "zyx", VOLUME[:3])
    assert shows(second, "zyx", VOLUME[3:])


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient"])
def test_slices_without_place_are_all_there(opened: Opener, keyword: str) -> None:
    series = volumes.without(volume(), keyword)
    image = opened(series)
    planes = [plane for one in image.images for plane in pixels_of(one).reshape(-1, 16, 20)]
    assert {plane.tobytes() for plane in planes} == {plane.tobytes() for plane in VOLUME}
    assert len(planes) == len(VOLUME)
    assert all(one.affine is None for one in image.images)
    assert "z" not in units_of(image) or units_of(image)["z"] is None


def test_a_secondary_capture_is_a_colour_picture(opened: Opener) -> None:
    image = opened(volumes.secondary_capture(COLOR))
    assert shows(image, "cyx", np.moveaxis(COLOR, -1, 0))
    assert has_no_space(image)
    assert [channel.color for channel in image.channels] == ["FF0000", "00FF00", "0000FF"]
    assert image.levels[0].chunks == (3, 16, 20)


def test_a_secondary_capture_may_say_its_spacing(opened: Opener) -> None:
    image = opened(volumes.secondary_capture(COLOR, PixelSpacing=["0.5", "0.25"]))
    assert units_of(image) == {"c": None, "y": "millimeter", "x": "millimeter"}
    assert image.levels[0].scale == pytest.approx((1, 0.5, 0.25))
    assert image.affine is None


def test_pictures_without_place_are_images_of_their_own(opened: Opener) -> None:
    identity = Identity("pictures", "US cine")
    short, long = distinct((3, 16, 20)), distinct((5, 16, 20))[:, ::-1]
    clips = [instance(identity, 1, short), instance(identity, 2, long), instance(identity, 3, short[::-1])]
    image = opened(series_of(clips))
    assert [axes_of(one) for one in image.images] == ["tyx"] * 3
    assert all(map(np.array_equal, map(pixels_of, image.images), (long, short, short[::-1])))


# --- projections and ultrasound


@pytest.mark.parametrize("kind", ["CR", "DX", "MG"])
def test_the_detectors_spacing_is_not_the_patients(opened: Opener, kind: str) -> None:
    pixels = distinct((16, 20))
    image = opened(volumes.projection(pixels, kind))
    assert shows(image, "yx", pixels)
    assert has_no_space(image)
    assert dicomzarr_attributes(image.plan)["imager_pixel_spacing"] == [0.2, 0.15]


def test_a_calibrated_projection_has_the_patients_spacing(opened: Opener) -> None:
    calibrated = {"PixelSpacing": ["0.18", "0.13"], "PixelSpacingCalibrationType": "FIDUCIAL"}
    image = opened(volumes.projection(distinct((16, 20)), **calibrated))
    assert image.levels[0].scale == pytest.approx((0.18, 0.13))
    assert units_of(image) == {"y": "millimeter", "x": "millimeter"}
    assert dicomzarr_attributes(image.plan)["imager_pixel_spacing"] == [0.2, 0.15]


def test_laterality_is_kept(opened: Opener) -> None:
    image = opened(volumes.projection(distinct((16, 20)), "MG", ImageLaterality="L"))
    assert dicomzarr_attributes(image.plan)["laterality"] == "L"


def test_ultrasound_regions_have_units_of_their_own(opened: Opener) -> None:
    image = opened(volumes.ultrasound(COLOR))
    assert shows(image, "cyx", np.moveaxis(COLOR, -1, 0))
    assert has_no_space(image)
    regions: Any = dicomzarr_attributes(image.plan)["ultrasound_regions"]
    assert len(regions) == 2
    text = json.dumps(regions)
    assert all(number in text for number in ("0.02", "0.03", "0.005", "1.5"))


# --- patient coordinates


@pytest.mark.parametrize("position", ["HFP", "FFS", "FFDR"])
def test_coordinates_are_the_patients_however_he_lies(opened: Opener, position: str) -> None:
    image = opened(volume(FLIPPED, PatientPosition=position))
    assert shows(image, "zyx", VOLUME)
    assert lies_on(image, FLIPPED)


# --- Every kind of series


@pytest.mark.parametrize("name", BUILDERS)
def test_every_kind_is_what_zarr_reads_and_identifies_nobody(opened: Opener, name: str) -> None:
    series = BUILDERS[name]()
    image = opened(series)
    group = group_at(image.series_url)
    frames, absent, said = 0, 0, [json.dumps(group.attrs.asdict()), *image.notices]
    for one in image.images:
        array = group[f"{one.path}/0".lstrip("/")]
        pixels = array[...]
        assert np.array_equal(pixels, pixels_of(one))
        assert len(one.channels) == dict(zip(axes_of(one), pixels.shape, strict=True)).get("c", 1)
        frames += math.prod(math.ceil(size / chunk) for size, chunk in zip(array.shape, array.chunks, strict=True))
        absent += len(dicomzarr_attributes(one.plan).get("absent", []))
        said += [one.path, one.name, repr(one), str(one.to_xarray()), one._repr_html_()]
        said += [json.dumps(dict(group_at(one.url).attrs))]
    assert frames - absent == sum(int(dataset.get("NumberOfFrames") or 1) for dataset in series.datasets)
    assert identifying(" ".join(said), series) == []


@pytest.mark.parametrize("name", ["volume_oblique", "pet", "diffusion", "enhanced_echoes", "gated_tomo", "dose"])
def test_numbers_that_are_written_as_text_are_numbers(opened: Opener, name: str) -> None:
    series = BUILDERS[name]()
    written = [replace(one, metadata=partial(as_text, one.metadata())) for one in map(from_dataset, series.datasets)]
    image = dicomzarr.open(opened.serve(written).series_url(series.study_uid, series.series_uid))
    usual = opened(series)
    assert (image.axes, image.affine, image.channels) == (usual.axes, usual.affine, usual.channels)
    assert dicomzarr_attributes(image.plan) == dicomzarr_attributes(usual.plan)
    assert np.array_equal(pixels_of(image), pixels_of(usual))


def as_text(node: Any) -> Any:
    """DICOM JSON with decimal and integer strings as text, padded as in files."""
    if isinstance(node, list):
        return [as_text(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("vr") in {"DS", "IS"} and "Value" in node:
        return {"vr": node["vr"], "Value": [f" {value} " for value in node["Value"]]}
    return {key: as_text(value) for key, value in node.items()}


def identifying(text: str, series: RadiologySeries) -> list[str]:
    """The words in a text that identify somebody; UIDs may stand in it."""
    for dataset in series.datasets:
        for uid in (dataset.SOPInstanceUID, dataset.SeriesInstanceUID, dataset.StudyInstanceUID):
            text = text.replace(str(uid), "")
    words = [*PHI, *(word.replace(" ", "^") for word in PHI), "20200102", "030405", "HIDDEN"]
    return [word for word in words if word in text]


def test_what_is_said_of_odd_series_identifies_nobody(opened: Opener) -> None:
    twice = volumes.duplicated(LATER[1])
    for dataset in twice.datasets:
        dataset.InstanceNumber = 1
    odd = (dimensions.incomplete()[0], volumes.duplicated(LATER[1]), volumes.uneven([0, 2.5, 4, 9, 10], VOLUME))
    for series in odd:
        image = opened(series)
        said = " ".join([*image.notices, *(each.name for each in image.images)])
        assert image.notices
        assert identifying(said, series) == []
    with pytest.warns(GuessWarning) as warned:
        opened(twice)
    assert identifying(" ".join(str(each.message) for each in warned), twice) == []
