"""Small series that bug reports of other software describe, each opened as its README says; pixels and all.

Frames number themselves: the stored value at [0, 0] is 100 * tag + 7, and tag = 10 * k + z.
"""

from __future__ import annotations

import itertools
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pytest
from radiology_opened import Opener, affine_of, axes_of, units_of

import dicomzarr
from dicomzarr.omezarr.attributes import dicomzarr_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from orthanc import Orthanc
    from pydicom import Dataset

    from dicomzarr.arrays.image import Image

NOT_ON_ORTHANC: Mapping[str, str] = {}
"""Cases that Orthanc does not take, or serves with something left out, and why. It takes and serves all of them."""


@pytest.fixture(scope="session")
def cases_dir(shared_dir: Path) -> Path:
    """The folder of the cases."""
    return shared_dir / "cases"


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens series from servers in this process."""
    with Opener() as opener:
        yield opener


def tags(k: Sequence[int], z: Sequence[int]) -> np.ndarray[Any, Any]:
    """The tags of a grid: (k, z)."""
    return np.array([[10 * one + place for place in z] for one in k])


@dataclass(frozen=True)
class Right:
    """One way to open a case that is right."""

    images: tuple[tuple[str, np.ndarray[Any, Any]], ...]
    """(axes, tags) of each image, in any order."""
    affine: bool | None = True
    """Whether each has an affine; None where either is right."""
    any_order: str = ""
    """An axis along which the order does not matter."""


ONE = [0]


def volume(slices: int, **more: Any) -> Right:
    return Right((("zyx", tags(ONE, range(slices))[0]),), **more)


def grid(axes: str, k: int, slices: int, **more: Any) -> Right:
    return Right(((axes, tags(range(k), range(slices))),), **more)


def volumes(k: int, slices: int, **more: Any) -> Right:
    return Right(tuple(("zyx", tags([one], range(slices))[0]) for one in range(k)), **more)


FLOW = np.array([[tags([10 * c + t], range(3))[0] for c in range(3)] for t in range(4)])
MAP = ("zyx", tags([2], range(1, 5))[0])

RIGHT: Mapping[str, tuple[Right, ...]] = {
    "s01_for_per_slice": (volume(12),),
    "s03b_dwi_adc_fewer_slices": (Right((("czyx", tags(range(2), range(6))), MAP)),),
    "s04a_ctp_content_time_only": (grid("tzyx", 4, 3),),
    "s04b_ctp_instance_number_only": (grid("tzyx", 4, 3),),
    "s08c_volumes_in_files_nothing_else": (grid("tzyx", 3, 5), volumes(3, 5)),
    "s19a_molli_ti_per_slice": (grid("czyx", 5, 3),),
    "s20_4dflow_sequence_name": (Right((("tczyx", FLOW),), any_order="c"),),
    "s38b_dwi_shifted_half": (volumes(2, 5),),
    "s60_distorted_epi": (grid("tzyx", 3, 4),),
    "t01_slice_thickness_recons": (grid("czyx", 2, 4), volumes(2, 4)),
    "t02_contrast_agent": (grid("czyx", 2, 4), grid("tzyx", 2, 4), volumes(2, 4)),
    "t04_pulse_sequence_name": (grid("czyx", 3, 4, any_order="c"),),
    "t06_philips_asl_label": (grid("czyx", 2, 4, any_order="c"),),
    "t08_ge_dti_directions": (grid("czyx", 4, 4, any_order="c"),),
    "u01_series_uid_is_a_hash": (volume(5),),
    "v01_pixel_spacing_zero": (volume(5, affine=False),),
    "v07_number_of_frames_zero": (volume(5),),
    "v11_position_jitter_20um": (grid("tzyx", 3, 4),),
    "v13_ipp_rounded_tenth": (volume(12),),
    "v17_trigger_time_collides": (grid("tzyx", 4, 3),),
}
"""What may come out of each folder; a slide, and what is right in other words, has a test of its own."""

SAYS: Mapping[str, Sequence[str]] = {
    "s01_for_per_slice": ["FrameOfReferenceUID"],
    "s04b_ctp_instance_number_only": ["InstanceNumber"],
    "s52a_iop_zeros": ["ImageOrientationPatient"],
    "s60_distorted_epi": ["DISTORTED"],
    "v01_pixel_spacing_zero": ["PixelSpacing"],
    "v07_number_of_frames_zero": ["NumberOfFrames"],
    "v11_position_jitter_20um": [r"0\.0[12]"],
    "v13_ipp_rounded_tenth": ["mm|millimet"],
}
"""What a notice says: regular expressions."""


def files_of(cases_dir: Path, name: str) -> list[Path]:
    """The files of a case, the last first."""
    files = sorted((cases_dir / name).glob("*.dcm"), reverse=True)
    if not files:
        pytest.skip(f"no files in {cases_dir / name}")
    return files


def datasets_of(cases_dir: Path, name: str) -> list[Dataset]:
    """The same as pydicom reads them; it warns of UIDs that are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        datasets = [pydicom.dcmread(path) for path in files_of(cases_dir, name)]
        assert all(dataset.SeriesInstanceUID for dataset in datasets)
    return datasets


