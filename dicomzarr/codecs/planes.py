"""Colour planes out of pixels whose samples lie side by side.

Taking each third byte is work for single bytes. Where each pixel has a word of its own, words are cut to bytes many at
a time, which takes less than half as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

WORD: Final = 4
"""Bytes of a pixel that has a word of its own: R, G, B, and one that is not looked at."""
_SAMPLES: Final = 3
_NUMBER: Final = np.dtype("<u4")


def put(array: npt.NDArray[Any], index: Any, pixels: npt.NDArray[Any]) -> None:
    """Put pixels into a part of an array, sample by sample where these are planes of it.

    Args:
        array: Where they go, the samples along its first axis.
        index: The part, as NumPy takes it.
        pixels: Of its shape; in whatever order they lie in memory.
    """
    words = _words(pixels)
    if words is not None:
        target = array[index]
        if target.strides[-1] == 1:
            target[...] = words
            return
    array[index] = pixels


def to_bytes(pixels: npt.NDArray[Any]) -> bytes:
    """Pixels in C order, as `numpy.ndarray.tobytes` gives them."""
    if _words(pixels) is None:
        return pixels.tobytes()
    planes = np.empty(pixels.shape, pixels.dtype)
    put(planes, ..., pixels)
    return planes.tobytes()


def _words(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint32] | None:
    """For each sample a number of which it is the lowest byte; None where pixels do not lie in words.

    What lies so is a view of other memory, and no copy: an index of slices made it. The last number reaches beyond the
    last pixel, where there must be memory too.
    """
    memory = pixels.base
    lie_so = pixels.ndim > 1 and pixels.strides[0] == 1 and pixels.strides[-1] == WORD
    if not (lie_so and pixels.dtype == np.uint8 and len(pixels) == _SAMPLES and isinstance(memory, np.ndarray)):
        return None
    shape, strides = pixels.shape, pixels.strides
    if not (memory.flags.c_contiguous and pixels.size and min(strides) > 0):
        return None
    offset = pixels.__array_interface__["data"][0] - memory.__array_interface__["data"][0]
    last = offset + sum([(length - 1) * stride for length, stride in zip(shape, strides, strict=True)])
    return np.ndarray(shape, _NUMBER, memory, offset, strides) if last + WORD <= memory.nbytes else None
