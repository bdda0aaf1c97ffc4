"""The grey and the colours that the page draws, beside what PS3.3 section C.11 says, and the values that it tells."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pytest
from page_images import (
    RAMP,
    SIDE,
    linear,
    linear_exact,
    parametric_map,
    picture,
    sigmoid,
    stack,
    with_modality_lut,
    with_palette,
)
from page_looks import Look

from dicomzarr.faces.demo.phantoms import uid
from dicomzarr.faces.gateway.server import Gateway, Settings
from dicomzarr.faces.gateway.upstreams import Upstream
from dicomzarr.sources.files.urls import FolderURL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from playwright.sync_api import Browser
    from pydicom.dataset import Dataset

    Expected = NDArray[np.float64]

pytestmark = pytest.mark.browser

ZOOM = 8
"""At which pixels are squares."""
NEGATIVE: dict[str, Any] = {
    "RescaleSlope": -1,
    "RescaleIntercept": 4095,
    "WindowCenter": 2048,
    "WindowWidth": 4096,
}
TINY: dict[str, Any] = {"RescaleSlope": "1e-6", "RescaleIntercept": 0}


def _of(function: str, center: float, width: float, slope: float = 1) -> dict[str, Any]:
    return {
        "RescaleSlope": slope,
        "RescaleIntercept": 0,
        "WindowCenter": center,
        "WindowWidth": width,
        "VOILUTFunction": function,
    }


GREY: dict[str, tuple[dict[str, Any], Callable[[NDArray[Any]], Expected]]] = {
    "linear": (_of("LINEAR", 1000, 2000), lambda stored: linear(stored, 1000, 2000)),
    "threshold": (_of("LINEAR", 2048, 1), lambda stored: linear(stored, 2048, 1)),
    "exact": (_of("LINEAR_EXACT", 2, 4, 0.001), lambda stored: linear_exact(stored * 0.001, 2, 4)),
    "exact narrow": (_of("LINEAR_EXACT", 0.2, 0.4, 0.0001), lambda stored: linear_exact(stored * 0.0001, 0.2, 0.4)),
    "sigmoid": (_of("SIGMOID", 2000, 1000), lambda stored: sigmoid(stored, 2000, 1000)),
    "negative": (NEGATIVE, lambda stored: linear(4095 - stored, 2048, 4096)),
    "negative sigmoid": (
        {**_of("SIGMOID", -2000, 1000, -1)},
        lambda stored: sigmoid(-stored, -2000, 1000),
    ),
    "monochrome1": (
        {**_of("LINEAR", 1000, 2000), "PhotometricInterpretation": "MONOCHROME1"},
        lambda stored: 255 - linear(stored, 1000, 2000),
    ),
    "monochrome1 negative": (
        {**NEGATIVE, "PhotometricInterpretation": "MONOCHROME1"},
        lambda stored: 255 - linear(4095 - stored, 2048, 4096),
    ),
}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("grey")
    with Gateway([Upstream("folder", FolderURL.parse(f"dicomfile://{folder}"), {})], Settings(port=0)) as running:
        yield Shown(folder, running.url)


class Shown:
    """A folder, and the gateway over it."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self.url = url

    def path(self, *datasets: Dataset) -> str:
        """Put a series into the folder; gives where the page shows it."""
        for each in datasets:
            pydicom.dcmwrite(self._folder / f"{each.SOPInstanceUID}.dcm", each, enforce_file_format=True)
        return f"/view/{datasets[0].StudyInstanceUID}/{datasets[0].SeriesInstanceUID}"


def _at(view: str = "") -> str:
    return f"#zoom={ZOOM}&x={SIDE / 2}&y={SIDE / 2}{view}"


