"""How much of each tile of a slide is tissue, with dask.

Prints one digit a tile: tenths of it that are tissue, a dot for none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from series import command_line, in_colour, series

if TYPE_CHECKING:
    import dicomzarr

COLOURFUL = 20
"""Stained tissue is colourful, glass is grey: how far the brightest of R, G, B lies above the darkest."""


def tissue_fractions(level: dicomzarr.Level) -> Any:
    """The fraction of tissue in each tile, a dask array of shape (rows of tiles, columns of tiles)."""
    pixels: Any = level.to_dask()  # blocks of many frames: one task a frame would cost more than the reading
    is_tissue = pixels.max(axis=0) - pixels.min(axis=0) > COLOURFUL
    tiles = is_tissue.rechunk(level.chunks[-2:])
    return tiles.map_blocks(np.mean, keepdims=True, chunks=(1, 1), meta=np.empty((0, 0)))


def main() -> None:
    """Read the level and print its map."""
    parser = command_line(__doc__)
    parser.add_argument("--level", type=int, default=0, help="0 is the finest")
    arguments = parser.parse_args()
    with series(arguments.url) as image:
        level = in_colour(image).levels[arguments.level]
        fractions = tissue_fractions(level).compute()
    for row in fractions:
        print("".join("." if value < 0.05 else str(min(9, int(value * 10))) for value in row))  # noqa: PLR2004  # said above
    rows, columns = fractions.shape
    print(f"{rows} x {columns} tiles, {(fractions >= 0.5).sum()} of them at least half tissue")  # noqa: PLR2004  # said here


if __name__ == "__main__":
    main()
