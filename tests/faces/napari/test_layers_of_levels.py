"""What layers are made of, without a viewer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from folders import write
from highdicom.seg import SegmentationTypeValues
from radiology_opened import Opener
from segmentations import segmented, segmented_slide
from slides_fluorescence import RESAMPLED
from slides_instances import Identity, Level, full_instance
from slides_pixels import noisy_color
from waiting import SECONDS

import dicomzarr

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.gui  # which brings napari
layers = pytest.importorskip("dicomzarr.faces.napari.layers", exc_type=ImportError)


def opened(folder: Path, *levels: Level) -> dicomzarr.Image:
    kinds = (Identity.image_type, *[RESAMPLED] * (len(levels) - 1))
    named = enumerate(zip(levels, kinds, strict=True), 1)
    write(folder, [full_instance(Identity("layers", number, kind), level) for number, (level, kind) in named])
    return dicomzarr.open(folder)


def rgb(level: Level, rows: int, columns: int) -> Any:
    return np.moveaxis(level.pixels[:, 0, :rows, :columns], 0, -1)


def test_levels_that_are_padded_to_whole_tiles_are_shown_as_far_as_level_0_reaches(tmp_path: Path) -> None:
    # A layer takes all levels to be of one size: it would shrink what is padded.
    base, half, quarter = (
        Level(noisy_color(seed, *shape), (64, 64), (0.0005 * scale,) * 2)
        for seed, (shape, scale) in enumerate([((448, 576), 1), ((128, 192), 4), ((64, 128), 8)])
    )
    ((data, arguments, _),) = layers.layers_of(opened(tmp_path, base, half, quarter))
    assert arguments["multiscale"]
    assert [each.shape for each in data] == [(448, 576, 3), (112, 144, 3), (56, 72, 3)]
    for each, level in zip(data, (base, half, quarter), strict=True):
        assert np.array_equal(np.asarray(each), rgb(level, *each.shape[:2]))
    assert np.array_equal(data[1][100:, -2:], rgb(half, 112, 144)[100:, -2:])
    # What napari shows comes bit by bit, and is the same.
    screen, piece = data[0].screen, (slice(90, 112), slice(60, 144), slice(0, 3))
    shown, end = screen.show(1, piece), time.monotonic() + SECONDS
    while not screen.is_complete:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert np.array_equal(shown, rgb(half, 112, 144)[piece])


def test_a_level_that_lacks_a_part_is_none_of_a_layer(tmp_path: Path) -> None:
    base, short = Level(noisy_color(1, 1000, 1000), (64, 64)), Level(noisy_color(2, 460, 460), (46, 46), (0.001,) * 2)
    image = opened(tmp_path, base, short)
    assert len(image.levels) == 2
    ((data, arguments, _),) = layers.layers_of(image)
    assert (data.shape, arguments["multiscale"]) == ((1000, 1000, 3), False)


@pytest.mark.filterwarnings("ignore")  # of what napari imports
def test_segments_without_a_colour_are_seen_and_the_background_is_not() -> None:
    pytest.importorskip("napari")
    slide, _ = segmented_slide()
    numbers = np.random.default_rng(3).integers(0, 4, (1, 96, 128)).astype(np.uint8)
    kind = SegmentationTypeValues.LABELMAP
    found = segmented([slide], numbers, kind=kind, count=3, tile_pixel_array=True, tile_size=(32, 32)).dataset
    background, _, bare, _ = found.SegmentSequence
    assert (background.SegmentNumber, "RecommendedDisplayCIELabValue" in background) == (0, True)
    del bare.RecommendedDisplayCIELabValue
    with Opener() as opener:
        server = opener.serve([slide, found])
        url = server.series_url(found.StudyInstanceUID, str(slide.SeriesInstanceUID))
        *_, (_, arguments, what) = layers.layers_of(dicomzarr.open(url, labels=True))
    assert what == "labels"
    shown = arguments["colormap"].map(np.arange(4))
    assert shown[:, 3].tolist() == [0, 1, 1, 1]
    assert len({tuple(color) for color in shown}) == 4
