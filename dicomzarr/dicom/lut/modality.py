"""What stored values measure: rescaling, modality tables and real world values (PS3.3 section C.11.1 and others)."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.dicom.model.values import is_given
from dicomzarr.errors import InvalidAttributeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from dicomzarr.dicom.model.image_model import MappingItem
    from dicomzarr.dicom.model.json_model import Leaf
    from dicomzarr.dicom.model.values import AttributeReader
    from dicomzarr.dicom.pixels.pixels import PixelDescription

_FLOAT32: Final = np.finfo(np.float32)

_UCUM: Final = """
    1 % {ratio} {counts} [arb'U] [hnsf'U] [pH] mm cm um mm2 cm2 mm3 cm3 ml ms s min /s /min Hz 1/s 1/min mm2/s
    um2/s 10-6.mm2/s 10*-6.mm2/s 1e-6mm2/s Bq/ml kBq/ml MBq/ml g/ml g/ml{SUVbw} {SUVbw}g/ml {SUVlbm}g/ml
    {SUVibw}g/ml {SUVbsa}cm2/ml ml/min/100ml ml/100ml/min ml/(min.100.g) ml/100g ml/100ml mmol/l mg/ml ug/ml mg/cm3
    g/cm3 Gy cGy Pa kPa cm/s mm/s rad deg [ppm] ppm keV kV T mT uT
