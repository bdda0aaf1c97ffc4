"""Which instances become which level, channel, plane and image; and what is refused rather than guessed."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scans import classic, shots
from serving import serving
from slides import TestSlide, brightfield_pyramid, concatenation, fluorescence_focal_stack, sparse_brightfield
from slides_codecs import GRAY
from slides_fluorescence import CHANNELS, RESAMPLED, channels_in_instances
from slides_instances import Identity, Level, OpticalPath, full_instance, sparse_instance
from slides_pixels import noisy_color, noisy_gray, shrink
from waiting import BUSY

import dicomzarr
from dicomzarr.dicom.model.instances import decode_instances
from dicomzarr.dicom.series import parse_series
from dicomzarr.dicom.slide import pyramid
from dicomzarr.errors import UnsupportedTransferSyntaxError
from dicomzarr.omezarr.attributes import dicomzarr_attributes
from dicomzarr.plan import Axis, ImagePlan, LevelPlan, plan_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydicom import Dataset

    from dicomzarr import Image
    from dicomzarr.plan import SeriesPlan

    Change = Callable[[list[dict[str, Any]]], None]

SPACING = (0.0005, 0.0005)
IMAGE_TYPE, LABEL_IN_IMAGE, PATHS, PATH_COUNT = "00080008", "00480010", "00480105", "00480302"
PLANE_COUNT, PER_FRAME, ORIENTATION, PHOTOMETRIC = "00480303", "52009230", "00480102", "00280004"
SYNTAX, PART_2 = "00083002", "1.2.840.10008.1.2.4.92"
MATRIX_ROWS, MATRIX_COLUMNS, FRAMES, PART, OFFSET = "00480007", "00480006", "00280008", "00209162", "00209228"


def slide_of(*datasets: Dataset) -> TestSlide:
    return TestSlide("grouping", datasets, ())


@contextmanager
def opened(*datasets: Dataset) -> Iterator[Image]:
    with serving(slide_of(*datasets)) as served:
        yield dicomzarr.open(served.url)


def planned(datasets: Sequence[Dataset], change: Change | None = None) -> SeriesPlan:
    slide = slide_of(*datasets)
    body = json.loads(slide.metadata_json())
    if change:
        change(body)
    plan = plan_images(parse_series(decode_instances(json.dumps(body).encode()), slide.study_uid, slide.series_uid))
    assert (len(plan.images) > 1) == any(f"holds {len(plan.images)} images: " in notice for notice in plan.notices)
    return plan


def gray(seed: int, channels: int = 1, **fields: Any) -> Level:
    level = Level(noisy_gray(seed, (channels, 1, 64, 64), 8), (32, 32), SPACING, GRAY, 8, CHANNELS[:channels])
    return replace(level, **fields)


# --- focal planes ---


def test_planes_without_a_distance_are_told_apart() -> None:
    slide = fluorescence_focal_stack()
    for dataset in slide.datasets:
        del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    with opened(*slide.datasets) as image:
        assert (image.levels[0][...] == slide.levels[0].pixels).all()
        assert image.axes[1].name == "z"
        assert image.axes[1].unit is None
        assert any("how far" in notice for notice in image.notices)


def test_descending_planes_keep_their_order_and_sign() -> None:
    slide = fluorescence_focal_stack()
    for dataset in slide.datasets:
        dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices = "-0.0015"
    with opened(*slide.datasets) as image:
        assert (image.levels[0][...] == slide.levels[0].pixels).all()
        assert image.levels[0].scale[1] == 1.5
        assert image.affine is not None
        assert (np.array(image.affine) @ [0, 0, 1, 1])[2] - image.affine[2][3] == pytest.approx(-0.0015)


def test_heights_of_focus_are_no_axis() -> None:
    level = gray(1, tile=(16, 16))
    dataset = sparse_instance(Identity("heights", 1), level, level.tiles())
    for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        group.PlanePositionSlideSequence[0].ZOffsetInSlideCoordinateSystem = str(round(0.00001 * number, 6))
    with opened(dataset) as image:
        assert (image.levels[0][...] == level.pixels[0, 0]).all()
        assert any("heights" in notice for notice in image.notices)


def test_channels_focused_at_their_own_height_share_a_plane() -> None:
    full = noisy_gray(1, (3, 1, 64, 64), 8)
    datasets = []
    for number in range(3):
        level = gray(1, pixels=full[number : number + 1], paths=CHANNELS[number : number + 1])
        datasets.append(full_instance(Identity("focus", number + 1), level))
        datasets[-1].TotalPixelMatrixOriginSequence[0].ZOffsetInSlideCoordinateSystem = str(0.0005 * number)
    with opened(*datasets) as image:
        assert image.levels[0].axes == ("c", "y", "x")
        assert (image.levels[0][...] == full[:, 0]).all()


# --- channels ---


@pytest.mark.parametrize("split", [False, True])
def test_channels_mean_the_same_in_every_level(split: bool) -> None:  # noqa: FBT001  # a parameter of pytest
    paths = (OpticalPath("TRITC", "r", 572.0), OpticalPath("FITC", "g", 519.0), OpticalPath("DAPI", "b", 461.0))
    fine = gray(1, paths=paths, pixels=noisy_gray(1, (3, 1, 64, 64), 8))
    coarse = replace(fine, pixels=shrink(fine.pixels, 32, 32), spacing=(0.001, 0.001))
    if split:
        datasets = [
            full_instance(
                Identity("order", number + 1),
                replace(fine, pixels=fine.pixels[number : number + 1], paths=paths[number : number + 1]),
            )
            for number in range(3)
        ]
    else:
        datasets = [full_instance(Identity("order", 1), fine)]
        coarse = replace(coarse, pixels=coarse.pixels[::-1], paths=paths[::-1])
    datasets.append(full_instance(Identity("order", 9, RESAMPLED), coarse))
    with opened(*datasets) as image:
        assert len(image.levels) == 2
        first, second = (level[...] for level in image.levels)
        order = [[path.description for path in paths].index(channel.label) for channel in image.channels]
        assert (first == fine.pixels[order, 0]).all()
        assert (second == shrink(fine.pixels, 32, 32)[order, 0]).all()


@pytest.mark.parametrize("alike", ["empty", "equal", "null"])
def test_optical_paths_that_read_alike_are_still_channels(alike: str) -> None:
    def change(body: list[dict[str, Any]]) -> None:
        items = body[0][PATHS]["Value"]
        second = {"empty": {}, "equal": dict(items[0]), "null": None}[alike]
        body[0][PATHS]["Value"] = [{} if alike == "empty" else items[0], second]

    plan = planned([full_instance(Identity("alike", 1), gray(1, 2))], change)
    assert plan.images[0].levels[0].shape == (2, 64, 64)
    frames = [plan.images[0].levels[0].frames.locate((path, 0, 0)) for path in range(2)]
    assert [frame.number for frame in frames if frame] == [1, 5]


def test_the_shared_groups_name_the_only_path() -> None:
    level = gray(1, pixels=noisy_gray(1, (1, 3, 64, 64), 8), paths=CHANNELS[1:2], z=(0, 0.001, 0.002))

    def change(body: list[dict[str, Any]]) -> None:
        body[0].pop(PATH_COUNT, None)
        own = body[0][PATHS]["Value"][0]
        others = [{**own, "00480106": {"vr": "SH", "Value": [name]}} for name in ("A", "B")]
        body[0][PATHS]["Value"] = [others[0], own, others[1]]

    (image,) = planned([full_instance(Identity("shared path", 1), level)], change).images
    assert image.levels[0].shape == (3, 64, 64)
    assert [axis.name for axis in image.axes] == ["z", "y", "x"]


# --- what is not said is not invented ---


def without(*tags: str) -> Change:
    def change(body: list[dict[str, Any]]) -> None:
        for tag in tags:
            body[0].pop(tag, None)

    return change


def bulk_data(body: list[dict[str, Any]]) -> None:
    body[0][PER_FRAME] = {"vr": "SQ", "BulkDataURI": "../bulk/52009230"}


@pytest.mark.parametrize("change", [without(PER_FRAME), bulk_data], ids=["dropped", "bulk data"])
def test_sparse_tiles_without_positions_are_a_list(change: Change) -> None:
    complete = sparse_brightfield().datasets[1]
    (image,) = listed(planned([complete], change), "no position")
    assert image.levels[0].shape[0] == int(complete.NumberOfFrames)
    assert dicomzarr_attributes(image)["coordinates"] == {}


def test_paths_and_planes_that_nothing_names_are_a_list() -> None:
    plan = planned([full_instance(Identity("unnamed", 1), gray(1, 3))], without(PATHS, PATH_COUNT, PLANE_COUNT))
    (image,) = listed(plan, "focal planes or optical paths")
    assert image.levels[0].shape == (12, 32, 32)


def test_tiles_of_no_matrix_are_a_list() -> None:
    dataset = full_instance(Identity("no matrix", 1), gray(1))
    (image,) = listed(planned([dataset], without(MATRIX_ROWS, MATRIX_COLUMNS, PLANE_COUNT)), "TotalPixelMatrix")
    assert image.levels[0].shape == (4, 32, 32)
    assert [frame_of(image, number) for number in range(4)] == [(str(dataset.SOPInstanceUID), n) for n in (1, 2, 3, 4)]


def listed(plan: SeriesPlan, reason: str) -> tuple[ImagePlan, ...]:
    """The images of a plan: all are lists of tiles, and a notice says why."""
    assert {image.name.rpartition(": ")[2] for image in plan.images} == {"list of tiles"}
    assert all(image.affine is None and image.axes[0] == Axis("t", "time") for image in plan.images)
    assert any("list of tiles, none of which is placed" in notice and reason in notice for notice in plan.notices)
    return plan.images


def frame_of(image: ImagePlan, place: int) -> tuple[str, int]:
    """(SOP Instance UID, frame number) of a tile of a list."""
    ref = image.levels[0].frames.locate((place,) + (0,) * (len(image.axes) - 1))
    assert ref is not None
    return ref.instance.sop_instance_uid, ref.number


def set_value(tag: str, value: Any, part: int | None = None) -> Change:
    def change(body: list[dict[str, Any]]) -> None:
        for instance in body:
            if part is None or instance[PART]["Value"] == [part]:
                instance[tag] = {"vr": "UL", "Value": [value]}

    return change


@pytest.mark.parametrize(
    ("tag", "value", "part"),
    [("00280100", 16, 2), ("00280010", 64, 2), (MATRIX_ROWS, 900, 3), ("00280002", 1, 3), (OFFSET, -1, 1)],
)
def test_parts_of_a_concatenation_that_contradict_each_other_are_lists(tag: str, value: int, part: int) -> None:
    datasets = concatenation().datasets
    images = listed(planned(datasets, set_value(tag, value, part)), "concatenation")
    assert len(images) == (1 if tag == OFFSET else 3)
    ordered = sorted(datasets, key=lambda dataset: int(dataset.InConcatenationNumber))
    expected = {(str(each.SOPInstanceUID), n) for each in ordered for n in range(1, int(each.NumberOfFrames) + 1)}
    found = [frame_of(image, place) for image in images for place in range(image.levels[0].shape[0])]
    assert set(found) == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize("value", [2**31, 2**16])
def test_a_hostile_count_of_planes_is_a_list_at_once(value: int) -> None:
    listed(planned([full_instance(Identity("hostile", 1), gray(1))], set_value(PLANE_COUNT, value)), "")


@pytest.mark.parametrize("value", [2**31, 2**16])
def test_a_hostile_count_of_paths_counts_for_nothing(value: int) -> None:
    dataset = full_instance(Identity("hostile", 1), gray(1))
    plan = planned([dataset], set_value(PATH_COUNT, value))
    (image,) = plan.images
    assert image.levels[0].shape == (dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns)
    assert any("not as many as NumberOfOpticalPaths" in notice for notice in plan.notices)


@pytest.mark.parametrize("tag", [PATH_COUNT, PLANE_COUNT])
def test_hostile_counts_with_as_many_frames_are_a_list_at_once(tag: str) -> None:
    def change(body: list[dict[str, Any]]) -> None:
        for each in (tag, FRAMES):
            set_value(each, 2**31 - 1)(body)

    change_all = [without(PATHS), change]
    (image,) = listed(
        planned([full_instance(Identity("hostile", 1), gray(1))], lambda body: [each(body) for each in change_all]), ""
    )
    assert image.levels[0].shape[0] == 2**31 - 1


def test_a_hostile_matrix_is_a_list_at_once() -> None:
    level = gray(1)
    dataset = sparse_instance(Identity("hostile matrix", 1), level, level.tiles())
    (image,) = listed(planned([dataset], set_value(MATRIX_ROWS, 2**31)), "more than any slide has")
    places = [(1, 1, 0.0), (33, 1, 0.0), (1, 33, 0.0), (33, 33, 0.0)]
    assert dicomzarr_attributes(image)["coordinates"] == {"position": {"axis": "t", "values": places}}


@pytest.mark.parametrize("size", [[0], [], [2**62], ["many"]])
def test_a_matrix_of_no_size_ends_where_its_tiles_end(size: list[Any]) -> None:
    level = gray(1)
    sparse = sparse_instance(Identity("matrix of no size", 1), level, level.tiles())

    def change(body: list[dict[str, Any]]) -> None:
        body[0][MATRIX_ROWS]["Value"] = size

    (image,) = planned([sparse], change).images
    assert image.levels[0].shape == planned([sparse]).images[0].levels[0].shape == (64, 64)
    assert any("end where its tiles end" in notice for notice in planned([sparse], change).notices)
    full = full_instance(Identity("matrix of no size", 2), level)
    listed(planned([full], change), "nothing says how they lie")


def test_lists_come_after_the_pyramids_and_labels_stay_hidden() -> None:
    datasets = brightfield_pyramid().datasets

    def change(body: list[dict[str, Any]]) -> None:
        for instance in body:
            if "LABEL" in instance[IMAGE_TYPE]["Value"] or instance["00200013"]["Value"] == [2]:
                set_value(FRAMES, 2)([instance])

    plan = planned(datasets, change)
    assert [image.name for image in plan.images] == ["slide", "slide 2 of 2: list of tiles"]
    assert not any("label" in name for name, _ in plan.associated)
    labels = {str(dataset.SOPInstanceUID) for dataset in datasets if "LABEL" in dataset.ImageType}
    shown = {str(uid) for image in plan.images for level in image.levels for uid in uids_of(level)}
    assert not labels & shown


def uids_of(level: LevelPlan) -> Sequence[str]:
    uids = level.attributes.sop_instance_uids
    return list(map(str, uids))


@pytest.mark.slow
def test_a_list_of_many_tiles_opens_fast() -> None:
    count = 200_000
    uid = "1.2.3"
    groups = [
        {
            "0048021A": {
                "vr": "SQ",
                "Value": [{"0048021E": {"vr": "SL", "Value": [7 * k + 2]}, "0048021F": {"vr": "SL", "Value": [3]}}],
            }
        }
        for k in range(count)
    ]
    body = json.loads(slide_of(full_instance(Identity("many", 1), gray(1))).metadata_json())
    body[0][PER_FRAME] = {"vr": "SQ", "Value": groups}
    body[0]["00209311"] = {"vr": "CS", "Value": ["TILED_SPARSE"]}
    body[0][FRAMES] = {"vr": "IS", "Value": [count]}
    body[0]["0020000D"] = body[0]["0020000E"] = {"vr": "UI", "Value": [uid]}
    series = parse_series(decode_instances(json.dumps(body).encode()), uid, uid)
    begin = time.process_time()
    (image,) = plan_images(series).images
    assert time.process_time() - begin < 2 * BUSY
    assert dicomzarr_attributes(image)["coordinates"]["position"]["values"][-1] == (7 * (count - 1) + 2, 3, 0.0)


# --- scans and pyramids ---


def scan(seed: int, rows: int, columns: int, numbers: tuple[int, int], frame_of_reference: str) -> list[Dataset]:
    fine = Level(noisy_color(seed, rows, columns), (32, 32))
    coarse = replace(fine, pixels=shrink(fine.pixels, rows // 2, columns // 2), spacing=(0.001, 0.001))
    datasets = [
        full_instance(Identity("scans", numbers[0]), fine),
        full_instance(Identity("scans", numbers[1], RESAMPLED), coarse),
    ]
    for dataset in datasets:
        dataset.FrameOfReferenceUID = frame_of_reference
    return datasets


@pytest.mark.parametrize(
    ("size", "numbers", "origin"),
    [((80, 100), ((1, 4), (2, 3)), True), ((78, 98), ((1, 2), (3, 4)), True), ((60, 90), ((1, 2), (3, 4)), False)],
    ids=["same size", "almost the same size", "no origin"],
)
def test_two_scans_in_a_series_are_not_mixed(
    size: tuple[int, int],
    numbers: tuple[tuple[int, int], tuple[int, int]],
    origin: bool,  # noqa: FBT001  # a parameter of pytest
) -> None:
    one = scan(1, 80, 100, numbers[0], "1.2.3.1")
    other = scan(2, *size, numbers[1], "1.2.3.2")
    if not origin:
        for dataset in (*one, *other):
            del dataset.TotalPixelMatrixOriginSequence
    images = planned([*one, *other]).images
    found = [[list(level.attributes.sop_instance_uids) for level in image.levels] for image in images]
    assert sorted(found) == sorted([[[str(each.SOPInstanceUID)] for each in both] for both in (one, other)])


@pytest.mark.parametrize(
    ("keyword", "value", "why"),
    [
        ("PyramidUID", "1.2.3", "they differ in PyramidUID."),
        ("ExtendedDepthOfField", "YES", "they differ in extended depth of field."),
        ("PhotometricInterpretation", "MONOCHROME1", "they differ in kind of pixels."),
        ("InstanceNumber", "2", "are alike, as two scans are."),
    ],
)
def test_why_a_slide_is_several_images_is_said(keyword: str, value: str, why: str) -> None:
    datasets = [full_instance(Identity("why several", number), gray(1)) for number in (1, 2)]
    setattr(datasets[1], keyword, value)
    (notice,) = planned(datasets).notices
    assert notice.startswith("The series holds 2 images: ")
    assert notice.endswith(why)


def test_a_level_that_may_belong_to_two_scans_is_named() -> None:
    one, other = scan(1, 80, 100, (1, 2), "1.2.3.1"), scan(2, 80, 100, (3, 4), "1.2.3.2")
    for dataset in (*one, *other):
        del dataset.FrameOfReferenceUID
    plan = planned([*one, *other])
    assert len(plan.images) > 2
    assert f"nothing tells to which of them instance {one[1].SOPInstanceUID} belongs" in plan.notices[0]


def test_many_scans_alike_are_not_compared_each_with_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of one place would take minutes."""
    datasets = [full_instance(Identity("alike", number), gray(1)) for number in range(1, 41)]
    compared: list[str] = []

    def counting(name: str) -> Callable[..., bool]:
        function = getattr(pyramid, name)
        return lambda *args, **options: compared.append(name) or function(*args, **options)

    for name in ("is_coarser", "same_spacing", "may_be_one_pyramid"):
        monkeypatch.setattr(pyramid, name, counting(name))
    plan = planned(datasets)
    assert [len(image.levels) for image in plan.images] == [1] * 40
    assert len(compared) < 5 * 40  # of 780 pairs


