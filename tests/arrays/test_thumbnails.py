"""Thumbnails: means of the right pixels, and nothing that would exhaust memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
from radiology_model import AXIAL, decimals, distinct, series_of
from radiology_opened import Opener
from radiology_oracles import rescaled_by_pydicom
from radiology_volumes import modality_lut, volume
from segmentations import parametric_map
from slides import brightfield_pyramid, fluorescence_focal_stack

import dicomzarr
from dicomzarr.arrays.notebook import image_html
from dicomzarr.arrays.thumbnails import overview
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slides_model import TestSlide

    from dicomzarr.arrays.image import Image


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


@contextmanager
def _opened(slide: TestSlide) -> Iterator[Image]:
    with DICOMwebServer(Archive(slide.datasets)) as server:
        yield dicomzarr.open(server.series_url(slide.study_uid, slide.series_uid))


def _thumbnail(slide: TestSlide, size: int) -> np.ndarray:
    with _opened(slide) as image:
        return image.thumbnail(size)


def test_a_thumbnail_of_a_level_s_own_size_is_that_level() -> None:
    slide = brightfield_pyramid()
    level = slide.levels[2]
    size = max(level.pixels.shape[-2:])
    assert (_thumbnail(slide, size) == np.moveaxis(level.pixels[:, 0], 0, -1)).all()


def test_a_modality_table_comes_before_the_window(opened: Opener) -> None:
    series = modality_lut()
    for dataset in series.datasets:
        dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = 700, 900, "LINEAR_EXACT"
    image = opened(series)
    middle = sorted(series.datasets, key=lambda each: each.ImagePositionPatient[2])[len(series.datasets) // 2]
    expected = (rescaled_by_pydicom(middle) - 250.0) / 900
    picture = np.rint(np.clip(expected, 0, 1) * 255)
    for of_values in (image, opened(series, values="modality")):
        assert np.array_equal(of_values.thumbnail(max(picture.shape)), np.stack([picture] * 3, axis=-1))
    assert _png_of(image) == _png_of(opened(series, values="modality"))


def _png_of(image: Image) -> str:
    return image._repr_html_().partition("base64,")[2].partition('"')[0]


@pytest.mark.parametrize("size", [1, 2, 7])
def test_encoders_take_a_thumbnail_of_any_size(size: int) -> None:
    found = _thumbnail(brightfield_pyramid(), size)
    assert max(found.shape[:2]) == size
    for encode in (imagecodecs.png_encode, imagecodecs.jpeg8_encode):
        assert encode(found)


@pytest.mark.parametrize("size", [0, -1, (256, 256), [256], 256.5, "256", None])
def test_a_size_that_is_none_is_said(size: Any) -> None:
    with pytest.raises(UsageError, match=r"size of a thumbnail.*thumbnail\(256\)"):
        _thumbnail(fluorescence_focal_stack(), size)


def test_a_size_may_be_numpys() -> None:
    assert max(_thumbnail(fluorescence_focal_stack(), np.int16(20)).shape) == 20


@pytest.mark.parametrize("band", [2048, 64, 7])
def test_a_smaller_one_holds_means_however_it_is_read(band: int) -> None:
    slide = brightfield_pyramid()
    finest = slide.levels[0].pixels[:, 0].astype(float)
    # 200 x 257 at 135 pixels: the finest level is the coarsest that has enough.
    with _opened(slide) as image:
        shown = overview(image, 135, band=band)
    assert shown.shape == (105, 135, 3)
    rows, columns = (np.linspace(0, n, m + 1).astype(int) for n, m in ((200, 105), (257, 135)))
    for r, c in ((0, 0), (50, 99), (104, 134)):
        block = finest[:, rows[r] : rows[r + 1], columns[c] : columns[c + 1]]
        assert np.abs(shown[r, c] - block.mean(axis=(1, 2))).max() <= 0.51


def test_channels_are_added_up_in_their_colours() -> None:
    slide = fluorescence_focal_stack()
    shown = _thumbnail(slide, 100)
    assert shown.shape == (70, 100, 3)
    assert shown.max() == 255
    assert shown.std() > 5


def test_a_notebook_reads_no_large_level_unasked() -> None:
    slide = brightfield_pyramid()
    with DICOMwebServer(Archive(slide.datasets)) as server:
        image = dicomzarr.open(server.series_url(slide.study_uid, slide.series_uid))
        assert "data:image/png" in image._repr_html_()
        asked = len(server.requests)
        html = image_html(image, lambda: image, most_pixels=100)
        assert "no picture" in html
        assert "200 x 257" in html
        assert len(server.requests) == asked


def test_a_volume_that_lacks_its_middle_slice_is_shown_by_the_next(opened: Opener) -> None:
    pixels = distinct((7, 16, 20), bits=12, signed=True)
    series = volume(AXIAL, pixels, RescaleIntercept="0")
    lost = decimals(AXIAL.position(3))
    lacking = opened(series_of([each for each in series.datasets if each.ImagePositionPatient != lost]))
    assert lacking.attributes["absent"] == [{"z": 3}]
    assert np.array_equal(lacking.thumbnail(20), opened(volume(AXIAL, pixels[2:3], RescaleIntercept="0")).thumbnail(20))


@pytest.mark.parametrize(("low", "high"), [(1000, 1100), (-20, -10), (-1, 1)])
def test_what_has_no_value_is_background_and_counts_for_no_window(opened: Opener, low: float, high: float) -> None:
    sources = sorted(volume().datasets, key=lambda each: float(each.ImagePositionPatient[2]))
    values = np.random.default_rng(1).uniform(low, high, (len(sources), 16, 20)).astype(np.float32)
    values[..., :10] = np.nan
    values[:, 0, 10:12] = low, high
    dataset = parametric_map(sources, values)
    del dataset.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence
    shown = opened(series_of([dataset])).thumbnail(20)
    assert not shown[:, :10].any()
    assert (shown[0, 10:12, 0].tolist(), shown.max()) == ([0, 255], 255)
    assert shown[:, 10:].std() > 50
