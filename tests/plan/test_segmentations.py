"""Segmentations and parametric maps: as images of their own, and as labels of what they segment (rows D1-D11)."""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Any

import faults
import fsspec
import highdicom as hd
import numpy as np
import pytest
import xarray as xr
import zarr
from highdicom.seg import SegmentationTypeValues, SegmentsOverlapValues
from radiology_model import AXIAL, OBLIQUE, distinct
from radiology_opened import Opener, affine_of, pixels_of
from radiology_volumes import volume
from segmentations import (
    IDENTIFIED,
    LABELS,
    Segmented,
    ascending,
    parametric_map,
    random_masks,
    segmented,
    segmented_second_level,
    segmented_slide,
)

import dicomzarr
from dicomzarr.errors import GuessWarning, InvalidAttributeError
from dicomzarr.omezarr.attributes import dicomzarr_attributes

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # their imports, not ours
    import ngff_zarr
    import ome_zarr_models
    import yaozarrs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orthanc import Orthanc
    from radiology_model import Grid, Pixels, RadiologySeries

    from dicomzarr.arrays.image import Image


def name_of(found: Segmented, segment: int | None = None) -> str:
    """The name of a label: the same whatever else is in the study."""
    digest = hashlib.sha256(str(found.dataset.SOPInstanceUID).encode()).hexdigest()[:8]
    return digest if segment is None else f"{digest}-{segment}"


LABELMAP, FRACTIONAL = SegmentationTypeValues.LABELMAP, SegmentationTypeValues.FRACTIONAL


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def segmentable(grid: Grid = OBLIQUE, shape: tuple[int, int, int] = (5, 30, 34)) -> RadiologySeries:
    return volume(grid, distinct(shape), name=f"segmentable {shape}", **IDENTIFIED)


def open_own(opened: Opener, found: Segmented, **options: Any) -> Image:
    """The segmentation as an image of its own."""
    return dicomzarr.open(opened.serve([found.dataset]).series_url(found.study, found.series), **options)


def open_labelled(opened: Opener, series: RadiologySeries, *found: Segmented, labels: bool = True) -> Image:
    """The image that was segmented."""
    server = opened.serve([*series.datasets, *(each.dataset for each in found)])
    return dicomzarr.open(server.series_url(series.study_uid, series.series_uid), labels=labels)


# --- images of their own


@pytest.mark.parametrize("size", [(30, 34), (7, 5), (510, 510)])
def test_frames_of_bits_that_begin_within_a_byte(opened: Opener, size: tuple[int, int]) -> None:
    assert size[0] * size[1] % 8 != 0
    series = segmentable(shape=(3, *size))
    found = segmented(ascending(series, OBLIQUE), random_masks((2, 3, *size)))
    image = open_own(opened, found)
    assert image.levels[0].dtype == np.uint8
    assert np.array_equal(pixels_of(image), found.masks)
    theirs = hd.seg.Segmentation.from_dataset(found.dataset).get_volume(combine_segments=False)
    assert np.array_equal(np.moveaxis(theirs.array, -1, 0)[:, ::-1], found.masks)  # they descend along the normal
    assert np.allclose(affine_of(image), OBLIQUE.affine, atol=1e-4)


def test_empty_frames_were_left_out_and_read_as_zero(opened: Opener) -> None:
    masks = random_masks((3, 5, 30, 34))
    masks[0, 2:] = masks[1, 1:4] = masks[2, :4] = 0
    found = segmented(ascending(segmentable(), OBLIQUE), masks)
    assert int(found.dataset.NumberOfFrames) == 5
    assert np.array_equal(pixels_of(open_own(opened, found)), masks)


def test_a_slice_that_no_segment_touches_keeps_its_place(opened: Opener) -> None:
    masks = random_masks((2, 5, 30, 34))
    masks[:, 2] = 0
    image = open_own(opened, segmented(ascending(segmentable(), OBLIQUE), masks))
    assert np.array_equal(pixels_of(image), masks)
    assert image.levels[0].scale[1] == pytest.approx(OBLIQUE.z_spacing, abs=1e-4)