def test_levels_with_a_frame_of_reference_each_are_one_pyramid() -> None:
    datasets = scan(1, 80, 100, (1, 2), "1.2.3.1")
    datasets[1].FrameOfReferenceUID = "1.2.3.2"
    assert [len(image.levels) for image in planned(datasets).images] == [2]


def test_channels_that_do_not_lie_on_one_another_are_not_joined() -> None:
    datasets = [
        full_instance(Identity("apart", number + 1), gray(1, paths=CHANNELS[number : number + 1]))
        for number in range(2)
    ]
    origin = datasets[1].TotalPixelMatrixOriginSequence[0]
    origin.XOffsetInSlideCoordinateSystem = str(float(origin.XOffsetInSlideCoordinateSystem) + 15 * SPACING[1])
    assert [image.levels[0].shape for image in planned(datasets).images] == [(64, 64), (64, 64)]


def test_a_level_that_begins_elsewhere_says_so() -> None:
    datasets = scan(1, 80, 100, (1, 2), "1.2.3.1")
    origin = datasets[1].TotalPixelMatrixOriginSequence[0]
    # Columns run along -Y: 15 fine pixels later along x.
    origin.YOffsetInSlideCoordinateSystem = str(float(origin.YOffsetInSlideCoordinateSystem) - 15 * SPACING[1])
    (image,) = planned(datasets).images
    assert image.levels[1].translation == pytest.approx((0, 0.25, 0.25 + 7.5))


