"""Backing off: a server that is too busy is asked by all requests together for less, later, and not in vain."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import slides
from aiohttp import web
from connecting import client_of
from faults import fault, first, status
from serving import is_right, serving, zarr_level
from waiting import SECONDS

import dicomzarr
from dicomzarr.errors import (
    HTTPStatusError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitedError,
    ServerFailureError,
)
from dicomzarr.options import StorageOptions
from dicomzarr.session.opening import endpoint_for
from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob
from dicomzarr.sources.http.limiter import RequestLimiter, RequestSlot
from dicomzarr.sources.http.pacing import REMEMBERED, Pacing
from dicomzarr.sources.http.retry import TRIES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp.typedefs import Handler, Middleware

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.errors import DicomZarrError
    from dicomzarr.sources.dicomweb.client import Client
    from dicomzarr.sources.http.redirects import Request

BASE = "https://server.example/dicom-web"


def limited(retry_after: float | None = None) -> RateLimitedError:
    return RateLimitedError("HTTP status 429.", status=429, retry_after=retry_after)


# --- the pace, without a clock ---


def test_each_epoch_halves_once_down_to_one() -> None:
    pacing = Pacing(8, 1000)
    seen = []
    for _ in range(TRIES):
        pacing.succeed(pacing.epoch - 1)  # of before: it keeps hope up, and does not quicken the pace
        epoch = pacing.epoch
        for _ in range(3):  # several that were under way together
            assert pacing.slow_down(0.0, epoch, limited())
        seen.append(pacing.connections)
    assert seen == [4, 2, 1, 1]


def test_it_grows_by_one_for_as_many_as_were_served() -> None:
    pacing = Pacing(4, 60)
    for _ in range(3):
        pacing.slow_down(0.0, pacing.epoch, limited())
    seen = []
    for _ in range(12):
        pacing.succeed(pacing.epoch)
        seen.append(pacing.connections)
    assert seen == [2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4]
    assert pacing.served == 12


def test_what_was_too_much_is_tried_again_slowly() -> None:
    pacing = Pacing(8, 60)
    for _ in range(3):
        pacing.succeed(pacing.epoch)
    pacing.slow_down(0.0, pacing.epoch, limited())
    for _ in range(4 + 5 + 6 + 63):
        pacing.succeed(pacing.epoch)
    assert pacing.connections == 7
    pacing.succeed(pacing.epoch)
    assert pacing.connections == 8


def test_pauses_grow_unless_the_server_names_them() -> None:
    pacing = Pacing(8, 60)
    assert pacing.pause(100.0) <= 0
    pacing.slow_down(100.0, pacing.epoch, limited())
    assert 0.1 <= pacing.pause(100.0) <= 0.3
    pacing.slow_down(100.0, pacing.epoch, limited())
    assert 0.2 <= pacing.pause(100.0) <= 0.6
    pacing.slow_down(100.0, pacing.epoch, limited(7))
    assert pacing.pause(100.0) == 7
    assert pacing.pause(107.0) == 0


def test_a_late_refusal_makes_the_pause_longer_but_never_shorter() -> None:
    pacing = Pacing(8, 60)
    epoch = pacing.epoch
    pacing.slow_down(0.0, epoch, limited(7))
    for late, pause in ((limited(3), 7), (limited(), 7), (limited(9), 9)):
        assert pacing.slow_down(0.0, epoch, late)
        assert pacing.pause(0.0) == pause
    assert pacing.connections == 4
    pacing.resume(8.0)
    assert pacing.pause(8.0) == 1
    pacing.resume(9.0)
    assert pacing.pause(9.0) <= 0


def test_hope_ends_when_nothing_is_served() -> None:
    pacing = Pacing(8, 60)
    busy = ServerFailureError("HTTP status 503.", status=503)
    assert [pacing.slow_down(0.0, pacing.epoch, busy) for _ in range(TRIES)] == [True, True, True, False]
    assert pacing.refusal(0.0) is None  # it may serve the next
    assert pacing.pause(0.0) <= 0
    assert [pacing.slow_down(0.0, pacing.epoch, limited(25)) for _ in range(3)] == [True, True, False]
    assert pacing.slow_down(0.0, pacing.epoch, limited(25))
    pacing.succeed(pacing.epoch)
    assert [pacing.slow_down(0.0, pacing.epoch, limited(25)) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("error", [QuotaExceededError("Used up.", status=429), limited(3600)])
def test_what_no_waiting_helps_is_remembered_for_a_while(error: RateLimitedError) -> None:
    pacing = Pacing(8, 60)
    assert not pacing.slow_down(50.0, pacing.epoch, error)
    assert pacing.refusal(50.0) is error
    assert pacing.refusal(50.0 + REMEMBERED - 0.1) is error
    assert pacing.refusal(50.0 + REMEMBERED) is None
    assert pacing.connections == 1
    if error.retry_after:
        assert "3600 s" in str(error)
        assert "60 s" in str(error)


# --- the limit of requests under way ---


@dataclass
class Time:
    """A clock that only sleeping moves."""

    now: float = 1000.0
    pauses: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)
        self.now += seconds


def test_who_gives_up_waiting_takes_no_slot() -> None:
    async def run() -> None:
        time = Time()
        limiter = RequestLimiter(Pacing(1, 60), time, time.sleep)
        done = []

        async def one(name: str) -> None:
            async with RequestSlot(limiter):
                done.append(name)
                await asyncio.sleep(0)

        tasks = {name: asyncio.ensure_future(one(name)) for name in "abcd"}
        await asyncio.sleep(0)  # a is under way, the others wait
        tasks["b"].cancel()
        await asyncio.sleep(0)
        tasks["c"].cancel()  # whose slot has just come
        await asyncio.wait(tasks.values())
        assert done == ["a", "d"]
        async with asyncio.timeout(SECONDS), RequestSlot(limiter):
            pass

    asyncio.run(run())


def test_nobody_waits_for_a_pause_that_nobody_wants() -> None:
    async def run() -> None:
        limiter = RequestLimiter(Pacing(2, 60), lambda: 1000.0, asyncio.sleep)
        assert limiter.slow_down(0, limited(50))
        waiting = asyncio.ensure_future(limiter.take())
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 3
        waiting.cancel()
        await asyncio.sleep(0)
        again = asyncio.ensure_future(limiter.take())
        await asyncio.sleep(0)
        assert not again.done()
        again.cancel()
        await asyncio.gather(waiting, again, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


# --- a client, and a server without a network ---


@dataclass
class Reply:
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "image/jpeg"})
    url: str = BASE
    body: bytes = b"\xff\xd8\xff pixels"

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.body


@dataclass
class Busy:
    """Answers each request a few ticks later, as a function of how many are under way and how many there were."""

    answer: Callable[[int, int], Reply]
    under_way: int = 0
    most: list[int] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def get(self, request: Request) -> AsyncIterator[Reply]:
        self.under_way += 1
        self.urls.append(request.url)
        self.most.append(self.under_way)
        reply = self.answer(self.under_way, len(self.urls))
        try:
            for _ in range(4):
                await asyncio.sleep(0)
            yield reply
        finally:
            self.under_way -= 1


def connect(server: Busy, time: Time, **options: Any) -> Client:
    return client_of(BASE, **options, transport=server, sleep=time.sleep, clock=time)


@dataclass
class Outcome:
    """What became of frames."""

    came: set[int] = field(default_factory=set)
    failures: dict[int, DicomZarrError] = field(default_factory=dict)

    def arrived(self, number: int, _: EncodedFrame) -> None:
        self.came.add(number)

    def failed(self, number: int, error: DicomZarrError) -> None:
        self.failures[number] = error


async def fetch_singly(client: Client, count: int, start: int = 1) -> tuple[set[int], dict[int, DicomZarrError]]:
    """Ask for frames, each alone; gives those that came and the others' errors."""
    outcome = Outcome()
    numbers = range(start, start + count)
    await asyncio.gather(*(client.frames(FrameJob("1.2", "1.3", "1.4", [number], outcome)) for number in numbers))
    return outcome.came, outcome.failures


