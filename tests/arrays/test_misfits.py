"""Levels that show more or less than level 0: nothing is misplaced, and nothing of the slide is filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from folders import write
from region_means import averaged, integral_of
from slides_codecs import GRAY
from slides_fluorescence import RESAMPLED
from slides_instances import ORIGIN, Identity, Level, full_instance
from slides_pixels import noisy_color, noisy_gray

import dicomzarr
from dicomzarr.patches import grid, tissue_mask

if TYPE_CHECKING:
    from pathlib import Path

    from slides_model import Pixels

    from dicomzarr import Image

WHITE = 255
GLASS, STAIN = (240, 240, 240), (240, 60, 240)


def opened(folder: Path, *levels: Level, corner: tuple[int, int] = (0, 0), indexed: bool = False) -> Image:
    """A slide of levels, each but the first from ``corner`` on, (x, y) in pixels of level 0."""
    datasets = []
    for number, level in enumerate(levels, 1):
        kind = RESAMPLED if number > 1 else Identity.image_type
        dataset = full_instance(Identity(folder.name, number, kind), level)
        dataset.PyramidUID = "1.2.3.4"
        if indexed:
            dataset.PhotometricInterpretation = "PALETTE COLOR"
        if number > 1:
            origin, step = dataset.TotalPixelMatrixOriginSequence[0], levels[0].spacing[0]
            # Columns run along -Y and rows along -X.
            origin.XOffsetInSlideCoordinateSystem = str(ORIGIN[0] - corner[1] * step)
            origin.YOffsetInSlideCoordinateSystem = str(ORIGIN[1] - corner[0] * step)
        datasets.append(dataset)
    write(folder, datasets)
    return dicomzarr.open(folder)


def plane(level: Level) -> Pixels:
    pixels: Pixels = np.moveaxis(level.pixels[:, 0], 0, -1)
    return pixels


def stained(rows: int, columns: int, place: tuple[slice, slice], scale: int, padded: tuple[int, int]) -> list[Level]:
    """A slide with one piece of tissue, and a level of it that is padded with glass."""
    whole = np.broadcast_to(np.array(GLASS, np.uint8)[:, None, None, None], (3, 1, rows, columns)).copy()
    whole[(slice(None), slice(None), *place)] = np.array(STAIN, np.uint8)[:, None, None, None]
    small = np.broadcast_to(np.array(GLASS, np.uint8)[:, None, None, None], (3, 1, *padded)).copy()
    small[..., : rows // scale, : columns // scale] = whole[..., ::scale, ::scale]
    return [Level(whole, (64, 64)), Level(small, (64, 64), (0.0005 * scale,) * 2)]


@pytest.mark.parametrize(
    ("shape", "padded", "size"),
    [((1088, 1088), (320, 320), 256), ((448, 576), (128, 192), 144), ((64, 640), (64, 192), 160)],
)
def test_a_padded_level_is_no_larger_slide(
    tmp_path: Path, shape: tuple[int, int], padded: tuple[int, int], size: int
) -> None:
    rows, columns = shape
    place = slice(rows // 2, rows), slice(columns * 3 // 4, columns)
    levels = stained(rows, columns, place, 4, padded)
    image = opened(tmp_path, *levels)
    assert [level.shape[-2:] for level in image.levels] == [shape, padded]
    expected = np.zeros(shape, bool)
    expected[place] = True
    picture, mask = image.thumbnail(size), tissue_mask(image, size)
    for found in (picture[..., 1] < 150, mask):
        down, across = rows / found.shape[0], columns / found.shape[1]
        assert down == pytest.approx(across, rel=0.05)
        where = np.argwhere(found)
        low, high = where.min(axis=0) * (down, across), (where.max(axis=0) + 1) * (down, across)
        assert np.abs(low - (place[0].start, place[1].start)).max() <= max(down, across)
        assert np.abs(high - shape).max() <= max(down, across)
    patches = grid(image, 32, mask=mask, tissue=0.9)
    stains = [(patch[..., 1] == STAIN[1]).mean() for patch in patches.read(range(len(patches)))]
    assert min(stains) > 0.75
    assert len(stains) == sum((pixels[..., 1] == STAIN[1]).mean() > 0.9 for pixels in whole_grid(image))


def whole_grid(image: Image) -> list[Pixels]:
    every = grid(image, 32)
    return every.read(range(len(every)))


def test_a_thumbnail_is_of_no_level_that_lacks_a_part(tmp_path: Path) -> None:
    base, part = noisy_color(1, 256, 320), noisy_color(2, 64, 96)
    image = opened(tmp_path, Level(base, (64, 64)), Level(part, (64, 64), (0.001, 0.001)), corner=(64, 64))
    assert len(image.levels) == 2
    found = image.thumbnail(80)
    exact = base[:, 0].reshape(3, 64, 4, 80, 4).mean(axis=(2, 4))
    assert np.abs(found - np.moveaxis(exact, 0, -1)).max() <= 0.51


def test_a_thumbnail_is_of_a_level_whose_spacing_is_rounded(tmp_path: Path) -> None:
    base, small = noisy_color(1, 1000, 1200), noisy_color(2, 250, 300)
    image = opened(tmp_path, Level(base, (250, 200)), Level(small, (50, 50), (0.00199, 0.00199)))
    assert not image.notices
    found = image.thumbnail(302)
    assert (found[:250, :300] == np.moveaxis(small[:, 0], 0, -1)).all()
    assert found.shape == (251, 302, 3)


@pytest.fixture
def short(tmp_path: Path) -> tuple[Image, Level, Level]:
    """Level 1 lacks the last 8 %, as of one that was cut to whole tiles; its pixels are like none of level 0."""
    levels = (
        Level(noisy_color(5, 1000, 1000) // 2, (64, 64)),
        Level(noisy_color(6, 460, 460) // 2, (46, 46), (0.001,) * 2),
    )
    return opened(tmp_path, *levels), *levels


CORNERS = [(0, 0), (900, 900), (-30, 880), (850, -8), (960, 13), (990, 990), (1100, 0)]


def test_what_a_level_lacks_is_made_of_a_finer_one(short: tuple[Image, Level, Level]) -> None:
    image, fine, coarse = short
    means = averaged(integral_of(plane(fine), WHITE), (-100, -100), (700, 700), (2, 2))
    own = np.full((700, 700, 3), np.nan)
    own[50:510, 50:510] = plane(coarse)
    expected = np.where(np.isnan(own), means, own)
    for (x, y), found in zip(CORNERS, image.read_regions(CORNERS, (50, 40), mpp=1.0), strict=True):
        column, row = int(np.floor(x / 2 + 0.5)) + 50, int(np.floor(y / 2 + 0.5)) + 50
        assert np.abs(found - expected[row : row + 40, column : column + 50]).max() <= 0.5
        cut = image.read_region((x, y), (50, 40), mpp=1.0, pad=False)
        on_slide = [max(0, min(start + size, 550) - max(start, 50)) for start, size in ((row, 40), (column, 50))]
        assert cut.shape[:2] == tuple(on_slide)
    assert any("its level lacks a part of what level 0 shows" in notice for notice in image.notices)


def test_between_resolutions_too_and_never_a_filling(short: tuple[Image, Level, Level]) -> None:
    image, fine, coarse = short
    step = 1.5  # of level 1, which ends within pixel 306
    found = image.read_region((0, 0), (340, 335), mpp=step)
    for level, scale, which in (
        (coarse, 1, np.s_[:306, :306]),
        (fine, 2, np.s_[307:333, :333]),
        (fine, 2, np.s_[:333, 307:333]),
    ):
        exact = averaged(integral_of(plane(level), WHITE), (0, 0), (340, 335), (step * scale,) * 2)
        assert np.abs(found[which] - exact[which]).max() <= 0.51
    assert found[:333, :333].max() <= 127
    assert (found[334:] == WHITE).all()
    (alone,) = image.read_regions([(900, 900)], 20, mpp=step)
    assert (alone == found[300:320, 300:320]).all()
    assert image.read_region((0, 0), (340, 335), mpp=step, pad=False).shape == (333, 333, 3)


def test_a_level_that_is_named_is_read_alone(short: tuple[Image, Level, Level]) -> None:
    image, _, coarse = short
    found = image.read_region((900, 900), 50, level=1)
    assert (found[:10, :10] == plane(coarse)[450:, 450:]).all()
    assert (found[10:] == WHITE).all()
    assert image.read_region((900, 900), 50, level=1, pad=False).shape == (10, 10, 3)


def test_a_level_of_a_part_is_read_where_it_is(tmp_path: Path) -> None:
    fine, coarse = Level(noisy_color(7, 256, 320), (64, 64)), Level(noisy_color(8, 64, 96), (64, 64), (0.001, 0.001))
    image = opened(tmp_path, fine, coarse, corner=(64, 64))
    expected = averaged(integral_of(plane(fine), WHITE), (0, 0), (160, 128), (2, 2))
    expected[32:96, 32:128] = plane(coarse)
    assert np.abs(image.read_region((0, 0), (160, 128), mpp=1.0) - expected).max() <= 0.5


def test_three_levels_each_take_what_the_next_lacks(tmp_path: Path) -> None:
    fine = Level(noisy_color(9, 512, 512), (64, 64))
    middle = Level(noisy_color(10, 240, 256), (16, 16), (0.001, 0.001))
    coarse = Level(noisy_color(11, 128, 118), (16, 2), (0.002, 0.002))
    image = opened(tmp_path, fine, middle, coarse)
    assert len(image.levels) == 3
    expected = averaged(integral_of(plane(fine), WHITE), (0, 0), (128, 128), (4, 4))
    expected[:120] = averaged(integral_of(plane(middle), WHITE), (0, 0), (128, 120), (2, 2))
    expected[:, :118] = plane(coarse)
    assert np.abs(image.read_region((0, 0), 128, mpp=2.0) - expected).max() <= 0.5


def test_numbers_are_picked_from_finer_levels(tmp_path: Path) -> None:
    fine = Level(noisy_gray(12, (1, 1, 600, 600), 8), (50, 50), codec=GRAY)
    coarse = Level(noisy_gray(13, (1, 1, 280, 280), 8), (40, 40), (0.001, 0.001), GRAY)
    image = opened(tmp_path, fine, coarse, indexed=True)
    found = image.read_region((0, 0), 300, mpp=1.0)
    assert (found[:280, :280] == coarse.pixels[0, 0]).all()
    assert (found[280:] == fine.pixels[0, 0, 1::2, 1::2][280:]).all()
    assert (found[:280, 280:] == fine.pixels[0, 0, 1::2, 1::2][:280, 280:]).all()


@pytest.mark.parametrize("rows", [1000, 1001, 1002, 1003, 1004, 1005])
def test_rounded_sizes_cost_no_notice_and_no_slide_at_the_edge(tmp_path: Path, rows: int) -> None:
    fine = Level(np.full((3, 1, rows, 400), 100, np.uint8), (100, 100))
    coarse = Level(np.full((3, 1, rows // 4, 100), 100, np.uint8), (50, 50), (0.002, 0.002))
    image = opened(tmp_path, fine, coarse)
    assert not image.notices
    found = image.read_region((0, 960), (10, 20), mpp=2.0, pad=False)
    assert len(found) == int(np.floor((rows - 960) / 4 + 0.5))
    assert (found == 100).all()
