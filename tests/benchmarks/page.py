"""How long a person waits at the page: ``python tests/benchmarks/page.py``; loopback, chromium, WebGL in software.

Before an archive of 10 000 studies, and a folder of some hundred: until the search is there, the newest studies, their
thumbnails; a filter, and more studies as one scrolls. Then a slide of 100 000 pixels and a CT: until the first picture
is sharp, cold and warm, and the bytes of a view. The server, the gateway and the browser are processes of their own;
beside each time stands how busy the machine was, for all of them share it.
"""

from __future__ import annotations

import argparse
import copy
import datetime as dt
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from aiohttp import web
from faults import fault
from folders import write
from loopback import leave_the_network
from radiology_volumes import volume
from slide_server import TILE, full_tiles

from dicomzarr.demo.archive import Archive
from dicomzarr.demo.instances import virtual_instance
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.demo.slide import demo_files
from dicomzarr.faces.demo.phantoms import phantoms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

_ROOT = "2.25.7"
_SERVE = "import sys; from dicomzarr.faces.cli import main; sys.exit(main(sys.argv[1:]))"
_JPEG, _LITTLE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.1"
_PARTS = ("Chest", "Head", "Abdomen", "Knee", "Spine", "Pelvis")
_WORK = ("CT", "MR")
_DAY = dt.date(2026, 11, 29)

# --- what there is to see ---


def header_of(like: Any, study: str, series: str, modality: str) -> dict[str, Any]:
    """The attributes of the only slice of a series."""
    uids = {"0020000D": study, "0020000E": series, "00080018": f"{series}.1"}
    named = {tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items()}
    return {**like, **named, "00080060": {"vr": "CS", "Value": [modality]}}


