"""Pixels of a level as Pillow takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from PIL import Image as Picture

    from dicomzarr.arrays.image import Image

_SAMPLES: Final = 3
"""R, G, B."""


def pillow() -> Any:
    """Pillow's module of pictures.

    Raises:
        UsageError: It is not installed.
    """
    try:
        from PIL import Image as module  # noqa: N813, PLC0415  # an extra
    except ModuleNotFoundError:
        raise UsageError(
            "Slides as OpenSlide has them are pictures of Pillow, which is not installed.",
            remedy='Install it: pip install "dicomzarr[openslide]".',
        ) from None
    return module


def rgba(image: Image, number: int, starts: Sequence[int], size: Sequence[int]) -> npt.NDArray[np.uint8]:
    """A region of a level, transparent black where it lies beyond: the middle focal plane of the first optical path.

    Args:
        image: The slide, or an image beside it.
        number: Of the level.
        starts: (x, y) of the first pixel, in the level's.
        size: (width, height).

    Returns:
        Shape (height, width, 4).
    """
    level = image.levels[number]
    canvas = np.zeros((size[1], size[0], 4), np.uint8)
    (left, right), (top, bottom) = (
        (min(max(start, 0), length), min(max(start + count, 0), length))
        for start, count, length in zip(starts, size, level.shape[:-3:-1], strict=True)
    )
    if left < right and top < bottom:
        middle = level.shape[level.axes.index("z")] // 2 if "z" in level.axes else 0
        first = slice(_SAMPLES if image.plan.color else 1)
        window = {"z": middle, "y": slice(top, bottom), "x": slice(left, right), "c": first}
        region = tuple(window[name] for name in level.axes)
        order = "".join(name for name in window if name in level.axes)
        part = canvas[top - starts[1] : bottom - starts[1], left - starts[0] : right - starts[0]]
        part[..., :3] = _in_8_bits(image, np.atleast_3d(level.read([region], order=order)[0]))
        part[..., 3] = 255
    return canvas


def _in_8_bits(image: Image, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Colours of 8 bits as they are; else by the range of the type, dark where the header says so, never stretched."""
    if image.plan.color and pixels.dtype == np.uint8:
        return pixels
    channel = image.channels[0]
    black, white = reversed(channel.window) if channel.inverted else channel.window
    return np.rint(np.nan_to_num(np.clip((pixels - black) / (white - black), 0, 1)) * 255)


def profile_of(image: Image) -> bytes | None:
    """The ICC profile that the colours of an image's pixels go by; None if none is known.

    Raises:
        DicomZarrError: As for `Image.icc_profile`.
    """
    if image.plan.attributes.color_space is None:
        return image.icc_profile
    from PIL import ImageCms  # noqa: PLC0415  # littleCMS is for those who ask

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def with_profile(pixels: npt.NDArray[np.uint8], profile: bytes | None) -> Picture.Image:
    """A picture as OpenSlide gives it: its profile is in ``info``."""
    picture: Picture.Image = pillow().fromarray(pixels)
    if profile is not None:
        picture.info["icc_profile"] = profile
    return picture
