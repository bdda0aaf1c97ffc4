"""Replies that never end, however much progress they make; and slow ones that are right."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from connecting import client_of, closed
from raw_server import speaking
from waiting import SECONDS

from dicomzarr.errors import ConnectionFailedError, InvalidReplyError, RequestTimeoutError
from dicomzarr.options import LIMITS
from dicomzarr.sources.http.pace import Pace

if TYPE_CHECKING:
    from raw_server import Speak

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n"


async def a_byte_now_and_then(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 1000000\r\n\r\n[")
    while True:
        writer.write(b" ")
        await asyncio.sleep(0.01)


async def a_byte_of_its_headers_now_and_then(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"X-Long: ")
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.01)


async def endless_interim_replies(_: bytes, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await asyncio.sleep(0.01)


async def an_endless_chunk_extension(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;")
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.01)


async def chunks_with_long_extensions(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1;" + b"x" * 1000 + b"\r\n \r\n")
        await asyncio.sleep(0.01)


async def endless_trailers(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n0\r\n")
    while True:
        writer.write(b"x: y\r\n")
        await asyncio.sleep(0.01)


ENDLESS = (
    a_byte_now_and_then,
    a_byte_of_its_headers_now_and_then,
    endless_interim_replies,
    an_endless_chunk_extension,
    chunks_with_long_extensions,
    endless_trailers,
)


def body_from(speak: Speak, timeout: float, **limits: float) -> bytes:
    async def run() -> bytes:
        async with speaking(speak) as base:
            client = client_of(base, timeout=timeout, limits=replace(LIMITS, **limits))
            try:
                async with asyncio.timeout(SECONDS):
                    return (await client.series_metadata("1.2", "1.3")).body
            finally:
                await closed(client)

    return asyncio.run(run())


@pytest.mark.parametrize("speak", ENDLESS)
def test_a_reply_that_never_ends_is_given_up(speak: Speak) -> None:
    with pytest.raises((RequestTimeoutError, ConnectionFailedError, InvalidReplyError)):
        body_from(speak, 0.3, header_seconds=0.3, least_rate=1_000_000)


def test_the_error_says_what_came_and_which_limit_it_was() -> None:
    async def nothing() -> bytes:
        await asyncio.sleep(SECONDS)
        return b""

    async def run() -> None:
        pace = Pace("server.example", 0.01, 100, 60)
        assert await pace.next(asyncio.sleep(0, b"abc")) == b"abc"
        await pace.next(nothing())

    with pytest.raises(RequestTimeoutError, match=r"server\.example gave 3 bytes .* limits=\{'least_rate'"):
        asyncio.run(run())


def test_the_more_has_come_the_longer_more_is_waited_for() -> None:
    async def run() -> None:
        pace = Pace("server.example", 0.01, 1, 60)
        await pace.next(asyncio.sleep(0, bytes(1000)))
        assert await pace.next(asyncio.sleep(0.1, b"late")) == b"late"

    asyncio.run(run())


def test_no_reply_lasts_for_ever_however_fast_it_comes() -> None:
    async def run() -> None:
        pace = Pace("server.example", SECONDS, 1, 0.05)
        async with asyncio.timeout(SECONDS):
            while True:
                await pace.next(asyncio.sleep(0.01, bytes(1000)))

    with pytest.raises(RequestTimeoutError, match="reply_seconds"):
        asyncio.run(run())


@pytest.mark.slow
def test_a_slow_reply_comes_whole() -> None:
    async def slow(_: bytes, writer: asyncio.StreamWriter) -> None:
        for _ in range(10):
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await asyncio.sleep(0.02)
        writer.write(HEAD + b"Content-Length: 102\r\n\r\n[")
        for _ in range(50):
            writer.write(b"  ")
            await asyncio.sleep(0.1)  # altogether longer than twice the timeout
        writer.write(b"]")

    assert body_from(slow, 2, least_rate=10) == b"[" + b" " * 100 + b"]"
