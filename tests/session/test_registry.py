"""What a process remembers of servers and identities, and what it lets go of: connections, secrets and threads."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from faults import fault, status
from radiology_model import AXIAL, distinct
from radiology_volumes import volume
from serving import Served, serving, settle
from slides import brightfield_pyramid
from waiting import SECONDS

from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.engine.ports import SeriesRef
from dicomzarr.errors import CredentialsUnavailableError, NotFoundError
from dicomzarr.options import StorageOptions
from dicomzarr.options.limits import Limits as ClientLimits
from dicomzarr.runtime.home_loop import home_loop, run_sync
from dicomzarr.session.opening import endpoint_of, make_endpoint
from dicomzarr.session.registry import Endpoint, Endpoints, Limits
from dicomzarr.sources.dicomweb.source import DICOMwebSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web
    from aiohttp.typedefs import Handler

    from dicomzarr.omezarr.series_store import SeriesStore

SLIDE = brightfield_pyramid()
REF = SeriesRef(SLIDE.study_uid, SLIDE.series_uid)
CHUNK = "0/c/0/0/0"
down, across = SLIDE.levels[0].tile
EXPECTED = SLIDE.levels[0].pixels[:, 0, :down, :across].tobytes()


def opened(endpoints: Endpoints, served: Served, **options: Any) -> SeriesStore:
    """The slide, as somebody opens it."""
    parsed = StorageOptions.parse(**options)
    return run_sync(endpoints.get(served.server.url, parsed).store, REF, parsed)


def is_right(store: SeriesStore) -> bool:
    return run_sync(store.get, CHUNK) == EXPECTED


def test_the_series_used_last_stay_open() -> None:
    endpoints = Endpoints(make_endpoint, Limits(views=2))
    options = StorageOptions.parse()
    series = [volume(AXIAL, distinct((1, 4, 6), 16), bits=16, name=str(number)) for number in range(3)]
    with DICOMwebServer(Archive([dataset for each in series for dataset in each.datasets])) as server:

        def metadata_asked(number: int) -> int:
            before = len(server.requests)
            ref = SeriesRef(series[number].study_uid, series[number].series_uid)
            run_sync(endpoints.get(server.url, options).store, ref, options)
            return len(server.requests) - before

        assert [metadata_asked(number) for number in (0, 1, 0, 2, 0, 1)] == [1, 1, 0, 1, 0, 1]


def test_what_is_in_use_is_not_made_anew() -> None:
    endpoints = Endpoints(make_endpoint, Limits(endpoints=4))
    with serving(SLIDE) as served:
        tokens = [{"X-Token": str(number)} for number in range(8)]
        options = [StorageOptions.parse(headers=each) for each in tokens]
        held = [endpoints.get(served.server.url, each) for each in options]
        stores = [opened(endpoints, served, headers=each) for each in tokens]
        for _ in range(2):
            assert [endpoints.get(served.server.url, each) for each in options] == held
            assert [opened(endpoints, served, headers=each) for each in tokens] == stores
        assert served.count("metadata") == 8
        assert len(endpoints.recent) == 4


def test_identities_come_and_go() -> None:
    """Tokens that change leave neither secrets nor threads behind."""
    most = 8
    endpoints = Endpoints(make_endpoint, Limits(endpoints=most))
    before = set(threading.enumerate())
    with serving(SLIDE) as served:
        held = opened(endpoints, served, headers={"x-token": "kept"})
        for number in range(2 * most):
            options: dict[str, Any] = {"auth": partial(dict, n="1")} if number % 2 else {"headers": {"n": str(number)}}
            assert is_right(opened(endpoints, served, **options))
        assert len(endpoints.recent) == most
        threads = {each for each in set(threading.enumerate()) - before if each.name.startswith("dicomzarr-auth")}
        assert threads
        secrets = [endpoint._access.secrets for endpoint in endpoints.recent.values()]
        references = [each.reference for each in secrets if each is not None]
        assert len(references) == most
        del secrets
        home_loop().call_soon_threadsafe(endpoints.close)
        settle()
        for thread in threads:
            thread.join(SECONDS)
            assert not thread.is_alive()
        for reference in references:
            with pytest.raises(CredentialsUnavailableError):
                StorageOptions.parse(credentials=reference)
        assert is_right(held)


# --- connections ---


class Connections:
    """Those to a server that are open."""

    def __init__(self) -> None:
        self._seen: set[asyncio.BaseTransport] = set()
        self.middleware = fault(self._act, on="any")

    async def _act(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        assert request.transport is not None
        self._seen.add(request.transport)
        return await handler(request)

    @property
    def open(self) -> int:
        return sum(not each.is_closing() for each in list(self._seen))

    def wait_for(self, number: int) -> None:
        """Wait until so many are open; idle ones would stay open for longer."""
        ends = time.monotonic() + SECONDS
        while self.open != number:
            assert time.monotonic() < ends
            time.sleep(0.005)


def _make_patient_endpoint(base: str, options: StorageOptions, limits: Limits) -> Endpoint:
    """An endpoint whose connections are not closed for being idle."""
    client_limits = ClientLimits(seconds_idle=10 * SECONDS)
    source = DICOMwebSource.of(base, options.access, options.tuning, client_limits)
    return endpoint_of(source, base, options, limits)


@pytest.fixture
def endpoints() -> Iterator[Endpoints]:
    """Endpoints of which the one used last is remembered, but for those in use."""
    made = Endpoints(_make_patient_endpoint, Limits(endpoints=1))
    yield made
    home_loop().call_soon_threadsafe(made.close)
    settle()


def _driven_out(endpoints: Endpoints, served: Served) -> None:
    endpoints.get(served.server.url, StorageOptions.parse(headers={"X-Token": "another"}))


def _all_forgotten(endpoints: Endpoints, served: Served) -> None:  # noqa: ARG001  # as the others
    home_loop().call_soon_threadsafe(endpoints.close)


def _invalidated(endpoints: Endpoints, served: Served) -> None:
    endpoints.get(served.server.url, StorageOptions.parse()).forget()


WAYS = [_driven_out, _all_forgotten, _invalidated]


@pytest.mark.parametrize("let_go", WAYS)
def test_connections_close_when_an_access_is_let_go_of(
    endpoints: Endpoints, let_go: Callable[[Endpoints, Served], None]
) -> None:
    connections = Connections()
    with serving(SLIDE, connections.middleware) as served:
        store = opened(endpoints, served)
        assert is_right(store)
        assert connections.open
        let_go(endpoints, served)
        connections.wait_for(0)
        assert is_right(store)  # what somebody holds opens others


def test_they_close_after_a_failure_too(endpoints: Endpoints) -> None:
    connections = Connections()
    with serving(SLIDE, connections.middleware, status(404, on="any")) as served:
        with pytest.raises(NotFoundError):
            opened(endpoints, served)
        assert connections.open
        _driven_out(endpoints, served)
        connections.wait_for(0)


@pytest.mark.parametrize("let_go", WAYS)
def test_what_is_being_read_comes_before_they_close(
    endpoints: Endpoints, let_go: Callable[[Endpoints, Served], None]
) -> None:
    asked, answer = threading.Event(), threading.Event()

    async def hold(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked.set()
        await asyncio.to_thread(answer.wait, SECONDS)
        return await handler(request)

    connections = Connections()
    with serving(SLIDE, connections.middleware, fault(hold)) as served, ThreadPoolExecutor(1) as pool:
        store = opened(endpoints, served)
        reading = pool.submit(is_right, store)
        assert asked.wait(SECONDS)
        let_go(endpoints, served)
        answer.set()
        assert reading.result(SECONDS)
        assert served.count("frames") == 1
        connections.wait_for(0)
