"""What other decoders make of a coded frame, by their names in ``encoding_checks``."""

from __future__ import annotations

import io
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gdcm  # type: ignore[import-untyped]  # it ships no types
import imagecodecs
import numpy as np
import pydicom
from coded_frames import BUILDERS, coded_frame, planes
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from dicomzarr.codecs.decode import decode_frame
from dicomzarr.dicom import uids
from dicomzarr.dicom.pixels.syntax import is_native

if TYPE_CHECKING:
    from coded_frames import CodedFrame, Pixels

    from dicomzarr.dicom.pixels.pixels import PixelDescription

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_PLACEHOLDER = uids.HTJ2K_LOSSLESS
"""Under this pydicom writes files in transfer syntaxes that it does not know, whose UIDs are no longer."""


def decoded_by(oracle: str, frame: CodedFrame) -> Pixels:
    """(samples, rows, columns), colour as RGB."""
    match oracle:
        case "source":
            return frame.source
        case "twin":
            return decoded_by("pydicom", _same_in(uids.EXPLICIT_VR_LITTLE_ENDIAN, frame))
        case "jpeg":
            jpeg = _same_in(uids.JPEG_BASELINE, frame)
            return decode_frame(jpeg.data, jpeg.pixel, transfer_syntax_uid=jpeg.uid, where="")
        case "openjph":
            return planes(imagecodecs.htj2k_decode(frame.data))
        case "gdcm" if frame.uid == uids.RLE_LOSSLESS:
            return by_gdcm(part10(dataset_of(frame.pixel, frame.uid, [frame.data])))
        case _:
            return by_pydicom(dataset_of(frame.pixel, frame.uid, [frame.data]), oracle)


def by_pydicom(dataset: Dataset, plugin: str, index: int = 0) -> Pixels:
    """One frame, by one of pydicom's decoders."""
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    named = plugin if decoder.UID.is_encapsulated else ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # frames are odd on purpose
        pixels, _ = decoder.as_array(dataset, index=index, decoding_plugin=named)
    return planes(pixels)


def by_gdcm(body: bytes) -> Pixels:
    """The only frame of a file, by GDCM without pydicom."""
    reader = gdcm.ImageReader()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.dcm"
        path.write_bytes(body)
        reader.SetFileName(str(path))
        assert reader.Read()
    image = reader.GetImage()
    kind = image.GetPixelFormat()
    cells = np.frombuffer(
        image.GetBuffer().encode("utf-8", "surrogateescape"),
        f"<{'i' if kind.GetPixelRepresentation() else 'u'}{kind.GetBitsAllocated() // 8}",
    )
    rows, columns, samples = image.GetRows(), image.GetColumns(), kind.GetSamplesPerPixel()
    if image.GetPlanarConfiguration():
        return cells.reshape(samples, rows, columns)
    return planes(cells.reshape(rows, columns, samples))


def _same_in(uid: str, frame: CodedFrame) -> CodedFrame:
    """The frame of the same name in another transfer syntax."""
    (name,) = (name for name in BUILDERS[frame.uid] if coded_frame(frame.uid, name) is frame)
    return coded_frame(uid, name)


def dataset_of(pixel: PixelDescription, uid: str, frames: list[bytes], **attributes: Any) -> Dataset:
    """An instance with these frames, as pydicom holds it."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SECONDARY_CAPTURE
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5.6"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.5"
    dataset.Rows, dataset.Columns = pixel.rows, pixel.columns
    dataset.SamplesPerPixel, dataset.BitsAllocated = pixel.samples, pixel.bits_allocated
    dataset.PhotometricInterpretation = pixel.photometric_interpretation
    if pixel.samples > 1:
        dataset.PlanarConfiguration = pixel.planar_configuration
    if not pixel.floating:
        dataset.BitsStored, dataset.HighBit = pixel.bits_stored, pixel.high_bit
        dataset.PixelRepresentation = int(pixel.signed)
    if pixel.lossy:
        dataset.LossyImageCompression = "01"
    if len(frames) > 1:
        dataset.NumberOfFrames = len(frames)
    _store(dataset, pixel, uid, frames)
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset


def _store(dataset: Dataset, pixel: PixelDescription, uid: str, frames: list[bytes]) -> None:
    if not is_native(uid) or uid == uids.ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN:
        dataset.PixelData = encapsulate(frames)
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        return
    value = b"".join(frames)
    if pixel.floating:
        setattr(dataset, "FloatPixelData" if pixel.bits_allocated == 32 else "DoubleFloatPixelData", value)
    else:
        dataset.PixelData = value + bytes(len(value) % 2)
        dataset["PixelData"].VR = "OB" if pixel.bits_allocated == 8 and pixel.samples == 3 else "OW"


def part10(dataset: Dataset) -> bytes:
    """The file, also in transfer syntaxes that pydicom does not know."""
    uid = str(dataset.file_meta.TransferSyntaxUID)
    if UID(uid).is_transfer_syntax and not UID(uid).is_private:
        return _written(dataset)
    dataset.file_meta.TransferSyntaxUID = _PLACEHOLDER
    body = _written(dataset)
    dataset.file_meta.TransferSyntaxUID = uid
    return body.replace(_PLACEHOLDER.encode(), uid.encode().ljust(len(_PLACEHOLDER), b"\0"), 1)


def _written(dataset: Dataset) -> bytes:
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()
