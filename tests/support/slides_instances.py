"""One VL Whole Slide Microscopy instance (PS3.3 section A.32.8) from one level of pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import VLWholeSlideMicroscopyImageStorage, generate_uid
from pydicom.valuerep import format_number_as_ds
from slides_codecs import RGB, Codec, store_pixels
from slides_model import PHI, ExpectedLevel
from slides_pixels import Tile, blank, cut, no_tiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydicom.uid import UID
    from slides_model import Mask, Pixels

ORIGIN = (20.0, 40.0)
"""Slide coordinates of the total pixel matrix's first pixel, in millimetres."""
ORIENTATION = (0, -1, 0, -1, 0, 0)
"""Columns run along -Y and rows along -X, as on most scanners (PS3.3 section C.8.12.2.1.1)."""
POSITION_POINTERS = (0x0048021F, 0x0048021E, 0x0040074A, 0x00480106)
"""Attributes that tell sparse frames apart: row, column, Z offset, optical path identifier."""


@dataclass(frozen=True)
class OpticalPath:
    """One item of OpticalPathSequence (PS3.3 section C.8.12.5)."""

    identifier: str = "1"
    description: str = "Brightfield"
    wavelength: float | None = None
    """Nanometres of the light; None for white light."""


@dataclass(frozen=True)
class Identity:
    """Which instance of which series."""

    slide: str
    """Seeds all UIDs: the same words give the same UIDs."""
    number: int
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "VOLUME", "NONE")

    def uid(self, *words: str) -> UID:
        """The same UID for the same slide and words, always."""
        return generate_uid(entropy_srcs=["synthetic slide", self.slide, *words])


@dataclass(frozen=True)
class Level:
    """One resolution and how it is stored."""

    pixels: Pixels
    """(c, z, y, x)."""
    tile: tuple[int, int]
    """Rows, columns."""
    spacing: tuple[float, float] = (0.0005, 0.0005)
    """Millimetres: down, across."""
    codec: Codec = RGB
    bits: int = 8
    """BitsStored."""
    paths: tuple[OpticalPath, ...] = (OpticalPath(),)
    z: tuple[float, ...] = (0.0,)
    """Millimetres above the glass of each focal plane."""

    def tiles(self) -> list[Tile]:
        """All tiles in the order of TILED_FULL."""
        pad_edge = self.codec.lossy
        return list(cut(self.pixels, self.tile, self.codec.samples, pad_edge=pad_edge))

    def expected(self, absent: Mask | None = None, lost: Mask | None = None) -> ExpectedLevel:
        """What a reader must find, with holes where tiles are absent or lost."""
        none = no_tiles(self.pixels, self.tile, self.codec.samples)
        absent, lost = none if absent is None else absent, none if lost is None else lost
        pixels = blank(self.pixels, self.tile, absent | lost)
        return ExpectedLevel(pixels, self.tile, self.spacing, absent, lost)

    def with_pixels(self, pixels: Pixels) -> Level:
        return replace(self, pixels=pixels)


def full_instance(identity: Identity, level: Level) -> Dataset:
    """A TILED_FULL instance: places follow from the order of the frames."""
    dataset = _described(identity, level)
    dataset.DimensionOrganizationType = "TILED_FULL"
    dataset.TotalPixelMatrixFocalPlanes = len(level.z)
    if len(level.z) > 1:
        measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        measures.SpacingBetweenSlices = _ds(level.z[1] - level.z[0])
    if len(level.paths) == 1:
        _identify_path(dataset.SharedFunctionalGroupsSequence[0], level.paths[0])
    store_pixels(dataset, [tile.pixels for tile in level.tiles()], level.codec, level.bits)
    return dataset


def sparse_instance(identity: Identity, level: Level, tiles: Iterable[Tile]) -> Dataset:
    """A TILED_SPARSE instance: each frame says where it lies, counting from one."""
    placed = list(tiles)
    dataset = _described(identity, level)
    dataset.DimensionOrganizationType = "TILED_SPARSE"
    _describe_dimensions(dataset, identity)
    dataset.PerFrameFunctionalGroupsSequence = [_frame_groups(level, tile) for tile in placed]
    store_pixels(dataset, [tile.pixels for tile in placed], level.codec, level.bits)
    return dataset


def sequence_item(**attributes: object) -> Dataset:
    """A sequence item with these attributes."""
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def _described(identity: Identity, level: Level) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    _identify(dataset, identity)
    _describe_matrix(dataset, level)
    _describe_paths(dataset, level.paths)
    return dataset


