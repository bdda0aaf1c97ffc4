"""Files with values that are none: each costs its attribute, and neither the file nor the series."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.tag import Tag
from radiology import BUILDERS

import dicomzarr
from dicomzarr.errors import InvalidFileError

if TYPE_CHECKING:
    from pathlib import Path

    from dicomzarr import Image

_MARK = "MARKMARK"


def with_text(dataset: Dataset, tag: int, vr: str, text: bytes) -> bytes:
    """A file in which an attribute holds a text, whether that is a value of its VR or not."""
    changed = Dataset(dataset)
    changed.file_meta = dataset.file_meta
    changed.pop(tag, None)
    changed.add(DataElement(Tag(tag), "LO", _MARK))
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, changed, enforce_file_format=True)
    written = buffer.getvalue()
    at = written.index(_MARK.encode())
    text += b" " * (len(text) % 2)
    return written[: at - 4] + vr.encode() + len(text).to_bytes(2, "little") + text + written[at + len(_MARK) :]


def opened(folder: Path, tag: int, vr: str, text: bytes) -> Image:
    for number, dataset in enumerate(BUILDERS["volume"]().datasets):
        (folder / f"{number}.dcm").write_bytes(with_text(dataset, tag, vr, text))
    return dicomzarr.open(folder)


@pytest.mark.parametrize(
    ("tag", "vr", "text", "unit", "notice"),
    [
        (0x00280030, "DS", b"0,8\\0,6", None, "PixelSpacing is impossible"),
        (0x00281053, "DS", b"1,5", "millimeter", "RescaleSlope is impossible"),
        (0x00200013, "IS", b"A1", "millimeter", ""),
        (0x00281050, "DS", b"40\\\\", "millimeter", ""),
        (0x00180060, "DS", b"n/a", "millimeter", ""),
        (0x00111001, "IS", b"unknown", "millimeter", ""),
        (0x00111001, "FD", b"xyz", "millimeter", ""),
    ],
)
def test_a_text_that_is_no_number_costs_its_attribute(  # noqa: PLR0913, PLR0917  # the table's columns
    tmp_path: Path, tag: int, vr: str, text: bytes, unit: str | None, notice: str
) -> None:
    image = opened(tmp_path, tag, vr, text)
    expected: Any = np.stack([each.pixel_array for each in BUILDERS["volume"]().datasets])
    assert sorted(image.levels[0][...][:, 0, 0].tolist()) == sorted(expected[:, 0, 0].tolist())
    assert image.axes[-1].unit == unit
    assert any(notice in each for each in image.notices) if notice else not image.notices


@pytest.mark.parametrize("vr", ["IS", "DS"])
def test_numbers_of_pixels_may_be_written_as_texts(tmp_path: Path, vr: str) -> None:
    datasets = BUILDERS["volume"]().datasets
    text = f"{datasets[0].Rows}{'.0' * (vr == 'DS')}"
    level = opened(tmp_path, 0x00280010, vr, text.encode()).levels[0]
    wanted = {dataset.pixel_array.tobytes() for dataset in datasets}
    assert {plane.tobytes() for plane in level[...]} == wanted


def test_a_number_of_the_standard_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError):
        _ = opened(tmp_path, 0x00189087, "FD", b"none")


@pytest.mark.parametrize(
    ("stored", "high", "notice"),
    [(12, 16, "HighBit"), (12, 3, "HighBit"), (0, 11, "BitsStored"), (17, 11, "BitsStored"), (16, 11, "HighBit")],
)
def test_impossible_bits_cost_themselves(tmp_path: Path, stored: int, high: int, notice: str) -> None:
    (dataset, *_) = BUILDERS["volume"]().datasets
    pixels = dataset.pixel_array
    dataset.BitsStored, dataset.HighBit = stored, high
    pydicom.dcmwrite(tmp_path / "1.dcm", dataset, enforce_file_format=True)
    image = dicomzarr.open(tmp_path)
    assert np.array_equal(image.levels[0][...], pixels)
    assert any(f"{notice} is impossible" in each for each in image.notices)


def test_three_samples_need_not_be_counted(tmp_path: Path) -> None:
    (dataset,) = BUILDERS["secondary_capture"]().datasets
    pixels = dataset.pixel_array
    del dataset.SamplesPerPixel
    pydicom.dcmwrite(tmp_path / "1.dcm", dataset, enforce_file_format=True)
    assert np.array_equal(dicomzarr.open(tmp_path).levels[0][...], pixels.transpose(2, 0, 1))


def test_three_samples_are_colours_whatever_they_are_called(tmp_path: Path) -> None:
    (dataset,) = BUILDERS["secondary_capture"]().datasets
    pixels = dataset.pixel_array
    dataset.PhotometricInterpretation = "MONOCHROME2"
    pydicom.dcmwrite(tmp_path / "1.dcm", dataset, enforce_file_format=True)
    image = dicomzarr.open(tmp_path)
    assert np.array_equal(image.levels[0][...], pixels.transpose(2, 0, 1))
    assert any("they are read as RGB" in notice for notice in image.notices)


def test_files_that_name_no_study_or_series_are_one_series(tmp_path: Path) -> None:
    datasets = BUILDERS["volume"]().datasets
    for number, dataset in enumerate(datasets):
        del dataset.StudyInstanceUID, dataset.SeriesInstanceUID
        pydicom.dcmwrite(tmp_path / f"{number}.dcm", dataset, enforce_file_format=True)
    image = dicomzarr.open(tmp_path)
    assert {plane.tobytes() for plane in image.levels[0][...]} == {each.pixel_array.tobytes() for each in datasets}
    assert image.affine is not None


def test_a_long_sequence_of_unknown_representation_places_frames(tmp_path: Path) -> None:
    """Who did not know an attribute has written it as UN (PS3.5 section 6.2.2), whatever its length."""
    frames = 600
    places = np.random.default_rng(1).permutation(frames)
    pixels = np.arange(frames * 6, dtype="<u2").reshape(frames, 2, 3)
    orientation, measures, shared, sequence = Dataset(), Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient, measures.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    groups = [Dataset() for _ in places]
    for place, group in zip(places, groups, strict=True):
        position = Dataset()
        position.ImagePositionPatient, position.ImageComments = [0, 0, 2.0 * place], "of one frame " * 8
        group.PlanePositionSequence = [position]
    sequence.PerFrameFunctionalGroupsSequence = groups
    written = BytesIO()
    pydicom.dcmwrite(written, sequence, implicit_vr=True, little_endian=True)
    dataset = BUILDERS["volume"]().datasets[0]
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        del dataset[keyword]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.EnhancedMRImageStorage
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns, dataset.PixelData = frames, 2, 3, pixels.tobytes()
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.add(DataElement(0x52009230, "UN", written.getvalue()[8:], already_converted=True))
    pydicom.dcmwrite(tmp_path / "1.dcm", dataset, enforce_file_format=True)
    image = dicomzarr.open(tmp_path)
    assert np.array_equal(image.levels[0][...], pixels[np.argsort(places)])
