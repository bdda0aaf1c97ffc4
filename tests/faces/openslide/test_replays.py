"""What patching scripts call on a slide, in their order and with their types of numbers, on both implementations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import openslide
import pytest
from openslide.deepzoom import DeepZoomGenerator
from PIL import Image

from dicomzarr.demo.show import demo_server, demo_url
from dicomzarr.demo.slide import demo_files
from dicomzarr.openslide import open_slide

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Any, Any]]:
    """The face on the demo slide, and OpenSlide on the same files."""
    with demo_server() as server, openslide.OpenSlide(demo_files()[0]) as expected:
        yield open_slide(demo_url(server)), expected


def clam(wsi: Any) -> Iterator[Any]:
    """As CLAM: segment and stitch at a 64th, patch level 0, and read features at coordinates out of an HDF5 file."""
    shrinks = []
    width, height = wsi.level_dimensions[0]
    for shrink, (across, down) in zip(wsi.level_downsamples, wsi.level_dimensions, strict=True):
        estimated = (width / float(across), height / float(down))
        shrinks.append(estimated if estimated != (shrink, shrink) else (shrink, shrink))
    yield shrinks
    level = wsi.get_best_level_for_downsample(64)
    yield level
    yield np.array(wsi.read_region((0, 0), level, wsi.level_dimensions[level]))
    yield np.array(wsi.read_region((0, 0), level, wsi.level_dimensions[level]).convert("RGB"))
    coordinates = np.array([(x, y) for y in range(0, 1600, 512) for x in range(0, 1400, 512)], dtype=np.int64)
    for coordinate in coordinates:
        patch = wsi.read_region(coordinate, np.int64(0), (np.int64(256), np.int64(256))).convert("RGB")
        yield np.array(patch)
    yield np.array(wsi.read_region(tuple(coordinates[1]), 1, tuple(np.ceil((256 / 2, 256 / 2)).astype(np.int32))))


def trident(wsi: Any) -> Iterator[Any]:
    """As TRIDENT: resolution and power from the properties, a thumbnail, patches of 20x out of the best level."""
    width, height = wsi.dimensions
    yield width, height
    mpp = round(float(wsi.properties[openslide.PROPERTY_NAME_MPP_X]), 4)
    yield mpp
    power = wsi.properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER)
    yield 0 if power is None else int(power)
    yield np.array(wsi.get_thumbnail((175, 200)).convert("RGB"))
    shrink = 2 * mpp / mpp
    level = next(number for number, own in enumerate(wsi.level_downsamples) if math.isclose(own, shrink, abs_tol=0.1))
    side = round(round(224 * shrink) / int(wsi.level_downsamples[level]))
    positions = np.array([[column, row] for column in range(0, width, 448) for row in range(0, height, 448)])
    for x, y in positions:
        yield np.array(wsi.read_region((x, y), level, (side, side)).convert("RGB"))


def by_keywords(wsi: Any) -> Iterator[Any]:
    """As PathML and tiatoolbox: arguments by name, regions over the edges laid on a background by their alpha."""
    width, height = wsi.level_dimensions[-1]
    yield np.array(wsi.get_thumbnail(size=(width / 1.5, height / 1.5)))
    for location in ((-64, -64), (0, 0), (1216, 1536), (704, 512)):
        for level in range(wsi.level_count):
            region = wsi.read_region(location=location, level=level, size=(150, 100))
            paper = Image.new("RGBA", region.size, "#ffffff")
            yield np.array(Image.alpha_composite(paper, region).convert("RGB"))


def large_image(wsi: Any) -> Iterator[Any]:
    """As HistomicsTK by large_image: tries every level, tiles as the properties say, coarser ones out of finer."""
    tile = int(wsi.properties["openslide.level[0].tile-width"])
    yield tile
    yield float(wsi.properties[openslide.PROPERTY_NAME_MPP_X]) * 0.001
    for level, size in enumerate(wsi.level_dimensions):
        yield np.array(wsi.read_region((0, 0), level, (1, 1)))
        yield size
        for column, row in ((0, 0), (1, 0), (0, 1)):
            place = (column * tile * 2**level, row * tile * 2**level)
            region = wsi.read_region(place, level, (tile * 2, tile * 2))
            yield np.array(region.resize((tile, tile), Image.Resampling.LANCZOS))


def tile_server(wsi: Any) -> Iterator[Any]:
    """As servers of Deep Zoom: the slide, and what lies beside it as slides of their own."""
    for name in sorted(wsi.associated_images):
        beside = openslide.ImageSlide(wsi.associated_images[name])
        for shown in (DeepZoomGenerator(beside, 64, 1), DeepZoomGenerator(wsi, 254, 1, limit_bounds=True)):
            yield shown.level_dimensions
            last = shown.level_count - 1
            yield from (np.array(shown.get_tile(last, address)) for address in ((0, 0), (1, 1)))
            yield np.array(shown.get_tile(last - 1, (0, 0)))
            yield shown.get_tile_coordinates(last, (1, 1))[0]
            yield shown.tile_count
            yield [len(shown.get_dzi("png"))]


@pytest.mark.filterwarnings("ignore::dicomzarr.errors.ServerDecodedWarning")  # of the thumbnail, which is uncompressed
@pytest.mark.parametrize("script", [clam, trident, by_keywords, large_image, tile_server])
def test_scripts_get_from_the_face_what_openslide_gives(both: tuple[Any, Any], script: Any) -> None:
    found, expected = (list(script(wsi)) for wsi in both)
    assert len(found) == len(expected) > 10
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.array(ours, float), np.array(theirs, float), atol=0)
