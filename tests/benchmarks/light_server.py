"""HTTP for benchmarks: frames as bytes that lie ready, so that serving costs little beside reading.

What else is asked for, as metadata and searches, the demo server answers once, in this process; then it lies ready too.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BOUNDARY = b"2d9f6fd8b9ba4b1d"
_SEND_BUFFER = 4 * 2**20
"""Bytes that the system takes at once: a reply is one call."""


@dataclass
class Costs:
    """How far away the server is, and how dear."""

    seconds: float = 0.0
    """Latency of every reply."""
    single: float = 0.0
    """Seconds of CPU that a frame costs which is asked for alone."""
    in_list: float = 0.0
    """Seconds of CPU that each frame of a list costs."""

    def spend(self, frames: int) -> None:
        """Use the CPU for a while."""
        end = time.thread_time() + (self.single if frames == 1 else self.in_list * frames)
        while time.thread_time() < end:
            pass


@dataclass
class Resources:
    """What is served.

    Args:
        origin: The demo server, ``http://127.0.0.1:PORT``.
        content_type: Of each frame.
        frame: Gives a frame by its number from 1.
    """

    origin: str
    content_type: str
    frame: Callable[[int], bytes]
    costs: Costs
    requests: int = 0
    sent: int = 0
    """Bytes of bodies."""
    _documents: dict[tuple[str, bool], bytes] = field(default_factory=dict)
    """Whole replies by path, and by whether they are zipped."""

    def totals(self) -> bytes:
        """What was given so far, which is no part of it."""
        return json.dumps({"requests": self.requests, "sent": self.sent, "cpu": time.process_time()}).encode()

    def frames(self, path: str, host: str) -> Sequence[bytes]:
        """The pieces of the reply to a request for frames."""
        instance, _, numbers = path.rpartition("/")
        pieces: list[bytes] = []
        for number in numbers.split(","):
            body = self.frame(int(number))
            pieces += (
                b"--%b\r\nContent-Type: %b\r\nContent-Location: http://%b%b/%b\r\nContent-Length: %d\r\n\r\n"
                % (BOUNDARY, self.content_type.encode(), host.encode(), instance.encode(), number.encode(), len(body)),
                body,
                b"\r\n",
            )
        pieces.append(b"--%b--\r\n" % BOUNDARY)
        length = sum(map(len, pieces))
        self.sent += length
        kind = self.content_type.partition(";")[0]
        related = f'multipart/related; type="{kind}"; boundary={BOUNDARY.decode()}'
        return [head("200 OK", related, length), *pieces]

    def document(self, path: str, accept: str, host: str, *, zipped: bool) -> bytes:
        """The reply to another request."""
        known = self._documents.get((path, zipped))
        if known is None:
            known = self._documents[path, zipped] = self._ask(path, accept, host, zipped=zipped)
        self.sent += len(known) - known.index(b"\r\n\r\n") - 4
        return known

    def _ask(self, path: str, accept: str, host: str, *, zipped: bool) -> bytes:
        headers = {"Accept": accept or "*/*", "Accept-Encoding": "identity"}
        request = urllib.request.Request(self.origin + path, headers=headers)  # noqa: S310  # ours
        try:
            with urllib.request.urlopen(request) as reply:  # noqa: S310  # as above
                status, kind, body = f"{reply.status} OK", reply.headers["Content-Type"], reply.read()
        except urllib.error.HTTPError as error:
            status, kind, body = f"{error.code} Refused", "text/plain", error.read()
        body = body.replace(self.origin.encode(), f"http://{host}".encode())
        if zipped:
            body = gzip.compress(body, 6, mtime=0)
        return head(status, kind, len(body), "Content-Encoding: gzip\r\n" if zipped else "") + body


def head(status: str, kind: str, length: int, more: str = "") -> bytes:
    """What stands before a body."""
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{more}\r\n".encode("latin-1")


class LightProtocol(asyncio.Protocol):
    """One connection: requests without bodies, one after the other."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            lines = self._received[:end].decode("latin-1").split("\r\n")
            del self._received[: end + 4]
            later = self._resources.costs.seconds
            if later:
                asyncio.get_running_loop().call_later(later, self._answer, lines)
            else:
                self._answer(lines)

    def _answer(self, lines: Sequence[str]) -> None:
        resources = self._resources
        path = lines[0].split(" ")[1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if path == "/totals":
            body = resources.totals()
            self._transport.write(head("200 OK", "application/json", len(body)) + body)
            return
        resources.requests += 1
        host = headers.get("host", "")
        if "/frames/" in path:
            resources.costs.spend(path.count(",") + 1)
            self._transport.write(b"".join(resources.frames(path, host)))
            return
        zipped = "gzip" in headers.get("accept-encoding", "")
        self._transport.write(resources.document(path, headers.get("accept", ""), host, zipped=zipped))


async def listen(resources: Resources) -> tuple[asyncio.Server, int]:
    """Serve on a free port of this machine; gives its number."""
    server = await asyncio.get_running_loop().create_server(lambda: LightProtocol(resources), "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]