# --- geometry ---


def test_an_affine_without_an_origin_is_flagged() -> None:
    dataset = full_instance(Identity("no origin", 1), gray(1))
    del dataset.TotalPixelMatrixOriginSequence
    (image,) = planned([dataset]).images
    assert dicomzarr_attributes(image)["affine_origin_known"] is False
    assert image.affine is not None


def test_directions_that_are_none_give_no_affine() -> None:
    plan = planned(
        [full_instance(Identity("no directions", 1), gray(1))],
        lambda body: body[0].update({ORIENTATION: {"vr": "DS", "Value": [0] * 6}}),
    )
    assert plan.images[0].affine is None
    assert any("ImageOrientationSlide" in notice for notice in plan.notices)


# --- how values are meant ---


def test_monochrome1_is_shown_inverted_and_kept_apart() -> None:
    datasets = [
        full_instance(Identity("inverted", number + 1), gray(1, paths=CHANNELS[number : number + 1]))
        for number in range(2)
    ]
    datasets[0].PhotometricInterpretation = "MONOCHROME1"
    images = planned(datasets).images
    assert [image.channels[0].inverted for image in images] == [True, False]


def test_palette_indices_are_announced() -> None:
    plan = planned(
        [full_instance(Identity("palette", 1), gray(1))],
        lambda body: body[0].update({PHOTOMETRIC: {"vr": "CS", "Value": ["PALETTE COLOR"]}}),
    )
    assert any("palette" in notice for notice in plan.notices)


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.92", "1.3.46.670589.33.1.4.1"])
def test_a_syntax_that_the_metadata_names_and_nobody_decodes_is_an_error_at_open(uid: str) -> None:
    with pytest.raises(UnsupportedTransferSyntaxError, match=uid.replace(".", r"\.")) as caught:
        planned([full_instance(Identity("video", 1), gray(1))], set_value("00083002", uid))
    assert caught.value.uid == uid


