"""Series that are made when they are asked for: a CT with segments, a perfusion MR, a fluorescence slide. Nobody's."""

# ruff: noqa: PLR2004  # anatomy in millimetres

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.utils import pack_bits
from pydicom.uid import UID, ExplicitVRLittleEndian

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

_CT_SHAPE = (56, 256, 256)
_CT_SPACING = (5.0, 1.4, 1.4)
"""Millimetres between slices, rows and columns."""

_MR_SHAPE = (20, 10, 128, 128)
"""Times, slices, rows, columns."""

_MR_SPACING = (6.0, 1.8, 1.8)

_CELLS = 1024
"""Rows and columns of the fluorescence slide."""

_TILE = 256

_CHANNELS = (("DAPI", 461), ("FITC", 519), ("TRITC", 578))
"""Names and wavelengths in nanometres."""

_ORGANS: Mapping[str, tuple[int, int, int]] = {
    "Left lung": (28000, 30000, 45000),
    "Right lung": (42000, 20000, 36000),
    "Heart": (30000, 46000, 42000),
}
"""Segments and their colours, as scaled CIELab (PS3.3 section C.10.7.1.1)."""


def uid(name: str) -> str:
    """A UID that is the same whenever it is made."""
    return f"2.25.{int.from_bytes(hashlib.sha256(f'dicomzarr phantom {name}'.encode()).digest()[:15])}"


def phantoms() -> list[Dataset]:
    """All instances: a CT and its segmentation, a time series, a fluorescence slide of three channels.

    Returns:
        Complete datasets with their ``file_meta``, uncompressed. Equal ones each time.
    """
    return [*_ct(), _segmentation(), *_perfusion(), *_fluorescence()]


def _grid(shape: Sequence[int], spacing: Sequence[float]) -> list[Array]:
    """z, y and x in millimetres from the middle, to be broadcast."""
    axes = [(np.arange(length) - (length - 1) / 2) * step for length, step in zip(shape, spacing, strict=True)]
    return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def _ellipsoid(grid: list[Array], middle: Sequence[float], radii: Sequence[float]) -> Array:
    """How far inside: above 0 within; middle and radii in millimetres along z, y and x."""
    parts = [((axis - at) / radius) ** 2 for axis, at, radius in zip(grid, middle, radii, strict=True)]
    inside: Array = 1 - (parts[0] + parts[1] + parts[2])
    return inside


@functools.cache
def _chest() -> tuple[Array, dict[str, Array]]:
    """Hounsfield units, and the mask of each organ."""
    grid = _grid(_CT_SHAPE, _CT_SPACING)
    z, y, x = grid
    random = np.random.default_rng(7)
    taper = 1 - 0.12 * (z / 140) ** 2
    body = 1 - (x / (158 * taper)) ** 2 - (y / (104 * taper)) ** 2
    units = np.where(body > 0, -95.0, -1000.0)  # fat
    units = np.where(body > 0.1, 45.0, units)  # muscle
    lungs = {
        "Right lung": _ellipsoid(grid, (20, -6, -70), (135, 72, 50)),
        "Left lung": _ellipsoid(grid, (20, -6, 70), (135, 72, 48)),
    }
    heart = _ellipsoid(grid, (-15, -28, 18), (62, 44, 50))
    vessels = np.sin(x / 5.3 + 0.02 * y * y / 9) * np.sin(y / 4.7 + z / 11) * np.sin(z / 8.1 + x / 14)
    diaphragm = -62 + 30 * np.exp(-(((x + 60) / 70) ** 2)) - 0.0015 * y * y
    masks = {name: (inside > 0) & (heart < 0) & (z > diaphragm) for name, inside in lungs.items()}
    masks["Heart"] = (heart > 0) & (z > diaphragm - 25)
    for mask in (masks["Right lung"], masks["Left lung"]):
        units = np.where(mask, -860 + 620 * np.clip((vessels - 0.5) * 3, 0, 1), units)
    units = np.where(masks["Heart"], 50 + 95 * (_ellipsoid(grid, (-12, -26, 26), (36, 24, 24)) > 0), units)
    liver = (_ellipsoid(grid, (-100, -8, -42), (78, 78, 96)) > 0) & (z < diaphragm) & (body > 0.14)
    units = np.where(liver, 72 + 40 * (np.sin(x / 11 + z / 17) * np.sin(y / 13) > 0.93), units)
    units = np.where(_ellipsoid(grid, (-60, 16, 82), (42, 34, 30)) > 0, np.where(z < diaphragm, 58, units), units)
    around = np.hypot(x / 1.52, y) / taper
    ribs = (np.abs(around - 86) < 4.5) & (np.sin((z + 0.3 * y) / 4.1) > 0.35) & (np.abs(x) > 12)
    units = np.where(ribs & (body > 0.05), 420.0, units)
    spine = np.hypot(x, y - 62)
    units = np.where(spine < 19, np.where(np.sin(z / 4.6) > -0.75, 330.0, 90.0), units)
    units = np.where(np.hypot(x, y - 84) < 8, 20.0, units)
    aorta = np.hypot(x - 24, y - 36)
    units = np.where((aorta < 12) & (body > 0), 190.0, units)
    units = np.where((np.hypot(x, y + 2) < 9) & (z > 30), -990.0, units)  # trachea
    soft = _smooth(units, 0.6) + random.normal(0, 11, _CT_SHAPE)
    return np.round(np.clip(soft, -1024, 3071)), {name: masks[name] for name in _ORGANS}


