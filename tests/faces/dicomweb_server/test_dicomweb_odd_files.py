"""What a folder's server makes of files that break a rule of the standard."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pytest
import requests
from dicomweb_replies import get
from folders import write
from radiology import BUILDERS

import dicomzarr
from dicomzarr.faces.dicomweb_server import DICOMwebServer, replies

if TYPE_CHECKING:
    from collections.abc import Iterable
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
