"""Multi-frame instances without functional groups: cine, nuclear medicine, dose."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydicom.tag import Tag
from radiology_model import AXIAL, decimal, decimals, distinct, series_of
from radiology_slices import Identity, instance, sequence_item

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from radiology_model import Grid, Pixels, RadiologySeries

CINE = distinct((4, 16, 20))
"""(t, y, x), 12 bits."""

FRAME_TIME = 0x00181063
FRAME_TIME_VECTOR = 0x00181065
GRID_FRAME_OFFSET_VECTOR = 0x3004000C


def cine(
    pixels: Pixels, kind: str = "XA", *, bits: int = 12, name: str = "cine", **attributes: object
) -> RadiologySeries:
    """One multi-frame instance, (frames, y, x) or (frames, y, x, 3)."""
    return series_of([instance(Identity(name, kind, bits), 1, pixels, attributes)])


def evenly_timed(
    pixels: Pixels = CINE, milliseconds: float = 33.33, kind: str = "XA", bits: int = 12
) -> RadiologySeries:
    """Frames at one rate, by FrameTime."""
    attributes: dict[str, object] = {"FrameIncrementPointer": FRAME_TIME, "FrameTime": decimal(milliseconds)}
    if kind == "XA":
        mask = sequence_item(MaskOperation="AVG_SUB", MaskFrameNumbers=[1])
        attributes |= {"MaskSubtractionSequence": [mask], "PixelIntensityRelationship": "LOG"}
        attributes |= {"ImagerPixelSpacing": decimals((0.3, 0.3)), "PositionerMotion": "STATIC"}
        attributes |= {"RecommendedViewingMode": "SUB"}
    return cine(pixels, kind, bits=bits, **attributes)


def supplemental_palette(pixels: Pixels = CINE) -> RadiologySeries:
    """Grey frames of which the highest values are shown in colour (PS3.3 section C.7.6.19)."""
    tables: dict[str, object] = {}
    for color in ("Red", "Green", "Blue"):
        tables[f"{color}PaletteColorLookupTableDescriptor"] = [256, 3840, 16]
        tables[f"{color}PaletteColorLookupTableData"] = bytes(range(256)) * 2
    return cine(pixels, name="supplemental", PixelPresentation="COLOR", FrameTime="40", **tables)


def unevenly_timed(pixels: Pixels, increments: Sequence[float]) -> RadiologySeries:
    """Frames with FrameTimeVector: milliseconds since the frame before, 0 for the first."""
    return cine(pixels, FrameIncrementPointer=FRAME_TIME_VECTOR, FrameTimeVector=decimals(increments))


def dose(
    pixels: Pixels, offsets: Sequence[float], *, grid: Grid = AXIAL, scaling: float = 2.5e-4, bits: int = 32
) -> RadiologySeries:
    """An RTDOSE grid whose frames lie at these values of GridFrameOffsetVector (PS3.3 section C.8.8.3.2)."""
    attributes = {
        "FrameIncrementPointer": GRID_FRAME_OFFSET_VECTOR,
        "GridFrameOffsetVector": decimals(offsets),
        "DoseGridScaling": decimal(scaling),
        "DoseUnits": "GY",
        "DoseType": "PHYSICAL",
        "DoseSummationType": "PLAN",
        "ImagePositionPatient": decimals(grid.origin),
        "ImageOrientationPatient": decimals(grid.cosines),
        "PixelSpacing": decimals(grid.spacing),
        "FrameOfReferenceUID": Identity("dose").uid("frame of reference"),
    }
    return cine(pixels, "RTDOSE", bits=bits, name="dose", **attributes)


NM_VECTORS = {
    "energy_window": ("EnergyWindowVector", 0x00540010),
    "detector": ("DetectorVector", 0x00540020),
    "phase": ("PhaseVector", 0x00540030),
    "rotation": ("RotationVector", 0x00540050),
    "rr_interval": ("RRIntervalVector", 0x00540060),
    "time_slot": ("TimeSlotVector", 0x00540070),
    "slice": ("SliceVector", 0x00540080),
    "angular_view": ("AngularViewVector", 0x00540090),
}
"""Vectors of nuclear medicine (PS3.3 section C.8.4.8) and their tags."""


@dataclass(frozen=True)
class Slices:
    """Where reconstructed slices lie."""

    grid: Grid
    first: int = 0
    """The slice that the first frame shows, and that ImagePositionPatient is of."""
    sign: int = 1
    """Of SpacingBetweenSlices, which may be negative."""

    def attributes(self) -> dict[str, object]:
        """As nuclear medicine says it: the place stands in DetectorInformationSequence alone."""
        place = sequence_item(
            ImagePositionPatient=decimals(self.grid.position(self.first)),
            ImageOrientationPatient=decimals(self.grid.cosines),
        )
        return {
            "DetectorInformationSequence": [place],
            "PixelSpacing": decimals(self.grid.spacing),
            "SliceThickness": decimal(2 * self.grid.z_spacing),
            "SpacingBetweenSlices": decimal(self.sign * self.grid.z_spacing),
        }


def nuclear(
    pixels: Pixels,
    dimensions: Sequence[str],
    slices: Slices | None = None,
    *,
    image_type: str = "STATIC",
    attributes: Mapping[str, object] | None = None,
) -> RadiologySeries:
    """A nuclear medicine instance; but for the first, its frames are stored in another order than the vectors count.

    Args:
        pixels: One axis for each dimension, then y and x.
        dimensions: Keys of ``NM_VECTORS``.
        slices: Where they lie.
        image_type: Third value of ImageType.
        attributes: More attributes.
    """
    frames = pixels.reshape(-1, *pixels.shape[-2:])
    order = [0, *(1 + np.random.default_rng(len(frames)).permutation(len(frames) - 1))]
    every = np.array(list(itertools.product(*(range(1, size + 1) for size in pixels.shape[:-2]))))[order]
    counted = {_COUNTS[name]: pixels.shape[axis] for axis, name in enumerate(dimensions) if name in _COUNTS}
    described: dict[str, object] = {
        "ImageType": ["ORIGINAL", "PRIMARY", image_type, "EMISSION"],
        "FrameIncrementPointer": [Tag(NM_VECTORS[name][1]) for name in dimensions],
        **{NM_VECTORS[name][0]: every[:, axis].tolist() for axis, name in enumerate(dimensions)},
        "NumberOfEnergyWindows": 1,
        "NumberOfDetectors": 1,
        **counted,
        "EnergyWindowInformationSequence": [sequence_item(EnergyWindowName=name) for name in ("Tc99m", "I123")],
        **(slices.attributes() if slices else {}),
        **(attributes or {}),
    }
    return series_of([instance(Identity("nuclear", "NM"), 1, frames[order], described)])


_COUNTS = {
    "energy_window": "NumberOfEnergyWindows",
    "detector": "NumberOfDetectors",
    "slice": "NumberOfSlices",
    "time_slot": "NumberOfTimeSlots",
    "rotation": "NumberOfRotations",
}


def recon_tomo(pixels: Pixels, grid: Grid = AXIAL, *, descending: bool = False) -> RadiologySeries:
    """Reconstructed slices, (z, y, x); descending, the first frame is the last slice along the normal."""
    if descending:
        return nuclear(pixels[::-1], ["slice"], Slices(grid, len(pixels) - 1, -1), image_type="RECON TOMO")
    return nuclear(pixels, ["slice"], Slices(grid), image_type="RECON TOMO")


def gated_tomo(pixels: Pixels, grid: Grid = AXIAL) -> RadiologySeries:
    """Slices at each time slot of the heart's cycle, (time slot, z, y, x)."""
    gated = sequence_item(DataInformationSequence=[sequence_item(FrameTime=decimal(80))])
    attributes = {"GatedInformationSequence": [gated]}
    kind = "RECON GATED TOMO"
    return nuclear(pixels, ["time_slot", "slice"], Slices(grid), image_type=kind, attributes=attributes)