# --- labels and broken associated images ---


def with_type(name: str, change: Callable[[dict[str, Any]], None]) -> Change:
    def apply(body: list[dict[str, Any]]) -> None:
        for instance in body:
            if name in instance[IMAGE_TYPE]["Value"]:
                change(instance)

    return apply


LABELS: dict[str, tuple[Change, list[str]]] = {
    "an overview that shows it": (
        with_type("OVERVIEW", lambda item: item.update({LABEL_IN_IMAGE: {"vr": "CS", "Value": ["YES"]}})),
        ["thumbnail"],
    ),
    "in another place of ImageType": (
        with_type("LABEL", lambda item: item[IMAGE_TYPE].update({"Value": ["ORIGINAL", "PRIMARY", None, "LABEL"]})),
        ["overview", "thumbnail"],
    ),
    "by SpecimenLabelInImage alone": (
        with_type(
            "LABEL", lambda item: (item.pop(IMAGE_TYPE), item.update({LABEL_IN_IMAGE: {"vr": "CS", "Value": ["YES"]}}))
        ),
        ["overview", "thumbnail"],
    ),
}


@pytest.mark.parametrize("case", LABELS)
def test_whatever_shows_the_label_is_left_out(case: str) -> None:
    change, shown = LABELS[case]
    plan = planned(brightfield_pyramid().datasets, change)
    assert len(plan.images) == 1
    assert [name for name, _ in plan.associated] == shown
    assert any("label" in notice for notice in plan.notices)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"00280002": {"vr": "US", "Value": [4]}}, "pixels of 4 samples cannot be read"),
        ({MATRIX_ROWS: {"vr": "UL", "Value": [5000]}}, "associated image was left out"),
        ({SYNTAX: {"vr": "UI", "Value": [PART_2]}}, "associated image was left out"),
    ],
)
def test_a_broken_overview_does_not_close_the_slide(broken: dict[str, Any], said: str) -> None:
    plan = planned(brightfield_pyramid().datasets, with_type("OVERVIEW", lambda item: item.update(broken)))
    assert len(plan.images[0].levels) == 4
    assert [name for name, _ in plan.associated] == ["thumbnail"]
    assert any(said in notice for notice in plan.notices)


