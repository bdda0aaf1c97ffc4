"""Series that are kept on disk: in the background, listed, ended, removed; and by nobody's order but the page's own."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import radiology
from asking import ALWAYS_WHOLE, ask_by
from faults import fault, status
from folders import write
from gateways import Reply, ask, folder_upstream, gateway, server_upstream
from radiology_model import distinct
from radiology_volumes import volume
from serving import forget_servers
from slides import brightfield_pyramid
from waiting import SECONDS

from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiohttp import web
    from aiohttp.typedefs import Handler

    from dicomzarr.faces.gateway.server import Gateway

SLIDE = brightfield_pyramid()
VOLUME = radiology.BUILDERS["volume"]()
SLIDE_SERIES = f"studies/{SLIDE.study_uid}/series/{SLIDE.series_uid}"
VOLUME_STUDY = f"studies/{VOLUME.study_uid}"
VOLUME_SERIES = f"{VOLUME_STUDY}/series/{VOLUME.series_uid}"
FRAMES = len(VOLUME.datasets)


class Hold:
    """Lets requests for frames wait until the test lets go of them."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.came = threading.Event()

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.came.set()
        while not self.let_go.is_set():  # noqa: ASYNC110  # it is set in another thread
            await asyncio.sleep(0.01)
        return await handler(request)


def order(url: str, method: str = "POST", **headers: str) -> Reply:
    """Ask as the page does."""
    host = urlsplit(url).netloc
    return ask(url, method, **{"Content_Type": "application/json", "Origin": f"http://{host}", **headers})


def ended(running: Gateway, job: int) -> dict[str, Any]:
    """A job when it has ended."""
    pause = threading.Event()
    for _ in range(int(SECONDS * 50)):
        jobs = ask(f"{running.url}/api/jobs").json["jobs"]
        (found,) = (each for each in jobs if each["job"] == job)
        if found["state"] not in ("waiting", "running"):
            return found  # type: ignore[no-any-return]  # JSON
        pause.wait(0.02)
    raise TimeoutError


@pytest.fixture
def served() -> Iterator[DICOMwebServer]:
    with DICOMwebServer(Archive([*SLIDE.datasets, *VOLUME.datasets])) as server:
        yield server


@pytest.mark.parametrize("path", [VOLUME_SERIES, VOLUME_STUDY, SLIDE_SERIES])
def test_what_is_kept_is_read_later_without_a_frame_from_the_server(
    served: DICOMwebServer, tmp_path: Path, path: str
) -> None:
    with gateway(server_upstream(served, cache_dir=tmp_path)) as running:
        reply = order(f"{running.url}/api/{path}/kept")
        assert reply.status == 202
        job = ended(running, reply.json["job"])
        assert (job["state"], job["said"]) == ("kept", "")
        assert job["frames"] == job["of"] > 0
        series = path if "/series/" in path else VOLUME_SERIES
        assert ask(f"{running.url}/api/{series}/kept").json == {"frames": job["of"], "of": job["of"]}
    forget_servers()
    before = len(served.requests)
    with gateway(server_upstream(served, cache_dir=tmp_path)) as running:
        chunk = ask(f"{running.url}/0.5/{series}.zarr/0/c/0/0/0")
        assert chunk.status == 200
    assert {request.resource for request in served.requests[before:]} <= {"metadata", "series"}


def test_a_series_of_slices_is_kept_as_it_is_read_at_once(tmp_path: Path) -> None:
    """After single frames were measured it comes whole; and what of it is there already is not asked for."""
    pixels = distinct((150, 8, 10), 12)
    series = volume(pixels=pixels)
    path = f"studies/{series.study_uid}/series/{series.series_uid}"
    with (
        DICOMwebServer(Archive(series.datasets)) as server,
        gateway(server_upstream(server, cache_dir=tmp_path)) as running,
    ):
        ask_by(server.url, ALWAYS_WHOLE)
        for number in range(40, 50):
            ask(f"{running.url}/0.5/{path}.zarr/0/c/{number}/0/0")
        before = len(server.requests)
        job = ended(running, order(f"{running.url}/api/{path}/kept").json["job"])
        assert (job["state"], job["frames"], job["of"], job["said"]) == ("kept", 150, 150, "")
        asked = [request.resource for request in server.requests[before:]]
        assert asked.count("series") == 1
        assert asked.count("frames") <= 24
        assert ask(f"{running.url}/api/{path}/kept").json == {"frames": 150, "of": 150}
        chunk = ask(f"{running.url}/0.5/{path}.zarr/0/c/77/0/0").body
        assert np.array_equal(np.frombuffer(chunk, "<u2"), pixels[77].ravel())


