"""Real radiology series, compared with other packages' view of the same files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pytest
from opened import group_at
from radiology_model import RadiologySeries
from radiology_opened import Opener, affine_of, axes_of, coordinate, pixels_of, units_of
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
from real_data import real_series

import dicomzarr
from dicomzarr.omezarr.attributes import dicomzarr_attributes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orthanc import Orthanc
    from pydicom import Dataset

    from dicomzarr.arrays.image import Image

CT = ("ct_explicit_le", "ct_jpegls", "ct_jpeg_lossless")
FOLDERS = (*CT, "mr_small_stack", "mr_dti_philips", "mr_enhanced_siemens", "mr_two_orientations")


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens series from servers in this process."""
    with Opener() as opener:
        yield opener


@pytest.fixture
def dcm2niix(tmp_path_factory: pytest.TempPathFactory) -> Dcm2niix:
    """The converter; where it is missing, skip, and in CI fail."""
    return Dcm2niix(required("dcm2niix"), tmp_path_factory.mktemp("niix"))


def files_of(folder: str) -> list[Path]:
    """The files of a series, the last first."""
    return sorted(real_series(folder).glob("*.dcm"), reverse=True)


def datasets_of(folder: str) -> list[Dataset]:
    """The instances of a series as pydicom reads them."""
    return [pydicom.dcmread(path) for path in files_of(folder)]


def series_of(folder: str) -> RadiologySeries:
    """The series of a folder."""
    datasets = datasets_of(folder)
    return RadiologySeries(tuple(datasets), str(datasets[0].StudyInstanceUID), str(datasets[0].SeriesInstanceUID))


def places_of(dataset: Dataset) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Each frame of an instance: (position, cosines, stored values)."""
    stored = stored_by_pydicom(dataset).reshape(-1, dataset.Rows, dataset.Columns)
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        return [(_floats(dataset.ImagePositionPatient), _floats(dataset.ImageOrientationPatient), stored[0])]
    return [
        (
            _floats(groups.PlanePositionSequence[0].ImagePositionPatient),
            _floats(groups.PlaneOrientationSequence[0].ImageOrientationPatient),
            frame,
        )
        for groups, frame in zip(dataset.PerFrameFunctionalGroupsSequence, stored, strict=True)
    ]


def _floats(values: object) -> np.ndarray:
    return np.array(values, float)


def planes_of(image: Image) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Each plane of an image: (position of its first pixel, direction of rows and columns, stored values)."""
    affine, pixels = affine_of(image), pixels_of(image)
    across, down = (affine[:3, axis] / np.linalg.norm(affine[:3, axis]) for axis in (0, 1))
    return [
        ((affine @ (0, 0, index[-1] if "z" in axes_of(image) else 0, 1))[:3], np.array([*across, *down]), pixels[index])
        for index in np.ndindex(pixels.shape[:-2])
    ]


def assert_each_frame_lies_where_its_header_says(image: Image, datasets: list[Dataset]) -> None:
    """Each frame of the files is one plane of the images, with the stored values that pydicom reads."""
    ours = [plane for one in image.images for plane in planes_of(one)]
    stated = [place for dataset in datasets for place in places_of(dataset)]
    assert len(ours) == len(stated)
    for position, cosines, frame in stated:
        here = [
            plane
            for plane in ours
            if np.abs(plane[0] - position).max() < 0.01 and np.abs(plane[1] - cosines).max() < 1e-4
        ]
        assert sum(np.array_equal(plane[2], frame) and plane[2].dtype == frame.dtype for plane in here) == 1


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_frame_lies_where_its_header_says(opened: Opener, folder: str) -> None:
    series = series_of(folder)
    image = opened(series)
    assert_each_frame_lies_where_its_header_says(image, datasets_of(folder))


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder != "mr_small_stack"])
def test_orthanc_shows_the_same_images(opened: Opener, orthanc: Orthanc, folder: str) -> None:
    files = files_of(folder)
    orthanc.load(files)
    series = series_of(folder)
    image = dicomzarr.open(orthanc.series_url(series.study_uid, series.series_uid))
    assert_each_frame_lies_where_its_header_says(image, datasets_of(folder))
    here = opened(series)
    assert len(here.images) == len(image.images)
    for one, other in zip(here.images, image.images, strict=True):
        assert (one.axes, one.affine, one.channels) == (other.axes, other.affine, other.channels)
        assert dicomzarr_attributes(one.plan) == dicomzarr_attributes(other.plan)
        assert np.array_equal(pixels_of(one), group_at(image.series_url)[f"{other.path}/0".lstrip("/")][...])


