"""Levels as dask arrays: few, large blocks of whole frames, under a name that two opens share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import dask.array
import numpy as np
from dask.base import tokenize

from dicomzarr.errors import UsageError

_BLOCK = 2048
"""Pixels along y and x that a block holds at most, and as many slices as make no more than a full one; a task a frame
costs several times the read itself."""

_da: Any = dask.array
"""dask.array is typed in part only."""


class _Chunked(Protocol):
    """What dask has to know of a level."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def chunks(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[np.generic]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def axes(self) -> tuple[str, ...]: ...


def dask_array(level: _Chunked, chunks: Any) -> dask.array.Array:
    """A dask array over a level.

    Args:
        level: What is read, one selection a block.
        chunks: ``"auto"`` for blocks of up to 2048 pixels along y and x, and of several slices where these are smaller;
            else as dask takes it, where axes may be named too.

    Raises:
        UsageError: There is no such axis.
    """
    wanted = _whole_frames(level) if isinstance(chunks, str) and chunks == "auto" else _numbered(level, chunks)
    blocks = _da.core.normalize_chunks(wanted, level.shape, dtype=level.dtype, previous_chunks=level.chunks)
    array: dask.array.Array = _da.from_array(
        level,
        chunks=blocks,
        name=f"dicomzarr-{tokenize(level, blocks)}",
        inline_array=True,
        meta=np.empty((0,) * level.ndim, level.dtype),
    )
    return array


def _numbered(level: _Chunked, chunks: Any) -> Any:
    """Sizes by the numbers of axes: what dask does not know among names, it leaves out."""
    if not isinstance(chunks, Mapping):
        return chunks
    numbers = {name: number for number, name in enumerate(level.axes)} | {n: n for n in range(level.ndim)}
    unknown = [axis for axis in chunks if axis not in numbers]
    if unknown:
        raise UsageError(
            f"Sizes of blocks are given along {unknown[0]!r:.40}.", remedy=f"The axes are {', '.join(level.axes)}."
        )
    return {numbers[axis]: size for axis, size in chunks.items()}


def _whole_frames(level: _Chunked) -> tuple[int, ...]:
    *lead, rows, columns = level.chunks
    plane = [side * max(1, _BLOCK // side) for side in (rows, columns)]
    if level.axes[-3:-2] == ("z",):
        pixels = math.prod(map(min, plane, level.shape[-2:]))
        lead[-1] = max(1, min(_BLOCK**2 // pixels, level.shape[-3]))
    return (*lead, *plane)
