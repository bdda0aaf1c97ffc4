"""The pictures of the synthetic slides, and their cutting into tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slides_model import Mask, Pixels

PAD = 77
"""What edge tiles hold outside the total pixel matrix: anything but what a reader would guess."""


@dataclass(frozen=True)
class Tile:
    """One frame with its place; all numbers count from zero."""

    path: int
    plane: int
    row: int
    column: int
    pixels: Pixels
    """(rows, columns, samples), full size."""


def smooth_color(seed: int, rows: int, columns: int) -> Pixels:
    """RGB as (3, 1, rows, columns) uint8: slow waves, kept well by lossy codecs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns]
    waves = []
    for _ in range(3):
        phase, down, across = rng.uniform((0, 0.02, 0.04), (6, 0.03, 0.06))
        waves.append(128 + 80 * np.sin(phase + down * y + across * x))
    return np.stack(waves).astype(np.uint8)[:, np.newaxis]


def noisy_color(seed: int, rows: int, columns: int) -> Pixels:
    """As :func:`smooth_color`, with noise, so that no two pixels can be taken for one another."""
    grain = np.random.default_rng(seed + 1).integers(-40, 40, (3, 1, rows, columns))
    return (smooth_color(seed, rows, columns) + grain).astype(np.uint8)


def noisy_gray(seed: int, shape: tuple[int, int, int, int], bits: int) -> Pixels:
    """Random values below ``2**bits`` as (paths, z, y, x), in the smallest type that holds them."""
    dtype = np.uint8 if bits <= 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 1 << bits, shape, dtype)


def shrink(pixels: Pixels, rows: int, columns: int) -> Pixels:
    """Nearest pixels of (c, z, y, x), so that a level is exact by definition."""
    down = np.arange(rows) * pixels.shape[2] // rows
    across = np.arange(columns) * pixels.shape[3] // columns
    return pixels[:, :, down][:, :, :, across]


def grid_of(pixels: Pixels, tile: tuple[int, int]) -> tuple[int, int]:
    """Tile rows and tile columns that cover (c, z, y, x)."""
    return (-(-pixels.shape[2] // tile[0]), -(-pixels.shape[3] // tile[1]))


def no_tiles(pixels: Pixels, tile: tuple[int, int], samples: int) -> Mask:
    """All False, in the shape of ``ExpectedLevel.absent``."""
    return np.zeros((pixels.shape[0] // samples, pixels.shape[1], *grid_of(pixels, tile)), np.bool_)


def blank(pixels: Pixels, tile: tuple[int, int], missing: Mask) -> Pixels:
    """A copy of (c, z, y, x) with zeros where tiles are missing."""
    result = pixels.copy()
    samples = pixels.shape[0] // missing.shape[0]
    for path, plane, row, column in np.argwhere(missing):
        channels = slice(path * samples, (path + 1) * samples)
        down = slice(row * tile[0], (row + 1) * tile[0])
        across = slice(column * tile[1], (column + 1) * tile[1])
        result[channels, plane, down, across] = 0
    return result


def cut(pixels: Pixels, tile: tuple[int, int], samples: int, *, pad_edge: bool) -> Iterator[Tile]:
    """Tiles of (c, z, y, x) in the order of TILED_FULL (PS3.3 section C.7.6.17.3).

    Args:
        pixels: c is ``samples`` colours of one optical path, or one grey value per path.
        tile: Rows and columns.
        samples: 1 or 3.
        pad_edge: Continue the edge outwards, which codecs like; else fill with ``PAD``.
    """
    rows, columns = grid_of(pixels, tile)
    missing = (rows * tile[0] - pixels.shape[2], columns * tile[1] - pixels.shape[3])
    widths = ((0, 0), (0, 0), (0, missing[0]), (0, missing[1]))
    full = np.pad(pixels, widths, "edge") if pad_edge else np.pad(pixels, widths, constant_values=PAD)
    order = np.ndindex(pixels.shape[0] // samples, pixels.shape[1], rows, columns)
    for path, plane, row, column in order:
        down = slice(row * tile[0], (row + 1) * tile[0])
        across = slice(column * tile[1], (column + 1) * tile[1])
        planar = full[path * samples : (path + 1) * samples, plane, down, across]
        yield Tile(path, plane, row, column, np.moveaxis(planar, 0, -1))
