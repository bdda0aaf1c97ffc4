"""Small pictures of an image: eight-bit R, G, B for people to look at."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING

import numpy as np

from dicomzarr.errors import UsageError
from dicomzarr.plan import Channel
from dicomzarr.plan.coverage import area, covers

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from dicomzarr.arrays.level import Level, MultiscaleImage
    from dicomzarr.plan.coverage import Area

    Floats = npt.NDArray[np.float32]
    Edges = npt.NDArray[np.intp]

_BRIGHTEST = 99.9
"""Percentile that is shown as full brightness where channels are no colours."""

_LABEL = Channel("label", "FFFFFF", (0.0, 1.0))
"""How a label image is shown, which has no channels."""

_BAND = 2048
"""Rows that are held at a time."""

_MOST_FRAMES = 2**20
"""Frames along y and x of a level that is read for the sake of a thumbnail."""


def overview(image: MultiscaleImage, size: int, *, band: int = _BAND) -> npt.NDArray[np.uint8]:
    """An image, in colour if people want to see it so, at most ``size`` pixels a side, shape (rows, columns, 3).

    It shows the area of level 0, read from the coarsest level that has all of it and is large enough: the middle focal
    plane or slice, or the nearest one that is there; channels in their colours, those that are all shown alike by the
    first; palettes in colour, grey by the header's window.

    Args:
        image: What is shown.
        size: Pixels of the longer side, at most.
        band: Rows that are held at a time.

    Raises:
        UsageError: The size is no number of pixels, or that level has more than 2**20 frames.
    """
    size = _side(size)
    level = _level_for(image, size)
    _check_frames(level)
    with np.errstate(all="ignore"):  # values and windows may be of any size; a picture shows what it can
        return _picture(image, level, size, band)


def _side(size: object) -> int:
    """A number of pixels, which may be NumPy's."""
    try:
        side = operator.index(size)  # type: ignore[arg-type]  # which is what is found out
    except TypeError:
        side = 0
    if side < 1:
        raise UsageError(
            f"The size of a thumbnail is {size!r:.40}, and should be a whole number of pixels above zero.",
            remedy="It is that of the longer side: write thumbnail(256).",
        )
    return side


def _picture(image: MultiscaleImage, level: Level, size: int, band: int) -> npt.NDArray[np.uint8]:
    pixels = _shrunk(level, _slice(image), area(image.plan, image.plan.levels[level.number]), size, band)
    if image.plan.color:
        low, high = image.channels[0].window
        mixed = (pixels[:3] - low) / (high - low)
    else:
        alike = len({channel.color for channel in image.channels}) == 1
        shown = image.channels[:1] if alike else image.channels
        mixed = _mix(pixels, shown or [_LABEL])
    picture: npt.NDArray[np.uint8] = np.rint(np.clip(np.nan_to_num(mixed), 0, 1) * 255).astype(np.uint8)
    return np.moveaxis(picture, 0, -1).copy()  # whose strides encoders take, also along axes of one


def _level_for(image: MultiscaleImage, size: int) -> Level:
    """The coarsest level that shows all of level 0 by enough pixels, else the finest."""
    enough = [
        level
        for level, planned in zip(image.levels, image.plan.levels, strict=True)
        if covers(image.plan, planned) and max(stop - start for start, stop in area(image.plan, planned)) >= size
    ]
    return enough[-1] if enough else image.levels[0]


def _check_frames(level: Level) -> None:
    frames = math.prod(-(-length // chunk) for length, chunk in zip(level.shape[-2:], level.chunks[-2:], strict=True))
    if frames > _MOST_FRAMES:
        *_, rows, columns = level.shape
        raise UsageError(
            f"A thumbnail would be made of level {level.number}, {rows} x {columns} pixels in {frames} frames; "
            f"{_MOST_FRAMES} are the most.",
            remedy="The series has no coarser level that would serve: index the level, or ask for a smaller thumbnail.",
        )


def pixels_read(image: MultiscaleImage, size: int) -> int:
    """Pixels of the level that `overview` reads: a slide without coarse levels has only a large one."""
    *_, rows, columns = _level_for(image, size).shape
    return rows * columns


def _slice(image: MultiscaleImage) -> int:
    """The focal plane or slice in the middle; the nearest to it that is there in all channels, where it is absent."""
    level = image.levels[0]
    count = level.shape[level.axes.index("z")] if "z" in level.axes else 1
    absent = {cell.get("z", 0) for cell in image.plan.attributes.absent if cell.get("t", 0) == 0}
    middle = count // 2
    return min((z for z in range(count) if z not in absent), key=lambda z: abs(z - middle), default=middle)


def _planes(level: Level, z: int, rows: slice, columns: slice) -> Floats:
    """All channels of a focal plane or slice, shape (channel, rows, columns)."""
    place = {"t": 0, "z": z, "y": rows, "x": columns}
    pixels: Floats = np.asarray(level[tuple(place.get(name, slice(None)) for name in level.axes)], dtype=np.float32)
    return pixels if "c" in level.axes else pixels[np.newaxis]


def _shrunk(level: Level, z: int, shown: Area, size: int, band: int) -> Floats:
    """Means over blocks of nearly equal size, so that the longer side is at most ``size``; read in bands of rows."""
    counts = [stop - start for start, stop in shown]
    shrink = min(1.0, size / max(counts))
    row_edges, column_edges = (
        np.linspace(start, stop, max(1, round(count * shrink)) + 1).astype(np.intp)
        for (start, stop), count in zip(shown, counts, strict=True)
    )
    bands = np.array_split(np.arange(len(row_edges) - 1), max(1, counts[0] // band))
    return np.concatenate([_band(level, z, row_edges[each[0] : each[-1] + 2], column_edges) for each in bands], axis=1)


def _band(level: Level, z: int, row_edges: Edges, column_edges: Edges) -> Floats:
    rows, columns = (
        np.clip(np.arange(edges[0], edges[-1]), 0, size - 1)  # what it lacks, of rounded sizes, is as beside it
        for edges, size in zip((row_edges, column_edges), level.shape[-2:], strict=True)
    )
    pixels = _planes(level, z, *(slice(int(places[0]), int(places[-1]) + 1) for places in (rows, columns)))
    if pixels.shape[1:] != (len(rows), len(columns)):
        pixels = pixels[:, (rows - rows[0])[:, None], columns - columns[0]]
    down = np.add.reduceat(pixels, row_edges[:-1] - row_edges[0], axis=1) / np.diff(row_edges)[:, None]
    across = np.add.reduceat(down, column_edges[:-1] - column_edges[0], axis=2) / np.diff(column_edges)
    return across.astype(np.float32)


def _mix(pixels: Floats, channels: Sequence[Channel]) -> Floats:
    """Channels added up in their colours, each by its window, or stretched to its own brightest."""
    mixed = np.zeros((3, *pixels.shape[1:]), np.float32)
    for plane, channel in zip(pixels, channels, strict=False):
        low, high = channel.shown or _extent(plane)
        weights = np.frombuffer(bytes.fromhex(channel.color), np.uint8).astype(np.float32) / 255
        bright = np.clip((plane - low) / (high - low), 0, 1)
        shade = np.nan_to_num(1 - bright if channel.inverted else bright)  # what has no value is background
        mixed += weights[:, None, None] * shade
    return mixed


def _extent(plane: Floats) -> tuple[float, float]:
    finite = plane[np.isfinite(plane)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(np.percentile(finite, _BRIGHTEST))
    return low, high if high > low else low + 1.0