"""
"""Codes of UCUM that maps and quantities come in; a code is shown only if it is one of them."""

UNITS: Final = frozenset(_UCUM.split())


@dataclass(frozen=True, slots=True)
class Rescale:
    """Modality value = slope * stored value + intercept (PS3.3 section C.11.1).

    DoseGridScaling (3004,000E) is a slope without an intercept.

    Raises:
        InvalidAttributeError: The slope or the intercept is not finite.
    """

    slope: float
    intercept: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slope) and math.isfinite(self.intercept)):
            raise InvalidAttributeError(
                f"RescaleSlope and RescaleIntercept should be finite numbers, found {self.slope} and {self.intercept}."
            )

    @property
    def is_identity(self) -> bool:
        """Modality values are the stored values."""
        return self.slope == 1 and self.intercept == 0

    @property
    def is_whole(self) -> bool:
        """Whole numbers stay whole."""
        return float(self.slope).is_integer() and float(self.intercept).is_integer()

    def apply(self, pixels: npt.NDArray[Any], dtype: np.dtype[np.generic]) -> npt.NDArray[Any]:
        """The modality values of these stored values.

        Args:
            pixels: Stored values, in any shape.
            dtype: A type that `modality_dtype` gives for them and this.

        Returns:
            An array of that shape and type, computed exactly for integers, else with 64 bits and rounded once.
            NaN stays NaN. Where nothing changes it may be ``pixels`` itself.
        """
        if self.is_identity:
            return pixels.astype(dtype, copy=False)
        if dtype.kind in "iu":
            return self._apply_whole(pixels, dtype)
        return (pixels.astype(np.float64) * self.slope + self.intercept).astype(dtype)

    def _apply_whole(self, pixels: npt.NDArray[Any], dtype: np.dtype[np.generic]) -> npt.NDArray[Any]:
        """Computes modulo two to the bits of the type: as the results fit in, they come out right."""
        bits = dtype.itemsize * 8
        cells = pixels.astype(f"<u{dtype.itemsize}")
        cells *= cells.dtype.type(int(self.slope) % (1 << bits))
        cells += cells.dtype.type(int(self.intercept) % (1 << bits))
        return cells.view(dtype)


IDENTITY: Final = Rescale(1.0, 0.0)
_SHORT: Final = 16
"""Bits of values of VR US and SS."""

_AS_STORED: Final = "values are shown as they are stored"


def read_rescale(read: AttributeReader, slopes: Leaf, intercepts: Leaf) -> Rescale | None:
    """RescaleSlope and RescaleIntercept; the identity where there are none, None where one is impossible."""
    slope = read.fact(slopes, "RescaleSlope", bool, _AS_STORED)
    intercept = read.fact(intercepts, "RescaleIntercept", lambda _: True, _AS_STORED)
    if (slope is None and is_given(slopes)) or (intercept is None and is_given(intercepts)):
        return None
    return Rescale(1.0 if slope is None else slope, intercept or 0.0)


def parts_of_one(read: AttributeReader, most: Leaf) -> Rescale | None:
    """What MaximumFractionalValue makes of a fractional segmentation (PS3.3 section C.8.20.2.3)."""
    found = read.fact(most, "MaximumFractionalValue", lambda most: most >= 1, _AS_STORED)
    return None if found is None else Rescale(1 / found, 0.0)


def modality_dtype(pixel: PixelDescription, rescales: Iterable[Rescale]) -> np.dtype[np.generic]:
    """The smallest little-endian type that holds all that these rescales make of stored values.

    Where nothing is rescaled it is the stored type, and for stored floating point numbers too. Whole slopes and
    intercepts give integers, with a sign only where values can be negative. Others give 32 bits of floating point, or
    64 where the values would be too large or too small for these.

    Args:
        pixel: Says which values are stored.
        rescales: One for each slice or frame; equal ones count once.
    """
    distinct = set(rescales)
    if pixel.dtype.kind == "f" or all(rescale.is_identity for rescale in distinct):
        return pixel.dtype
    if all(rescale.is_whole for rescale in distinct):
        ends = [int(each.slope) * end + int(each.intercept) for each in distinct for end in _stored_range(pixel)]
        return _smallest_integer(min(ends), max(ends)) or np.dtype("<f8")
    return np.dtype("<f4" if all(_suits_float32(pixel, rescale) for rescale in distinct) else "<f8")


def _stored_range(pixel: PixelDescription) -> tuple[int, int]:
    """The smallest and the largest value that BitsStored can hold."""
    low = -(1 << (pixel.bits_stored - 1)) if pixel.signed else 0
    return low, low + (1 << pixel.bits_stored) - 1


def _smallest_integer(low: int, high: int) -> np.dtype[np.generic] | None:
    types = (np.dtype(f"<{'i' if low < 0 else 'u'}{size}") for size in (1, 2, 4, 8))
    return next((dtype for dtype in types if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max), None)


def _suits_float32(pixel: PixelDescription, rescale: Rescale) -> bool:
    """Values are neither too large for 32 bits of floating point, nor so small that digits get lost."""
    largest = max(abs(rescale.slope * end + rescale.intercept) for end in _stored_range(pixel))
    return largest <= float(_FLOAT32.max) and (rescale.slope == 0 or abs(rescale.slope) >= float(_FLOAT32.tiny))


def exact_float32(value: float) -> bool:
    """Whether 32 bits of floating point hold a finite number exactly, as for the CF attribute ``scale_factor``."""
    if not abs(value) <= float(_FLOAT32.max):
        return False
    return float(np.float32(value)) == value


@dataclass(frozen=True, slots=True)
class RealWorldMapping:
    """One item of the Real World Value Mapping Sequence (PS3.3 section C.7.6.16.2.11).

    It starts from stored values, whatever the modality values are, and stored values outside the range it gives have
    no real world value.

    Raises:
        InvalidAttributeError: There is neither a line nor a table, a number is not finite, or the table has more or
            fewer entries than the range.
    """

    first: float
    """The first stored value mapped."""
    last: float
    """The last stored value mapped."""
    slope: float | None = None
    intercept: float | None = None
    lut: tuple[float, ...] | None = None
    """Instead of slope and intercept: a real world value for each stored value from the first to the last."""
    units_code: str = ""
    """Code value of the Measurement Units Code Sequence (0040,08EA), in UCUM mostly."""

    def __post_init__(self) -> None:
        numbers = [self.first, self.last, *(self.lut or (self.slope, self.intercept))]
        if any(number is None or not math.isfinite(number) for number in numbers):
            raise InvalidAttributeError(
                "An item of the RealWorldValueMappingSequence should have a range, and a slope and an intercept or"
                " a table, all of finite numbers."
            )
        values = self.last - self.first + 1
        if values < 1:
            raise InvalidAttributeError(
                "An item of the RealWorldValueMappingSequence should map a range of stored values, found"
                f" {self.first} to {self.last}."
            )
        if self.lut is not None and len(self.lut) != values:
            raise InvalidAttributeError(
                f"RealWorldValueLUTData should have a value for each stored value from {self.first} to {self.last},"
                f" which are {values}, found {len(self.lut)}."
            )


def real_world_mappings(
    read: AttributeReader, items: Iterable[MappingItem], pixel: PixelDescription
) -> Iterator[RealWorldMapping]:
    """The mappings that can be told; labels and meanings, which anybody may have written, are left out.

    Args:
        read: Reads them, and says what was left out.
        items: Of the Real World Value Mapping Sequence.
        pixel: Says which values are stored.
    """
    for item in items:
        found = None
        with suppress(InvalidAttributeError):  # stored values can be read without it
            found = _mapping(read, item, pixel)
        if found is None:
            read.remark("An item of the RealWorldValueMappingSequence does not say what it maps, and was left out.")
        else:
            yield found


def _stored(read: AttributeReader, leaf: Leaf, pixel: PixelDescription) -> float | None:
    """An end of what is mapped, in the sign of stored values, whatever writers and servers made of its VR."""
    found = read.number(leaf, "RealWorldValueFirstValueMapped")
    if found is None or pixel.floating or pixel.bits_stored > _SHORT:
        return found
    if pixel.signed:
        return found - (1 << _SHORT) if found >= 1 << (_SHORT - 1) else found
    return found + (1 << _SHORT) if found < 0 else found


def _mapping(read: AttributeReader, item: MappingItem, pixel: PixelDescription) -> RealWorldMapping | None:
    first, last = (
        read.number(double, "RealWorldValueFirstValueMapped") if double.values else _stored(read, whole, pixel)
        for double, whole in ((item.first_double, item.first), (item.last_double, item.last))
    )
    if first is None or last is None:
        return None
    table = tuple(read.finite(value, "RealWorldValueLUTData") for value in item.table.values)
    units = next((read.text(code.value) or "" for code in item.units.items), "")
    return RealWorldMapping(
        first,
        last,
        slope=read.number(item.slope, "RealWorldValueSlope"),
        intercept=read.number(item.intercept, "RealWorldValueIntercept"),
        lut=table or None,
        units_code=units if units in UNITS else "",
    )
