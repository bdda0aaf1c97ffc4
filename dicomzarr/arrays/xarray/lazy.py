"""Levels as xarray indexes arrays: nothing is read before values are asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from dicomzarr.arrays.level import Level
    from dicomzarr.dicom.lut.modality import Rescale

    Index = tuple[Any, ...]


class LevelArray(BackendArray):
    """The values of a level."""

    def __init__(self, level: Level) -> None:
        self.level = level
        self.shape = level.shape
        self.dtype = level.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        # Every kind of key is read as it is: xarray's adapter would spell out points, and fails at empty slices.
        if isinstance(key, indexing.VectorizedIndexer):
            return _points(self.level.__getitem__, key.tuple)
        return self.level.read_orthogonal(key.tuple)


class RescaledArray(BackendArray):
    """The values of a level whose frames each have a slope and an intercept of their own.

    Args:
        stored: The stored values.
        rescales: The different slopes and intercepts.
        numbers: Which of them each frame has: as many axes as the level, 1 along y and x.
        dtype: Of the result.
    """

    def __init__(
        self,
        stored: LevelArray,
        rescales: Sequence[Rescale],
        numbers: npt.NDArray[np.intp],
        dtype: np.dtype[np.generic],
    ) -> None:
        self.stored = stored
        self.rescales = tuple(rescales)
        self.numbers = numbers
        self.shape = stored.shape
        self.dtype = dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        pixels = np.asarray(self.stored[key])
        return self._rescaled(pixels, _of_frames(self.numbers, key))

    def _rescaled(self, pixels: npt.NDArray[Any], numbers: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        """Rescale what has one slope together: little memory is needed besides.

        Args:
            pixels: Stored values.
            numbers: Of as many axes; along the last ones, which a frame has, the length is 1.
        """
        leading = numbers.ndim
        while leading and numbers.shape[leading - 1] == 1:
            leading -= 1
        slabs = pixels.reshape(numbers.size, math.prod(pixels.shape[leading:]))
        result = np.empty(slabs.shape, self.dtype)
        for number in np.unique(numbers):
            alike = numbers.reshape(-1) == number
            result[alike] = self.rescales[number].apply(slabs[alike], self.dtype)
        return result.reshape(pixels.shape)


class WithoutAbsent(BackendArray):
    """Floating point that is NaN where no frame is: what fills in there is none of these values.

    Args:
        array: Values with something filled in.
        absent: Of as many axes, 1 along y and x: where no frame is.
        dtype: Of the result.
    """

    def __init__(
        self, array: LevelArray | RescaledArray, absent: npt.NDArray[np.bool_], dtype: np.dtype[np.generic]
    ) -> None:
        self.array = array
        self.absent = absent
        self.shape = array.shape
        self.dtype = dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        found = np.asarray(self.array[key]).astype(self.dtype)
        return np.where(_of_frames(self.absent, key), np.array(np.nan, self.dtype), found)


def _of_frames(told: npt.NDArray[Any], key: indexing.ExplicitIndexer) -> npt.NDArray[Any]:
    """What is told of frames at an index of pixels: 1 along y and x, where the index leaves these."""
    if isinstance(key, indexing.VectorizedIndexer):
        return np.asarray(_points(told.__getitem__, _narrowed(key.tuple, np.zeros_like)))
    return _orthogonal(told, _narrowed(key.tuple, lambda _: slice(0, 1)))


def _points(read: Callable[[Index], Any], index: Index) -> Any:
    """Axes of the points first, as xarray wants them; NumPy leaves them where arrays stand side by side."""
    arrays = [place for place, item in enumerate(index) if not isinstance(item, slice)]
    found = read(index)
    if arrays[-1] - arrays[0] >= len(arrays):
        return found
    axes = range(index[arrays[0]].ndim)
    return np.moveaxis(found, [arrays[0] + axis for axis in axes], list(axes))


def _orthogonal(array: npt.NDArray[Any], index: Index) -> npt.NDArray[Any]:
    """Each axis on its own."""
    for axis in reversed(range(array.ndim)):
        array = array[(*[slice(None)] * axis, index[axis])]
    return array


def _narrowed(index: Index, array: Callable[[npt.NDArray[Any]], Any]) -> Index:
    """The index of something that has length 1 along y and x.

    Args:
        index: Of the whole.
        array: What takes the place of an array.
    """
    *leading, y, x = index
    return (*leading, *(_narrow(item, array) for item in (y, x)))


def _narrow(item: Any, array: Callable[[npt.NDArray[Any]], Any]) -> Any:
    if isinstance(item, slice):
        return slice(0, 1)
    return array(item) if isinstance(item, np.ndarray) else 0