def test_what_is_there_already_is_not_fetched_again(served: DICOMwebServer, tmp_path: Path) -> None:
    with gateway(server_upstream(served, cache_dir=tmp_path)) as running:
        url = f"{running.url}/api/{VOLUME_SERIES}/kept"
        ended(running, order(url).json["job"])
        before = len(served.requests)
        job = ended(running, order(url).json["job"])
        assert (job["state"], job["frames"]) == ("kept", FRAMES)
        assert len(ask(f"{running.url}/api/jobs").json["jobs"]) == 1
        assert not [each for each in served.requests[before:] if each.resource in ("frames", "instances")]


def test_removing_empties_the_cache_and_nothing_else(served: DICOMwebServer, tmp_path: Path) -> None:
    with gateway(server_upstream(served, cache_dir=tmp_path)) as running:
        for series in (VOLUME_SERIES, SLIDE_SERIES):
            ended(running, order(f"{running.url}/api/{series}/kept").json["job"])
        assert order(f"{running.url}/api/{VOLUME_SERIES}/kept", "DELETE").json == {"removed": 1}
        assert ask(f"{running.url}/api/{VOLUME_SERIES}/kept").json == {"frames": 0, "of": FRAMES}
        slide = ask(f"{running.url}/api/{SLIDE_SERIES}/kept").json
        assert slide["frames"] == slide["of"]
        assert ask(f"{running.url}/0.5/{VOLUME_SERIES}.zarr/0/c/0/0/0").status == 200
    assert not [each for each in served.requests if each.method != "GET"]


def test_a_study_is_removed_as_it_is_kept(served: DICOMwebServer, tmp_path: Path) -> None:
    with gateway(server_upstream(served, cache_dir=tmp_path)) as running:
        ended(running, order(f"{running.url}/api/{VOLUME_STUDY}/kept").json["job"])
        assert order(f"{running.url}/api/{VOLUME_STUDY}/kept", "DELETE").json == {"removed": 1}
        assert ask(f"{running.url}/api/{VOLUME_SERIES}/kept").json["frames"] == 0
        assert ask(f"{running.url}/api/jobs").json == {"jobs": []}


def test_a_job_can_be_ended_and_others_take_its_turn(tmp_path: Path) -> None:
    hold = Hold()
    with (
        DICOMwebServer(Archive([*SLIDE.datasets, *VOLUME.datasets]), middlewares=[fault(hold)]) as server,
        gateway(server_upstream(server, cache_dir=tmp_path)) as running,
    ):
        first = order(f"{running.url}/api/{VOLUME_SERIES}/kept").json["job"]
        assert hold.came.wait(SECONDS)
        assert order(f"{running.url}/api/{VOLUME_SERIES}/kept").json["job"] == first
        second = order(f"{running.url}/api/{SLIDE_SERIES}/kept").json
        assert second["state"] == "waiting"
        assert order(f"{running.url}/api/jobs/{first}", "DELETE").json["state"] == "cancelled"
        hold.let_go.set()
        assert ended(running, second["job"])["state"] == "kept"
        assert ended(running, first)["frames"] < FRAMES
        order(f"{running.url}/api/jobs/{first}", "DELETE")  # it has ended: it is told of no more
        assert [job["job"] for job in ask(f"{running.url}/api/jobs").json["jobs"]] == [second["job"]]
        assert order(f"{running.url}/api/jobs/{first}", "DELETE").status == 404


def test_what_is_removed_while_it_is_fetched_is_not_fetched_further(tmp_path: Path) -> None:
    hold = Hold()
    with (
        DICOMwebServer(Archive(VOLUME.datasets), middlewares=[fault(hold)]) as server,
        gateway(server_upstream(server, cache_dir=tmp_path)) as running,
    ):
        job = order(f"{running.url}/api/{VOLUME_SERIES}/kept").json["job"]
        assert hold.came.wait(SECONDS)
        order(f"{running.url}/api/{VOLUME_SERIES}/kept", "DELETE")
        hold.let_go.set()
        assert ended(running, job)["state"] == "cancelled"
        assert ask(f"{running.url}/api/{VOLUME_SERIES}/kept").json["frames"] == 0


def test_a_gateway_that_ends_waits_for_no_job(tmp_path: Path) -> None:
    hold = Hold()
    with (
        DICOMwebServer(Archive(VOLUME.datasets), middlewares=[fault(hold)]) as server,
        gateway(server_upstream(server, cache_dir=tmp_path)) as running,
    ):
        order(f"{running.url}/api/{VOLUME_STUDY}/kept")
        assert hold.came.wait(SECONDS)
        hold.let_go.set()


