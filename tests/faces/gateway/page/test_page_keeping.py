"""Keeping series on disk, as a person does it in the page."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from page_looks import Look
from serving import forget_servers

from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.faces.demo.phantoms import phantoms, uid
from dicomzarr.faces.gateway.server import Gateway, Settings
from dicomzarr.faces.gateway.upstreams import Upstream
from dicomzarr.session.kinds import parse_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

STUDY = f"/study/{uid('ct')}"


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with DICOMwebServer(Archive(phantoms())) as server:
        url = parse_url(f"dicomweb://{server.url.partition('://')[2]}")
        options = {"cache_dir": tmp_path_factory.mktemp("cache"), "labels": True}
        with Gateway([Upstream("pacs", url, options)], Settings(port=0)) as running:
            yield running.url
        forget_servers()


def test_a_study_is_kept_listed_and_removed_again(browser: Browser, keeping: str) -> None:
    with Look(browser, keeping) as look:
        page = look.go(STUDY)
        page.get_by_role("button", name="Keep the study on disk").click()
        page.get_by_text(re.compile(r"On disk: \d+ frames")).first.wait_for()
        page.get_by_role("button", name="On disk", exact=True).click()
        row = page.locator("[data-job=kept]")
        assert re.search(r"On disk: \d+ frames", row.inner_text())
        row.get_by_role("button", name="Remove from disk").click()
        page.get_by_text("Nothing was kept since").wait_for()
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="hidden")


def test_a_viewer_says_how_much_is_on_disk(browser: Browser, keeping: str) -> None:
    with Look(browser, keeping) as look:
        page = look.go(f"/view/{uid('ct')}/{uid('ct CT')}#z=20")
        part = page.locator(".kept")
        part.get_by_text(re.compile(r"Nothing of it|of \d+ frames")).wait_for()
        part.get_by_role("button", name="Keep on disk").click()
        whole = part.get_by_text(re.compile(r"^(\d+) of \1 frames$"))
        whole.wait_for()
        part.get_by_role("button", name="Remove from disk").click()
        part.get_by_text("Nothing of it is on disk.").wait_for()


def test_axe_finds_nothing_in_the_list_of_jobs(browser: Browser, keeping: str) -> None:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415  # only where these tests run

    with Look(browser, keeping) as look:
        page = look.go(STUDY)
        page.get_by_role("button", name="Keep on disk").first.click()
        page.get_by_text(re.compile(r"On disk: \d+ frames")).first.wait_for()
        page.get_by_role("button", name="On disk", exact=True).click()
        page.get_by_role("dialog").wait_for()
        if "DICOMZARR_PICTURES" in os.environ:
            page.screenshot(path=Path(os.environ["DICOMZARR_PICTURES"]) / "kept.jpg", type="jpeg", quality=88)
        assert [each["id"] for each in Axe().run(page).response["violations"]] == []


def test_where_nothing_can_be_kept_nothing_is_offered(look: Look) -> None:
    page = look.go(STUDY)
    assert page.get_by_role("button", name=re.compile("disk")).count() == 0
