"""Selections of a level to arrays: the whole selection is planned at once, each frame decoded once."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomzarr.frames.loops import run_sync
from dicomzarr.frames.selection import plan_selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.instance import FrameRef
    from dicomzarr.frames.selection import Piece
    from dicomzarr.frames.source import FrameSource
    from dicomzarr.multiscale import LevelPlan

    Pixels = npt.NDArray[np.generic]
    Share = tuple[Pixels, Piece]


def read_level(source: FrameSource, level: LevelPlan, indices: Sequence[Any]) -> list[Pixels]:
    """Read several NumPy indices of a level in one plan.

    Args:
        source: Where frames come from.
        level: The array.
        indices: Anything that NumPy would take for an array of this shape.

    Raises:
        IndexError: As NumPy would.
        ServerError: A frame could not be fetched.
        FrameError: A frame could not be decoded.
    """
    selections = [plan_selection(index, level.shape, level.chunks) for index in indices]
    arrays = [np.empty(selection.shape, level.dtype) for selection in selections]
    shares: defaultdict[FrameRef | None, list[Share]] = defaultdict(list)
    for selection, array in zip(selections, arrays, strict=True):
        for piece in selection.pieces:
            shares[level.frames.locate(piece.chunk)].append((array, piece))
    _fill(level, shares.pop(None, []))
    if shares:
        run_sync(_deliver, source, level.chunks, shares)
    return [array[selection.finish] for selection, array in zip(selections, arrays, strict=True)]


def _fill(level: LevelPlan, absent: list[Share]) -> None:
    """Colour what the metadata says does not exist."""
    if absent:
        samples = np.array(level.absent, dtype=level.dtype)
        samples = samples.reshape(-1, *[1] * (len(level.chunks) - 1))
        chunk = np.broadcast_to(samples, level.chunks)
        _paste(chunk, absent)


async def _deliver(source: FrameSource, chunks: tuple[int, ...], shares: dict[FrameRef, list[Share]]) -> None:
    wanted = list(shares.values())

    def place(position: int, pixels: Pixels) -> None:
        _paste(pixels.reshape(chunks), wanted[position])

    await source.deliver(list(shares), place)


def _paste(chunk: Pixels, shares: list[Share]) -> None:
    for array, piece in shares:
        array[piece.target] = chunk[piece.source]
