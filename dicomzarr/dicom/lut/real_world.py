"""Real world values that stored values stand for, as an image's header maps them (PS3.3 section C.7.6.16.2.11)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.lut.modality import RealWorldMapping
from dicomzarr.errors import InvalidAttributeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dicomzarr.dicom.model.image_model import MappingItem
    from dicomzarr.dicom.model.values import AttributeReader

_UNITS: Final = frozenset(
    (
        *(
            "1",
            "%",
            "{ratio}",
            "{counts}",
            "[arb'U]",
            "[hnsf'U]",
            "[pH]",
            "mm",
            "cm",
            "um",
            "mm2",
            "cm2",
            "mm3",
            "cm3",
            "ml",
        ),
        *(
            "ms",
            "s",
            "min",
            "/s",
            "/min",
            "Hz",
            "1/s",
            "1/min",
            "mm2/s",
            "um2/s",
            "10-6.mm2/s",
            "10*-6.mm2/s",
            "1e-6mm2/s",
        ),
        *(
            "Bq/ml",
            "kBq/ml",
            "MBq/ml",
            "g/ml",
            "g/ml{SUVbw}",
            "{SUVbw}g/ml",
            "{SUVlbm}g/ml",
            "{SUVibw}g/ml",
            "{SUVbsa}cm2/ml",
        ),
        *(
            "ml/min/100ml",
            "ml/100ml/min",
            "ml/(min.100.g)",
            "ml/100g",
            "ml/100ml",
            "mmol/l",
            "mg/ml",
            "ug/ml",
            "mg/cm3",
        ),
        *(
            "g/cm3",
            "Gy",
            "cGy",
            "Pa",
            "kPa",
            "cm/s",
            "mm/s",
            "rad",
            "deg",
            "[ppm]",
            "ppm",
            "keV",
            "kV",
            "T",
            "mT",
            "uT",
        ),
    )
)
"""Codes of UCUM that maps and quantities come in; a code is shown only if it is one of them."""


def real_world_mappings(read: AttributeReader, items: Iterable[MappingItem]) -> Iterator[RealWorldMapping]:
    """The mappings that can be told; labels and meanings, which anybody may have written, are left out."""
    for item in items:
        with suppress(InvalidAttributeError):  # stored values can be read without it
            found = _mapping(read, item)
            if found is not None:
                yield found


def _mapping(read: AttributeReader, item: MappingItem) -> RealWorldMapping | None:
    first, last = (
        read.number(double if double.values else whole, "RealWorldValueFirstValueMapped")
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
        units_code=units if units in _UNITS else "",
    )
