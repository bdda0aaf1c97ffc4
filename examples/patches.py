"""Patches of tissue for training, batch by batch: while one batch is worked on, the next is on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from series import command_line, in_colour, series

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    import dicomzarr

    Pixels = npt.NDArray[np.generic]

COLOURFUL = 20
"""Stained tissue is colourful, glass is grey: how far the brightest of R, G, B lies above the darkest."""


def tissue_patches(image: dicomzarr.Image, side: int) -> list[Any]:
    """Regions of level 0, ``side`` pixels high and wide, with tissue in the middle; the coarsest level tells."""
    fine, coarse = image.levels[0], image.levels[-1]
    overview = coarse[...].astype(int)
    is_tissue = np.ptp(overview, axis=0) > COLOURFUL
    _, rows, columns = fine.shape
    corners = [(y, x) for y in range(0, rows - side + 1, side) for x in range(0, columns - side + 1, side)]
    shrink = np.array(coarse.shape[-2:]) / (rows, columns)
    middles = ((np.array(corners) + side / 2) * shrink).astype(int)
    return [
        np.s_[:, y : y + side, x : x + side]
        for (y, x), (row, column) in zip(corners, middles, strict=True)
        if is_tissue[row, column]
    ]


def batches_of(level: dicomzarr.Level, regions: Sequence[Any], size: int) -> Iterator[list[Pixels]]:
    """The pixels of regions, ``size`` of them in one plan."""
    for start in range(0, len(regions), size):
        pixels = level.read(regions[start : start + size])
        level.prefetch(regions[start + size : start + 2 * size])  # returns at once
        yield pixels


def main() -> None:
    """Read all patches in random order, as training does, and print their mean colour."""
    parser = command_line(__doc__)
    parser.add_argument("--side", type=int, default=224, help="pixels")
    parser.add_argument("--batch", type=int, default=8, help="patches")
    parser.add_argument("--cache-dir", help="keep what was read in this directory, for the next epoch or run")
    arguments = parser.parse_args()
    with series(arguments.url, cache_dir=arguments.cache_dir) as image:
        regions = tissue_patches(in_colour(image), arguments.side)
        np.random.default_rng(0).shuffle(regions)
        batches = batches_of(image.levels[0], regions, arguments.batch)
        means = [patch.mean(axis=(1, 2)) for batch in batches for patch in batch]
    print(f"{len(means)} patches of tissue, mean R, G, B {np.mean(means, axis=0).round(1)}")


if __name__ == "__main__":
    main()
