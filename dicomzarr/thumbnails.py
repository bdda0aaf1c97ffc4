"""Small pictures of an image: eight-bit R, G, B for people to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.arrays import Image, Level

    Floats = npt.NDArray[np.float32]

_BRIGHTEST = 99.9
"""Percentile that is shown as full brightness where channels are no colours."""


def overview(image: Image, size: int) -> npt.NDArray[np.uint8]:
    """The image at most ``size`` pixels a side, shape (rows, columns, 3).

    Read from the coarsest level that is large enough; the middle focal plane; channels in their colours.
    """
    level = _level_for(image, size)
    pixels = _shrink(_planes(level), size)
    if image.plan.color:
        low, high = image.channels[0].window
        mixed = (pixels[:3] - low) / (high - low)
    else:
        mixed = _mix(pixels, [channel.color for channel in image.channels])
    shown = np.rint(np.clip(mixed, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(shown, 0, -1))


def _level_for(image: Image, size: int) -> Level:
    """The coarsest level with enough pixels, else the finest."""
    enough = [level for level in image.levels if max(level.shape[-2:]) >= size]
    return enough[-1] if enough else image.levels[0]


def _planes(level: Level) -> Floats:
    """All channels of the middle focal plane, shape (channel, rows, columns)."""
    axes = level.axes
    index = tuple(
        size // 2 if name == "z" else 0 if name == "t" else slice(None)
        for name, size in zip(axes, level.shape, strict=True)
    )
    pixels: Floats = np.asarray(level[index], dtype=np.float32)
    return pixels if "c" in axes else pixels[np.newaxis]


def _shrink(pixels: Floats, size: int) -> Floats:
    """Means over blocks of nearly equal size, so that the longer side is at most ``size``."""
    longest = max(pixels.shape[-2:])
    if longest <= size:
        return pixels
    for axis in (1, 2):
        count = pixels.shape[axis]
        edges = np.linspace(0, count, max(1, round(count * size / longest)) + 1).astype(np.intp)
        shape = [-1 if each == axis else 1 for each in range(3)]
        counts = np.diff(edges).astype(np.float32).reshape(shape)
        pixels = (np.add.reduceat(pixels, edges[:-1], axis=axis) / counts).astype(np.float32)
    return pixels


def _mix(pixels: Floats, colors: list[str]) -> Floats:
    """Channels added up in their colours, each stretched to its own brightest."""
    mixed = np.zeros((3, *pixels.shape[1:]), np.float32)
    for channel, color in zip(pixels, colors, strict=True):
        low = float(channel.min())
        span = max(float(np.percentile(channel, _BRIGHTEST)) - low, 1.0)
        weights = np.frombuffer(bytes.fromhex(color), np.uint8).astype(np.float32) / 255
        mixed += weights[:, None, None] * ((channel - low) / span)
    return mixed