class Studies:
    """Many studies of two series each, in no order; searched as a PACS does."""

    def __init__(self, count: int) -> None:
        choice = random.Random(5)  # a benchmark
        like = next(each for each in phantoms() if each.Modality == "CT")
        self._pixels = bytes(like.PixelData)
        plain = pydicom.Dataset({element.tag: element for element in like if element.keyword != "PixelData"})
        self._header = json.loads(plain.to_json())
        self.instances = []
        self.entries = []
        for number in choice.sample(range(count), count):
            study, modality = f"{_ROOT}.{number}", _WORK[number % 2]
            day = (_DAY - dt.timedelta(days=number // 4)).strftime("%Y%m%d")
            for which in (1, 2):
                header = header_of(self._header, study, f"{study}.{which}", modality)
                self.instances.append(virtual_instance(header, lambda _: self._pixels, _LITTLE))
            self.entries.append(
                {
                    "0020000D": {"vr": "UI", "Value": [study]},
                    "00080020": {"vr": "DA", "Value": [day]},
                    "00080030": {"vr": "TM", "Value": [f"{number % 24:02}0000"]},
                    "00081030": {"vr": "LO", "Value": [f"{_PARTS[number % len(_PARTS)]} {number}"]},
                    "00080061": {"vr": "CS", "Value": [modality]},
                    "00201206": {"vr": "IS", "Value": [2]},
                    "00201208": {"vr": "IS", "Value": [2]},
                }
            )

    async def search(self, request: web.Request, _: Any) -> web.StreamResponse:
        """QIDO-RS for studies, by date, modality and words of the description."""
        asked = request.query
        first, _, last = asked.get("StudyDate", "").partition("-")
        words, modality = asked.get("StudyDescription", "").strip("*").lower(), asked.get("ModalitiesInStudy", "")
        found = [
            entry
            for entry in self.entries
            if first <= entry["00080020"]["Value"][0] <= (last or "99999999")
            and words in entry["00081030"]["Value"][0].lower()
            and modality in ("", entry["00080061"]["Value"][0])
        ]
        skip, limit = int(asked.get("offset", 0)), int(asked.get("limit", 100))
        return web.json_response(found[skip : skip + limit], content_type="application/dicom+json")


def large_slide(pixels: int) -> list[Any]:
    """Levels of a slide that are made of the demo slide's tiles, over and over: each a quarter of the one before."""
    tiles = full_tiles()
    levels = []
    across = pixels // TILE
    while across:
        header = pydicom.dcmread(demo_files()[0], stop_before_pixels=True)
        header.StudyInstanceUID, header.SeriesInstanceUID = f"{_ROOT}.900001", f"{_ROOT}.900001.1"
        header.SOPInstanceUID = f"{_ROOT}.900001.1.{len(levels) + 1}"
        header.StudyDescription, header.SeriesDescription = "Large slide", f"{pixels} pixels"
        header.TotalPixelMatrixRows = header.TotalPixelMatrixColumns = across * TILE
        size = pixels * 0.0005
        header.ImagedVolumeWidth = header.ImagedVolumeHeight = size
        shared = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        shared.PixelSpacing = [size / (across * TILE)] * 2
        header.NumberOfFrames = across * across
        header.ImageType = ["DERIVED" if levels else "ORIGINAL", "PRIMARY", "VOLUME", "RESAMPLED" if levels else "NONE"]
        levels.append(virtual_instance(json.loads(header.to_json()), lambda n: tiles[n % len(tiles)], _JPEG))
        across //= 4
    return levels


def serve_archive(studies: int, pixels: int, slices: int) -> None:
    """In a process of its own: prints the URL, and the paths of slide and CT; ends with its standard input."""
    many = Studies(studies)
    values = np.random.default_rng(1).integers(0, 2000, (slices, 512, 512)).astype(np.uint16)
    ct = volume(pixels=values)
    items = [*many.instances, *large_slide(pixels), *ct.datasets]
    with DICOMwebServer(Archive(items), middlewares=[fault(many.search, on="studies")]) as server:
        paths = [f"{_ROOT}.900001/{_ROOT}.900001.1", f"{ct.study_uid}/{ct.series_uid}"]
        print(json.dumps([server.url, *paths]), flush=True)  # noqa: T201  # the other process reads it
        sys.stdin.read()


def write_folder(folder: Path, studies: int) -> None:
    """Studies of one slice each, as files."""
    like = next(each for each in phantoms() if each.Modality == "CT")
    made = []
    for number in range(studies):
        dataset = copy.deepcopy(like)
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{_ROOT}.{number}", f"{_ROOT}.{number}.1"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{_ROOT}.{number}.1.1"
        dataset.StudyDescription = f"{_PARTS[number % len(_PARTS)]} {number}"
        dataset.StudyDate = (_DAY - dt.timedelta(days=number)).strftime("%Y%m%d")
        made.append(dataset)
    write(folder, made)


# --- processes ---


@contextmanager
def running(*command: str) -> Iterator[str]:
    """Another process; gives the first line that it prints."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603  # ours
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


@contextmanager
def gateway(*upstreams: str) -> Iterator[str]:
    """The gateway as a person starts it."""
    with running(sys.executable, "-c", _SERVE, "serve", *upstreams, "--port", "0", "--quiet") as url:
        yield url.rstrip("/")


# --- what a person does ---


class Person:
    """Looks at the page, with a watch."""

    def __init__(self, browser: Browser, base: str) -> None:
        self._context = browser.new_context(viewport={"width": 1280, "height": 800})
        self.page: Page = self._context.new_page()
        self.base = base
        self.rows: list[dict[str, Any]] = []
        self.bytes = 0
        self._protocol = self._context.new_cdp_session(self.page)
        self._protocol.send("Network.enable")
        self._protocol.on("Network.loadingFinished", self._came)

    def _came(self, event: dict[str, Any]) -> None:
        self.bytes += int(event["encodedDataLength"])

    def times(self, what: str, act: Callable[[], object], until: str, target: float) -> float:
        """Do something, wait until it shows, and note how long it took."""
        self.bytes = 0
        began = time.perf_counter()
        act()
        self.page.wait_for_function(until, timeout=120_000, polling="raf")
        took = time.perf_counter() - began
        self.rows.append(
            {"what": what, "seconds": took, "target": target, "bytes": self.bytes, "load": os.getloadavg()[0]}
        )
        return took

    def go(self, path: str) -> None:
        """Open an address anew; it is what a click on a link does, and the page itself besides."""
        self.page.goto("about:blank")
        self.page.goto(self.base + path, wait_until="commit")

    def close(self) -> None:
        self._context.close()


_CARDS = "document.querySelectorAll('.card').length"
_SHARP = "() => document.querySelector('.stage')?.dataset.state === 'ready'"
_PICTURES = """() => { const seen = [...document.querySelectorAll('.strip .thumb img')].filter((each) => {
  const { top, bottom } = each.getBoundingClientRect(); return bottom > 0 && top < innerHeight; });
  return seen.length > 3 && seen.every((each) => each.naturalWidth > 0); }"""


def look_at_list(browser: Browser, base: str, where: str, studies: int) -> list[dict[str, Any]]:
    """The first ten seconds, a filter, and on to hundreds of studies."""
    person = Person(browser, base)
    page = person.page
    person.times(
        f"{where}: search is there", lambda: person.go("/"), "() => document.activeElement?.name === 'text'", 0.5
    )
    person.times(f"{where}: newest studies, warm", lambda: person.go("/"), f"() => {_CARDS} >= {min(25, studies)}", 2.0)
    person.times(f"{where}: their thumbnails in view", lambda: None, _PICTURES, 3.0)
    one = "[...document.querySelectorAll('.card b')].map((each) => each.innerText)"
    word = "Knee"
    person.times(
        f"{where}: a word", lambda: page.get_by_role("searchbox").fill(word),
        f"() => {{ const all = {one}; return all.length > 3 && all.every((each) => each.includes('{word}')); }}", 2.0,
    )  # fmt: skip
    page.get_by_role("searchbox").fill("")
    page.wait_for_function(
        f"() => {_CARDS} >= {min(25, studies)} && new Set({one}.map((each) => each.split(' ')[0])).size > 1"
    )
    for shown in range(25, min(studies, 250), 25):
        person.times(
            f"{where}: on to {shown + 25} studies", lambda: page.get_by_role("button", name="Show more").click(),
            f"() => {_CARDS} >= {min(shown + 25, studies)}", 2.0,
        )  # fmt: skip
        page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
    person.times(f"{where}: thumbnails at the end", lambda: None, _PICTURES, 3.0)
    heap = page.evaluate("() => performance.memory.usedJSHeapSize") / 2**20
    nodes = page.evaluate("() => document.querySelectorAll('*').length")
    person.rows.append(
        {"what": f"{where}: page of {page.evaluate(_CARDS)} studies", "megabytes": heap, "elements": nodes}
    )
    person.close()
    return person.rows


def look_at_series(browser: Browser, base: str, what: str, path: str, times: int) -> list[dict[str, Any]]:
    """The first sharp picture, by a gateway and page that know nothing of it, and then again and again."""
    person = Person(browser, base)
    person.times(f"{what}: first picture, cold", lambda: person.go(f"/view/{path}"), _SHARP, 5.0)
    person.page.wait_for_timeout(1500)  # what comes ahead
    again = [person.times("", lambda: person.go(f"/view/{path}"), _SHARP, 1.5) for _ in range(times)]
    best = person.rows[1:]
    del person.rows[1:]
    row = {**best[0], "what": f"{what}: first picture, warm", "seconds": statistics.median(again), "best": min(again)}
    person.rows.append(row)
    person.close()
    return person.rows


@contextmanager
def chromium() -> Iterator[Browser]:
    """With WebGL in software, as on a machine without a graphics card."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # of the group browser

    arguments = ["--no-sandbox", "--disable-quic", "--disable-background-networking", "--use-gl=angle"]
    arguments += ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--enable-precise-memory-info"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        yield running
        running.close()


def told_of(row: dict[str, Any]) -> str:
    """A line for people."""
    if "seconds" not in row:
        return f"{row['what']:48} {row['megabytes']:6.1f} MB of JavaScript, {row['elements']} elements"
    late = "" if row["seconds"] <= row["target"] else "  LATE"
    best = f" (best {row['best']:.2f})" if "best" in row else ""
    size = f"{row['bytes'] / 1e6:6.2f} MB, load {row['load']:.1f}"
    return f"{row['what']:48} {row['seconds']:6.2f} s of {row['target']:.1f}{best} {size}{late}"


def main() -> None:
    """Measure, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=300, help="studies of the folder")
    parser.add_argument("--pixels", type=int, default=102_400, help="of the slide, along each side")
    parser.add_argument("--slices", type=int, default=120)
    parser.add_argument("--times", type=int, default=5, help="warm openings of each series")
    parser.add_argument("--json", type=Path, help="write what was found there")
    parser.add_argument("--archive", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.archive:
        serve_archive(chosen.studies, chosen.pixels, chosen.slices)
        return
    leave_the_network()
    sizes = [f"--{name}={getattr(chosen, name)}" for name in ("studies", "pixels", "slices")]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        with running(sys.executable, __file__, "--archive", *sizes) as told:
            url, slide, ct = json.loads(told)
            with gateway(f"pacs={url}") as base:
                rows += look_at_list(browser, base, f"PACS of {chosen.studies}", chosen.studies)
            with gateway(f"pacs={url}") as base:
                rows += look_at_series(browser, base, f"slide of {chosen.pixels} px", slide, chosen.times)
                rows += look_at_series(browser, base, f"CT of {chosen.slices} slices", ct, chosen.times)
        write_folder(Path(folder), chosen.files)
        with gateway(f"files={folder}") as base:
            rows += look_at_list(browser, base, f"folder of {chosen.files}", chosen.files)
    for row in rows:
        print(told_of(row))  # noqa: T201  # a command
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