def test_all_requests_share_one_pause() -> None:
    """Eight that were refused together do not sleep eight times, and do not come back together."""
    server = Busy(lambda _, nth: Reply(429, {"retry-after": "7"}) if nth <= 8 else Reply())
    time = Time()
    client = connect(server, time)
    assert client.connections == 8
    came, failed = asyncio.run(fetch_singly(client, 60))
    assert (len(came), failed) == (60, {})
    assert time.pauses == [7]
    assert max(server.most[:8]) == 8
    assert max(server.most[8:14]) <= 4
    assert client.connections == 8
    assert max(server.most) == 8
    assert len(server.urls) == 68


@pytest.mark.parametrize("code", [429, 503])
def test_the_number_of_connections_that_a_server_bears_is_found(code: int) -> None:
    server = Busy(lambda under_way, _: Reply() if under_way <= 3 else Reply(code, {}))
    time = Time()
    client = connect(server, time, max_connections=16)
    came, failed = asyncio.run(fetch_singly(client, 400))
    if code == 429:
        assert (len(came), failed) == (400, {})
    assert len(came) + len(failed) == 400
    assert len(failed) <= 4  # each after four tries: a 503 may be the failure of the one frame
    assert len(server.urls) < 450
    assert len(time.pauses) < 20
    assert client.connections <= 5


