"""What ``dicomzarr demo`` does: the demo slide behind a server in this process, and its tissue measured with dask."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomzarr.faces.demo.archive import Archive, stored
from dicomzarr.faces.demo.phantoms import phantoms
from dicomzarr.faces.demo.server import DICOMwebServer
from dicomzarr.faces.demo.slide import SERIES, STUDY, demo_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from dicomzarr.arrays.level import Level

COLOURFUL = 20
"""A pixel counts as tissue when its R, G and B differ by more than this: stains are colourful, glass is grey."""


@dataclass(frozen=True, slots=True, eq=False)
class Tissue:
    """How much of a level is tissue."""

    whole: float
    """The fraction of all pixels, from 0 to 1."""
    tiles: npt.NDArray[np.float64]
    """The fraction of each tile; shape (rows of tiles, columns of tiles)."""


@contextmanager
def demo_server() -> Iterator[DICOMwebServer]:
    """The demo slide on a free port of 127.0.0.1."""
    with DICOMwebServer(demo_files()[0].parent) as server:
        yield server


@contextmanager
def demo_archive() -> Iterator[DICOMwebServer]:
    """The demo slide, a CT with segments, a perfusion MR and fluorescence, on a free port of 127.0.0.1."""
    files = [stored(file).hinted for file in demo_files()]
    made = [stored(dataset).hinted for dataset in phantoms()]
    with DICOMwebServer(Archive([*files, *made])) as server:
        yield server


def demo_url(server: DICOMwebServer) -> str:
    """The URL of the demo slide, as any other slide has one."""
    return server.series_url(STUDY, SERIES)


def measure_tissue(level: Level) -> Tissue:
    """Read a whole level by dask, and count the pixels of each tile that are tissue.

    Args:
        level: One with R, G, B along c, its first axis.
    """
    pixels: Any = level.to_dask()  # dask is only partly typed
    is_tissue = (pixels.max(axis=0) - pixels.min(axis=0)) > COLOURFUL
    tiles = is_tissue.rechunk(level.chunks[-2:])
    counts = tiles.map_blocks(np.sum, keepdims=True, chunks=(1, 1), meta=np.empty((0, 0), np.int64)).compute()
    return Tissue(float(counts.sum() / tiles.size), counts / np.outer(*tiles.chunks))
