"""What OpenSlide says of a slide in its properties: those keys that tools read, and nothing that identifies anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomzarr.faces.openslide.associated import associated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dicomzarr.arrays.image import Image
    from dicomzarr.arrays.level import Level


def slide_properties(image: Image, shrinks: Sequence[float]) -> dict[str, str]:
    """Properties by name.

    Args:
        image: The slide.
        shrinks: The downsample of each level.
    """
    return dict(sorted((*_of_slide(image), *_of_levels(image, shrinks), *_of_associated(image))))


def whole_downsample(level: Level) -> float:
    """The downsample of a level, as a whole number where that moves none of its pixels by half of one.

    Tools cut off what follows the point, and spacings are rounded in files: 3.9999 would become 3.
    """
    found, whole = level.downsample, round(level.downsample)
    return float(whole) if abs(found / whole - 1) * max(level.shape[-2:]) < 0.5 else found  # noqa: PLR2004  # as it says


def _number(value: float) -> str:
    """As OpenSlide writes it: whole numbers without a point, for tools that read them as such."""
    return f"{value:.0f}" if value == int(value) else repr(float(value))


def _of_slide(image: Image) -> Iterator[tuple[str, str]]:
    level = image.levels[0]
    yield "openslide.vendor", "dicom"
    yield "openslide.level-count", str(len(image.levels))
    yield "openslide.bounds-x", "0"
    yield "openslide.bounds-y", "0"
    yield "openslide.bounds-width", str(level.shape[-1])
    yield "openslide.bounds-height", str(level.shape[-2])
    yield "openslide.background-color", "".join(f"{round(value):02x}" for value in _background(image))
    if image.mpp is not None:
        yield "openslide.mpp-x", _number(image.mpp[0])
        yield "openslide.mpp-y", _number(image.mpp[1])
    if image.magnification is not None:
        yield "openslide.objective-power", _number(image.magnification)


def _background(image: Image) -> Sequence[float]:
    absent = image.plan.levels[0].absent
    return absent if len(absent) > 1 else absent * 3


def _of_levels(image: Image, shrinks: Sequence[float]) -> Iterator[tuple[str, str]]:
    for number, (level, shrink) in enumerate(zip(image.levels, shrinks, strict=True)):
        yield f"openslide.level[{number}].downsample", _number(shrink)
        yield f"openslide.level[{number}].height", str(level.shape[-2])
        yield f"openslide.level[{number}].width", str(level.shape[-1])
        yield f"openslide.level[{number}].tile-height", str(level.chunks[-2])
        yield f"openslide.level[{number}].tile-width", str(level.chunks[-1])


def _of_associated(image: Image) -> Iterator[tuple[str, str]]:
    for name, picture in associated(image).items():
        yield f"openslide.associated.{name}.height", str(picture.levels[0].shape[-2])
        yield f"openslide.associated.{name}.width", str(picture.levels[0].shape[-1])