def test_segments_that_overlap_are_kept_apart(opened: Opener) -> None:
    masks = random_masks((3, 5, 30, 34))
    masks[1] |= masks[0]
    found = segmented(ascending(segmentable(), OBLIQUE), masks, overlap=SegmentsOverlapValues.YES)
    image = open_own(opened, found)
    assert np.array_equal(pixels_of(image), masks)
    assert [channel.label for channel in image.channels] == list(LABELS)
    assert dicomzarr_attributes(image.plan)["segmentation_type"] == "BINARY"


def test_fractions_are_stored_values_and_parts_of_one(opened: Opener) -> None:
    parts = np.random.default_rng(1).random((1, 5, 30, 34))
    found = segmented(ascending(segmentable(), OBLIQUE), parts, kind=FRACTIONAL, max_fractional_value=200)
    stored = np.rint(parts[0] * 200).astype(np.uint8)
    assert np.array_equal(pixels_of(open_own(opened, found)), stored)
    modality = open_own(opened, found, values="modality")
    assert modality.levels[0].dtype == np.float32
    assert np.allclose(pixels_of(modality), stored / 200, rtol=1e-6)


@pytest.mark.parametrize("padding", [None, 0, 5])
def test_a_label_map_is_its_segment_numbers_and_absent_frames_are_padding(opened: Opener, padding: int | None) -> None:
    masks = np.random.default_rng(2).integers(0, 4, (5, 30, 34)).astype(np.uint8)
    masks[2] = 0
    found = segmented(ascending(segmentable(), OBLIQUE), masks, kind=LABELMAP)
    assert int(found.dataset.NumberOfFrames) == 4
    found.dataset.pop("PixelPaddingValue", None)
    expected = masks.copy()
    if padding is not None:
        found.dataset.PixelPaddingValue = padding
        expected[2] = padding  # as dcmqi does; highdicom fills 0
    image = open_own(opened, found)
    assert np.array_equal(pixels_of(image), expected)
    assert image.levels[0].axes == ("z", "y", "x")


def test_names_and_colours_are_those_of_the_header(opened: Opener) -> None:
    found = segmented(ascending(segmentable(), OBLIQUE), random_masks((3, 5, 30, 34)))
    image = open_own(opened, found)
    for channel, (red, green, blue) in zip(image.channels, ((255, 0, 0), (0, 255, 0), (0, 0, 255)), strict=True):
        shown = np.array(list(bytes.fromhex(channel.color)), float)
        # Colours went through CIELab, and pure blue is none that it holds exactly.
        assert np.abs(shown - [red, green, blue]).max() < 96
        assert int(np.argmax(shown)) == [red, green, blue].index(255)


def test_of_two_frames_of_one_segment_at_one_place_the_second_is_an_image_of_its_own(opened: Opener) -> None:
    found = segmented(ascending(segmentable(), OBLIQUE), random_masks((2, 5, 30, 34)))
    stored = found.dataset.pixel_array
    frames = found.dataset.PerFrameFunctionalGroupsSequence
    frames[1].PlanePositionSequence = frames[0].PlanePositionSequence
    frames[1].SegmentIdentificationSequence = frames[0].SegmentIdentificationSequence
    with pytest.warns(GuessWarning, match="guess"):
        image = open_own(opened, found)
    most, one = image.images
    assert [channel.label for channel in most.channels] == [*LABELS[:2]]
    assert np.count_nonzero([np.array_equal(plane, stored[0]) for plane in pixels_of(most).reshape(-1, 30, 34)]) == 1
    assert np.array_equal(pixels_of(one), stored[1])
    assert [channel.label for channel in one.channels] == [*LABELS[:1]]
    labelled = open_labelled(opened, segmentable(), found)
    assert labelled.labels == {}
    assert "one segment at one place" in " ".join(labelled.notices)


def test_frames_of_segments_that_all_lie_at_one_place_are_a_list_without_segments(opened: Opener) -> None:
    found = segmented(ascending(segmentable(), OBLIQUE), random_masks((2, 5, 30, 34)))
    for groups in found.dataset.PerFrameFunctionalGroupsSequence:
        groups.PlanePositionSequence = found.dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence
    image = open_own(opened, found)
    assert np.array_equal(pixels_of(image), found.dataset.pixel_array)
    assert [axis.name for axis in image.axes] == ["t", "y", "x"]
    assert "Liver" not in image.channels[0].label
    assert sorted(dicomzarr_attributes(image.plan)["coordinates"]["segment"]["values"]) == [1] * 5 + [2] * 5


