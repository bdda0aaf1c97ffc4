"""Series found on servers, in folders and in buckets, as rows that open."""

from __future__ import annotations

import asyncio
import datetime as dt
import pickle
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pydicom
import pytest
from aiohttp import web
from buckets import bucket
from faults import fault, status
from radiology_model import RadiologySeries, distinct
from radiology_opened import Opener
from radiology_volumes import pet, two_orientations, volume, with_localizer

import dicomzarr
from dicomzarr.errors import AuthenticationError, InvalidURLError, StudyNotFoundError, UsageError
from dicomzarr.sources.files.search import searchable
from dicomzarr.sources.files.source import FilesSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp.typedefs import Middleware


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def described(series: RadiologySeries, **attributes: str) -> RadiologySeries:
    for dataset in series.datasets:
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
    return series


CT = described(
    volume(name="ct"), PatientID="P-1", PatientName="Doe^Jane", StudyDate="20240102", SeriesDescription="Thorax"
)
PT = described(
    pet(distinct((4, 16, 20)), [1, 1, 2, 2]), PatientID="P-2", StudyDate="20240203", BodyPartExamined="CHEST"
)
ALL = [*CT.datasets, *PT.datasets]


def uids(found: dicomzarr.FoundSeries) -> list[str]:
    return [row.series_instance_uid for row in found]


def results(on: str, *found: dict[str, Any]) -> Middleware:
    """A server whose every search finds the same."""

    async def act(request: web.Request, _handler: Any) -> web.StreamResponse:
        skip = int(request.query.get("offset", 0))
        limit = int(request.query.get("limit", 100))
        return web.json_response(list(found)[skip : skip + limit], content_type="application/dicom+json")

    return fault(act, on)


FILTERS: list[tuple[dict[str, Any], list[RadiologySeries]]] = [
    ({}, [CT, PT]),
    ({"modality": "CT"}, [CT]),
    ({"modality": "PT"}, [PT]),
    ({"modality": "MR"}, []),
    ({"patient_id": "P-1"}, [CT]),
    ({"patient_id": "P-*"}, [CT, PT]),
    ({"patient_id": "P-2", "modality": "CT"}, []),
    ({"patient_name": "doe*"}, [CT]),
    ({"study_date": "2024-01-02"}, [CT]),
    ({"study_date": "20240101-20240131"}, [CT]),
    ({"study_date": "20240131-"}, [PT]),
    ({"body_part": "CHEST"}, [PT]),
    ({"series_description": "Thorax"}, [CT]),
    ({"study_date": dt.date(2024, 1, 2)}, [CT]),
    ({"match": {"SeriesNumber": 1, "(0008,0060)": "CT"}}, [CT]),
]


@pytest.mark.parametrize(("filters", "expected"), FILTERS, ids=[str(filters) for filters, _ in FILTERS])
@pytest.mark.parametrize("place", ["server", "folder"])
def test_series_are_found_by_what_is_asked_for(
    opened: Opener, tmp_path: Path, place: str, filters: dict[str, Any], expected: list[RadiologySeries]
) -> None:
    if place == "server":
        where = opened.serve(ALL).url
    else:
        CT.write(tmp_path / "one")
        PT.write(tmp_path / "other")
        where = str(tmp_path)
    found = dicomzarr.search(where, **filters)
    expected = [each for each in expected if "SeriesNumber" not in str(filters) or each.datasets[0].SeriesNumber == 1]
    assert sorted(uids(found)) == sorted(each.series_uid for each in expected)
    assert (found.more, found.notices) == (False, ())
    for row in found:
        assert row.open().levels[0].shape[-2:] == (16, 20)
        assert dicomzarr.open(row.url).series_url == row.open().series_url


