"""Brightfield slides of TILED_FULL levels: pyramids, parts, and what lies beside the levels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PIL import ImageCms
from slides_codecs import CODECS
from slides_fluorescence import RESAMPLED
from slides_instances import Identity, Level, full_instance
from slides_model import ExpectedImage, TestSlide
from slides_pixels import no_tiles, noisy_color, shrink, smooth_color

if TYPE_CHECKING:
    from pydicom import Dataset

PART_SIZES = (5, 4, 3)
"""Frames in each part of :func:`concatenation`."""
RATIOS = (1.0, 1.945, 3.89, 7.02)
"""How much coarser the levels of :func:`brightfield_pyramid` are."""


def concatenation(seed: int = 80, leave_out: int | None = None) -> TestSlide:
    """One TILED_FULL level of 3 x 4 tiles in a concatenation of three instances (C.7.6.16).

    InstanceNumbers and the order of the datasets contradict the order of the parts.

    Args:
        seed: Of the pixels.
        leave_out: InConcatenationNumber of a part that is lost.
    """
    slide = f"concatenation {seed} {leave_out}"
    level = Level(noisy_color(seed, 90, 120), (32, 32))
    lost = no_tiles(level.pixels, level.tile, 3)
    instances = []
    for part in (3, 1, 2):
        first = sum(PART_SIZES[: part - 1])
        frames = slice(first, first + PART_SIZES[part - 1])
        if part == leave_out:
            lost.reshape(-1)[frames] = True
        else:
            identity = Identity(slide, {1: 30, 2: 10, 3: 20}[part])
            instances.append(_part(identity, level, part, frames))
    image = ExpectedImage((level.expected(lost=lost),))
    return TestSlide(slide, tuple(instances), (image,))


def brightfield_pyramid(seed: int = 90) -> TestSlide:
    """Four levels with ratios that are no powers of two, and label, overview and thumbnail.

    Every level has its own tile size; the last is one tile, larger than the level.
    """
    slide = f"pyramid {seed}"
    picture = noisy_color(seed, 200, 257)
    levels = []
    for ratio, tile in zip(RATIOS, ((64, 64), (48, 64), (32, 32), (64, 48)), strict=True):
        rows, columns = round(200 / ratio), round(257 / ratio)
        spacing = (0.0005 * 200 / rows, 0.0005 * 257 / columns)
        levels.append(Level(shrink(picture, rows, columns), tile, spacing))
    instances = [
        full_instance(Identity(slide, number, _volume(number)), level) for number, level in enumerate(levels, start=1)
    ]
    beside = {
        "label": noisy_color(seed + 5, 40, 50),
        "overview": noisy_color(seed + 6, 40, 100),
        "thumbnail": shrink(picture, 50, 64),
    }
    for number, (flavor, pixels) in enumerate(beside.items(), start=5):
        instances.append(_associated(Identity(slide, number), flavor.upper(), Level(pixels, pixels.shape[2:])))
    for dataset in instances:
        dataset.OpticalPathSequence[0].ICCProfile = srgb_profile()
    shuffled = tuple(instances[index] for index in (5, 2, 0, 6, 3, 1, 4))
    image = ExpectedImage(tuple(level.expected() for level in levels))
    return TestSlide(slide, shuffled, (image,), beside)


def deep_pyramid(levels: int = 12, side: int = 640, codec: str = "jpeg_ybr_full_422", seed: int = 95) -> TestSlide:
    """Many levels of compressed tiles, each in a file of its own."""
    slide = f"deep pyramid {levels} {side} {codec} {seed}"
    picture, chosen = smooth_color(seed, side, side), CODECS[codec]
    found = []
    for number in range(levels):
        size = round(side / 1.3**number)
        spacing = (0.0005 * side / size,) * 2
        found.append(Level(shrink(picture, size, size), (32, 32), spacing, codec=chosen))
    instances = tuple(
        full_instance(Identity(slide, number, _volume(number)), level) for number, level in enumerate(found, start=1)
    )
    image = ExpectedImage(tuple(level.expected() for level in found))
    return TestSlide(slide, instances, (image,), tolerance=chosen.tolerance)


def two_pyramids(seed: int = 100) -> TestSlide:
    """Two pyramids of the same sizes in one series, told apart by PyramidUID (0008,0019)."""
    slide = f"two pyramids {seed}"
    instances, images = [], []
    for pyramid in range(2):
        finest = Level(noisy_color(seed + pyramid, 80, 100), (32, 32))
        coarse = replace(finest, pixels=shrink(finest.pixels, 40, 50), spacing=(0.001, 0.001))
        for number, level in enumerate((finest, coarse), start=1):
            identity = Identity(slide, pyramid * 2 + number, _volume(number))
            dataset = full_instance(identity, level)
            dataset.PyramidUID = identity.uid("pyramid", str(pyramid))
            dataset.PyramidLabel = f"Pyramid {pyramid + 1}"
            instances.append(dataset)
        images.append(ExpectedImage((finest.expected(), coarse.expected())))
    shuffled = tuple(instances[index] for index in (2, 1, 0, 3))
    return TestSlide(slide, shuffled, tuple(images))


def extended_depth_of_field(seed: int = 110) -> TestSlide:
    """A plain level, and one of the same size that five focal planes were merged into."""
    slide = f"extended depth of field {seed}"
    plain = Level(noisy_color(seed, 60, 90), (32, 32))
    merged = Level(noisy_color(seed + 7, 60, 90), (32, 32))
    instances = (
        full_instance(Identity(slide, 1), merged),
        full_instance(Identity(slide, 2), plain),
    )
    instances[0].ExtendedDepthOfField = "YES"
    instances[0].NumberOfFocalPlanes = 5
    instances[0].DistanceBetweenFocalPlanes = 0.002
    images = tuple(ExpectedImage((level.expected(),)) for level in (plain, merged))
    return TestSlide(slide, instances, images)


def coded_slide(codec: str, seed: int = 120) -> TestSlide:
    """A small slide in one of ``CODECS``; lossy ones and YBR carry smooth pixels."""
    slide = f"codec {codec} {seed}"
    chosen = CODECS[codec]
    picture = smooth_color if chosen.tolerance else noisy_color
    level = Level(picture(seed, 70, 90), (32, 48), codec=chosen)
    instances = (full_instance(Identity(slide, 1), level),)
    return TestSlide(slide, instances, (ExpectedImage((level.expected(),)),), tolerance=chosen.tolerance)


def srgb_profile() -> bytes:
    """An sRGB ICC profile, the same bytes every time."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + bytes(12) + profile[36:]  # without the moment of its creation


