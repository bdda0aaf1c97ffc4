"""A gateway over a folder of phantoms, and a real browser that looks at its page."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pydicom
import pytest
from loopback import leave_the_network
from page_looks import Look, oblique_volume
from waiting import SECONDS

from dicomzarr.demo.slide import demo_files
from dicomzarr.faces.demo.phantoms import phantoms, uid
from dicomzarr.faces.gateway.server import Gateway, Settings
from dicomzarr.faces.gateway.upstreams import Upstream
from dicomzarr.sources.files.urls import FolderURL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser


@pytest.fixture(scope="session", autouse=True)
def network() -> str:
    """Servers and browsers reach nothing but one another; gives why not, where that cannot be."""
    return leave_the_network()


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT with its segmentation, a time series, fluorescence, a slide, and an oblique volume."""
    folder = tmp_path_factory.mktemp("archive")
    for dataset in [*phantoms(), *oblique_volume()]:
        pydicom.dcmwrite(folder / f"{dataset.SOPInstanceUID[-30:]}.dcm", dataset, enforce_file_format=True)
    for file in demo_files():
        shutil.copy(file, folder)
    return folder


@pytest.fixture(scope="session")
def gateway(archive: Path) -> Iterator[str]:
    url = FolderURL.parse(f"dicomfile://{archive}")
    with Gateway([Upstream("folder", url, {"labels": True})], Settings(port=0)) as running:
        yield running.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ended with each module: as long as it runs, an event loop runs in this thread."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # only where these tests run

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        if os.environ.get("CI"):
            pytest.fail("Debian's chromium is missing.")
        pytest.skip("Debian's package chromium is not installed.")
    with sync_playwright() as playwright:
        arguments = [
            *("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"),
            *("--disable-component-update", "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader"),
            "--enable-unsafe-swiftshader",
        ]
        running = playwright.chromium.launch(executable_path=chromium, args=arguments, timeout=SECONDS * 1000)
        yield running
        running.close()


@pytest.fixture
def look(browser: Browser, gateway: str) -> Iterator[Look]:
    """A new window; whatever the browser says, or asks elsewhere for, fails the test.

    What the log does not see could not leave the machine either: see `network`.
    """
    with Look(browser, gateway) as window:
        yield window


@pytest.fixture(scope="session")
def ct() -> str:
    return f"/view/{uid('ct')}/{uid('ct CT')}"
