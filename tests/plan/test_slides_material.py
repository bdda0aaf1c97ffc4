from __future__ import annotations

import json
import re
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

import highdicom
import numpy as np
import oracles
import pytest
from pydicom.encaps import generate_frames
from slides import (
    ABSENT_COLORS,
    BUILDERS,
    CODECS,
    PHI,
    TestSlide,
    big_full_metadata,
    big_sparse_metadata,
    big_sparse_positions,
    brightfield_pyramid,
    channels_in_instances,
    coded_slide,
    concatenation,
    extended_depth_of_field,
    fluorescence_focal_stack,
    off_grid,
    overlapping_tiles,
    part10,
    poor_headers,
    sparse_brightfield,
    two_pyramids,
)
from slides_pixels import PAD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from oracles import Array
    from pydicom import Dataset
    from slides import ExpectedLevel

MATERIAL = {**BUILDERS, "concatenation_without_2": partial(concatenation, leave_out=2)}
REFUSED = {"off_grid": off_grid, "overlapping_tiles": overlapping_tiles}


@pytest.fixture(params=MATERIAL)
def slide(request: pytest.FixtureRequest) -> TestSlide:
    return MATERIAL[request.param]()


def by_level(slide: TestSlide) -> dict[tuple[str, str], list[list[Dataset]]]:
    """The level instances by image and, finest first, by size."""
    images: dict[tuple[str, str], dict[int, list[Dataset]]] = defaultdict(lambda: defaultdict(list))
    for dataset in slide.datasets:
        if dataset.get("ImageType", [""] * 4)[2] in ("", "VOLUME"):
            key = (dataset.get("PyramidUID", ""), dataset.ExtendedDepthOfField)
            images[key][-dataset.TotalPixelMatrixColumns].append(dataset)
    return {key: [sizes[size] for size in sorted(sizes)] for key, sizes in images.items()}


def difference(left: Array, right: Array) -> int:
    assert left.shape == right.shape
    return int(np.abs(left.astype(np.int64) - right.astype(np.int64)).max())


def first_plane(level: ExpectedLevel) -> Array:
    """(rows, columns, c) of the lowest focal plane."""
    return np.moveaxis(level.pixels[:, 0], 0, -1)


def test_expected_levels_are_what_pydicom_assembles(slide: TestSlide) -> None:
    groups = by_level(slide)
    assert len(groups) == len(slide.images)
    for datasets, image in zip(in_order_of_images(slide), slide.images, strict=True):
        for instances, level in zip(datasets, image.levels, strict=True):
            assembled = oracles.assemble(instances)
            assert np.array_equal(assembled.covered, level.has_pixels())
            assert assembled.pixels.dtype == level.pixels.dtype
            stored = np.where(level.has_pixels(), assembled.pixels, 0)
            assert difference(stored, level.pixels) <= slide.tolerance


def in_order_of_images(slide: TestSlide) -> list[list[list[Dataset]]]:
    """Levels of each image, in the order of ``slide.images``."""
    groups = by_level(slide)
    lowest = {key: min(ds.InstanceNumber for ds in levels[0]) for key, levels in groups.items()}
    plain_first = sorted(groups, key=lambda key: (key[1] == "YES", lowest[key]))
    return [groups[key] for key in plain_first]


def test_headers_agree_with_expected_levels(slide: TestSlide) -> None:
    for datasets, image in zip(in_order_of_images(slide), slide.images, strict=True):
        for instances, level in zip(datasets, image.levels, strict=True):
            for dataset in instances:
                measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
                assert list(measures.PixelSpacing) == pytest.approx(level.spacing)
                assert (dataset.Rows, dataset.Columns) == level.tile
                total = (dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns)
                assert total == level.pixels.shape[2:]