def _identify(dataset: Dataset, identity: Identity) -> None:
    name, patient, birth, accession, text, barcode = PHI
    dataset.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    dataset.SOPInstanceUID = identity.uid("instance", str(identity.number))
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientName, dataset.PatientID = name.replace(" ", "^"), patient
    dataset.PatientBirthDate, dataset.PatientSex = birth, ""
    dataset.StudyInstanceUID = identity.uid("study")
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20200102", "030405", ""
    dataset.AccessionNumber, dataset.ReferringPhysicianName = accession, ""
    dataset.SeriesInstanceUID = identity.uid("series")
    dataset.SeriesNumber, dataset.SeriesDescription, dataset.Modality = 1, text, "SM"
    dataset.FrameOfReferenceUID = identity.uid("frame of reference")
    dataset.PositionReferenceIndicator = "SLIDE_CORNER"
    dataset.InstanceNumber, dataset.ImageType = identity.number, list(identity.image_type)
    dataset.ContentDate, dataset.ContentTime = "20200102", "030405"
    dataset.AcquisitionDateTime = "20200102030405"
    dataset.Manufacturer, dataset.ManufacturerModelName = "Synthetic", "Slide"
    dataset.DeviceSerialNumber, dataset.SoftwareVersions = "1", "1"
    dataset.ContainerIdentifier = barcode
    dataset.VolumetricProperties, dataset.FocusMethod = "VOLUME", "AUTO"
    dataset.BurnedInAnnotation, dataset.SpecimenLabelInImage = "NO", "NO"
    dataset.ExtendedDepthOfField = "NO"


def _describe_matrix(dataset: Dataset, level: Level) -> None:
    rows, columns = level.pixels.shape[2:]
    down, across = level.spacing
    dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = rows, columns
    dataset.ImagedVolumeWidth, dataset.ImagedVolumeHeight = columns * across, rows * down
    dataset.ImagedVolumeDepth = 1.0  # micrometres, unlike the other two
    dataset.ImageOrientationSlide = list(ORIENTATION)
    dataset.TotalPixelMatrixOriginSequence = [
        sequence_item(
            XOffsetInSlideCoordinateSystem=_ds(ORIGIN[0]),
            YOffsetInSlideCoordinateSystem=_ds(ORIGIN[1]),
        )
    ]
    measures = sequence_item(PixelSpacing=[_ds(down), _ds(across)], SliceThickness="0.001")
    frame_type = sequence_item(FrameType=dataset.ImageType)
    dataset.SharedFunctionalGroupsSequence = [
        sequence_item(
            PixelMeasuresSequence=[measures],
            WholeSlideMicroscopyImageFrameTypeSequence=[frame_type],
        )
    ]


def _describe_paths(dataset: Dataset, paths: Sequence[OpticalPath]) -> None:
    dataset.NumberOfOpticalPaths = len(paths)
    dataset.OpticalPathSequence = [_path_item(path) for path in paths]


def _path_item(path: OpticalPath) -> Dataset:
    white = path.wavelength is None
    illumination = ("111744", "Brightfield") if white else ("111743", "Epifluorescence")
    item = sequence_item(
        OpticalPathIdentifier=path.identifier,
        OpticalPathDescription=path.description,
        IlluminationTypeCodeSequence=[_code(illumination[0], f"{illumination[1]} illumination")],
    )
    if white:
        item.IlluminationColorCodeSequence = [_code("414298005", "Full Spectrum", "SCT")]
    else:
        item.IlluminationWaveLength = path.wavelength
    return item


def _code(value: str, meaning: str, scheme: str = "DCM") -> Dataset:
    return sequence_item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _describe_dimensions(dataset: Dataset, identity: Identity) -> None:
    organization = identity.uid("dimensions", str(identity.number))
    dataset.DimensionOrganizationSequence = [sequence_item(DimensionOrganizationUID=organization)]
    groups = (0x0048021A, 0x0048021A, 0x0048021A, 0x00480207)
    dataset.DimensionIndexSequence = [
        sequence_item(
            DimensionOrganizationUID=organization,
            DimensionIndexPointer=pointer,
            FunctionalGroupPointer=group,
        )
        for pointer, group in zip(POSITION_POINTERS, groups, strict=True)
    ]


def _frame_groups(level: Level, tile: Tile) -> Dataset:
    top, left = tile.row * level.tile[0], tile.column * level.tile[1]
    position = sequence_item(
        ColumnPositionInTotalImagePixelMatrix=left + 1,
        RowPositionInTotalImagePixelMatrix=top + 1,
        XOffsetInSlideCoordinateSystem=_ds(ORIGIN[0] - top * level.spacing[0]),
        YOffsetInSlideCoordinateSystem=_ds(ORIGIN[1] - left * level.spacing[1]),
        ZOffsetInSlideCoordinateSystem=_ds(level.z[tile.plane]),
    )
    indices = [tile.row + 1, tile.column + 1, tile.plane + 1, tile.path + 1]
    item = sequence_item(
        FrameContentSequence=[sequence_item(DimensionIndexValues=indices)],
        PlanePositionSlideSequence=[position],
    )
    _identify_path(item, level.paths[tile.path])
    return item


def _identify_path(groups: Dataset, path: OpticalPath) -> None:
    identification = sequence_item(OpticalPathIdentifier=path.identifier)
    groups.OpticalPathIdentificationSequence = [identification]


def _ds(number: float) -> str:
    return format_number_as_ds(float(np.round(number, 9)))
