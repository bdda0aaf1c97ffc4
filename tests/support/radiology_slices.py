"""Instances of a radiology series: what each says of its patient, its pixels and its place."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from radiology_model import decimal, decimals
from slides_model import PHI

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydicom.uid import UID
    from radiology_model import Grid, Pixels

SOP_CLASSES = {
    "CT": uid.CTImageStorage,
    "MR": uid.MRImageStorage,
    "PT": uid.PositronEmissionTomographyImageStorage,
    "NM": uid.NuclearMedicineImageStorage,
    "OT": uid.SecondaryCaptureImageStorage,
    "CR": uid.ComputedRadiographyImageStorage,
    "DX": uid.DigitalXRayImageStorageForPresentation,
    "MG": uid.DigitalMammographyXRayImageStorageForPresentation,
    "US": uid.UltrasoundImageStorage,
    "US cine": uid.UltrasoundMultiFrameImageStorage,
    "XA": uid.XRayAngiographicImageStorage,
    "RTDOSE": uid.RTDoseStorage,
    "enhanced CT": uid.EnhancedCTImageStorage,
    "enhanced MR": uid.EnhancedMRImageStorage,
    "enhanced PT": uid.EnhancedPETImageStorage,
    "enhanced US": uid.EnhancedUSVolumeStorage,
    "enhanced PA": uid.UID("1.2.840.10008.5.1.4.1.1.6.3"),
    "tomosynthesis MG": uid.BreastTomosynthesisImageStorage,
    "secondary capture OT": uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
}
"""By modality, or by words of which the last is the modality."""


@dataclass(frozen=True)
class Identity:
    """Which series, and what kind of images it holds."""

    name: str
    """Seeds all UIDs: the same words give the same UIDs."""
    kind: str = "CT"
    """A key of ``SOP_CLASSES``."""
    bits: int = 12
    """BitsStored."""

    @property
    def modality(self) -> str:
        return {"cine": "US"}.get(self.kind.split()[-1], self.kind.split()[-1])

    def uid(self, *words: str) -> UID:
        """The same UID for the same series and words, always."""
        return uid.generate_uid(entropy_srcs=["synthetic radiology", self.name, *words])


def sequence_item(**attributes: object) -> Dataset:
    """A sequence item with these attributes."""
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def instance(
    identity: Identity,
    number: int,
    frames: Pixels,
    attributes: Mapping[str, object] | None = None,
) -> Dataset:
    """One instance without a place.

    Args:
        identity: Of the series.
        number: InstanceNumber, which also seeds the SOP Instance UID.
        frames: (rows, columns), (rows, columns, 3), or one dimension more for several frames.
        attributes: More attributes by keyword, which win over those made here.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    _identify(dataset, identity, number)
    store(dataset, frames, identity.bits)
    for keyword, value in (attributes or {}).items():
        setattr(dataset, keyword, value)
    return dataset


def store(dataset: Dataset, frames: Pixels, bits: int) -> None:
    """Fill the Image Pixel module (PS3.3 section C.7.6.3) and PixelData."""
    samples = 3 if frames.shape[-1] == 3 else 1
    several = frames.ndim - (samples > 1) > 2
    dataset.SamplesPerPixel = samples
    dataset.PhotometricInterpretation = "RGB" if samples > 1 else "MONOCHROME2"
    if samples > 1:
        dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = frames.shape[several : several + 2]
    if several:
        dataset.NumberOfFrames = len(frames)
    dataset.BitsAllocated = frames.dtype.itemsize * 8
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = int(frames.dtype.kind == "i")
    dataset.LossyImageCompression = "00"
    native = frames.astype(frames.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = native + bytes(len(native) % 2)
    dataset["PixelData"].VR = "OB" if dataset.BitsAllocated == 8 else "OW"
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian


def compress(dataset: Dataset, frames: Sequence[Pixels]) -> None:
    """Code the frames as lossless JPEG-LS, the values unchanged."""
    dataset.PixelData = encapsulate([bytes(imagecodecs.jpegls_encode(np.ascontiguousarray(frame))) for frame in frames])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = uid.JPEGLSLossless


def place(dataset: Dataset, grid: Grid, slices: float, *, reference: str = "frame of reference") -> None:
    """Say where a slice lies (PS3.3 section C.7.6.2)."""
    dataset.ImagePositionPatient = decimals(grid.position(slices))
    dataset.ImageOrientationPatient = decimals(grid.cosines)
    dataset.PixelSpacing = decimals(grid.spacing)
    dataset.SliceThickness = decimal(2 * grid.z_spacing)  # overlapping slices: no spacing
    dataset.FrameOfReferenceUID = uid.generate_uid(entropy_srcs=["synthetic radiology", reference])
    dataset.PositionReferenceIndicator = ""
    dataset.PatientPosition = "HFS"


def stack(
    identity: Identity,
    pixels: Pixels,
    grid: Grid,
    *,
    first: int = 1,
    attributes: Mapping[str, object] | None = None,
) -> list[Dataset]:
    """One instance for each slice, in the order of the grid; InstanceNumber runs the other way and SliceLocation lies.

    Args:
        identity: Of the series.
        pixels: (z, rows, columns) or (z, rows, columns, 3).
        grid: Where slice 0, 1, ... lie.
        first: The smallest InstanceNumber.
        attributes: More attributes of every instance.
    """
    made = []
    for number, picture in enumerate(pixels):
        dataset = instance(identity, first + len(pixels) - 1 - number, picture)
        place(dataset, grid, number)
        dataset.SliceLocation = decimal((number * 7) % 5 - 300)
        for keyword, value in (attributes or {}).items():
            setattr(dataset, keyword, value)
        made.append(dataset)
    return made


def _identify(dataset: Dataset, identity: Identity, number: int) -> None:
    # Copies: pydicom sets the value of the element that is there, which must not be that of other instances.
    dataset.update({element.tag: copy.copy(element) for element in _of_all(identity)})
    dataset.SOPInstanceUID = identity.uid("instance", str(number))
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.InstanceNumber, dataset.ImageType = number, ["ORIGINAL", "PRIMARY", "AXIAL"]


@functools.cache
def _of_all(identity: Identity) -> Dataset:
    """What is the same in all instances."""
    name, patient, birth, accession, text, barcode = PHI
    common = Dataset()
    common.SOPClassUID, common.Modality = SOP_CLASSES[identity.kind], identity.modality
    common.PatientName, common.PatientID = name.replace(" ", "^"), patient
    common.PatientBirthDate, common.PatientSex, common.PatientComments = birth, "O", text
    common.StudyInstanceUID, common.SeriesInstanceUID = identity.uid("study"), identity.uid("series")
    common.StudyDate, common.StudyTime, common.StudyID = "20200102", "030405", ""
    common.AccessionNumber, common.ReferringPhysicianName = accession, name
    common.StudyDescription = common.SeriesDescription = common.ProtocolName = text
    common.SeriesNumber = 3
    common.ImageComments, common.StationName, common.DeviceSerialNumber = text, barcode, barcode
    common.ContentDate, common.ContentTime = "20200102", "030405"
    common.Manufacturer, common.BurnedInAnnotation = "Synthetic", "NO"
    common.RequestAttributesSequence = [sequence_item(ScheduledProcedureStepDescription=text)]
    common.private_block(0x0009, "HIDDEN", create=True).add_new(0x01, "LO", text)
    return common