def _row(look: Look, row: int = SIDE // 2) -> NDArray[np.int64]:
    """What is drawn of a row of pixels in the middle of the stage."""
    drawn = look.canvas().astype(int)
    across = drawn.shape[1] // 2 + ((np.arange(SIDE) + 0.5 - SIDE / 2) * ZOOM).astype(int)
    down = drawn.shape[0] // 2 + int((row + 0.5 - SIDE / 2) * ZOOM)
    pixels: NDArray[np.int64] = drawn[down, across]
    return pixels


def _grey(look: Look) -> NDArray[np.int64]:
    pixels = _row(look)
    assert np.ptp(pixels, axis=-1).max() == 0
    return pixels[:, 0]


def _near(drawn: NDArray[Any], wanted: Expected) -> bool:
    return bool(np.abs(drawn - wanted).max() <= 1)


def _drag(look: Look, right: int, down: int) -> None:
    """Change the window by the mouse."""
    mouse = look.page.mouse
    mouse.move(400, 400)
    mouse.down(button="right")
    mouse.move(400 + right, 400 + down)
    mouse.up(button="right")
    look.wait()


def _hover(look: Look, column: int, row: int, *, slices: bool = False) -> str:
    """What is said of the value of a pixel."""
    box = look.page.locator(".stage canvas").bounding_box()
    assert box is not None
    left, top = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    look.page.mouse.move(left + (column + 0.5 - SIDE / 2) * ZOOM, top + (row + 0.5 - SIDE / 2) * ZOOM)
    look.page.locator(".probe", has_text=f"x {column}").wait_for()
    said = look.page.locator(".probe").inner_text().replace("\xa0", " ")
    return re.split(r"   +|\t", said)[3 if slices else 2].strip()


@pytest.mark.parametrize("name", GREY)
def test_grey_is_that_of_the_standard(browser: Browser, shown: Shown, name: str) -> None:
    header, expected = GREY[name]
    path = shown.path(picture(name, "MR", RAMP, **header))
    with Look(browser, shown.url) as look:
        look.go(path + _at())
        drawn = _grey(look)
        wanted = expected(RAMP[0].astype(float))
        assert _near(drawn, wanted)
        look.press("i")
        assert _near(_grey(look), 255 - wanted)
        look.state()
        look.page.reload()
        assert _near(_grey(look), 255 - wanted)


def test_a_window_of_a_modality_lut_is_in_its_values(browser: Browser, shown: Shown) -> None:
    table = np.arange(4096, dtype=np.uint16)[::-1] // 4
    dataset = with_modality_lut(picture("table", "MR", RAMP, WindowCenter=500, WindowWidth=1000), table)
    path = shown.path(dataset)
    with Look(browser, shown.url) as look:
        look.go(path + _at())
        assert _near(_grey(look), linear(table[RAMP[0]].astype(float), 500, 1000))
        assert _hover(look, 40, 32) == str(table[RAMP[0, 40]])
        assert look.page.get_by_label("Window center").input_value() == "500"


def test_a_modality_lut_that_cannot_be_read_is_said_and_stored_values_are_shown(browser: Browser, shown: Shown) -> None:
    dataset = with_modality_lut(
        picture("broken table", "MR", RAMP, WindowCenter=500, WindowWidth=1000), np.arange(4096, dtype=np.uint16)
    )
    del dataset.ModalityLUTSequence[0].LUTData
    path = shown.path(dataset)
    with Look(browser, shown.url) as look:
        page = look.go(path + _at())
        assert page.get_by_text("Stored values are shown").is_visible()
        assert _hover(look, 40, 32) == f"{RAMP[0, 40]} stored"
        assert page.get_by_role("button", name="Header").count() == 0
        drawn = _grey(look)
        assert drawn[0] == 0
        assert drawn[-1] == 255
        assert np.all(np.diff(drawn) >= 0)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_is_shown_in_colour(browser: Browser, shown: Shown, bits: int) -> None:
    pixels = (RAMP // 16).astype(f"<u{bits // 8}")
    palette = np.stack([np.arange(256) * 257, np.arange(256)[::-1] * 257, np.full(256, 128 * 257)], axis=-1)
    path = shown.path(with_palette(picture(f"palette {bits}", "US", pixels), palette))
    with Look(browser, shown.url) as look:
        look.go(path + _at())
        assert np.array_equal(_row(look), palette[pixels[0]] // 257)
        assert _hover(look, 40, 32) == " ".join(map(str, palette[pixels[0, 40]]))


@pytest.mark.parametrize("bits", [12, 16])
def test_colours_of_more_than_eight_bits_are_told_as_they_are(browser: Browser, shown: Shown, bits: int) -> None:
    most = 2**bits - 1
    pixels = np.zeros((SIDE, SIDE, 3), np.uint16)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = RAMP * (most // 4095), 300, most
    path = shown.path(picture(f"colours {bits}", "OT", pixels, BitsStored=bits, HighBit=bits - 1))
    with Look(browser, shown.url) as look:
        look.go(path + _at())
        assert _near(_row(look), pixels[0] / most * 255)
        assert _hover(look, 40, 32) == " ".join(map(str, pixels[0, 40]))


def test_a_palette_that_cannot_be_read_is_said(browser: Browser, shown: Shown) -> None:
    dataset = with_palette(picture("broken palette", "US", (RAMP // 16).astype(np.uint8)), np.zeros((256, 3), int))
    del dataset.RedPaletteColorLookupTableData
    path = shown.path(dataset)
    with Look(browser, shown.url) as look:
        assert look.go(path + _at()).get_by_text("The palette of the series cannot be read").is_visible()


def test_what_is_no_number_is_background_and_has_no_value(browser: Browser, shown: Shown) -> None:
    values = np.where(RAMP < 1024, np.nan, RAMP.astype(np.float32) * np.float32(1e-6)).astype("<f4")
    path = shown.path(parametric_map("not a number", [values] * 3))
    with Look(browser, shown.url) as look:
        page = look.go(path + _at("&z=1"))
        center, width = (float(page.get_by_label(f"Window {name}").input_value()) for name in ("center", "width"))
        wanted = np.nan_to_num(linear_exact(values[0].astype(float), center, width))
        assert np.ptp(wanted) > 200
        assert _near(_grey(look), wanted)
        assert _hover(look, 40, 32, slices=True) == "0.00256"
        assert _hover(look, 4, 32, slices=True) == "no value"
        look.press("i")
        assert _near(_grey(look), np.where(np.isnan(values[0]), 0, 255 - wanted))
        look.press("i", "m")
        assert np.abs(_axial(look) - wanted).max() <= 6


def test_windows_of_small_values_can_be_read_and_set(browser: Browser, shown: Shown) -> None:
    header = {"RescaleSlope": "1e-6", "RescaleIntercept": 0, "RescaleType": "US"}
    path = shown.path(picture("diffusion", "MR", RAMP, **header))
    with Look(browser, shown.url) as look:
        page = look.go(path + _at())
        boxes = [page.get_by_label(f"Window {name}") for name in ("center", "width")]
        center, width = (float(box.input_value()) for box in boxes)
        assert _near(_grey(look), linear_exact(RAMP[0] * 1e-6, center, width))
        boxes[0].fill("0.002")
        boxes[1].fill("0.004")
        boxes[1].press("Enter")
        assert _near(_grey(look), linear_exact(RAMP[0] * 1e-6, 0.002, 0.004))
        look.state()
        page.reload()
        look.wait()
        assert [box.input_value() for box in boxes] == ["0.002", "0.004"]
        assert _near(_grey(look), linear_exact(RAMP[0] * 1e-6, 0.002, 0.004))
        _drag(look, 60, 0)
        wider = float(boxes[1].input_value())
        assert wider == pytest.approx(0.004 * 1.01**60, rel=0.02)
        assert _near(_grey(look), linear_exact(RAMP[0] * 1e-6, 0.002, wider))


def test_a_box_keeps_the_digits_of_the_other(browser: Browser, shown: Shown) -> None:
    header = {"RescaleSlope": 0.25, "RescaleIntercept": 0, "WindowCenter": 100.25, "WindowWidth": 200}
    path = shown.path(picture("quarters", "MR", RAMP // 4 + 1, **header))
    with Look(browser, shown.url) as look:
        page = look.go(path + _at())
        boxes = [page.get_by_label(f"Window {name}") for name in ("center", "width")]
        assert [box.input_value() for box in boxes] == ["100.25", "200"]
        assert _hover(look, 34, 32) == str((34 * 16 + 1) / 4)
        boxes[1].fill("300")
        boxes[1].press("Enter")
        assert _near(_grey(look), linear((RAMP[0] // 4 + 1) / 4, 100.25, 300))
        boxes[1].fill("-3")
        boxes[1].press("Enter")
        assert [box.input_value() for box in boxes] == ["100.25", "300"]


@pytest.mark.parametrize(
    ("kind", "header", "unit"),
    [
        ("PERFUSION", {"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "US"}, ""),
        ("LOCALIZER", {}, ""),
        ("AXIAL", {"RescaleSlope": 1, "RescaleIntercept": 0}, " HU"),
    ],
)
def test_ct_has_hounsfield_units_only_where_its_header_says_so(
    browser: Browser, shown: Shown, kind: str, header: dict[str, Any], unit: str
) -> None:
    dataset = picture(f"CT {kind}", "CT", RAMP, WindowCenter=2000, WindowWidth=4000, **header)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", kind]
    with Look(browser, shown.url) as look:
        page = look.go(shown.path(dataset) + _at())
        assert _hover(look, 40, 32) == f"{RAMP[0, 40]}{unit}"
        assert page.get_by_role("button", name="Lung").count() == bool(unit)


def test_slices_of_other_scales_without_a_window_are_all_seen(browser: Browser, shown: Shown) -> None:
    factors = [(0.001, 33.9), (0.0012, 33.4), (0.003, 95.7)]
    headers = [{"RescaleSlope": slope, "RescaleIntercept": intercept} for slope, intercept in factors]
    path = shown.path(*stack("scales", "MR", [(RAMP // 16).astype(np.uint8)] * 3, headers))
    with Look(browser, shown.url) as look:
        page = look.go(path + _at("&z=0"))
        boxes = [page.get_by_label(f"Window {name}") for name in ("center", "width")]
        for slope, intercept in factors:
            center, width = (float(box.input_value()) for box in boxes)
            values = RAMP[0] // 16 * slope + intercept
            assert _near(_grey(look), linear_exact(values, center, width))
            assert np.ptp(_grey(look)) > 240
            assert page.get_by_text("Each slice is seen in a window").is_visible()
            look.press("ArrowDown")
        assert "w" not in look.state()
        boxes[1].fill("1")
        boxes[1].press("Enter")
        page.locator(".stage canvas").focus()
        look.press("Home")
        assert page.get_by_text("This window holds for all slices").is_visible()
        assert np.ptp(_grey(look)) == 0
        page.get_by_role("button", name="Each slice").click()
        assert np.ptp(_grey(look)) > 240
        look.press("m")
        assert page.get_by_text("One window is measured on all slices").is_visible()


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_slopes_of_both_signs_in_slices_and_in_planes(browser: Browser, shown: Shown, photometric: str) -> None:
    factors = [(1, 0), (-1, 4095), (-2, 6000)]
    headers = [
        {"RescaleSlope": slope, "RescaleIntercept": intercept, "WindowCenter": 2000, "WindowWidth": 3000}
        for slope, intercept in factors
    ]
    datasets = stack(f"signs {photometric}", "MR", [RAMP] * 3, headers)
    for dataset in datasets:
        dataset.PhotometricInterpretation = photometric
    path = shown.path(*datasets)
    for z, (slope, intercept) in enumerate(factors):
        wanted = linear(RAMP[0] * float(slope) + intercept, 2000, 3000)
        wanted = 255 - wanted if photometric == "MONOCHROME1" else wanted
        with Look(browser, shown.url) as look:
            look.go(path + _at(f"&z={z}"))
            assert _near(_grey(look), wanted)
            assert _hover(look, 40, 32, slices=True) == str(int(RAMP[0, 40]) * slope + intercept)
            look.press("m")
            assert np.abs(_axial(look) - wanted).max() <= 6


def test_channels_of_other_scales_keep_windows_of_their_own(browser: Browser, shown: Shown) -> None:
    headers = [
        {"EchoTime": 10 * echo, "EchoNumbers": echo, "RescaleSlope": slope, "RescaleIntercept": intercept}
        for echo, slope, intercept in ((1, 1, 0), (2, -10, 50000))
    ]
    datasets = []
    for echo, header in enumerate(headers):
        for number, dataset in enumerate(stack("echoes", "MR", [RAMP] * 2, [header] * 2)):
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid(f"echo {echo} {number}")
            dataset.InstanceNumber = 2 * echo + number + 1
            datasets.append(dataset)
    path = shown.path(*datasets)
    with Look(browser, shown.url) as look:
        page = look.go(path + _at())
        boxes = [page.get_by_label(f"Window {name}") for name in ("center", "width")]

        def is_right(slope: int, intercept: int) -> bool:
            center, width = (float(box.input_value()) for box in boxes)
            return _near(_grey(look), linear_exact(RAMP[0] * float(slope) + intercept, center, width))

        assert is_right(1, 0)
        first = boxes[0].input_value()
        look.press("2")
        assert is_right(-10, 50000)
        _drag(look, 40, 30)
        assert is_right(-10, 50000)
        second = boxes[0].input_value()
        look.press("1")
        assert is_right(1, 0)
        assert boxes[0].input_value() == first != second
        look.press("2")
        look.state()
        page.reload()
        look.wait()
        assert is_right(-10, 50000)
        assert boxes[0].input_value() == second


@pytest.mark.parametrize(
    "header",
    [{"PixelAspectRatio": [2, 1]}, {"ImagerPixelSpacing": [0.4, 0.2]}, {"NominalScannedPixelSpacing": [1, 0.5]}],
)
def test_pixels_that_are_no_squares_are_drawn_so(
    browser: Browser, shown: Shown, header: dict[str, list[float]]
) -> None:
    down, across = np.mgrid[:SIDE, :SIDE]
    disc = np.where((across - 31.5) ** 2 + (2 * (down - 31.5)) ** 2 < 20**2, 200, 20).astype(np.uint8)
    path = shown.path(picture(f"aspect {next(iter(header))}", "OT", disc, **header))
    with Look(browser, shown.url) as look:
        look.go(path)
        bright = look.canvas()[..., 0] > 100
        width, height = np.ptp(np.flatnonzero(bright.any(0))), np.ptp(np.flatnonzero(bright.any(1)))
        assert width == pytest.approx(height, rel=0.05)
        look.go(f"{path}#zoom={ZOOM}&x={SIDE / 2}&y={SIDE}")
        assert _hover(look, 40, 32) == "200"


def _axial(look: Look) -> Expected:
    """What is drawn of each column in the axial plane, off the cross in its middle."""
    drawn = look.canvas().astype(float)
    height, width = drawn.shape[0] / 2, drawn.shape[1] / 2
    each = 0.94 * min(height, width) / SIDE
    across = (width / 2 + (np.arange(SIDE) + 0.5 - SIDE / 2) * each).astype(int)
    return drawn[int(height / 2 + 10 * each), across, 0]
