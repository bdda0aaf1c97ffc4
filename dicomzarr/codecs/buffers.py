"""Memory for what is read: that of large arrays goes back to the system as soon as they are dropped."""

from __future__ import annotations

import ctypes
import math
import mmap
import sys
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_LARGE: Final = 2**20
"""Bytes; smaller arrays come and go faster on the heap."""

_HEAP_KEEPS_UP_TO: Final = 32 * 2**20
"""Bytes; glibc maps what is larger by itself, and keeps freed blocks of less, so that blocks of dask pile up."""


_HUGE_PAGE: Final = 2 * 2**20
"""Bytes that the system maps at once if it can."""

_POPULATE_WRITE: Final = 23
"""Of ``madvise``: map pages as if they were written, and change nothing in them; Linux from 5.14 on."""


def map_pages(array: npt.NDArray[Any]) -> None:
    """Have the system map the memory of a new array, which costs its decoders as much as placing pixels does.

    Others may write into the array meanwhile, and no lock is held. Where the system knows no such request nothing
    happens, and pages are mapped when they are first written, as ever.
    """
    while isinstance(array.base, np.ndarray):
        array = array.base
    if array.nbytes < _LARGE or _madvise is None:
        return
    address = array.__array_interface__["data"][0]
    end = address + array.nbytes
    start = -(-address // _HUGE_PAGE) * _HUGE_PAGE
    for page in range(start, end, _HUGE_PAGE):  # one by one: whoever maps other memory would wait for all
        _madvise(ctypes.c_void_p(page), ctypes.c_size_t(min(_HUGE_PAGE, end - page)), _POPULATE_WRITE)


def _system_call() -> Any:
    """``madvise``, called without the interpreter's lock, which `mmap.mmap.madvise` keeps."""
    return ctypes.CDLL(None).madvise if sys.platform == "linux" else None


_madvise: Final = _system_call()


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An uninitialized C-contiguous array of this shape and type.

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