OF_SOME: list[dict[str, str | int]] = [
    {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"},
    {"Rows": 16},
    {"Rows": 17},
    {"ImageType": "LOCALIZER"},
    {"ImageType": "LOCAL*", "InstanceNumber": 1},
    {"ImageType": "LOCALIZER", "InstanceNumber": 2},  # both, but in no instance
    {"BitsAllocated": 16},
    {"InstanceNumber": 100},
    {"Rows": 16, "Modality": "MR"},
    {"StationName": "THREE"},  # of the last instance alone
    {"StationName": "THREE", "Columns": 20},
]


@pytest.mark.parametrize("filters", OF_SOME, ids=str)
def test_a_series_in_a_folder_is_found_if_one_of_its_instances_matches(
    tmp_path: Path, filters: dict[str, str | int]
) -> None:
    """By what pydicom reads in the files (PS3.4 section C.2.2.2)."""
    scouted = with_localizer(distinct((4, 16, 20)), distinct((16, 20)))
    scouted.datasets[-1].StationName = "THREE"
    for number, series in enumerate([CT, PT, scouted, two_orientations(distinct((4, 16, 20)), distinct((3, 16, 20)))]):
        series.write(tmp_path / str(number))
    datasets = [pydicom.dcmread(path) for path in tmp_path.rglob("*.dcm")]

    def has(dataset: pydicom.Dataset, keyword: str, wanted: str | int) -> bool:
        value = dataset.get(keyword)
        values = value if isinstance(value, pydicom.multival.MultiValue) else [value]
        return any(fnmatch(str(each), str(wanted)) for each in values)

    expected = {
        str(each.SeriesInstanceUID) for each in datasets if all(has(each, *wanted) for wanted in filters.items())
    }
    assert bool(expected) == (filters not in (OF_SOME[2], OF_SOME[5]))
    found = dicomzarr.search(tmp_path, match=filters)
    assert set(uids(found)) == expected
    assert found.notices == ()


@pytest.mark.parametrize("modality", ["CT", "PT", "MR"])
def test_what_is_counted_of_a_study_finds_its_series(tmp_path: Path, modality: str) -> None:
    """A study of two series, and one of one (PS3.4 table C.6-1, PS3.18 table 10.6.1-5)."""
    other = described(pet(distinct((4, 16, 20)), [1, 1, 2, 2]), StudyInstanceUID=CT.study_uid)
    alone = two_orientations(distinct((4, 16, 20)), distinct((3, 16, 20)))
    for number, series in enumerate([CT, other, alone]):
        series.write(tmp_path / str(number))
    both = {CT.series_uid, other.series_uid}
    expected = {alone.series_uid} if modality == "MR" else both
    assert set(uids(dicomzarr.search(tmp_path, match={"ModalitiesInStudy": modality}))) == expected
    assert set(uids(dicomzarr.search(tmp_path, match={"NumberOfStudyRelatedSeries": 2}))) == both
    assert uids(dicomzarr.search(tmp_path, match={"NumberOfStudyRelatedInstances": 7})) == [alone.series_uid]
    assert uids(dicomzarr.search(tmp_path, match={"ModalitiesInStudy": "PT"}, modality="CT")) == [CT.series_uid]
    within = dicomzarr.search(f"dicomfile://{tmp_path}/studies/{CT.study_uid}", match={"NumberOfStudyRelatedSeries": 2})
    assert set(uids(within)) == both


def test_a_study_in_a_folder_is_found_by_its_series_and_instances(tmp_path: Path) -> None:
    source = FilesSource(tmp_path)
    for number, series in enumerate([CT, PT]):
        series.write(tmp_path / str(number))
    for wanted in ({"Modality": "PT"}, {"BodyPartExamined": "CHEST"}, {"NumberOfSeriesRelatedInstances": "4"}):
        (found,) = asyncio.run(source.search("studies", wanted))
        assert found["0020000D"]["Value"] == [PT.study_uid]
        assert "00080060" not in found


def test_a_folder_is_not_searched_by_what_its_index_lacks(tmp_path: Path) -> None:
    CT.write(tmp_path)
    with pytest.raises(UsageError, match="not searched by SliceThickness") as raised:
        dicomzarr.search(tmp_path, match={"SliceThickness": 5})
    assert {"Modality", "SOPClassUID", "ModalitiesInStudy"} <= set(re.findall(r"\w+", str(raised.value)))
    described_there = (Path(__file__).parents[2] / "docs" / "volumes.md").read_text(encoding="utf-8")
    assert all(f"`{keyword}`" in described_there for keyword in searchable())


def test_a_bucket_is_searched_too(tmp_path: Path) -> None:
    objects = {f"a/{path.name}": path.read_bytes() for path in CT.write(tmp_path)}
    with bucket(objects) as server:
        (row,) = dicomzarr.search("s3://bucket/a", modality="CT", **server.options)
        assert row.open().levels[0].shape == (5, 16, 20)


def test_a_row_says_what_the_series_is_and_who_the_patient_is_only_when_asked(opened: Opener) -> None:
    url = opened.serve(ALL).url
    (row,) = dicomzarr.search(url, modality="CT")
    assert (row.modality, row.instances, row.study_instance_uid) == ("CT", 5, CT.study_uid)
    told = (row.patient_id, row.patient_name, row.study_date, row.series_description, row.study_description)
    assert told == (None,) * 5
    for filters in ({"modality": "CT"}, {"patient_id": "P-1"}):
        (row,) = dicomzarr.search(url, include_phi=True, **filters)
        assert (row.patient_id, row.study_date, row.series_description) == ("P-1", "20240102", "Thorax")


def test_a_search_is_a_sequence(opened: Opener) -> None:
    found = dicomzarr.search(opened.serve(ALL).url)
    assert (len(found), found[:1][0], found[-1] in found) == (2, found[0], True)
    assert found == dicomzarr.search(opened.servers[-1].url)
    assert repr(found).splitlines()[0] == "<2 series>"
    assert found[0].url in repr(found)
    assert "Doe" not in repr(found) + repr(found[0])


def test_rows_open_in_another_process_and_carry_no_secret(opened: Opener) -> None:
    found = dicomzarr.search(opened.serve(ALL).url, modality="CT", headers={"X-Token": "secret-word"})
    text = pickle.dumps(found[0])
    assert b"secret-word" not in text
    assert "secret-word" not in repr(found[0])
    row = pickle.loads(text)  # noqa: S301  # our own
    assert row.open(values="modality").levels[0].dtype == "int16"


def test_a_table_of_rows_for_pandas(opened: Opener) -> None:
    found = dicomzarr.search(opened.serve(ALL).url)
    table = found.to_dataframe()
    assert isinstance(table, pd.DataFrame)
    assert list(table["url"]) == [row.url for row in found]
    assert "options" not in table
    assert list(found[:0].to_dataframe().columns) == list(table.columns)


def test_no_more_than_the_limit_and_that_there_are_more_is_said(opened: Opener) -> None:
    url = opened.serve(ALL).url
    for filters in ({}, {"patient_id": "P-*"}):
        found = dicomzarr.search(url, limit=1, **filters)  # type: ignore[arg-type]  # texts
        assert (len(found), found.more) == (1, True)
        assert not dicomzarr.search(url, limit=2, **filters).more  # type: ignore[arg-type]
    assert "there are more" in repr(found)


def test_a_study_is_searched_for_its_series(opened: Opener) -> None:
    url = f"{opened.serve(ALL).url}/studies/{CT.study_uid}"
    assert uids(dicomzarr.search(url)) == [CT.series_uid]
    assert uids(dicomzarr.search(url, patient_id="P-1")) == [CT.series_uid]
    assert uids(dicomzarr.search(url, patient_id="P-2")) == []
    with pytest.raises(StudyNotFoundError):
        dicomzarr.search(f"{opened.servers[-1].url}/studies/1.2.3")


@pytest.mark.parametrize("code", [400, 404, 501])
def test_a_server_that_lists_series_of_one_study_alone_is_asked_study_by_study(opened: Opener, code: int) -> None:
    async def refuse(request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.endswith("/series") and "/studies/" not in request.path:
            return web.Response(status=code)
        response: web.StreamResponse = await handler(request)
        return response

    url = opened.serve(ALL, web.middleware(refuse)).url
    assert uids(dicomzarr.search(url, modality="CT")) == [CT.series_uid]
    assert len(dicomzarr.search(url)) == 2


def test_a_refusal_is_no_empty_result(opened: Opener) -> None:
    url = opened.serve(ALL, status(401, on="series")).url
    with pytest.raises(AuthenticationError):
        dicomzarr.search(url)


def test_what_a_server_gives_beside_what_was_asked_for_is_left_out_and_said(opened: Opener) -> None:
    rows = [
        {
            "0020000D": {"vr": "UI", "Value": ["1.2"]},
            "0020000E": {"vr": "UI", "Value": [f"1.2.{number}"]},
            "00080060": {"vr": "CS", "Value": [modality]},
        }
        for number, modality in enumerate(["MR", "CT", "MR", "CT", "CT"])
    ]
    url = opened.serve(ALL, results("series", *rows)).url
    found = dicomzarr.search(url, modality="CT")
    assert uids(found) == ["1.2.1", "1.2.3", "1.2.4"]
    assert found.notices == ("The server ignored the filter 00080060: what does not match was left out.",)
    limited = dicomzarr.search(url, modality="CT", limit=2)
    assert (uids(limited), limited.more) == (["1.2.1", "1.2.3"], True)
    assert dicomzarr.search(url, modality="CT", limit=np.int64(2)) == limited  # type: ignore[arg-type]  # as of a table


def test_results_without_a_uid_are_left_out_and_said(opened: Opener) -> None:
    row = {"0020000D": {"vr": "UI", "Value": ["1.2"]}, "0020000E": {"vr": "UI", "Value": ["../../x"]}}
    found = dicomzarr.search(opened.serve(ALL, results("series", row)).url)
    assert (len(found), found.notices) == (0, ("1 results without a UID that can be asked for were left out.",))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"study_date": "last week"}, "is no date"),
        ({"match": {"NoSuchThing": "1"}}, "is no DICOM attribute"),
        ({"modality": ["CT", "MR"]}, "by a value of type list"),
        ({"limit": 0}, "The limit is 0"),
        ({"modalty": "CT"}, "Did you mean 'modality'"),
        ({"StationName": "CT1"}, "Write match={'StationName': ...}"),
        ({"tracing": True}, "There is no storage option"),
        ({"match": "CT"}, "match is a str"),
        ({"match": [("Modality", "CT")]}, "match is a list"),
        ({"match": {0x00080060: "CT"}}, "is no DICOM attribute"),
        ({"modality": "MR", "match": {"Modality": "CT"}}, "Modality is searched for twice"),
        ({"modality": "MR", "match": {"(0008,0060)": "MR"}}, "is searched for twice"),
        ({"match": {"StationName": "A", "00081010": "B"}}, "is searched for twice"),
    ],
)
def test_what_cannot_be_meant_is_refused(opened: Opener, given: dict[str, Any], said: str) -> None:
    url = opened.serve(ALL).url
    with pytest.raises(UsageError, match=said):
        dicomzarr.search(url, **given)
    with pytest.raises(InvalidURLError, match="names a series already"):
        dicomzarr.search(f"{url}/studies/{CT.study_uid}/series/{CT.series_uid}")