def test_a_level_that_cannot_be_decoded_has_its_place() -> None:
    datasets = brightfield_pyramid().datasets
    change = with_type("RESAMPLED", lambda item: item.update({SYNTAX: {"vr": "UI", "Value": [PART_2]}}))
    plan = planned(datasets, change)
    assert [level.shape for level in plan.images[0].levels] == [
        level.shape for level in planned(datasets).images[0].levels
    ]
    assert any("3 of 4 instances cannot be decoded; reading them raises" in notice for notice in plan.notices)


def test_what_is_not_of_a_slide_is_planned_as_what_it_is() -> None:
    pictures = classic(shots(1, 1, 2), "CT", RescaleSlope=3, RescaleIntercept=-5).instances
    datasets = brightfield_pyramid().datasets
    slide = slide_of(*datasets)
    for item in pictures:
        for uid in ("0020000D", "0020000E"):
            item[uid] = slide.metadata()[0][uid]
    alone = planned(datasets)
    plan = planned(datasets, lambda body: body.insert(1, pictures[0]) or body.append(pictures[1]))
    assert [image.name for image in plan.images] == ["slide", "CT"]
    assert [level.shape for level in plan.images[0].levels] == [level.shape for level in alone.images[0].levels]
    assert dicomzarr_attributes(plan.images[1])["rescale"] == {"slope": 3.0, "intercept": -5.0}
    assert [name for name, _ in plan.associated] == [name for name, _ in alone.associated]