def test_orthanc_drops_the_places_of_a_japanese_series_and_its_files_tell_them(
    orthanc: Orthanc, opened: Opener
) -> None:
    # With SpecificCharacterSet ISO 2022 IR 13, where the byte of the backslash is a yen sign, Orthanc 1.10.1 reads
    # several numbers as one text: its metadata give ImagePositionPatient and all the like without values.
    files = files_of("mr_small_stack")
    orthanc.load(files)
    series = series_of("mr_small_stack")
    stated = orthanc.series_metadata(series.study_uid, series.series_uid)
    assert [instance["00200032"].get("Value") for instance in stated] == [[]] * 4
    image = dicomzarr.open(orthanc.series_url(series.study_uid, series.series_uid))
    told = opened(series)
    assert axes_of(image) == "zyx"
    assert image.affine == told.affine
    assert np.array_equal(pixels_of(image), pixels_of(told))


def test_ct_syntaxes_are_one_and_the_same_slice(opened: Opener) -> None:
    images = [opened(series_of(folder)) for folder in CT]
    first = pixels_of(images[0])
    assert (axes_of(images[0]), first.shape, first.dtype) == ("yx", (512, 512), np.int16)
    assert all(np.array_equal(first, pixels_of(image)) for image in images[1:])
    assert all(image.affine == images[0].affine for image in images)
    assert images[0].levels[0].scale == pytest.approx((0.675781, 0.675781))
    assert affine_of(images[0])[:3, 2] == pytest.approx([0, 0, 6.5])  # SpacingBetweenSlices, not the thickness of 5
    assert dicomzarr_attributes(images[0].plan)["rescale"] == {"slope": 1.0, "intercept": -1024.0}
    assert images[0].channels[0].shown == pytest.approx((864, 1263))  # centre 40, width 400, LINEAR


@pytest.mark.parametrize("folder", CT)
def test_ct_modality_values_are_pydicoms_and_itks(opened: Opener, folder: str) -> None:
    image = opened(series_of(folder), values="modality")
    (path,) = files_of(folder)
    assert np.array_equal(pixels_of(image), rescaled_by_pydicom(pydicom.dcmread(path)))
    ours = Placed(pixels_of(image)[None], affine_of(image))
    assert differences(ours, by_simpleitk_file(path)) == (pytest.approx(0, abs=1e-3), 0)


def test_ct_is_placed_as_by_dcm2niix(opened: Opener, dcm2niix: Dcm2niix) -> None:
    image = opened(series_of(CT[0]), values="modality")
    (niix,) = dcm2niix.volumes(real_series(CT[0]))
    ours = Placed(pixels_of(image)[None], affine_of(image))
    assert differences(ours, niix) == (pytest.approx(0, abs=1e-3), 0)
    assert np.allclose(abs(ours.affine[:3, :3]), abs(niix.affine[:3, :3]))


def test_mr_small_stack_is_placed_as_by_all_others(opened: Opener, dcm2niix: Dcm2niix) -> None:
    series = series_of("mr_small_stack")
    image, rescaled = opened(series), opened(series, values="modality")
    assert (axes_of(image), image.levels[0].shape) == ("zyx", (4, 28, 64))
    assert image.levels[0].scale == pytest.approx((0.5, 4.0, 6.39995861053464), abs=1e-6)
    stored = Placed(pixels_of(image), affine_of(image))
    assert differences(stored, by_highdicom(named(series))) == (pytest.approx(0, abs=1e-3), 0)
    (niix,) = dcm2niix.volumes(real_series("mr_small_stack"))
    ours = Placed(pixels_of(rescaled), affine_of(rescaled))
    for oracle in (by_simpleitk(real_series("mr_small_stack")), niix):
        assert differences(ours, oracle, 1e-5) == (pytest.approx(0, abs=1e-3), 0)


def named(series: RadiologySeries) -> list[Dataset]:
    """The datasets with a name for their frame of reference, which highdicom insists on."""
    for dataset in series.datasets:
        dataset.FrameOfReferenceUID = "1.2.3"
    return list(series.datasets)