def test_a_kind_of_segmentation_that_nobody_knows_is_an_error(opened: Opener) -> None:
    found = segmented(ascending(segmentable(), OBLIQUE), random_masks((1, 5, 30, 34)))
    found.dataset.SegmentationType = "CONTOUR"
    with pytest.raises(InvalidAttributeError, match="SegmentationType"):
        open_own(opened, found)


# --- labels


def test_labels_lie_under_the_image_on_whose_grid_they_are(opened: Opener) -> None:
    series = segmentable()
    found = segmented(ascending(series, OBLIQUE), random_masks((3, 5, 30, 34)))
    numbers = np.random.default_rng(2).integers(0, 4, (5, 30, 34)).astype(np.uint8)
    label_map = segmented(ascending(series, OBLIQUE), numbers, kind=LABELMAP, name="label map")
    image = open_labelled(opened, series, found, label_map)
    assert sorted(image.labels) == sorted([*(name_of(found, number) for number in (1, 2, 3)), name_of(label_map)])
    for segment in (1, 2, 3):
        label = image.labels[name_of(found, segment)]
        assert np.array_equal(pixels_of(label), found.masks[segment - 1] * segment)
        assert [(each.number, each.label) for each in label.segments] == [(segment, LABELS[segment - 1])]
        assert label.affine == image.affine
    assert np.array_equal(pixels_of(image.labels[name_of(label_map)]), numbers)
    assert not image.notices


def test_labels_are_labels_for_zarr_and_for_validators(opened: Opener) -> None:
    series = segmentable()
    found = segmented(ascending(series, OBLIQUE), random_masks((2, 5, 30, 34)))
    image = open_labelled(opened, series, found)
    group: Any = zarr.open_group(image.url, mode="r", storage_options={"labels": True})
    first, second = name_of(found, 1), name_of(found, 2)
    assert group["labels"].attrs["ome"]["labels"] == [first, second]
    described = group[f"labels/{second}"].attrs["ome"]["image-label"]
    assert described["properties"] == [{"label-value": 2, "name": LABELS[1]}]
    assert [color["label-value"] for color in described["colors"]] == [2]
    assert np.array_equal(group[f"labels/{second}/0"][...], found.masks[1] * 2)
    yaozarrs.validate_zarr_store(group)
    yaozarrs.validate_zarr_store(group[f"labels/{second}"])
    ome_zarr_models.open_ome_zarr(group[f"labels/{second}"])


@pytest.mark.ngff_zarr
def test_labels_are_labels_for_ngff_zarr(opened: Opener) -> None:
    series = segmentable()
    image = open_labelled(opened, series, segmented(ascending(series, OBLIQUE), random_masks((2, 5, 30, 34))))
    ngff_zarr.from_ngff_zarr(fsspec.get_mapper(image.url, labels=True), validate=True)


def test_labels_are_groups_for_xarray(opened: Opener) -> None:
    series = segmentable()
    found = segmented(ascending(series, OBLIQUE), random_masks((2, 5, 30, 34)))
    image = open_labelled(opened, series, found)
    group = f"labels/{name_of(found, 2)}"
    tree: Any = xr.open_datatree(image.url, engine="dicomzarr", storage_options={"labels": True})
    alone: Any = xr.open_dataset(image.url, engine="dicomzarr", group=f"{group}/0", storage_options={"labels": True})
    for dataset in (tree[f"{group}/0"], alone, image.to_xarray()[f"{group}/0"]):
        assert np.array_equal(dataset["image"], found.masks[1] * 2)
        assert np.array_equal(dataset["z"], tree["0"]["z"])  # those of the image
    assert list(tree.children) == ["0", "labels"]
    plain: Any = xr.open_datatree(image.url, engine="dicomzarr")
    assert list(plain.children) == ["0"]