def test_a_server_that_does_not_give_frames_ends_the_job_with_its_words(tmp_path: Path) -> None:
    middlewares = [status(403), status(403, on="instances")]
    with (
        DICOMwebServer(Archive(VOLUME.datasets), middlewares=middlewares) as server,
        gateway(server_upstream(server, cache_dir=tmp_path)) as running,
    ):
        job = ended(running, order(f"{running.url}/api/{VOLUME_SERIES}/kept").json["job"])
        assert (job["state"], job["frames"]) == ("failed", 0)
        assert "403" in job["said"]


def test_a_cache_without_room_says_that_not_all_is_kept(served: DICOMwebServer, tmp_path: Path) -> None:
    with gateway(server_upstream(served, cache_dir=tmp_path, cache_dir_bytes=1000)) as running:
        job = ended(running, order(f"{running.url}/api/{VOLUME_SERIES}/kept").json["job"])
        assert (job["state"], job["frames"]) == ("incomplete", 0)
        assert "cache_dir_bytes" in job["said"]


def test_nothing_is_kept_without_a_directory_or_of_a_folder(served: DICOMwebServer, tmp_path: Path) -> None:
    write(tmp_path, VOLUME.datasets)
    with gateway(server_upstream(served), folder_upstream(tmp_path)) as running:
        assert [each["keeps"] for each in ask(f"{running.url}/api/").json["upstreams"]] == [False, False]
        for name in ("one", "files"):
            for method in ("POST", "DELETE"):
                assert order(f"{running.url}/api/{name}/{VOLUME_SERIES}/kept", method).status == 405
    with gateway(server_upstream(served, cache_dir=tmp_path / "cache")) as running:
        assert ask(f"{running.url}/api/").json["upstreams"][0]["keeps"]


def test_what_is_not_there_cannot_be_kept(served: DICOMwebServer, tmp_path: Path) -> None:
    with gateway(server_upstream(served, cache_dir=tmp_path)) as running:
        for path in ("studies/1.2/series/3.4", "studies/1.2"):
            job = ended(running, order(f"{running.url}/api/{path}/kept").json["job"])
            assert job["state"] == "failed"
            assert "1.2" in job["said"]
        for path in ("kept", "studies/kept", f"{VOLUME_SERIES}/x/kept", f"{VOLUME_STUDY}/series/kept", "jobs/x"):
            assert order(f"{running.url}/api/{path}", "DELETE").status == 404
        for route in ("0.5", "0.4"):
            assert ask(f"{running.url}/{route}/{VOLUME_STUDY}/kept/").status == 404


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "https://vizarr.example"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "none"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": "multipart/form-data; boundary=application/json"}, 415),
        ({"Content_Type": "text/plain; application/json"}, 415),
        ({"Content_Type": ""}, 415),
        ({"Host": "evil.example"}, 421),
    ],
)
@pytest.mark.parametrize(("path", "method"), [(f"{VOLUME_SERIES}/kept", "POST"), ("jobs/1", "DELETE")])
def test_no_page_of_another_site_changes_what_is_kept(  # noqa: PLR0913, PLR0917  # fixtures and parameters
    served: DICOMwebServer, tmp_path: Path, path: str, method: str, headers: dict[str, str], expected: int
) -> None:
    """Not even one that may read."""
    origins = frozenset({"https://vizarr.example"})
    with gateway(server_upstream(served, cache_dir=tmp_path), origins=origins) as running:
        assert order(f"{running.url}/api/{path}", method, **headers).status == expected
        assert ask(f"{running.url}/api/jobs").json == {"jobs": []}
        preflight = ask(f"{running.url}/api/{path}", "OPTIONS", Origin="https://vizarr.example")
        allowed = preflight.headers["Access-Control-Allow-Methods"] + preflight.headers["Access-Control-Allow-Headers"]
        assert not any(word in allowed for word in ("POST", "DELETE", "Content-Type", "*"))
    assert not served.requests


def test_a_token_is_asked_for_too(served: DICOMwebServer, tmp_path: Path) -> None:
    with gateway(server_upstream(served, cache_dir=tmp_path), token="secret") as running:  # noqa: S106  # made up
        assert order(f"{running.url}/api/{VOLUME_SERIES}/kept").status == 401
        assert ask(f"{running.url}/api/jobs").status == 401
        assert order(f"{running.url}/api/{VOLUME_SERIES}/kept?token=secret").status == 202


def test_whoever_is_no_browser_needs_no_origin(served: DICOMwebServer, tmp_path: Path) -> None:
    with gateway(server_upstream(served, cache_dir=tmp_path)) as running:
        reply = ask(f"{running.url}/api/{VOLUME_SERIES}/kept", "POST", Content_Type="application/json")
        assert reply.status == 202
