"""The pictures of the documentation, made anew; DICOMZARR_PICTURES=docs/page keeps them."""

from __future__ import annotations

import os
from pathlib import Path

import imagecodecs
import pytest
from page_looks import Look

from dicomzarr.demo.slide import SERIES, STUDY
from dicomzarr.faces.demo.phantoms import uid

pytestmark = pytest.mark.browser

CT = f"/view/{uid('ct')}/{uid('ct CT')}"

PICTURES = {
    "list": ("/", {}),
    "slide": (f"/view/{STUDY}/{SERIES}#zoom=1.4&x=560&y=700", {}),
    "ct": (f"{CT}#z=28", {}),
    "planes": (f"{CT}#z=30&mode=planes", {}),
    "fluorescence": (f"/view/{uid('cells')}/{uid('cells SM')}", {"dark": True}),
    "time": (f"/view/{uid('mr')}/{uid('mr MR')}#t=7", {}),
    "attributes": (f"/view/{uid('cells')}/{uid('cells SM')}", {}),
    "phone": (f"{CT}#z=28", {"width": 390, "height": 780, "dark": True}),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_shows_something(browser: object, gateway: str, tmp_path: Path, name: str) -> None:
    path, window = PICTURES[name]
    with Look(browser, gateway, **window) as look:  # type: ignore[arg-type]
        page = look.go(path)
        if name == "list":
            page.wait_for_function("() => document.querySelectorAll('.thumb img').length >= 6")
            page.wait_for_function(
                "() => [...document.querySelectorAll('.thumb img')].every((each) => each.naturalWidth)"
            )
        elif name == "attributes":
            look.press("a")
            page.get_by_role("searchbox", name="Search attributes").fill("illumination")
            page.wait_for_function("() => document.querySelector('dialog.attributes').innerText.includes(' of ')")
        else:
            look.canvas()
            page.mouse.move(400, 400)
        page.wait_for_timeout(300)
        kept = Path(os.environ.get("DICOMZARR_PICTURES", str(tmp_path))) / f"{name}.jpg"
        kept.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=kept, type="jpeg", quality=88)
    assert imagecodecs.jpeg8_decode(kept.read_bytes()).std() > 20
