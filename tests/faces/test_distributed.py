"""dask.distributed: arrays travel to workers by URL and by the names of credentials, which workers find themselves."""

from __future__ import annotations

import asyncio
import base64
import gc
import os
import pickle
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import cloudpickle  # type: ignore[import-untyped]  # it has no types
import dask
import dask.array as da
import distributed.comm.tcp
import numpy as np
import pytest
import slides
import xarray as xr
from distributed import Client, LocalCluster
from faults import before, require, status
from serving import Served, forget_servers, serving, zarr_level
from waiting import SECONDS

import dicomzarr
from dicomzarr.errors import AuthenticationError, CredentialsUnavailableError, PermissionDeniedError
from dicomzarr.session import opening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web

VARIABLE = "DICOMZARR_TEST_TOKEN"
OURS, THEIRS = "t0ken-of-the-user", "t0ken-of-the-workers"
"""Two tokens, so that it shows whose was used: both are good."""
BY_NAME = {"auth": f"env:{VARIABLE}"}

SLIDE = slides.brightfield_pyramid()
"""Level 0 is 200 x 257 pixels in tiles of 64: 4 x 5 frames."""
PIXELS = SLIDE.levels[0].pixels[:, 0]
SUM = int(PIXELS.sum(dtype=np.int64))


def bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {os.environ[VARIABLE]}"}


def by_level(url: str, options: dict[str, Any]) -> Any:
    return dicomzarr.open(url, **options).levels[0].to_dask(chunks=(3, 64, 64))


def by_from_zarr(url: str, options: dict[str, Any]) -> Any:
    return da.from_zarr(url, component="0", storage_options=options)  # type: ignore[no-untyped-call]  # dask's


def by_zarr_array(url: str, options: dict[str, Any]) -> Any:
    return da.from_zarr(zarr_level(url, **options))  # type: ignore[no-untyped-call]  # dask's


def by_datatree(url: str, options: dict[str, Any]) -> Any:
    return xr.open_datatree(url, engine="dicomzarr", chunks={}, storage_options=options)["0"]["image"]


def by_to_xarray(url: str, options: dict[str, Any]) -> Any:
    return dicomzarr.open(url, **options).to_xarray().chunk({"y": 64, "x": 64})["0"]["image"]


FACES = [by_level, by_from_zarr, by_zarr_array, by_datatree, by_to_xarray]


@contextmanager
def running_cluster() -> Iterator[Client]:
    """Two workers, each a process with a token of its own in its environment."""
    with (
        LocalCluster(  # type: ignore[no-untyped-call]  # distributed's
            n_workers=2,
            processes=True,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # a free port: without one it takes 8787 or warns
            worker_dashboard_address="127.0.0.1:0",
            env={VARIABLE: THEIRS},
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]  # as above
    ):
        yield client


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with running_cluster() as each:
        yield each


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, OURS)


def door() -> Any:
    return require('Bearer realm="test"', lambda header: header in {f"Bearer {OURS}", f"Bearer {THEIRS}"})


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(SLIDE, door()) as each:
        yield each


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> Callable[[str, dict[str, Any]], Any]:
    made: Callable[[str, dict[str, Any]], Any] = request.param
    return made


def spellings(secret: str) -> set[bytes]:
    """A secret as it is, and wherever it may stand inside base64."""
    encoded = {base64.b64encode(b" " * shift + secret.encode())[2 + shift : -4] for shift in range(3)}
    return {secret.encode(), *encoded}


SPELLINGS = spellings(OURS) | spellings(THEIRS) | spellings(f"Bearer {OURS}")


def assert_silent(*data: bytes) -> None:
    for spelling in SPELLINGS:
        assert not any(spelling in each for each in data)


def used(served: Served, *resources: str) -> set[str]:
    """The tokens that were used to ask for these resources."""
    return {
        request.headers.get("Authorization", "").removeprefix("Bearer ")
        for request in served.server.requests
        if request.resource in resources
    }


