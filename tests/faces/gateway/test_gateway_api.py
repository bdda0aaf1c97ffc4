"""What the page asks for: rows, an opened series, thumbnails; and what an operator does: health, metrics, the log."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import re
from copy import deepcopy
from functools import partial
from importlib.resources import files
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import radiology
import radiology_volumes
from faults import status
from folders import write
from gateways import ask, folder_upstream, gateway, server_upstream
from PIL import Image
from pydicom import dcmwrite
from radiology_opened import Opener
from slides import PHI, brightfield_pyramid, two_pyramids

import dicomzarr
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.engine.ports import SeriesRef
from dicomzarr.faces.gateway.drawn import drawn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from slides import TestSlide

    from dicomzarr.faces.gateway.server import Gateway

SLIDE = brightfield_pyramid()
VOLUME = radiology.BUILDERS["volume"]()


@pytest.fixture(scope="module", params=["server", "folder"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    datasets = [*SLIDE.datasets, *VOLUME.datasets]
    if request.param == "server":
        with DICOMwebServer(Archive(datasets)) as server, gateway(server_upstream(server)) as each:
            yield each
    else:
        folder = tmp_path_factory.mktemp("both")
        write(folder, datasets)
        with gateway(folder_upstream(folder, "one")) as each:
            yield each


def series_of(slide: TestSlide | Any) -> str:
    return f"studies/{slide.study_uid}/series/{slide.series_uid}"


# --- rows ---


def test_where_a_folder_lies_is_told_to_this_machine_alone(tmp_path: Path) -> None:
    write(tmp_path, SLIDE.datasets[:1])
    with gateway(folder_upstream(tmp_path, "one")) as here:
        assert ask(f"{here.url}/api/").json["upstreams"][0]["url"].endswith(str(tmp_path))
        for origin in ("http://localhost:3000", here.url):
            assert str(tmp_path) not in ask(f"{here.url}/api/", Origin=origin).text
    with gateway(folder_upstream(tmp_path, "one"), host="0.0.0.0", token="hush") as open_to_all:  # noqa: S104, S106
        port = open_to_all.url.rpartition(":")[2]
        reply = ask(f"http://127.0.0.1:{port}/api/?token=hush")
        assert [each["name"] for each in reply.json["upstreams"]] == ["one"]
        assert str(tmp_path) not in reply.text
    with DICOMwebServer(Archive(SLIDE.datasets)) as server, gateway(server_upstream(server)) as far:
        assert ask(f"{far.url}/api/", Origin="http://localhost").json["upstreams"][0]["url"].startswith("dicomweb://")


@pytest.mark.parametrize("path", ["0.5/studies/1.2/series/3.zarr/zarr.json", "api/studies/1.2/series/3/thumbnail"])
def test_no_refusal_tells_others_where_a_folder_lies(tmp_path: Path, path: str) -> None:
    write(tmp_path, SLIDE.datasets[:1])
    with gateway(folder_upstream(tmp_path, "one")) as here:
        reply = ask(f"{here.url}/{path}")
        assert (reply.status, f"{tmp_path} holds no series 3" in reply.text) == (404, True)
        reply = ask(f"{here.url}/{path}", Origin="http://localhost:3000")
        assert (reply.status, "one holds no series 3" in reply.text, str(tmp_path) in reply.text) == (404, True, False)


def test_no_refusal_tells_others_the_name_of_a_file(tmp_path: Path) -> None:
    paths = write(tmp_path, VOLUME.datasets)
    with gateway(folder_upstream(tmp_path, "one")) as here:
        series = f"{here.url}/0.5/{series_of(VOLUME)}.zarr"
        assert ask(f"{series}/zarr.json").status == 200
        for each in paths:
            each.unlink()
        reply = ask(f"{series}/0/c/0/0/0", Origin="http://localhost:3000")
        assert reply.status == 502
        assert str(tmp_path) not in reply.text
        assert paths[0].name not in reply.text


def test_slices_of_files_that_changed_are_new_ones(tmp_path: Path) -> None:
    """Under the same UIDs, and with the same attributes: as those of a copy without burnt-in names."""
    paths = write(tmp_path, VOLUME.datasets)
    with gateway(folder_upstream(tmp_path, "one")) as here:
        series = f"{here.url}/0.5/{series_of(VOLUME)}.zarr"
        before = ask(f"{series}/zarr.json"), ask(f"{series}/0/c/0/0/0")
        for path, dataset in zip(paths, VOLUME.datasets, strict=True):
            changed = deepcopy(dataset)
            changed.PixelData = bytes(len(dataset.PixelData))
            dcmwrite(path, changed, enforce_file_format=True)
            os.utime(path, (2e9, 2e9))
        assert ask(f"{series}/zarr.json").text == before[0].text
        after = ask(f"{series}/0/c/0/0/0", If_None_Match=before[1].headers["ETag"])
        assert (after.status, any(after.body)) == (200, False)


def test_a_table_that_makes_other_images_is_not_drawn() -> None:
    """As where rescaled values put the frames of two images into one another's places."""
    series = radiology_volumes.modality_lut()
    turned = radiology_volumes.modality_lut()
    for one, other in zip(turned.datasets, reversed(series.datasets), strict=True):
        one.ImagePositionPatient = other.ImagePositionPatient
    with Opener() as opened:
        stored, same, others = (
            opened(each, values=values).store
            for each, values in ((series, "stored"), (series, "modality"), (turned, "modality"))
        )
    for found, expected in ((same, ("modality", same)), (others, (None, stored))):
        upstream: Any = SimpleNamespace(views={3: SimpleNamespace(values="stored")}, store=partial(given, found))
        assert asyncio.run(drawn(upstream, SeriesRef("1", "2"), stored)) == expected


