"""Memory for what is read: that of large arrays goes back to the system as soon as they are dropped."""

from __future__ import annotations

import math
import mmap
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_LARGE: Final = 2**20
"""Bytes; smaller arrays come and go faster on the heap."""

_HEAP_KEEPS_UP_TO: Final = 32 * 2**20
"""Bytes; glibc maps what is larger by itself, and keeps freed blocks of less, so that blocks of dask pile up."""


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An uninitialized C-contiguous array.

    Raises:
        MemoryError: There is not enough memory.
    """
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    if not _LARGE <= size <= _HEAP_KEEPS_UP_TO or not hasattr(mmap, "MAP_PRIVATE"):
        return np.empty(shape, kind)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # private: a fork must not share it
    if hasattr(mmap, "MADV_HUGEPAGE"):
        pages.madvise(mmap.MADV_HUGEPAGE)  # as NumPy does: a page fault for 2 MiB, not for 4 KiB
    return np.frombuffer(pages, kind).reshape(shape)
