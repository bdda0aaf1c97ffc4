"""A study of more series than come at once: none is left out in silence."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from page_looks import Look, slices

from dicomzarr.faces.gateway.server import Gateway, Settings
from dicomzarr.faces.gateway.upstreams import Upstream
from dicomzarr.sources.files.urls import FolderURL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

MANY = 203
STUDY = "2.25.2001"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway over one study, whose series are numbered from the last one down."""
    folder = tmp_path_factory.mktemp("many")
    first = slices()[0]
    for number in range(1, MANY + 1):
        made = copy.deepcopy(first)
        made.Rows = made.Columns = 8
        made.PixelData = np.zeros(64, np.uint16).tobytes()
        made.StudyInstanceUID, made.SeriesInstanceUID = STUDY, f"2.25.2002.{1000 - number}"
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"2.25.2003.{number}"
        made.SeriesNumber, made.SeriesDescription = number, f"Series {number}"
        pydicom.dcmwrite(folder / f"{number}.dcm", made, enforce_file_format=True)
    with Gateway([Upstream("many", FolderURL.of(folder), {})], Settings(port=0)) as running:
        yield running.url


def test_all_series_of_a_large_study_can_be_shown(browser: Browser, base: str) -> None:
    with Look(browser, base, expected=(500,)) as look:
        page = look.go(f"/study/{STUDY}")
        assert page.locator(".card").count() == 200
        assert "200 series; there are more." in page.locator("main").inner_text()
        page.route(re.compile("offset=200"), lambda route: route.fulfill(status=500, body="Not now."))
        page.get_by_role("button", name="Show more").click()
        page.get_by_text("Not now.").wait_for()
        assert page.locator(".card").count() == 200
        page.unroute_all()
        page.get_by_role("button", name="Try again").click()
        look.wait()
        assert page.locator(".card b").all_inner_texts() == [f"Series {number}" for number in range(1, MANY + 1)]
        assert "there are more" not in page.locator("main").inner_text()


def test_the_list_says_how_many_series_a_large_study_has(browser: Browser, base: str) -> None:
    with Look(browser, base) as look:
        page = look.go("/")
        page.get_by_text("+196 or more").wait_for()
        assert f"{MANY} series" in page.locator(".card").inner_text()


@pytest.mark.parametrize("number", [1, MANY])
def test_a_viewer_knows_what_any_series_is_called(browser: Browser, base: str, number: int) -> None:
    with Look(browser, base) as look:
        page = look.go(f"/view/{STUDY}/2.25.2002.{1000 - number}")
        page.get_by_role("heading", name=f"Series {number}", exact=True).wait_for()
