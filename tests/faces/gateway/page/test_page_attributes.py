"""The table of attributes, as a person searches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from page_looks import Look

from dicomzarr.faces.demo.phantoms import uid
from dicomzarr.faces.gateway.server import Gateway, Settings
from dicomzarr.faces.gateway.upstreams import Upstream
from dicomzarr.sources.files.urls import FolderURL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

SEG = f"/study/{uid('ct')}"


@pytest.fixture(scope="module")
def telling(archive: Path) -> Iterator[str]:
    """A gateway that may tell who patients are."""
    url = FolderURL.parse(f"dicomfile://{archive}")
    with Gateway([Upstream("folder", url, {})], Settings(port=0, phi=True)) as running:
        yield running.url


def test_attributes_are_found_by_any_word_of_them(look: Look, ct: str) -> None:
    page = look.go(ct)
    look.press("a")
    table = page.get_by_role("treegrid")
    table.get_by_text("Rescale Slope").wait_for()
    for words in ("rescaleslope", "rescale slope", "0028,1053", "00281053"):
        page.get_by_role("searchbox", name="Search attributes").fill(words)
        page.wait_for_function("() => document.querySelectorAll('table.attributes tbody tr').length === 1")
        assert "Rescale Slope" in table.inner_text()
    page.get_by_label("Instance").select_option(index=3)
    look.wait()
    page.get_by_role("searchbox", name="Search attributes").fill("InstanceNumber")
    page.wait_for_function("() => document.querySelectorAll('table.attributes tbody tr').length === 1")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog").is_visible()
    assert "/view/" in page.url


def test_sequences_unfold_by_keyboard_alone(look: Look) -> None:
    page = look.go(f"/view/{uid('cells')}/{uid('cells SM')}")
    look.press("a")
    page.get_by_role("searchbox", name="Search attributes").fill("OpticalPathSequence")
    page.wait_for_function("() => document.querySelectorAll('table.attributes tbody tr').length === 1")
    row = page.locator("table.attributes tbody tr").first
    assert row.get_attribute("aria-expanded") == "false"
    row.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("() => document.activeElement.getAttribute('aria-level')") == "2"
    assert row.get_attribute("aria-expanded") == "true"
    page.get_by_text("Optical Path Identifier").first.wait_for()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.locator("table.attributes tbody tr").count() == 1


def test_patients_are_in_it_only_where_both_switches_are_on(
    browser: Browser, look: Look, telling: str, ct: str
) -> None:
    page = look.go("/")
    page.get_by_label("Patient names").check()
    look.go(ct)
    look.press("a")
    page.get_by_text("dicomzarr serve --phi lets it").wait_for()
    assert "Phantom" not in page.get_by_role("treegrid").inner_text()
    with Look(browser, telling) as other:
        page = other.go(ct)
        other.press("a")
        page.get_by_text("Switch patient names on").wait_for()
        assert "Phantom" not in page.get_by_role("treegrid").inner_text()
        page.keyboard.press("Escape")
        other.go("/")
        page.get_by_label("Patient names").check()
        other.go(ct)
        other.press("a")
        page.get_by_text("Phantom").first.wait_for()


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_in_the_table(browser: Browser, gateway: str, ct: str, *, dark: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415  # only where these tests run

    with Look(browser, gateway, dark=dark) as window:
        page = window.go(ct)
        window.press("a")
        page.get_by_text("Rescale Slope").wait_for()
        results = Axe().run(page)
        assert [(each["id"], each["nodes"][0]["html"]) for each in results.response["violations"]] == []
