"""Series that look like one grid and are none, or look like none and are one."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from pydicom.uid import generate_uid
from radiology_dimensions import instances
from radiology_enhanced import content, groups, measures, orientation, position
from radiology_model import AXIAL, CORONAL, OBLIQUE, SAGITTAL, Grid, decimals, distinct, series_of
from radiology_nuclear import cine, dose
from radiology_slices import Identity, instance, sequence_item, stack
from radiology_volumes import modality_lut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydicom import Dataset
    from radiology_model import Pixels, RadiologySeries, Vector

Private: TypeAlias = "Mapping[int, tuple[str, object]]"
"""VR and value by the lowest byte of a private tag."""

PIXELS = distinct((2, 4, 16, 20))
"""(station, z, y, x), 12 bits."""


def moved(grid: Grid, down: float, across: float = 0.0) -> Grid:
    """The same slices, millimetres further down their columns and along their rows."""
    x, y, z = np.array(grid.origin) + np.multiply(grid.column, down) + np.multiply(grid.row, across)
    return replace(grid, origin=(float(x), float(y), float(z)))


STATIONS: Mapping[str, tuple[Grid, Grid]] = {
    "spine": (SAGITTAL, moved(SAGITTAL, 200)),
    "whole body": (CORONAL, moved(CORONAL, 400)),
    "knees": (AXIAL, moved(AXIAL, 0, 200)),
    "oblique": (OBLIQUE, moved(OBLIQUE, -150, 30)),
}
"""Grids of which the second has the places of the first along the normal, beside them."""


def stations(grids: Sequence[Grid]) -> list[Dataset]:
    """A stack at each station, one after the other, as a scanner takes them while the table moves."""
    identity, made = Identity("stations", "MR"), []
    for number, (grid, pixels) in enumerate(zip(grids, PIXELS, strict=True)):
        attributes = {"AcquisitionNumber": number + 1, "AcquisitionTime": f"120{number}00"}
        made += stack(identity, pixels, grid, first=1 + 100 * number, attributes=attributes)
    return made


def stations_in_one_instance(grids: Sequence[Grid], order: Sequence[int]) -> RadiologySeries:
    """The same as one enhanced instance without stacks; ``order`` is that of the frames."""
    per_frame = [
        {
            **position(grid, z),
            **orientation(grid),
            **measures(grid),
            **content(FrameAcquisitionDateTime=f"20200101120{number}00", TemporalPositionIndex=number + 1),
        }
        for number, grid in enumerate(grids)
        for z in range(PIXELS.shape[1])
    ]
    identity = Identity("stations", "enhanced MR")
    frames = PIXELS.reshape(-1, *PIXELS.shape[2:])[list(order)]
    return series_of([instance(identity, 1, frames, groups(identity, {}, [per_frame[frame] for frame in order]))])


def without_one_time(frames: Pixels, keyword: str, values: Sequence[object]) -> RadiologySeries:
    """A volume at several times, (t, z, y, x) of as many slices, of which each slice lacks another one."""
    made = instances(frames, [{keyword: value} for value in values], Identity("lost", "MR"))
    slices = frames.shape[1]
    return series_of([each for number, each in enumerate(made) if number // slices != number % slices])


def told_by_slice(frames: Pixels, keyword: str, values: Sequence[Sequence[object]]) -> RadiologySeries:
    """A volume at several times, (t, z, y, x), with a value for each time of each slice: ``values[t][z]``."""
    made = instances(frames, [{} for _ in values], Identity("told by slice", "MR"))
    for dataset, value in zip(made, itertools.chain(*values), strict=True):
        setattr(dataset, keyword, value)
    return series_of(made)


def tables_on(slices: Sequence[int], pixels: Pixels) -> RadiologySeries:
    """A volume of which these slices have a table of squares, and the others a slope of two."""
    series = modality_lut(pixels)
    ordered = sorted(series.datasets, key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    for number, dataset in enumerate(ordered):
        if number not in slices:
            del dataset.ModalityLUTSequence
            dataset.RescaleSlope, dataset.RescaleIntercept = "2", "0"
    return series


def widening_bits(pixels: Pixels) -> RadiologySeries:
    """A CT volume of 13 bits, (z, y, x), of which every other slice needs but 12 and says so."""
    datasets = stack(Identity("bits", bits=13), pixels, AXIAL)
    for dataset in datasets[::2]:
        dataset.BitsStored, dataset.HighBit = 12, 11
    return series_of(datasets)


MICROMETERS = Grid(step=(0.0, 0.0, 0.009), spacing=(0.009, 0.009))
"""Voxels of a micro-CT."""


def vendors(pixels: Pixels, group: int, creator: str, elements: Sequence[Private]) -> RadiologySeries:
    """A volume, (n, z, y, x), that only private attributes tell apart.

    Args:
        pixels: Those of each n.
        group: Of the private attributes.
        creator: Whose they are.
        elements: What each n has.
    """
    made = instances(pixels, [{} for _ in elements], Identity("vendors", "MR"))
    for number, dataset in enumerate(made):
        block = dataset.private_block(group, creator, create=True)
        for element, (vr, value) in elements[number // pixels.shape[1]].items():
            block.add_new(element, vr, value)
    return series_of(made)


def beams(pixels: Pixels, offsets: Sequence[float]) -> RadiologySeries:
    """The doses of several beams, (beam, z, y, x), on one grid."""
    made = []
    for number, planes in enumerate(pixels):
        (dataset,) = dose(planes, offsets).datasets
        _rename(dataset, number)
        dataset.DoseSummationType = "BEAM"
        made.append(dataset)
    return series_of(made)


def mammograms(views: Sequence[tuple[str, str]], pixels: Pixels) -> RadiologySeries:
    """A radiograph, (n, y, x), of each side and from each view."""
    identity = Identity("mammograms", "MG")
    return series_of(
        instance(identity, number, picture, {"ImageLaterality": side, "ViewPosition": view})
        for number, ((side, view), picture) in enumerate(zip(views, pixels, strict=True), 1)
    )


def concatenation(pixels: Pixels, sizes: Sequence[int]) -> list[Dataset]:
    """Frames, (n, y, x), that nothing places or times, as parts of these sizes."""
    parts, first = [], 0
    for number, size in enumerate(sizes, 1):
        attributes = {
            "ConcatenationUID": "1.2.3.7",
            "SOPInstanceUIDOfConcatenationSource": "1.2.3.8",
            "InConcatenationNumber": number,
            "InConcatenationTotalNumber": len(sizes),
            "ConcatenationFrameOffsetNumber": first,
        }
        parts.append(instance(Identity("parts", "enhanced MR"), number, pixels[first : first + size], attributes))
        first += size
    return parts


def palette_clips(pixels: Pixels) -> tuple[RadiologySeries, Pixels]:
    """Clips, (clip, t, y, x), of indices into one palette; gives the palette too, (256, 3)."""
    palette = distinct((256, 3), bits=8)
    made = []
    for number, frames in enumerate(pixels):
        (dataset,) = cine(frames, "US cine", bits=8, FrameTime="40").datasets
        _rename(dataset, number)
        paint(dataset, palette)
        made.append(dataset)
    return series_of(made), palette


def paint(dataset: Dataset, palette: Pixels) -> None:
    """Make the pixels of an instance indices into a palette, (256, 3) of bytes."""
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    for color, table in zip(("Red", "Green", "Blue"), palette.T, strict=True):
        setattr(dataset, f"{color}PaletteColorLookupTableDescriptor", [len(palette), 0, 8])
        setattr(dataset, f"{color}PaletteColorLookupTableData", table.tobytes())


def rooted(grid: Grid, spacing: float) -> dict[str, object]:
    """Where reconstructed slices of nuclear medicine lie, said without detectors."""
    return {
        "ImagePositionPatient": decimals(grid.origin),
        "ImageOrientationPatient": decimals(grid.cosines),
        "PixelSpacing": decimals(grid.spacing),
        "SliceThickness": "9",
        "SpacingBetweenSlices": str(spacing),
    }


def detectors(*origins: Vector) -> dict[str, object]:
    """Detectors that each stand somewhere."""
    cosines = decimals(AXIAL.cosines)
    items = [
        sequence_item(ImagePositionPatient=decimals(origin), ImageOrientationPatient=cosines) for origin in origins
    ]
    return {"DetectorInformationSequence": items, "PixelSpacing": decimals(AXIAL.spacing), "SpacingBetweenSlices": "9"}


def twin(dataset: Dataset, reference: str) -> Dataset:
    """The same image once more, in another frame of reference."""
    other = copy.deepcopy(dataset)
    _rename(other, f"{other.SOPInstanceUID} {reference}")
    other.FrameOfReferenceUID = reference
    return other


def _rename(dataset: Dataset, name: object) -> None:
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["trap", str(dataset.SOPInstanceUID), str(name)])
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    if isinstance(name, int):
        dataset.InstanceNumber = name + 1
