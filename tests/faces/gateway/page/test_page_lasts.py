"""A viewer that stays open: the graphics card goes, the series changes, or somebody leaves before it is there."""

from __future__ import annotations

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
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.browser

LOST = "() => document.querySelector('.stage').dataset.state === 'lost'"
LOSE = """() => {
  const context = document.querySelector(".stage canvas").getContext("webgl2");
  window.card = context.getExtension("WEBGL_lose_context");
  window.card.loseContext();
}"""
CONTEXTS = """
const make = HTMLCanvasElement.prototype.getContext;
window.contexts = 0;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  window.contexts += kind === "webgl2";
  return make.call(this, kind, ...rest);
};
"""


def _lose(look: Look) -> None:
    """Take the graphics card away."""
    look.page.evaluate(LOSE)
    look.page.wait_for_function(LOST)


def _message(page: Page) -> str:
    return page.locator(".stage .message").inner_text()


@pytest.mark.parametrize("mode", ["slice", "planes"])
def test_a_picture_comes_back_with_the_graphics_card(look: Look, ct: str, mode: str) -> None:
    page = look.go(f"{ct}#z=20&zoom=2&x=128&y=128&mode={mode}")
    before = look.canvas()
    _lose(look)
    assert "graphics card" in _message(page)
    page.mouse.move(300, 300)
    assert not page.locator(".probe").is_visible()
    assert not page.locator(".bar").is_visible()
    page.evaluate("() => window.card.restoreContext()")
    page.wait_for_function("() => document.querySelector('.stage').dataset.state === 'ready'")
    assert np.array_equal(before, look.canvas())
    assert _message(page) == ""
    look.press("Home")
    assert look.state()["z"] == "0"


def test_a_picture_is_drawn_again_by_hand(look: Look, ct: str) -> None:
    page = look.go(f"{ct}#z=20&zoom=2&x=128&y=128")
    before = look.canvas()
    for _ in range(2):
        _lose(look)
        page.get_by_role("button", name="Draw again").click()
        assert np.array_equal(before, look.canvas())
    page.get_by_role("button", name="Planes + 3D").click()
    look.wait()
    page.get_by_role("button", name="Slice", exact=True).click()
    look.wait()  # contexts that the page itself lets go are no loss
    assert _message(page) == ""


def test_what_is_changed_while_there_is_no_picture_is_seen_after(look: Look, ct: str) -> None:
    page = look.go(f"{ct}#z=20&zoom=2&x=128&y=128")
    _lose(look)
    page.get_by_label("Slice", exact=True).fill("21")
    page.get_by_role("button", name="Play").click()  # there is nothing to play
    page.get_by_role("button", name="Draw again").click()
    drawn = look.canvas()
    assert look.state()["z"] == "21"
    look.go("/")
    look.go(f"{ct}#z=21&zoom=2&x=128&y=128")
    assert np.array_equal(drawn, look.canvas())


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A gateway over a CT that lacks its last slices, and its folder."""
    for dataset in slices()[:30]:
        _put(tmp_path, dataset)
    with Gateway([Upstream("growing", FolderURL.of(tmp_path), {})], Settings(port=0)) as running:
        yield running.url, tmp_path


def _put(folder: Path, dataset: pydicom.Dataset) -> None:
    pydicom.dcmwrite(folder / f"{dataset.SOPInstanceUID[-30:]}.dcm", dataset, enforce_file_format=True)


@pytest.mark.parametrize("mode", ["slice", "planes"])
def test_a_series_that_has_grown_is_opened_again_where_one_was(
    browser: Browser, growing: tuple[str, Path], ct: str, mode: str
) -> None:
    base, folder = growing
    with Look(browser, base, expected=(409,)) as look:
        page = look.go(f"{ct}#z=2&zoom=2&x=128&y=128&mode={mode}")
        look.wait()
        _put(folder, slices()[30])
        with Look(browser, base) as other:
            other.go(ct)
        if mode == "slice":
            page.keyboard.press("End")
        else:
            page.evaluate(LOSE)
            page.wait_for_function(LOST)
            page.route(re.compile("/frames/"), _not_kept)
            page.get_by_role("button", name="Draw again").click()
        page.get_by_role("button", name="Open again").wait_for()
        assert "has changed" in _message(page)
        assert page.locator(".stage").get_attribute("data-state") == "failed"
        page.unroute_all()
        page.get_by_role("button", name="Open again").click()
        look.wait()
        assert _message(page) == ""
        assert page.locator("output", has_text=re.compile(r"/ 31")).first.is_visible()
        assert look.state()["zoom"] == "2"
        look.press("End", "ArrowUp")
        assert look.state()["z"] == "29"  # a key acts once, however often the series was opened


def _not_kept(route: Route) -> None:
    route.continue_(headers={**route.request.headers, "cache-control": "no-cache"})


def test_who_leaves_while_a_series_opens_is_followed_by_nothing(look: Look, ct: str) -> None:
    page = look.page
    page.add_init_script(CONTEXTS)
    look.go("/")
    waiting: list[Route] = []
    page.route(re.compile(r"/api/(folder/)?studies/[^/]+/series/[^/?]+$"), lambda route: waiting.append(route))  # noqa: PLW0108  # playwright marks what it calls
    page.evaluate(f"() => {{ history.pushState(null, '', '{ct}'); dispatchEvent(new PopStateEvent('popstate')); }}")
    while not waiting:
        page.wait_for_timeout(20)
    page.evaluate("() => { history.pushState(null, '', '/'); dispatchEvent(new PopStateEvent('popstate')); }")
    for route in waiting:
        route.continue_()
    look.wait()
    page.wait_for_timeout(500)
    assert page.evaluate("() => window.contexts") == 0
    assert not [path for path in look.asked if path.startswith("/frames/")]


def test_a_viewer_that_was_closed_asks_for_nothing(look: Look, ct: str) -> None:
    page = look.page
    page.add_init_script(CONTEXTS)
    look.go(f"{ct}#mode=planes")
    page.evaluate("() => { history.pushState(null, '', '/'); dispatchEvent(new PopStateEvent('popstate')); }")
    look.wait()
    before = len([path for path in look.asked if path.startswith("/frames/")])
    page.set_viewport_size({"width": 900, "height": 700})
    page.wait_for_timeout(1000)
    assert page.evaluate("() => window.contexts") == 1
    assert len([path for path in look.asked if path.startswith("/frames/")]) == before
