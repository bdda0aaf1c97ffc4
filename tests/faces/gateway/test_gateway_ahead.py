"""Series that were listed are opened ahead: behind all else, one at a time, and only while somebody looks at them."""

from __future__ import annotations

import asyncio
import copy
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
import radiology
from faults import fault
from gateways import ask, gateway, server_upstream
from pydicom.uid import UID
from waiting import SECONDS

from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.engine.ports import SeriesRef
from dicomzarr.errors import ServerError
from dicomzarr.faces.gateway.ahead import Ahead
from dicomzarr.faces.gateway.turns import ThumbnailTurns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web
    from aiohttp.typedefs import Handler
    from pydicom.dataset import Dataset

    from dicomzarr.faces.gateway.upstreams import Upstream

VOLUME = radiology.BUILDERS["volume"]()
STUDY = f"studies/{VOLUME.study_uid}"


def another(number: int, modality: str = "MR") -> Dataset:
    """A slice of a series of its own, in the same study."""
    dataset = copy.deepcopy(VOLUME.datasets[0])
    dataset.SeriesInstanceUID, dataset.SOPInstanceUID = UID(f"1.2.{number}"), UID(f"1.2.{number}.1")
    dataset.Modality = modality
    return dataset


class Slow:
    """Metadata come when the test lets them."""

    def __init__(self) -> None:
        self.let_go, self.asked = threading.Event(), threading.Semaphore(0)
        self.paths: list[str] = []

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.paths.append(request.path)
        self.asked.release()
        while not self.let_go.is_set():  # noqa: ASYNC110  # it is set in another thread
            await asyncio.sleep(0.01)
        return await handler(request)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def server(slow: Slow) -> Iterator[DICOMwebServer]:
    datasets = [*VOLUME.datasets, another(1), another(2), another(3, "SR")]
    with DICOMwebServer(Archive(datasets), middlewares=[fault(slow, on="metadata")]) as each:
        yield each


def until(holds: Callable[[], bool]) -> None:
    for _ in range(int(SECONDS * 100)):
        if holds():
            return
        threading.Event().wait(0.01)
    raise TimeoutError


def test_what_was_listed_is_open_before_it_is_asked_for(server: DICOMwebServer, slow: Slow) -> None:
    with gateway(server_upstream(server)) as running:
        rows = ask(f"{running.url}/api/{STUDY}/series").json["rows"]
        assert {row["series"]: row.get("pixels", True) for row in rows}["1.2.3"] is False
        assert slow.asked.acquire(timeout=SECONDS)
        assert len(slow.paths) == 1  # one at a time
        slow.let_go.set()
        upstream = running.shared.upstreams.by_name["one"]
        with_pixels = [row["series"] for row in rows if row.get("pixels", True)]
        refs = [SeriesRef(VOLUME.study_uid, uid) for uid in with_pixels]
        until(lambda: all(upstream.endpoint.held(ref, upstream.views[3]) for ref in refs))
        assert len(slow.paths) == len(with_pixels) == 3  # what has no pixels is left alone
        for series in with_pixels:
            assert ask(f"{running.url}/0.5/{STUDY}/series/{series}.zarr/zarr.json").status == 200
        assert len(slow.paths) == 3


def test_a_page_that_is_left_has_nothing_more_opened(server: DICOMwebServer, slow: Slow) -> None:
    with gateway(server_upstream(server)) as running:
        ask(f"{running.url}/api/{STUDY}/series?page=mine")
        assert slow.asked.acquire(timeout=SECONDS)
        left = f"{running.url}/api/ahead/mine"
        assert ask(left).status == 405
        assert ask(left, "DELETE").status == 415
        assert ask(left, "DELETE", Content_Type="application/json", Origin="http://evil.example").status == 403
        assert ask(f"{running.url}/api/ahead", "DELETE", Content_Type="application/json").status == 404
        assert ask(left, "DELETE", Content_Type="application/json").json == {"left": 2}
        slow.let_go.set()
        until(running.shared.ahead._task.done)  # type: ignore[union-attr]  # it was begun
        assert len(slow.paths) == 1


def test_with_credentials_of_callers_nothing_is_opened_ahead(server: DICOMwebServer, slow: Slow) -> None:
    with gateway(server_upstream(server), pass_through=True) as running:
        assert ask(f"{running.url}/api/{STUDY}/series", Authorization="Bearer a").status == 200
        assert (running.shared.ahead.waiting, slow.paths) == (0, [])


@dataclass(eq=False)
class Opened:
    """An upstream that notes what is opened."""

    refs: list[SeriesRef] = field(default_factory=list)
    caller: str = ""
    thumbnails: ThumbnailTurns = field(default_factory=ThumbnailTurns)

    async def store(self, ref: SeriesRef, zarr_format: int) -> None:
        assert zarr_format == 3
        self.refs.append(ref)
        await asyncio.sleep(0)
        if ref.series.endswith("7"):
            raise ServerError("It does not come.")


def refs(study: int, count: int) -> list[SeriesRef]:
    return [SeriesRef(str(study), f"{study}.{number}") for number in range(count)]


def run(test: Callable[[Ahead, Opened, Upstream], Any]) -> None:
    async def running() -> None:
        ahead, opened = Ahead(), Opened()
        try:
            await test(ahead, opened, cast("Upstream", opened))
        finally:
            await ahead.close()

    asyncio.run(running())


def test_the_last_listed_come_first_and_a_bound_holds() -> None:
    async def test(ahead: Ahead, opened: Opened, upstream: Upstream) -> None:
        for study in range(10):
            ahead.listed(upstream, refs(study, 40), "")
        assert ahead.waiting == 48
        assert ahead._task is not None
        await ahead._task
        assert opened.refs == [ref for study in (9, 8, 7) for ref in refs(study, 16)]  # one that fails holds up none

    run(test)


def test_whoever_waits_for_a_frame_goes_first() -> None:
    async def test(ahead: Ahead, opened: Opened, upstream: Upstream) -> None:
        with opened.thumbnails.frame():
            ahead.listed(upstream, refs(1, 2), "a")
            for _ in range(10):
                await asyncio.sleep(0)
            assert opened.refs == []
        assert ahead._task is not None
        await ahead._task
        assert opened.refs == refs(1, 2)

    run(test)