@dataclass
class Picky(Busy):
    """Refuses frame 1 a number of times, and no other."""

    code: int = 429
    refusals: int = 0

    @asynccontextmanager
    async def get(self, request: Request) -> AsyncIterator[Reply]:
        async with super().get(request) as reply:
            refused = request.url.endswith("/frames/1") and self.refusals > 0
            self.refusals -= refused
            yield Reply(self.code, {}) if refused else reply


@pytest.mark.parametrize(("code", "refusals", "comes"), [(429, 6, True), (429, 100, False), (503, 100, False)])
def test_one_unlucky_request_among_lucky_ones(code: int, refusals: int, comes: bool) -> None:  # noqa: FBT001
    """A limit that others use up is not this frame's failure, unless it never ends."""
    server = Picky(lambda _n, _m: Reply(), code=code, refusals=refusals)

    async def run() -> None:
        client = connect(server, Time(), max_connections=2)
        unlucky = asyncio.ensure_future(fetch_singly(client, 1))
        while not unlucky.done():
            assert await fetch_singly(client, 1, start=2) == ({2}, {})
        came, failed = await unlucky
        assert (1 in came) is comes
        if not comes:
            assert isinstance(failed[1], HTTPStatusError)
            assert failed[1].status == code

    asyncio.run(run())
    assert len([url for url in server.urls if url.endswith("/frames/1")]) <= 20


def test_a_server_that_stays_busy_is_given_up_for_all_at_once() -> None:
    server = Busy(lambda _n, _m: Reply(503, {}))
    time = Time()
    came, failed = asyncio.run(fetch_singly(connect(server, time), 200))
    assert not came
    assert len(failed) == 200
    assert len({id(error) for error in failed.values()}) == 200
    assert len(server.urls) == 8 + 4 + 2 + 1
    assert len(time.pauses) == 3
    assert sum(time.pauses) < 3
    for number, error in failed.items():
        assert isinstance(error, ServerFailureError)
        assert f"frame {number} of instance 1.4" in str(error)


def test_the_budget_of_pauses_is_one_without_progress() -> None:
    """A server that asks for pauses, and serves between them, is waited for longer than the timeout in all."""
    server = Busy(lambda _, nth: Reply(429, {"retry-after": "40"}) if nth % 3 == 0 else Reply())
    time = Time()
    came, failed = asyncio.run(fetch_singly(connect(server, time, max_connections=1, timeout=60), 20))
    assert (len(came), failed) == (20, {})
    assert sum(time.pauses) > 300
    never = Busy(lambda _n, _m: Reply(429, {"retry-after": "40"}))
    time = Time()
    came, failed = asyncio.run(fetch_singly(connect(never, time, max_connections=1, timeout=60), 20))
    assert len(failed) == 20
    assert time.pauses == [40]
    assert len(never.urls) == 2