@pytest.mark.parametrize(("tag", "value"), [("00200013", "NaN"), ("00200013", "first")])
def test_what_only_orders_instances_may_be_nonsense(tag: str, value: str) -> None:
    plan = planned([full_instance(Identity("nonsense", 1), gray(1))], set_value(tag, value))
    assert plan.images[0].levels[0].shape == (64, 64)


# --- names and places that contradict each other ---


def _named(number: int, identifier: str, description: str = "") -> Change:
    def change(metadata: list[dict[str, Any]]) -> None:
        (path,) = metadata[number][PATHS]["Value"]
        path["00480106"] = {"vr": "SH", "Value": [identifier]}
        path["00480107"] = {"vr": "ST", "Value": [description]}

    return change


@pytest.mark.parametrize(("description", "images"), [("", 1), ("polarized", 2)])
def test_a_colour_slide_may_name_its_only_path_anew_for_each_level(description: str, images: int) -> None:
    slide = brightfield_pyramid()
    whole = len(planned(slide.datasets).images[0].levels)

    def change(metadata: list[dict[str, Any]]) -> None:
        for number, instance in enumerate(metadata):
            if "VOLUME" in instance[IMAGE_TYPE]["Value"]:
                _named(number, str(number), description if number == 1 else "")(metadata)

    plan = planned(slide.datasets, change)
    assert len(plan.images) == images
    if images == 1:
        levels = plan.images[0].levels
        assert len(levels) == whole
        assert all(level.frames.locate((0, 0, 0)) is not None for level in levels)


