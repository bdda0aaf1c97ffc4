"""JPEG at 1/2 or 1/4 of its size, faster than all of it: by libjpeg-turbo through Pillow, if that is there.

Other codecs here cannot be asked for less than all of a frame.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL.JpegImagePlugin import JpegImageFile

MOST: Final = 4
"""Each block of 8 x 8 pixels becomes one of 2 x 2. One of a single pixel would show too little of what is damaged, and
too little colour."""

_NAMED_RGB: Final = [ord(name) for name in "RGB"]


def decode_at(scale: int, data: bytes, *, is_ybr: bool) -> npt.NDArray[Any]:
    """Decode a JPEG of 8 bits at a fraction of its size.

    Args:
        scale: 2 or 4.
        data: The codestream.
        is_ybr: Its components are YCbCr, which is to be converted.

    Returns:
        Shape (rows, columns[, samples]), each of them divided by ``scale`` and rounded up.

    Raises:
        ValueError: Pillow is not there, does not read it, or would show other colours.
    """
    try:
        from PIL import Image  # noqa: PLC0415  # an extra

        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            _check_colours(picture, is_ybr=is_ybr)  # type: ignore[arg-type]
            picture.draft(None, (picture.width // scale, picture.height // scale))
            return np.asarray(picture)
    except (ImportError, OSError, SyntaxError) as error:
        raise ValueError(f"it is not read by Pillow: {type(error).__name__}") from None


def _check_colours(picture: JpegImageFile, *, is_ybr: bool) -> None:
    """Raises unless libjpeg takes components for what they are: it guesses by markers, and Pillow cannot tell it."""
    if len(picture.layer) == 1:
        return
    taken_for_ybr = "jfif" in picture.info or bool(
        picture.info.get("adobe_transform", [each[0] for each in picture.layer] != _NAMED_RGB)
    )
    if taken_for_ybr != is_ybr:
        raise ValueError("its components would be taken for other colours")