def test_labels_cost_nothing_unless_they_are_asked_for(opened: Opener) -> None:
    series = segmentable()
    found = segmented(ascending(series, OBLIQUE), random_masks((2, 5, 30, 34)))
    plain = open_labelled(opened, series, found, labels=False)
    assert not plain.labels
    assert [opened.count("metadata"), opened.count("frames")] == [1, 0]
    labelled = open_labelled(opened, series, found)
    requests = len(opened.servers[-1].requests)
    assert requests == 3  # the series, a search, the segmentation
    assert opened.count("frames") == 0
    assert np.array_equal(labelled.labels[name_of(found, 1)].levels[0][3], found.masks[0, 3])
    assert len(opened.servers[-1].requests) > requests


@pytest.mark.parametrize("what", ["shifted", "fewer rows", "another series"])
def test_what_is_on_another_grid_is_no_label(opened: Opener, what: str) -> None:
    series = segmentable()
    found = segmented(ascending(series, OBLIQUE), random_masks((1, 5, 30, 34)))
    match what:
        case "shifted":
            for frame in found.dataset.PerFrameFunctionalGroupsSequence:
                x, y, z = map(float, frame.PlanePositionSequence[0].ImagePositionPatient)
                frame.PlanePositionSequence[0].ImagePositionPatient = [x + 0.4, y, z]
        case "fewer rows":
            smaller = segmentable(shape=(5, 28, 34))
            other = segmented(ascending(smaller, OBLIQUE), random_masks((1, 5, 28, 34)))
            other.dataset.StudyInstanceUID = series.study_uid
            other.dataset.ReferencedSeriesSequence[0].SeriesInstanceUID = series.series_uid
            found = other
        case _:
            found.dataset.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"
    image = open_labelled(opened, series, found)
    assert not image.labels
    assert any(found.series in notice for notice in image.notices) == (what != "another series")


def test_fractions_are_no_labels(opened: Opener) -> None:
    series = segmentable()
    parts = np.random.default_rng(1).random((1, 5, 30, 34))
    image = open_labelled(opened, series, segmented(ascending(series, OBLIQUE), parts, kind=FRACTIONAL))
    assert not image.labels
    assert any("fractional" in notice for notice in image.notices)


def test_part_of_the_slices_is_segmented(opened: Opener) -> None:
    series = segmentable()
    sources = ascending(series, OBLIQUE)
    masks = random_masks((1, 5, 30, 34))
    masks[:, [0, 1, 4]] = 0
    found = segmented(sources[2:4], masks[:, 2:4])
    assert np.array_equal(pixels_of(open_labelled(opened, series, found).labels[name_of(found, 1)]), masks[0])


# --- slides


@pytest.mark.parametrize("organized", [True, False])
def test_sparse_segments_of_a_slide_are_tiles_of_its_matrix(opened: Opener, *, organized: bool) -> None:
    _, found = segmented_slide()
    if not organized:
        del found.dataset.DimensionOrganizationType
    assert int(found.dataset.NumberOfFrames) < 24
    image = open_own(opened, found)
    assert image.levels[0].axes == ("c", "y", "x")
    assert np.array_equal(pixels_of(image), found.masks[:, 0])
    theirs = hd.seg.Segmentation.from_dataset(found.dataset).get_total_pixel_matrix(combine_segments=False)
    assert np.array_equal(np.moveaxis(theirs, -1, 0), pixels_of(image))
    assert [channel.label for channel in image.channels] == list(LABELS[:2])


def test_segments_of_a_slide_are_labels_of_the_level_that_has_their_matrix(opened: Opener) -> None:
    slide, found = segmented_slide()
    server = opened.serve([slide, found.dataset])
    image = dicomzarr.open(server.series_url(found.study, str(slide.SeriesInstanceUID)), labels=True)
    assert len(image.labels) == 2
    for number in (1, 2):
        (label,) = (label for name, label in image.labels.items() if name.endswith(f"-{number}"))
        assert np.array_equal(pixels_of(label), found.masks[number - 1, 0] * number)
    group: Any = zarr.open_group(image.url, mode="r", storage_options={"labels": True})
    yaozarrs.validate_zarr_store(group)


