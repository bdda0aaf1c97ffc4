"""Write the demo slide: a part of OpenSlide's CMU-1-Small-Region as a small TILED_FULL pyramid.

Run as ``python tools/make_demo_slide.py LEVEL-0.dcm``, with level 0 of that slide as DICOM.
The same input and library versions give the same bytes.
"""

from __future__ import annotations

import argparse
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import numpy.typing as npt
import pydicom
from PIL import ImageCms
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    VLWholeSlideMicroscopyImageStorage,
)

from dicomzarr.demo.slide import SERIES, STUDY

if TYPE_CHECKING:
    from collections.abc import Iterator

Pixels = npt.NDArray[np.uint8]

DATA = Path(__file__).parents[1] / "dicomzarr" / "faces" / "demo" / "data"
CROP = (slice(560, 2160), slice(640, 2040))  # rows, columns; divisible by 8, so each level halves
LEVELS = 4
TILE = 256  # pixels
QUALITY = 75
SPACING = 0.000499  # mm between the pixel centres of level 0
SLIDE_ORIGIN = ("20", "40")  # mm: X and Y on the glass of the first pixel; made up
PADDING = 244  # the glass's own grey, beyond the matrix in edge tiles
THUMBNAIL_STEP = 10  # level 0 pixels to one of the thumbnail
SOURCE_LOSSY_RATIO = 20.0  # of the source's own JPEG, about


def uid(name: str) -> UID:
    """A fixed UID of the UUID-derived kind (PS3.5 section B.2) for one thing of this slide."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_URL, f'dicomzarr/demo/{name}').int}")


def read_source(path: Path) -> Pixels:
    """The whole Total Pixel Matrix of a TILED_FULL level, (rows, columns, 3), as true RGB."""
    dataset = pydicom.dcmread(path)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    height, width = int(dataset.TotalPixelMatrixRows), int(dataset.TotalPixelMatrixColumns)
    across = -(-width // columns)
    matrix: Pixels = np.zeros((-(-height // rows) * rows, across * columns, 3), np.uint8)
    frames = generate_frames(dataset.PixelData, number_of_frames=int(dataset.NumberOfFrames))
    for index, frame in enumerate(frames):
        top, left = index // across * rows, index % across * columns
        # The header says RGB, the JFIF codestream is YCbCr: the codestream is right.
        tile = imagecodecs.jpeg8_decode(frame, colorspace="YCBCR", outcolorspace="RGB")
        matrix[top : top + rows, left : left + columns] = tile
    return matrix[:height, :width]


def shrink(pixels: Pixels, step: int) -> Pixels:
    """Means of ``step`` x ``step`` squares; what fills no square is left out."""
    rows, columns = pixels.shape[0] // step, pixels.shape[1] // step
    squares = pixels[: rows * step, : columns * step].reshape(rows, step, columns, step, 3)
    means: Pixels = (squares.mean(axis=(1, 3)) + 0.5).astype(np.uint8)
    return means


def tiles(pixels: Pixels) -> Iterator[bytes]:
    """JPEG tiles (4:2:0), row by row; edge tiles are filled up with glass."""
    missing = ((0, -pixels.shape[0] % TILE), (0, -pixels.shape[1] % TILE), (0, 0))
    padded = np.pad(pixels, missing, constant_values=PADDING)
    for top in range(0, padded.shape[0], TILE):
        for left in range(0, padded.shape[1], TILE):
            tile = np.ascontiguousarray(padded[top : top + TILE, left : left + TILE])
            yield bytes(
                imagecodecs.jpeg8_encode(
                    tile,
                    level=QUALITY,
                    colorspace="RGB",
                    outcolorspace="YCBCR",
                    subsampling="420",
                    optimize=True,
                )
            )


def item(**attributes: object) -> Dataset:
    """A sequence item with these attributes, by keyword."""
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def code(value: str, scheme: str, meaning: str) -> Sequence:
    """A code sequence with one item (PS3.3 section 8)."""
    return Sequence([item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)])


def srgb() -> bytes:
    """An sRGB ICC profile, its date fixed so that the same run gives the same bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes([7, 229, 0, 7, 0, 20, 0, 0, 0, 0, 0, 0])
    return bytes(profile)


def add_patient_study_series(dataset: Dataset) -> None:
    """Patient, Study, Series, Equipment and Frame of Reference, all plainly made up."""
    dataset.PatientName = "DEMO^SLIDE"
    dataset.PatientID = "DEMO-SLIDE"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.StudyInstanceUID = STUDY
    dataset.StudyID = "1"
    dataset.StudyDate = "20210720"
    dataset.StudyTime = "120000"
    dataset.StudyDescription = "dicomzarr demo"
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.SeriesInstanceUID = SERIES
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = "H&E, CMU-1-Small-Region, part"
    dataset.Modality = "SM"
    dataset.Manufacturer = "dicomzarr"
    dataset.ManufacturerModelName = "make_demo_slide"
    dataset.DeviceSerialNumber = "1"
    dataset.SoftwareVersions = "1"
    dataset.FrameOfReferenceUID = uid("frame of reference")
    dataset.PositionReferenceIndicator = "SLIDE_CORNER"


def add_specimen(dataset: Dataset) -> None:
    """The glass slide and the tissue on it (PS3.3 section C.7.6.22)."""
    dataset.ContainerIdentifier = "DEMO-SLIDE"
    dataset.IssuerOfTheContainerIdentifierSequence = Sequence()
    dataset.ContainerTypeCodeSequence = code("433466003", "SCT", "Microscope slide")
    preparation = Sequence()
    dataset.SpecimenDescriptionSequence = Sequence(
        [
            item(
                SpecimenIdentifier="DEMO-SLIDE-1",
                SpecimenUID=uid("specimen"),
                IssuerOfTheSpecimenIdentifierSequence=Sequence(),
                SpecimenPreparationSequence=preparation,
            )
        ]
    )
    dataset.AcquisitionContextSequence = Sequence()


