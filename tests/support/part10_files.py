"""Part-10 files as tests make them, and those that come with pydicom."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from slides_codecs import CODECS

if TYPE_CHECKING:
    from pydicom.uid import UID

PYDICOM_FILES = Path(pydicom.__file__).parent / "data" / "test_files"
UID_OF_INSTANCE = "1.2.3.4"


def make_file(syntax: UID, **attributes: Any) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7.3"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID_OF_INSTANCE
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.BitsAllocated = 3, 5, 8
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 7, 0
    item = Dataset()
    item.PixelSpacing = [1, 1]
    dataset.SharedFunctionalGroupsSequence = [item]
    for name, value in attributes.items():
        setattr(dataset, name, value)
    if syntax.is_encapsulated:
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def codestreams(name: str = "jpeg_ybr_full_422", count: int = 3) -> list[bytes]:
    """Frames that differ, and of even length, as fragments have."""
    generator = np.random.default_rng(1)
    encoded = (CODECS[name].encode(generator.integers(0, 256, (40, 48, 3), np.uint8)) for _ in range(count))
    return [frame + bytes(len(frame) % 2) for frame in encoded]


def items(*fragments: bytes) -> bytes:
    """Encapsulated pixel data: the first is the Basic Offset Table."""
    return b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(each)) + each for each in fragments)