@pytest.fixture
def open_case(cases_dir: Path, opened: Opener) -> Callable[..., Image]:
    """Opens a case from a server in this process."""

    def from_here(name: str, **options: Any) -> Image:
        first = datasets_of(cases_dir, name)[0]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="pydicom")
            server = opened.serve(files_of(cases_dir, name))
        return dicomzarr.open(server.series_url(first.StudyInstanceUID, first.SeriesInstanceUID), **options)

    return from_here


@pytest.fixture
def open_orthanc_case(cases_dir: Path, orthanc: Orthanc) -> Callable[..., Image]:
    """Opens a case from Orthanc."""

    def from_there(name: str, **options: Any) -> Image:
        first = datasets_of(cases_dir, name)[0]
        orthanc.load(files_of(cases_dir, name))
        return dicomzarr.open(orthanc.series_url(first.StudyInstanceUID, first.SeriesInstanceUID), **options)

    return from_there


def corners(image: Image) -> np.ndarray[Any, Any]:
    """The stored value at [0, 0] of each frame."""
    found: np.ndarray[Any, Any] = image.levels[0][..., 0, 0]
    return found


def tags_of(image: Image) -> np.ndarray[Any, Any]:
    """The tag of each frame, which must be one."""
    values = corners(image)
    assert (values % 100 == 7).all()
    return (values.astype(int) - 7) // 100


def is_right(image: Image, right: Right) -> bool:
    """Whether the images of a series are these, in any order."""
    found = [(axes_of(one), tags_of(one)) for one in image.images]
    if right.affine is not None and {one.affine is not None for one in image.images} != {right.affine}:
        return False
    return any(
        all(_same(one, other, right.any_order) for one, other in zip(found, order, strict=True))
        for order in itertools.permutations(right.images)
        if len(order) == len(found)
    )


def _same(
    found: tuple[str, np.ndarray[Any, Any]], wanted: tuple[str, np.ndarray[Any, Any]], any_order: str = ""
) -> bool:
    if found[0] != wanted[0] or found[1].shape != wanted[1].shape:
        return False
    if not any_order:
        return np.array_equal(found[1], wanted[1])
    axis = found[0].index(any_order)
    return any(
        np.array_equal(found[1], wanted[1].take(order, axis))
        for order in itertools.permutations(range(wanted[1].shape[axis]))
    )


def notices_of(image: Image) -> str:
    return " ".join(image.notices)


def check_case(image: Image, name: str) -> None:
    """Whether a case was opened in one of the ways that are right, and says what it must."""
    found = [(axes_of(one), one.levels[0].shape) for one in image.images]
    assert any(is_right(image, right) for right in RIGHT[name]), found
    for word in SAYS.get(name, []):
        assert re.search(word, notices_of(image))


@pytest.mark.parametrize("name", RIGHT)
def test_a_case_opens_as_is_right(open_case: Callable[..., Image], name: str) -> None:
    check_case(open_case(name), name)


@pytest.mark.parametrize("name", [name for name in RIGHT if name not in NOT_ON_ORTHANC])
def test_a_case_on_orthanc_opens_as_is_right(open_orthanc_case: Callable[..., Image], name: str) -> None:
    check_case(open_orthanc_case(name), name)


def test_every_case_has_a_test(cases_dir: Path) -> None:
    folders = {path.name for path in cases_dir.iterdir() if path.is_dir()}
    assert folders == {*RIGHT, *OTHERS, *SLIDES}


# --- what else each case says


def coordinates_of(image: Image) -> dict[str, Any]:
    told: Any = dicomzarr_attributes(image.plan)["coordinates"]
    return dict(told)


