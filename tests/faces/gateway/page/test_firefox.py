"""The main paths of the page in Firefox, in a window of a screen that nobody sees."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
from page_looks import slices, slide_pixels, windowed
from waiting import SECONDS

from dicomzarr.demo.slide import SERIES, STUDY

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.browser

SCRIPTS = Path(__file__).parents[3] / "javascript"
NEEDED = ("firefox-esr", "xvfb-run", "node")


@pytest.fixture(scope="module")
def seen(gateway: str, ct: str) -> dict[str, Any]:
    missing = [each for each in NEEDED if shutil.which(each) is None]
    if not (SCRIPTS / "node_modules" / "puppeteer-core").exists():
        missing.append("npm install in tests/javascript")
    if missing:
        if os.environ.get("CI"):
            pytest.fail(f"Missing: {', '.join(missing)}.")
        pytest.skip(f"Missing: {', '.join(missing)}.")
    firefox = shutil.which("firefox-esr")
    done = subprocess.run(  # noqa: S603  # our own script
        [
            *("xvfb-run", "-a", "-s", "-screen 0 1280x900x24", "node", "firefox.mjs"),  # as it is installed
            str(firefox),
            gateway,
            ct,
            f"/view/{STUDY}/{SERIES}",
        ],
        cwd=SCRIPTS,
        env={**os.environ, "LIBGL_ALWAYS_SOFTWARE": "1", "MOZ_CRASHREPORTER_DISABLE": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert "error" not in found, found["error"]
    return found


def picture(url: str) -> NDArray[np.uint8]:
    drawn: NDArray[np.uint8] = imagecodecs.png_decode(base64.b64decode(url.split(",")[1]))
    return drawn[..., :3]


def test_firefox_lists_studies_and_finds_them(seen: dict[str, Any]) -> None:
    assert set(seen["studies"]) >= {"Chest, made", "Perfusion, made", "Cells, made"}
    assert seen["found"] == ["Perfusion, made"]


def test_firefox_draws_a_ct_slice_in_the_window_of_its_header(seen: dict[str, Any]) -> None:
    drawn = picture(seen["ct"]).astype(float)
    top, left = drawn.shape[0] // 2 - 128, drawn.shape[1] // 2 - 128
    part = drawn[top : top + 256, left : left + 256]
    assert np.ptp(part, axis=-1).max() == 0
    assert np.abs(part[..., 0] - windowed(slices()[20].pixel_array, 40, 400)).max() <= 1


def test_firefox_draws_the_very_pixels_of_a_slide(seen: dict[str, Any]) -> None:
    drawn = picture(seen["slide"])
    width, height = seen["size"]
    top, left = 500 - height // 2, 600 - width // 2
    assert np.array_equal(drawn, slide_pixels()[top : top + height, left : left + width])


def test_firefox_shows_planes(seen: dict[str, Any]) -> None:
    assert seen["letters"] == ["R", "L", "A", "P", "R", "L", "H", "F", "A", "P", "H", "F"]


def test_firefox_says_nothing_and_asks_nobody_else(seen: dict[str, Any], gateway: str) -> None:
    assert seen["console"] == []
    assert [url for url in seen["asked"] if not url.startswith((gateway, "blob:", "data:"))] == []
