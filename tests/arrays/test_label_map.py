"""Segments by name, and all of them in one array of numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import highdicom as hd
import nibabel
import numpy as np
import pytest
import SimpleITK
from highdicom.seg import SegmentationTypeValues
from pydicom.uid import generate_uid
from radiology_model import AXIAL, OBLIQUE, distinct, series_of
from radiology_opened import Opener
from radiology_volumes import uneven, volume
from segmentations import LABELS, ascending, random_masks, segmented

import dicomzarr
from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from radiology_model import Grid, RadiologySeries
    from segmentations import Segmented

SHAPE = (5, 16, 20)


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def apart(count: int = 3, shape: tuple[int, ...] = SHAPE) -> Any:
    """Masks that share no voxel, with some that none has."""
    numbers = np.random.default_rng(3).integers(0, count + 1, shape)
    return np.stack([numbers == number for number in range(1, count + 1)]).astype(np.uint8)


def serve(opened: Opener, series: RadiologySeries, *segmentations: Segmented) -> str:
    server = opened.serve([*series.datasets, *(each.dataset for each in segmentations)])
    return server.series_url(series.study_uid, series.series_uid)


def together(opened: Opener, masks: Any, grid: Grid = AXIAL, **more: Any) -> str:
    series = volume(grid)
    return serve(opened, series, segmented(ascending(series, grid), masks, **more))


def url_of(opened: Opener, segmentation: Segmented) -> str:
    return opened.servers[-1].series_url(segmentation.study, segmentation.series)


COLORS = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)


def colored(opened: Opener) -> tuple[str, Any]:
    """A study with a label map that has a palette: the URL of the image, and the labels."""
    labels = np.random.default_rng(5).integers(0, 4, SHAPE).astype(np.uint8)
    more = {
        "kind": SegmentationTypeValues.LABELMAP,
        "palette_color_lut_transformation": hd.PaletteColorLUTTransformation.from_combined_lut(
            COLORS, palette_color_lut_uid=generate_uid()
        ),
    }
    series = volume()
    label_map = segmented(ascending(series, AXIAL), labels, **more)
    assert label_map.dataset.PhotometricInterpretation == "PALETTE COLOR"
    url = serve(opened, series, label_map)
    return url, (labels, url_of(opened, label_map))


@pytest.mark.parametrize("values", ["stored", "color", "modality"])
def test_labels_are_numbers_whatever_is_shown(opened: Opener, values: str) -> None:
    url, (labels, of_labels) = colored(opened)
    image, segmentation = dicomzarr.open(url, values=values), dicomzarr.open(of_labels, values=values)
    for found in (
        image.label_map(),
        image.label_map(segmentation=of_labels),
        image.label_map(segmentation=segmentation),
        image.label_map(segmentation=segmentation.in_color, resample=True),
        dicomzarr.open(url, values=values, labels=True).label_map(),
        segmentation.label_map(),
        segmentation.in_color.label_map(),
    ):
        assert np.array_equal(found.values, labels)
        assert found.names == dict(enumerate(LABELS, 1))
    assert segmentation.shape == ((3, *SHAPE) if values == "color" else SHAPE)


@pytest.mark.parametrize("padding", [5, 255])
@pytest.mark.parametrize("described", [True, False], ids=["described", "not described"])
@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "all slices"])
def test_the_padding_of_a_label_map_is_its_background(
    opened: Opener,
    padding: int,
    described: bool,  # noqa: FBT001  # a parameter
    sparse: bool,  # noqa: FBT001  # likewise
) -> None:
    numbers = np.random.default_rng(6).integers(0, 3, SHAPE).astype(np.uint8)
    numbers[[0, 3]] = 0
    series = volume()
    more = {"kind": SegmentationTypeValues.LABELMAP, "omit_empty_frames": sparse}
    segmentation = segmented(ascending(series, AXIAL), numbers, **more)
    dataset = segmentation.dataset
    dataset.PixelPaddingValue = padding
    dataset.PixelData = np.where(dataset.pixel_array == 0, padding, dataset.pixel_array).astype(np.uint8).tobytes()
    (background,) = (each for each in dataset.SegmentSequence if each.SegmentNumber == 0)
    background.SegmentNumber = padding
    if not described:
        dataset.SegmentSequence = [each for each in dataset.SegmentSequence if each is not background]
    image = dicomzarr.open(serve(opened, series, segmentation))
    url = url_of(opened, segmentation)
    own = dicomzarr.open(url)
    there = numbers[1:] if sparse else numbers  # the first slice is empty, and its file knows of none before it
    for found, expected in (
        (image.label_map(), numbers),
        (image.label_map(segmentation=url), numbers),
        (image.label_map(resample=True), numbers),
        (own.label_map(), there),
    ):
        assert found.names == {1: "Liver", 2: "Left kidney"}
        assert np.array_equal(found.values, expected)
        assert any("background" in notice for notice in found.notices) == described
    assert np.array_equal(image.label_map({"Liver": 9}).values, (numbers == 1) * 9)


# --- by name


def test_a_label_is_found_by_the_name_of_its_segment(opened: Opener) -> None:
    masks = random_masks((2, *SHAPE))
    image = dicomzarr.open(together(opened, masks), labels=True)
    for number, name in enumerate(LABELS[:2]):
        label = image.labels[name]
        assert np.array_equal(label.levels[0][...], masks[number] * (number + 1))
        assert name in image.labels
        assert image.labels.get(name) == label
    assert set(image.labels) == {label.name for label in image.labels.values()}
    assert image.labels.get("Brain") is None
    assert "Brain" not in image.labels
    with pytest.raises(KeyError, match=r"no label named 'Brain'\. There are: 'Liver', 'Left kidney'"):
        image.labels["Brain"]
    with pytest.raises(KeyError, match="open the series with labels=True"):
        dicomzarr.open(image.series_url).labels["Liver"]


def test_a_name_that_two_labels_have_is_refused(opened: Opener) -> None:
    series = volume()
    sources = ascending(series, AXIAL)
    two = [segmented(sources, random_masks((1, *SHAPE), seed), name=f"reader {seed}") for seed in (1, 2)]
    image = dicomzarr.open(serve(opened, series, *two), labels=True)
    with pytest.raises(UsageError, match=r"2 labels are of segments named 'Liver'\. Take one of "):
        image.labels["Liver"]


# --- one label map


@pytest.mark.parametrize("kind", [SegmentationTypeValues.BINARY, SegmentationTypeValues.LABELMAP])
@pytest.mark.parametrize("labels", [False, True])
def test_segments_are_one_array_of_their_numbers(
    opened: Opener,
    kind: SegmentationTypeValues,
    labels: bool,  # noqa: FBT001  # a parameter
) -> None:
    masks = apart()
    expected = np.tensordot([1, 2, 3], masks, 1)
    shown = masks if kind is SegmentationTypeValues.BINARY else expected.astype(np.uint8)
    found = dicomzarr.open(together(opened, shown, kind=kind), labels=labels).label_map()
    assert np.array_equal(found.values, expected)
    assert found.values.dtype == np.uint8
    assert np.asarray(found) is found.values
    assert np.array_equal(np.array(found, dtype=np.int64), expected)
    assert found.names == dict(enumerate(LABELS, 1))


def test_chosen_segments_keep_their_numbers(opened: Opener) -> None:
    masks = apart()
    image = dicomzarr.open(together(opened, masks))
    found = image.label_map([LABELS[2], LABELS[0]])
    assert np.array_equal(found.values, masks[0] + 3 * masks[2])
    assert found.names == {1: LABELS[0], 3: LABELS[2]}
    assert np.array_equal(image.label_map(LABELS[1]).values, 2 * masks[1])
    with pytest.raises(UsageError, match=r"no segment named 'Brain'\. There are: 'Liver'"):
        image.label_map(["Brain"])


def test_segments_have_the_numbers_that_their_names_are_given(opened: Opener) -> None:
    masks = apart()
    image = dicomzarr.open(together(opened, masks))
    found = image.label_map({"Spleen & more": 1, "Liver": 7})
    assert found.names == {7: "Liver", 1: "Spleen & more"}
    assert np.array_equal(found.values, masks[2] + 7 * masks[0])
    both = image.label_map(dict.fromkeys(LABELS[:2], 300))
    assert (both.names, both.values.dtype) == ({300: "Liver, Left kidney"}, np.uint16)
    assert np.array_equal(both.values, 300 * (masks[0] | masks[1]).astype(int))
    for number in (0, -1, 2.5, "1", True, 70000):
        with pytest.raises(UsageError, match=r"can have the number .*Give 1 to 65535"):
            image.label_map({"Liver": number})
    with pytest.raises(UsageError, match="no segment named 'Brain'"):
        image.label_map({"Liver": 1, "Brain": 2})


def test_a_segmentation_is_a_label_map_by_itself(opened: Opener) -> None:
    masks = apart()
    series = volume()
    segmentation = segmented(ascending(series, AXIAL), masks)
    serve(opened, series, segmentation)
    own = dicomzarr.open(url_of(opened, segmentation))
    assert np.array_equal(own.label_map().values, (masks * np.array([1, 2, 3])[:, None, None, None]).sum(axis=0))


def test_two_segmentations_are_counted_where_they_have_the_same_numbers(opened: Opener) -> None:
    series, masks = volume(), apart(2)
    sources = ascending(series, AXIAL)
    two = [segmented(sources, masks[number : number + 1], name=f"reader {number}") for number in (0, 1)]
    found = dicomzarr.open(serve(opened, series, *two)).label_map()
    assert sorted(found.names) == [1, 2]
    assert {found.values[masks[0] > 0].max(), found.values[masks[1] > 0].max()} == {1, 2}
    assert np.array_equal(found.values > 0, masks.any(axis=0))


def two_readers(opened: Opener, masks: Any, *, one_series: bool = False) -> tuple[str, list[Segmented]]:
    """The URL of a series that two segmented, each with a segment of one name and number, and what they wrote."""
    series = volume()
    sources = ascending(series, AXIAL)
    two = [segmented(sources, masks[number : number + 1], name=f"reader {number}") for number in (0, 1)]
    if one_series:
        two[1].dataset.SeriesInstanceUID = two[0].dataset.SeriesInstanceUID
    return serve(opened, series, *two), two


@pytest.mark.parametrize("one_series", [False, True])
@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize("names", ["Liver", ["Liver"], {"Liver": 1}], ids=str)
def test_a_name_that_several_segmentations_have_is_refused_and_never_their_union(
    opened: Opener,
    names: Any,
    overlapping: bool,  # noqa: FBT001  # a parameter
    one_series: bool,  # noqa: FBT001  # likewise
) -> None:
    masks = random_masks((2, *SHAPE)) if overlapping else apart(2)
    url, two = two_readers(opened, masks, one_series=one_series)
    image = dicomzarr.open(url)
    for more in ({}, {"overlap": "last"}, {"resample": True}):
        with pytest.raises(UsageError, match="2 segmentations have a segment named 'Liver'") as caught:
            image.label_map(names, **more)
        assert all(each.series in str(caught.value) for each in two)
    if not one_series:
        for number, each in enumerate(two):
            found = image.label_map(names, segmentation=url_of(opened, each))
            assert np.array_equal(found.values, masks[number])


def test_segments_of_one_name_are_told_apart_in_a_notice(opened: Opener) -> None:
    url, two = two_readers(opened, apart(2))
    found = dicomzarr.open(url).label_map()
    assert found.names == {1: "Liver", 2: "Liver"}
    (notice,) = found.notices
    for number in (1, 2):
        (series,) = (each.series for each in two if np.array_equal(each.masks[0], found.values == number))
        assert f"{number} is of {series}" in notice


def test_segments_of_one_name_in_one_segmentation_are_one_number_and_that_is_said(opened: Opener) -> None:
    series, masks = volume(), apart(2)
    found = segmented(ascending(series, AXIAL), masks)
    found.dataset.SegmentSequence[1].SegmentLabel = "Liver"
    image = dicomzarr.open(serve(opened, series, found))
    both = image.label_map({"Liver": 4})
    assert np.array_equal(both.values, 4 * masks.any(axis=0))
    assert any("2 segments are named 'Liver': they are 4 together" in notice for notice in both.notices)
    assert image.label_map().notices == ()


def test_segments_that_overlap_are_refused_or_one_of_them_counts(opened: Opener) -> None:
    masks = random_masks((2, *SHAPE))
    image = dicomzarr.open(together(opened, masks))
    both = int((masks[0] & masks[1]).sum())
    with pytest.raises(UsageError, match=f"Segments share {both} voxels"):
        image.label_map()
    assert np.array_equal(image.label_map(overlap="first").values, np.where(masks[0], 1, masks[1] * 2))
    assert np.array_equal(image.label_map(overlap="last").values, np.where(masks[1], 2, masks[0]))
    assert np.array_equal(image.label_map(["Liver"]).values, masks[0])
    with pytest.raises(UsageError, match="overlap is 'both'"):
        image.label_map(overlap="both")  # type: ignore[arg-type]  # a mistake on purpose


def test_a_label_map_lies_on_the_image_wherever_it_is_handed_on(opened: Opener, tmp_path: Path) -> None:
    image = dicomzarr.open(together(opened, apart(), OBLIQUE))
    found, itk, nifti = image.label_map(), image.to_sitk(), image.to_nibabel()
    for each in (found.to_sitk(),):
        assert (each.GetOrigin(), each.GetSpacing(), each.GetDirection()) == (
            itk.GetOrigin(),
            itk.GetSpacing(),
            itk.GetDirection(),
        )
        assert np.array_equal(SimpleITK.GetArrayFromImage(each), found.values)
    found.to_nifti(tmp_path / "labels.nii.gz")
    for read in (nibabel.load(tmp_path / "labels.nii.gz"), found.to_nibabel()):
        assert np.allclose(read.affine, nifti.affine)  # type: ignore[attr-defined]
        assert np.array_equal(np.asarray(read.dataobj).T, found.values)  # type: ignore[attr-defined]


# --- other grids


@pytest.mark.parametrize("slices", [[1, 2, 3], [3], [0, 4], [0, 2, 3], [0, 3, 5], [5, 8, 9], [0, 1, 4, 9]], ids=str)
@pytest.mark.parametrize("says", [True, False], ids=["spaced", "unspaced"])
def test_a_segmentation_without_its_empty_slices_lies_on_the_grid(
    opened: Opener, slices: list[int], *, says: bool
) -> None:
    grid, shape = OBLIQUE, (10, *SHAPE[1:])
    masks = np.zeros((2, *shape), np.uint8)
    masks[:, slices] = apart(2, (len(slices), *shape[1:]))
    series = volume(grid, distinct(shape))
    segmentation = segmented(ascending(series, grid), masks)
    if not says:
        del segmentation.dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    image = dicomzarr.open(serve(opened, series, segmentation))
    found = image.label_map(segmentation=url_of(opened, segmentation))
    assert np.array_equal(image.label_map(resample=True).values, found.values)
    assert np.array_equal(found.values, masks[0] + 2 * masks[1])
    assert np.array_equal(image.label_map().values, found.values)
    assert repr(found).splitlines() == ["<label map (z, y, x) 10 x 16 x 20 uint8>", "  1 'Liver'", "  2 'Left kidney'"]


def test_of_uneven_slices_all_lie_on_the_grid_or_none_does(opened: Opener) -> None:
    shape = (10, *SHAPE[1:])
    masks = np.zeros((1, *shape), np.uint8)
    masks[0, [0, 3, 5]] = 1
    series = volume(AXIAL, distinct(shape))
    segmentation = segmented(ascending(series, AXIAL), masks)
    dataset = segmentation.dataset
    del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        x, y, z = frame.PlanePositionSequence[0].ImagePositionPatient
        if float(z) == AXIAL.position(5)[2]:
            frame.PlanePositionSequence[0].ImagePositionPatient = [x, y, float(z) + 0.5]  # a fifth of a slice
    image = dicomzarr.open(serve(opened, series, segmentation))
    with pytest.raises(UsageError, match="not evenly spaced"):
        image.label_map(segmentation=url_of(opened, segmentation))


def test_a_segmentation_of_several_times_is_no_label_map(opened: Opener) -> None:
    series = volume()
    segmentation = segmented(ascending(series, AXIAL), apart(2))
    for frame in segmentation.dataset.PerFrameFunctionalGroupsSequence:
        identification = frame.SegmentIdentificationSequence[0]
        frame.FrameContentSequence[0].TemporalPositionIndex = identification.ReferencedSegmentNumber
        identification.ReferencedSegmentNumber = 1
    image = dicomzarr.open(serve(opened, series, segmentation))
    own = dicomzarr.open(url_of(opened, segmentation))
    assert own.levels[0].axes == ("t", "z", "y", "x")
    for resample in (False, True):
        with pytest.raises(UsageError, match="several times"):
            image.label_map(segmentation=own, resample=resample)
    with pytest.raises(UsageError, match="several times"):
        own.label_map()


def test_slices_that_say_to_be_thicker_are_none_of_the_image(opened: Opener) -> None:
    series, coarse = volume(), replace(AXIAL, step=(0.0, 0.0, 5.0))
    other, masks = other_grid(coarse, (3, 16, 20))
    segmentation = segmented(ascending(other, coarse), masks)
    refer_to(segmentation, series)
    image = dicomzarr.open(serve(opened, series, segmentation))
    url = url_of(opened, segmentation)
    with pytest.raises(UsageError, match="lies on another grid"):
        image.label_map(segmentation=url)
    with pytest.raises(UsageError, match=r"\d of \d frames of segment 1 lie on no image"):
        image.label_map()
    found = image.label_map(resample=True).values
    assert np.array_equal(found, image.label_map(segmentation=url, resample=True).values)
    assert found.any(axis=(1, 2)).all()  # also between the slices


def test_a_segmentation_that_reaches_beyond_the_image_is_cut_only_on_request(opened: Opener) -> None:
    series, masks = volume(), apart(2)
    segmentation = segmented(ascending(series, AXIAL), masks)
    lowest = series_of(ascending(series, AXIAL)[:3])
    image = dicomzarr.open(serve(opened, lowest, segmentation))
    url = url_of(opened, segmentation)
    with pytest.raises(UsageError, match="lies on another grid"):
        image.label_map(segmentation=url)
    assert np.array_equal(image.label_map(segmentation=url, resample=True).values, (masks[0] + 2 * masks[1])[:3])


def other_grid(grid: Grid, shape: Sequence[int], *, reference: str = "") -> tuple[RadiologySeries, Any]:
    """A series on another grid in the frame of reference and the study of the image, and masks on it."""
    other = volume(grid, distinct(tuple(shape)), name="other")
    ours = volume().datasets[0]
    for dataset in other.datasets:
        dataset.StudyInstanceUID = ours.StudyInstanceUID
        dataset.FrameOfReferenceUID = reference or ours.FrameOfReferenceUID
    return other, apart(2, tuple(shape))


FINER = replace(AXIAL, spacing=(0.45, 0.35), step=(0.0, 0.0, 1.1), origin=(-99.9, -119.7, 39.6))
TURNED = replace(
    OBLIQUE, spacing=(0.9, 0.7), origin=(AXIAL.origin[0] + 1.0, AXIAL.origin[1] + 2.0, AXIAL.origin[2] + 1.0)
)


@pytest.mark.parametrize(("grid", "shape"), [(FINER, (9, 30, 28)), (TURNED, (6, 16, 20))], ids=["finer", "turned"])
def test_segments_of_another_grid_are_looked_up_as_simpleitk_does(
    opened: Opener, grid: Grid, shape: tuple[int, ...]
) -> None:
    other, masks = other_grid(grid, shape)
    segmentation = segmented(ascending(other, grid), masks)
    image = dicomzarr.open(serve(opened, volume(), segmentation))
    url = url_of(opened, segmentation)
    with pytest.raises(UsageError, match="lies on another grid"):
        image.label_map(segmentation=url)
    found = image.label_map(segmentation=url, resample=True)
    theirs = SimpleITK.GetImageFromArray(np.tensordot([1, 2], masks, 1).astype(np.uint8))
    affine = grid.affine
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    theirs.SetOrigin(affine[:3, 3].tolist())
    theirs.SetSpacing(steps.tolist())
    theirs.SetDirection((affine[:3, :3] / steps).reshape(-1).tolist())
    expected = SimpleITK.Resample(theirs, image.to_sitk(), SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor, 0)
    assert np.array_equal(found.values, SimpleITK.GetArrayFromImage(expected))
    assert found.values.any()
    assert np.array_equal(image.label_map(segmentation=dicomzarr.open(url), resample=True).values, found.values)


def test_segmentations_of_the_study_on_other_grids_are_found_on_request(opened: Opener) -> None:
    series = volume()
    other, masks = other_grid(FINER, (9, 30, 28))
    elsewhere = segmented(ascending(other, FINER), masks, name="elsewhere")
    refer_to(elsewhere, series)
    here = segmented(ascending(series, AXIAL), apart(3)[2:], name="here")
    url = serve(opened, series, elsewhere, here)
    image = dicomzarr.open(url)
    assert sorted(image.label_map().names) == [1]
    assert any("is no label" in notice for notice in image.label_map().notices)
    found = image.label_map(resample=True, overlap="last")
    assert len(found.names) == 3
    alone = image.label_map(segmentation=url_of(opened, elsewhere), resample=True)
    assert alone.values.any()


def test_what_cannot_be_looked_up_is_said_and_the_rest_is_there(opened: Opener) -> None:
    series = volume()
    sources = ascending(series, AXIAL)
    here = segmented(sources, apart(3)[:1], name="here")
    other, masks = other_grid(FINER, (9, 30, 28))
    partly = segmented(ascending(other, FINER), masks, name="partly")
    partly.dataset.SeriesInstanceUID = here.dataset.SeriesInstanceUID
    fractional = segmented(
        sources, random_masks((1, *SHAPE)), kind=SegmentationTypeValues.FRACTIONAL, name="fractional",
        fractional_type="PROBABILITY", max_fractional_value=1,
    )  # fmt: skip
    foreign, more = other_grid(FINER, (9, 30, 28), reference=generate_uid(entropy_srcs=["foreign"]))
    elsewhere = segmented(ascending(foreign, FINER), more, name="foreign")
    for each in (partly, elsewhere):
        refer_to(each, series)
    image = dicomzarr.open(serve(opened, series, here, partly, fractional, elsewhere))
    found = image.label_map(resample=True, overlap="last")
    assert len(found.names) == 1 + len(masks)  # also of an instance whose series has another one on the grid
    assert sum("was left out" in notice for notice in found.notices) == 2
    for why in ("is fractional", "is in another frame of reference"):
        assert sum("was left out" in notice and why in notice for notice in found.notices) == 1
    assert image.label_map().names == {1: "Liver"}


def refer_to(segmentation: Segmented, series: RadiologySeries) -> None:
    """Have a segmentation say that it was made of this series."""
    (item,) = segmentation.dataset.ReferencedSeriesSequence
    item.SeriesInstanceUID = series.series_uid


def test_another_frame_of_reference_is_refused(opened: Opener) -> None:
    other, masks = other_grid(FINER, (9, 30, 28), reference=generate_uid(entropy_srcs=["another"]))
    segmentation = segmented(ascending(other, FINER), masks)
    image = dicomzarr.open(serve(opened, volume(), segmentation))
    with pytest.raises(UsageError, match="another frame of reference"):
        image.label_map(segmentation=url_of(opened, segmentation), resample=True)


def test_what_is_no_segmentation_and_what_has_none_is_refused(opened: Opener) -> None:
    image = opened(volume())
    with pytest.raises(UsageError, match="No segmentation in the study"):
        image.label_map()
    with pytest.raises(UsageError, match="is no segmentation"):
        image.label_map(segmentation=image.series_url)
    fractional = segmented(
        ascending(volume(), AXIAL), random_masks((1, *SHAPE)), kind=SegmentationTypeValues.FRACTIONAL,
        fractional_type="PROBABILITY", max_fractional_value=1,
    )  # fmt: skip
    server = opened.serve([fractional.dataset])
    with pytest.raises(UsageError, match="is fractional"):
        image.label_map(segmentation=server.series_url(fractional.study, fractional.series))
    with pytest.raises(UsageError, match="not evenly spaced"):
        opened(uneven([0, 2.5, 5, 10, 17.5], distinct(SHAPE))).label_map()
