"""A link keeps what is seen: all that was chosen, of the image that is shown."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from page_looks import Look, instances, oblique_volume

from dicomzarr.faces.demo.phantoms import uid
from dicomzarr.faces.gateway.server import Gateway, Settings
from dicomzarr.faces.gateway.upstreams import Upstream
from dicomzarr.sources.files.urls import FolderURL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page
    from pydicom.dataset import Dataset

pytestmark = pytest.mark.browser

CELLS = f"/view/{uid('cells')}/{uid('cells SM')}"
PET = "/view/2.25.1001/2.25.1002"
TWO = "/view/2.25.1001/2.25.1003"


def _made(dataset: Dataset, series: str, modality: str, number: int) -> Dataset:
    """The same pixels, in a series of ours."""
    made = copy.deepcopy(dataset)
    made.StudyInstanceUID, made.SeriesInstanceUID, made.Modality = "2.25.1001", series, modality
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{series}.{number}"
    made.FrameOfReferenceUID = "2.25.1004"
    return made


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A series that is called a PET, and one with stacks of two orientations."""
    folder: Path = tmp_path_factory.mktemp("others")
    slices = sorted(instances("CT"), key=lambda each: float(each.ImagePositionPatient[2]))[:12]
    made = [_made(each, "2.25.1002", "PT", number) for number, each in enumerate(slices)]
    made += [_made(each, "2.25.1003", "CT", number) for number, each in enumerate([*slices, *oblique_volume()[:9]])]
    for dataset in made:
        pydicom.dcmwrite(folder / f"{dataset.SOPInstanceUID}.dcm", dataset, enforce_file_format=True)
    url = FolderURL.parse(f"dicomfile://{folder}")
    with Gateway([Upstream("others", url, {})], Settings(port=0)) as running:
        yield running.url


def _link(page: Page) -> str:
    """What "Copy link" gives at once, where the clipboard may not be written."""
    page.evaluate("() => (navigator.clipboard.writeText = () => Promise.reject(new Error('no')))")
    page.get_by_role("button", name="Copy link").click()
    said = page.locator("section output.quiet", has_text="http").first
    said.wait_for()
    return said.inner_text()


def _keeps(browser: Browser, look: Look) -> str:
    """Compare what a copied link shows with what is seen; gives what it says."""
    link = _link(look.page)
    drawn = look.canvas()
    with Look(browser, look.base) as other:
        other.go(link.removeprefix(look.base))
        assert np.array_equal(drawn, other.canvas())
        assert _link(other.page) == link
    return link.partition("#")[2]


def test_a_pet_that_was_inverted_back_stays_so(browser: Browser, others: str) -> None:
    with Look(browser, others) as look:
        page = look.go(PET)
        inverted = page.get_by_role("button", name="Invert")
        assert inverted.get_attribute("aria-pressed") == "true"
        assert "invert" not in _keeps(browser, look)
        look.press("i")
        assert inverted.get_attribute("aria-pressed") == "false"
        assert "invert=0" in _keeps(browser, look)


def test_outline_and_opacity_of_segments_stay(browser: Browser, look: Look, ct: str) -> None:
    page = look.go(f"{ct}#z=20&zoom=2&x=128&y=128")
    page.get_by_label("Outline").uncheck()
    page.get_by_label("Opacity of segments").fill("0.9")
    assert {"outline=0", "opacity=0.9"} <= set(_keeps(browser, look).split("&"))
    look.press("m")
    _keeps(browser, look)


def test_colours_of_channels_stay(browser: Browser, look: Look) -> None:
    page = look.go(CELLS)
    page.locator("input[type=color]").first.fill("#12ab34")
    assert "colors=12ab34%2C" in _keeps(browser, look)


def test_what_is_seen_in_planes_stays(browser: Browser, look: Look, ct: str) -> None:
    page = look.go(f"{ct}#mode=planes&z=28")
    box = page.locator(".stage canvas").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.2)
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.7)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.75)
    page.mouse.up()
    page.get_by_role("button", name="Brightest").click()
    look.press("+", "+")
    look.wait()
    said = _keeps(browser, look)
    assert {"at", "closer", "angles", "surface"} <= {part.partition("=")[0] for part in said.split("&")}


def test_another_image_of_the_series_has_its_own_link(browser: Browser, others: str) -> None:
    with Look(browser, others) as look:
        page = look.go(f"{TWO}#z=3&zoom=4&x=10&y=10")
        page.get_by_label("Image", exact=True).select_option(index=1)
        look.wait()
        assert re.search(r"\bimage=1\b", _keeps(browser, look))
        assert look.state()["image"] == "1"
        page.get_by_label("Image", exact=True).select_option(index=0)
        look.wait()
        assert "image" not in _keeps(browser, look)
