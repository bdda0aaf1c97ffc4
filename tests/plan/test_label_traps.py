"""Segmentations that invite a wrong guess: several in one series, beyond the image, elsewhere, sparse or broken."""

from __future__ import annotations

import copy
import functools
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from highdicom.seg import SegmentationTypeValues
from opened import group_at
from pydicom.datadict import tag_for_keyword
from pydicom.uid import ComputedRadiographyImageStorage, generate_uid
from radiology_model import AXIAL, distinct, series_of
from radiology_multiframe import enhanced_volume
from radiology_opened import Opener, affine_of, axes_of, pixels_of, shows, units_of
from radiology_traps import paint, twin
from segmentable import CT, SHAPE, SOURCES, slices
from segmentations import IDENTIFIED, LABELS, random_masks, segmented, segmented_slide
from slides_codecs import RGB
from slides_instances import Identity, Level, full_instance
from slides_pixels import noisy_color

import dicomzarr
from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydicom import Dataset
    from radiology_model import Pixels
    from segmentations import Mask

    from dicomzarr.arrays.image import Image

LABELMAP, FRACTIONAL = SegmentationTypeValues.LABELMAP, SegmentationTypeValues.FRACTIONAL

MASK_NAME, MAP_NAME = re.compile(r"[0-9a-f]{8}-[1-9][0-9]*"), re.compile(r"[0-9a-f]{8}")


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens series from servers in this process."""
    with Opener() as opener:
        yield opener


def open_own(opened: Opener, *datasets: Dataset, **options: Any) -> Image:
    """Segmentations of one series as an image of their own."""
    return opened(series_of(datasets, shuffled=False), **options)


def open_labelled(opened: Opener, *datasets: Dataset, images: Sequence[Dataset] = SOURCES, **options: Any) -> Image:
    """The image that was segmented, with its labels."""
    server = opened.serve([*images, *datasets])
    return dicomzarr.open(server.series_url(CT.study_uid, CT.series_uid), labels=True, **options)


def masks_on(places: Sequence[int], seed: int = 0) -> Mask:
    """One mask, (1, z, y, x), with something on these slices alone."""
    masks = np.zeros((1, *SHAPE), np.uint8)
    masks[0, list(places)] = random_masks((len(places), *SHAPE[1:]), seed)
    return masks


def labelled(masks: Mask, label: str, instance: str, *, series: str = "masks") -> Dataset:
    """An instance with one segment of this label; those of one series have its UID in common."""
    dataset = segmented(SOURCES, masks, name=series).dataset
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[series, instance])
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.SegmentSequence[0].SegmentLabel = label
    return dataset


def notice_of(image: Image, dataset: Dataset) -> str:
    """The only notice that names the series of a segmentation, without its UID."""
    uid = str(dataset.SeriesInstanceUID)
    (notice,) = (notice for notice in image.notices if uid in notice)
    return notice.replace(uid, "")


def shows_ct(image: Image) -> bool:
    """Whether an image is the CT and nothing else."""
    return len(image.images) == 1 and shows(image, "zyx", distinct(SHAPE))


# --- several segmentations in one series

PAIRS: dict[str, tuple[tuple[str, Mask], tuple[str, Mask]]] = {
    "apart": (("Liver", masks_on([0, 1])), ("Tumor", masks_on([2, 3], 1))),
    "overlapping": (("Liver", masks_on([0, 1, 2])), ("Tumor", masks_on([1, 2, 3], 1))),
    "the same mask": (("Liver", masks_on(range(5))), ("Tumor", masks_on(range(5)))),
    "two readers": (("Tumor", masks_on([1, 2])), ("Tumor", masks_on([2, 3], 1))),
}
"""Label and mask of two instances, each the first segment of its own."""


@functools.cache
def written(pair: str) -> list[Dataset]:
    return [labelled(masks, label, str(number)) for number, (label, masks) in enumerate(PAIRS[pair])]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("pair", PAIRS)
def test_instances_of_one_series_are_images_of_their_own(opened: Opener, pair: str, *, backwards: bool) -> None:
    image = open_own(opened, *written(pair)[:: -1 if backwards else 1])
    expected = [(label, masks[0][masks[0].any((1, 2))].tobytes()) for label, masks in PAIRS[pair]]
    found = [(one.channels[0].label, pixels_of(one).tobytes()) for one in image.images]
    assert sorted(found) == sorted(expected)
    assert all(axes_of(one) == "zyx" for one in image.images)


@pytest.mark.parametrize("pair", PAIRS)
def test_instances_of_one_series_are_labels_of_their_own(opened: Opener, pair: str) -> None:
    image = open_labelled(opened, *written(pair)[::-1])
    assert shows_ct(image)
    assert all(map(MASK_NAME.fullmatch, image.labels))
    found = [(one.segments[0].label, one.segments[0].number, pixels_of(one).tobytes()) for one in image.labels.values()]
    assert sorted(found) == sorted((label, 1, masks[0].tobytes()) for label, masks in PAIRS[pair])
    assert image.notices == ()


def test_labels_of_one_series_are_apart_for_zarr_too(opened: Opener) -> None:
    image = open_labelled(opened, *written("apart"))
    group = group_at(image.url, storage_options={"labels": True})
    names = group["labels"].attrs["ome"]["labels"]
    assert sorted(names) == sorted(image.labels)
    assert len(set(names)) == 2
    for name in names:
        (told,) = group[f"labels/{name}"].attrs["ome"]["image-label"]["properties"]
        assert np.array_equal(group[f"labels/{name}/0"][...], dict(PAIRS["apart"])[told["name"]][0])


# --- segments that do not fit


def test_a_segment_that_reaches_beyond_the_image_is_said_and_the_others_are_labels(opened: Opener) -> None:
    whole = slices(7)
    masks = np.zeros((2, 7, *SHAPE[1:]), np.uint8)
    masks[0, 1:4], masks[1, 3:6] = random_masks((2, 3, *SHAPE[1:]))
    found = segmented(whole, masks, name="beyond").dataset
    image = open_labelled(opened, found, images=whole[:5])
    ((name, label),) = image.labels.items()
    assert name.endswith("-1")
    assert [segment.label for segment in label.segments] == [LABELS[0]]
    assert np.array_equal(pixels_of(label), masks[0, :5])
    assert re.search(r"\bsegment 2\b", notice_of(image, found))


def test_a_segment_that_reaches_beyond_two_images_at_one_place_is_a_label_of_neither(opened: Opener) -> None:
    whole = slices(7)
    masks = np.zeros((1, 7, *SHAPE[1:]), np.uint8)
    masks[0, 3:6] = random_masks((3, *SHAPE[1:]))  # two of three frames lie on both images, the last on none
    found = segmented(whole, masks, name="beyond both").dataset
    inverted = [twin(dataset, str(dataset.FrameOfReferenceUID)) for dataset in whole[:5]]
    for dataset in inverted:
        dataset.PhotometricInterpretation = "MONOCHROME1"
    image = open_labelled(opened, found, images=[*whole[:5], *inverted])
    assert [len(one.labels) for one in image.images] == [0, 0]
    assert re.search(r"\bsegment 1\b", notice_of(image, found))


def test_a_segmentation_in_another_space_is_no_label(opened: Opener) -> None:
    found = segmented(SOURCES, random_masks((1, *SHAPE)), name="elsewhere").dataset
    found.FrameOfReferenceUID = "1.2.3.4"
    image = open_labelled(opened, found)
    assert shows_ct(image)
    assert not image.labels
    assert "label" in notice_of(image, found)


def test_of_images_in_two_spaces_that_of_the_segmentation_has_the_label(opened: Opener) -> None:
    found = segmented(SOURCES, random_masks((1, *SHAPE)), name="one of two").dataset
    twins = [twin(dataset, "1.2.3.4") for dataset in SOURCES]
    image = open_labelled(opened, found, images=[*twins, *SOURCES])
    right = {str(dataset.SOPInstanceUID) for dataset in SOURCES}
    assert len(image.images) == 2
    for one in image.images:
        uids = one.plan.levels[0].attributes.sop_instance_uids
        assert len(one.labels) == (set(uids) == right)
    assert not [notice for notice in image.notices if str(found.SeriesInstanceUID) in notice]


# --- times


def test_labels_of_one_time_lie_over_all_and_that_is_said(opened: Opener) -> None:
    later = copy.deepcopy(SOURCES)
    for time, datasets in enumerate((earlier := copy.deepcopy(SOURCES), later), 1):
        for dataset in datasets:
            dataset.TemporalPositionIdentifier = time
    for dataset in later:
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=["later", str(dataset.SOPInstanceUID)])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.InstanceNumber += 100
    masks = random_masks((1, *SHAPE))
    found = segmented(later, masks, name="of one time").dataset
    image = open_labelled(opened, found, images=[*earlier, *later])
    assert axes_of(image) == "tzyx"
    ((_, label),) = image.labels.items()
    assert np.array_equal(pixels_of(label), masks[0])
    assert "lies over all 2 times" in notice_of(image, found)
    assert any("lies over all 2 times" in notice for notice in image.label_map().notices)


# --- grids that are almost the same


def _with_wider_columns(part: float) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        down, across = map(float, measures.PixelSpacing)
        measures.PixelSpacing = [down, round(across * (1 + part), 9)]

    return change


def _with_higher_rows(part: float) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        down, across = map(float, measures.PixelSpacing)
        measures.PixelSpacing = [round(down * (1 + part), 9), across]

    return change


def _turned(angle: float, axis: int) -> Callable[[Dataset], None]:
    """Turned about the axis along columns (1) or along the normal (2), with cosines of six digits."""

    def change(dataset: Dataset) -> None:
        cos, sin = round(float(np.cos(angle)), 6), round(float(np.sin(angle)), 6)
        cosines = [cos, 0, sin, 0, 1, 0] if axis == 1 else [cos, sin, 0, -sin, cos, 0]
        dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = cosines

    return change


@pytest.mark.parametrize(
    ("change", "same"),
    [  # of 34 columns of 0.6 mm, 30 rows of 0.8 mm and slices of 2.5 mm: what the last pixel is off
        (_with_wider_columns(0.001), True),  # 33 x 0.001 = 0.033 columns
        (_with_wider_columns(0.002), False),  # 0.066 columns
        (_with_wider_columns(-0.002), False),
        (_with_higher_rows(0.001), True),  # 29 x 0.001 = 0.029 rows
        (_with_higher_rows(0.003), False),  # 0.087 rows
        (_turned(0.0001, 2), True),
        (_turned(0.004, 2), False),  # 33 x 0.6 x 0.004 / 0.8 = 0.099 rows
        (_turned(0.004, 1), True),  # 33 x 0.6 x 0.004 / 2.5 = 0.03 slices
        (_turned(0.01, 1), False),  # 0.08 slices
    ],
)
def test_a_segmentation_is_on_the_grid_where_its_last_pixel_is_too(
    opened: Opener,
    change: Callable[[Dataset], None],
    same: bool,  # noqa: FBT001  # a parameter
) -> None:
    masks = random_masks((1, *SHAPE))
    dataset = segmented(SOURCES, masks, name="drifting").dataset
    change(dataset)
    image = open_labelled(opened, dataset)
    assert [pixels_of(label).tobytes() for label in image.labels.values()] == [masks[0].tobytes()] * same
    if not same:
        assert re.search(r"is no label: 5 of 5 frames .* up to 0\.\d+ voxels beside it", notice_of(image, dataset))


def two_levels() -> tuple[list[Dataset], Dataset, Mask]:
    """A slide of two levels, a mask of the second one, and the same as an array."""
    finest = Level(noisy_color(5, 192, 256), (32, 32), codec=RGB, spacing=(0.0005, 0.0005))
    coarse = Level(noisy_color(6, 96, 128), (32, 32), codec=RGB, spacing=(0.001, 0.001))
    kinds = ("ORIGINAL", "PRIMARY", "VOLUME", "NONE"), ("DERIVED", "PRIMARY", "VOLUME", "RESAMPLED")
    slide = [
        full_instance(Identity("two levels", number, kind), level)
        for number, (level, kind) in enumerate(zip((finest, coarse), kinds, strict=True), 1)
    ]
    for each in slide:
        for keyword, value in IDENTIFIED.items():
            setattr(each, keyword, value)
        each.ContainerIdentifier = "1"
    masks = random_masks((1, 1, 96, 128))
    found = segmented([slide[1]], masks, tile_pixel_array=True, tile_size=(32, 32))
    return slide, copy.deepcopy(found.dataset), masks  # it has items in common with the slide


def labels_of_slide(opened: Opener, slide: list[Dataset], dataset: Dataset, **options: Any) -> Image:
    server = opened.serve([*slide, dataset])
    url = server.series_url(str(slide[0].StudyInstanceUID), str(slide[0].SeriesInstanceUID))
    return dicomzarr.open(url, labels=True, **options)


def move(dataset: Dataset, pixels: float) -> None:
    """Move a matrix along its columns by so many pixels of 1 micrometre."""
    (origin,) = dataset.TotalPixelMatrixOriginSequence
    origin.XOffsetInSlideCoordinateSystem = round(float(origin.XOffsetInSlideCoordinateSystem) + 0.001 * pixels, 9)


@pytest.mark.parametrize(("pixels", "same"), [(0, True), (0.01, True), (-0.3, False), (0.5, False), (0.9, False)])
def test_a_matrix_that_lies_part_of_a_pixel_beside_a_level_is_no_label_of_it(
    opened: Opener,
    pixels: float,
    same: bool,  # noqa: FBT001  # a parameter
) -> None:
    slide, dataset, masks = two_levels()
    move(dataset, pixels)
    image = labels_of_slide(opened, slide, dataset)
    assert [pixels_of(label).tobytes() for label in image.labels.values()] == [masks[0, 0].tobytes()] * same
    if not same:
        assert f"lies up to {abs(pixels):.2g} pixels beside" in notice_of(image, dataset)


@pytest.mark.parametrize(("part", "same"), [(0.001, True), (0.003, False)])
def test_pixels_of_a_matrix_that_are_larger_lie_elsewhere_at_its_end(
    opened: Opener,
    part: float,
    same: bool,  # noqa: FBT001  # a parameter
) -> None:
    slide, dataset, _ = two_levels()
    _with_wider_columns(part)(dataset)  # of 128: 0.127 or 0.38 at the last
    image = labels_of_slide(opened, slide, dataset)
    assert len(image.labels) == same


def test_a_matrix_lies_where_the_header_of_its_own_level_says(opened: Opener) -> None:
    slide, dataset, masks = two_levels()
    for each in (slide[1], dataset):
        move(each, 0.4)  # levels whose origins differ by less than a pixel are one pyramid
    image = labels_of_slide(opened, slide, dataset)
    assert len(image.levels) == 2
    ((_, label),) = image.labels.items()
    assert np.array_equal(pixels_of(label), masks[0, 0])


def test_a_matrix_of_a_level_that_the_slide_lacks_begins_at_a_corner_or_a_centre(opened: Opener) -> None:
    finest = Level(noisy_color(5, 1536, 2048), (512, 512), codec=RGB, spacing=(0.0005, 0.0005))
    reduced = Level(noisy_color(6, 768, 1024), (512, 512), codec=RGB, spacing=(0.001, 0.001))
    slide, source = (full_instance(Identity("virtual", number), each) for number, each in enumerate((finest, reduced)))
    for each in (slide, source):
        for keyword, value in IDENTIFIED.items():
            setattr(each, keyword, value)
        each.ContainerIdentifier = "1"
    dataset = segmented([source], random_masks((1, 1, 768, 1024)), tile_pixel_array=True, tile_size=(256, 256)).dataset
    (origin,) = dataset.TotalPixelMatrixOriginSequence
    corner = (20.0, 40.0)
    for away, same in ((0.0, True), (0.00025, True), (0.0005, False)):  # half a difference of 0.5 and 1 micrometre
        # Columns run along -Y and rows along -X.
        origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = (at - away for at in corner)
        image = labels_of_slide(opened, [slide], dataset, virtual_levels=True)
        assert image.levels[1].shape[-2:] == (768, 1024)
        assert len(image.labels) == same


@pytest.mark.parametrize("whose", ["finest", "own", "another"])
def test_a_segmentation_of_a_slide_is_in_the_frame_of_reference_of_a_level(opened: Opener, whose: str) -> None:
    slide, dataset, _ = two_levels()
    slide[1].FrameOfReferenceUID = "1.2.3.4"  # as wsi2dcm writes
    dataset.FrameOfReferenceUID = {"finest": slide[0].FrameOfReferenceUID, "own": "1.2.3.4"}.get(whose, "1.2.3.5")
    image = labels_of_slide(opened, slide, dataset)
    assert len(image.levels) == 2
    assert len(image.labels) == (whose != "another")
    if whose == "another":
        assert "another frame of reference" in notice_of(image, dataset)


# --- segmentations that name no series


@pytest.mark.parametrize("same_space", [True, False])
@pytest.mark.parametrize("others", [True, False])
def test_a_segmentation_that_names_no_series_is_said_where_it_lies_in_the_same_space(
    opened: Opener,
    same_space: bool,  # noqa: FBT001  # a parameter
    others: bool,  # noqa: FBT001  # likewise
) -> None:
    masks = random_masks((1, *SHAPE))
    found = segmented(SOURCES, masks, name="of nothing").dataset
    del found.ReferencedSeriesSequence
    for groups in found.PerFrameFunctionalGroupsSequence:
        del groups.DerivationImageSequence
    if not same_space:
        found.FrameOfReferenceUID = "1.2.3.4"
    sound = [segmented(SOURCES, random_masks((2, *SHAPE)), name="sound").dataset] * others
    image = open_labelled(opened, found, *sound)
    assert len(image.labels) == 2 * others
    if same_space:
        assert "no ReferencedSeriesSequence" in notice_of(image, found)
        assert np.array_equal(image.label_map(segmentation=open_own(opened, found)).values, masks[0])
    else:
        assert image.notices == ()


# --- names


def named(series: str, label: str, masks: Mask) -> Dataset:
    """A segmentation whose series has this UID."""
    dataset = labelled(masks, label, "only", series=f"named {series}")
    dataset.SeriesInstanceUID = series
    return dataset


def test_a_label_keeps_its_name_whatever_comes_to_the_study(opened: Opener) -> None:
    first = named("2.25.500", "Liver", random_masks((1, *SHAPE)))
    before = open_labelled(opened, first)
    ((name, label),) = before.labels.items()
    pixels = pixels_of(label)
    others = [named("2.25.4", "Tumor", masks_on([1])), named("2.25.900", "Heart", masks_on([2]))]
    after = open_labelled(opened, *others, first)
    assert len(after.labels) == 3
    assert name in after.labels
    assert after.labels[name].segments == label.segments
    assert np.array_equal(pixels_of(after.labels[name]), pixels)
    assert np.array_equal(pixels, random_masks((1, *SHAPE))[0])


def test_names_of_labels_are_a_few_digits_and_the_number_of_a_segment(opened: Opener) -> None:
    masks = segmented(SOURCES, random_masks((3, *SHAPE)), name="masks").dataset
    numbers = np.random.default_rng(2).integers(0, 4, SHAPE).astype(np.uint8)
    label_map = segmented(SOURCES, numbers, kind=LABELMAP, name="label map").dataset
    labels = open_labelled(opened, masks, label_map).labels
    of_masks = sorted(filter(MASK_NAME.fullmatch, labels))
    (of_map,) = filter(MAP_NAME.fullmatch, labels)
    assert len(labels) == 4
    assert [name.partition("-")[2] for name in of_masks] == ["1", "2", "3"]
    assert len({name.partition("-")[0] for name in of_masks} | {of_map}) == 2
    assert np.array_equal(pixels_of(labels[of_map]), numbers)
    uids = [str(uid) for each in (masks, label_map) for uid in (each.SOPInstanceUID, each.SeriesInstanceUID)]
    assert not [uid for uid in uids if uid in " ".join(labels)]


# --- values of what was left out


def test_parts_of_one_are_zero_where_frames_were_left_out(opened: Opener) -> None:
    parts = np.zeros((2, *SHAPE), np.float32)
    parts[0, 1], parts[1, 3] = 0.5, 0.25
    found = segmented(SOURCES, parts, kind=FRACTIONAL, max_fractional_value=255, name="parts").dataset
    assert int(found.NumberOfFrames) == 2
    image = open_own(opened, found, values="modality")
    expected = np.rint(parts[:, 1:4] * 255) / 255
    assert image.levels[0].dtype == np.float32
    assert np.allclose(pixels_of(image), expected, rtol=1e-6, atol=0)
    array = group_at(image.url, storage_options={"values": "modality"})["0"]
    assert array.fill_value == 0
    assert np.allclose(array[...], expected, rtol=1e-6, atol=0)
    assert np.allclose(image.to_xarray()["0"]["image"].to_numpy(), expected, rtol=1e-6, atol=0)


def test_a_slice_that_was_left_out_of_a_coloured_label_map_has_the_colour_of_padding(opened: Opener) -> None:
    numbers = np.random.default_rng(3).integers(1, 4, SHAPE).astype(np.uint8)
    numbers[2] = 0
    found = segmented(SOURCES, numbers, kind=LABELMAP, count=3, name="coloured").dataset
    assert int(found.NumberOfFrames) == 4
    palette = distinct((256, 3), bits=8)
    assert palette[5].any()
    paint(found, palette)
    found.PixelPaddingValue = 5
    image = open_own(opened, found, values="color")
    shown = numbers.copy()
    shown[2] = 5
    assert shows(image, "czyx", np.moveaxis(palette[shown], -1, 0))
    array = group_at(image.url, storage_options={"values": "color"})["0"]
    assert np.array_equal(array[...], pixels_of(image))


def test_a_tile_that_was_left_out_of_a_label_map_of_a_slide_is_padding(opened: Opener) -> None:
    slide, _ = segmented_slide()
    numbers = np.random.default_rng(3).integers(1, 4, (1, 96, 128)).astype(np.uint8)
    numbers[:, 32:64, 64:96] = 0
    found = segmented([slide], numbers, kind=LABELMAP, count=3, tile_pixel_array=True, tile_size=(32, 32)).dataset
    assert int(found.NumberOfFrames) == 11
    palette = distinct((256, 3), bits=8)
    paint(found, palette)
    found.PixelPaddingValue = 5
    shown = numbers[0].copy()
    shown[32:64, 64:96] = 5
    own = open_own(opened, found)
    assert np.array_equal(pixels_of(own), shown)
    assert np.array_equal(group_at(own.url)["0"][...], shown)
    colored = open_own(opened, found, values="color")
    assert np.array_equal(pixels_of(colored), np.moveaxis(palette[shown], -1, 0))
    server = opened.serve([slide, found])
    image = dicomzarr.open(server.series_url(found.StudyInstanceUID, str(slide.SeriesInstanceUID)), labels=True)
    (label,) = image.labels.values()
    assert np.array_equal(pixels_of(label), shown)


def test_masks_are_zeros_and_ones_whatever_the_header_says_of_fractions(opened: Opener) -> None:
    masks = random_masks((2, *SHAPE))
    found = segmented(SOURCES, masks, name="no fractions").dataset
    found.MaximumFractionalValue = 255
    image = open_own(opened, found, values="modality")
    assert set(np.unique(pixels_of(image))) == {0, 1}
    assert np.array_equal(pixels_of(image), masks)


# --- frames that do not say which segment they show


def forget_segments(dataset: Dataset, frames: slice = slice(None)) -> None:
    """Take the Segment Identification Sequence from frames, in the shared functional groups too."""
    dataset.SharedFunctionalGroupsSequence[0].pop("SegmentIdentificationSequence", None)
    for groups in list(dataset.PerFrameFunctionalGroupsSequence)[frames]:
        groups.pop("SegmentIdentificationSequence", None)


@pytest.mark.parametrize("number", [1, 7, 300])
def test_frames_that_name_no_segment_show_the_only_one_and_that_is_said(opened: Opener, number: int) -> None:
    masks = random_masks((1, *SHAPE))
    dataset = segmented(SOURCES, masks, name="nameless").dataset
    dataset.SegmentSequence[0].SegmentNumber = number
    forget_segments(dataset)
    image = open_labelled(opened, dataset)
    ((name, label),) = image.labels.items()
    assert name.endswith(f"-{number}")
    assert [segment.label for segment in label.segments] == [LABELS[0]]
    assert np.array_equal(pixels_of(label), masks[0].astype(int) * number)
    assert "taken to show it" in notice_of(image, dataset)
    found = image.label_map()
    assert np.array_equal(found.values, masks[0].astype(int) * number)
    own = open_own(opened, dataset)
    assert [channel.label for channel in own.channels] == [LABELS[0]]
    assert any("taken to show it" in notice for notice in own.notices)


def test_frames_that_may_show_any_of_several_segments_are_no_label(opened: Opener) -> None:
    dataset = segmented(SOURCES, random_masks((2, *SHAPE)), name="nameless two").dataset
    forget_segments(dataset)
    image = open_labelled(opened, dataset)
    assert not image.labels
    assert any("is no label: 10 frames" in notice and "name no segment" in notice for notice in image.notices)
    with pytest.raises(UsageError, match="do not name the segment"):
        open_own(opened, dataset).label_map()


def test_of_frames_some_of_which_name_their_segment_these_are_a_label(opened: Opener) -> None:
    masks = random_masks((2, *SHAPE))
    dataset = segmented(SOURCES, masks, name="half nameless").dataset
    assert {str(each.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
            for each in list(dataset.PerFrameFunctionalGroupsSequence)[5:]} == {"2"}  # fmt: skip
    forget_segments(dataset, slice(5, None))
    image = open_labelled(opened, dataset)
    ((_, label),) = image.labels.items()
    assert np.array_equal(pixels_of(label), masks[0])
    assert any("is no label: 5 frames" in notice for notice in image.notices)
    own = open_own(opened, dataset)
    assert [channel.label for channel in own.channels] == ["unknown segment", LABELS[0]]
    assert np.array_equal(pixels_of(own), masks[::-1])


def test_a_segment_of_number_0_is_no_label_of_zeros(opened: Opener) -> None:
    masks = random_masks((2, *SHAPE))
    dataset = segmented(SOURCES, masks, name="from 0").dataset
    for each in dataset.SegmentSequence:
        each.SegmentNumber -= 1
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber -= 1
    image = open_labelled(opened, dataset)
    ((_, label),) = image.labels.items()
    assert [segment.label for segment in label.segments] == [LABELS[1]]
    assert np.array_equal(pixels_of(label), masks[1])
    assert "segment 0" in notice_of(image, dataset)


def test_tiles_that_name_no_segment_show_the_only_one(opened: Opener) -> None:
    slide, found = segmented_slide()
    segmentation = found.dataset
    one = segmented([slide], found.masks[:1], tile_pixel_array=True, tile_size=(32, 32)).dataset
    forget_segments(one)
    server = opened.serve([slide, one])
    image = dicomzarr.open(server.series_url(slide.StudyInstanceUID, slide.SeriesInstanceUID), labels=True)
    ((_, label),) = image.labels.items()
    assert np.array_equal(pixels_of(label), found.masks[0, 0])
    assert "taken to show it" in notice_of(image, one)
    forget_segments(segmentation)
    server = opened.serve([slide, segmentation])
    image = dicomzarr.open(server.series_url(slide.StudyInstanceUID, slide.SeriesInstanceUID), labels=True)
    assert not image.labels
    assert any("is no label" in notice for notice in image.notices)


# --- frames that nothing places


def unplaced(
    kind: str, indices: str, *, second: Sequence[int] = (3, 4, 5)
) -> tuple[Dataset, dict[tuple[int, int], Any]]:
    """Segment 1 on frames 1 to 3 of a cine and segment 2 on others: the dataset, and pixels by (segment, frame).

    Args:
        kind: BINARY or FRACTIONAL.
        indices: What the Dimension Index Sequence points to beside segments: a keyword, or nothing.
        second: Frames that show segment 2, from 1.
    """
    masks = np.zeros((2, *SHAPE), np.uint8)
    masks[0, :3] = random_masks((3, *SHAPE[1:]))
    masks[1, [frame - 1 for frame in second]] = random_masks((len(second), *SHAPE[1:]), 1)
    kinds = {"kind": FRACTIONAL, "max_fractional_value": 1} if kind == "FRACTIONAL" else {}
    dataset = segmented(SOURCES, masks, name="unplaced", **kinds).dataset
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for name in ("PlaneOrientationSequence", "PixelMeasuresSequence"):
        shared.pop(name, None)
    pointers = dataset.DimensionIndexSequence
    if indices:
        pointers[1].DimensionIndexPointer = tag_for_keyword(indices)
    else:
        dataset.DimensionIndexSequence = pointers[:1]
    shown = {}
    for groups, pixels in zip(dataset.PerFrameFunctionalGroupsSequence, dataset.pixel_array, strict=True):
        z = float(groups.PlanePositionSequence[0].ImagePositionPatient[2])
        frame = 1 + int(np.argmin([abs(AXIAL.position(place)[2] - z) for place in range(SHAPE[0])]))
        number = int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        del groups.PlanePositionSequence
        groups.FrameContentSequence[0].DimensionIndexValues = [number, frame] if indices else number
        shown[number, frame] = pixels
    return dataset, shown


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
@pytest.mark.parametrize(
    ("indices", "axis"),
    [
        ("ReferencedFrameNumber", "t"),
        ("ReferencedSOPInstanceUID", "t"),
        ("TemporalPositionIndex", "t"),
        ("ImagePositionPatient", "z"),
        ("InStackPositionNumber", "z"),
    ],
)
@pytest.mark.parametrize("second", [(3, 4, 5), (1, 2, 3), (2,), (1, 2, 3, 4, 5)], ids=str)
def test_segments_of_frames_without_places_are_the_channels(
    opened: Opener, kind: str, indices: str, axis: str, second: tuple[int, ...]
) -> None:
    dataset, shown = unplaced(kind, indices, second=second)
    image = open_own(opened, dataset)
    frames = sorted({frame for _, frame in shown})
    assert [channel.label for channel in image.channels] == list(LABELS[:2])
    found = np.moveaxis(pixels_of(image), axes_of(image).index("c"), 0)
    assert axes_of(image).replace("c", "") == f"{axis}yx"
    blank = np.zeros(SHAPE[1:])
    for number in (1, 2):
        expected = [shown.get((number, frame), blank) for frame in frames]
        assert np.array_equal(found[number - 1], expected)
    assert image.notices == ()


def test_frames_of_segments_that_nothing_counts_are_channels_of_a_sequence(opened: Opener) -> None:
    dataset, shown = unplaced("BINARY", "")
    image = open_own(opened, dataset)
    assert axes_of(image) == "tcyx"
    assert [channel.label for channel in image.channels] == list(LABELS[:2])
    pixels = pixels_of(image)
    for place, (number, _) in enumerate(shown):
        assert np.array_equal(pixels[place, number - 1], dataset.pixel_array[place])
        assert not pixels[place, 2 - number].any()
    assert any("which frames of segments belong together" in notice for notice in image.notices)


def test_what_else_tells_frames_apart_is_never_a_channel_of_segments(opened: Opener) -> None:
    dataset, shown = unplaced("BINARY", "EchoTime")
    images = open_own(opened, dataset).images
    found = [
        (one.channels[place].label, plane.tobytes())
        for one in images
        for place, plane in enumerate(pixels_of(one).reshape(-1, *SHAPE[1:]))
        if plane.any()
    ]
    assert all(len({channel.label for channel in one.channels}) == len(one.channels) for one in images)
    assert sorted(found) == sorted((LABELS[number - 1], pixels.tobytes()) for (number, _), pixels in shown.items())


# --- frames that name what they were derived from, and no place of their own


def forget_places(dataset: Dataset) -> Dataset:
    """Take all that places frames, so that DerivationImageSequence alone says where they lie."""
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        groups.pop("PlanePositionSequence", None)
    for name in ("PlaneOrientationSequence", "PlanePositionSequence"):
        dataset.SharedFunctionalGroupsSequence[0].pop(name, None)
    return dataset


def derived(masks: Mask, name: str, **more: Any) -> Dataset:
    """A segmentation of the CT whose frames have no place."""
    return forget_places(segmented(SOURCES, masks, name=name, **more).dataset)


def sources_of(dataset: Dataset) -> Iterator[Dataset]:
    """The item of what each frame was derived from."""
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        yield groups.DerivationImageSequence[0].SourceImageSequence[0]


def as_radiographs(images: Sequence[Dataset]) -> list[Dataset]:
    """The slices as if they were pictures that nothing places."""
    pictures = copy.deepcopy(list(images))
    for picture in pictures:
        picture.Modality, picture.SOPClassUID = "CR", ComputedRadiographyImageStorage
        picture.file_meta.MediaStorageSOPClassUID = picture.SOPClassUID
        for name in ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient"):
            delattr(picture, name)
    return pictures


def test_frames_without_a_place_lie_on_those_that_they_were_derived_from(opened: Opener) -> None:
    masks = np.concatenate([masks_on([1, 3]), masks_on([0, 4], 1)])
    found = derived(masks, "derived")
    image = open_labelled(opened, found)
    assert shows_ct(image)
    shown = {label.segments[0].number: pixels_of(label) for label in image.labels.values()}
    assert shown.keys() == {1, 2}
    for number, mask in enumerate(masks, 1):
        assert np.array_equal(shown[number], mask.astype(int) * number)
    assert "derived from (DerivationImageSequence)" in notice_of(image, found)
    assert np.array_equal(image.label_map(overlap="first").values > 0, masks.any(axis=0))


def test_a_label_map_without_places_lies_on_what_it_was_derived_from(opened: Opener) -> None:
    numbers = np.random.default_rng(4).integers(0, 4, SHAPE).astype(np.uint8)
    numbers[2] = 0
    image = open_labelled(opened, derived(numbers, "derived map", kind=LABELMAP))
    ((_, label),) = image.labels.items()
    assert np.array_equal(pixels_of(label), numbers)


def _with_pixels_moved(dataset: Dataset) -> None:
    for source in sources_of(dataset):
        source.SpatialLocationsPreserved = "NO"


def _with_larger_pixels(dataset: Dataset) -> None:
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.PixelSpacing = [2 * float(size) for size in measures.PixelSpacing]


def _of_other_instances(dataset: Dataset) -> None:
    for source in sources_of(dataset):
        source.ReferencedSOPInstanceUID = "1.2.3.4"


@pytest.mark.parametrize("change", [_with_pixels_moved, _with_larger_pixels, _of_other_instances])
def test_what_was_derived_from_other_pixels_is_no_label(opened: Opener, change: Callable[[Dataset], None]) -> None:
    found = derived(masks_on([1, 3]), "derived otherwise")
    change(found)
    image = open_labelled(opened, found)
    assert shows_ct(image)
    assert not image.labels
    assert "2 of 2 frames of segment 1 lie on no image's grid" in notice_of(image, found)


def test_segments_of_pictures_without_a_place_are_labels_of_the_picture_that_they_name(opened: Opener) -> None:
    pictures = as_radiographs(SOURCES)
    masks = masks_on([1, 3])
    found = derived(masks, "of radiographs")
    del found.FrameOfReferenceUID
    image = open_labelled(opened, found, images=pictures)
    assert len(image.images) == len(pictures)
    places = {str(picture.SOPInstanceUID): place for place, picture in enumerate(pictures)}
    for one in image.images:
        (uid,) = one.plan.levels[0].attributes.sop_instance_uids
        labels = [pixels_of(label) for label in one.labels.values()]
        assert len(labels) == (places[uid] in {1, 3})
        assert all(np.array_equal(label, masks[0, places[uid]]) for label in labels)


@pytest.mark.parametrize(("numbers", "count"), [([3], 1), ([], 0), ([9], 0)], ids=str)
def test_a_segment_of_one_slice_of_many_in_an_instance_lies_on_that_slice(
    opened: Opener, numbers: list[int], count: int
) -> None:
    several = enhanced_volume(distinct(SHAPE), AXIAL)
    (stored,) = several.datasets
    third = stored.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0].ImagePositionPatient
    place = int(np.argmin([abs(AXIAL.position(place)[2] - float(third[2])) for place in range(SHAPE[0])]))
    masks = masks_on([1])
    found = copy.deepcopy(derived(masks, "of one frame"))  # which shares elements with what was segmented
    for source in sources_of(found):
        source.ReferencedSOPInstanceUID = stored.SOPInstanceUID
        source.pop("ReferencedFrameNumber", None)
        if numbers:
            source.ReferencedFrameNumber = numbers
    del found.FrameOfReferenceUID
    found.StudyInstanceUID = stored.StudyInstanceUID
    found.ReferencedSeriesSequence[0].SeriesInstanceUID = stored.SeriesInstanceUID
    server = opened.serve([stored, found])
    image = dicomzarr.open(server.series_url(several.study_uid, several.series_uid), labels=True)
    assert len(image.labels) == count
    for label in image.labels.values():
        expected = np.zeros(SHAPE, np.uint8)
        expected[place] = masks[0, 1]
        assert np.array_equal(pixels_of(label), expected)


@pytest.mark.parametrize("places", [True, False])
def test_a_segmentation_that_names_no_series_is_of_that_whose_instances_it_names(
    opened: Opener,
    places: bool,  # noqa: FBT001  # a parameter
) -> None:
    masks = masks_on([1, 3])
    found = segmented(SOURCES, masks, name="of instances").dataset
    del found.ReferencedSeriesSequence
    if not places:
        del forget_places(found).FrameOfReferenceUID
    image = open_labelled(opened, found)
    ((_, label),) = image.labels.items()
    assert np.array_equal(pixels_of(label), masks[0])
    assert np.array_equal(image.label_map().values, masks[0])


# --- slices that are not evenly spaced


def test_segments_lie_on_slices_that_are_not_evenly_spaced(opened: Opener) -> None:
    images = copy.deepcopy(SOURCES)
    for dataset, distance in zip(images, (0, 2.5, 4.1, 9, 11.3), strict=True):
        x, y, z = AXIAL.position(0)
        dataset.ImagePositionPatient = [x, y, z + distance]
    masks = masks_on([1, 3])
    found = segmented(images, masks, name="uneven").dataset
    image = open_labelled(opened, found, images=images)
    assert image.affine is None
    assert image.plan.attributes.plane_affine is not None
    ((name, label),) = image.labels.items()
    assert np.array_equal(pixels_of(label), masks[0])
    assert not [notice for notice in image.notices if str(found.SeriesInstanceUID) in notice]
    told = group_at(image.url, storage_options={"labels": True})[f"labels/{name}"].attrs["dicomzarr"]
    assert told["plane_affine"] == [list(row) for row in image.plan.attributes.plane_affine]
    assert told["coordinates"]["z"]["values"] == image.plan.attributes.coordinates["z"].values
    tree = image.to_xarray()
    assert np.array_equal(tree[f"labels/{name}/0"]["z"], tree["0"]["z"])
    moved = found.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    x, y, z = map(float, moved.ImagePositionPatient)
    moved.ImagePositionPatient = [x, y, z + 0.2]  # an eighth of the least step
    image = open_labelled(opened, found, images=images)
    assert not image.labels
    assert "1 of 2 frames of segment 1 lie on no image's grid" in notice_of(image, found)


# --- places of what is there


def test_sparse_slices_that_are_not_above_each_other_are_on_no_grid(opened: Opener) -> None:
    masks = masks_on([0, 2, 4])
    found = segmented(SOURCES, masks, name="shifted").dataset
    straight = open_own(opened, found)
    assert np.array_equal(pixels_of(straight), masks[0])
    assert np.allclose(affine_of(straight), AXIAL.affine, atol=1e-6)
    (moved,) = (
        frame.PlanePositionSequence[0]
        for frame in found.PerFrameFunctionalGroupsSequence
        if float(frame.PlanePositionSequence[0].ImagePositionPatient[2]) == AXIAL.position(2)[2]
    )
    x, y, z = map(float, moved.ImagePositionPatient)
    moved.ImagePositionPatient = [x + 10, y, z]
    image = open_own(opened, found)
    assert image.affine is None
    assert units_of(image)["z"] is None
    pixels: Pixels = pixels_of(image)
    assert np.array_equal(pixels[pixels.any((1, 2))], masks[0, [0, 2, 4]])
    assert any("slice" in notice for notice in image.notices)


# --- what is broken


def _without_number(dataset: Dataset) -> None:
    dataset.SegmentSequence[0].SegmentNumber = None


def _of_unknown_kind(dataset: Dataset) -> None:
    dataset.SegmentationType = "CONTOUR"


def _with_two_frames_at_one_place(dataset: Dataset) -> None:
    frames = dataset.PerFrameFunctionalGroupsSequence
    frames[1].PlanePositionSequence = copy.deepcopy(frames[0].PlanePositionSequence)


def _with_too_few_places(dataset: Dataset) -> None:
    del dataset.PerFrameFunctionalGroupsSequence[-1]


def _without_columns(dataset: Dataset) -> None:
    del dataset.Columns


@pytest.mark.parametrize(
    "damage",
    [_without_number, _of_unknown_kind, _with_two_frames_at_one_place, _with_too_few_places, _without_columns],
)
def test_a_broken_segmentation_breaks_no_image(opened: Opener, damage: Callable[[Dataset], None]) -> None:
    broken = segmented(SOURCES, random_masks((1, *SHAPE)), name="broken").dataset
    damage(broken)
    sound = segmented(SOURCES, random_masks((2, *SHAPE)), name="sound").dataset
    image = open_labelled(opened, broken, sound)
    assert shows_ct(image)
    assert sorted(name.partition("-")[2] for name in image.labels) == ["1", "2"]
    assert all(broken.SeriesInstanceUID in notice for notice in image.notices)
    assert "is no label" in image.notices[0]


def test_a_segmentation_that_contradicts_itself_is_no_label_with_any_segment(opened: Opener) -> None:
    found = segmented(SOURCES, random_masks((2, *SHAPE)), name="contradictory").dataset
    *_, before, last = found.PerFrameFunctionalGroupsSequence
    assert int(last.SegmentIdentificationSequence[0].ReferencedSegmentNumber) == 2
    last.PlanePositionSequence = copy.deepcopy(before.PlanePositionSequence)
    image = open_labelled(opened, found)
    assert not image.labels
    assert "one segment at one place" in notice_of(image, found)


def test_the_background_that_a_label_map_describes_covers_nothing(opened: Opener) -> None:
    numbers = np.random.default_rng(3).integers(0, 4, SHAPE).astype(np.uint8)
    found = segmented(SOURCES, numbers, kind=LABELMAP, count=3, name="described").dataset
    assert [int(item.SegmentNumber) for item in found.SegmentSequence] == [0, 1, 2, 3]  # as highdicom writes it
    image = open_labelled(opened, found)
    (name,) = image.labels
    described = group_at(image.url, storage_options={"labels": True})[f"labels/{name}"].attrs["ome"]["image-label"]
    assert {color["label-value"]: color["rgba"][3] for color in described["colors"]} == {0: 0, 1: 255, 2: 255, 3: 255}


@pytest.mark.parametrize(("padding", "clear"), [(3, {3}), (9, {9}), (0, {0})])
def test_the_background_is_clear_whatever_its_number_and_whether_it_has_a_colour(
    opened: Opener, padding: int, clear: set[int]
) -> None:
    numbers = np.random.default_rng(3).integers(0, 4, SHAPE).astype(np.uint8)
    found = segmented(SOURCES, numbers, kind=LABELMAP, count=3, name="padded").dataset
    found.PixelPaddingValue = padding
    for item in found.SegmentSequence:
        item.pop("RecommendedDisplayCIELabValue", None)
    image = open_labelled(opened, found)
    (name,) = image.labels
    described = group_at(image.url, storage_options={"labels": True})[f"labels/{name}"].attrs["ome"]["image-label"]
    assert {color["label-value"] for color in described["colors"] if not color["rgba"][3]} == clear | {0}