def test_mr_small_stack_has_a_slope_for_each_slice(opened: Opener) -> None:
    series = series_of("mr_small_stack")
    rescale: Any = dicomzarr_attributes(opened(series).plan)["rescale"]
    slices = sorted(series.datasets, key=lambda dataset: dataset.ImagePositionPatient[2])
    assert rescale["slope"] == [float(dataset.RescaleSlope) for dataset in slices]
    assert rescale["intercept"] == [float(dataset.RescaleIntercept) for dataset in slices]
    rescaled = opened(series, values="modality").levels[0]
    assert rescaled.dtype == np.float32
    for number, dataset in enumerate(slices):
        assert np.allclose(rescaled[number], rescaled_by_pydicom(dataset), rtol=1e-6)


def test_mr_dti_philips_has_a_channel_for_each_direction(opened: Opener) -> None:
    series = series_of("mr_dti_philips")
    image = opened(series)
    assert (axes_of(image), image.levels[0].shape) == ("czyx", (4, 2, 128, 128))
    b_values, directions = coordinate(image, "b_value"), coordinate(image, "gradient_direction")
    assert (b_values["axis"], b_values["unit"], directions["axis"]) == ("c", "s/mm2", "c")
    low = min(float(dataset.ImagePositionPatient[2]) for dataset in series.datasets)
    for dataset in series.datasets:
        (channel,) = [
            number
            for number, (b, direction) in enumerate(zip(b_values["values"], directions["values"], strict=True))
            if b == dataset.DiffusionBValue
            and np.allclose(direction or (0, 0, 0), dataset.DiffusionGradientOrientation, atol=1e-5)
        ]
        z = int(float(dataset.ImagePositionPatient[2]) > low)
        assert np.array_equal(image.levels[0][channel, z], stored_by_pydicom(dataset))


def test_mr_dti_philips_is_placed_as_by_dcm2niix(opened: Opener, dcm2niix: Dcm2niix) -> None:
    # ITK's series reader makes one volume of 8 slices of it, 0.286 mm apart.
    image = opened(series_of("mr_dti_philips"))
    (niix,) = dcm2niix.volumes(real_series("mr_dti_philips"))
    pixels = pixels_of(image)
    for channel, volume in zip(pixels, niix.values, strict=True):
        theirs = Placed(volume, niix.affine)
        assert differences(Placed(channel, affine_of(image)), theirs) == (pytest.approx(0, abs=1e-3), 0)
    assert coordinate(image, "b_value")["values"] == dcm2niix.b_values()


def test_mr_enhanced_siemens_is_placed_as_by_all_others(opened: Opener, dcm2niix: Dcm2niix) -> None:
    series = series_of("mr_enhanced_siemens")
    image = opened(series)
    assert (axes_of(image), image.levels[0].shape) == ("zyx", (8, 256, 256))
    assert image.levels[0].scale == pytest.approx((0.9, 0.9375, 0.9375), abs=1e-4)
    ours = Placed(pixels_of(image), affine_of(image))
    (niix,) = dcm2niix.volumes(real_series("mr_enhanced_siemens"))
    for oracle in (by_highdicom(named(series)), niix):
        # positions are rounded to six digits in the file, which the others spread in their own ways
        assert differences(ours, oracle) == (pytest.approx(0, abs=0.01), 0)


def test_mr_two_orientations_are_two_images(opened: Opener, dcm2niix: Dcm2niix) -> None:
    # ITK's series reader makes one volume of both orientations, without any error.
    image = opened(series_of("mr_two_orientations"))
    assert [(axes_of(one), one.levels[0].shape) for one in image.images] == [("zyx", (2, 288, 288))] * 2
    assert sorted(one.levels[0].scale for one in image.images) == [
        pytest.approx((3.3, 0.32, 0.32), abs=1e-5),
        pytest.approx((4.4, 0.555556, 0.555556), abs=1e-5),
    ]
    assert all(units_of(one) == dict.fromkeys("zyx", "millimeter") for one in image.images)
    assert "orientation" in " ".join(image.notices)
    volumes = dcm2niix.volumes(real_series("mr_two_orientations"))
    for one in image.images:
        ours = Placed(pixels_of(one), affine_of(one))
        apart = [differences(ours, niix) for niix in volumes]
        assert min(apart) == (pytest.approx(0, abs=1e-3), 0)
