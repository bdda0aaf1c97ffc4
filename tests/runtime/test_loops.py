"""Event loops, threads and forks: whoever asks, one loop serves, and nobody waits for himself."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import fsspec
import numpy as np
import pytest
import slides
from faults import delay
from serving import run_python, serving, settle, zarr_level
from waiting import SECONDS

import dicomzarr
from dicomzarr.engine.cache import FrameCache
from dicomzarr.engine.scheduler import Scheduler
from dicomzarr.engine.series_state import SeriesState
from dicomzarr.engine.source import FrameSource
from dicomzarr.errors import DicomZarrError, EventLoopError
from dicomzarr.runtime.crossing import Crossing
from dicomzarr.runtime.home_loop import home_loop, run_home, run_sync
from dicomzarr.runtime.pools import DECODERS
from dicomzarr.session import opening
from dicomzarr.sources.http import session_cleanup
from dicomzarr.sources.http.redirects import Request
from dicomzarr.sources.http.transport import AiohttpTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SLIDE = slides.brightfield_pyramid()
PIXELS = SLIDE.levels[0].pixels[:, 0]


@pytest.fixture
def url() -> Iterator[str]:
    with serving(SLIDE) as served:
        yield served.url


# --- loops ---


def test_a_synchronous_call_on_the_home_loop_raises_at_once(url: str) -> None:
    fs, path = fsspec.url_to_fs(url)
    image = dicomzarr.open(url)

    async def on_the_home_loop(call: Callable[[], object]) -> None:
        call()

    calls: list[Callable[[], object]] = [
        lambda: image.levels[0][:, 0, 0],
        lambda: np.asarray(image.levels[3]),
        lambda: image.levels[0].read([np.s_[:, 0, 0]]),
        lambda: dicomzarr.open(url, include_phi=True),
        lambda: fs.cat_file(f"{path}/zarr.json"),
        lambda: fs.ls(path),
    ]
    for call in calls:
        with pytest.raises(EventLoopError, match="another thread"):
            run_sync(on_the_home_loop, call)
    assert (image.levels[0][...] == PIXELS).all()


def test_synchronous_calls_inside_a_running_loop(url: str) -> None:
    """As in a notebook, whose cells run inside a loop."""

    async def cell() -> None:
        image = dicomzarr.open(url)
        assert (image.levels[0][...] == PIXELS).all()
        lazy: Any = image.levels[0].to_dask()
        assert (lazy.compute() == PIXELS).all()
        array = zarr_level(url)
        assert (np.asarray(array[...]) == PIXELS).all()
        fs, path = fsspec.url_to_fs(url)
        assert fs.cat_file(f"{path}/zarr.json")

    asyncio.run(cell())


def test_asynchronous_calls_on_any_loop(url: str) -> None:
    async def chunks() -> list[bytes]:
        fs = fsspec.filesystem("dicomweb", asynchronous=True)
        return list(await asyncio.gather(*(fs._cat_file(f"{url}/0/c/0/{row}/0") for row in range(4))))

    expected = [PIXELS[:, row * 64 : row * 64 + 64, :64] for row in range(3)]
    for found in (asyncio.run(chunks()), asyncio.run(chunks()), run_sync(chunks)):
        shown = [np.frombuffer(chunk, np.uint8).reshape(3, 64, 64) for chunk in found]
        assert all((one == other).all() for one, other in zip(shown, expected, strict=False))
    loop = asyncio.new_event_loop()
    assert len(loop.run_until_complete(chunks())) == 4
    loop.close()


def test_loops_and_threads_at_once() -> None:
    with serving(SLIDE) as served:
        image = dicomzarr.open(served.url)
        array = zarr_level(served.url)
        start = threading.Barrier(6, timeout=SECONDS)
        right: list[bool] = []

        def by_level() -> None:
            start.wait()
            right.append(bool((image.levels[0][...] == PIXELS).all()))

        def by_zarr() -> None:
            start.wait()
            right.append(bool((np.asarray(array[...]) == PIXELS).all()))

        def by_loop() -> None:
            start.wait()

            async def read() -> bool:
                return bool((await asyncio.to_thread(image.levels[0].__getitem__, ...) == PIXELS).all())

            right.append(asyncio.run(read()))

        threads = [threading.Thread(target=target) for target in (by_level, by_zarr, by_loop) * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert right == [True] * 6
        assert sorted(served.frames_asked()) == list(range(1, 21))


def test_run_home_runs_on_the_home_loop() -> None:
    async def running() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert asyncio.run(run_home(running)) is home_loop()
    assert run_sync(run_home, running) is home_loop()
    assert run_sync(running) is home_loop()


# --- crossings ---


def test_one_tick_crosses_once() -> None:
    crossed: list[int] = []

    async def ask(question: int) -> int:
        assert asyncio.get_running_loop() is home_loop()
        await asyncio.sleep(0)
        return question * 2

    crossing = Crossing()
    serve = crossing._serve

    def counted(batch: Any, loop: asyncio.AbstractEventLoop) -> None:
        crossed.append(len(batch))
        serve(batch, loop)

    crossing._serve = counted  # type: ignore[method-assign]  # to see the batches

    async def questions() -> list[int]:
        return await asyncio.gather(*(crossing.get(ask, number) for number in range(10)))

    assert asyncio.run(questions()) == list(range(0, 20, 2))
    assert crossed == [10]
    assert run_sync(questions) == list(range(0, 20, 2))
    assert crossed == [10]


def test_nobody_waits_for_the_slowest() -> None:
    """Each is released as its answer comes, and those of one tick together."""
    slow = threading.Event()

    async def ask(question: int) -> int:
        if question == 0:
            await asyncio.to_thread(slow.wait, SECONDS)
        if question == 1:
            raise ValueError(question)
        return question

    crossing = Crossing()

    async def questions() -> int:
        last, failed, *others = (asyncio.ensure_future(crossing.get(ask, number)) for number in range(10))
        try:
            async with asyncio.timeout(SECONDS):
                assert await asyncio.gather(*others) == list(range(2, 10))
                with pytest.raises(ValueError, match="1"):
                    await failed
            assert not last.done()
        finally:
            slow.set()
        return await last

    returns = []
    cross_back = crossing._cross_back

    def counted(loop: asyncio.AbstractEventLoop) -> None:
        returns.append(loop)
        cross_back(loop)

    crossing._cross_back = counted  # type: ignore[method-assign]  # to see how often
    assert asyncio.run(questions()) == 0
    assert len(returns) == 2


def test_a_source_is_gone_with_its_last_reader() -> None:
    """And its connections with it, without waiting for the garbage collector."""
    source = FrameSource(Scheduler(cast("Any", None), FrameCache(0)), SeriesState("1.2", "1.2.3"))
    gone = weakref.ref(source)
    del source
    assert gone() is None


def test_an_opening_that_takes_long_keeps_nobody_waiting(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compose = opening.compose
    started, end = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Any:
        started.set()
        assert end.wait(SECONDS)
        return compose(*arguments)

    image = dicomzarr.open(url)
    monkeypatch.setattr(opening, "compose", slow)
    opener = threading.Thread(target=dicomzarr.open, args=(url,), kwargs={"include_phi": True})
    opener.start()
    try:
        assert started.wait(SECONDS)
        assert (image.levels[0][...] == PIXELS).all()
    finally:
        end.set()
        opener.join()


def test_a_crossing_brings_each_its_own_failure() -> None:
    async def ask(question: int) -> int:
        if question % 2:
            raise ValueError(question)
        return question

    crossing = Crossing()

    async def questions() -> list[Any]:
        return await asyncio.gather(*(crossing.get(ask, number) for number in range(4)), return_exceptions=True)

    answers = asyncio.run(questions())
    assert answers[::2] == [0, 2]
    assert [str(answer) for answer in answers[1::2]] == ["1", "3"]


def test_a_reader_of_another_loop_may_give_up() -> None:
    release = threading.Event()

    async def ask(question: int) -> int:
        await asyncio.to_thread(release.wait, SECONDS)
        return question

    crossing = Crossing()

    async def give_up_on_one() -> int:
        gone, stays = asyncio.ensure_future(crossing.get(ask, 1)), asyncio.ensure_future(crossing.get(ask, 2))
        await asyncio.sleep(0.01)
        gone.cancel()
        release.set()
        answer = await stays
        with pytest.raises(asyncio.CancelledError):
            await gone
        return answer

    assert asyncio.run(give_up_on_one()) == 2


def test_a_loop_may_be_closed_before_its_answers_come(url: str) -> None:
    """Nothing is left behind, and the next loop reads."""

    async def impatient() -> None:
        fs = fsspec.filesystem("dicomweb", asynchronous=True)
        await fs._cat_file(f"{url}/zarr.json")
        asyncio.ensure_future(fs._cat_file(f"{url}/0/c/0/0/0"))  # noqa: RUF006  # nobody waits for it
        await asyncio.sleep(0)

    async def patient() -> bytes:
        chunk: bytes = await fsspec.filesystem("dicomweb", asynchronous=True)._cat_file(f"{url}/0/c/0/0/0")
        return chunk

    for _ in range(5):
        asyncio.run(impatient())
    settle()
    found = np.frombuffer(asyncio.run(patient()), np.uint8).reshape(3, 64, 64)
    assert (found == PIXELS[:, :64, :64]).all()


# --- decode threads ---


def test_decoding_runs_in_threads_of_our_own() -> None:
    meeting = threading.Barrier(DECODERS.threads + 1, timeout=SECONDS)
    names: set[str] = set()

    def decode() -> None:
        names.add(threading.current_thread().name)
        meeting.wait()

    for _ in range(DECODERS.threads):
        DECODERS.submit(decode)
    meeting.wait()
    assert len(names) == DECODERS.threads
    assert all(name.startswith("dicomzarr-decode") for name in names)


# --- forks and exits ---

FORK = """
import json, os, signal, threading, traceback
import dask, fsspec, numpy as np, zarr
import dicomzarr