@pytest.mark.parametrize(("window", "timeout"), [(1, 10), (10, 60), (30, 60)])
def test_a_limit_that_names_no_time_is_waited_for_until_the_timeout(window: float, timeout: float) -> None:
    """Twenty requests in each window: a first read may find it used up by others."""
    time = Time()
    served: Counter[int] = Counter({0: 20})

    def answer(_under_way: int, _nth: int) -> Reply:
        served[int(time.now // window)] += 1
        return Reply() if served[int(time.now // window)] <= 20 else Reply(429, {})

    came, failed = asyncio.run(fetch_singly(connect(Busy(answer), time, timeout=timeout), 100))
    assert (len(came), failed) == (100, {})


@pytest.mark.parametrize("timeout", [3, 60])
def test_a_limit_that_never_ends_is_given_up_at_the_timeout(timeout: float) -> None:
    server, time = Busy(lambda _n, nth: Reply() if nth <= 20 else Reply(429, {})), Time()
    came, failed = asyncio.run(fetch_singly(connect(server, time, timeout=timeout), 100))
    assert (len(came), len(failed)) == (20, 80)
    assert timeout / 6 < sum(time.pauses) <= timeout
    assert len(server.urls) < 70


def test_a_limit_of_a_server_that_has_served_nothing_is_told_soon() -> None:
    server, time = Busy(lambda _n, _m: Reply(429, {})), Time()
    came, failed = asyncio.run(fetch_singly(connect(server, time), 100))
    assert (came, len(failed)) == (set(), 100)
    assert len(time.pauses) < 4


QUOTA = Reply(429, {"content-type": "text/html; charset=utf-8"}, body=b"")


def test_a_used_up_quota_is_told_to_all_and_remembered() -> None:
    server = Busy(lambda _n, _m: QUOTA)
    time = Time()

    async def run() -> None:
        client = connect(server, time)
        came, failed = await fetch_singly(client, 300)
        assert not came
        assert len(failed) == 300
        assert all(isinstance(error, QuotaExceededError) for error in failed.values())
        assert "00:00 UTC" in failed[300].remedy
        assert "frame 300 of instance 1.4" in str(failed[300])
        assert len(server.urls) == 8
        time.now += REMEMBERED - 0.5
        with pytest.raises(QuotaExceededError, match=r"metadata of series 1\.3"):
            await client.series_metadata("1.2", "1.3")
        assert len(server.urls) == 8
        time.now += 1
        _, failed = await fetch_singly(client, 300)
        assert len(failed) == 300
        assert len(server.urls) == 9  # one finds out

    asyncio.run(run())
    assert time.pauses == []


@pytest.mark.parametrize("code", [429, 503])
def test_a_pause_beyond_the_timeout_is_told_at_once(code: int) -> None:
    server = Busy(lambda _n, _m: Reply(code, {"retry-after": "3600"}))
    time = Time()
    _, failed = asyncio.run(fetch_singly(connect(server, time), 100))
    assert len(failed) == 100
    for error in failed.values():
        assert isinstance(error, HTTPStatusError)
        assert error.retry_after == 3600
        assert "3600 s" in error.remedy
        assert "timeout" in error.remedy
    assert (len(server.urls), time.pauses) == (8, [])


def test_a_server_may_recover_from_a_quota() -> None:
    server = Busy(lambda _, nth: QUOTA if nth == 1 else Reply())
    time = Time()

    async def run() -> None:
        client = connect(server, time, max_connections=4)
        assert len((await fetch_singly(client, 1))[1]) == 1
        assert client.connections == 1
        time.now += REMEMBERED
        assert len((await fetch_singly(client, 40))[0]) == 40
        assert client.connections == 4

    asyncio.run(run())


def test_other_failures_pause_nobody_else() -> None:
    server = Busy(lambda _, nth: Reply(502, {}) if nth == 1 else Reply())
    time = Time()
    client = connect(server, time, max_connections=4)
    came, _ = asyncio.run(fetch_singly(client, 12))
    assert len(came) == 12
    assert client.connections == 4
    assert len(time.pauses) == 1
    missing = Busy(lambda _n, _m: Reply(403, {}))
    came, failed = asyncio.run(fetch_singly(connect(missing, time), 12))
    assert len(missing.urls) == 12
    assert all(isinstance(error, PermissionDeniedError) for error in failed.values())


# --- over HTTP ---

SLIDE = slides.brightfield_pyramid()


def bears(most: int, code: int = 429) -> Middleware:
    """A server that refuses more than ``most`` requests for frames at once, and takes its time for each."""
    under_way = 0

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal under_way
        if under_way >= most:
            return web.Response(status=code)
        under_way += 1
        try:
            await asyncio.sleep(0.01)
            return await handler(request)
        finally:
            under_way -= 1

    return fault(act)


def test_a_server_that_bears_two_requests_is_read_whole() -> None:
    with serving(SLIDE, bears(2)) as served:
        array = zarr_level(served.url, frames_per_request=1, max_connections=8)
        image = dicomzarr.open(served.url, frames_per_request=1, max_connections=8, cache_bytes=0)
        assert is_right(np.asarray(array[...]), SLIDE.levels[0])
        assert is_right(image.levels[0][...], SLIDE.levels[0])


def test_a_quota_costs_a_read_few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicomzarr.sources.http.pacing.REMEMBERED", SECONDS)
    page = {"Content-Type": "text/html"}
    with serving(SLIDE, status(429, page, "<html>Quota</html>")) as served:
        image = dicomzarr.open(served.url, frames_per_request=1)
        for _ in range(5):
            with pytest.raises(QuotaExceededError, match="00:00 UTC"):
                image.levels[0][...]
        assert served.count() <= 8


def test_a_restart_of_the_server_is_waited_for() -> None:
    with serving(SLIDE, status(503, when=first(8))) as served:
        image = dicomzarr.open(served.url, frames_per_request=1, max_connections=8)
        assert is_right(image.levels[0][...], SLIDE.levels[0])
        assert endpoint_for(served.server.url, StorageOptions.parse()).source.client.connections >= 4
