"""What a person does in a browser window, and what is then to be seen."""

from __future__ import annotations

import base64
import copy
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pydicom
from waiting import SECONDS

from dicomzarr.demo.slide import demo_files
from dicomzarr.faces.demo.phantoms import phantoms, uid

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray
    from playwright.sync_api import Browser, Page
    from pydicom.dataset import Dataset

_READY = """() => {
  const states = [...document.querySelectorAll("[data-state]")].map((each) => each.dataset.state);
  return states.length > 0 && states.every((state) => ["ready", "incomplete", "failed"].includes(state));
}"""

_DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"

TILT = np.deg2rad(25)
"""By which the oblique volume is turned around the axis from left to right."""


class Look:
    """One window of a browser.

    Args:
        browser: A running one.
        base: URL of the gateway; nothing else may be asked.
        width: CSS pixels of the window.
        height: Of it.
        dark: The system is dark.
        expected: Statuses that replies may have besides good ones.
    """

    def __init__(  # noqa: PLR0913  # what a window is like
        self,
        browser: Browser,
        base: str,
        *,
        width: int = 1280,
        height: int = 800,
        dark: bool = False,
        expected: tuple[int, ...] = (),
    ) -> None:
        self._context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(SECONDS * 1000 / 2)
        self.base = base
        self.said: list[str] = []
        """What the console says, and what fails."""
        self.asked: list[str] = []
        """Paths that were asked for."""
        self._expected = expected
        self.page.on("console", lambda message: self._hear(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("request", lambda request: self._ask(request.url))

    def _hear(self, text: str) -> None:
        if not any(f"status of {status} " in text for status in self._expected):
            self.said.append(text)

    def _ask(self, url: str) -> None:
        if url.startswith(("blob:", "data:")):
            return
        if not url.startswith(self.base):
            self.said.append(f"asked elsewhere: {url}")
        self.asked.append(url.removeprefix(self.base))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._context.close()
        if error is None:
            assert self.said == []

    def go(self, path: str) -> Page:
        """Open an address, and wait until all of it is there."""
        self.page.goto(self.base + path)
        self.wait()
        return self.page

    def wait(self) -> None:
        """Until nothing loads any more."""
        self.page.evaluate(_DRAWN)  # what was done has begun
        self.page.wait_for_function(_READY)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.wait()

    def canvas(self) -> NDArray[np.uint8]:
        """What is drawn, shape (rows, columns, 3)."""
        self.wait()
        url = self.page.evaluate("() => document.querySelector('.stage canvas').toDataURL('image/png')")
        picture: NDArray[np.uint8] = imagecodecs.png_decode(base64.b64decode(url.split(",")[1]))
        return picture[..., :3]

    def letters(self) -> list[str]:
        return self.page.locator(".letter").all_inner_texts()

    def state(self) -> dict[str, Any]:
        """What the address says of the view."""
        self.page.wait_for_function("() => document.querySelector('.stage').dataset.address !== 'stale'")
        return dict(part.split("=", 1) for part in self.page.url.partition("#")[2].split("&") if part)


def instances(modality: str) -> list[Dataset]:
    """The instances of a modality that the archive has."""
    return [each for each in phantoms() if each.Modality == modality]


def slices() -> list[Dataset]:
    """Those of the CT, as they lie."""
    return sorted(instances("CT"), key=lambda each: float(each.ImagePositionPatient[2]))


def windowed(stored: NDArray[np.uint16], center: float, width: float) -> NDArray[np.float64]:
    """PS3.3 section C.11.2.1.2.1."""
    values = stored.astype(float) - 1024
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1) * 255


def slide_pixels() -> NDArray[np.uint8]:
    """The finest level of the slide, out of its tiles."""
    level = pydicom.dcmread(demo_files()[0])
    frames = list(pydicom.encaps.generate_frames(level.PixelData, number_of_frames=int(level.NumberOfFrames)))
    across = -(-level.TotalPixelMatrixColumns // level.Columns)
    whole = np.zeros((-(-level.TotalPixelMatrixRows // level.Rows) * level.Rows, across * level.Columns, 3), np.uint8)
    for index, frame in enumerate(frames):
        row, column = divmod(index, across)
        whole[row * 256 : row * 256 + 256, column * 256 : column * 256 + 256] = imagecodecs.jpeg8_decode(frame)
    return whole


def oblique_volume() -> list[Dataset]:
    """The slices of the chest, said to be taken sagittally and tilted forwards."""
    turned = []
    down = [0.0, -np.sin(TILT), -np.cos(TILT)]
    across = [0.0, np.cos(TILT), -np.sin(TILT)]
    for index, dataset in enumerate(each for each in phantoms() if each.Modality == "CT"):
        oblique = copy.deepcopy(dataset)
        oblique.StudyInstanceUID, oblique.SeriesInstanceUID = uid("oblique"), uid("oblique CT")
        oblique.StudyDescription, oblique.SeriesDescription = "Oblique, made", "Tilted sagittal"
        oblique.SOPInstanceUID = oblique.file_meta.MediaStorageSOPInstanceUID = uid(f"oblique {index}")
        oblique.FrameOfReferenceUID = uid("oblique frame of reference")
        oblique.ImageOrientationPatient = [f"{value:.9f}" for value in (*across, *down)]
        oblique.ImagePositionPatient = [f"{value:.6f}" for value in (index * 5.0 - 140, 0, 0)]
        turned.append(oblique)
    return turned