url = sys.argv[1]
image = dicomzarr.open(url, cache_bytes=0)
array = zarr.open_group(url, mode="r", storage_options={"cache_bytes": 0})["0"]
fs, path = fsspec.url_to_fs(url, cache_bytes=0)
expected = image.levels[0][...]
assert (array[...] == expected).all()
chunk = fs.cat_file(path + "/0/c/0/1/1")
lazy = image.levels[0].to_dask(chunks=(3, 64, 64))
done = threading.Event()

def read_on():
    while not done.is_set():
        assert (image.levels[0][:, :64] == expected[:, :64]).all()
        assert (array[:, :64] == expected[:, :64]).all()

def check():
    for _ in range(2):
        assert (image.levels[0][...] == expected).all()
        assert (array[...] == expected).all()
        assert fs.cat_file(path + "/0/c/0/1/1") == chunk
        assert (lazy.compute(scheduler="synchronous") == expected).all()
        assert (dicomzarr.open(url).levels[0][...] == expected).all()

busy = [threading.Thread(target=read_on) for _ in range(2)]
for thread in busy:
    thread.start()
statuses = []
for _ in range(int(sys.argv[2])):
    child = os.fork()
    if not child:
        signal.alarm(100)  # a child that hangs ends by SIGALRM
        try:
            check()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    statuses.append(os.waitpid(child, 0)[1])
