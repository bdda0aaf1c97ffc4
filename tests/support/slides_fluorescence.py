"""Slides with several optical paths or several focal planes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from slides_codecs import GRAY
from slides_instances import Identity, Level, OpticalPath, full_instance, sparse_instance
from slides_model import ExpectedImage, TestSlide
from slides_pixels import noisy_color, noisy_gray, shrink

if TYPE_CHECKING:
    from pydicom import Dataset

RESAMPLED = ("DERIVED", "PRIMARY", "VOLUME", "RESAMPLED")
CHANNELS = (
    OpticalPath("DAPI", "Nuclei", 461.0),
    OpticalPath("FITC", "Membrane", 519.0),
    OpticalPath("TRITC", "Cytoplasm", 572.0),
)


def fluorescence_focal_stack(seed: int = 0) -> TestSlide:
    """Three optical paths x two focal planes in each of two TILED_FULL levels; 12 of 16 bits."""
    slide = f"focal stack {seed}"
    finest = Level(
        noisy_gray(seed, (3, 2, 70, 100), 12), (24, 32), (0.0004, 0.0005), GRAY, 12, CHANNELS,
        (0.0, 0.0015),
    )  # fmt: skip
    coarse = replace(finest, pixels=shrink(finest.pixels, 35, 50), tile=(16, 32), spacing=(0.0008, 0.001))
    instances = (
        full_instance(Identity(slide, 1), finest),
        full_instance(Identity(slide, 2, RESAMPLED), coarse),
    )
    levels = (finest.expected(), coarse.expected())
    image = ExpectedImage(levels, tuple(path.identifier for path in CHANNELS), finest.z)
    return TestSlide(slide, instances, (image,), fill=(0,))


def channels_in_instances(seed: int = 10) -> TestSlide:
    """Three fluorescence channels, each in its own instance, at each of two levels."""
    slide = f"channels in instances {seed}"
    finest = Level(noisy_gray(seed, (3, 1, 75, 90), 16), (32, 32), (0.0005, 0.0005), GRAY, 16, CHANNELS)
    coarse = replace(finest, pixels=shrink(finest.pixels, 38, 45), spacing=(0.001, 0.001))
    instances: list[Dataset] = []
    for level, image_type in ((finest, Identity.image_type), (coarse, RESAMPLED)):
        for path in range(3):
            identity = Identity(slide, len(instances) + 1, image_type)
            one = replace(level, pixels=level.pixels[path : path + 1], paths=(CHANNELS[path],))
            instances.append(full_instance(identity, one))
    shuffled = tuple(instances[number] for number in (4, 2, 0, 5, 3, 1))
    image = ExpectedImage((finest.expected(), coarse.expected()), tuple(path.identifier for path in CHANNELS))
    return TestSlide(slide, shuffled, (image,), fill=(0,))


def focal_planes_in_instances(seed: int = 20, *, by_frame: bool = False) -> TestSlide:
    """Three focal planes, each in its own instance.

    Args:
        seed: Of the pixels.
        by_frame: Say Z in each frame's Plane Position (Slide), else once in
            TotalPixelMatrixOriginSequence.
    """
    slide = f"focal planes in instances {seed} {by_frame}"
    z = (0.0, 0.002, 0.004)
    planes = [noisy_color(seed + plane, 70, 90) for plane in range(3)]
    level = Level(np.concatenate(planes, axis=1), (32, 32), z=z)
    instances: list[Dataset] = []
    for number, plane in enumerate((1, 2, 0), start=1):
        one = replace(level, pixels=planes[plane], z=z[plane : plane + 1])
        identity = Identity(slide, number)
        if by_frame:
            dataset = sparse_instance(identity, one, one.tiles())
        else:
            dataset = full_instance(identity, one)
            origin = dataset.TotalPixelMatrixOriginSequence[0]
            origin.ZOffsetInSlideCoordinateSystem = str(z[plane])
        instances.append(dataset)
    image = ExpectedImage((level.expected(),), z=z)
    return TestSlide(slide, tuple(instances), (image,))
