"""Servers that send what nobody asked for on connections that are kept: never another frame than the one asked for."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from radiology_model import AXIAL, distinct
from radiology_volumes import volume
from serving import forget_servers
from thoroughness import swept
from waiting import SECONDS

import dicomzarr
from dicomzarr.demo.instances import from_dataset
from dicomzarr.errors import ServerError
from dicomzarr.runtime.home_loop import run_sync

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    Kind = Callable[[bytes], tuple[str, bytes]]
    Send = Callable[["Line", bytes], None]

SLICES = 12
"""Too few for the whole series to come at once."""
SMALL, LARGE = distinct((SLICES, 8, 10), 16), distinct((SLICES, 300, 400), 16)
SERIES = {"small": volume(AXIAL, SMALL, bits=16, name="small"), "large": volume(AXIAL, LARGE, bits=16, name="large")}
PIXELS = {"small": SMALL, "large": LARGE}
LATER = 0.01
"""Seconds after a reply that something more comes."""

BUSY_ELSEWHERE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Talk:
    """What a server still has to say without being asked; any thread may wait until it has said all."""

    def __init__(self) -> None:
        self._left = 0
        self._changed = threading.Condition()

    def owe(self, count: int) -> None:
        with self._changed:
            self._left += count
            self._changed.notify_all()

    def wait(self) -> None:
        """Until all is said, and whoever listens has had the time to hear it."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._left, SECONDS)

    def heard(self) -> None:
        """Until the client has read all of it."""
        self.wait()
        for _ in range(5):
            run_sync(asyncio.sleep, 0)  # each time the loop looks at its sockets


class Line:
    """One connection, as the server sees it."""

    def __init__(self, writer: asyncio.StreamWriter, talk: Talk) -> None:
        self.writer = writer
        self._talk = talk

    def later(self, data: bytes) -> None:
        self.do_later(lambda: self.writer.write(data))

    def do_later(self, deed: Callable[[], None]) -> None:
        self._talk.owe(1)
        asyncio.get_running_loop().call_later(LATER, self._do, deed)

    def _do(self, deed: Callable[[], None]) -> None:
        if not self.writer.is_closing():
            deed()
        self._talk.owe(-1)


def single_part(frame: bytes) -> tuple[str, bytes]:
    return "application/octet-stream", frame


def unlabelled(frame: bytes) -> tuple[str, bytes]:
    body = b"--b\r\nContent-Type: application/octet-stream\r\n\r\n" + frame + b"\r\n--b--\r\n"
    return 'multipart/related; type="application/octet-stream"; boundary=b', body


def chunked(frame: bytes) -> tuple[str, bytes]:
    return "chunked", frame


def answer(line: Line, reply: bytes) -> None:
    line.writer.write(reply)


def in_one_write(line: Line, reply: bytes) -> None:
    line.writer.write(reply + reply)


def in_two_writes(line: Line, reply: bytes) -> None:
    line.writer.write(reply)
    line.writer.write(reply)


def once_more_later(line: Line, reply: bytes) -> None:
    line.writer.write(reply)
    line.later(reply)


def half_now_half_later(line: Line, reply: bytes) -> None:
    line.writer.write(reply + reply[:20])
    line.later(reply[20:])


def head_now_body_later(line: Line, reply: bytes) -> None:
    head = reply.index(b"\r\n\r\n") + 4
    line.writer.write(reply + reply[:head])
    line.later(reply[head:])


def then_408(line: Line, reply: bytes) -> None:
    line.writer.write(reply)
    line.later(BUSY_ELSEWHERE)


def then_garbage(line: Line, reply: bytes) -> None:
    line.writer.write(reply)
    line.later(b"\x00\xffnothing of HTTP\r\n\r\n")


def then_newlines(line: Line, reply: bytes) -> None:
    line.writer.write(reply)
    line.later(b"\r\n")


def then_end(line: Line, reply: bytes) -> None:
    line.writer.write(reply)
    line.do_later(line.writer.close)


KINDS = [single_part, unlabelled, chunked]
WAYS = [
    in_one_write,
    in_two_writes,
    once_more_later,
    half_now_half_later,
    head_now_body_later,
    then_408,
    then_garbage,
    then_newlines,
    then_end,
]


def _reply(content_type: str, body: bytes) -> bytes:
    if content_type == "chunked":
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (content_type.encode(), len(body)) + body


@contextmanager
def talkative(name: str, kind: Kind, send: Send, *, always: bool = False) -> Iterator[tuple[str, list[int], Talk]]:
    """A server that keeps its connections and sends frames in a way of its own.

    Gives the URL, the number of requests on each connection, and what it has to say besides.

    Args:
        name: The series.
        kind: Its replies with frames.
        send: How these are sent.
        always: Metadata are sent like that too.
    """
    series = SERIES[name]
    stored = {each.instance: each for each in map(from_dataset, series.datasets)}
    metadata = _reply("application/dicom+json", json.dumps([each.metadata() for each in stored.values()]).encode())
    counts: list[int] = []
    lines: list[asyncio.StreamWriter] = []
    talk = Talk()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, line = len(counts), Line(writer, talk)
        counts.append(0)
        lines.append(writer)
        async for path in _paths(reader):
            counts[number] += 1
            talk.owe(1)
            if path.endswith("/metadata"):
                (send if always else answer)(line, metadata)
            else:
                uid = path.split("/instances/")[1].split("/")[0]
                send(line, _reply(*kind(bytes(stored[uid].frame(1)))))
            talk.owe(-1)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    with _running(speak, lines) as port:
        yield f"dicomweb://127.0.0.1:{port}/studies/{series.study_uid}/series/{series.series_uid}", counts, talk


