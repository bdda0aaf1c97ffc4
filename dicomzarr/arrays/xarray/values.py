"""The data variable of a level: stored values, or what they measure, as xarray decodes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr
from xarray.core import indexing

from dicomzarr.arrays.xarray.lazy import LevelArray, RescaledArray, WithoutAbsent
from dicomzarr.arrays.xarray.rescaling import cf_attributes, is_grey, is_stored, rescaled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.arrays.level import Level, MultiscaleImage
    from dicomzarr.arrays.xarray.rescaling import Factors

VARIABLE: Final = "image"
"""The name of the data variable of a level."""

_UNKNOWN: Final = frozenset({"NONE", "US"})
"""Units of what has none, or unspecified ones (PS3.3 sections C.8.9.1.1.3 and C.11.1.1.2)."""


def image_variable(
    image: MultiscaleImage, level: Level, factors: Factors | None, *, mask_and_scale: bool
) -> xr.Variable:
    """The values of a level, which are read when they are asked for.

    Args:
        image: The image.
        level: One of its levels.
        factors: From its values to those that they measure; None where nothing leads there.
        mask_and_scale: Give what is measured; else the level's own values, with ``scale_factor`` and ``add_offset``
            as attributes where these are one for all frames.
    """
    array: LevelArray | RescaledArray = LevelArray(level)
    attributes = _padding(image)
    if factors is not None and factors.uniform:
        attributes |= cf_attributes(image, level, factors)
    elif factors is not None and mask_and_scale:
        array = rescaled(LevelArray(level), image.plan.levels[level.number], factors)
    # What fills in is a stored value: rescaled it would be air.
    lacking = factors is not None and mask_and_scale and _may_lack_frames(image)
    shown = WithoutAbsent(array, level, _floating(array, attributes)) if lacking else array
    if mask_and_scale or factors is None:
        attributes |= _units(image, level)
    variable = xr.Variable(
        level.axes,
        indexing.LazilyIndexedArray(shown),
        attributes,
        encoding={"preferred_chunks": dict(zip(level.axes, level.chunks, strict=True))},
    )
    return _decoded(variable) if mask_and_scale and "scale_factor" in attributes else variable


def _may_lack_frames(image: MultiscaleImage) -> bool:
    """Whether a place without a frame holds nothing: one of a segmentation is in no segment, which is a value."""
    known = image.plan.attributes
    return bool(known.absent) or (known.affine_reference == "slide" and known.segmentation is None)


def _floating(array: LevelArray | RescaledArray, attributes: Mapping[str, Any]) -> np.dtype[np.generic]:
    """The type of floating point that holds the values of an array, and what a factor makes of them."""
    return np.result_type(array.dtype, attributes.get("scale_factor", np.float32(1)), np.float32)


def _padding(image: MultiscaleImage) -> dict[str, object]:
    """About stored values; it masks nothing."""
    known = image.plan.attributes
    said = {
        "pixel_padding_value": known.pixel_padding_value,
        "pixel_padding_range_limit": known.pixel_padding_range_limit,
    }
    return {name: value for name, value in said.items() if value is not None}


def _units(image: MultiscaleImage, level: Level) -> dict[str, object]:
    """The units of what is measured; nothing of colours, nor of stored values that a table leads from."""
    units, table = image.plan.attributes.units or "NONE", image.plan.attributes.modality_lut
    known = is_grey(image, level) and not (table and is_stored(image, level)) and units not in _UNKNOWN
    return {"units": units} if known else {}


def _decoded(variable: xr.Variable) -> xr.Variable:
    """As xarray decodes every file; times are no matter here."""
    encoded = xr.Dataset({VARIABLE: variable})
    return xr.decode_cf(encoded, concat_characters=False, decode_times=False, decode_coords=False)[VARIABLE].variable