def test_positions_that_contradict_the_order_of_tiles_are_said() -> None:
    slide = sparse_brightfield()
    matrix = (2 * slide.datasets[0].Rows, 2 * slide.datasets[0].Columns)

    def change(metadata: list[dict[str, Any]], *, swapped: bool = True) -> None:
        first = metadata[0]
        del metadata[1:]
        first["00209311"] = {"vr": "CS", "Value": ["TILED_FULL"]}
        first[MATRIX_ROWS], first[MATRIX_COLUMNS] = ({"vr": "UL", "Value": [size]} for size in matrix)
        first[FRAMES] = {"vr": "IS", "Value": [4]}
        groups = first[PER_FRAME]["Value"][:4]
        first[PER_FRAME] = {"vr": "SQ", "Value": groups}
        for number, group in enumerate(groups):
            row, column = (number % 2, number // 2) if swapped else (number // 2, number % 2)
            place = group["0048021A"]["Value"][0]
            place["0048021F"]["Value"] = [row * matrix[0] // 2 + 1]
            place["0048021E"]["Value"] = [column * matrix[1] // 2 + 1]

    notices = " ".join(planned(slide.datasets, change).notices)
    assert "2 frames say that they show other tiles" in notices
    assert "say that they show" not in " ".join(
        planned(slide.datasets, lambda body: change(body, swapped=False)).notices
    )


def test_channels_of_fewer_bits_lie_beside_the_others_each_with_its_own_range() -> None:
    slide = channels_in_instances()

    def change(metadata: list[dict[str, Any]]) -> None:
        for instance in metadata:
            if instance[PATHS]["Value"][0]["00480106"]["Value"] == [CHANNELS[0].identifier]:
                instance["00280101"]["Value"], instance["00280102"]["Value"] = [12], [11]

    (image,) = planned(slide.datasets, change).images
    assert [level.shape[0] for level in image.levels] == [3, 3]
    assert [channel.window[1] for channel in image.channels] == [4095.0, 65535.0, 65535.0]