def add_optical_path(dataset: Dataset) -> None:
    """One brightfield path with its colour space (PS3.3 section C.8.12.5)."""
    white = codes.SCT.FullSpectrum
    dataset.NumberOfOpticalPaths = 1
    dataset.OpticalPathSequence = Sequence(
        [
            item(
                OpticalPathIdentifier="1",
                OpticalPathDescription="Brightfield",
                IlluminationTypeCodeSequence=code("111744", "DCM", "Brightfield illumination"),
                IlluminationColorCodeSequence=code(white.value, "SCT", white.meaning),
                ICCProfile=srgb(),
                ColorSpace="SRGB",
            )
        ]
    )


def add_slide_image(dataset: Dataset, flavor: str, derived: str, step: int) -> None:
    """The Whole Slide Microscopy Image module (PS3.3 section C.8.12.4), all but the pixels."""
    dataset.ImageType = ["DERIVED", "PRIMARY", flavor, derived]
    dataset.ContentDate = "20210720"
    dataset.ContentTime = "120000"
    dataset.AcquisitionDateTime = "20210720120000"
    dataset.ImagedVolumeWidth = dataset.TotalPixelMatrixColumns * SPACING * step
    dataset.ImagedVolumeHeight = dataset.TotalPixelMatrixRows * SPACING * step
    dataset.ImagedVolumeDepth = 1.0  # micrometer: unlike width and height
    dataset.TotalPixelMatrixFocalPlanes = 1
    dataset.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    origin = item(
        XOffsetInSlideCoordinateSystem=SLIDE_ORIGIN[0],
        YOffsetInSlideCoordinateSystem=SLIDE_ORIGIN[1],
    )
    dataset.TotalPixelMatrixOriginSequence = Sequence([origin])
    dataset.BurnedInAnnotation = "NO"
    dataset.SpecimenLabelInImage = "NO"
    dataset.FocusMethod = "AUTO"
    dataset.ExtendedDepthOfField = "NO"
    dataset.VolumetricProperties = "VOLUME"
    dataset.LossyImageCompression = "01"
    dataset.DimensionOrganizationType = "TILED_FULL"
    organization = uid("dimensions")
    dataset.DimensionOrganizationSequence = Sequence([item(DimensionOrganizationUID=organization)])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared_groups(dataset, step)])


def shared_groups(dataset: Dataset, step: int) -> Dataset:
    """The functional groups (PS3.3 section C.7.6.16) that every frame shares."""
    spacing = [f"{SPACING * step:.6f}"] * 2
    measures = item(PixelSpacing=spacing, SliceThickness="0.001")
    return item(
        PixelMeasuresSequence=Sequence([measures]),
        OpticalPathIdentificationSequence=Sequence([item(OpticalPathIdentifier="1")]),
        WholeSlideMicroscopyImageFrameTypeSequence=Sequence([item(FrameType=dataset.ImageType)]),
    )


def new_instance(name: str, number: int, pixels: Pixels) -> Dataset:
    """The attributes that depend on nothing but the name, the number and the size."""
    dataset = Dataset()
    dataset.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    dataset.SOPInstanceUID = uid(name)
    dataset.InstanceNumber = number
    add_patient_study_series(dataset)
    add_specimen(dataset)
    add_optical_path(dataset)
    dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = pixels.shape[:2]
    dataset.SamplesPerPixel = 3
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = 8
    dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    return dataset


def make_level(level: int, pixels: Pixels) -> Dataset:
    """One level of the pyramid, in JPEG tiles."""
    dataset = new_instance(f"level {level}", level + 1, pixels)
    add_slide_image(dataset, "VOLUME", "RESAMPLED" if level else "NONE", 2**level)
    frames = list(tiles(pixels))
    dataset.NumberOfFrames = len(frames)
    dataset.Rows = dataset.Columns = TILE
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    raw = TILE * TILE * 3 * len(frames)
    dataset.LossyImageCompressionRatio = f"{raw / sum(map(len, frames)):.2f}"
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


def make_thumbnail(number: int, level0: Pixels) -> Dataset:
    """The whole matrix, uncompressed, in one small frame."""
    pixels = shrink(level0, THUMBNAIL_STEP)
    dataset = new_instance("thumbnail", number, pixels)
    add_slide_image(dataset, "THUMBNAIL", "RESAMPLED", THUMBNAIL_STEP)
    dataset.NumberOfFrames = 1
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.PhotometricInterpretation = "RGB"
    dataset.LossyImageCompressionRatio = f"{SOURCE_LOSSY_RATIO:.2f}"
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB"
    return dataset


def write(dataset: Dataset, name: str, transfer_syntax: UID) -> None:
    """One Part-10 file in the package's data folder."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    dataset.save_as(DATA / name, enforce_file_format=True)


def main() -> None:
    """Write all the files of the slide."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source", type=Path, help="level 0 of CMU-1-Small-Region as DICOM")
    source = read_source(parser.parse_args().source)
    level0 = pixels = source[CROP]
    for level in range(LEVELS):
        write(make_level(level, pixels), f"level-{level}.dcm", JPEGBaseline8Bit)
        pixels = shrink(pixels, 2)
    write(make_thumbnail(LEVELS + 1, level0), "thumbnail.dcm", ExplicitVRLittleEndian)


if __name__ == "__main__":
    main()
