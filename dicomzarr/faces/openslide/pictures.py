"""Pixels of a level as Pillow takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from dicomzarr.arrays.level import Level


def pillow() -> Any:
    """Pillow's module of pictures.

    Raises:
        UsageError: It is not installed.
    """
    try:
        from PIL import Image  # noqa: PLC0415  # an extra
    except ModuleNotFoundError:
        raise UsageError(
            "Slides as OpenSlide has them are pictures of Pillow, which is not installed.",
            remedy='Install it: pip install "dicomzarr[openslide]".',
        ) from None
    return Image


def rgba(level: Level, starts: Sequence[int], size: Sequence[int]) -> npt.NDArray[np.uint8]:
    """A region of a level, transparent black where it lies beyond the level.

    Args:
        level: In R, G, B along c.
        starts: (x, y) of the first pixel, in the level's.
        size: (width, height).

    Returns:
        Shape (height, width, 4).
    """
    canvas = np.zeros((size[1], size[0], 4), np.uint8)
    (left, right), (top, bottom) = (
        (min(max(start, 0), length), min(max(start + count, 0), length))
        for start, count, length in zip(starts, size, level.shape[:-3:-1], strict=True)
    )
    if left < right and top < bottom:
        middle = {"z": level.shape[level.axes.index("z")] // 2 if "z" in level.axes else 0, "t": 0}
        window = middle | {"y": slice(top, bottom), "x": slice(left, right)}
        region = tuple(window.get(name, slice(None)) for name in level.axes)
        order = "".join(name for name in "tzyxc" if name in level.axes)
        part = canvas[top - starts[1] : bottom - starts[1], left - starts[0] : right - starts[0]]
        part[..., :3] = level.read([region], order=order)[0]
        part[..., 3] = 255
    return canvas
