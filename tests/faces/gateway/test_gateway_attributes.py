"""The table of attributes: all of them, and who somebody is only where the operator and the caller both say so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import radiology
from folders import write
from gateways import ask, folder_upstream, gateway, server_upstream
from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from slides import PHI, brightfield_pyramid

from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.errors import InvalidReplyError
from dicomzarr.faces.gateway.attributes import MOST_ITEMS, attributes_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLIDE = brightfield_pyramid()
VOLUME = radiology.BUILDERS["volume"]()


def rows_of(dataset: Dataset, *, phi: bool = False) -> dict[str, Any]:
    document = attributes_of(json.dumps([dataset.to_json_dict()]).encode(), None, phi=phi)
    assert document is not None
    return {row["keyword"] or row["tag"]: row for row in document["rows"]}


@pytest.fixture(scope="module", params=["server", "folder"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    datasets = [*SLIDE.datasets, *VOLUME.datasets]
    if request.param == "server":
        with DICOMwebServer(Archive(datasets)) as server, gateway(server_upstream(server), phi=True) as each:
            yield each.url
    else:
        folder = tmp_path_factory.mktemp("both")
        write(folder, datasets)
        with gateway(folder_upstream(folder), phi=True) as each:
            yield each.url


def path_of(series: Any) -> str:
    return f"studies/{series.study_uid}/series/{series.series_uid}/attributes"


@pytest.mark.parametrize("series", [SLIDE, VOLUME], ids=["slide", "volume"])
def test_every_attribute_of_every_instance_is_told(base: str, series: Any) -> None:
    """But for pixel data, as pydicom reads them."""
    for dataset in series.datasets:
        table = ask(f"{base}/api/{path_of(series)}?phi=1&instance={dataset.SOPInstanceUID}").json
        told = {row["tag"].replace(",", "") for row in table["rows"]}
        stored = {f"{element.tag:08X}" for element in dataset if element.keyword != "PixelData"}
        assert stored <= told
        values = {row["keyword"]: row.get("value") for row in table["rows"]}
        assert values["PatientName"] == str(dataset.PatientName)
        assert values["Rows"] == str(dataset.Rows)
        assert len(table["instances"]) == len(series.datasets)
        assert [each["number"] for each in table["instances"]] == sorted(
            each.InstanceNumber for each in series.datasets
        )


def test_nothing_that_identifies_is_told_unasked(base: str) -> None:
    for series in (SLIDE, VOLUME):
        text = ask(f"{base}/api/{path_of(series)}").text
        assert not any(value in text for value in PHI)
        assert "PatientName" in text
    shown = ask(f"{base}/api/{path_of(SLIDE)}?phi=1").text
    assert any(value in shown for value in PHI)


def test_nothing_that_identifies_is_told_unless_the_operator_allows_it() -> None:
    with DICOMwebServer(Archive(SLIDE.datasets)) as server, gateway(server_upstream(server)) as each:
        table = ask(f"{each.url}/api/{path_of(SLIDE)}?phi=1").json
        assert (table["phi"], table["phi_allowed"]) == (False, False)
        assert all("value" not in row for row in table["rows"] if row["tag"].startswith("0010"))


def test_who_somebody_is_is_hidden_at_every_depth() -> None:
    code = Dataset()
    code.CodeValue, code.CodeMeaning = "4711", "Doctor Marked"
    person = Dataset()
    person.PersonIdentificationCodeSequence = Sequence([code])
    person.PersonName = "Marked^Name"
    harmless = Dataset()
    harmless.CodeMeaning = "Liver"
    dataset = Dataset()
    dataset.ReferringPhysicianIdentificationSequence = Sequence([person])
    dataset.AnatomicRegionSequence = Sequence([harmless])
    dataset.PatientSex, dataset.PatientAge, dataset.PatientWeight = "F", "042Y", 71.5
    dataset.StudyDescription, dataset.StudyDate, dataset.AcquisitionDateTime = "Marked", "20240229", "20240229101112"
    dataset.DeviceSerialNumber, dataset.StationName, dataset.ImageComments = "Marked-1", "Marked-2", "Marked-3"
    dataset.add_new(0x00090010, "LO", "MARKED")
    dataset.add_new(0x00091001, "DS", "4712")
    dataset.Modality, dataset.Rows, dataset.Manufacturer = "CT", 512, "Maker"
    text = json.dumps(rows_of(dataset))
    assert not any(word in text for word in ("arked", "MARKED", "4711", "4712", "2024", "042Y", "71.5", '"F"'))
    rows = rows_of(dataset)
    assert (rows["Modality"]["value"], rows["Rows"]["value"], rows["Manufacturer"]["value"]) == ("CT", "512", "Maker")
    assert rows["AnatomicRegionSequence"]["items"][0][0]["value"] == "Liver"
    assert rows["StudyDescription"]["hidden"]
    shown = json.dumps(rows_of(dataset, phi=True))
    assert all(word in shown for word in ("Doctor Marked", "Marked^Name", "MARKED", "4712", "20240229", "042Y"))


def test_numbers_outside_the_group_of_the_patient_are_told() -> None:
    dataset = Dataset()
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [1, 2, 3.5], [1, 0, 0, 0, 1, 0]
    dataset.PatientPosition, dataset.DistanceSourceToPatient = "HFS", "949"
    dataset.PatientOrientation = ["L", "P"]
    rows = rows_of(dataset)
    assert {name: row.get("value") for name, row in rows.items()} == {
        "ImagePositionPatient": "1.0\\2.0\\3.5",
        "ImageOrientationPatient": "1.0\\0.0\\0.0\\0.0\\1.0\\0.0",
        "PatientPosition": "HFS",
        "DistanceSourceToPatient": "949.0",
        "PatientOrientation": "L\\P",
    }


def test_texts_dates_and_the_group_of_the_patient_are_hidden_whatever_the_server_calls_them() -> None:
    telling = {"PN", "LO", "SH", "ST", "LT", "UT", "UC", "UR", "DA", "DT", "TM", "AS", "AE"}
    shown = set()
    for number, (vr, *_, keyword) in DicomDictionary.items():
        if vr == "SQ" or not keyword or not (number >> 16 == 0x10 or vr[:2] in telling):
            continue
        for as_vr in (vr[:2], "DS", "CS"):
            body = json.dumps([{f"{number:08X}": {"vr": as_vr, "Value": ["Marked"]}}])
            document = attributes_of(body.encode(), None, phi=False)
            assert document is not None
            if "value" in document["rows"][0]:
                shown.add(keyword)
    assert shown == {
        *("CodeValue", "LongCodeValue", "CodeMeaning", "CodingSchemeDesignator", "CodingSchemeVersion"),
        *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "ConvolutionKernel", "SequenceName"),
        *("WindowCenterWidthExplanation", "RescaleType", "SegmentLabel", "OpticalPathIdentifier"),
        *("OpticalPathDescription", "DimensionDescriptionLabel", "LUTLabel", "LUTExplanation"),
    }


@pytest.mark.parametrize(
    "attribute",
    [
        {"00081030": {"vr": "CS", "Value": ["Marked"]}},
        {"00100010": {"vr": "US", "Value": [{"Alphabetic": "Marked"}]}},
        {"00091001": {"vr": "CS", "Value": ["Marked"]}},
        {"00091002": {"vr": "SQ", "Value": [{"00080060": {"vr": "CS", "Value": ["Marked"]}}]}},
        {"ZZZZ0010": {"vr": "CS", "Value": ["Marked"]}},
        {"00080060Marked": {"vr": "LO", "Value": ["Marked"]}},
        {"00081032": {"vr": "CS", "Value": ["Marked"]}, "0008FFF0": {"vr": "IS", "Value": ["Marked"]}},
        {"00081030": {"vr": "LO", "InlineBinary": "TWFya2Vk"}},
        {"0040A730": {"vr": "SQ", "Value": [None, {"0040A160": {"vr": "UT", "Value": ["Marked"]}}, {}]}},
    ],
)
def test_what_a_server_calls_a_value_does_not_open_it(attribute: dict[str, Any]) -> None:
    document = attributes_of(json.dumps([attribute]).encode(), None, phi=False)
    assert document is not None
    assert "Marked" not in json.dumps(document)
    assert attributes_of(json.dumps([{"00081030": {"vr": "LO", "Value": None}}]).encode(), None, phi=True) is not None


def test_a_long_sequence_is_cut_and_says_so() -> None:
    dataset = Dataset()
    items = []
    for number in range(MOST_ITEMS + 7):
        item = Dataset()
        item.InstanceNumber = number
        items.append(item)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(items)
    row = rows_of(dataset)["PerFrameFunctionalGroupsSequence"]
    assert (len(row["items"]), row["more"]) == (MOST_ITEMS, 7)


def test_names_are_those_of_the_dictionary() -> None:
    for row in rows_of(SLIDE.datasets[0]).values():
        assert row["keyword"] == keyword_for_tag(row["tag"].replace(",", ""))


def test_binary_values_are_measured_and_not_told() -> None:
    dataset = Dataset()
    dataset.ICCProfile = b"secretly"
    assert rows_of(dataset)["ICCProfile"]["value"] in ("8 bytes", "9 bytes")  # by the length of its base64


@pytest.mark.parametrize("body", [b"{}", b"[1]", b'[{"00080018":[]}]', b'[{"00080018":{"Value":[', b"[" * 5000])
def test_what_is_no_dicom_json_is_an_error(body: bytes) -> None:
    with pytest.raises(InvalidReplyError):
        attributes_of(body, None, phi=False)


def test_an_instance_that_is_not_there_is_404(base: str) -> None:
    assert ask(f"{base}/api/{path_of(SLIDE)}?instance=1.2.3").status == 404
    assert ask(f"{base}/api/studies/1.2/series/3.4/attributes").status == 404


def test_a_series_without_pixels_has_attributes_too(tmp_path: Path) -> None:
    volume = radiology.BUILDERS["volume"]()
    for dataset in volume.datasets:
        for keyword in ("PixelData", "Rows", "Columns"):
            delattr(dataset, keyword)
    write(tmp_path, volume.datasets)
    with gateway(folder_upstream(tmp_path)) as each:
        assert ask(f"{each.url}/api/{path_of(volume)}").json["rows"]
