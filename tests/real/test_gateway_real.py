"""The gateway before a real Orthanc and before folders of real files; and a real browser that shows its frames."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
import pydicom
import pytest
from aiohttp import web
from gateways import ask, folder_upstream, gateway
from opened import group_at
from PIL import Image
from radiology_oracles import stored_by_pydicom
from real_data import FOLDER, real_series
from waiting import SECONDS

from dicomzarr.faces.gateway.upstreams import Upstream
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.session.kinds import parse_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from orthanc import Orthanc


SLICES = ("ct_explicit_le", "ct_jpegls", "ct_jpeg_lossless", "mr_small_stack")
SLIDES = ("slide_cmu1", "slide_camelyon_level")


def uids_of(folder: str) -> tuple[str, str]:
    header = pydicom.dcmread(next(iter(sorted(real_series(folder).glob("*.dcm")))), stop_before_pixels=True)
    return str(header.StudyInstanceUID), str(header.SeriesInstanceUID)


def path_of(folder: str) -> str:
    study, series = uids_of(folder)
    return f"studies/{study}/series/{series}.zarr"


class Before(NamedTuple):
    """A gateway, and one of its upstreams."""

    gateway: str
    upstream: str

    def at(self, route: str, path: str) -> str:
        return f"{self.gateway}/{route}/{self.upstream}/{path}"


@pytest.fixture(scope="module")
def both(orthanc: Orthanc) -> Iterator[str]:
    for folder in (*SLICES, *SLIDES):
        orthanc.load(sorted(real_series(folder).glob("*.dcm")))
    base = orthanc.series_url("1.2", "3.4").partition("/studies/")[0]
    server = Upstream("orthanc", parse_url(base), {"labels": True})
    with gateway(server, folder_upstream(FOLDER, "folder", labels=True)) as each:
        yield each.url


@pytest.fixture(params=["orthanc", "folder"])
def running(request: pytest.FixtureRequest, both: str) -> Before:
    return Before(both, request.param)


@pytest.mark.parametrize("version", ["0.5", "0.4"])
@pytest.mark.parametrize("folder", SLICES)
def test_slices_are_those_of_pydicom(running: Before, folder: str, version: str) -> None:
    stored = {
        stored_by_pydicom(pydicom.dcmread(path)).tobytes(): path.name for path in real_series(folder).glob("*.dcm")
    }
    array = group_at(running.at(version, path_of(folder)))["0"]
    planes = np.asarray(array[...]).reshape(-1, *array.shape[-2:])
    assert len(planes) == len(stored)
    assert {plane.tobytes() for plane in planes} == set(stored)


@pytest.mark.parametrize("folder", SLIDES)
def test_each_tile_of_a_slide_is_handed_through_and_is_the_chunk(running: Before, folder: str) -> None:
    path = path_of(folder)
    document = ask(running.at("0.5", f"{path}/zarr.json")).json
    seen = 0
    for name, array in document["consolidated_metadata"]["metadata"].items():
        if array["node_type"] != "array" or "/" in name:
            continue
        shape, chunk = array["shape"], array["chunk_grid"]["configuration"]["chunk_shape"]
        for key in np.ndindex(*(-(-size // part) for size, part in zip(shape, chunk, strict=True))):
            below = f"{path}/{name}/c/{'/'.join(map(str, key))}"
            frame, raw = ask(running.at("frames", below)), ask(running.at("0.5", below))
            assert (frame.status, raw.status) == (200, 200)
            pixels = np.moveaxis(np.asarray(Image.open(io.BytesIO(frame.body)).convert("RGB")), -1, 0)
            assert pixels.tobytes() == raw.body
            seen += 1
    assert seen >= 10


def test_the_lists_and_the_thumbnails(running: Before) -> None:
    found = ask(running.at("api", "studies?limit=200")).json
    studies = {row["study"] for row in found["rows"]}
    for folder in (*SLICES, *SLIDES):
        study, series = uids_of(folder)
        assert study in studies
        rows = ask(running.at("api", f"studies/{study}/series")).json["rows"]
        assert series in {row["series"] for row in rows}
        reply = ask(running.at("api", f"studies/{study}/series/{series}/thumbnail?size=96"))
        assert reply.status == 200
        picture = np.asarray(Image.open(io.BytesIO(reply.body)))
        assert max(picture.shape[:2]) <= 96
        assert picture.std() > 5  # it shows something
        assert study in re.findall(r'href="([^"]+)/"', ask(running.at("0.5", "studies/")).text)


# --- a browser ---

PAGE = """<!doctype html><title>waiting</title><script type="module">
async function planes(url) {
  const bitmap = await createImageBitmap(await (await fetch(url)).blob(),
    {colorSpaceConversion: "none", premultiplyAlpha: "none"});
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  canvas.drawImage(bitmap, 0, 0);
  const {data} = canvas.getImageData(0, 0, bitmap.width, bitmap.height);
  const count = bitmap.width * bitmap.height, found = new Uint8Array(3 * count);
  for (let at = 0; at < count; at++) for (let c = 0; c < 3; c++) found[c * count + at] = data[4 * at + c];
  return found;
}
const {base, keys} = QUESTION;
let difference = 0, seen = 0, problem = "";
try {
  for (const key of keys) {
    const [shown, raw] = await Promise.all([planes(`${base}/frames/${key}`),
      fetch(`${base}/0.5/${key}`).then(reply => reply.arrayBuffer())]);
    const stored = new Uint8Array(raw);
    if (stored.length !== shown.length) throw new Error("length");
    for (let at = 0; at < stored.length; at++) difference = Math.max(difference, Math.abs(stored[at] - shown[at]));
    seen++;
  }
} catch (error) { problem = String(error); }
await fetch("/found", {method: "POST", body: JSON.stringify({difference, seen, problem})});
</script><body></body>"""


@contextmanager
def page(question: Mapping[str, Any]) -> Iterator[tuple[str, Future[Any]]]:
    """A page of another origin on this machine; gives its URL, and what it finds."""
    text, found = PAGE.replace("QUESTION", json.dumps(question)), Future[Any]()

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.method == "POST":
            found.set_result(json.loads(await request.read()))
        return web.Response(text=text, content_type="text/html")

    async def start() -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = run_sync(start)
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", found
    finally:
        run_sync(runner.cleanup)


def _absent(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.mark.slow
@pytest.mark.parametrize("folder", SLIDES)
def test_chromium_shows_exactly_the_values_of_the_chunk(both: str, folder: str, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        _absent("no chromium")
    path = f"folder/{path_of(folder)}"
    document = ask(f"{both}/0.5/{path}/0/zarr.json").json
    grid = [
        -(-size // part)
        for size, part in zip(document["shape"], document["chunk_grid"]["configuration"]["chunk_shape"], strict=True)
    ]
    keys = [f"{path}/0/c/{'/'.join(map(str, key))}" for key in np.ndindex(*grid)][:20]
    with page({"base": both, "keys": keys}) as (url, found):
        command = [
            chromium,
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"),
            *("--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"),
            *(f"--user-data-dir={tmp_path}", url),
        ]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as browser:  # noqa: S603  # no other program
            try:
                assert found.result(SECONDS) == {"difference": 0, "seen": len(keys), "problem": ""}
            finally:
                browser.terminate()
