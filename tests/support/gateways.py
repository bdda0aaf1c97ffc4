"""Gateways for tests, and a client that sends exactly what it is told."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from serving import forget_servers
from waiting import SECONDS

from dicomzarr.faces.gateway.server import Gateway, Settings
from dicomzarr.faces.gateway.upstreams import Upstream
from dicomzarr.session.kinds import parse_url
from dicomzarr.sources.files.urls import FolderURL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dicomzarr.demo.server import DICOMwebServer


@dataclass(frozen=True)
class Reply:
    """What came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


def server_upstream(server: DICOMwebServer, name: str = "one", **options: Any) -> Upstream:
    """A server in this process as an upstream."""
    return Upstream(name, parse_url(f"dicomweb://{server.url.partition('://')[2]}"), options)


def folder_upstream(folder: Path, name: str = "files", **options: Any) -> Upstream:
    """A folder as an upstream."""
    return Upstream(name, FolderURL.of(folder), options)


@contextmanager
def gateway(*upstreams: Upstream, **settings: Any) -> Iterator[Gateway]:
    """A gateway at a free port; afterwards nothing remembers what it opened."""
    try:
        with Gateway(upstreams, Settings(**{"port": 0, **settings})) as running:
            yield running
    finally:
        forget_servers()  # once no connection to the gateway is left


def ask(url: str, method: str = "GET", **headers: str) -> Reply:
    """Send a request; underscores in the names of headers are hyphens. The path goes out as it is."""
    scheme, _, rest = url.partition("://")
    assert scheme == "http"
    authority, slash, path = rest.partition("/")
    connection = http.client.HTTPConnection(authority, timeout=SECONDS)
    try:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.putrequest(method, slash + path or "/", skip_host="Host" in names, skip_accept_encoding=True)
        for name, value in names.items():
            connection.putheader(name, value)
        connection.endheaders()
        reply = connection.getresponse()
        return Reply(reply.status, reply.headers, reply.read())  # type: ignore[arg-type]  # it is a mapping
    finally:
        connection.close()


def send_raw(url: str, data: bytes) -> bytes:
    """Send bytes; gives all that comes until the other side ends the connection, which it must."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    with socket.create_connection((parts.hostname, parts.port), timeout=SECONDS) as connection:
        connection.sendall(data)
        received = []
        while piece := connection.recv(65536):
            received.append(piece)
    return b"".join(received)
