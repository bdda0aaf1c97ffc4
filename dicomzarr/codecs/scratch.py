"""Memory that a decode thread uses again for each frame: fresh pages cost more than decoding a small tile."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_OFF_ALIGNMENT = 32
"""Bytes. libjpeg-turbo streams rows that start at their multiples past the caches, out of which we read them next:
a tile takes half as long again."""

_KEPT = 64 * 2**20
"""Bytes; a larger frame gets memory of its own, so that no thread keeps it for ever."""


class Scratch(threading.local):
    """One buffer a thread; what it gave before is overwritten by what it gives next.

    Args:
        for_planes: Colour planes will be taken out of what lies here, as `planes.put` does: a pixel of three bytes may
            lie in a word of its own.
    """

    def __init__(self, *, for_planes: bool = False) -> None:
        self.for_planes = for_planes
        self._buffer = np.empty(0, np.uint8)
        self._last: tuple[tuple[int, ...], npt.DTypeLike, npt.NDArray[Any]] | None = None

    def array(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """An uninitialized C-contiguous array, valid until this thread asks for the next."""
        if self._last is not None and self._last[0] == shape and self._last[1] == dtype:
            return self._last[2]
        kind = np.dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        buffer = self._buffer
        if size > buffer.size:
            buffer = _off_alignment(size)
            if size <= _KEPT:
                self._buffer = buffer
        array = buffer[:size].view(kind).reshape(shape)
        self._last = (shape, dtype, array) if size <= _KEPT else None
        return array


def _off_alignment(size: int) -> npt.NDArray[np.uint8]:
    """Bytes that start in the middle between two multiples; there are some more behind them, see `planes`."""
    room = np.empty(size + _OFF_ALIGNMENT, np.uint8)
    first = (_OFF_ALIGNMENT // 2 - room.ctypes.data) % _OFF_ALIGNMENT
    return room[first : first + size]
