"""Searches in a folder's server, by the rules of PS3.18 section 10.6."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import radiology
import requests
from dicomweb_replies import get
from folders import write
from pydicom import dcmread, dcmwrite
from waiting import SECONDS

from dicomzarr.faces.dicomweb_server import DICOMwebServer, searching
from dicomzarr.faces.dicomweb_server.queries import MOST_RESULTS, Query, parse_query

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom import Dataset

STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"


def values(result: dict[str, Any], tag: str) -> list[Any]:
    return list(result[tag]["Value"])


@pytest.fixture(scope="module")
def datasets() -> list[Dataset]:
    """Two studies: a CT with a second series of one instance, and a PET."""
    volume, pet, (single,) = (
        [deepcopy(each) for each in radiology.BUILDERS[name]().datasets] for name in ("volume", "pet", "single_slice")
    )
    for each in volume:
        each.PatientName, each.PatientID, each.StudyDate, each.StudyTime = "Doe^Jane", "P1", "20200315", "101500"
        each.SeriesDescription, each.AccessionNumber = "Thin", "A1"
    for each in pet:
        each.PatientName, each.PatientID, each.StudyDate, each.Modality = "Roe^Rita", "P2", "20210101", "PT"
    single.StudyInstanceUID, single.Modality, single.PatientID = volume[0].StudyInstanceUID, "SC", "P1"
    single.PatientName, single.StudyDate, single.StudyTime = "Doe^Jane", "20200315", "101500"
    single.SeriesInstanceUID, single.SOPInstanceUID, single.AccessionNumber = "1.2.3.99", "1.2.3.99.1", "A1"
    return [*volume, *pet, single]


@pytest.fixture(scope="module")
def server(datasets: list[Dataset], tmp_path_factory: pytest.TempPathFactory) -> Iterator[DICOMwebServer]:
    folder = tmp_path_factory.mktemp("searched")
    write(folder, datasets)
    with DICOMwebServer(folder) as running:
        yield running


def found(server: DICOMwebServer, path: str) -> list[dict[str, Any]]:
    reply = get(f"{server.url}/{path}")
    if reply.status_code == 204:
        assert reply.content == b""
        return []
    assert reply.status_code == 200, reply.text
    assert reply.headers["Content-Type"] == "application/dicom+json"
    results: list[dict[str, Any]] = reply.json()
    assert results
    return results


def test_studies_with_what_is_counted(server: DICOMwebServer, datasets: list[Dataset]) -> None:
    results = {values(each, STUDY)[0]: each for each in found(server, "studies")}
    assert set(results) == {each.StudyInstanceUID for each in datasets}
    ct = results[datasets[0].StudyInstanceUID]
    of_it = [each for each in datasets if each.StudyInstanceUID == datasets[0].StudyInstanceUID]
    assert values(ct, "00080061") == ["CT", "SC"]
    assert values(ct, "00201206") == [2]
    assert values(ct, "00201208") == [len(of_it)]
    assert values(ct, "00080056") == ["ONLINE"]
    assert values(ct, "00081190") == [f"{server.url}/studies/{datasets[0].StudyInstanceUID}"]
    assert values(ct, "00100010") == [{"Alphabetic": "Doe^Jane"}]
    assert not {INSTANCE, SERIES, "00280010"} & set(ct)


def test_series_and_instances_at_every_level(server: DICOMwebServer, datasets: list[Dataset]) -> None:
    study, series = datasets[0].StudyInstanceUID, datasets[0].SeriesInstanceUID
    of_study = [each for each in datasets if each.StudyInstanceUID == study]
    of_series = [each for each in datasets if each.SeriesInstanceUID == series]
    assert len(found(server, "series")) == 3
    assert len(found(server, "instances")) == len(datasets)
    assert len(found(server, f"studies/{study}/series")) == 2
    assert len(found(server, f"studies/{study}/instances")) == len(of_study)
    one = found(server, f"studies/{study}/series/{series}/instances")
    assert len(one) == len(of_series)
    assert values(one[0], "00280010") == [of_series[0].Rows]
    assert "00100010" not in one[0]
    (ct,) = found(server, "series?Modality=CT")
    assert values(ct, "00201209") == [len(of_series)]
    assert "00100010" in ct  # the study is not in the path
    assert values(ct, "00081190") == [f"{server.url}/studies/{study}/series/{series}"]
    url = found(server, f"instances?SOPInstanceUID={datasets[0].SOPInstanceUID}")[0]["00081190"]["Value"][0]
    assert url == f"{server.url}/studies/{study}/series/{series}/instances/{datasets[0].SOPInstanceUID}"


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 2),
        ("PatientName=doe*", 1),
        ("00100010=*e^*", 2),
        ("PatientName=Doe", 0),
        ("PatientName=", 2),
        ("PatientID=P?", 2),
        ("PatientID=p1", 0),
        ("StudyDate=20200101-20201231", 1),
        ("StudyDate=20200101-", 2),
        ("StudyDate=-20200101", 0),
        ("StudyDate=20200315&StudyTime=10", 1),
        ("ModalitiesInStudy=PT", 1),
        ("ModalitiesInStudy=SC,PT", 2),
        ("ModalitiesInStudy=SC%5CMR", 1),
        ("AccessionNumber=A1", 1),
        ("StudyInstanceUID=1.2,1.3", 0),
        ("fuzzymatching=false&PatientID=P2", 1),
        ("NumberOfStudyRelatedSeries=2", 1),
        ("PatientID=P1&PatientName=Roe*", 0),
    ],
)
def test_studies_that_match(server: DICOMwebServer, query: str, count: int) -> None:
    assert len(found(server, f"studies?{query}")) == count


def test_an_attribute_that_the_index_does_not_hold_is_read(server: DICOMwebServer, datasets: list[Dataset]) -> None:
    positions = {tuple(each.ImagePositionPatient) for each in datasets if each.Modality == "CT"}
    first = found(server, "instances?Modality=CT&includefield=ImagePositionPatient")
    assert {tuple(values(each, "00200032")) for each in first} == positions
    number = min(positions)[2]
    assert found(server, f"instances?Modality=CT&ImagePositionPatient={number}")
    assert not found(server, "instances?ImagePositionPatient=12345")


@pytest.mark.parametrize(
    ("fields", "shown"),
    [("SeriesDescription", {"0008103E"}), ("0008103E,Rows", {"0008103E", "00280010"}), ("BodyPartExamined", set())],
)
def test_fields_that_are_wanted_besides(server: DICOMwebServer, fields: str, shown: set[str]) -> None:
    plain, more = (found(server, f"studies?PatientID=P1{query}")[0] for query in ("", f"&includefield={fields}"))
    assert set(more) - set(plain) == shown


def test_all_fields_are_those_of_the_level(server: DICOMwebServer) -> None:
    (study,) = found(server, "studies?PatientID=P1&includefield=all")
    assert not {INSTANCE, SERIES, "00080060", "00280010", "00200032", "7FE00010"} & set(study)
    (series,) = found(server, "series?Modality=CT&includefield=all")
    assert not {INSTANCE, "00280010", "7FE00010"} & set(series)
    instance = found(server, "instances?Modality=CT&includefield=all")[0]
    assert {"00280010", "00280030", "00200032"} <= set(instance)
    assert "7FE00010" not in instance


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DICOMwebServer]:
    """A study of a CT of the head and an MR of the neck, of two instances each."""
    datasets = [deepcopy(each) for each in radiology.BUILDERS["volume"]().datasets[:4]]
    for number, each in enumerate(datasets):
        is_mr = number >= 2
        each.Modality, each.SeriesDescription = ("MR", "Neck") if is_mr else ("CT", "Head")
        each.SeriesInstanceUID, each.SOPInstanceUID = f"1.2.{1 + is_mr}", f"1.2.{1 + is_mr}.{number % 2 + 1}"
        each.ProtocolName = "N1" if is_mr else "H1"
        each.ImageComments = f"comment {number}"
        each.file_meta.MediaStorageSOPInstanceUID = each.SOPInstanceUID
        each.StudyComments = "said of the study"
    folder = tmp_path_factory.mktemp("mixed")
    write(folder, datasets)
    with DICOMwebServer(folder) as running:
        yield running


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("studies?Modality=MR", 1),
        ("studies?Modality=CT", 1),
        ("studies?Modality=PT", 0),
        ("studies?ModalitiesInStudy=MR", 1),
        ("studies?SeriesDescription=Neck", 1),
        ("studies?Modality=MR&SeriesDescription=Neck", 1),
        ("studies?Modality=CT&SeriesDescription=Neck", 0),
        ("studies?SeriesInstanceUID=1.2.2", 1),
        ("studies?SOPInstanceUID=1.2.2.2", 1),
        ("studies?SOPInstanceUID=1.2.2.3", 0),
        ("studies?SOPInstanceUID=9.9,1.2.1.2", 1),
        ("studies?ProtocolName=N1", 1),
        ("studies?ImageComments=comment%203", 1),
        ("studies?ImageComments=comment%203&Modality=CT", 0),
        ("studies?StudyComments=said*&NumberOfStudyRelatedInstances=4", 1),
        ("series?SOPInstanceUID=1.2.2.2", 1),
        ("series?ImageComments=comment%203", 1),
        ("series?ProtocolName=H1", 1),
        ("series?NumberOfSeriesRelatedInstances=2", 2),
        ("instances?ImageComments=comment*", 4),
        ("instances?SeriesDescription=Neck", 2),
    ],
)
def test_what_a_study_or_series_holds_finds_it(mixed: DICOMwebServer, query: str, count: int) -> None:
    assert len(found(mixed, query)) == count


def test_what_was_found_speaks_for_its_study(mixed: DICOMwebServer) -> None:
    (study,) = found(mixed, "studies?Modality=MR&SOPInstanceUID=1.2.2.2&includefield=ImageComments,SeriesDescription")
    assert [values(study, tag)[0] for tag in ("00080060", INSTANCE, "00204000", "0008103E")] == [
        *("MR", "1.2.2.2", "comment 3", "Neck"),
    ]
    assert values(study, "00080061") == ["CT", "MR"]


def test_one_file_of_a_series_tells_what_is_of_the_series(
    mixed: DICOMwebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_MOST_HEADERS", 2)
    assert get(f"{mixed.url}/studies?ProtocolName=x").status_code == 204
    assert get(f"{mixed.url}/studies?PatientComments=x&BodyPartExamined=x").status_code == 204
    assert get(f"{mixed.url}/studies?ImageComments=x").status_code == 413


def test_a_file_that_cannot_be_searched_is_told(tmp_path: Path, datasets: list[Dataset]) -> None:
    paths = write(tmp_path, datasets[:2])
    with DICOMwebServer(tmp_path, max_age=1000) as server:
        paths[0].unlink()
        reply = get(f"{server.url}/instances?ImageComments=x")
    assert reply.status_code == 204
    assert reply.headers["Warning"].startswith('299 dicomzarr "1 file could not be read')


def test_searches_that_would_take_long_are_refused(server: DICOMwebServer) -> None:
    assert get(f"{server.url}/studies?PatientName={'*a' * 100_000}").status_code == 400
    assert get(f"{server.url}/studies?PatientName={'?' * 2000}").status_code == 400
    assert get(f"{server.url}/studies?{'PatientName=a&' * 2000}").status_code == 400
    assert get(f"{server.url}/studies?PatientName={'*e' * 500}").status_code == 204
    assert get(f"{server.url}/studies?StudyInstanceUID={'1.2.3,' * 50_000}").status_code == 204


def test_pages_and_what_remains(server: DICOMwebServer, datasets: list[Dataset]) -> None:
    everything = [values(each, INSTANCE)[0] for each in found(server, "instances")]
    pages = [found(server, f"instances?limit=5&offset={offset}") for offset in range(0, len(everything), 5)]
    assert [values(each, INSTANCE)[0] for page in pages for each in page] == everything
    reply = get(f"{server.url}/instances?limit=5&offset=2")
    remaining = len(datasets) - 7
    assert reply.headers["Warning"] == (
        f'299 dicomzarr "There are {remaining} additional results that can be requested"'
    )
    assert "Warning" not in get(f"{server.url}/instances").headers
    assert get(f"{server.url}/instances?offset=1000").status_code == 204


@pytest.mark.parametrize("way", ["fuzzymatching", "emptyvaluematching", "multiplevaluematching"])
def test_ways_of_matching_that_are_not_known_are_warned_of(server: DICOMwebServer, way: str) -> None:
    reply = get(f"{server.url}/studies?{way}=true&PatientName=doe*")
    assert len(reply.json()) == 1
    assert f"{way} parameter is not supported" in reply.headers["Warning"]


@pytest.mark.parametrize(
    "query",
    [
        *("limit=x", "offset=-1", "limit=1e3", f"limit={'9' * 50}", "fuzzymatching=maybe"),
        *("NoSuchKeyword=1", "includefield=NoSuchKeyword", "RequestAttributesSequence.Nothing=1"),
    ],
)
def test_queries_that_mean_nothing(server: DICOMwebServer, query: str) -> None:
    reply = get(f"{server.url}/studies?{query}")
    assert reply.status_code == 400
    assert reply.text


def test_what_the_client_does_not_accept(server: DICOMwebServer) -> None:
    assert get(f"{server.url}/studies", 'multipart/related; type="application/dicom+xml"').status_code == 406
    assert get(f"{server.url}/studies", "application/json").headers["Content-Type"] == "application/json"


def test_too_broad_a_search_reads_so_many_files_and_no_more(
    server: DICOMwebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_MOST_HEADERS", 3)
    assert get(f"{server.url}/instances?ImageComments=x").status_code == 413
    assert get(f"{server.url}/instances?includefield=all&limit=3").status_code == 200


def test_results_are_bounded() -> None:
    assert parse_query([("limit", "999999")]).limit == MOST_RESULTS
    assert parse_query([]) == Query()


def test_metadata_and_their_tag_are_of_one_moment(tmp_path: Path, datasets: list[Dataset]) -> None:
    write(tmp_path, datasets[:2])
    with DICOMwebServer(tmp_path, max_age=0) as server:
        url = f"{server.series_url(datasets[0].StudyInstanceUID, datasets[0].SeriesInstanceUID, 'http')}/metadata"
        before = get(url)
        assert get(url, **{"If-None-Match": before.headers["ETag"]}).status_code == 304
        write(tmp_path / "more", datasets[2:3])
        after = get(url, **{"If-None-Match": before.headers["ETag"]})
        assert (after.status_code, len(before.json()), len(after.json())) == (200, 2, 3)
        assert after.headers["ETag"] != before.headers["ETag"]


def test_files_that_come_and_go(tmp_path: Path, datasets: list[Dataset]) -> None:
    paths = write(tmp_path, datasets[:2])
    with DICOMwebServer(tmp_path, max_age=0) as server:
        assert len(found(server, "instances")) == 2
        paths[0].unlink()
        assert len(found(server, "instances")) == 1
        write(tmp_path / "more", datasets[2:5])
        assert len(found(server, "instances")) == 4
        (tmp_path / "note.txt").write_text("no image")
        assert len(found(server, "instances")) == 4
        assert requests.head(f"{server.url}/studies", timeout=SECONDS).status_code == 200


def test_an_instance_is_as_its_file_is_now(tmp_path: Path, datasets: list[Dataset]) -> None:
    """However rarely the folder is looked through: a file by itself tells whether it has changed."""
    paths = write(tmp_path, datasets[:2])
    with DICOMwebServer(tmp_path, max_age=1000) as server:
        series = server.series_url(datasets[0].StudyInstanceUID, datasets[0].SeriesInstanceUID, "http")
        url = f"{series}/instances/{datasets[0].SOPInstanceUID}"
        asked = [f"{url}{path}" for path in ("/metadata", "/frames/1", "/rendered", "/bulkdata/7FE00010", "")]
        before = get(f"{url}/metadata")
        assert [get(each).status_code for each in asked] == [200] * len(asked)
        changed = dcmread(paths[0])
        changed.PatientName = "Roe^Other"
        changed.RescaleSlope = 2.5
        dcmwrite(paths[0], changed)
        after = get(f"{url}/metadata", **{"If-None-Match": before.headers["ETag"]})
        assert after.status_code == 200
        assert values(after.json()[0], "00100010") == [{"Alphabetic": "Roe^Other"}]
        assert values(after.json()[0], "00281053") == [2.5]
        moved = paths[0].rename(tmp_path / "moved.dcm")
        assert [get(each).status_code for each in asked] == [200] * len(asked)
        moved.write_bytes(b"no DICOM any more")
        assert [get(each).status_code for each in asked] == [404] * len(asked)
        paths[1].unlink()
        other = f"{series}/instances/{datasets[1].SOPInstanceUID}"
        assert get(f"{other}/metadata").status_code == 404


def test_an_instance_that_has_more_frames_by_now(tmp_path: Path) -> None:
    (dataset,) = radiology.BUILDERS["single_slice"]().datasets
    (path,) = write(tmp_path, [dataset])
    with DICOMwebServer(tmp_path, max_age=1000) as server:
        series = server.series_url(dataset.StudyInstanceUID, dataset.SeriesInstanceUID, "http")
        url = f"{series}/instances/{dataset.SOPInstanceUID}/frames"
        assert get(f"{url}/2").status_code == 404
        dataset.NumberOfFrames, pixels = 2, dataset.PixelData
        dataset.PixelData = pixels + pixels[::-1]
        dcmwrite(path, dataset)
        assert get(f"{url}/2", "application/octet-stream").content == pixels[::-1]
