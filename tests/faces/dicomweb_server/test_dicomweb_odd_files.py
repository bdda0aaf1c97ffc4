"""What a folder's server makes of files that break a rule of the standard, or use what is retired."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pydicom
import pytest
import requests
from coded_frames import rle_by_hand
from dicomweb_replies import get
from folders import write
from radiology import BUILDERS

import dicomzarr
from dicomzarr.faces.dicomweb_server import DICOMwebServer, replies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from pydicom import Dataset

DURATION, THRESHOLD = 0x00189073, 0x00089459
"""AcquisitionDuration (FD) and RecommendedDisplayFrameRateInFloat (FL): no place and no pixel depends on them."""

B_VALUE = 0x00189087
"""DiffusionBValue (FD), by which images are told apart."""


def with_value(path: Path, tag: int, vr: str, value: bytes) -> None:
    """Write an attribute whose value is any bytes, in Explicit VR Little Endian."""
    dataset = pydicom.dcmread(path)
    dataset.add_new(tag, "UT", "x" * 46)  # which is written with a length of four bytes
    pydicom.dcmwrite(path, dataset)
    head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    before = head + b"UT\0\0" + (46).to_bytes(4, "little") + b"x" * 46
    body = path.read_bytes()
    assert body.count(before) == 1
    path.write_bytes(body.replace(before, head + vr.encode() + len(value).to_bytes(2, "little") + value))


def urls(server: DICOMwebServer, datasets: Iterable[Dataset]) -> tuple[str, list[str]]:
    """The URL of a series, and those of its instances."""
    datasets = list(datasets)
    series = server.series_url(datasets[0].StudyInstanceUID, datasets[0].SeriesInstanceUID, "http")
    return series, [f"{series}/instances/{each.SOPInstanceUID}" for each in datasets]


# --- values that are none of their VR ---


@pytest.mark.parametrize(("tag", "vr"), [(DURATION, "FD"), (THRESHOLD, "FL")])
def test_a_broken_value_costs_itself_and_no_instance(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tag: int, vr: str
) -> None:
    datasets = BUILDERS["volume"]().datasets
    paths = write(tmp_path, datasets)
    with_value(paths[1], tag, vr, b"123456")
    with DICOMwebServer(tmp_path) as server, caplog.at_level(logging.WARNING):
        series, _ = urls(server, datasets)
        found = {each["00080018"]["Value"][0]: each for each in get(f"{series}/metadata").json()}
        by_server = dicomzarr.open(server.series_url(datasets[0].StudyInstanceUID, datasets[0].SeriesInstanceUID))
        by_files = dicomzarr.open(tmp_path)
        assert np.array_equal(np.asarray(by_server), np.asarray(by_files))
    assert set(found) == {each.SOPInstanceUID for each in datasets}
    broken = found[datasets[1].SOPInstanceUID]
    assert broken[f"{tag:08X}"] == {"vr": vr}
    assert broken["00280010"]["Value"] == [datasets[1].Rows]
    assert f"{datasets[1].SOPInstanceUID} is told without what is broken in it: {tag:08X}" in caplog.text


@pytest.mark.parametrize("streamed", [False, True])
def test_metadata_are_all_or_a_failure(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    *,
    streamed: bool,
) -> None:
    datasets = BUILDERS["volume"]().datasets
    paths = write(tmp_path, datasets)
    with_value(paths[2], B_VALUE, "FD", b"123456")
    if streamed:
        monkeypatch.setattr(replies, "_BLOCK", 1)
    with DICOMwebServer(tmp_path) as server, caplog.at_level(logging.WARNING):
        series, instances = urls(server, datasets)
        if streamed:
            with pytest.raises(requests.exceptions.RequestException):
                get(f"{series}/metadata")
        else:
            assert get(f"{series}/metadata").status_code == 500
        assert [get(f"{each}/metadata").status_code for each in instances[:3]] == [200, 200, 500]
    assert datasets[2].SOPInstanceUID in caplog.text


def test_files_that_went_since_are_looked_for_again(tmp_path: Path) -> None:
    datasets = BUILDERS["volume"]().datasets
    paths = write(tmp_path, datasets)
    with DICOMwebServer(tmp_path, max_age=1000) as server:
        series, _ = urls(server, datasets)
        paths[0].unlink()
        found = get(f"{series}/metadata").json()
    assert {each["00080018"]["Value"][0] for each in found} == {each.SOPInstanceUID for each in datasets[1:]}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b"12.75 ", ["12.75"]),
        (b"1\\2.5\\3 ", ["1", "2.5", "3"]),
        (b"abc ", ["abc"]),
        (b"3.0 ", [3]),
        (b" 7 ", [7]),
        (b"1E2 ", [100]),
    ],
)
def test_no_part_of_a_number_is_given_for_it(tmp_path: Path, text: bytes, values: list[Any]) -> None:
    """ExposureTime (IS) is an integer, and writers give parts of one."""
    datasets = BUILDERS["single_slice"]().datasets
    with_value(write(tmp_path, datasets)[0], 0x00181150, "IS", text)
    with DICOMwebServer(tmp_path) as server:
        _, (instance,) = urls(server, datasets)
        assert get(f"{instance}/metadata").json()[0]["00181150"] == {"vr": "IS", "Value": values}


# --- attributes of several VRs, in files that write none ---


def curve(dataset: Dataset) -> None:
    dataset.add_new(0x50000005, "US", 2)
    dataset.add_new(0x50003000, "OW", b"\5\0\6\0")


def audio(dataset: Dataset) -> None:
    dataset.add_new(0x50002000, "US", 0)
    dataset.add_new(0x5000200C, "OB", b"\1\2\3\4")


def variable_pixels(dataset: Dataset) -> None:
    dataset.add_new(0x7F000010, "OW", b"abcd")


def grey_table(dataset: Dataset) -> None:
    dataset.add_new(0x00281100, "US", [2, 0, 16])
    dataset.add_new(0x00281200, "OW", b"\1\0\2\0")


def table_without_descriptor(dataset: Dataset) -> None:
    item = pydicom.Dataset()
    item.add_new(0x00283006, "OW", b"\1\0\2\0")
    dataset.add_new(0x00283010, "SQ", [item])


RETIRED: dict[str, tuple[Callable[[Dataset], None], list[tuple[str, bytes]]]] = {
    "curve": (curve, [("50003000", b"\5\0\6\0")]),
    "audio": (audio, [("5000200C", b"\1\2\3\4")]),
    "variable pixels": (variable_pixels, [("7F000010", b"abcd")]),
    "grey table": (grey_table, [("00281200", b"\1\0\2\0")]),
    "table without a descriptor": (table_without_descriptor, [("00283010/0/00283006", b"\1\0\2\0")]),
}


@pytest.mark.parametrize("name", RETIRED)
def test_attributes_of_several_vrs_are_sent(tmp_path: Path, name: str) -> None:
    """Words as they are: in Implicit VR Little Endian bytes stand as OW would have them (PS3.5 section A.1)."""
    add, wanted = RETIRED[name]
    (dataset,) = BUILDERS["single_slice"]().datasets
    add(dataset)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    path = tmp_path / "a.dcm"
    body = io.BytesIO()
    pydicom.dcmwrite(body, dataset, implicit_vr=True, little_endian=True, enforce_file_format=True)
    path.write_bytes(body.getvalue())
    with DICOMwebServer(tmp_path) as server:
        _, (instance,) = urls(server, [dataset])
        reply = get(f"{instance}/metadata")
        whole = get(instance, "application/dicom")
        values = [get(f"{instance}/bulkdata/{tag}", "application/octet-stream").content for tag, _ in wanted]
    assert reply.status_code == whole.status_code == 200
    (metadata,) = reply.json()
    assert values == [value for _, value in wanted]
    sent = pydicom.dcmread(io.BytesIO(whole.content))
    assert sent.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert sent.PixelData == dataset.PixelData
    told = pydicom.Dataset.from_json({tag: each for tag, each in metadata.items() if "BulkDataURI" not in each})
    for tag, value in wanted:
        within_sent, within_told = sent, told
        *sequence, last = tag.split("/")
        if sequence:
            within_sent, within_told = (each[int(sequence[0], 16)].value[0] for each in (sent, told))
        assert within_sent[int(last, 16)].value == within_told[int(last, 16)].value == value
    if name == "grey table":
        assert sent[0x00281100].value == told[0x00281100].value == [2, 0, 16]


# --- icons ---


def test_what_is_encapsulated_within_is_left_out_of_a_plain_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is encapsulated in Explicit VR Little Endian (PS3.5 section A.2); a plain icon stays."""
    (dataset,) = BUILDERS["single_slice"]().datasets
    dataset.compress("1.2.840.10008.1.2.5", encoding_plugin="pydicom", generate_instance_uid=False)
    stored = dataset.PixelData
    packed, plain, around = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    packed.add_new(0x7FE00010, "OB", pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"]))
    packed["PixelData"].is_undefined_length = True
    plain.add_new(0x7FE00010, "OB", b"abcd")
    dataset.IconImageSequence = [packed]
    around.IconImageSequence = [plain]
    dataset.ReferencedImageEvidenceSequence = [around]
    write(tmp_path, [dataset])
    with DICOMwebServer(tmp_path) as server, caplog.at_level(logging.WARNING):
        _, (instance,) = urls(server, [dataset])
        sent = pydicom.dcmread(io.BytesIO(get(instance, "application/dicom").content))
        as_stored = pydicom.dcmread(io.BytesIO(get(instance, "application/dicom; transfer-syntax=*").content))
    assert "IconImageSequence" not in sent
    assert sent.ReferencedImageEvidenceSequence[0].IconImageSequence[0].PixelData == b"abcd"
    assert np.array_equal(sent.pixel_array, as_stored.pixel_array)
    assert "without encapsulated icons in 00880200" in caplog.text
    assert (as_stored.PixelData, "IconImageSequence" in as_stored) == (stored, True)


# --- bits beside the values ---


ENCODERS: dict[str, tuple[str, Callable[[np.ndarray[Any, Any]], bytes]]] = {
    "RLE": ("1.2.840.10008.1.2.5", lambda frame: rle_by_hand(frame[np.newaxis])),
    "JPEG-LS": ("1.2.840.10008.1.2.4.80", lambda frame: bytes(imagecodecs.jpegls_encode(frame))),
    "JPEG 2000": (
        "1.2.840.10008.1.2.4.90",
        lambda frame: bytes(imagecodecs.jpeg2k_encode(frame, codecformat="j2k", reversible=True, level=0)),
    ),
    "JPEG Lossless": ("1.2.840.10008.1.2.4.70", lambda frame: bytes(imagecodecs.ljpeg_encode(frame, bitspersample=16))),
}


@pytest.mark.parametrize("layout", [(12, 11), (12, 15), (10, 11)])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("name", ENCODERS)
def test_overlays_in_the_cells_of_pixels_are_kept(
    tmp_path: Path, name: str, layout: tuple[int, int], *, signed: bool
) -> None:
    """Above BitsStored, or below where values are at the top of their cells; retired, and still in archives."""
    uid, encode = ENCODERS[name]
    full = np.random.default_rng(5).integers(0, 1 << 16, (2, 16, 16), np.uint16)
    (dataset,) = BUILDERS["single_slice"]().datasets
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 16, 16, 2
    dataset.BitsAllocated, (dataset.BitsStored, dataset.HighBit) = 16, layout
    dataset.PixelRepresentation = int(signed)
    dataset.file_meta.TransferSyntaxUID = uid
    dataset.PixelData = pydicom.encaps.encapsulate([encode(frame) for frame in full])
    dataset["PixelData"].VR = "OB"
    write(tmp_path, [dataset])
    with DICOMwebServer(tmp_path) as server:
        _, (instance,) = urls(server, [dataset])
        frame = get(f"{instance}/frames/2", "application/octet-stream").content
        whole = pydicom.dcmread(io.BytesIO(get(instance, "application/dicom").content))
    assert whole.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert np.array_equal(np.frombuffer(whole.PixelData, "<u2").reshape(full.shape), full)
    assert np.array_equal(np.frombuffer(frame, "<u2").reshape(full.shape[1:]), full[1])


# --- UIDs that are none ---


@pytest.mark.parametrize(
    ("study", "series", "uid"),
    [("ab/c+d==", "x?y", "p#q %41"), ("a/series/b", "é", "%2F"), ("..", "a b", "a&b=c;d"), ("1.2", "1.3", "1.4")],
)
def test_links_of_uids_that_hold_anything(tmp_path: Path, study: str, series: str, uid: str) -> None:
    """As de-identification writes them: hashes in Base64, names."""
    (dataset,) = BUILDERS["single_slice"]().datasets
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.add_new(0x00420011, "OB", bytes(range(256)) * 8)
    path = write(tmp_path, [dataset])[0]
    body = path.read_bytes()
    for tag, old, new in (
        (b"\x20\0\x0d\0UI", dataset.StudyInstanceUID, study),
        (b"\x20\0\x0e\0UI", dataset.SeriesInstanceUID, series),
        (b"\x08\0\x18\0UI", dataset.SOPInstanceUID, uid),
    ):
        before, after = old.encode() + bytes(len(old) % 2), new.encode("latin-1")
        after += bytes(len(after) % 2)
        at = body.index(tag + len(before).to_bytes(2, "little") + before)
        body = body[: at + 6] + len(after).to_bytes(2, "little") + after + body[at + 8 + len(before) :]
    path.write_bytes(body)
    with DICOMwebServer(tmp_path) as server:
        for level in ("studies", "series", "instances"):
            (found,) = get(f"{server.url}/{level}").json()
            url = found["00081190"]["Value"][0]
            if study == "..":  # which every client takes out of a path
                continue
            (metadata,) = get(f"{url}/metadata").json()
            uri = metadata["00420011"]["BulkDataURI"]
            assert get(uri, "application/octet-stream").content == bytes(range(256)) * 8
            if level != "instances":
                below = {"studies": "series", "series": "instances"}[level]
                assert len(get(f"{url}/{below}").json()) == 1
                assert len(get(f"{url}/instances").json()) == 1
        assert get(f"{server.url}/studies/a%2Fb/series").status_code == 204
        assert get(f"{server.url}/studies/a%2Fb%2Fseries%2Fc/instances").status_code == 204
        assert get(f"{server.url}/studies/a%2Fb/metadata").status_code == 404
