"""Volumes of single-frame instances, regular and not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydicom import DataElement, Dataset
from radiology_model import AXIAL, SAGITTAL, TILTED, decimal, decimals, distinct, series_of
from radiology_slices import Identity, compress, instance, place, sequence_item, stack, store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from radiology_model import Grid, Pixels, RadiologySeries

VOLUME = distinct((5, 16, 20))
"""(z, y, x), 12 bits."""

HOUNSFIELD = {"RescaleSlope": "1", "RescaleIntercept": "-1024", "RescaleType": "HU"}
WINDOWS = {
    "WindowCenter": ["40", "-600"],
    "WindowWidth": ["401", "1601"],
    "WindowCenterWidthExplanation": ["SOFT TISSUE", "LUNG"],
}


def volume(
    grid: Grid = AXIAL, pixels: Pixels = VOLUME, *, bits: int = 12, name: str = "volume", **attributes: object
) -> RadiologySeries:
    """A CT volume; ``attributes`` are those of every slice."""
    described = {**HOUNSFIELD, **WINDOWS, **attributes}
    return series_of(stack(Identity(name, bits=bits), pixels, grid, attributes=described))


def uneven(distances: Sequence[float], pixels: Pixels, grid: Grid = AXIAL) -> RadiologySeries:
    """Slices at these millimetres along the normal from the grid's origin."""
    unit = grid.along_normal(1.0)
    datasets = stack(Identity("uneven"), pixels, unit, attributes=HOUNSFIELD)
    for dataset, distance in zip(datasets, distances, strict=True):
        place(dataset, unit, distance)
    return series_of(datasets)


def gantry_tilt(pixels: Pixels = VOLUME, tag: float | None = None) -> RadiologySeries:
    """Slices sheared by the movement of the table, whatever GantryDetectorTilt says."""
    attributes = {} if tag is None else {"GantryDetectorTilt": decimal(tag)}
    return volume(TILTED, pixels, name="tilt", **attributes)


def duplicated(extra: Pixels | None = None, pixels: Pixels = VOLUME, **attributes: object) -> RadiologySeries:
    """One position twice: the same pixels, or ``extra``; ``attributes`` are those of the second."""
    datasets = stack(Identity("duplicated"), pixels, AXIAL, attributes=HOUNSFIELD)
    picture = pixels[2] if extra is None else extra
    second = instance(Identity("duplicated"), 99, picture, attributes={**HOUNSFIELD, **attributes})
    place(second, AXIAL, 2)
    return series_of([*datasets, second])


def bolus(pixels: Pixels, times: Sequence[str]) -> RadiologySeries:
    """One slice again and again while the contrast arrives (bolus monitoring)."""
    datasets = [
        instance(
            Identity("bolus"),
            len(times) - number,
            picture,
            attributes={**HOUNSFIELD, "AcquisitionNumber": number + 1, "AcquisitionTime": time},
        )
        for number, (picture, time) in enumerate(zip(pixels, times, strict=True))
    ]
    for dataset in datasets:
        place(dataset, AXIAL, 0)
    return series_of(datasets)


def with_localizer(pixels: Pixels, scout: Pixels, grid: Grid = AXIAL) -> RadiologySeries:
    """A volume and a LOCALIZER with the same orientation: ``scout``, (y, x)."""
    identity = Identity("localizer")
    datasets = stack(identity, pixels, AXIAL, first=10, attributes=HOUNSFIELD)
    image_type = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    localizer = instance(identity, 1, scout, attributes={**HOUNSFIELD, "ImageType": image_type})
    place(localizer, grid, len(pixels))  # just where the next slice would lie
    return series_of([*datasets, localizer])


def two_orientations(axial: Pixels, sagittal: Pixels) -> RadiologySeries:
    """Two stacks in one series, InstanceNumber running on from the first."""
    identity = Identity("orientations", "MR")
    first = stack(identity, axial, AXIAL, first=1)
    return series_of([*first, *stack(identity, sagittal, SAGITTAL, first=100)])


def changed(pixels: Pixels, other: Pixels, bits: int = 12, **attributes: object) -> RadiologySeries:
    """A volume that goes on with other rows, columns, bits, samples or ``attributes``."""
    identity = Identity("changed")
    first = stack(identity, pixels, AXIAL)
    rest = stack(replace(identity, bits=bits), other, AXIAL.starting_at(len(pixels)), first=100, attributes=attributes)
    return series_of([*first, *rest])


def mixed_syntaxes(pixels: Pixels = VOLUME) -> RadiologySeries:
    """A volume of which every other slice is coded as JPEG-LS."""
    datasets = stack(Identity("syntaxes"), pixels, AXIAL, attributes=HOUNSFIELD)
    for dataset, picture in list(zip(datasets, pixels, strict=True))[1::2]:
        compress(dataset, [picture])
    return series_of(datasets)