def test_a_label_of_a_coarser_level_lies_where_that_level_does(opened: Opener, tmp_path: Path) -> None:
    slide, found = segmented_second_level()
    server = opened.serve([*slide, found.dataset])
    image = dicomzarr.open(server.series_url(found.study, str(slide[0].SeriesInstanceUID)), labels=True)
    (label,) = image.labels.values()
    assert np.array_equal(pixels_of(label), found.masks[0, 0])
    # Corners of levels coincide: a pixel of the label is two by two of the image, around its centre.
    whole, own = np.array(image.affine), np.array(label.affine)
    for column, row in ((0, 0), (127, 0), (5, 95)):
        assert np.allclose(own @ (column, row, 0, 1), whole @ (2 * column + 0.5, 2 * row + 0.5, 0, 1), atol=1e-9)
    dicomzarr.export(image.series_url, tmp_path / "out.zarr", labels=True, region={"x": (100, 180), "y": (20, 60)})
    group: Any = zarr.open_group(tmp_path / "out.zarr", mode="r")[f"labels/{label.name}"]
    assert np.array_equal(group["0"][...], found.masks[0, 0, 10:30, 50:90])
    cut = np.array(group.attrs["dicomzarr"]["affine"])
    assert np.allclose(cut @ (3, 2, 0, 1), own @ (53, 12, 0, 1), atol=1e-9)


def test_labels_of_a_slide_have_names_types_and_colours_of_their_own(opened: Opener) -> None:
    """Of two readers in one series: their segments have the same numbers, and are not mixed into one image."""
    slide, one = segmented_slide()
    masks = random_masks((2, 1, 96, 128), 7)
    masks[:, :, :, 32:] = 0
    other = segmented([slide], masks, tile_pixel_array=True, tile_size=(32, 32))
    numbers = (random_masks((1, 96, 128), 8) * 2).astype(np.uint16)
    label_map = segmented([slide], numbers, kind=LABELMAP, tile_pixel_array=True, tile_size=(32, 32), name="map")
    second, third = other.dataset, label_map.dataset
    for number, dataset in enumerate((second, third)):
        dataset.SeriesInstanceUID = one.series
        dataset.SOPInstanceUID = f"{one.dataset.SOPInstanceUID[:50]}.{number + 1}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    for number, item in enumerate(second.SegmentSequence):
        item.SegmentLabel, item.RecommendedDisplayCIELabValue = f"second reader {number}", [30000, 20000, 40000]
    server = opened.serve([slide, one.dataset, second, third])
    image = dicomzarr.open(server.series_url(one.study, str(slide.SeriesInstanceUID)), labels=True)
    found = {(label.name, label.segments[0].label): label for label in image.labels.values()}
    expected = [(one, name, mask) for name, mask in zip(LABELS, one.masks[:, 0], strict=False)]
    expected += [(other, f"second reader {number}", mask) for number, mask in enumerate(masks[:, 0])]
    for number, (source, text, mask) in enumerate(expected):
        name = f"{hashlib.sha256(source.dataset.SOPInstanceUID.encode()).hexdigest()[:8]}-{number % 2 + 1}"
        label = found.pop((name, text))
        assert np.array_equal(pixels_of(label), mask * (number % 2 + 1))
        assert label.plan.levels[0].attributes.sop_instance_uids == (str(source.dataset.SOPInstanceUID),)
    (rest,) = found.values()
    assert np.array_equal(pixels_of(rest), numbers[0])
    assert rest.levels[0].dtype == label_map.dataset.pixel_array.dtype
    assert len({label.segments[0].color for label in image.labels.values()}) > 1


def test_a_segmentation_of_a_slide_that_fits_no_level_is_named_beside_one_that_does(opened: Opener) -> None:
    slide, one = segmented_slide()
    other = segmented([slide], random_masks((1, 1, 96, 128)), tile_pixel_array=True, tile_size=(32, 32), name="x")
    other.dataset.SeriesInstanceUID = one.series
    other.dataset.TotalPixelMatrixOriginSequence[0].XOffsetInSlideCoordinateSystem = "3"
    server = opened.serve([slide, one.dataset, other.dataset])
    image = dicomzarr.open(server.series_url(one.study, str(slide.SeriesInstanceUID)), labels=True)
    assert len(image.labels) == 2
    (notice,) = image.notices
    assert str(other.dataset.SOPInstanceUID) in notice