done.set()
for thread in busy:
    thread.join()
check()
print(json.dumps(statuses))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.slow
def test_forked_children_read(url: str) -> None:
    """As the workers of a data loader do, forked while the parent reads in other threads."""
    assert run_python(FORK, url, "8") == [0] * 8


def test_a_session_that_is_collected_waits_for_nobody() -> None:
    """Garbage is collected wherever memory is asked for, even under a lock that the loop waits for."""

    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    session = run_sync(make)
    connector = session.connector
    lock, got = threading.Lock(), threading.Event()

    def need_the_lock() -> None:
        if lock.acquire(timeout=SECONDS / 10):
            got.set()

    with lock:
        home_loop().call_soon_threadsafe(need_the_lock)
        session_cleanup.dispose(session, home_loop(), os.getpid(), SECONDS)
    assert got.wait(SECONDS)
    run_sync(asyncio.sleep, 0.01)
    assert connector is not None
    assert connector.closed


@pytest.mark.parametrize("begun", [False, True])
def test_connections_that_are_closed_beneath_a_request_are_an_error_of_ours(*, begun: bool) -> None:
    """As the process ends: nobody may be left to hear of it, and asyncio would tell the user of anything else."""

    async def ask() -> None:
        connected, finished = asyncio.Event(), asyncio.Event()

        async def dawdle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if begun:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
            connected.set()
            await finished.wait()
            writer.close()

        async def read() -> None:
            async with transport.get(Request(f"http://127.0.0.1:{port}/", {})) as response:
                async for _ in response.chunks():
                    pass

        async with await asyncio.start_server(dawdle, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            transport = AiohttpTransport(f"http://127.0.0.1:{port}")
            asking = asyncio.create_task(read())
            await connected.wait()
            connections = transport._connections
            assert connections is not None
            session_cleanup.dispose(connections.session, asyncio.get_running_loop(), os.getpid())
            with pytest.raises(DicomZarrError):
                await asyncio.wait_for(asking, SECONDS)
            finished.set()

    asyncio.run(ask())


@pytest.mark.parametrize("ours", [True, False])
def test_the_loop_tells_of_lost_connections_of_others_alone(*, ours: bool) -> None:
    """The garbage collector closes those of a process that ends in the middle of a request, whatever comes first."""
    told: list[str] = []

    async def lose() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context["message"]))
        transport = AiohttpTransport("http://127.0.0.1:9/")
        connections = transport._open_connections()
        async with aiohttp.ClientSession() as others:
            lost = SimpleNamespace(_connector=(connections.session if ours else others).connector)
            loop.call_exception_handler({"message": "Unclosed connection", "client_connection": lost})
        transport.close()

    asyncio.run(lose())
    assert told == ([] if ours else ["Unclosed connection"])


EXITS = {
    "after reading": """
array[...], image.levels[0].to_dask().compute(), fs.cat_file(path + "/0/c/0/0/0")
""",
    "while reading": """
import asyncio, time
from dicomzarr.runtime.home_loop import home_loop
asyncio.run_coroutine_threadsafe(fs._cat_file(path + "/0/c/0/0/0"), home_loop())
time.sleep(0.05)
""",
}
"""What a process has done when it ends, its connections still open."""


@pytest.mark.parametrize(
    ("deed", "seconds"),
    [
        pytest.param("after reading", 0.0, marks=pytest.mark.slow),  # to import dask, for the most part
        ("while reading", 0.3),
    ],
)
def test_a_process_ends_without_a_word(deed: str, seconds: float) -> None:
    script = f"""
import sys, dicomzarr, fsspec, zarr
image = dicomzarr.open(sys.argv[1])
array = zarr.open_group(sys.argv[1], mode="r")["0"]
fs, path = fsspec.url_to_fs(sys.argv[1])
{EXITS[deed]}
"""
    with serving(SLIDE, delay(seconds, on="frames")) as served:
        command = [sys.executable, "-W", "default", "-W", "ignore::DeprecationWarning", "-c", script, served.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603  # our own
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
