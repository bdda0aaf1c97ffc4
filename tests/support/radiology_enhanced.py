"""Enhanced multi-frame instances from functional groups (PS3.3 section C.7.6.16)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from radiology_model import OBLIQUE, decimal, decimals
from radiology_slices import instance, sequence_item

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from radiology_model import Grid, Pixels
    from radiology_slices import Identity

Macros = Mapping[str, list[Dataset]]
"""Functional group macros by the keyword of their sequence."""


@dataclass(frozen=True)
class Frames:
    """Functional groups of a volume that comes several times."""

    differences: Sequence[Macros] = ({},)
    """Of all frames of each n."""
    grid: Grid = OBLIQUE
    """Where the slices lie."""
    content: Callable[[int, int], Macros] = field(default=lambda _, z: in_stack(z))
    """Of the frame (n, z): Frame Content, and what else is its own."""
    shared: Macros | None = None
    """Of all frames; those for orientation and spacing if None."""

    def of_all(self) -> Macros:
        return {**orientation(self.grid), **measures(self.grid)} if self.shared is None else self.shared

    def of_one(self, n: int, z: int) -> Macros:
        return {**position(self.grid, z), **self.differences[n], **self.content(n, z)}


def multi_frame(
    identity: Identity,
    pixels: Pixels,
    frames: Frames,
    *,
    number: int = 1,
    attributes: Mapping[str, object] | None = None,
) -> Dataset:
    """One instance whose frames are stored in an order that means nothing.

    Args:
        identity: Of the series.
        pixels: (n, z, y, x).
        frames: What the functional groups say.
        number: InstanceNumber.
        attributes: More attributes of the instance.
    """
    count, slices = pixels.shape[:2]
    order = np.random.default_rng(count * slices).permutation(count * slices)
    every = list(itertools.product(range(count), range(slices)))
    own = [frames.of_one(*every[frame]) for frame in order]
    stored = pixels.reshape(-1, *pixels.shape[2:])[order]
    return instance(identity, number, stored, {**groups(identity, frames.of_all(), own), **(attributes or {})})


def groups(identity: Identity, shared: Macros, per_frame: Sequence[Macros]) -> dict[str, object]:
    """The attributes of a multi-frame instance with these functional groups."""
    return {
        "FrameOfReferenceUID": identity.uid("frame of reference"),
        "SharedFunctionalGroupsSequence": [sequence_item(**shared)],
        "PerFrameFunctionalGroupsSequence": [sequence_item(**macros) for macros in per_frame],
        "VolumetricProperties": "VOLUME",
        "AcquisitionDateTime": "20200102030405",
    }


def index_by(dataset: Dataset, *pointers: tuple[int | str, str | None]) -> None:
    """Say what DimensionIndexValues count (PS3.3 section C.7.6.17).

    Args:
        dataset: The instance.
        *pointers: (tag or keyword, keyword of the functional group) of each dimension.
    """
    organization = f"{dataset.SOPInstanceUID}"[:60] + ".1"
    dataset.DimensionOrganizationSequence = [sequence_item(DimensionOrganizationUID=organization)]
    dataset.DimensionIndexSequence = [_dimension(organization, pointer, group) for pointer, group in pointers]


def _dimension(organization: str, pointer: int | str, group: str | None) -> Dataset:
    tag = tag_for_keyword(pointer) if isinstance(pointer, str) else pointer
    item = sequence_item(DimensionOrganizationUID=organization, DimensionIndexPointer=tag)
    if group is not None:
        item.FunctionalGroupPointer = tag_for_keyword(group)
    if isinstance(pointer, int):
        item.DimensionIndexPrivateCreator = "Philips Imaging DD 001"
    return item


STACK = ("StackID", "FrameContentSequence")
IN_STACK = ("InStackPositionNumber", "FrameContentSequence")
TEMPORAL = ("TemporalPositionIndex", "FrameContentSequence")
POSITION = ("ImagePositionPatient", "PlanePositionSequence")
ECHO = ("EffectiveEchoTime", "MREchoSequence")
B_VALUE = ("DiffusionBValue", "MRDiffusionSequence")
GRADIENT = ("DiffusionGradientOrientation", "MRDiffusionSequence")
PRIVATE = (0x2005106E, None)
"""Pointers of dimensions; the last is Philips' own."""