def test_slides_are_deterministic_and_files_hold_the_datasets(
    slide: TestSlide, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    again = MATERIAL[request.node.callspec.params["slide"]]()
    written = [path.read_bytes() for path in slide.write(tmp_path)]
    assert written == [part10(dataset) for dataset in again.datasets]
    for image, repeated in zip(slide.images, again.images, strict=True):
        for level, twin in zip(image.levels, repeated.levels, strict=True):
            assert np.array_equal(level.pixels, twin.pixels)


def test_no_two_slides_share_a_uid() -> None:
    slides = [build() for build in {**MATERIAL, **REFUSED}.values()]
    assert len({slide.series_uid for slide in slides}) == len(slides)
    assert len({slide.study_uid for slide in slides}) == len(slides)
    instances = [dataset.SOPInstanceUID for slide in slides for dataset in slide.datasets]
    assert len(set(instances)) == len(instances)


def test_metadata_has_no_pixels_and_names_somebody(slide: TestSlide) -> None:
    body = slide.metadata_json()
    metadata = json.loads(body)
    assert len(metadata) == len(slide.datasets)
    assert not any("7FE00010" in instance or "00020010" in instance for instance in metadata)
    for text in PHI[1:]:
        assert text.encode() in body
    assert PHI[0].replace(" ", "^").encode() in body


def test_edge_tiles_hold_something_outside_the_matrix() -> None:
    slide = fluorescence_focal_stack()
    finest = slide.datasets[0]
    last = oracles.frames_by_pydicom(finest)[-1]
    assert np.all(last[70 - 2 * 24 :] == PAD)
    assert np.all(last[:, 100 - 3 * 32 :] == PAD)


def test_focal_stack_has_paths_and_planes_as_promised() -> None:
    slide = fluorescence_focal_stack()
    for dataset, level in zip(slide.datasets, slide.levels, strict=True):
        assert level.pixels.shape[:2] == (3, 2)
        assert dataset.NumberOfFrames == 3 * 2 * level.grid[0] * level.grid[1]
        assert (dataset.BitsAllocated, dataset.BitsStored) == (16, 12)
    assert slide.levels[0].pixels.max() > 4000
    assert slide.images[0].channels == ("DAPI", "FITC", "TRITC")


def test_highdicom_has_the_same_order_of_paths_and_planes() -> None:
    for dataset in fluorescence_focal_stack().datasets:
        identifiers = [item.OpticalPathIdentifier for item in dataset.OpticalPathSequence]
        ordered = [
            (path and identifiers[path - 1], float(z or 0), row - 1, column - 1)
            for path, _, column, row, _, _, z in highdicom.utils.iter_tiled_full_frame_data(dataset)
        ]
        places = oracles.frame_places(dataset)
        assert ordered == [(place.path, place.z, place.top, place.left) for place in places]


def test_sparse_frames_are_shuffled_and_count_from_one() -> None:
    finest = sparse_brightfield().datasets[0]
    places = oracles.frame_places(finest)
    assert places != sorted(places, key=lambda place: (place.top, place.left))
    assert len(places) < 4 * 4
    columns = [
        groups.PlanePositionSlideSequence[0].ColumnPositionInTotalImagePixelMatrix
        for groups in finest.PerFrameFunctionalGroupsSequence
    ]
    assert min(columns) == 1


@pytest.mark.parametrize("name", ABSENT_COLORS)
def test_absent_colors_mean_what_highdicom_reads(name: str) -> None:
    value, rgb = ABSENT_COLORS[name]
    read = highdicom.color.CIELabColor.from_dicom_value(value).to_rgb()
    assert np.abs(np.subtract(read, rgb)).max() <= 1


def test_concatenation_contradicts_its_order_and_can_lose_a_part() -> None:
    whole = concatenation()
    parts = [dataset.InConcatenationNumber for dataset in whole.datasets]
    by_number = sorted(whole.datasets, key=lambda dataset: int(dataset.InstanceNumber))
    assert parts == [3, 1, 2]
    assert [dataset.InConcatenationNumber for dataset in by_number] == [2, 3, 1]
    assert len({dataset.ConcatenationUID for dataset in whole.datasets}) == 1
    lossy = concatenation(leave_out=2)
    assert [dataset.InConcatenationNumber for dataset in lossy.datasets] == [3, 1]
    assert np.argwhere(lossy.levels[0].lost.reshape(-1)).reshape(-1).tolist() == [5, 6, 7, 8]


def test_pyramid_has_odd_ratios_and_associated_images() -> None:
    slide = brightfield_pyramid()
    widths = [level.pixels.shape[3] for level in slide.levels]
    assert widths == [257, 132, 66, 37]
    assert len({level.tile for level in slide.levels}) == 4
    assert slide.levels[-1].grid == (1, 1)
    for dataset in slide.datasets:
        flavor = dataset.ImageType[2].lower()
        if flavor != "volume":
            frame = oracles.frames_by_pydicom(dataset)[0]
            assert np.array_equal(np.moveaxis(frame, -1, 0), slide.associated[flavor][:, 0])
    assert sorted(slide.associated) == ["label", "overview", "thumbnail"]


def test_poor_headers_lack_what_they_should() -> None:
    for dataset in poor_headers().datasets:
        for keyword in (
            "ImageType",
            "DimensionOrganizationType",
            "FrameOfReferenceUID",
            "OpticalPathSequence",
            "ConcatenationUID",
        ):
            assert keyword not in dataset


def test_refused_slides_fit_no_grid() -> None:
    places = oracles.frame_places(off_grid().datasets[0])
    assert [place.left for place in places if place.left % 16] == [4]
    places = oracles.frame_places(overlapping_tiles().datasets[0])
    assert len(set(places)) == len(places) - 1


MARKERS = {
    "jpeg_ybr_full_422": rb"\xff\xe0..JFIF",
    "jpeg_jfif_header_rgb": rb"\xff\xe0..JFIF",
    "jpeg_adobe_rgb": rb"\xff\xee..Adobe.{6}\x00",  # transform 0: RGB
    "jpeg2000_lossless": rb"\xff\x52..\x00...\x01",  # COD: multiple component transform
    "htj2k_lossless": rb"\xff\x52..\x00...\x01",
    "jpegls_lossless": rb"\xff\xf7",
}


@pytest.mark.parametrize("name", MARKERS)
def test_codestreams_are_what_their_names_say(name: str) -> None:
    dataset = coded_slide(name).datasets[0]
    assert dataset.file_meta.TransferSyntaxUID == CODECS[name].syntax
    frames = generate_frames(dataset.PixelData, number_of_frames=int(dataset.NumberOfFrames))
    assert all(re.search(MARKERS[name], frame, re.DOTALL) for frame in frames)


@pytest.mark.parametrize("name", [name for name in CODECS if name.startswith(("jpeg_", "jpeg2"))])
def test_pillow_and_pydicom_agree(name: str) -> None:
    dataset = coded_slide(name).datasets[0]
    pairs = zip(oracles.frames_by_pydicom(dataset), oracles.frames_by_pillow(dataset), strict=True)
    assert all(difference(*pair) <= 1 for pair in pairs)


HIGHDICOM = [name for name in CODECS if name != "jpeg_jfif_header_rgb"]


@pytest.mark.parametrize("name", HIGHDICOM)
def test_highdicom_agrees_on_codecs(name: str) -> None:
    slide = coded_slide(name)
    matrix = oracles.level_by_highdicom(slide.datasets[0])
    assert difference(matrix, first_plane(slide.levels[0])) <= slide.tolerance


@pytest.mark.parametrize("build", [brightfield_pyramid, two_pyramids, extended_depth_of_field])
def test_highdicom_agrees_on_levels(build: Callable[[], TestSlide]) -> None:
    slide = build()
    for datasets, image in zip(in_order_of_images(slide), slide.images, strict=True):
        for (dataset,), level in zip(datasets, image.levels, strict=True):
            assert np.array_equal(oracles.level_by_highdicom(dataset), first_plane(level))


def test_highdicom_agrees_on_channels() -> None:
    slide = channels_in_instances()
    for instances, level in zip(in_order_of_images(slide)[0], slide.levels, strict=True):
        for dataset in instances:
            identifier = dataset.OpticalPathSequence[0].OpticalPathIdentifier
            channel = slide.images[0].channels.index(identifier)
            matrix = oracles.level_by_highdicom(dataset)
            assert np.array_equal(matrix[..., 0], level.pixels[channel, 0])


WSIDICOM = (
    "native_rgb",
    "jpeg_ybr_full_422",
    "jpeg_adobe_rgb",
    "jpeg2000_lossless",
    "jpegls_lossless",
    "htj2k_lossless",
    "rle_lossless",
)


@pytest.mark.parametrize("name", WSIDICOM)
def test_wsidicom_agrees_on_codecs(name: str, tmp_path: Path) -> None:
    slide = coded_slide(name)
    matrix = oracles.level_by_wsidicom(slide.write(tmp_path))
    assert difference(matrix, first_plane(slide.levels[0])) <= slide.tolerance


def test_wsidicom_agrees_on_a_concatenation(tmp_path: Path) -> None:
    slide = concatenation()
    matrix = oracles.level_by_wsidicom(slide.write(tmp_path))
    assert np.array_equal(matrix, first_plane(slide.levels[0]))


def test_wsidicom_agrees_on_channels(tmp_path: Path) -> None:
    slide = channels_in_instances()
    paths = slide.write(tmp_path)
    for number, level in enumerate(slide.levels):
        for channel, identifier in enumerate(slide.images[0].channels):
            matrix = oracles.level_by_wsidicom(paths, number, identifier)
            assert np.array_equal(matrix[..., 0], level.pixels[channel, 0])


def test_wsidicom_agrees_where_sparse_tiles_exist(tmp_path: Path) -> None:
    slide = sparse_brightfield()
    matrix = oracles.level_by_wsidicom(slide.write(tmp_path))
    level = slide.levels[0]
    there = np.moveaxis(level.has_pixels()[:, 0], 0, -1)
    assert np.array_equal(matrix[there], first_plane(level)[there])
    assert np.all(matrix[~there] == 255)
    assert not there.all()


def test_big_sparse_metadata_is_one_instance_with_a_place_for_each_frame() -> None:
    (instance,) = json.loads(big_sparse_metadata(5_000))
    frames = instance["52009230"]["Value"]
    assert instance["00280008"]["Value"] == [5_000]
    assert len(frames) == 5_000
    places = [
        (
            item["0048021A"]["Value"][0]["0048021F"]["Value"][0],
            item["0048021A"]["Value"][0]["0048021E"]["Value"][0],
        )
        for item in frames
    ]
    assert np.array_equal(np.array(places), big_sparse_positions(5_000) * 256 + 1)
    assert len(set(places)) == 5_000
    assert max(map(max, places)) <= instance["00480006"]["Value"][0]


def test_big_sparse_metadata_has_fifty_thousand_frames_by_default() -> None:
    assert big_sparse_metadata().count(b'"0048021E"') == 50_000


def test_big_full_metadata_is_a_pyramid_of_complete_levels() -> None:
    instances = json.loads(big_full_metadata(200_000, levels=8))
    assert len(instances) == 8
    assert instances[0]["00280008"]["Value"][0] == pytest.approx(200_000, rel=0.01)
    for instance in instances:
        side = -(-instance["00480006"]["Value"][0] // instance["00280011"]["Value"][0])
        assert instance["00280008"]["Value"] == [side * side]


def test_cmu1_colors_by_pydicom_are_those_of_its_codestream(cmu1_files: list[Path]) -> None:
    assert len(cmu1_files) == 12
    for path in cmu1_files[1:]:
        dataset = oracles.read(path)
        by_pydicom = oracles.assemble_tiled_full(dataset)
        by_pillow = oracles.assemble_tiled_full(dataset, oracles.frames_by_pillow(dataset))
        assert difference(by_pydicom, by_pillow) <= 1
        assert by_pydicom.shape[:2] == (
            dataset.TotalPixelMatrixRows,
            dataset.TotalPixelMatrixColumns,
        )


def test_wsidicom_has_the_wrong_colors_for_cmu1(cmu1_files: list[Path]) -> None:
    with oracles.lenient_reading():
        by_wsidicom = oracles.level_by_wsidicom(cmu1_files[2:3])
    right = oracles.assemble_tiled_full(oracles.read(cmu1_files[2]))
    assert difference(by_wsidicom, right) > 100


def test_oracles_agree_on_camelyon(camelyon_file: Path) -> None:
    dataset = oracles.read(camelyon_file)
    by_pydicom = oracles.assemble_tiled_full(dataset)
    by_pillow = oracles.assemble_tiled_full(dataset, oracles.frames_by_pillow(dataset))
    assert by_pydicom.shape == (700, 1152, 3)
    assert difference(by_pydicom, by_pillow) <= 1
