"""Levels that a slide lacks: means of the next finer one, wherever they are read, and never a frame more."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from folders import write
from gateways import ask, gateway, server_upstream
from opened import group_at
from profiles import linear_profile, srgb_by_pillow
from pydicom.pixels import apply_color_lut
from radiology_opened import Opener
from radiology_volumes import volume
from serving import Served, serving
from slides import TestSlide, concatenation, fluorescence_focal_stack
from slides_codecs import CODECS, GRAY
from slides_fluorescence import CHANNELS
from slides_instances import Identity, Level, full_instance
from slides_model import ExpectedImage
from slides_palettes import give_palette
from slides_pixels import noisy_color, noisy_gray, smooth_color

import dicomzarr
from dicomzarr.codecs.reduced import averaged, picked
from dicomzarr.demo.slide import demo_files
from dicomzarr.errors import MissingInstanceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from slides_model import Pixels


def halved(pixels: Pixels, times: int) -> Pixels:
    """Exact means over squares of the last two axes, in floating point, not rounded."""
    rows, columns = (size // times for size in pixels.shape[-2:])
    squares = pixels[..., : rows * times, : columns * times].reshape(*pixels.shape[:-2], rows, times, columns, times)
    means: Pixels = squares.mean(axis=(-3, -1))
    return means


def one_level(name: str = "only", *levels: Level) -> TestSlide:
    instances = tuple(full_instance(Identity(name, number), level) for number, level in enumerate(levels, 1))
    return TestSlide(name, instances, (ExpectedImage(tuple(level.expected() for level in levels)),))


@pytest.fixture(scope="module")
def lone() -> Iterator[Served]:
    with serving(one_level("lone", Level(noisy_color(5, 1203, 1750), (256, 192)))) as served:
        yield served


def test_they_are_off_by_default(lone: Served) -> None:
    assert len(dicomzarr.open(lone.url).levels) == 1
    assert "virtual_levels" not in group_at(lone.url).attrs["dicomzarr"]


def test_a_level_is_halved_down_to_a_small_one_and_each_holds_means(lone: Served) -> None:
    image = dicomzarr.open(lone.url, virtual_levels=True)
    assert [level.shape for level in image.levels] == [(3, 1203, 1750), (3, 601, 875), (3, 300, 437)]
    assert [level.chunks for level in image.levels] == [(3, 256, 192), (3, 128, 96), (3, 64, 48)]
    assert [level.is_virtual for level in image.levels] == [False, True, True]
    assert [level.downsample for level in image.levels] == [1, 2, 4]
    assert image.levels[2].translation == pytest.approx((0, 0.75, 0.75))
    pixels = lone.slide.levels[0].pixels[:, 0]
    for level in image.levels[1:]:
        exact = halved(pixels, round(level.downsample))
        assert np.abs(level[...] - exact).max() <= 0.5
        assert (level[:, 5:150, -99:-3:7] == level[...][:, 5:150, -99:-3:7]).all()


def test_the_hierarchy_shows_them(lone: Served) -> None:
    image = dicomzarr.open(lone.url, virtual_levels=True)
    for zarr_format in (2, 3):
        asked = {"virtual_levels": True, "zarr_format": zarr_format}
        group: Any = zarr.open_group(lone.url, mode="r", storage_options=asked, zarr_format=zarr_format)
        for number, level in enumerate(image.levels):
            assert (group[str(number)][...] == level[...]).all()
    attributes = group_at(lone.url, storage_options={"virtual_levels": True}).attrs
    assert attributes["dicomzarr"]["virtual_levels"] == [1, 2]
    assert len(attributes["ome"]["multiscales"][0]["datasets"]) == 3
    tree: Any = image.to_xarray()
    assert tree["2"]["image"].shape == (3, 300, 437)
    assert (image.levels[2].to_dask().compute() == image.levels[2][...]).all()
    assert pickle.loads(pickle.dumps(image)).levels[2].shape == (3, 300, 437)  # noqa: S301


def test_copies_and_the_gateway_have_them_as_values_and_never_as_frames(tmp_path: Path) -> None:
    level = Level(smooth_color(14, 512, 1024), (256, 256), codec=CODECS["jpeg_ybr_full_422"])
    with serving(one_level("jpeg", level)) as served:
        image = dicomzarr.open(served.url, virtual_levels=True)
        dicomzarr.export(image, tmp_path / "copy.zarr")
        copy: Any = zarr.open_group(tmp_path / "copy.zarr", mode="r")
        assert (copy["1"][...] == image.levels[1][...]).all()
        with pytest.raises(UsageError, match="cannot be kept encoded"):
            dicomzarr.export(image, tmp_path / "encoded.zarr", keep_encoded=True)
        with gateway(server_upstream(served.server, "one", virtual_levels=True)) as running:
            series = f"one/studies/{served.slide.study_uid}/series/{served.slide.series_uid}"
            asked = {number: ask(f"{running.url}/frames/{series}.zarr/{number}/c/0/0/0") for number in (0, 1)}
            assert (asked[0].status, asked[1].status) == (200, 406)
            chunk = np.frombuffer(ask(f"{running.url}/0.5/{series}.zarr/1/c/0/0/0").body, np.uint8)
            assert (chunk.reshape(3, 128, 128) == image.levels[1][:, :128, :128]).all()


def test_a_copy_counts_them_as_its_own_levels(tmp_path: Path) -> None:
    with serving(one_level("counted", Level(noisy_color(15, 512, 2048), (256, 256)))) as served:
        image = dicomzarr.open(served.url, virtual_levels=True)
        assert image.attributes["virtual_levels"][:2] == [1, 2]
        for levels, expected in (([0, 2], [1]), ([2], [0]), ([0], None)):
            dicomzarr.export(image, tmp_path / "copy.zarr", levels=levels, overwrite=True)
            said = dict(group_at(tmp_path / "copy.zarr").attrs)["dicomzarr"]
            assert said.get("virtual_levels") == expected


def test_only_the_frames_beneath_are_fetched_and_each_once() -> None:
    with serving(one_level("fetched", Level(noisy_color(6, 1024, 1024), (256, 256)))) as served:
        image = dicomzarr.open(served.url, virtual_levels=True)
        image.levels[1].read([np.s_[:, :128, :128], np.s_[:, 10:100, 120:140]])
        assert sorted(served.frames_asked()) == [1, 2]
        image.levels[0][:, :256, :512]  # the same frames, which are held as they came
        assert sorted(served.frames_asked()) == [1, 2]


def test_gaps_between_levels_are_filled_and_others_left() -> None:
    finest = Level(noisy_color(7, 1024, 1536), (128, 128))
    fourth = replace(finest, pixels=noisy_color(8, 256, 384), spacing=(0.002, 0.002))
    last = replace(finest, pixels=noisy_color(9, 85, 128), spacing=(0.006, 0.006))
    with serving(one_level("gaps", finest, fourth, last)) as served:
        image = dicomzarr.open(served.url, virtual_levels=True)
        assert [(level.downsample, level.is_virtual) for level in image.levels] == [
            (1, False), (2, True), (4, False), (12, False),
        ]  # fmt: skip
        assert (image.levels[2][...] == fourth.pixels[:, 0]).all()
        assert image.level_for(mpp=1.0).number == 1


def test_tiles_that_cannot_be_halved_make_no_level() -> None:
    with serving(one_level("odd", Level(noisy_color(10, 900, 1300), (250, 250)))) as served:
        image = dicomzarr.open(served.url, virtual_levels=True)
        assert [level.shape[-2:] for level in image.levels] == [(900, 1300), (450, 650)]
    with serving(one_level("one tile", Level(noisy_color(11, 1001, 1101), (1001, 1101)))) as served:
        image = dicomzarr.open(served.url, virtual_levels=True)
        assert [level.shape[-2:] for level in image.levels] == [(1001, 1101), (500, 550), (250, 275)]
        assert np.abs(image.levels[2][...] - halved(served.slide.levels[0].pixels[:, 0], 4)).max() <= 0.5


def test_fluorescence_of_twelve_bits_is_averaged_channel_by_channel() -> None:
    level = Level(noisy_gray(12, (3, 2, 640, 700), 12), (64, 64), (0.0004, 0.0005), GRAY, 12, CHANNELS, (0.0, 0.0015))
    with serving(one_level("stack", level)) as served:
        image = dicomzarr.open(served.url, virtual_levels=True)
        assert image.levels[1].shape == (3, 2, 320, 350)
        assert np.abs(image.levels[1][...] - halved(level.pixels, 2)).max() <= 0.5


def test_lost_frames_are_errors_there_too() -> None:
    with serving(concatenation(leave_out=2)) as served:
        image = dicomzarr.open(served.url, virtual_levels=True)
        for level in image.levels:
            with pytest.raises(MissingInstanceError):
                level[...]


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_every_codec_gives_means_within_its_tolerance(codec: str) -> None:
    chosen = CODECS[codec]
    pixels = smooth_color(13, 1024, 768) if chosen.samples == 3 else noisy_gray(13, (1, 1, 1024, 768), 8)
    with serving(one_level(codec, Level(pixels, (256, 256), codec=chosen))) as served:
        image = dicomzarr.open(served.url, virtual_levels=True)
        whole = image.levels[0][...]
        for level in image.levels[1:]:
            exact = halved(whole, round(level.downsample))
            difference = np.abs(level[...] - exact)
            # JPEG is scaled while it is decoded: what is finer is left out, and not averaged.
            assert difference.max() <= (12 if "jpeg_" in codec else 0.5)
            assert difference.mean() <= (1 if "jpeg_" in codec else 0.5)


def chessboard(rows: int, columns: int) -> Pixels:
    """Neighbours that lie far apart, of the shape (1, 1, rows, columns): their mean is like neither of them."""
    odd = np.indices((rows, columns)).sum(axis=0) % 2
    return np.where(odd, np.uint8(210), np.uint8(10))[None, None]


def test_colours_of_a_palette_are_averaged_and_not_its_indices(tmp_path: Path) -> None:
    dataset = one_level("palette", Level(chessboard(1024, 1040), (256, 208), codec=GRAY)).datasets[0]
    give_palette(dataset, 15)
    write(tmp_path, [dataset])
    stored = dicomzarr.open(tmp_path, virtual_levels=True)
    indices = stored.levels[0][...]
    colors = np.moveaxis(apply_color_lut(indices, dataset), -1, 0)
    for image in (dicomzarr.open(tmp_path, values="color", virtual_levels=True), stored.in_color):
        assert [level.is_virtual for level in image.levels] == [False, True, True]
        for level in image.levels[1:]:
            assert np.abs(level[...] - halved(colors, round(level.downsample))).max() <= 0.5
    assert np.isin(stored.levels[1][...], indices).all()


@pytest.mark.parametrize("codec", ["native_rgb", "jpeg_ybr_full_422"])
def test_colours_are_turned_into_srgb_before_they_are_averaged(codec: str) -> None:
    pixels = np.broadcast_to(chessboard(1024, 1024), (3, 1, 1024, 1024)) ^ smooth_color(16, 1024, 1024) // 16
    slide = one_level("managed", Level(pixels, (256, 256), codec=CODECS[codec]))
    slide.datasets[0].OpticalPathSequence[0].ICCProfile = linear_profile()
    with serving(slide) as served:
        image = dicomzarr.open(served.url, icc="srgb", virtual_levels=True)
        stored = np.moveaxis(dicomzarr.open(served.url).levels[0][...], 0, -1)
        colors = np.moveaxis(srgb_by_pillow(stored, linear_profile()), -1, 0)
        assert np.abs(colors.astype(int) - np.moveaxis(stored, -1, 0)).max() > 40
        for level in image.levels[1:]:
            assert np.abs(level[...] - halved(colors, round(level.downsample))).max() <= 0.5


@pytest.mark.parametrize("slope", ["100", "-0.25"])
def test_values_are_rescaled_before_they_are_averaged(slope: str) -> None:
    slide = one_level("rescaled", Level(noisy_gray(17, (1, 1, 1024, 1024), 8), (256, 256), codec=GRAY))
    slide.datasets[0].RescaleSlope, slide.datasets[0].RescaleIntercept = slope, "-5"
    measured = slide.levels[0].pixels[0, 0] * float(slope) - 5
    with serving(slide) as served:
        image = dicomzarr.open(served.url, values="modality", virtual_levels=True)
        assert (image.levels[0][...] == measured).all()
        for level in image.levels[1:]:
            exact = halved(measured, round(level.downsample))
            assert np.abs(level[...] - exact).max() <= (0.5 if level.dtype.kind == "i" else 1e-3)


def test_volumes_and_labels_have_none(tmp_path: Path) -> None:
    slide = fluorescence_focal_stack()
    slide.write(tmp_path)
    assert [level.shape for level in dicomzarr.open(tmp_path, virtual_levels=True).levels] == [
        (3, 2, 70, 100),
        (3, 2, 35, 50),
    ]
    with Opener() as opener:
        series = volume()
        assert len(opener(series, virtual_levels=True).levels) == 1


@pytest.mark.parametrize("factor", [2, 4, 16, 32])
@pytest.mark.parametrize("dtype", ["u1", "<u2", "<i2", "<u4", "<f4"])
def test_means_are_exact_in_every_type_and_layout(factor: int, dtype: str) -> None:
    random = np.random.default_rng(factor)
    kind = np.dtype(dtype)
    limits = (-1e3, 1e3) if kind.kind == "f" else (np.iinfo(kind).min, np.iinfo(kind).max)
    values = random.uniform(*limits, (70, 67, 3)).astype(kind)
    values[:33, :33] = limits[1]
    for laid_out in (np.moveaxis(values, -1, 0), np.ascontiguousarray(np.moveaxis(values, -1, 0))):
        found = averaged(laid_out, factor)
        exact = halved(laid_out.astype(np.float64), factor)
        assert found.dtype == kind
        assert np.abs(found - exact).max() <= (1e-3 if kind.kind == "f" else 0.5)
        assert np.isin(picked(laid_out, factor), laid_out).all()
        assert picked(laid_out, factor).shape == found.shape


def test_a_slide_whose_levels_go_down_has_no_more() -> None:
    image = dicomzarr.open(demo_files()[0].parent, virtual_levels=True)
    assert not any(level.is_virtual for level in image.levels)
