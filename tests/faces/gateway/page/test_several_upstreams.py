"""A server and a folder in one page: a real Orthanc beside files, each by its name."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pydicom
import pytest
from orthanc import OrthancMissingError, running_orthanc
from page_looks import Look, slices, windowed
from serving import forget_servers

from dicomzarr.demo.slide import SERIES, STUDY
from dicomzarr.faces.demo.phantoms import phantoms, uid
from dicomzarr.faces.gateway.server import Gateway, Settings
from dicomzarr.faces.gateway.upstreams import Upstream
from dicomzarr.session.kinds import parse_url
from dicomzarr.sources.files.urls import FolderURL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.orthanc]


@pytest.fixture(scope="module")
def both(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Orthanc has the CT and the time series, the folder all there is."""
    place = tmp_path_factory.mktemp("orthanc")
    try:
        with running_orthanc(place) as orthanc:
            for dataset in phantoms():
                if dataset.StudyInstanceUID in (uid("ct"), uid("mr")):
                    file = place / "one.dcm"
                    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
                    assert orthanc.request("POST", "/instances", file.read_bytes())[0] == 200
            server = parse_url(f"dicomweb://127.0.0.1:{orthanc.port}/dicom-web")
            folder = FolderURL.parse(f"dicomfile://{archive}")
            upstreams = [Upstream("pacs", server, {"labels": True}), Upstream("folder", folder, {"labels": True})]
            with Gateway(upstreams, Settings(port=0)) as running:
                yield running.url
            forget_servers()
    except OrthancMissingError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


def test_each_upstream_has_a_list_of_its_own(browser: Browser, both: str) -> None:
    with Look(browser, both) as look:
        page = look.go("/")
        assert page.locator("section.upstream h2").all_inner_texts() == ["pacs", "folder"]
        sections = page.locator("section.upstream")
        assert sorted(sections.nth(0).locator(".card b").all_inner_texts()) == ["Chest, made", "Perfusion, made"]
        assert len(sections.nth(1).locator(".card b").all_inner_texts()) > 3
        page.get_by_label("Where", exact=True).select_option("pacs")
        page.wait_for_function("() => document.querySelectorAll('section.upstream').length === 1")
        assert "upstream=pacs" in page.url
        page.get_by_role("searchbox").fill("chest")  # as people write it
        page.wait_for_function("() => document.querySelectorAll('.card').length === 1")


@pytest.mark.parametrize("name", ["pacs", "folder"])
def test_a_series_is_opened_where_its_path_says(browser: Browser, both: str, name: str) -> None:
    with Look(browser, both) as look:
        page = look.go(f"/view/{name}/{uid('ct')}/{uid('ct CT')}#z=20&zoom=1&x=128&y=128")
        for box in page.locator(".segment input").all()[:3]:
            box.uncheck()
        drawn = look.canvas().astype(float)
        top, left = drawn.shape[0] // 2 - 128, drawn.shape[1] // 2 - 128
        seen = drawn[top : top + 256, left : left + 256, 0]
        assert abs(seen - windowed(slices()[20].pixel_array, 40, 400)).max() <= 1
        page.get_by_role("button", name="zarr", exact=True).click()
        assert f"{both}/0.5/{name}/studies/" in page.locator(".panel pre").inner_text()
        asked = [path for path in look.asked if re.match(r"/(api|0\.5|frames)/", path)]
        assert all(path.split("/")[2] in (name, "") for path in asked)
        page.get_by_role("link", name="Series").click()
        page.wait_for_url(re.compile(f"/study/{name}/"))


def test_what_one_upstream_lacks_is_not_looked_for_in_another(browser: Browser, both: str) -> None:
    with Look(browser, both, expected=(404,)) as look:
        page = look.go(f"/view/pacs/{STUDY}/{SERIES}")
        page.get_by_role("button", name="Try again").wait_for()
        assert not [path for path in look.asked if "/folder/" in path]


def test_an_upstream_that_is_gone_is_said_where_it_would_be_listed(browser: Browser, archive: Path) -> None:
    gone = Upstream("gone", parse_url("dicomweb://127.0.0.1:9/dicom-web"), {"timeout": 2})
    there = Upstream("folder", FolderURL.parse(f"dicomfile://{archive}"), {})
    with Gateway([gone, there], Settings(port=0)) as running, Look(browser, running.url, expected=(502, 504)) as look:
        page = look.go("/")
        sections = page.locator("section.upstream")
        assert sections.nth(0).get_attribute("data-state") == "failed"
        assert sections.nth(0).get_by_role("button", name="Try again").is_visible()
        assert len(sections.nth(1).locator(".card").all()) > 3
