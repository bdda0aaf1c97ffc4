"""Slides whose frames say where they lie: with holes, poor headers, or no chunk grid at all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from slides_codecs import GRAY, RGB, Codec
from slides_fluorescence import CHANNELS, RESAMPLED
from slides_instances import Identity, Level, sparse_instance
from slides_model import ExpectedImage, TestSlide
from slides_pixels import no_tiles, noisy_color, noisy_gray, shrink, smooth_color

if TYPE_CHECKING:
    from pydicom import Dataset
    from slides_model import Mask

ABSENT_COLORS = {
    "white": ((65535, 32896, 32896), (255, 255, 255)),
    "gray": ((52428, 32896, 32896), (198, 198, 198)),
    "pink": ((55705, 35980, 31868), (232, 205, 220)),
}
"""RecommendedAbsentPixelCIELabValue (0048,0015) and the sRGB that it means, to one unit or two."""

HOLES = ((0, 1), (1, 1), (1, 2), (3, 0), (2, 3))


def sparse_brightfield(
    seed: int = 30,
    absent: Literal["white", "gray", "pink"] | None = None,
    codec: Codec = RGB,
) -> TestSlide:
    """A TILED_SPARSE level with holes and frames in shuffled order, and a complete coarser one.

    Args:
        seed: Of pixels and order.
        absent: The colour that RecommendedAbsentPixelCIELabValue says; None leaves it out.
        codec: Of the frames; the pixels are smooth if it is lossy.
    """
    slide = f"sparse {seed} {absent} {codec.syntax}"
    picture = smooth_color if codec.lossy else noisy_color
    finest = Level(picture(seed, 110, 170), (32, 48), codec=codec)
    coarse = replace(finest, pixels=shrink(finest.pixels, 55, 85), spacing=(0.001, 0.001))
    holes = no_tiles(finest.pixels, finest.tile, 3)
    for hole in HOLES:
        holes[0, 0][hole] = True
    instances = (
        _shuffled(Identity(slide, 1), finest, holes, seed),
        _shuffled(Identity(slide, 2, RESAMPLED), coarse, None, seed),
    )
    if absent is not None:
        for dataset in instances:
            dataset.RecommendedAbsentPixelCIELabValue = list(ABSENT_COLORS[absent][0])
    image = ExpectedImage((finest.expected(absent=holes), coarse.expected()))
    fill = ABSENT_COLORS[absent or "white"][1]
    return TestSlide(slide, instances, (image,), tolerance=codec.tolerance, fill=fill)


def sparse_fluorescence(seed: int = 40) -> TestSlide:
    """TILED_SPARSE over two optical paths and two focal planes, with different holes in each."""
    slide = f"sparse fluorescence {seed}"
    level = Level(
        noisy_gray(seed, (2, 2, 50, 70), 16), (16, 32), codec=GRAY, bits=16, paths=CHANNELS[:2],
        z=(0.0, 0.003),
    )  # fmt: skip
    holes = no_tiles(level.pixels, level.tile, 1)
    holes[0, 0, 0, 0] = holes[0, 1, 2, 1] = holes[1, 0, 3, 2] = holes[1, 0, 1, 0] = True
    dataset = _shuffled(Identity(slide, 1), level, holes, seed)
    identifiers = tuple(path.identifier for path in level.paths)
    image = ExpectedImage((level.expected(absent=holes),), identifiers, level.z)
    return TestSlide(slide, (dataset,), (image,), fill=(0,))


def poor_headers(seed: int = 50) -> TestSlide:
    """Two levels without four common attributes; the finest is split without a concatenation.

    Absent are ImageType, DimensionOrganizationType, FrameOfReferenceUID and OpticalPathSequence.
    """
    slide = f"poor headers {seed}"
    finest = Level(noisy_color(seed, 100, 140), (32, 32))
    coarse = replace(finest, pixels=shrink(finest.pixels, 50, 70), spacing=(0.001, 0.001))
    tiles = finest.tiles()
    instances = (
        sparse_instance(Identity(slide, 1), finest, tiles[: len(tiles) // 2]),
        sparse_instance(Identity(slide, 2), coarse, coarse.tiles()),
        sparse_instance(Identity(slide, 3), finest, tiles[len(tiles) // 2 :]),
    )
    for dataset in instances:
        _impoverish(dataset)
    image = ExpectedImage((finest.expected(), coarse.expected()))
    return TestSlide(slide, instances, (image,))


def off_grid(seed: int = 60, position: int = 5) -> TestSlide:
    """One tile of 16 pixels begins at ``position``, counted from one: no chunk grid fits."""
    slide = f"off grid {seed} {position}"
    level = Level(noisy_color(seed, 48, 48), (16, 16))
    dataset = sparse_instance(Identity(slide, 1), level, level.tiles())
    moved = dataset.PerFrameFunctionalGroupsSequence[4].PlanePositionSlideSequence[0]
    moved.ColumnPositionInTotalImagePixelMatrix = position
    return TestSlide(slide, (dataset,), ())


def overlapping_tiles(seed: int = 70) -> TestSlide:
    """Two frames with different pixels claim one place of the grid."""
    slide = f"overlapping {seed}"
    level = Level(noisy_color(seed, 48, 48), (16, 16))
    tiles = level.tiles()
    tiles[5] = replace(tiles[5], row=tiles[1].row, column=tiles[1].column)
    dataset = sparse_instance(Identity(slide, 1), level, tiles)
    return TestSlide(slide, (dataset,), ())


def _shuffled(identity: Identity, level: Level, holes: Mask | None, seed: int) -> Dataset:
    stored = [
        tile for tile in level.tiles() if holes is None or not holes[tile.path, tile.plane, tile.row, tile.column]
    ]
    order = np.random.default_rng(seed).permutation(len(stored))
    return sparse_instance(identity, level, [stored[index] for index in order])


def _impoverish(dataset: Dataset) -> None:
    del dataset.ImageType, dataset.DimensionOrganizationType, dataset.FrameOfReferenceUID
    del dataset.OpticalPathSequence, dataset.NumberOfOpticalPaths
    del dataset.SharedFunctionalGroupsSequence[0].WholeSlideMicroscopyImageFrameTypeSequence
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        del groups.OpticalPathIdentificationSequence