def orientation(grid: Grid) -> Macros:
    """Plane Orientation (Patient)."""
    return {"PlaneOrientationSequence": [sequence_item(ImageOrientationPatient=decimals(grid.cosines))]}


def measures(grid: Grid, **attributes: object) -> Macros:
    """Pixel Measures; SliceThickness is no spacing."""
    thickness = decimal(2 * grid.z_spacing)
    item = sequence_item(PixelSpacing=decimals(grid.spacing), SliceThickness=thickness, **attributes)
    return {"PixelMeasuresSequence": [item]}


def position(grid: Grid, slices: float) -> Macros:
    """Plane Position (Patient)."""
    return {"PlanePositionSequence": [sequence_item(ImagePositionPatient=decimals(grid.position(slices)))]}


def content(*indices: int, **attributes: object) -> Macros:
    """Frame Content: DimensionIndexValues, and what else it says."""
    item = sequence_item(**attributes)
    if indices:
        item.DimensionIndexValues = list(indices)
    return {"FrameContentSequence": [item]}


def in_stack(z: int, *indices: int, **attributes: object) -> Macros:
    """Frame Content of a slice of the only stack; ``indices`` are those after stack and place."""
    return content(1, z + 1, *indices, StackID="1", InStackPositionNumber=z + 1, **attributes)


def echo(milliseconds: float) -> Macros:
    """MR Echo."""
    return {"MREchoSequence": [sequence_item(EffectiveEchoTime=milliseconds)]}


def weighting(b: float, direction: Sequence[float] | None) -> Macros:
    """MR Diffusion: b in s/mm2."""
    item = sequence_item(DiffusionBValue=b, DiffusionDirectionality="NONE" if direction is None else "DIRECTIONAL")
    if direction is not None:
        gradient = sequence_item(DiffusionGradientOrientation=list(direction))
        item.DiffusionGradientDirectionSequence = [gradient]
    return {"MRDiffusionSequence": [item]}


def component(name: str) -> Macros:
    """MR Image Frame Type: MAGNITUDE, PHASE, REAL or IMAGINARY."""
    frame_type = ["ORIGINAL", "PRIMARY", name[0], "NONE"]
    return {"MRImageFrameTypeSequence": [sequence_item(FrameType=frame_type, ComplexImageComponent=name)]}


def transformation(slope: float, intercept: float, kind: str = "US") -> Macros:
    """Pixel Value Transformation."""
    item = sequence_item(RescaleSlope=decimal(slope), RescaleIntercept=decimal(intercept), RescaleType=kind)
    return {"PixelValueTransformationSequence": [item]}


def window(center: float, width: float, explanation: str = "STANDARD") -> Macros:
    """Frame VOI LUT."""
    item = sequence_item(WindowCenter=decimal(center), WindowWidth=decimal(width))
    item.WindowCenterWidthExplanation = explanation
    return {"FrameVOILUTSequence": [item]}


def real_world(slope: float, intercept: float, label: str, unit: str, last: int = 4095) -> Dataset:
    """One item of Real World Value Mapping."""
    code = sequence_item(CodeValue=unit, CodingSchemeDesignator="UCUM", CodeMeaning=unit)
    return sequence_item(
        RealWorldValueFirstValueMapped=0,
        RealWorldValueLastValueMapped=last,
        RealWorldValueIntercept=float(intercept),
        RealWorldValueSlope=float(slope),
        LUTExplanation=label,
        LUTLabel=label,
        MeasurementUnitsCodeSequence=[code],
    )
