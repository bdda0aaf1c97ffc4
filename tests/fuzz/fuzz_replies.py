"""HTTP replies that are framed in every way, over a real connection: what was sent comes, or an error does.

The body is always the same, and what is around it lies. Another request follows: it must have its own answer, whatever
is left on the connection.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from cases import Case
from connecting import client_of, closed
from mutations import mutate_bytes
from raw_server import reply, speaking

from dicomzarr.errors import DicomZarrError

if TYPE_CHECKING:
    from random import Random

BODY: Final = b'[{"0020000E":{"vr":"UI","Value":["1.2.3.4.5"]}}]'
OTHER: Final = b'[{"0020000E":{"vr":"UI","Value":["9.8.7.6.5"]}}]'
_STATUSES: Final = (
    *[b"200 OK"] * 20,
    b"200 OK",
    b"200 OK",
    b"200 OK",
    b"200",
    b"206 Partial Content",
    b"204 No Content",
    b"99 x",
    b"2000 OK",
)
_PIECES: Final = (b"\r\n", b"\n", b"\r", b"\0", b": ", b"HTTP/1.1 200 OK\r\n", b"0\r\n\r\n", b"chunked", b"-1", b"\xff")
_INTERIM: Final = (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
_HEADERS: Final = (
    b"Content-Type: application/dicom+json",
    b"content-type : application/dicom+json",
    b"X-Folded: a\r\n b",
    b"X-Long: " + b"x" * 9000,
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: gzip",
    b"Content-Encoding: identity",
    b"Content-Encoding: br",
    b"Content-Encoding: gzip, gzip",
    b"Content-Length: 1",
    b"Content-Length: +%d" % len(BODY),
    b"Content-Length: %d, %d" % (len(BODY), len(BODY)),
    b"Content-Length: 0x30",
    b"Connection: close",
    b"Connection: keep-alive, upgrade",
    b"Upgrade: h2c",
    b"Set-Cookie: a=b",
    b"Location: /elsewhere",
    b"Content-Range: bytes 0-3/9",
    b"Trailer: Content-Length",
)


class Replies:
    """A server on this machine, and a client of it."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._sent = b""
        self._closes = True
        self._stack = AsyncExitStack()
        self._base = self._runner.run(self._stack.enter_async_context(speaking(self._speak)))

    async def _speak(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        if b"/studies/7/" in head:
            writer.write(reply(OTHER))
            return
        middle = len(self._sent) // 2
        writer.write(self._sent[:middle])
        await writer.drain()
        await asyncio.sleep(0)
        writer.write(self._sent[middle:])
        if self._closes:
            await writer.drain()
            writer.close()

    def make(self, random: Random) -> Case:
        """A reply, and whether the server closes the connection behind it."""
        kind = random.choice(("plain", "plain", "chunked", "chunked", "gzip", "deflate"))
        body = {"gzip": gzip.compress, "deflate": zlib.compress}.get(kind, bytes)(BODY)
        lines = [b"HTTP/1.%d %s" % (random.choice((*[1] * 20, 0, 2)), random.choice(_STATUSES))]
        lines.append(b"Content-Type: application/dicom+json")
        if kind in {"gzip", "deflate"}:
            lines.append(b"Content-Encoding: " + kind.encode())
        if kind == "chunked":
            lines.append(b"Transfer-Encoding: chunked")
            body = _chunked(random, body)
        elif random.random() < 0.9:
            lines.append(b"Content-Length: %d" % (len(body) + random.choice((0, 0, 0, 0, 1, -1, 1000))))
        for _ in range(random.choice((0, 0, 0, 1, 2))):
            lines.insert(random.randrange(1, len(lines) + 1), random.choice(_HEADERS))
        head = random.choice((*[b"\r\n"] * 20, b"\n")).join(lines) + b"\r\n\r\n"
        if random.random() < 0.1:
            head = mutate_bytes(random, head, _PIECES)
        if random.random() < 0.2:
            head = random.choice(_INTERIM) * random.randrange(1, 4) + head
        behind = random.choice((b"", b"", b"", b"\r\n", reply(BODY), b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"junk"))
        return Case(head + body + behind, {"closes": random.random() < 0.8})

    def run(self, case: Case) -> str:
        """Ask for it, and then for another thing."""
        self._sent, self._closes = case.data, case.settings["closes"]
        return self._runner.run(self._ask())

    async def _ask(self) -> str:
        client = client_of(self._base, timeout=0.2, sleep=_at_once)
        try:
            try:
                found = await client.search("studies/6/series", {})
            except DicomZarrError as error:
                met = type(error).__name__
            else:
                assert found in ([], json.loads(BODY)), found  # nothing, where the status says so
                met = "read" if found else "nothing"
            try:
                second = await client.search("studies/7/series", {})
            except DicomZarrError as error:
                raise AssertionError("another request is not answered") from error
            assert second == json.loads(OTHER), second
            return met
        finally:
            await closed(client)


def _chunked(random: Random, body: bytes) -> bytes:
    """In chunks, mostly as they must be."""
    coded = b""
    while body:
        size = random.randrange(1, len(body) + 1)
        told = random.choice((*[b"%x"] * 20, b"%X", b"0%x", b"%x;a=b", b'%x;a="\r\n"', b" %x", b"%x ", b"-%x"))
        coded += (
            told % (size + (random.random() < 0.03)) + random.choice((*[b"\r\n"] * 30, b"\n")) + body[:size] + b"\r\n"
        )
        body = body[size:]
    trailers = random.choice(
        (b"", b"", b"X: y\r\n", b"Content-Length: 1\r\n", b"no colon\r\n", b"a: " + b"b" * 9000 + b"\r\n")
    )
    return coded + random.choice((*[b"0"] * 9, b"000", b"", b"0;x")) + b"\r\n" + trailers + b"\r\n"


async def _at_once(_seconds: float) -> None:
    """Nothing is waited for."""


TARGETS: Final[dict[str, Any]] = {"replies": Replies}