def test_the_search_for_secrets_finds_them() -> None:
    for login in (OURS, f":{OURS}", f"me:{OURS}", f"you:{OURS} and more"):
        with pytest.raises(AssertionError):
            assert_silent(base64.b64encode(login.encode()))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All that this process, in which the scheduler runs too, sends from now on."""
    frames: list[bytes] = []
    module: Any = distributed.comm.tcp
    write = module.to_frames

    async def record(*args: Any, **kwargs: Any) -> Any:
        made = await write(*args, **kwargs)
        frames.extend(bytes(frame) for frame in made)
        return made

    monkeypatch.setattr(module, "to_frames", record)
    return frames


def test_a_reduction_of_a_level_is_right(
    client: Client, served: Served, sent: list[bytes], face: Callable[[str, dict[str, Any]], Any]
) -> None:
    with dask.config.set({"distributed.comm.compression": False}):
        array = face(served.url, BY_NAME)
        before = len(served.server.requests)
        future: Any = client.compute(array.sum())  # type: ignore[no-untyped-call]  # distributed's
        assert int(future.result(SECONDS)) == SUM
    assert used(served, "frames") == {THEIRS}
    assert not [request for request in served.server.requests[before:] if OURS in request.headers["Authorization"]]
    assert any(BY_NAME["auth"].encode() in frame for frame in sent)
    graph = array.__dask_graph__()
    assert_silent(*sent, cloudpickle.dumps(graph), pickle.dumps(array), repr(graph).encode(), repr(array).encode())


def sessions_and_caches() -> tuple[int, int, int]:
    """How many endpoints, aiohttp sessions and decoders this process holds."""
    gc.collect()
    sessions = [each for each in gc.get_objects() if isinstance(each, aiohttp.ClientSession) and not each.closed]
    return os.getpid(), len(opening._endpoints.recent), len(sessions)


def test_each_worker_holds_one_session_and_one_cache(client: Client, served: Served) -> None:
    run: Callable[..., dict[str, Any]] = client.run
    run(forget_servers)
    for face in FACES:
        assert int(face(served.url, BY_NAME).sum().compute(scheduler=client)) == SUM
    held = run(sessions_and_caches)
    assert len({process for process, _, _ in held.values()} - {os.getpid()}) == 2
    assert [(endpoints, sessions) for _, endpoints, sessions in held.values()] == [(1, 1)] * 2
    metadata = [request for request in served.server.requests if request.resource == "metadata"]
    assert sum(THEIRS in request.headers["Authorization"] for request in metadata) == 2
    assert sum(OURS in request.headers["Authorization"] for request in metadata) == 1
    # Each frame is asked for once by each worker at most, however often it is read.
    assert len(served.frames_asked()) <= 2 * 20


def test_a_function_that_workers_can_import_travels(client: Client, served: Served) -> None:
    for auth in (bearer, f"{__name__}:bearer"):
        array = by_level(served.url, {"auth": auth})
        assert_silent(cloudpickle.dumps(array.__dask_graph__()))
        assert int(array.sum().compute(scheduler=client)) == SUM
    assert used(served, "frames") == {THEIRS}


def set_variable(value: str | None) -> None:
    if value is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = value


def test_a_worker_without_the_variable_says_so(client: Client, served: Served) -> None:
    run: Callable[..., object] = client.run
    array = by_level(served.url, BY_NAME)
    run(forget_servers)
    run(set_variable, None)
    try:
        with pytest.raises(AuthenticationError, match=VARIABLE) as caught:
            array.sum().compute(scheduler=client)
        assert "not set" in str(caught.value)
    finally:
        run(set_variable, THEIRS)
    assert int(array.sum().compute(scheduler=client)) == SUM


@pytest.mark.parametrize("make", [by_level, by_from_zarr, by_to_xarray])
@pytest.mark.parametrize(
    "options",
    [{"headers": {"Authorization": f"Bearer {OURS}"}}, {"auth": lambda: {"Authorization": f"Bearer {OURS}"}}],
    ids=["headers", "lambda"],
)
def test_what_cannot_travel_is_told(
    client: Client,
    served: Served,
    sent: list[bytes],
    make: Callable[[str, dict[str, Any]], Any],
    options: dict[str, Any],
) -> None:
    array = make(served.url, options)
    with pytest.raises(CredentialsUnavailableError, match="env:VARIABLE") as caught:
        array.sum().compute(scheduler=client)
    assert "stayed in the process" in str(caught.value)
    assert used(served, "frames") == set()
    assert_silent(*sent, str(caught.value).encode(), pickle.dumps(caught.value))
    assert int(array.sum().compute(scheduler="threads")) == SUM


def test_failures_of_a_worker_come_back_whole(client: Client) -> None:
    """As distributed pickles them: with all that led to them, in which there must be neither circles nor secrets."""
    with serving(slides.concatenation(leave_out=2)) as lost, serving(SLIDE, door()) as served:
        array = by_level(lost.url, {})
        with pytest.raises(dicomzarr.errors.MissingInstanceError, match="instance"):
            array.sum().compute(scheduler=client)
        level = by_level(served.url, BY_NAME)
        client.run(set_variable, "wr0ng-token")
        client.run(forget_servers)
        try:
            with pytest.raises(AuthenticationError, match="401") as caught:
                level.sum().compute(scheduler=client)
        finally:
            client.run(set_variable, THEIRS)
        assert b"wr0ng" not in pickle.dumps(caught.value)


def fails_on_workers() -> dict[str, str]:
    if os.environ[VARIABLE] == THEIRS:
        raise ValueError(THEIRS)
    return bearer()


def test_what_a_failing_function_says_stays_on_the_worker(client: Client, served: Served) -> None:
    array = by_level(served.url, {"auth": fails_on_workers})
    with pytest.raises(AuthenticationError, match="failed with ValueError") as caught:
        array.sum().compute(scheduler=client)
    error: BaseException | None = caught.value
    while error is not None:
        assert not isinstance(error, ValueError)
        error = error.__context__ or error.__cause__
    assert_silent(pickle.dumps(caught.value))


def test_a_frame_that_fails_on_a_worker(client: Client) -> None:
    with serving(SLIDE, status(403)) as served, pytest.raises(PermissionDeniedError, match="frame"):
        by_level(served.url, {}).sum().compute(scheduler=client)


def test_a_worker_that_is_killed_changes_nothing() -> None:
    killed = threading.Event()

    async def wait(_: web.Request) -> None:
        while not killed.is_set():  # noqa: ASYNC110  # another thread's
            await asyncio.sleep(0.01)

    slow = before(wait, on="frames", when=lambda number: number >= 4)
    with serving(SLIDE, door(), slow) as served, running_cluster() as client:
        future: Any = client.compute(by_level(served.url, BY_NAME).sum())  # type: ignore[no-untyped-call]  # distributed's
        deadline = time.monotonic() + SECONDS
        while served.count() < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        victim, survivor = sorted(client.run(os.getpid).values())
        os.kill(victim, signal.SIGKILL)
        assert not future.done()
        asked = served.count()
        assert 4 <= asked < 20
        killed.set()
        assert int(future.result(SECONDS)) == SUM
        assert served.count() > asked
        client.wait_for_workers(2, timeout=SECONDS)
        assert victim not in client.run(os.getpid).values()
        assert survivor != victim


pytestmark = [
    pytest.mark.slow,  # to start a cluster, for the most part
    pytest.mark.skipif(sys.platform == "win32", reason="workers are killed by a signal"),
]