def _smooth(values: Array, part: float) -> Array:
    """Blur in the plane: each pixel gives ``part`` of itself to its neighbours."""
    near = sum(np.roll(values, shift, axis) for axis in (1, 2) for shift in (-1, 1)) / 4
    blurred: Array = (1 - part) * values + part * near
    return blurred


def _instance(name: str, sop_class: str, modality: str, study: str) -> Dataset:
    """What every instance says of itself."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(uid(name))
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = uid(name)
    dataset.StudyInstanceUID = uid(study)
    dataset.SeriesInstanceUID = uid(f"{study} {modality}")
    dataset.Modality = modality
    dataset.PatientName = "Demo^Phantom"
    dataset.PatientID = "PHANTOM"
    dataset.PatientBirthDate = dataset.PatientSex = dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20260105", "101500", "1"
    dataset.StudyDescription = {"ct": "Chest, made", "mr": "Perfusion, made", "cells": "Cells, made"}[study]
    dataset.SeriesNumber = 1
    dataset.Manufacturer = "dicomzarr"
    return dataset


def _pixels(dataset: Dataset, values: Array, *, signed: bool = False) -> None:
    bits = 8 * values.dtype.itemsize
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(signed)
    dataset.add_new("PixelData", "OB" if bits == 8 else "OW", values.tobytes())


def _place(dataset: Dataset, shape: Sequence[int], spacing: Sequence[float], index: int) -> None:
    """An axial slice; the first is the lowest (PS3.3 section C.7.6.2)."""
    rows, columns = shape[-2:]
    corner = [-(columns - 1) / 2 * spacing[2], -(rows - 1) / 2 * spacing[1], index * spacing[0]]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = corner
    dataset.PixelSpacing = list(spacing[1:])
    dataset.SliceThickness = spacing[0]
    dataset.FrameOfReferenceUID = uid(f"frame of reference {dataset.StudyDescription}")


def _ct() -> list[Dataset]:
    units, _ = _chest()
    stored = (units + 1024).astype("<u2")
    slices = []
    for index, values in enumerate(stored):
        dataset = _instance(f"ct {index}", "1.2.840.10008.5.1.4.1.1.2", "CT", "ct")
        dataset.SeriesDescription = "Chest 5 mm"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.InstanceNumber = index + 1
        _place(dataset, _CT_SHAPE, _CT_SPACING, index)
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = -1024, 1, "HU"
        dataset.WindowCenter, dataset.WindowWidth = [40, -600], [400, 1500]
        dataset.WindowCenterWidthExplanation = ["Soft tissue", "Lung"]
        _pixels(dataset, values)
        slices.append(dataset)
    return slices


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _segmentation() -> Dataset:
    """The organs of the CT as a binary segmentation; slices without one are left out (PS3.3 section A.51)."""
    _, masks = _chest()
    dataset = _instance("ct seg", "1.2.840.10008.5.1.4.1.1.66.4", "SEG", "ct")
    dataset.SeriesDescription, dataset.SeriesNumber, dataset.InstanceNumber = "Organs", 2, 1
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.ContentLabel, dataset.ContentDescription, dataset.ContentCreatorName = "ORGANS", "", ""
    dataset.SegmentationType, dataset.LossyImageCompression = "BINARY", "00"
    _place(dataset, _CT_SHAPE, _CT_SPACING, 0)
    shared = _item(
        PlaneOrientationSequence=[_item(ImageOrientationPatient=dataset.ImageOrientationPatient)],
        PixelMeasuresSequence=[_item(PixelSpacing=dataset.PixelSpacing, SliceThickness=dataset.SliceThickness)],
    )
    corner = list(dataset.ImagePositionPatient)
    for keyword in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness"):
        delattr(dataset, keyword)
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.SegmentSequence = [
        _item(
            SegmentNumber=number,
            SegmentLabel=name,
            SegmentAlgorithmType="MANUAL",
            SegmentedPropertyCategoryCodeSequence=[_code("123037004", "SCT", "Anatomical structure")],
            SegmentedPropertyTypeCodeSequence=[_code("113343008", "SCT", "Organ")],
            RecommendedDisplayCIELabValue=list(color),
        )
        for number, (name, color) in enumerate(_ORGANS.items(), start=1)
    ]
    dataset.ReferencedSeriesSequence = [
        _item(
            SeriesInstanceUID=uid("ct CT"),
            ReferencedInstanceSequence=[
                _item(
                    ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2",
                    ReferencedSOPInstanceUID=uid(f"ct {index}"),
                )
                for index in range(_CT_SHAPE[0])
            ],
        )
    ]
    kept = [
        (number, index, mask[index])
        for number, mask in enumerate(masks.values(), start=1)
        for index in range(_CT_SHAPE[0])
        if mask[index].any()
    ]
    dataset.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=uid("ct seg dimensions"))]
    dataset.PerFrameFunctionalGroupsSequence = [
        _item(
            FrameContentSequence=[_item(DimensionIndexValues=[number, index + 1])],
            PlanePositionSequence=[_item(ImagePositionPatient=[*corner[:2], index * _CT_SPACING[0]])],
            SegmentIdentificationSequence=[_item(ReferencedSegmentNumber=number)],
        )
        for number, index, _ in kept
    ]
    dataset.NumberOfFrames = len(kept)
    _pixels(dataset, kept[0][2].astype("u1"))
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = 0
    dataset.add_new("PixelData", "OB", pack_bits(np.stack([mask for *_, mask in kept]).astype("u1")))
    return dataset


def _perfusion() -> list[Dataset]:
    """A head in which contrast comes and goes: vessels first, then grey matter."""
    times, slices, *_ = _MR_SHAPE
    grid = _grid(_MR_SHAPE[1:], _MR_SPACING)
    z, y, x = grid
    head = _ellipsoid(grid, (0, 0, 0), (75, 100, 80))
    folds = np.sin(x / 3.1 + np.sin(y / 6) * 2) * np.sin(y / 3.4 + np.cos(x / 7) * 2 + z / 9)
    brain = head > 0.16
    grey = brain & ((head < 0.34) | (folds > 0.35)) & (np.abs(x) > 1.2)
    ventricles = (_ellipsoid(grid, (2, -4, -9), (22, 26, 6)) > 0) | (_ellipsoid(grid, (2, -4, 9), (22, 26, 6)) > 0)
    still = np.where(head > 0, 260.0, 12.0) + np.where(brain, 240.0, 0) + np.where(grey, 130.0, 0)
    still = np.where((head > 0.06) & (head < 0.13), 40.0, still)  # skull
    still = np.where(ventricles & brain, 130.0, still)
    vessels = brain & (np.abs(np.sin(x / 9 + z / 5) * np.sin(y / 11 + x / 23)) < 0.03)
    random = np.random.default_rng(11)
    instances = []
    for time in range(times):
        values = still + np.where(vessels, 620 * _contrast(time - 6), 0) + np.where(grey, 210 * _contrast(time - 8), 0)
        stored = np.clip(_smooth(values, 0.4) + random.normal(0, 9, values.shape), 0, 4095).astype("<u2")
        for index in range(slices):
            dataset = _instance(f"mr {time} {index}", "1.2.840.10008.5.1.4.1.1.4", "MR", "mr")
            dataset.SeriesDescription = "Perfusion, 20 times"
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
            dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "EP", "SK", ""
            dataset.MRAcquisitionType, dataset.EchoTime, dataset.RepetitionTime = "2D", 30, 1500
            dataset.InstanceNumber = time * slices + index + 1
            dataset.TemporalPositionIdentifier, dataset.NumberOfTemporalPositions = time + 1, times
            dataset.AcquisitionNumber = time + 1
            dataset.AcquisitionDate = "20260105"
            dataset.AcquisitionTime = f"1015{time * 1.5:06.3f}" if time * 1.5 < 60 else "101600"
            _place(dataset, _MR_SHAPE, _MR_SPACING, index)
            dataset.WindowCenter, dataset.WindowWidth = 450, 900
            _pixels(dataset, stored[index])
            instances.append(dataset)
    return instances


def _contrast(late: int) -> float:
    """How much of it is there, so many times after its peak."""
    return float(np.exp(-((late / 3.2) ** 2))) + 0.22 * (late > 0)


def _cells() -> Array:
    """Channels, rows, columns of a culture: nuclei, their bodies, and spots."""
    random = np.random.default_rng(23)
    light = np.zeros((3, _CELLS, _CELLS), np.float32)
    y, x = np.mgrid[-48:48, -48:48].astype(np.float32)
    for row, column in random.uniform(0, _CELLS, (210, 2)):
        angle, long, wide = random.uniform(0, np.pi), random.uniform(13, 20), random.uniform(9, 14)
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        far = np.hypot(along / long, across / wide)
        rays = np.hypot(along / (2.1 * long), across / (2.0 * wide)) * (
            1 + 0.12 * np.sin(7 * np.arctan2(along, across))
        )
        texture = 1 + 0.18 * np.sin(along / 2.2) * np.sin(across / 1.9)
        nucleus = random.uniform(120, 200) / (1 + np.exp(9 * (far - 1))) * texture
        body = (
            random.uniform(70, 150)
            / (1 + np.exp(6 * (rays - 1)))
            * (0.55 + 0.45 * np.abs(np.sin(along / 1.7 + across / 5)))
        )
        spots = sum(
            230 * np.exp(-((along - a) ** 2 + (across - b) ** 2) / 4.0) for a, b in random.normal(0, 13, (9, 2))
        )
        rows, columns = (np.arange(-48, 48) + int(row)) % _CELLS, (np.arange(-48, 48) + int(column)) % _CELLS
        for channel, stamp in enumerate((nucleus, body * (far > 0.8), spots)):
            light[channel][np.ix_(rows, columns)] += stamp
    noise = random.normal(6, 2, light.shape)
    return np.clip(light + noise, 0, 255).astype("u1")


def _fluorescence() -> list[Dataset]:
    """Three optical paths, and levels of 1024, 512 and 256 pixels (PS3.3 section A.32.8)."""
    finest = _cells()
    levels = [finest]
    while levels[-1].shape[-1] > _TILE:
        last = levels[-1].astype("u2")
        levels.append(
            ((last[:, ::2, ::2] + last[:, 1::2, ::2] + last[:, ::2, 1::2] + last[:, 1::2, 1::2] + 2) // 4).astype("u1")
        )
    return [_level(number, values) for number, values in enumerate(levels)]


def _level(number: int, values: Array) -> Dataset:
    size = values.shape[-1]
    across = size // _TILE
    spacing = 0.00025 * _CELLS / size
    dataset = _instance(f"cells {number}", "1.2.840.10008.5.1.4.1.1.77.1.6", "SM", "cells")
    dataset.SeriesDescription = "Cells, three dyes"
    dataset.ImageType = [
        "ORIGINAL" if not number else "DERIVED",
        "PRIMARY",
        "VOLUME",
        "NONE" if not number else "RESAMPLED",
    ]
    dataset.InstanceNumber = number + 1
    dataset.FrameOfReferenceUID = uid("frame of reference cells")
    dataset.ContainerIdentifier, dataset.PositionReferenceIndicator = "SLIDE", "SLIDE_CORNER"
    dataset.VolumetricProperties, dataset.BurnedInAnnotation = "VOLUME", "NO"
    dataset.SpecimenLabelInImage, dataset.FocusMethod, dataset.ExtendedDepthOfField = "NO", "AUTO", "NO"
    dataset.LossyImageCompression = "00"
    dataset.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    dataset.ImagedVolumeWidth = dataset.ImagedVolumeHeight = 0.00025 * _CELLS
    dataset.ImagedVolumeDepth = 0.001
    dataset.TotalPixelMatrixColumns = dataset.TotalPixelMatrixRows = size
    dataset.TotalPixelMatrixOriginSequence = [
        _item(XOffsetInSlideCoordinateSystem=20, YOffsetInSlideCoordinateSystem=40)
    ]
    dataset.DimensionOrganizationType = "TILED_FULL"
    dataset.NumberOfOpticalPaths, dataset.TotalPixelMatrixFocalPlanes = len(_CHANNELS), 1
    dataset.OpticalPathSequence = [
        _item(
            OpticalPathIdentifier=str(index + 1),
            OpticalPathDescription=name,
            IlluminationWaveLength=wavelength,
            IlluminationTypeCodeSequence=[_code("111743", "DCM", "Epifluorescence illumination")],
        )
        for index, (name, wavelength) in enumerate(_CHANNELS)
    ]
    dataset.SharedFunctionalGroupsSequence = [
        _item(
            PixelMeasuresSequence=[_item(PixelSpacing=[spacing, spacing], SliceThickness=0.001)],
            WholeSlideMicroscopyImageFrameTypeSequence=[_item(FrameType=dataset.ImageType)],
        )
    ]
    dataset.NumberOfFrames = len(_CHANNELS) * across * across
    tiles = values.reshape(len(_CHANNELS), across, _TILE, across, _TILE).swapaxes(2, 3)
    _pixels(dataset, tiles)
    return dataset
