"""What an archive says is text in the page, whatever it is; what a browser keeps of a token; a slide without levels."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING

import pydicom
import pytest
from gateways import folder_upstream, server_upstream
from gateways import gateway as serving_gateway
from page_looks import Look

from dicomzarr.demo.archive import Archive
from dicomzarr.demo.instances import from_file, virtual_instance
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.demo.slide import SERIES, STUDY, demo_files
from dicomzarr.faces.demo.phantoms import phantoms, uid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser
    from pydicom.dataset import Dataset

    from dicomzarr.demo.instances import ServedInstance

pytestmark = pytest.mark.browser

JPEG = "1.2.840.10008.1.2.4.50"
PICTURE = "<img src=x onerror=alert(1)>"
SCRIPT = '"></span><script>alert(1)</script>'
BOLD = "<script>alert(1)</script><b>Family</b>"


def hostile() -> list[Dataset]:
    """The CT and its segments, with markup wherever an archive has text."""
    made = [copy.deepcopy(each) for each in phantoms() if each.Modality in {"CT", "SEG"}]
    for each in made:
        each.StudyDescription, each.SeriesDescription = SCRIPT, PICTURE
        each.PatientName, each.PatientID = f"{BOLD}^Given", f"{SCRIPT}7"
        for segment in each.get("SegmentSequence", []):
            segment.SegmentLabel = f"{segment.SegmentNumber} {PICTURE}"
    return made


@pytest.fixture(scope="module")
def base(network: str) -> Iterator[str]:
    del network
    with (
        DICOMwebServer(Archive(hostile())) as server,
        serving_gateway(server_upstream(server, labels=True), phi=True) as running,
    ):
        yield running.url


def test_markup_of_an_archive_is_text_everywhere(browser: Browser, base: str) -> None:
    with Look(browser, base) as look:
        page = look.page
        page.on("dialog", lambda dialog: look.said.append(f"dialog: {dialog.message}"))
        look.go("/")
        page.get_by_label("Patient names").check()
        page.get_by_label("By patient").check()
        page.get_by_role("heading", name=f"{BOLD}, Given · {SCRIPT}7").wait_for()
        assert page.get_by_text(SCRIPT, exact=True).count() == 1
        page.wait_for_function("() => document.querySelectorAll('.thumb img').length === 2")
        page.locator(".thumb").first.hover()
        look.go(f"/study/{uid('ct')}")
        page.get_by_role("heading", name=SCRIPT).wait_for()
        look.go(f"/view/{uid('ct')}/{uid('ct CT')}")
        assert page.locator("aside h1").inner_text() == PICTURE
        assert page.locator(".segment").first.inner_text().endswith(PICTURE)
        look.press("a")
        page.get_by_role("searchbox", name="Search attributes").fill("onerror")
        page.get_by_text(PICTURE).first.wait_for()
        assert page.locator("img[src=x], main b b, body script").count() == 0
        assert "alert" not in "".join(look.asked)


def test_a_token_leaves_the_address_and_what_is_copied(browser: Browser, network: str) -> None:
    del network
    token = "hush-hush"  # noqa: S105  # made up
    with (
        DICOMwebServer(Archive(phantoms()[:3])) as server,
        serving_gateway(server_upstream(server), token=token) as running,
        Look(browser, running.url) as look,
    ):
        page = look.go(f"/view/{uid('ct')}/{uid('ct CT')}?token={token}#z=1")
        assert look.state()["z"] == "1"
        assert token not in page.url
        page.get_by_role("link", name="Studies").click()
        look.wait()
        page.reload()
        look.wait()
        assert page.locator(".card").count() == 1
        assert token not in page.url


def test_two_gateways_of_one_host_do_not_put_each_other_out(browser: Browser, network: str) -> None:
    del network
    one, other = "one-token-that-nobody-guesses", "other-token-that-nobody-guesses"
    with (
        DICOMwebServer(Archive(phantoms()[:3])) as server,
        serving_gateway(server_upstream(server), token=one) as first,
        serving_gateway(server_upstream(server), token=other) as second,
        Look(browser, first.url) as look,
    ):
        page = look.go(f"/?token={one}")
        beside = page.context.new_page()
        beside.goto(f"{second.url}/?token={other}")
        beside.locator(".card").wait_for()
        for each in (page, beside):
            each.reload()
            each.locator(".card").wait_for()


def test_the_page_of_another_machine_is_not_told_where_a_folder_lies(browser: Browser, tmp_path: Path) -> None:
    for each in phantoms()[:2]:
        pydicom.dcmwrite(tmp_path / f"{each.SOPInstanceUID[-20:]}.dcm", each, enforce_file_format=True)
    token = "a-token-that-nobody-guesses"  # noqa: S105  # made up
    with serving_gateway(folder_upstream(tmp_path, "scans"), token=token, host="0.0.0.0") as running:  # noqa: S104
        base = f"http://127.0.0.1:{running.url.rpartition(':')[2]}"
        with Look(browser, base) as look:
            said = look.go(f"/view/{uid('ct')}/{uid('ct CT')}?token={token}").locator("pre").inner_text()
            assert "# FOLDER is where scans lies" in said
            assert 'dicomzarr.open("dicomfile:///FOLDER/studies/' in said
            assert str(tmp_path) not in look.page.content()


TILES = 60
"""Along each side of a slide that has no level but the finest."""


def slide_of_one_level() -> ServedInstance:
    """All its tiles are one of the demo slide's."""
    source = demo_files()[0]
    header = pydicom.dcmread(source, stop_before_pixels=True)
    header.TotalPixelMatrixRows = header.TotalPixelMatrixColumns = TILES * header.Rows
    header.NumberOfFrames = TILES * TILES
    tile = bytes(from_file(source).frame(1))
    return virtual_instance(json.loads(header.to_json()), lambda _: tile, JPEG)


def test_a_slide_without_small_levels_is_seen_in_part_and_not_fetched_whole(browser: Browser, network: str) -> None:
    del network
    with (
        DICOMwebServer(Archive([slide_of_one_level()])) as server,
        serving_gateway(server_upstream(server)) as running,
        Look(browser, running.url) as look,
    ):
        page = look.go(f"/view/{STUDY}/{SERIES}")
        page.get_by_text("no level so small").wait_for()
        assert look.canvas().min() > 200  # its tiles are nearly white; what is not there is black
        for _ in range(6):
            look.press("-")
        asked = {path for path in look.asked if path.startswith("/frames/")}
        assert 100 < len(asked) < 600 < TILES * TILES
