"""Series of diffusion as vendors write them: b-values and directions where each has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from radiology_dimensions import DIRECTIONS, instances
from radiology_model import AXIAL, distinct, series_of
from radiology_slices import Identity, place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydicom import Dataset
    from radiology_model import Grid, RadiologySeries

    Vector = tuple[float, float, float]
    Weighting = tuple[float, Vector]

NONE = (0.0, 0.0, 0.0)
SHELL: list[Weighting] = [(0.0, NONE), *((1000.0, direction) for direction in (*DIRECTIONS, (0.48, -0.6, 0.64)))]
"""One b0, and directions of b1000, one of them along no axis or plane."""


def _ge(dataset: Dataset, b: float, direction: Vector) -> None:
    dataset.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(
        0x39, "IS", [int(1_000_000_000 * bool(b) + b), 8, 0, 0]
    )
    block = dataset.private_block(0x0019, "GEMS_ACQU_01", create=True)
    for element, part in zip((0xBB, 0xBC, 0xBD), direction, strict=True):
        block.add_new(element, "DS", f"{part:.6f}")


def _uih(dataset: Dataset, b: float, direction: Vector) -> None:
    block = dataset.private_block(0x0065, "Image Private Header", create=True)
    block.add_new(0x09, "FD", b)
    block.add_new(0x37, "FD", list(direction))


def _siemens(dataset: Dataset, b: float, direction: Vector) -> None:
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", int(b))
    if any(direction):
        block.add_new(0x0E, "FD", list(direction))


def _philips(dataset: Dataset, b: float, direction: Vector) -> None:
    dataset.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x03, "FL", b)
    block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    for element, part in zip((0xB0, 0xB1, 0xB2), direction, strict=True):
        block.add_new(element, "FL", part)


_VENDORS: dict[str, Callable[[Dataset, float, Vector], None]] = {
    "GE MEDICAL SYSTEMS": _ge,
    "UIH": _uih,
    "SIEMENS": _siemens,
    "Philips Medical Systems": _philips,
}
VENDORS = tuple(_VENDORS)
GE = VENDORS[0]


def weighted(
    vendor: str, grid: Grid = AXIAL, weightings: Sequence[Weighting] = SHELL, **attributes: object
) -> RadiologySeries:
    """Three slices of each weighting, each instance with these attributes too."""
    pixels = distinct((len(weightings), 3, 16, 20))
    told = {"Manufacturer": vendor, "ScanningSequence": "EP", "InPlanePhaseEncodingDirection": "COL", **attributes}
    made = instances(pixels, [told for _ in weightings], Identity(f"diffusion of {vendor}", "MR"))
    for number, dataset in enumerate(made):
        place(dataset, grid, number % pixels.shape[1])
        dataset.InstanceNumber = number + 1  # slices of one weighting after each other, as dcm2niix takes for granted
        dataset.PatientPosition = attributes.get("PatientPosition", "HFS")
        _VENDORS[vendor](dataset, *weightings[number // pixels.shape[1]])
    return series_of(made)
