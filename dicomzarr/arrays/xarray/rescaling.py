"""From stored values to what they measure: one slope for all frames, or one for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import xarray as xr

from dicomzarr.arrays.xarray.lazy import RescaledArray
from dicomzarr.dicom.lut.modality import Rescale, exact_float32, modality_dtype

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from dicomzarr.arrays.level import Level, MultiscaleImage
    from dicomzarr.arrays.xarray.lazy import LevelArray
    from dicomzarr.dicom.pixels.pixels import PixelDescription
    from dicomzarr.plan import LevelPlan

_MOST_WHOLE: Final = 2**24
"""Whole numbers up to which 32 bits of floating point hold each."""
_FLOAT32: Final = np.dtype("f4")


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """Slope and intercept: without axes where they are one for all frames, else as a level before y and x."""

    slope: npt.NDArray[np.float64]
    intercept: npt.NDArray[np.float64]

    @property
    def uniform(self) -> bool:
        """One slope and one intercept hold for all frames."""
        return self.slope.ndim == 0


def is_grey(image: MultiscaleImage, level: Level) -> bool:
    """Whether values measure something: colours and places in a palette do not."""
    interpretation = image.plan.levels[level.number].attributes.photometric_interpretation
    return not image.plan.color and interpretation != "PALETTE COLOR"


def is_stored(image: MultiscaleImage, level: Level) -> bool:
    """Whether the arrays hold the stored values."""
    return image.plan.levels[level.number].view is None


def factors_of(image: MultiscaleImage, level: Level) -> Factors | None:
    """What leads from the values of a level to those that they measure; None where nothing needs to."""
    told = image.plan.attributes.rescale
    if told is None or not (is_grey(image, level) and is_stored(image, level)):
        return None
    slope, intercept = (np.array(numbers, np.float64) for numbers in (told.slope, told.intercept))
    if slope.ndim or intercept.ndim:
        shape = level.shape[:-2]
        return Factors(np.broadcast_to(slope, shape), np.broadcast_to(intercept, shape))
    return None if Rescale(float(slope), float(intercept)).is_identity else Factors(slope, intercept)


def cf_attributes(image: MultiscaleImage, level: Level, factors: Factors) -> dict[str, object]:
    """``scale_factor`` and ``add_offset``, of the type that values are decoded to: 32 bits where these are exact."""
    slope, intercept = float(factors.slope), float(factors.intercept)
    suits = all(map(exact_float32, (slope, intercept))) and _suits_float32(level.dtype)
    whole = Rescale(slope, intercept).is_whole and level.dtype.kind in "iu"
    most = _MOST_WHOLE if whole else float(np.finfo(_FLOAT32).max)
    largest = max(abs(slope * end + intercept) for end in image.channels[0].window)
    kind = np.float32 if suits and largest <= most else np.float64
    return {"scale_factor": kind(slope), "add_offset": kind(intercept)}


def _suits_float32(dtype: np.dtype[np.generic]) -> bool:
    return dtype == _FLOAT32 or (dtype.kind in "iu" and dtype.itemsize <= 2)  # noqa: PLR2004  # bytes


def rescaled(stored: LevelArray, level: LevelPlan, factors: Factors) -> RescaledArray:
    """An array of what each frame measures, as ``values="modality"`` gives it."""
    pairs = np.stack([factors.slope.reshape(-1), factors.intercept.reshape(-1)])
    distinct, numbers = np.unique(pairs, axis=1, return_inverse=True)
    rescales = [Rescale(float(slope), float(intercept)) for slope, intercept in distinct.T]
    numbers = numbers.reshape(factors.slope.shape)
    dtype = _dtype_of(level, rescales, numbers)
    return RescaledArray(stored, rescales, numbers[..., np.newaxis, np.newaxis], dtype)


def _dtype_of(level: LevelPlan, rescales: Sequence[Rescale], numbers: npt.NDArray[np.intp]) -> np.dtype[np.generic]:
    """A type that holds what each frame measures: frames of one level may have other BitsStored."""
    own: dict[PixelDescription, set[Rescale]] = {}
    for chunk in np.ndindex(level.grid):
        frame = level.frames.locate(chunk)
        if frame is not None:
            own.setdefault(frame.instance.pixel, set()).add(rescales[int(numbers[chunk[:-2]])])
    found = np.result_type(*(modality_dtype(pixel, each) for pixel, each in own.items()))
    return np.dtype(found).newbyteorder("<")


def factor_coordinates(level: Level, factors: Factors) -> Mapping[str, xr.Variable]:
    """``rescale_slope`` and ``rescale_intercept`` along the axes along which one of them varies."""
    both = np.stack([factors.slope, factors.intercept])
    same = [axis for axis in range(1, both.ndim) if (both == both.take([0], axis)).all()]
    dims = [name for axis, name in enumerate(level.axes[:-2], start=1) if axis not in same]
    slope, intercept = both[tuple(0 if axis in same else slice(None) for axis in range(both.ndim))]
    return {"rescale_slope": xr.Variable(dims, slope), "rescale_intercept": xr.Variable(dims, intercept)}
