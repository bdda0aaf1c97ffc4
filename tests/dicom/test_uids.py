"""UIDs as servers list them: hashes, GUIDs and hexadecimal numbers of de-identification, as well as the standard's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import faults
import fsspec
import numpy as np
import pytest
import xarray as xr
from asking import ALWAYS_WHOLE
from privacy_marks import MARK, found_in
from radiology_model import AXIAL, OBLIQUE, distinct
from radiology_opened import Opener, pixels_of
from radiology_volumes import volume

import dicomzarr
from dicomzarr.demo.instances import ServedInstance, from_dataset, virtual_instance
from dicomzarr.dicom.uids import is_uid
from dicomzarr.faces import cli
from dicomzarr.omezarr.attributes import dicomzarr_attributes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from radiology_model import Grid, Pixels

pytestmark = [
    pytest.mark.filterwarnings("ignore:Invalid value for VR UI:UserWarning"),
    pytest.mark.filterwarnings("ignore:The value length:UserWarning"),
    pytest.mark.filterwarnings("ignore:A value of type"),
]

STUDIES: Final = {
    "hash": ("5d41402abc4b2a76b9719d911017c592", "e99a18c428cb38d5f260853678922e03"),
    "GUID": ("a3f5d0c2-9b7e-4b1e-8a57-0c4d0e9f1a2b", "B0E6F2A1-0000-4C7D-9E3E-7d1f6a1c2b3d"),
    "hexadecimal": ("1.2.840.1F.A", "1.2.840.1F.B"),
    "base64": ("qL8R4QIcQ_ZsRqOAbeRfcZhil-n1OBdo=", "9+8x_Q=="),
    "long": ("1." * 60 + "1", "2." * 60 + "1"),
}
"""(study, series) in different spellings."""
PIXELS: Final = distinct((5, 16, 20))


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens series from servers in this process."""
    with Opener() as opener:
        yield opener


def renamed(study: str, series: str, pixels: Pixels = PIXELS, grid: Grid = AXIAL, **other: Any) -> list[ServedInstance]:
    """A volume under these UIDs, as files and as metadata."""
    found = []
    for number, dataset in enumerate(volume(grid, pixels).datasets):
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
        dataset.SOPInstanceUID = f"{series}-{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.FrameOfReferenceUID = f"{study}F"
        for keyword, value in other.items():
            setattr(dataset, keyword, value)
        found.append(from_dataset(dataset))
    return found


@pytest.mark.parametrize("spelling", STUDIES)
def test_a_series_opens_by_what_the_server_calls_it(
    opened: Opener, spelling: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study, series = STUDIES[spelling]
    server = opened.serve(renamed(study, series))
    url = server.series_url(study, series)
    assert np.array_equal(pixels_of(dicomzarr.open(url)), PIXELS)
    assert np.array_equal(pixels_of(dicomzarr.open(f"{url}.zarr/")), PIXELS)
    assert np.array_equal(xr.open_dataset(url, mask_and_scale=False)["image"], PIXELS)
    fs = fsspec.filesystem("dicomweb")
    base = url.partition("/studies")[0]
    assert fs.ls(f"{base}/studies", detail=False) == [f"{base}/studies/{study}"]
    assert fs.ls(f"{base}/studies/{study}/series", detail=False) == [url]
    assert json.loads(fs.cat_file(f"{url}.zarr/zarr.json"))["zarr_format"] == 3
    assert cli.main(["ls", f"{base}/studies/{study}", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert (row["series_instance_uid"], row["url"]) == (series, url)


@pytest.mark.parametrize("spelling", STUDIES)
def test_whole_instances_and_headers_are_known_by_it(opened: Opener, spelling: str) -> None:
    study, series = STUDIES[spelling]
    server = opened.serve(renamed(study, series), faults.status(404, on="metadata"), faults.status(404, on="frames"))
    assert np.array_equal(pixels_of(dicomzarr.open(server.series_url(study, series))), PIXELS)


def test_frames_of_a_whole_series_are_known_by_it(opened: Opener) -> None:
    opened.thresholds = ALWAYS_WHOLE
    study, series = STUDIES["long"]
    pixels = distinct((150, 8, 10))
    server = opened.serve(renamed(study, series, pixels))
    assert np.array_equal(pixels_of(dicomzarr.open(server.series_url(study, series))), pixels)
    assert opened.count("series") == 1
    assert opened.count("frames") < 150 / 2


def test_frames_of_reference_that_are_hashes_are_told_apart(opened: Opener) -> None:
    """Neither as one, for then two patients' spaces were one, nor as text, for anything may stand there."""
    study, series = "1.2", "1.3"
    both = [*renamed(study, series), *renamed(study, series, grid=OBLIQUE)]
    told = [each.metadata() for each in both]
    for number, one in enumerate(told):
        one["00080018"]["Value"] = [f"1.4.{number}"]
        one["00200032"], one["00200037"] = told[number % len(PIXELS)]["00200032"], told[number % 5]["00200037"]
        one["00200052"] = {"vr": "UI", "Value": [f"{MARK}^Hidden {'ab'[number // len(PIXELS)]}"]}
    stored = [virtual_instance(one, each.frame, each.transfer_syntax) for one, each in zip(told, both, strict=True)]
    image = dicomzarr.open(opened.serve(stored).series_url(study, series))
    assert [each.levels[0].shape for each in image.images] == [PIXELS.shape] * 2
    assert found_in(*image.notices, json.dumps(dicomzarr_attributes(image.plan), default=str)) == []


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a", "Hidden-Person", "1/2", "1 2", "1?", "1#", "1%20", "1^", "1\n", "é1"]
)
def test_what_addresses_nothing(text: str) -> None:
    assert not is_uid(text)