async def given(store: Any, *_: Any, **__: Any) -> Any:
    return store


def test_studies_are_flat_rows_without_names(running: Gateway) -> None:
    found = ask(f"{running.url}/api/studies").json
    assert {row["study"] for row in found["rows"]} == {SLIDE.study_uid, VOLUME.study_uid}
    assert (found["more"], found["offset"], found["limit"]) == (False, 0, 25)
    text = ask(f"{running.url}/api/studies").text
    assert not any(word in text for word in ("patient_name", "patient_id", "accession"))
    assert ask(f"{running.url}/api/one/studies").json == found


def test_names_are_told_when_they_are_asked_for(running: Gateway) -> None:
    rows = ask(f"{running.url}/api/studies?phi=1").json["rows"]
    named = [row["patient_name"] for row in rows if "patient_name" in row]
    assert any(name in str(PHI) for name in named)


def test_pages_follow_one_another(running: Gateway) -> None:
    one = ask(f"{running.url}/api/studies?limit=1").json
    two = ask(f"{running.url}/api/studies?limit=1&offset=1").json
    assert (len(one["rows"]), one["more"]) == (1, True)
    assert (len(two["rows"]), two["more"]) == (1, False)
    assert one["rows"] != two["rows"]


@pytest.mark.parametrize(("query", "expected"), [("modality=SM", SLIDE), ("modality=CT", VOLUME)])
def test_studies_are_chosen_by_modality(running: Gateway, query: str, expected: Any) -> None:
    rows = ask(f"{running.url}/api/studies?{query}").json["rows"]
    assert [row["study"] for row in rows] == [expected.study_uid]


@pytest.mark.parametrize("query", ["date=soon", "limit=1000", "offset=-1", "colour=red", "text=%00"])
def test_a_question_that_means_nothing_is_400(running: Gateway, query: str) -> None:
    reply = ask(f"{running.url}/api/studies?{query}")
    assert reply.status == 400
    assert reply.json["kind"] == "UsageError"


def test_the_series_of_a_study(running: Gateway) -> None:
    rows = ask(f"{running.url}/api/studies/{VOLUME.study_uid}/series").json["rows"]
    assert [row["series"] for row in rows] == [VOLUME.series_uid]
    assert rows[0]["modality"] == "CT"


def test_one_series_of_a_study(running: Gateway) -> None:
    url = f"{running.url}/api/studies/{VOLUME.study_uid}/series?series="
    assert [row["series"] for row in ask(url + VOLUME.series_uid).json["rows"]] == [VOLUME.series_uid]
    assert ask(url + SLIDE.series_uid).json["rows"] == []