def check_steps(image: Image, name: str) -> None:
    """Whether the slices of a volume lie where the files say."""
    step = {"s01_for_per_slice": 2.5, "s60_distorted_epi": 3.0, "v13_ipp_rounded_tenth": 1.5}[name]
    assert np.linalg.norm(affine_of(image)[:3, 2]) == pytest.approx(step, abs=0.02)
    assert units_of(image)["z"] == "millimeter"


@pytest.mark.parametrize("name", ["s01_for_per_slice", "s60_distorted_epi", "v13_ipp_rounded_tenth"])
def test_slices_lie_where_the_files_say(open_case: Callable[..., Image], name: str) -> None:
    check_steps(open_case(name), name)


def test_times_that_only_numbers_tell_have_no_step(open_case: Callable[..., Image]) -> None:
    image = open_case("s04b_ctp_instance_number_only")
    assert units_of(image)["t"] is None
    assert image.levels[0].scale[0] == 1.0
    assert "order of acquisition" in image.plan.name


def test_content_time_is_a_coordinate(open_case: Callable[..., Image]) -> None:
    image = open_case("s04a_ctp_content_time_only")
    told = [one for one in coordinates_of(image).values() if "t" in one["axis"] and one.get("unit") == "s"]
    assert [[0, 0.1, 0.2], [2, 2.1, 2.2], [4, 4.1, 4.2], [6, 6.1, 6.2]] in [
        np.round(np.array(one["values"], float), 6).tolist() for one in told
    ]


def test_each_slice_has_its_own_inversion_times(open_case: Callable[..., Image]) -> None:
    image = open_case("s19a_molli_ti_per_slice")
    wanted = [
        [120, 120, 120],
        [1050, 1067.5, 1037.5],
        [2010, 2027.5, 1997.5],
        [2980, 2997.5, 2967.5],
        [3950, 3967.5, 3937.5],
    ]
    assert wanted in [one["values"] for one in coordinates_of(image).values()]


def test_contrasts_half_a_step_apart_have_affines_half_a_step_apart(open_case: Callable[..., Image]) -> None:
    image = open_case("s38b_dwi_shifted_half")
    starts = sorted(affine_of(one)[2, 3] for one in image.images)
    assert starts == pytest.approx([0.0, 2.0])
    assert all(affine_of(one)[2, 2] == pytest.approx(4.0) for one in image.images)


def test_what_distorts_is_an_attribute(open_case: Callable[..., Image]) -> None:
    image = open_case("s60_distorted_epi")
    assert dicomzarr_attributes(image.plan)["volumetric_properties"] == "DISTORTED"


def test_a_spacing_of_zero_is_no_spacing(open_case: Callable[..., Image]) -> None:
    units = units_of(open_case("v01_pixel_spacing_zero"))
    assert units["y"] is units["x"] is None


# --- cases that are right in other words


OTHERS = ("s46_mixed_sign", "s52a_iop_zeros")


