"""The page in a real browser: what is listed, what is drawn, what hands and keys do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from page_looks import Look, instances, slide_pixels, windowed

from dicomzarr.demo.slide import SERIES, STUDY
from dicomzarr.faces.demo.phantoms import uid

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

_BACKGROUND = "(each) => getComputedStyle(each).backgroundColor"

SLIDE = f"/view/{STUDY}/{SERIES}"


def test_all_studies_are_listed_with_pictures_of_their_series(look: Look) -> None:
    page = look.go("/")
    assert set(page.locator(".card b").all_inner_texts()) >= {"Chest, made", "Perfusion, made", "Cells, made"}
    page.wait_for_function("() => document.querySelectorAll('.thumb img').length >= 6")
    page.wait_for_function("() => [...document.querySelectorAll('.thumb img')].every((each) => each.naturalWidth > 0)")


def test_the_line_for_napari_names_the_plug_in_that_comes_along(look: Look) -> None:
    page = look.go(SLIDE)
    page.get_by_text("Use it elsewhere").click()
    page.get_by_role("button", name="napari").click()
    line = page.locator("pre").inner_text().splitlines()[0]
    assert re.fullmatch(rf'napari --plugin dicomzarr "dicomfile://localhost/.+/studies/{STUDY}/series/{SERIES}"', line)


def test_filters_combine(look: Look) -> None:
    page = look.go("/")
    page.get_by_role("searchbox").fill("made")
    page.locator("summary").click()
    page.get_by_label("MR", exact=True).check()
    page.wait_for_function("() => document.querySelectorAll('.card').length === 1")
    assert page.locator(".card b").inner_text() == "Perfusion, made"
    assert "text=made" in page.url
    assert "modality=MR" in page.url
    page.get_by_label("CT", exact=True).check()
    page.wait_for_function("() => document.querySelectorAll('.card').length === 3")
    page.get_by_label("From").fill("2030-01-01")
    page.get_by_text("No study matches").wait_for()


def test_patients_are_shown_only_once_that_is_switched_on(look: Look) -> None:
    page = look.go("/")
    assert "Demo" not in page.locator("main").inner_text()
    page.get_by_label("Patient names").check()
    page.get_by_text(re.compile("Demo, Phantom")).first.wait_for()
    page.get_by_label("Patient names").uncheck()
    page.wait_for_function("() => !document.querySelector('main').innerText.includes('Phantom')")


def test_studies_are_grouped_by_patient(look: Look) -> None:
    page = look.go("/")
    assert not page.get_by_label("By patient").is_visible()
    page.get_by_label("Patient names").check()
    page.get_by_label("By patient").check()
    page.locator("section.patient h3").first.wait_for()
    look.wait()
    groups = page.locator("section.patient").all()
    assert len({each.locator("h3").inner_text() for each in groups}) == len(groups) < page.locator(".card").count()
    for each in groups:
        patient = each.locator("h3").inner_text()
        assert all(patient in card for card in each.locator(".card").all_inner_texts())
    page.get_by_label("Patient names").uncheck()
    page.wait_for_function("() => !document.querySelector('section.patient')")


def test_a_ct_slice_has_the_window_of_its_header(look: Look, ct: str) -> None:
    look.go(f"{ct}#z=20&zoom=1&x=128&y=128&hidden=all")
    page = look.page
    for box in page.get_by_role("checkbox").all()[:3]:
        box.uncheck()
    drawn = look.canvas().astype(float)
    stored = sorted(instances("CT"), key=lambda each: float(each.ImagePositionPatient[2]))[20].pixel_array
    top, left = drawn.shape[0] // 2 - 128, drawn.shape[1] // 2 - 128
    seen = drawn[top : top + 256, left : left + 256]
    assert np.ptp(seen, axis=-1).max() == 0
    assert np.abs(seen[..., 0] - windowed(stored, 40, 400)).max() <= 1


def test_segments_have_their_colours_over_the_slice(look: Look, ct: str) -> None:
    look.go(f"{ct}#z=20&zoom=1&x=128&y=128&outline=0&opacity=0.5")
    drawn = look.canvas().astype(float)
    top, left = drawn.shape[0] // 2 - 128, drawn.shape[1] // 2 - 128
    seen = drawn[top : top + 256, left : left + 256]
    (dataset,) = instances("SEG")
    stored = sorted(instances("CT"), key=lambda each: float(each.ImagePositionPatient[2]))[20].pixel_array
    grey = windowed(stored, 40, 400)
    covered = np.zeros((256, 256), bool)
    frames = dataset.pixel_array
    for frame, groups in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        if float(groups.PlanePositionSequence[0].ImagePositionPatient[2]) != 100.0:
            continue
        number = int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        swatch = (
            look.page.locator(".swatch").nth(number - 1).evaluate("(each) => getComputedStyle(each).backgroundColor")
        )
        color = np.array([int(part) for part in re.findall(r"\d+", swatch)])
        inside = frame.astype(bool) & ~covered
        covered |= inside
        wanted = (grey[..., None] + color) / 2
        assert inside.any()
        assert np.abs(seen[inside] - wanted[inside]).max() <= 1.5
    assert np.abs(seen[~covered] - grey[~covered][:, None]).max() <= 1


def test_a_slide_at_its_own_size_has_the_very_pixels_of_its_tiles(look: Look) -> None:
    page = look.go(SLIDE)
    width, height = page.evaluate(
        "() => { const c = document.querySelector('.stage canvas'); return [c.width, c.height]; }"
    )
    look.go("/")
    look.go(f"{SLIDE}#zoom=1&x={width / 2 + 100}&y={height / 2 + 150}")
    drawn = look.canvas()
    assert np.array_equal(drawn, slide_pixels()[150 : 150 + height, 100 : 100 + width])


def test_zooming_fetches_finer_levels(look: Look) -> None:
    look.go(SLIDE)
    levels = {re.search(r"\.zarr/(\d+)/c/", path).group(1) for path in look.asked if "/frames/" in path}  # type: ignore[union-attr]
    assert "0" not in levels
    look.press("+", "+", "+", "+")
    assert any(re.search(r"\.zarr/0/c/", path) for path in look.asked)


def test_scrolling_changes_the_slice_and_what_comes_next_is_there_already(look: Look, ct: str) -> None:
    page = look.go(f"{ct}#z=20")
    while not set(range(20, 30)) <= {
        int(match.group(1)) for path in look.asked if (match := re.search(r"\.zarr/0/c/(\d+)/0/0", path))
    }:
        page.wait_for_timeout(20)  # what comes next is fetched once what is seen has come
    before = len([path for path in look.asked if ".zarr/0/c/21/" in path])
    page.mouse.move(400, 400)
    page.mouse.wheel(0, 100)
    page.wait_for_function("() => location.hash.includes('z=21')")
    look.wait()
    assert look.state()["z"] == "21"
    assert len([path for path in look.asked if ".zarr/0/c/21/" in path]) == before


def test_a_time_series_plays_and_stops(look: Look) -> None:
    page = look.go(f"/view/{uid('mr')}/{uid('mr MR')}")
    page.get_by_role("button", name="Play").click()
    page.locator("output", has_text=re.compile(r"^([4-9]|1\d) / 20")).wait_for()
    page.get_by_role("button", name="Stop").click()
    assert int(look.state()["t"]) >= 3


def test_planes_of_an_axial_volume_say_where_right_and_head_are(look: Look, ct: str) -> None:
    look.go(ct)
    assert look.letters() == ["R", "L", "A", "P"]
    look.press("m")
    assert look.letters() == ["R", "L", "A", "P", "R", "L", "H", "F", "A", "P", "H", "F"]


def test_planes_of_an_oblique_volume_say_where_they_truly_point(look: Look) -> None:
    page = look.go(f"/view/{uid('oblique')}/{uid('oblique CT')}")
    assert look.letters() == ["AH", "PF", "HP", "FA"]
    look.press("m")
    assert look.letters() == ["R", "L", "AH", "PF", "R", "L", "HP", "FA", "AH", "PF", "HP", "FA"]
    assert page.get_by_text("The slices are oblique").is_visible()


def test_planes_show_the_values_of_the_volume(look: Look, ct: str) -> None:
    page = look.go(f"{ct}#mode=planes&z=28")
    box = page.locator(".stage canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    said = page.locator(".probe", has_text="HU").inner_text()
    column, row, slice_ = (int(re.search(rf"{axis} (\d+)", said).group(1)) for axis in "xyz")  # type: ignore[union-attr]
    stored = sorted(instances("CT"), key=lambda each: float(each.ImagePositionPatient[2]))[slice_].pixel_array
    assert f" {int(stored[row, column]) - 1024} HU" in said


def test_the_keyboard_alone_leads_from_the_list_to_a_picture_and_back(look: Look) -> None:
    page = look.go("/")
    page.locator(".thumb").first.wait_for()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.className") == "thumb":
            break
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/view/"))
    look.wait()
    before = look.canvas()
    look.press("+", "i")
    assert not np.array_equal(before, look.canvas())
    look.press("?")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.wait_for_function("() => location.pathname === '/'")


def test_a_shared_link_shows_the_same_picture(browser: Browser, gateway: str, look: Look, ct: str) -> None:
    look.go(ct)
    look.press("ArrowDown", "ArrowDown", "+", "i", "r", "2")
    look.state()
    drawn, url = look.canvas(), look.page.url.removeprefix(gateway)
    with Look(browser, gateway) as other:
        other.go(url)
        assert np.array_equal(drawn, other.canvas())
        assert other.page.url.removeprefix(gateway) == url


def test_a_small_screen_has_the_picture_above_and_the_panel_below(browser: Browser, gateway: str, ct: str) -> None:
    with Look(browser, gateway, width=390, height=780) as phone:
        page = phone.go(ct)
        stage, panel = page.locator(".stage").bounding_box(), page.locator(".panel").bounding_box()
        assert stage is not None
        assert panel is not None
        assert stage["width"] == panel["width"] == 390
        assert panel["y"] >= stage["y"] + stage["height"] > 350
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("where", ["list", "study", "ct", "planes", "slide"])
def test_axe_finds_nothing(browser: Browser, gateway: str, ct: str, where: str, *, dark: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415  # only where these tests run

    paths = {"list": "/", "study": f"/study/{uid('ct')}", "ct": ct, "planes": f"{ct}#mode=planes", "slide": SLIDE}
    with Look(browser, gateway, dark=dark) as window:
        page = window.go(paths[where])
        results = Axe().run(page)
        assert [(each["id"], each["nodes"][0]["html"]) for each in results.response["violations"]] == []


def test_dark_is_dark(browser: Browser, gateway: str) -> None:
    with Look(browser, gateway, dark=True) as window:
        page = window.go("/")
        assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(18, 21, 27)"
        page.get_by_role("button", name="Light or dark").click()
        assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_a_series_that_is_not_there_is_said_in_words(browser: Browser, gateway: str) -> None:
    with Look(browser, gateway, expected=(404,)) as window:
        page = window.go(f"/view/{uid('ct')}/1.2.3.4")
        assert "1.2.3.4" in page.locator(".stage .message p").inner_text()
        assert page.get_by_role("button", name="Try again").is_visible()
        page.get_by_role("button", name="Back to the list").click()
        page.wait_for_function("() => location.pathname === '/'")