def test_segments_of_a_slide_that_overlap_are_a_list_and_no_label(opened: Opener) -> None:
    slide, found = segmented_slide()
    first = found.dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSlideSequence[0]
    first.ColumnPositionInTotalImagePixelMatrix = int(first.ColumnPositionInTotalImagePixelMatrix) + 5
    server = opened.serve([slide, found.dataset])
    own = dicomzarr.open(server.series_url(found.study, found.series))
    assert own.name == "slide: list of tiles"
    assert np.array_equal(pixels_of(own), found.dataset.pixel_array)
    assert set(dicomzarr_attributes(own.plan)["coordinates"]["segment"]["values"]) == {1, 2}
    image = dicomzarr.open(server.series_url(found.study, str(slide.SeriesInstanceUID)), labels=True)
    assert not image.labels
    assert any("is a list of tiles" in notice for notice in image.notices)
    assert any("is not on the grid" in notice for notice in image.notices)


# --- parametric maps


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parametric_maps_are_floating_point_and_keep_nan(opened: Opener, dtype: type) -> None:
    series = segmentable()
    values = np.random.default_rng(3).normal(size=(5, 30, 34)).astype(dtype)
    values[1, 2, 3] = np.nan
    dataset = parametric_map(ascending(series, OBLIQUE), values)
    url = opened.serve([dataset]).series_url(str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID))
    image = dicomzarr.open(url)
    assert image.levels[0].dtype == dtype
    assert np.array_equal(pixels_of(image), values, equal_nan=True)
    assert np.allclose(affine_of(image), OBLIQUE.affine, atol=1e-4)
    group: Any = zarr.open_group(url, mode="r")
    assert np.array_equal(group["0"][...], values, equal_nan=True)
    assert np.isnan(group["0"].fill_value)
    yaozarrs.validate_zarr_store(group)


@pytest.mark.parametrize(("on_instances", "and_files"), [(False, True), (True, True), (True, False)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_maps_of_servers_without_binary_attributes_are_floating_point(
    opened: Opener,
    dtype: type,
    on_instances: bool,  # noqa: FBT001  # a parameter
    and_files: bool,  # noqa: FBT001  # a parameter
) -> None:
    """Integers have BitsStored and PixelRepresentation, these have none (PS3.3 sections C.7.6.3 and C.7.6.24)."""
    values = np.random.default_rng(4).normal(size=(5, 30, 34)).astype(dtype)
    dataset = parametric_map(ascending(segmentable(), OBLIQUE), values)
    assert "BitsStored" not in dataset
    faulty = [faults.leave_out(faults.is_binary, on_instances=on_instances)]
    faulty += [] if and_files else [faults.status(404, on="instances")]
    server = opened.serve([dataset], *faulty)
    image = dicomzarr.open(server.series_url(str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID)))
    assert image.levels[0].dtype == dtype
    assert np.array_equal(pixels_of(image), values)
    assert any("floating point" in notice for notice in image.notices) != and_files


# --- a real server


def test_masks_and_maps_from_orthanc(orthanc: Orthanc) -> None:
    """It refuses frames of bits that begin within a byte, and of floating point: whole instances are cut here."""
    series = segmentable(AXIAL, (3, 7, 5))
    sources = ascending(series, AXIAL)
    found = segmented(sources, random_masks((2, 3, 7, 5)))
    values = np.random.default_rng(3).normal(size=(3, 7, 5)).astype(np.float32)
    floating: Pixels = values
    dataset = parametric_map(sources, floating)
    orthanc.load([*series.datasets, found.dataset, dataset])
    image = dicomzarr.open(orthanc.series_url(series.study_uid, series.series_uid), labels=True)
    assert np.array_equal(pixels_of(image), distinct((3, 7, 5)))
    for number in (1, 2):
        assert np.array_equal(pixels_of(image.labels[name_of(found, number)]), found.masks[number - 1] * number)
    own = dicomzarr.open(orthanc.series_url(found.study, found.series))
    assert np.array_equal(pixels_of(own), found.masks)
    mapped = dicomzarr.open(orthanc.series_url(found.study, str(dataset.SeriesInstanceUID)))
    assert np.array_equal(pixels_of(mapped), values)