def check_mixed_sign(stored: Image, modality: Image, datasets: Sequence[Dataset]) -> None:
    """Whether modality values are one volume, and stored ones are all there and something is said."""
    ordered = sorted(datasets, key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    values = np.array([dataset.pixel_array.astype(int) + int(dataset.RescaleIntercept) for dataset in ordered])
    assert len(modality.images) == 1
    assert axes_of(modality) == "zyx"
    assert np.array_equal(modality.levels[0][...], values)
    assert affine_of(modality)[2, 2] == pytest.approx(2.0)
    found = np.concatenate([corners(one).astype(int).ravel() for one in stored.images])
    there = found[found % 100 == 7]  # what is stored with another sign is an absent chunk here
    assert sorted((there - 7) // 100) == list(range(8))
    assert "PixelRepresentation" in notices_of(stored)


def test_slices_with_and_without_sign_are_one_volume_of_modality_values(
    open_case: Callable[..., Image], cases_dir: Path
) -> None:
    name = "s46_mixed_sign"
    check_mixed_sign(open_case(name), open_case(name, values="modality"), datasets_of(cases_dir, name))


def test_slices_with_and_without_sign_on_orthanc(open_orthanc_case: Callable[..., Image], cases_dir: Path) -> None:
    name = "s46_mixed_sign"
    check_mixed_sign(open_orthanc_case(name), open_orthanc_case(name, values="modality"), datasets_of(cases_dir, name))


def check_no_orientation(image: Image) -> None:
    """Whether all slices are there, and nothing of space was made up."""
    assert sorted(np.concatenate([tags_of(one).ravel() for one in image.images])) == [0, 1, 2]
    assert all(one.affine is None for one in image.images)
    assert all("z" not in axes_of(one) or units_of(one)["z"] is None for one in image.images)
    assert "ImageOrientationPatient" in notices_of(image)


def test_an_orientation_of_zeros_is_no_orientation(open_case: Callable[..., Image]) -> None:
    check_no_orientation(open_case("s52a_iop_zeros"))


def test_an_orientation_of_zeros_on_orthanc(open_orthanc_case: Callable[..., Image]) -> None:
    check_no_orientation(open_orthanc_case("s52a_iop_zeros"))


# --- slides


def beyond_matrix(image: Image, datasets: Sequence[Dataset]) -> None:
    """Whether both levels hold their tiles, and frames outside are counted."""
    assert len(image.images) == 1
    assert len(image.levels) == 2
    by_size = sorted(datasets, key=lambda dataset: -dataset.TotalPixelMatrixColumns)
    for level, dataset in zip(image.levels, by_size, strict=True):
        assert np.array_equal(np.moveaxis(level[...], 0, -1), composed(dataset))
    assert "2 frames" in notices_of(image)
    assert "total pixel matrix" in notices_of(image).lower()


def composed(dataset: Dataset) -> np.ndarray[Any, Any]:
    """The Total Pixel Matrix of a slide's level, by pydicom."""
    rows, columns = dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns
    tile = dataset.Rows
    across, down = -(-columns // tile), -(-rows // tile)
    canvas = np.zeros((down * tile, across * tile, 3), np.uint8)
    corner = [divmod(frame, across) for frame in range(int(dataset.NumberOfFrames))]
    if "PerFrameFunctionalGroupsSequence" in dataset:
        items = [item.PlanePositionSlideSequence[0] for item in dataset.PerFrameFunctionalGroupsSequence]
        corner = [
            (
                (item.RowPositionInTotalImagePixelMatrix - 1) // tile,
                (item.ColumnPositionInTotalImagePixelMatrix - 1) // tile,
            )
            for item in items
        ]
    for (row, column), frame in zip(corner, dataset.pixel_array, strict=True):
        if row < down and column < across:
            canvas[row * tile : (row + 1) * tile, column * tile : (column + 1) * tile] = frame
    return canvas[:rows, :columns]


def subsampled_chroma(image: Image, _: Sequence[Dataset]) -> None:
    """Whether the colours are those of the ramp that was coded."""
    pixels = np.moveaxis(image.levels[0][...], 0, -1).astype(int)
    y, x = np.mgrid[0:32, 0:64]
    ramp = np.stack([x * 255 / 63, y * 255 / 31, np.full(x.shape, 40)], axis=-1)
    assert pixels.shape == ramp.shape
    assert np.abs(pixels - ramp).mean() < 4
    assert np.abs(pixels - ramp).max() < 20


def two_scans(image: Image, _: Sequence[Dataset]) -> None:
    """Whether each of two scans of one size is an image."""
    assert len(image.images) == 2
    finest = [one.levels[0][...] for one in image.images]
    assert {pixels.shape[-2:] for pixels in finest} == {(96, 128)}
    assert sorted(np.unique(pixels).tolist() for pixels in finest) == [[50], [70]]
    assert image.notices


SLIDES: Mapping[str, Callable[[Image, Sequence[Dataset]], None]] = {
    "w26_sparse_beyond_matrix": beyond_matrix,
    "w27a_j2k_422_ybr_full_422": subsampled_chroma,
    "w29_two_scans_same_size": two_scans,
}


@pytest.mark.parametrize("name", SLIDES)
def test_a_slide_opens_as_is_right(open_case: Callable[..., Image], cases_dir: Path, name: str) -> None:
    SLIDES[name](open_case(name), datasets_of(cases_dir, name))


@pytest.mark.parametrize("name", [name for name in SLIDES if name not in NOT_ON_ORTHANC])
def test_a_slide_on_orthanc_opens_as_is_right(
    open_orthanc_case: Callable[..., Image], cases_dir: Path, name: str
) -> None:
    SLIDES[name](open_orthanc_case(name), datasets_of(cases_dir, name))