async def _paths(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        yield head.split(b" ")[1].decode()


@contextmanager
def _running(speak: Callable[..., Any], lines: Iterable[asyncio.StreamWriter]) -> Iterator[int]:
    """A server on a loop of its own, whose work is not that of the client."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(speak, "127.0.0.1", 0), loop).result(SECONDS)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        forget_servers()
        asyncio.run_coroutine_threadsafe(_end(server, lines), loop).result(SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: asyncio.Server, lines: Iterable[asyncio.StreamWriter]) -> None:
    """The client keeps its connections for a while: the server ends them."""
    server.close()
    for line in lines:
        line.transport.abort()
    async with asyncio.timeout(SECONDS):
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)


@pytest.mark.parametrize(("send", "kind", "name"), swept(WAYS, KINDS, list(SERIES)))
def test_no_frame_is_ever_another_one(name: str, kind: Kind, send: Send) -> None:
    with talkative(name, kind, send) as (url, _, talk):
        level = dicomzarr.open(url, cache_bytes=0, max_connections=1, timeout=5.0).levels[0]
        for number in range(0, SLICES, 2):
            try:
                found = level[number]
            except ServerError:
                assert send in (then_408, then_garbage)  # which came late, and met the next request on its way
            else:
                assert np.array_equal(found, PIXELS[name][number])
            talk.heard()


@pytest.mark.parametrize(("send", "kind"), swept([in_one_write, once_more_later], KINDS))
def test_the_loop_may_be_late(kind: Kind, send: Send) -> None:
    """What came meanwhile lies in the socket still: nobody has read it when the next request is sent."""
    with talkative("small", kind, send) as (url, _, talk):
        is_busy, goes_on = threading.Event(), threading.Event()

        async def work() -> None:
            is_busy.set()
            goes_on.wait(SECONDS)  # the loop has other work to do

        level = dicomzarr.open(url, cache_bytes=0, max_connections=1, timeout=5.0).levels[0]
        with ThreadPoolExecutor(2) as pool:
            for number in range(0, SLICES, 3):
                assert np.array_equal(level[number], SMALL[number])
                busy = pool.submit(run_sync, work)
                assert is_busy.wait(SECONDS)
                reading = pool.submit(level.__getitem__, (number + 5) % SLICES)
                talk.wait()
                goes_on.set()
                assert np.array_equal(reading.result(), SMALL[(number + 5) % SLICES])
                busy.result()
                is_busy.clear()
                goes_on.clear()


@pytest.mark.parametrize(("send", "kind"), swept(WAYS, KINDS))
def test_many_reads_at_once_give_their_own_frames(kind: Kind, send: Send) -> None:
    """The metadata show what the server does; else a second copy may come when the next request is on its way."""
    with talkative("large", kind, send, always=True) as (url, _, talk):
        for _ in range(3):
            try:
                level = dicomzarr.open(url, cache_bytes=0, max_connections=4, timeout=5.0).levels[0]
                talk.heard()
                found = level[...]
            except ServerError:
                assert send in (then_408, then_garbage)  # which may come before a reply is read to its end
            else:
                assert np.array_equal(found, LARGE)


def test_a_server_that_answers_twice_gets_no_second_request_on_a_connection() -> None:
    with talkative("small", single_part, once_more_later, always=True) as (url, counts, talk):
        level = dicomzarr.open(url, cache_bytes=0, max_connections=2).levels[0]
        talk.heard()
        assert np.array_equal(level[...], SMALL)
        assert set(counts) == {1}


def test_a_farewell_on_an_idle_connection_costs_that_connection_alone() -> None:
    with talkative("small", single_part, then_408) as (url, counts, talk):
        level = dicomzarr.open(url, cache_bytes=0, max_connections=1).levels[0]
        for number in range(3):
            assert np.array_equal(level[number], SMALL[number])
            talk.heard()
        assert counts == [2, 1, 1]


def test_connections_on_which_nothing_comes_are_kept() -> None:
    with talkative("small", single_part, answer) as (url, counts, _):
        level = dicomzarr.open(url, cache_bytes=0, max_connections=1).levels[0]
        for number in range(SLICES):
            assert np.array_equal(level[number], SMALL[number])
        assert counts == [SLICES + 1]


def test_a_408_in_the_place_of_an_answer_is_asked_again() -> None:
    """It was sent to an idle connection, and met the request on its way (RFC 9110 section 15.5.9)."""
    said: list[bytes] = []

    def refuse_once(line: Line, reply: bytes) -> None:
        if said:
            line.writer.write(reply)
        else:
            said.append(BUSY_ELSEWHERE)
            line.writer.write(BUSY_ELSEWHERE)
            line.writer.close()

    with talkative("small", single_part, refuse_once) as (url, *_):
        level = dicomzarr.open(url, cache_bytes=0, max_connections=1).levels[0]
        assert np.array_equal(level[3], SMALL[3])