def _volume(number: int) -> tuple[str, ...]:
    return Identity.image_type if number == 1 else RESAMPLED


def _part(identity: Identity, level: Level, part: int, frames: slice) -> Dataset:
    whole = full_instance(identity, level)
    size = len(whole.PixelData) // whole.NumberOfFrames
    whole.PixelData = whole.PixelData[frames.start * size : frames.stop * size]
    whole.NumberOfFrames = frames.stop - frames.start
    whole.ConcatenationUID = identity.uid("concatenation")
    whole.SOPInstanceUIDOfConcatenationSource = identity.uid("concatenation source")
    whole.InConcatenationNumber = part
    whole.InConcatenationTotalNumber = len(PART_SIZES)
    whole.ConcatenationFrameOffsetNumber = frames.start
    return whole


def _associated(identity: Identity, flavor: str, level: Level) -> Dataset:
    derived = flavor == "THUMBNAIL"
    first, last = ("DERIVED", "RESAMPLED") if derived else ("ORIGINAL", "NONE")
    named = replace(identity, image_type=(first, "PRIMARY", flavor, last))
    dataset = full_instance(named, level)
    if not derived:
        del dataset.DimensionOrganizationType, dataset.TotalPixelMatrixFocalPlanes
    if flavor == "LABEL":
        dataset.SpecimenLabelInImage, dataset.LabelText = "YES", "BARCODE-99"
    return dataset
