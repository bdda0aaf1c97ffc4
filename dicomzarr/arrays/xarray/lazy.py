"""Levels as xarray indexes arrays: nothing is read before values are asked for."""

from __future__ import annotations

import math
from itertools import product
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
        array: Values of a level, with something filled in.
        level: The level, which says where frames are.
        dtype: Of the result.
    """

    def __init__(self, array: LevelArray | RescaledArray, level: Level, dtype: np.dtype[np.generic]) -> None:
        self.array = array
        self.level = level
        self.shape = array.shape
        self.dtype = dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        found = np.asarray(self.array[key]).astype(self.dtype)
        return np.where(self._absent(key), np.array(np.nan, self.dtype), found)

    def _absent(self, key: indexing.ExplicitIndexer) -> Any:
        """Which pixels of an index lie in chunks without a frame; 1 along axes of which one chunk is met."""
        is_points = isinstance(key, indexing.VectorizedIndexer)
        met: list[list[int]] = []
        index: list[Any] = []
        for size, side, item in zip(self.shape, self.level.chunks, key.tuple, strict=True):
            numbers = _places(item, size) // side
            chunks, places = np.unique(numbers, return_inverse=True)
            met.append(chunks.tolist())
            is_run = isinstance(item, slice) if is_points else numbers.ndim > 0
            index.append(slice(0, 1) if is_run and len(chunks) == 1 else places.reshape(numbers.shape))
        frames = self.level._plan.frames  # noqa: SLF001  # of one room; a plan does not travel
        found = [frames.locate(chunk) is None for chunk in product(*met)]
        absent = np.array(found, np.bool_).reshape([len(chunks) for chunks in met])
        if not is_points:
            return _orthogonal(absent, tuple(index))
        for axis, item in enumerate(key.tuple):
            if isinstance(item, slice) and not isinstance(index[axis], slice):
                absent, index[axis] = absent.take(index[axis], axis), slice(None)
        return _points(absent.__getitem__, tuple(index))


def _places(item: Any, size: int) -> npt.NDArray[np.intp]:
    """The places along an axis that an index of it names, counted from 0."""
    if isinstance(item, slice):
        found = range(size)[item]
        return np.arange(found.start, found.stop, found.step)
    return np.asarray(item) % size


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
