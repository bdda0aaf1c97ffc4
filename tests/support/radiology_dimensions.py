"""Single-frame series in which each position comes several times."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from radiology_model import AXIAL, distinct, series_of
from radiology_slices import Identity, instance, place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydicom import Dataset
    from radiology_model import Pixels, RadiologySeries

TWICE = distinct((2, 3, 16, 20))
"""(n, z, y, x), 12 bits."""

DIRECTIONS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.6, 0.8))
"""Unit vectors of diffusion gradients."""


REPEATED = Identity("repeated", "MR")


def repeated(
    pixels: Pixels, differences: Sequence[Mapping[str, object]], identity: Identity = REPEATED
) -> RadiologySeries:
    """A volume several times, each time with other attributes; InstanceNumber runs over the times first.

    Args:
        pixels: (n, z, y, x).
        differences: Attributes of all slices, for each n.
        identity: Of the series.
    """
    return series_of(instances(pixels, differences, identity))


def instances(
    pixels: Pixels, differences: Sequence[Mapping[str, object]], identity: Identity = REPEATED
) -> list[Dataset]:
    """As ``repeated``, in the order (n, z)."""
    made = []
    for (number, attributes), slices in itertools.product(enumerate(differences), range(pixels.shape[1])):
        instance_number = 1 + slices * len(differences) + number
        dataset = instance(identity, instance_number, pixels[number, slices], attributes)
        place(dataset, AXIAL, slices)
        made.append(dataset)
    return made


def product(*axes: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Every combination of the attributes along several axes, the last running fastest."""
    return [{key: value for part in parts for key, value in part.items()} for parts in itertools.product(*axes)]


def along(keyword: str, values: Sequence[object]) -> list[dict[str, object]]:
    """One attribute with each of these values."""
    return [{keyword: value} for value in values]


ECHOES = along("EchoTime", ["12.5", "5"])
"""The later one first."""

PHASES = [
    {"ImageType": ["ORIGINAL", "PRIMARY", "M", "FFE"]},
    {"ImageType": ["ORIGINAL", "PRIMARY", "P", "FFE"]},
]
"""Magnitude and phase, as vendors say it in ImageType."""

COMPONENTS = along("ComplexImageComponent", ["MAGNITUDE", "PHASE"])
"""As PS3.3 says it (section C.8.13.3.1.1)."""


def diffusion(values: Sequence[tuple[float, tuple[float, float, float] | None]]) -> list[dict[str, object]]:
    """b-values in s/mm2, each with its direction."""
    return [
        {"DiffusionBValue": b} | ({} if direction is None else {"DiffusionGradientOrientation": list(direction)})
        for b, direction in values
    ]


RAGGED = diffusion([(0.0, None), *((1000.0, direction) for direction in DIRECTIONS)])
"""One b0, and three directions of b1000: no full product of b-values and directions."""


def vendor_b_values(pixels: Pixels, values: Sequence[int]) -> RadiologySeries:
    """b-values where only a private attribute says them: Siemens (0019,100C)."""
    datasets = instances(pixels, [{} for _ in values], Identity("private b", "MR"))
    for dataset, value in zip(datasets, (v for v in values for _ in range(pixels.shape[1])), strict=True):
        dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", value)
    return series_of(datasets)


def times_by_slice(pixels: Pixels, *, numbered: bool = True) -> RadiologySeries:
    """A dynamic CT: AcquisitionNumber says the pass, AcquisitionTime differs from slice to slice."""
    passes, slices = pixels.shape[:2]
    datasets = instances(pixels, [{} for _ in range(passes)], Identity("passes"))
    for number, dataset in enumerate(datasets):
        dataset.AcquisitionTime = f"1159{50 + number:02}.000000" if number < 10 else f"1200{number - 10:02}.000000"
        if numbered:
            dataset.AcquisitionNumber = number // slices + 1
    return series_of(datasets)


def incomplete(pixels: Pixels = TWICE, missing: tuple[int, int] = (1, 1)) -> tuple[RadiologySeries, str]:
    """Two echoes of which one lacks a slice; gives the series, and the UID of the slice's only instance."""
    datasets = instances(pixels, ECHOES, Identity("incomplete", "MR"))
    slices = pixels.shape[1]
    lost = missing[0] * slices + missing[1]
    lonely = (1 - missing[0]) * slices + missing[1]
    uid = str(datasets[lonely].SOPInstanceUID)
    return series_of([dataset for number, dataset in enumerate(datasets) if number != lost]), uid