def test_an_opened_series_says_where_its_images_lie(running: Gateway) -> None:
    shown = ask(f"{running.url}/api/{series_of(SLIDE)}").json
    assert shown["zarr"]["0.5"] == f"/0.5/one/{series_of(SLIDE)}.zarr"
    paths = [image["path"] for image in shown["images"]]
    assert paths[0] == ""
    assert "associated/overview" in paths
    assert "associated/label" not in paths
    for path in paths:
        for version, document in (("0.5", "zarr.json"), ("0.4", ".zattrs")):
            url = f"{running.url}{shown['zarr'][version]}/{path}/{document}".replace("//" + document, "/" + document)
            assert ask(url).status == 200


@pytest.mark.parametrize("chosen", [False, True])
def test_a_label_image_is_there_only_where_that_was_chosen(*, chosen: bool) -> None:
    options = {"associated_label": True} if chosen else {}
    with DICOMwebServer(Archive(SLIDE.datasets)) as server, gateway(server_upstream(server, **options)) as each:
        shown = ask(f"{each.url}/api/{series_of(SLIDE)}").json
        assert shown["images"][0]["path"] == ""
        assert ("associated/label" in [image["path"] for image in shown["images"]]) is chosen
        for route, document in (("0.5", "zarr.json"), ("0.4", ".zattrs")):
            reply = ask(f"{each.url}/{route}/{series_of(SLIDE)}.zarr/associated/label/{document}")
            assert reply.status == (200 if chosen else 404)


def test_words_that_name_nothing_are_404_in_json(running: Gateway) -> None:
    for path in ("x", "studies/1.2", "studies/1.2/series", f"{series_of(SLIDE)}/other", "studies/../x", "two/studies"):
        reply = ask(f"{running.url}/api/{path}")
        assert reply.status == 404
        assert reply.headers["Content-Type"] == "application/json" or "/../" in path


def test_errors_say_what_the_upstream_answered() -> None:
    with (
        DICOMwebServer(Archive(SLIDE.datasets), middlewares=[status(401, on="studies")]) as server,
        gateway(server_upstream(server)) as each,
    ):
        reply = ask(f"{each.url}/api/studies")
        assert reply.status == 502
        assert reply.json["kind"] == "AuthenticationError"
        assert reply.json["upstream_status"] == 401


# --- thumbnails ---


@pytest.mark.parametrize("series", [SLIDE, VOLUME], ids=["slide", "volume"])
def test_thumbnails_are_small_jpegs(running: Gateway, series: Any) -> None:
    url = f"{running.url}/api/{series_of(series)}/thumbnail"
    reply = ask(f"{url}?size=64")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "image/jpeg")
    assert max(Image.open(io.BytesIO(reply.body)).size) <= 64
    assert ask(f"{url}?size=64", If_None_Match=reply.headers["ETag"]).status == 304
    for size in ("0", "9999", "x"):
        assert ask(f"{url}?size={size}").status == 400


def test_a_thumbnail_is_made_once() -> None:
    with DICOMwebServer(Archive(SLIDE.datasets)) as server, gateway(server_upstream(server, cache_bytes=0)) as each:
        url = f"{each.url}/api/{series_of(SLIDE)}/thumbnail"
        first = ask(url)
        asked = len(server.requests)
        assert ask(url).body == first.body
        assert len(server.requests) == asked


def test_a_series_without_pixels_says_so_in_words(tmp_path: Path) -> None:
    volume = radiology.BUILDERS["volume"]()
    for dataset in volume.datasets:
        for keyword in ("PixelData", "Rows", "Columns"):
            delattr(dataset, keyword)
    write(tmp_path, volume.datasets)
    with gateway(folder_upstream(tmp_path)) as each:
        reply = ask(f"{each.url}/api/{series_of(volume)}/thumbnail")
        assert reply.status == 502
        assert reply.json["kind"] == "UnsupportedSeriesError"