def pet(pixels: Pixels, slopes: Sequence[float], intercepts: Sequence[float] | None = None) -> RadiologySeries:
    """A PET volume whose slices each have a slope of their own (PS3.3 section C.8.9.4)."""
    units = {"Units": "BQML", "DecayCorrection": "START", "SeriesType": ["STATIC", "IMAGE"], "RescaleType": "BQML"}
    datasets = stack(Identity("pet", "PT", 16), pixels, AXIAL, attributes=units)
    for dataset, slope, intercept in zip(datasets, slopes, intercepts or [0.0] * len(slopes), strict=True):
        dataset.RescaleSlope, dataset.RescaleIntercept = decimal(slope), decimal(intercept)
    return series_of(datasets)


def modality_lut(pixels: Pixels = VOLUME) -> RadiologySeries:
    """A volume whose stored values a table makes into others (PS3.3 section C.11.1)."""
    table = [value**2 // 4096 for value in range(4096)]
    lut = Dataset()
    lut.add(DataElement(0x00283002, "US", [4096, 0, 16]))
    lut.ModalityLUTType = "OD"
    lut.add(DataElement(0x00283006, "US", table))
    datasets = stack(Identity("modality lut"), pixels, AXIAL, attributes={"ModalityLUTSequence": [lut]})
    return series_of(datasets)


def monochrome1(pixels: Pixels = VOLUME) -> RadiologySeries:
    """Low values are shown bright."""
    return volume(pixels=pixels, name="monochrome1", PhotometricInterpretation="MONOCHROME1")


def padded(pixels: Pixels, value: int, vr: str) -> RadiologySeries:
    """Signed pixels with a PixelPaddingValue, whose VR servers do not agree on."""
    datasets = stack(Identity("padded", bits=16), pixels, AXIAL, attributes=HOUNSFIELD)
    for dataset in datasets:
        dataset.add(DataElement(0x00280120, vr, value))
    return series_of(datasets)


def garbage_in_high_bits(pixels: Pixels, *, signed: bool) -> RadiologySeries:
    """12 bits in 16, and anything in the other four (PS3.5 section 8.1.1)."""
    datasets = stack(Identity("garbage"), pixels, AXIAL, attributes=HOUNSFIELD)
    for dataset, picture in zip(datasets, pixels, strict=True):
        store(dataset, ((picture.astype("u2") & 0x0FFF) | 0xA000).astype("u2"), 12)
        dataset.PixelRepresentation = int(signed)
    return series_of(datasets)


def mosaic(pixels: Pixels, times: Sequence[float]) -> RadiologySeries:
    """Siemens MOSAIC: many small slices in one picture, (t, y, x)."""
    identity = Identity("mosaic", "MR")
    image_type = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    datasets = []
    for number, (picture, time) in enumerate(zip(pixels, times, strict=True), 1):
        attributes = {"ImageType": image_type, "TemporalPositionIdentifier": number}
        dataset = instance(identity, number, picture, attributes=attributes)
        place(dataset, AXIAL, 0)
        dataset.AcquisitionTime = f"1203{time:09.6f}"
        datasets.append(dataset)
    return series_of(datasets)


def without(series: RadiologySeries, *keywords: str) -> RadiologySeries:
    """The series after these attributes went."""
    for dataset in series.datasets:
        for keyword in keywords:
            delattr(dataset, keyword)
    return series


def secondary_capture(pixels: Pixels, **attributes: object) -> RadiologySeries:
    """One colour picture, (rows, columns, 3), without any geometry."""
    return series_of([instance(Identity("capture", "OT", 8), 1, pixels, attributes)])


def projection(pixels: Pixels, kind: str = "DX", **attributes: object) -> RadiologySeries:
    """A radiograph: ImagerPixelSpacing is that of the detector, not of the patient."""
    described = {"ImagerPixelSpacing": decimals((0.2, 0.15)), "PatientOrientation": ["L", "F"], **attributes}
    described |= {"RescaleSlope": "1", "RescaleIntercept": "0", "RescaleType": "US"}
    return series_of([instance(Identity("projection", kind), 1, pixels, attributes=described)])


def ultrasound(pixels: Pixels) -> RadiologySeries:
    """A colour picture with two calibrated regions (PS3.3 section C.8.5.5): centimetres, and seconds."""
    image = sequence_item(
        RegionSpatialFormat=1, RegionDataType=1, RegionFlags=0,
        RegionLocationMinX0=0, RegionLocationMinY0=0, RegionLocationMaxX1=9, RegionLocationMaxY1=15,
        PhysicalUnitsXDirection=3, PhysicalUnitsYDirection=3, PhysicalDeltaX=0.02, PhysicalDeltaY=0.03,
    )  # fmt: skip
    trace = sequence_item(
        RegionSpatialFormat=3, RegionDataType=3, RegionFlags=0,
        RegionLocationMinX0=10, RegionLocationMinY0=0, RegionLocationMaxX1=19, RegionLocationMaxY1=15,
        PhysicalUnitsXDirection=4, PhysicalUnitsYDirection=7, PhysicalDeltaX=0.005, PhysicalDeltaY=1.5,
    )  # fmt: skip
    attributes = {"SequenceOfUltrasoundRegions": [image, trace]}
    return series_of([instance(Identity("ultrasound", "US", 8), 1, pixels, attributes)])
