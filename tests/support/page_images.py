"""Small images whose grey is hard to get right, and what PS3.3 section C.11 makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
)

from dicomzarr.faces.demo.phantoms import uid

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 64
RAMP = np.tile(np.arange(SIDE, dtype=np.uint16) * 64, (SIDE, 1))
"""0 to 4032, from left to right."""

_STORAGE = {"CT": CTImageStorage, "MR": MRImageStorage}


def picture(name: str, modality: str, pixels: NDArray[Any], **header: Any) -> Dataset:
    """An instance of a series of its own, without a place in the patient."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = _STORAGE.get(modality, SecondaryCaptureImageStorage)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid(f"{name} 0")
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid(name), uid(f"{name} series")
    dataset.Modality, dataset.StudyDescription, dataset.InstanceNumber = modality, name, 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    colors = pixels.ndim == 3  # red, green and blue
    dataset.SamplesPerPixel = 3 if colors else 1
    if colors:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = "RGB" if colors else "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = pixels.dtype.itemsize * 8
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(pixels.dtype.kind == "i")
    dataset.add_new("PixelData", "OW" if pixels.itemsize > 1 else "OB", pixels.tobytes())
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    return dataset


def stack(name: str, modality: str, slices: list[NDArray[Any]], headers: list[dict[str, Any]]) -> list[Dataset]:
    """Axial slices of one series, a millimetre in each direction."""
    datasets = []
    for number, (pixels, header) in enumerate(zip(slices, headers, strict=True)):
        dataset = picture(name, modality, pixels, **header)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid(f"{name} {number}")
        dataset.InstanceNumber = number + 1
        dataset.FrameOfReferenceUID = uid(f"{name} frame of reference")
        dataset.ImageOrientationPatient, dataset.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
        dataset.ImagePositionPatient = [0, 0, number]
        datasets.append(dataset)
    return datasets


def parametric_map(name: str, slices: list[NDArray[np.float32]]) -> Dataset:
    """A volume of 32 bits of floating point, a millimetre in each direction."""
    dataset = picture(name, "MR", slices[0])
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = ParametricMapStorage
    del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    dataset.add_new("FloatPixelData", "OF", b"".join(pixels.astype("<f4").tobytes() for pixels in slices))
    dataset.NumberOfFrames = len(slices)
    dataset.FrameOfReferenceUID = uid(f"{name} frame of reference")
    shared = Dataset()
    shared.PixelMeasuresSequence = [_item(PixelSpacing=[1, 1], SliceThickness=1)]
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [
        _item(PlanePositionSequence=[_item(ImagePositionPatient=[0, 0, number])]) for number in range(len(slices))
    ]
    return dataset


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def linear(values: NDArray[Any], center: float, width: float) -> NDArray[np.float64]:
    """Section C.11.2.1.2.1."""
    low, high = center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2
    with np.errstate(all="ignore"):
        between = ((values - (center - 0.5)) / (width - 1) + 0.5) * 255
    return np.where(values <= low, 0, np.where(values > high, 255, between)).astype(float)


def linear_exact(values: NDArray[Any], center: float, width: float) -> NDArray[np.float64]:
    """Section C.11.2.1.3.2."""
    return np.clip((values - center) / width + 0.5, 0, 1) * 255


def sigmoid(values: NDArray[Any], center: float, width: float) -> NDArray[np.float64]:
    """Section C.11.2.1.3.1."""
    return 255 / (1 + np.exp(-4 * (values - center) / width))


def with_modality_lut(dataset: Dataset, table: NDArray[np.uint16]) -> Dataset:
    """The same, with a table from stored values to others (section C.11.1.1)."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(table), 0, 16])
    item.ModalityLUTType = "US"
    item.add_new("LUTData", "OW", table.astype("<u2").tobytes())
    dataset.ModalityLUTSequence = [item]
    return dataset


def with_palette(dataset: Dataset, palette: NDArray[np.int64]) -> Dataset:
    """The same, as indices of colours of 16 bits, shape (entries, 3)."""
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    for color, table in zip(("Red", "Green", "Blue"), palette.T, strict=True):
        dataset.add_new(f"{color}PaletteColorLookupTableDescriptor", "US", [len(palette), 0, 16])
        dataset.add_new(f"{color}PaletteColorLookupTableData", "OW", table.astype("<u2").tobytes())
    return dataset