def test_frames_of_a_thumbnail_cannot_be_had() -> None:
    middlewares = [status(403), status(403, on="instances")]
    with (
        DICOMwebServer(Archive(SLIDE.datasets), middlewares=middlewares) as server,
        gateway(server_upstream(server)) as each,
    ):
        reply = ask(f"{each.url}/api/{series_of(SLIDE)}/thumbnail")
        assert (reply.status, reply.json["kind"]) == (502, "PermissionDeniedError")


def test_names_of_files_that_were_left_out_are_not_told_over_http(tmp_path: Path) -> None:
    """People name files and folders by patients, and not only by the one whose series is shown."""
    volume = radiology.BUILDERS["volume"]()
    write(tmp_path, volume.datasets)
    other = tmp_path / "DOE^JANE" / "DOE"
    other.mkdir(parents=True)
    for number in range(7):
        (other / f"JANE ({number}): notes.txt").write_text("no image")
    (other / "cut.dcm").write_bytes((tmp_path / "0000.dcm").read_bytes()[:400])
    assert "JANE" in str(dicomzarr.open(tmp_path).notices)
    series = series_of(volume)
    documents = ("0.5/{}.zarr/zarr.json", "0.4/{}.zarr/.zattrs", "0.4/{}.zarr/.zmetadata", "api/{}", "api/studies")
    with gateway(folder_upstream(tmp_path)) as each:
        replies = [ask(f"{each.url}/{document.format(series)}") for document in documents]
        told = "".join(reply.text for reply in replies)
        assert {reply.status for reply in replies} == {200}
        assert not re.search("DOE|JANE|cut", told)
        assert "7 files were left out (no DICOM)." in told
        assert "1 file was left out (broken DICOM)." in told


# --- operating it ---


def test_health_and_metrics(running: Gateway) -> None:
    assert ask(f"{running.url}/healthz").text == "ok\n"
    before = _count(ask(f"{running.url}/metrics").text)
    for _ in range(3):
        assert ask(f"{running.url}/0.5/{series_of(SLIDE)}.zarr/0/c/0/0/0").status == 200
    reply = ask(f"{running.url}/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert _count(reply.text) == before + 3
    assert SLIDE.series_uid not in reply.text
    for line in reply.text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [0-9.e+-]+', line), line
    assert ask(f"{running.url}/metrics/x").status == 404
    assert ask(f"{running.url}/healthz/x").status == 404


def _count(text: str) -> int:
    found = re.search(r'requests_total\{kind="chunk",status="200"\} (\d+)', text)
    return int(found[1]) if found else 0


@pytest.mark.parametrize("log_uids", [False, True])
def test_the_access_log_has_uids_only_when_asked(caplog: pytest.LogCaptureFixture, log_uids: bool) -> None:  # noqa: FBT001
    slide = two_pyramids()
    with (
        caplog.at_level(logging.INFO, "dicomzarr.gateway.access"),
        DICOMwebServer(Archive(slide.datasets)) as server,
        gateway(server_upstream(server), log_uids=log_uids) as each,
    ):
        ask(f"{each.url}/0.5/{series_of(slide)}.zarr/zarr.json?token=hush")
    assert "GET" in caplog.text
    assert (slide.series_uid in caplog.text) is log_uids
    assert "document" in caplog.text or log_uids
    assert "hush" not in caplog.text
    assert "127.0.0.1" not in caplog.text


def test_all_modules_of_the_page_are_fetched_at_once(running: Gateway) -> None:
    page = ask(f"{running.url}/").text
    named = set(re.findall(r'(?:rel="modulepreload" href|type="module" src)="/page/([a-z]+\.js)"', page))
    assert named == {each.name for each in (files("dicomzarr.faces.gateway") / "page").iterdir() if ".js" in each.name}
    for name in named:
        assert ask(f"{running.url}/page/{name}").headers["Content-Type"].startswith("text/javascript")


def test_a_study_is_found_by_its_uid(running: Gateway) -> None:
    (row,) = ask(f"{running.url}/api/studies?study={SLIDE.study_uid}").json["rows"]
    assert row["study"] == SLIDE.study_uid
    assert ask(f"{running.url}/api/studies?study=1.2.3.4.5").json["rows"] == []
