"""What is said when a server does not have what was asked for: it is asked what it has."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import faults
import fsspec
import pytest
import radiology
import slides
from aiohttp import web
from serving import forget_servers, serving
from waiting import SECONDS

import dicomzarr
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.errors import DicomZarrError, HTTPStatusError, InvalidURLError, SeriesNotFoundError, SeveralSeriesError
from dicomzarr.faces.cli import main
from dicomzarr.faces.doctor import doctor
from dicomzarr.faces.gateway.server import Gateway, Settings
from dicomzarr.faces.gateway.upstreams import Upstream
from dicomzarr.options import StorageOptions
from dicomzarr.session.absence import explain
from dicomzarr.session.opening import endpoint_for
from dicomzarr.sources.dicomweb.urls import DICOMwebURL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from serving import Served

UNKNOWN = "1.2.3.4.5"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(slides.brightfield_pyramid()) as found:
        yield found


def at(served: Served, **other: Any) -> str:
    return str(replace(DICOMwebURL.parse(served.url), **other))


def said(url: str) -> str:
    with pytest.raises(DicomZarrError) as caught:
        dicomzarr.open(url)
    return str(caught.value)


def test_a_series_that_the_study_lacks(served: Served) -> None:
    with pytest.raises(SeriesNotFoundError, match="the study has one series, but not this one: dicomzarr ls http"):
        dicomzarr.open(at(served, series=UNKNOWN))


def test_a_study_that_the_server_lacks(served: Served) -> None:
    assert "has no such study: dicomzarr ls http" in said(at(served, study=UNKNOWN))


def test_uids_that_are_swapped(served: Served) -> None:
    url = DICOMwebURL.parse(served.url)
    assert "may be swapped" in said(at(served, study=url.series, series=url.study))


def test_a_base_that_is_none(served: Served) -> None:
    url = DICOMwebURL.parse(served.url)
    wrong = at(served, base=url.base.rpartition("/")[0])
    assert f"the DICOMweb service is {url.base}" in said(wrong)


def test_a_study_lists_its_series(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    url = DICOMwebURL.parse(served.url)
    study = f"{url.base}/studies/{url.study}"
    with pytest.raises(SeveralSeriesError, match=r"names no series\. Name one of:") as caught:
        dicomzarr.open(study)
    assert caught.value.choices == (f"{url} (SM)",)
    assert isinstance(caught.value, InvalidURLError)
    assert main(["info", study]) == 2
    assert f"\n  {url} (SM)\n" in capsys.readouterr().err


def test_a_study_of_several_lists_its_series(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (radiology.BUILDERS[name]() for name in ("volume", "pet"))
    for each in second.datasets:
        each.StudyInstanceUID = first.study_uid
    with DICOMwebServer(Archive([*first.datasets, *second.datasets])) as server:
        urls = [server.series_url(first.study_uid, each.series_uid) for each in (first, second)]
        study = urls[0].partition("/series/")[0]
        with pytest.raises(SeveralSeriesError, match=r"names no series\. Name one of:") as caught:
            dicomzarr.open(study)
        assert set(caught.value.choices) == {f"{urls[0]} (CT)", f"{urls[1]} (PT)"}
        assert isinstance(caught.value, InvalidURLError)
        assert main(["info", study]) == 2
        assert f"\n  {urls[0]} (CT)\n" in capsys.readouterr().err
    forget_servers()


def test_the_root_of_a_server_that_calls_it_a_bad_request() -> None:
    """As Orthanc does, whose own interface has studies too."""

    @web.middleware
    async def bad(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
        return web.Response(status=400) if request.path == "/studies" else await handler(request)

    with serving(slides.brightfield_pyramid(), bad) as other:
        base = DICOMwebURL.parse(other.url).base
        root = base.rpartition("/")[0]
        for place in (root, root.replace("http", "dicomweb")):
            with pytest.raises(DicomZarrError, match=f"the DICOMweb service is {base}"):
                dicomzarr.search(place)
        with pytest.raises(HTTPStatusError, match=f"the DICOMweb service is {base}"):
            fsspec.filesystem("dicomweb").ls(root.replace("http", "dicomweb"))


def test_the_page_of_a_viewer_without_a_uid_says_where_the_service_is(served: Served) -> None:
    base = DICOMwebURL.parse(served.url).base
    told = said(f"{base.rpartition('/')[0]}/app/explorer.html#series?uuid=4711-of-a-viewer")
    assert "is a page of Orthanc Explorer" in told
    assert told.endswith(f"dicomzarr ls {base} lists those of its DICOMweb service.")
    assert "4711" not in told


def test_a_gateway_names_its_upstream(served: Served) -> None:
    upstream = DICOMwebURL.parse(served.url)
    with Gateway([Upstream("pacs", replace(upstream, study=None, series=None), {})], Settings(port=0)) as gateway:
        told = said(f"{gateway.url}/0.5/studies/{upstream.study}/series/{upstream.series}.zarr")
        assert "This is a gateway of dicomzarr: give this URL to zarr and OME-Zarr tools" in told
        assert told.endswith(f"dicomzarr takes that of its upstream: {upstream}.")
        assert said(gateway.url).endswith(
            f"dicomzarr takes that of its upstream: {replace(upstream, study=None, series=None)}."
        )
        report = doctor(gateway.url)
        assert f"{gateway.url} is a gateway of dicomzarr, and no DICOMweb service." in report.findings[-1].found
        assert report.findings[-1].consequence.endswith(f"{replace(upstream, study=None, series=None)}.")


def test_a_gateway_that_keeps_to_itself_where_a_folder_lies_is_known_too() -> None:
    upstreams = [{"name": "scans", "kind": "folder"}, {"name": "pacs", "kind": "server", "url": "dicomweb://pacs/rs"}]

    @web.middleware
    async def pages(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:  # noqa: ARG001
        return web.json_response({"upstreams": upstreams}) if request.path == "/api/" else web.Response(status=404)

    with serving(slides.brightfield_pyramid(), pages) as other:
        root = DICOMwebURL.parse(other.url).base.rpartition("/")[0].replace("dicomweb", "http")
        for name in ("scans/", ""):
            told = said(f"{root}/0.5/{name}studies/1.2/series/3.4.zarr")
            assert "give this URL to zarr and OME-Zarr tools" in told
            assert told.endswith("its upstreams: a folder that it calls 'scans', dicomweb://pacs/rs.")
        assert "a folder that it calls 'scans'" in doctor(root).findings[-1].consequence


@pytest.mark.parametrize("failing", [True, False])
def test_a_study_of_which_the_server_tells_nothing(served: Served, failing: bool) -> None:  # noqa: FBT001
    url = DICOMwebURL.parse(served.url)
    with serving(slides.brightfield_pyramid(), *([faults.status(501, on="any")] if failing else [])) as other:
        above = str(replace(DICOMwebURL.parse(other.url), study=url.study if failing else UNKNOWN, series=None))
        assert f"names no series. dicomzarr ls {above} lists what is there." in said(above)


def test_a_base_without_studies_says_where_the_service_is(served: Served) -> None:
    base = DICOMwebURL.parse(served.url).base
    told = said(base.rpartition("/")[0])
    assert "is no DICOMweb server" in told
    assert told.endswith(f"the DICOMweb service is {base}.")


def test_the_url_of_a_viewer_opens_what_it_shows(served: Served) -> None:
    url = DICOMwebURL.parse(served.url)
    page = f"{url.base.rpartition('/')[0]}/viewer?StudyInstanceUIDs={url.study}"
    assert dicomzarr.open(f"{page}&SeriesInstanceUIDs={url.series}&token=of-the-viewer").url == str(url)
    assert str(url) in said(page)
    with pytest.raises(InvalidURLError, match="a query or a fragment, which would be lost"):
        dicomzarr.open(f"{url.base}/studies/{url.study}/series/{url.series}?token=of-the-server")


def test_a_viewer_whose_host_has_no_service_says_what_it_reads() -> None:
    config = "window.config = { dataSources: [{ qidoRoot: 'https://pacs.example/dicom-web' }] };"

    @web.middleware
    async def pages(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:  # noqa: ARG001
        text = config if request.path == "/app-config.js" else "<!doctype html><title>OHIF Viewer</title>"
        return web.Response(text=text, content_type="text/html")

    with serving(slides.brightfield_pyramid(), pages) as other:
        root = DICOMwebURL.parse(other.url).base.rpartition("/")[0]
        told = said(f"{root}/viewer?StudyInstanceUIDs=1.2.3&token=hunter2")
    assert "Write https://pacs.example/dicom-web/studies/1.2.3;" in told
    assert "hunter2" not in told


def test_a_server_that_is_none() -> None:
    with serving(slides.brightfield_pyramid(), faults.status(404, on="any")) as served:
        assert "Nothing at http" in said(served.url)
        assert "dicomzarr doctor http" in said(served.url)


def test_a_login_page() -> None:
    with serving(slides.brightfield_pyramid(), faults.html_login()) as served:
        assert "if that is a login form, give credentials" in said(served.url)


def test_the_command_that_lists_says_so_too(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    url = DICOMwebURL.parse(served.url)
    assert main(["ls", f"{url.base.rpartition('/')[0]}/studies/{url.study}"]) == 1
    assert f"the DICOMweb service is {url.base}" in capsys.readouterr().err


def test_what_is_there_costs_no_request_more() -> None:
    asked: list[str] = []

    @web.middleware
    async def count(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
        asked.append(request.path)
        reply: web.StreamResponse = await handler(request)
        return reply

    with serving(slides.brightfield_pyramid(), count) as served:
        dicomzarr.open(served.url)
    assert len(asked) == 1


def test_an_error_does_not_wait_long_to_say_more() -> None:
    """A server that dawdles over what it has: what it said is told as it is."""

    @web.middleware
    async def dawdle(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
        if request.path.endswith("/studies"):
            await asyncio.sleep(SECONDS)
        reply: web.StreamResponse = await handler(request)
        return reply

    with serving(slides.brightfield_pyramid(), dawdle) as served:
        url = DICOMwebURL.parse(served.url)
        error = SeriesNotFoundError("HTTP status 404.", remedy="Check the UIDs.")
        began = time.monotonic()
        explain(error, endpoint_for(url.base, StorageOptions.parse()).source, url, most_seconds=0.1)
        assert time.monotonic() - began < SECONDS / 2
    assert error.remedy == "Check the UIDs."
