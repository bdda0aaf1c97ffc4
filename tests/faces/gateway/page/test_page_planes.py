"""Planes and 3D: of sheared slices too what is drawn has its shape, and no memory is left behind."""

from __future__ import annotations

import copy
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

    from numpy.typing import NDArray
    from playwright.sync_api import Browser
    from pydicom.dataset import Dataset

pytestmark = pytest.mark.browser

SIDE, SLICES, STEP, RADIUS = 96, 48, 2.0, 28.0
STUDY = "2.25.3001"
SHEARS = {0: (0.0, "2.25.3010"), 25: (25.0, "2.25.3011"), -40: (-40.0, "2.25.3012")}
"""Degrees by which slices are shifted along their rows' direction."""

COUNTED = """
window.textures = 0;
const [make, drop] = ["createTexture", "deleteTexture"].map((name) => WebGL2RenderingContext.prototype[name]);
WebGL2RenderingContext.prototype.createTexture = function () { window.textures += 1; return make.call(this); };
WebGL2RenderingContext.prototype.deleteTexture = function (texture) { window.textures -= 1; drop.call(this, texture); };
"""


def _ball(degrees: float, series: str, like: Dataset) -> Iterator[Dataset]:
    """Slices through a ball, each shifted along the columns by the tangent of the shear."""
    shift = STEP * np.tan(np.deg2rad(degrees))
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(float)
    middle = (SIDE - 1) / 2, (SLICES - 1) / 2
    for number in range(SLICES):
        down, through = rows - middle[0] + (number - middle[1]) * shift, (number - middle[1]) * STEP
        inside = (columns - middle[0]) ** 2 + down**2 + through**2 < RADIUS**2
        made = copy.deepcopy(like)
        made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = STUDY, series, f"{series}.1"
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{series}.{number + 10}"
        made.Rows = made.Columns = SIDE
        made.PixelSpacing, made.SliceThickness = [1, 1], STEP
        made.PixelData = np.where(inside, 2024, 24).astype(np.uint16).tobytes()
        made.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        made.ImagePositionPatient = [0, f"{number * shift:.9f}", f"{number * STEP:.6f}"]
        yield made


@pytest.fixture(scope="module")
def sheared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("sheared")
    like = slices()[0]
    for degrees, series in SHEARS.values():
        for made in _ball(degrees, series, like):
            pydicom.dcmwrite(folder / f"{made.SOPInstanceUID}.dcm", made, enforce_file_format=True)
    with Gateway([Upstream("sheared", FolderURL.of(folder), {})], Settings(port=0)) as running:
        yield running.url


def _panes(picture: NDArray[np.uint8]) -> list[NDArray[np.bool_]]:
    """What is bright in axial, coronal and sagittal planes, and in 3D."""
    bright = picture[..., 0] > 127
    height, width = bright.shape[0] // 2, bright.shape[1] // 2
    return [bright[y : y + height, x : x + width] for y in (0, height) for x in (0, width)]


@pytest.mark.parametrize("degrees", SHEARS)
def test_a_ball_is_round_in_all_planes_and_in_3d(browser: Browser, sheared: str, degrees: int) -> None:
    with Look(browser, sheared) as look:
        page = look.go(f"/view/{STUDY}/{SHEARS[degrees][1]}#mode=planes&w=-1000,1000&surface=0&angles=0,0")
        for pane in _panes(look.canvas()):
            ys, xs = np.nonzero(pane)
            width, height = np.ptp(xs) + 1, np.ptp(ys) + 1
            assert abs(width / height - 1) < 0.06
            assert abs(pane.sum() / (np.pi / 4 * width * height) - 1) < 0.06
        assert page.get_by_text("The slices are sheared").is_visible() is bool(degrees)
        assert not page.get_by_text("The slices are oblique").is_visible()
        assert look.letters() == ["R", "L", "A", "P", "R", "L", "H", "F", "A", "P", "H", "F"]


@pytest.mark.parametrize("degrees", SHEARS)
def test_planes_cross_where_somebody_points(browser: Browser, sheared: str, degrees: int) -> None:
    with Look(browser, sheared) as look:
        page = look.go(f"/view/{STUDY}/{SHEARS[degrees][1]}#mode=planes&w=-1000,1000")
        box = page.locator(".stage canvas").bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] * 0.24, box["y"] + box["height"] * 0.79
        page.mouse.click(x, y)  # in the sagittal plane
        look.wait()
        cross = page.locator(".cross").nth(2)
        down, across = cross.locator("i.down").bounding_box(), cross.locator("i.across").bounding_box()
        assert down is not None
        assert across is not None
        assert abs(down["x"] - x) < 6  # of a voxel
        assert abs(across["y"] - y) < 12


def test_planes_of_sheared_slices_show_the_values_of_the_volume(browser: Browser, sheared: str) -> None:
    with Look(browser, sheared) as look:
        page = look.go(f"/view/{STUDY}/{SHEARS[25][1]}#mode=planes&w=-1000,1000")
        box = page.locator(".stage canvas").bounding_box()
        assert box is not None
        picture = look.canvas()
        for part in np.linspace(0.05, 0.45, 15):
            left, top = box["width"] * part, box["height"] * 0.7
            page.mouse.move(box["x"] + left, box["y"] + top)
            said = page.locator(".probe").inner_text()
            if "HU" in said:
                around = picture[int(top) - 4 : int(top) + 5, int(left) - 4 : int(left) + 5, 0]
                assert (" 1000 HU" in said) == (around.mean() > 127) or np.ptp(around) > 0


def test_segments_and_time_leave_no_textures_behind(browser: Browser, gateway: str, ct: str) -> None:
    with Look(browser, gateway) as look:
        look.page.add_init_script(COUNTED)
        page = look.go(f"{ct}#mode=planes")
        before = page.evaluate("() => window.textures")
        for part in range(10):
            page.get_by_label("Opacity of segments").fill(str(part / 10))
            page.get_by_label("Outline").click()
            page.locator(".segment input").first.click()
            look.wait()
        assert page.evaluate("() => window.textures") == before
