"""Every synthetic slide behind a server, read by URL: the pixels and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from opened import array_at, group_at
from serving import Served, serving
from slides import (
    BUILDERS,
    TestSlide,
    brightfield_pyramid,
    channels_in_instances,
    concatenation,
    extended_depth_of_field,
    fluorescence_focal_stack,
    off_grid,
    overlapping_tiles,
    poor_headers,
    sparse_brightfield,
    two_pyramids,
)
from slides_instances import ORIGIN
from slides_pixels import noisy_color

import dicomzarr
from dicomzarr.errors import MissingInstanceError, UnsupportedSeriesError
from dicomzarr.omezarr.attributes import dicomzarr_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slides import ExpectedImage, ExpectedLevel
    from slides_model import Pixels

    from dicomzarr import Image, Level

COLOUR_ROUNDING = 2
"""CIELab to sRGB in 8 bits: the tables of ``slides`` are right to a unit or two."""


@pytest.fixture(scope="module", params=BUILDERS)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(BUILDERS[request.param]()) as each:
        yield each


@pytest.fixture
def images(served: Served) -> list[tuple[Image, ExpectedImage]]:
    """The images of the series with what they must be."""
    return list(zip(dicomzarr.open(served.url).images, served.slide.images, strict=True))


def as_czyx(pixels: Pixels, axes: tuple[str, ...]) -> Pixels:
    """With every axis of the expected arrays."""
    absent = tuple(place for place, name in enumerate("czyx") if name not in axes)
    return np.expand_dims(pixels, absent)


def difference(left: Pixels, right: Pixels, where: Pixels) -> int:
    assert left.shape == right.shape
    assert left.dtype == right.dtype
    return int(np.abs(left.astype(np.int64) - right.astype(np.int64))[where].max(initial=0))


def check(found: Pixels, expected: ExpectedLevel, slide: TestSlide) -> None:
    """Stored tiles as they are, absent ones in the slide's colour."""
    stored = expected.has_pixels()
    assert difference(found, expected.pixels, stored) <= slide.tolerance
    if not stored.all():
        assert slide.fill is not None
        fill = np.array(slide.fill * (len(found) // len(slide.fill)), found.dtype).reshape(-1, 1, 1, 1)
        exact = len(slide.fill) == 1 or set(slide.fill) == {255}
        allowed = 0 if exact else COLOUR_ROUNDING
        assert difference(found, np.broadcast_to(fill, found.shape), ~stored) <= allowed


# --- pixels ---


def test_levels_hold_the_expected_pixels(served: Served, images: list[tuple[Image, ExpectedImage]]) -> None:
    for image, expected in images:
        assert len(image.levels) == len(expected.levels)
        for level, wanted in zip(image.levels, expected.levels, strict=True):
            check(as_czyx(level[...], level.axes), wanted, served.slide)


def test_zarr_reads_what_levels_read(images: list[tuple[Image, ExpectedImage]]) -> None:
    for image, _ in images:
        group = group_at(image.url)
        for level in image.levels:
            array = group[str(level.number)]
            assert (array.shape, array.chunks, array.dtype) == (level.shape, level.chunks, level.dtype)
            assert array.metadata.dimension_names == level.axes
            assert np.array_equal(array[...], level[...])


def test_axes_are_those_with_more_than_one(images: list[tuple[Image, ExpectedImage]]) -> None:
    for image, expected in images:
        pixels = expected.levels[0].pixels
        names = [name for name, size in zip("czyx", pixels.shape, strict=True) if size > 1 or name in "yx"]
        assert [axis.name for axis in image.axes] == names
        assert [axis.type for axis in image.axes] == ["channel" if name == "c" else "space" for name in names]


def test_chunks_are_frames(images: list[tuple[Image, ExpectedImage]]) -> None:
    for image, expected in images:
        for level, wanted in zip(image.levels, expected.levels, strict=True):
            assert level.chunks[-2:] == wanted.tile
            sizes = dict(zip(level.axes, level.chunks, strict=True))
            samples = wanted.pixels.shape[0] // wanted.absent.shape[0]
            assert sizes.get("c", 1) == samples
            assert sizes.get("z", 1) == 1


# --- geometry ---


def test_steps_are_micrometres(images: list[tuple[Image, ExpectedImage]]) -> None:
    for image, expected in images:
        assert {axis.unit for axis in image.axes if axis.type == "space"} == {"micrometer"}
        for level, wanted in zip(image.levels, expected.levels, strict=True):
            steps = dict(zip(level.axes, level.scale, strict=True))
            assert (steps["y"], steps["x"]) == pytest.approx([1000 * step for step in wanted.spacing])
            assert steps.get("c", 1.0) == 1.0
            if len(expected.z) > 1:
                assert steps["z"] == pytest.approx(1000 * (expected.z[1] - expected.z[0]))


def test_corners_of_levels_coincide(images: list[tuple[Image, ExpectedImage]]) -> None:
    for image, expected in images:
        finest = expected.levels[0].spacing
        for level, wanted in zip(image.levels, expected.levels, strict=True):
            shifts = dict(zip(level.axes, level.translation, strict=True))
            half = [1000 * (own - base) / 2 for own, base in zip(wanted.spacing, finest, strict=True)]
            assert (shifts["y"], shifts["x"]) == pytest.approx(half)
            assert shifts.get("c", 0.0) == shifts.get("z", 0.0) == 0.0


def test_documents_say_what_levels_say(images: list[tuple[Image, ExpectedImage]]) -> None:
    for image, _ in images:
        attributes: dict[str, Any] = dict(group_at(image.url).attrs)
        (multiscale,) = attributes["ome"]["multiscales"]
        assert [axis["name"] for axis in multiscale["axes"]] == [axis.name for axis in image.axes]
        for level, dataset in zip(image.levels, multiscale["datasets"], strict=True):
            scale, *shift = dataset["coordinateTransformations"]
            assert tuple(scale["scale"]) == level.scale
            assert (tuple(shift[0]["translation"]) if shift else (0.0,) * level.ndim) == level.translation
        assert np.array_equal(attributes["dicomzarr"]["affine"], np.asarray(image.affine))


def test_affine_leads_to_the_slide(images: list[tuple[Image, ExpectedImage]]) -> None:
    for image, expected in images:
        down, across = expected.levels[0].spacing
        affine = np.array(image.affine)
        assert affine @ (0, 0, 0, 1) == pytest.approx([*ORIGIN, expected.z[0], 1])
        column, row = 7, 5
        # Columns run along -Y and rows along -X: see ORIENTATION of the synthetic slides.
        there = [ORIGIN[0] - row * down, ORIGIN[1] - column * across, expected.z[0], 1]
        assert affine @ (column, row, 0, 1) == pytest.approx(there)
        for plane, z in enumerate(expected.z):
            assert (affine @ (0, 0, plane, 1))[2] == pytest.approx(z)


# --- channels ---

DESCRIPTIONS = {"DAPI": "Nuclei", "FITC": "Membrane", "TRITC": "Cytoplasm"}


def test_channels_are_named_in_the_order_of_the_sequence(images: list[tuple[Image, ExpectedImage]]) -> None:
    for image, expected in images:
        labels = [channel.label for channel in image.channels]
        assert labels == ([DESCRIPTIONS[name] for name in expected.channels] or ["R", "G", "B"])
        assert len({channel.color for channel in image.channels}) == len(labels)
        for level in image.levels:
            assert dict(zip(level.axes, level.shape, strict=True)).get("c", 1) == len(labels)


@pytest.mark.parametrize(
    ("build", "top"), [(fluorescence_focal_stack, 4095), (channels_in_instances, 65535), (poor_headers, 255)]
)
def test_windows_end_at_the_bits_stored(build: Callable[[], TestSlide], top: int) -> None:
    with serving(build()) as each:
        image = dicomzarr.open(each.url)
        assert {channel.window for channel in image.channels} == {(0.0, float(top))}
        omero = group_at(each.url).attrs["ome"]["omero"]
        assert {channel["window"]["end"] for channel in omero["channels"]} == {top}


# --- holes and losses ---


@pytest.mark.parametrize(("absent", "value"), [(None, 255), ("white", 255), ("gray", 198)])
def test_grey_holes_are_missing_chunks(absent: Any, value: int) -> None:
    with serving(sparse_brightfield(absent=absent)) as each:
        array = array_at(each.url, path="0")
        assert array.fill_value == pytest.approx(value, abs=COLOUR_ROUNDING)
        holes = each.slide.levels[0].absent[0, 0]
        assert array.nchunks_initialized == (~holes).sum()
        assert not any(array[:, 0:32, 48:96][:, 0, 0] != array.fill_value)
        assert each.count("frames") == 0


def test_coloured_holes_are_chunks_that_cost_no_request() -> None:
    with serving(sparse_brightfield(absent="pink")) as each:
        array = array_at(each.url, path="0")
        assert array.nchunks_initialized == array.nchunks
        tile = array[:, 0:32, 48:96]
        assert tile.reshape(3, -1).min(axis=1) == pytest.approx((232, 205, 220), abs=COLOUR_ROUNDING)
        assert np.array_equal(tile.min(axis=(1, 2)), tile.max(axis=(1, 2)))
        assert np.array_equal(dicomzarr.open(each.url).levels[0][:, 0:32, 48:96], tile)
        assert each.count("frames") == 0


@pytest.mark.parametrize("part", [1, 2, 3])
def test_lost_parts_of_a_concatenation_raise_and_never_fill(part: int) -> None:
    slide = concatenation(leave_out=part)
    with serving(slide) as each:
        level = dicomzarr.open(each.url).levels[0]
        array = array_at(each.url, path="0")
        wanted = slide.levels[0]
        for row, column in np.ndindex(wanted.grid):
            region = (slice(None), slice(row * 32, (row + 1) * 32), slice(column * 32, (column + 1) * 32))
            if wanted.lost[0, 0, row, column]:
                for lazy in (level, array):
                    with pytest.raises(MissingInstanceError, match="lacks"):
                        lazy[region]
            else:
                for lazy in (level, array):
                    assert np.array_equal(lazy[region], wanted.pixels[:, 0][region])
        level.prefetch([...])  # which tells nobody
        for lazy in (level, array):
            with pytest.raises(MissingInstanceError):
                lazy[...]


# --- images beside one another ---


def test_associated_images_lie_beside_the_levels() -> None:
    with serving(brightfield_pyramid()) as each:
        image = dicomzarr.open(each.url)
        assert set(image.associated) == {"overview", "thumbnail"}
        assert any("label" in notice for notice in image.notices)
        root = group_at(each.url)
        assert sorted(root["associated"].group_keys()) == ["overview", "thumbnail"]
        for name, beside in image.associated.items():
            pixels = each.slide.associated[name][:, 0]
            assert len(beside.levels) == 1
            assert np.array_equal(beside.levels[0][...], pixels)
            assert np.array_equal(root[f"associated/{name}/0"][...], pixels)
            assert beside.url == f"{each.url}/associated/{name}"


def test_the_label_shows_only_when_asked_for() -> None:
    with serving(brightfield_pyramid()) as each:
        image = dicomzarr.open(each.url, associated_label=True)
        assert set(image.associated) == {"label", "overview", "thumbnail"}
        assert np.array_equal(image.associated["label"].levels[0][...], each.slide.associated["label"][:, 0])
        asked = {"associated_label": True}
        group = group_at(f"{each.url}/associated/label", storage_options=asked)
        assert np.array_equal(group["0"][...], each.slide.associated["label"][:, 0])
        assert "associated/label" not in group_at(each.url)


def only(slide: TestSlide, flavour: str) -> TestSlide:
    return replace(slide, datasets=tuple(dataset for dataset in slide.datasets if dataset.ImageType[2] == flavour))


def test_a_label_alone_is_not_shown() -> None:
    with serving(only(brightfield_pyramid(), "LABEL")) as each:
        with pytest.raises(UnsupportedSeriesError, match="associated_label=True"):
            dicomzarr.open(each.url)
        with pytest.raises(UnsupportedSeriesError):
            group_at(each.url)
        image = dicomzarr.open(each.url, associated_label=True)
        assert np.array_equal(image.levels[0][...], each.slide.associated["label"][:, 0])


def test_an_overview_alone_is_the_image() -> None:
    with serving(only(brightfield_pyramid(), "OVERVIEW")) as each:
        image = dicomzarr.open(each.url)
        assert image.url == each.url
        assert np.array_equal(image.levels[0][...], each.slide.associated["overview"][:, 0])


@pytest.mark.parametrize("build", [two_pyramids, extended_depth_of_field])
def test_several_images_are_a_collection(build: Callable[[], TestSlide]) -> None:
    with serving(build()) as each:
        image = dicomzarr.open(each.url)
        assert image.url == f"{each.url}/0"
        assert [one.url for one in image.images] == [f"{each.url}/0", f"{each.url}/1"]
        root = group_at(each.url)
        assert root.attrs["ome"] == {"version": "0.5", "bioformats2raw.layout": 3}
        assert root["OME"].attrs["ome"] == {"version": "0.5", "series": ["0", "1"]}
        for path, expected in zip(("0", "1"), each.slide.images, strict=True):
            assert np.array_equal(root[f"{path}/0"][...], expected.levels[0].pixels[:, 0])


# --- what no chunk grid fits ---


@pytest.mark.parametrize("build", [off_grid, overlapping_tiles])
def test_tiles_off_the_grid_are_a_list(build: Callable[[], TestSlide]) -> None:
    slide = build()
    dataset = slide.datasets[0]
    places = [
        (place.ColumnPositionInTotalImagePixelMatrix, place.RowPositionInTotalImagePixelMatrix, 0.0)
        for item in dataset.PerFrameFunctionalGroupsSequence
        for place in item.PlanePositionSlideSequence
    ]
    with serving(slide) as each:
        image = dicomzarr.open(each.url)
        assert image.levels[0].axes == ("t", "c", "y", "x")
        pixels = image.levels[0][...]
        assert np.array_equal(pixels, cut_in_order(noisy_color(60 if build is off_grid else 70, 48, 48)[:, 0]))
        assert np.array_equal(group_at(each.url)["0"][...], pixels)
        assert any(str(dataset.SOPInstanceUID) in notice and "list of tiles" in notice for notice in image.notices)
        assert image.affine is None
        assert dicomzarr_attributes(image.plan)["coordinates"]["position"]["values"] == places
        assert image.to_xarray()["0"]["position"].to_numpy().tolist() == list(map(list, places))


def cut_in_order(picture: Pixels) -> Pixels:
    """Tiles of 16 x 16 pixels of a picture (c, y, x), in the order of TILED_FULL."""
    tiles = picture.reshape(3, 3, 16, 3, 16).transpose(1, 3, 0, 2, 4)
    return tiles.reshape(9, 3, 16, 16)


@pytest.mark.parametrize("position", [100, 49, -15, -16])
def test_frames_outside_the_matrix_are_left_out_and_counted(position: int) -> None:
    slide = off_grid(position=position)
    picture = noisy_color(60, 48, 48)[:, 0]
    picture[:, 16:32, 16:32] = 255
    with serving(slide) as each:
        image = dicomzarr.open(each.url)
        assert np.array_equal(image.levels[0][...], picture)
        assert any("1 frames outside the total pixel matrix were left out." in notice for notice in image.notices)


def test_a_slide_of_which_no_frame_is_within_the_matrix_is_a_list() -> None:
    slide = off_grid(position=5)
    for item in slide.datasets[0].PerFrameFunctionalGroupsSequence:
        item.PlanePositionSlideSequence[0].RowPositionInTotalImagePixelMatrix = 4801
    with serving(slide) as each:
        image = dicomzarr.open(each.url)
        assert np.array_equal(image.levels[0][...], cut_in_order(noisy_color(60, 48, 48)[:, 0]))
        assert any("outside the total pixel matrix" in notice for notice in image.notices)


def test_too_few_frames_are_a_list() -> None:
    slide = concatenation()
    alone = slide.datasets[1]
    for keyword in (
        "ConcatenationUID",
        "InConcatenationNumber",
        "InConcatenationTotalNumber",
        "ConcatenationFrameOffsetNumber",
    ):
        delattr(alone, keyword)
    with serving(replace(slide, datasets=(alone,))) as each:
        image = dicomzarr.open(each.url)
        padded = np.pad(slide.levels[0].pixels[:, 0], ((0, 0), (0, 6), (0, 8)))
        tiles = padded.reshape(3, 3, 32, 4, 32).transpose(1, 3, 0, 2, 4).reshape(12, 3, 32, 32)
        assert np.array_equal(image.levels[0][...][..., :26, :24], tiles[:5, ..., :26, :24])
        assert any("5 frames are not the 12 tiles" in notice for notice in image.notices)


# --- reading in pieces ---


def test_regions_and_batches_agree_with_the_whole() -> None:
    with serving(fluorescence_focal_stack()) as each:
        level: Level = dicomzarr.open(each.url).levels[0]
        whole = each.slide.levels[0].pixels
        regions: list[Any] = [
            np.s_[1, 0, 10:50, 20:90],
            np.s_[..., 3],
            np.s_[::-1, 1, ::7, 5],
            np.s_[:, :, -1, [1, 64, 99]],
        ]
        for region, found in zip(regions, level.read(regions), strict=True):
            assert np.array_equal(found, whole[region])
        assert np.array_equal(np.asarray(level), whole)
        assert np.array_equal(np.asarray(level, dtype=np.float32), whole.astype(np.float32))
        assert (len(level), level.size, level.nbytes) == (len(whole), whole.size, whole.nbytes)


def test_each_frame_is_fetched_once() -> None:
    with serving(two_pyramids()) as each:
        level = dicomzarr.open(each.url).levels[0]
        level.read([np.s_[:, :40, :40], np.s_[:, 20:70, 20:70], ...])
        level[...]
        asked = each.frames_asked()
        assert sorted(asked) == list(range(1, 13))
