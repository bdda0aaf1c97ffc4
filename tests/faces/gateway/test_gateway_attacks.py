"""Attacks on the gateway and through it: each is refused, and nothing of it reaches an upstream."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from aiohttp import web
from faults import fault
from gateways import ask, gateway, send_raw, server_upstream
from radiology_volumes import projection
from serving import Served, serving
from slides import sparse_brightfield
from waiting import SECONDS

from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.errors import UsageError
from dicomzarr.faces.gateway import replies
from dicomzarr.faces.gateway.server import Gateway, Settings
from dicomzarr.faces.gateway.turns import ThumbnailTurns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp.typedefs import Handler

SLIDE = sparse_brightfield()
SERIES = f"studies/{SLIDE.study_uid}/series/{SLIDE.series_uid}"
CHUNK = f"/0.5/{SERIES}.zarr/0/c/0/0/0"
TOKEN = "hush-hush"  # noqa: S105  # made up


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(SLIDE) as each:
        yield each


@pytest.fixture
def running(served: Served) -> Iterator[Gateway]:
    with gateway(server_upstream(served.server)) as each:
        served.server.requests.clear()
        yield each


class Trap:
    """A server on this machine that must hear nothing."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0)
        self.host = f"127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def heard(self) -> bool:
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def trap() -> Iterator[Trap]:
    each = Trap()
    yield each
    each.close()


# --- making it reach elsewhere ---


@pytest.mark.parametrize(
    "form",
    [
        "/0.5/http://{host}/studies/1.2/series/3.4.zarr/zarr.json",
        "/0.5/http:%2F%2F{host}/studies/1.2/series/3.4.zarr/zarr.json",
        "/0.5/{host}/studies/1.2/series/3.4.zarr/zarr.json",
        "/0.5/studies/1.2/series/3.4.zarr/zarr.json?url=http://{host}/",
        "/0.5/studies/@{host}/series/3.4.zarr/zarr.json",
        "/0.5/studies/1.2%3F@{host}/series/3.4.zarr/zarr.json",
        "/0.5/studies/..%2F..%2F..%2F{host}/series/3.4.zarr/zarr.json",
        "/api/studies?includefield=http://{host}/",
        "/api/http://{host}/studies",
        "//{host}/0.5/",
        "/\\{host}/",
        "http://{host}/0.5/studies/1.2/series/3.4.zarr/zarr.json",
    ],
)
def test_no_path_leads_to_another_host(running: Gateway, served: Served, trap: Trap, form: str) -> None:
    path = form.format(host=trap.host)
    host = urlsplit(running.url).netloc
    reply = send_raw(running.url, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    status = int(reply.split()[1])
    assert status in (400, 404)
    assert not trap.heard
    asked = {request.path for request in served.server.requests}
    assert asked <= {f"/studies/1.2/series/3.4/{resource}" for resource in ("metadata", "instances")}


@pytest.mark.parametrize(
    "tail",
    [
        f"{SERIES}/../../../../../etc/passwd",
        f"{SERIES}.zarr/..%2f..%2f..%2fmetadata",
        f"{SERIES}.zarr/../{SLIDE.series_uid}/metadata",
        f"{SERIES}.zarr/%2e%2e/x",
        f"{SERIES}.zarr/0/c/0/0/0%00.json",
        f"{SERIES}.zarr/0/c/0/0/0;x",
        f"{SERIES}.zarr//0/c/0/0/0",
        f"{SERIES}%2Fmetadata",
        f"{SERIES}%3Fx=1/zarr.json",
        f"{SERIES}%23/zarr.json",
        f"{SERIES}/metadata",
        f"{SERIES}/instances",
        "studies/1.2%0d%0aX-Evil:%201/series/3.4.zarr/zarr.json",
    ],
)
@pytest.mark.parametrize("route", ["0.5", "0.4", "frames", "api"])
def test_no_trick_in_a_path_reaches_the_upstream(running: Gateway, served: Served, route: str, tail: str) -> None:
    assert ask(f"{running.url}/{route}/{tail}").status == 404
    resources = {request.path for request in served.server.requests}
    assert resources <= {f"/{SERIES}/metadata"}


def test_nothing_of_a_request_is_forwarded(running: Gateway, served: Served) -> None:
    ask(
        f"{running.url}{CHUNK}?token=abc&x=marked",
        Authorization="Bearer marked",
        Cookie="session=marked",
        X_Forwarded_For="marked",
        X_Forwarded_Host="marked.example",
        Forwarded="for=marked",
        User_Agent="marked",
        Accept_Language="marked",
        Referer="http://marked.example/",
        If_None_Match='"marked"',
        Origin="http://localhost:3",
    )
    assert served.server.requests
    for request in served.server.requests:
        assert "marked" not in f"{request.path}{request.query}{dict(request.headers)}"
        assert "localhost:3" not in str(dict(request.headers))


def test_redirects_of_an_upstream_lead_nowhere_else(trap: Trap) -> None:
    async def elsewhere(_request: web.Request, _handler: Handler) -> web.StreamResponse:
        raise web.HTTPFound(f"http://{trap.host}/")

    middlewares = [fault(elsewhere, on="any")]
    with DICOMwebServer(Archive(SLIDE.datasets), middlewares=middlewares) as server:
        upstream = server_upstream(server, headers={"Authorization": "Bearer secret"})
        with gateway(upstream) as running:
            reply = ask(f"{running.url}{CHUNK}")
            assert reply.status == 502
            assert "Location" not in reply.headers
            assert "secret" not in reply.text
    assert not trap.heard


# --- smuggling ---


def raw(running: Gateway, request: str) -> bytes:
    return send_raw(running.url, request.format(host=urlsplit(running.url).netloc).encode())


FIRST = "GET /healthz HTTP/1.1\r\nHost: {host}\r\n"
SECOND = "GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n"


@pytest.mark.parametrize(
    "request_text",
    [
        f"{FIRST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SECOND}",
        f"{FIRST}Content-Length: 5\r\nContent-Length: 6\r\n\r\n{SECOND}",
        "GET /healthz HTTP/1.1\r\nHost: {host}\r\nContent-Length: +5\r\n\r\nhello",
        "GET /healthz HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: xchunked\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost : {host}\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: {host}\r\n X: folded\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: {host}\r\nX: a\0b\r\n\r\n",
        "GET /healthz HTTP/1.1\nHost: {host}\n\n",
        "GET /healthz HTTP/9.9\r\nHost: {host}\r\n\r\n",
    ],
)
def test_a_request_that_two_parsers_could_read_in_two_ways_is_not_answered(running: Gateway, request_text: str) -> None:
    reply = raw(running, request_text)
    statuses = [line.split()[1] for line in reply.split(b"\r\n") if line.startswith(b"HTTP/1.")]
    assert statuses == [b"400"]


def test_two_hosts_are_refused(running: Gateway) -> None:
    reply = raw(running, "GET /metrics HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    assert reply.split()[1] == b"400"
    reply = raw(running, "GET /metrics HTTP/1.1\r\nHost: evil.example\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    assert reply.split()[1] in (b"400", b"421")
    reply = raw(running, "GET http://evil.example/metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    assert reply.split()[1] == b"400"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"])
def test_nothing_can_be_written(running: Gateway, served: Served, method: str) -> None:
    reply = ask(f"{running.url}{CHUNK}", method)
    assert reply.status == 405
    assert reply.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert not served.server.requests


# --- pages of other sites ---


@pytest.mark.parametrize("path", [CHUNK, "/api/studies", "/", "/metrics", f"/api/{SERIES}/thumbnail"])
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.nip.example", "[fe80::1]:80"])
def test_a_name_that_was_made_to_lead_here_is_refused(running: Gateway, path: str, host: str) -> None:
    reply = ask(f"{running.url}{path}", Host=host)
    assert reply.status == 421
    assert SLIDE.study_uid not in reply.text


@pytest.mark.parametrize("path", [CHUNK, "/api/studies", "/nope", f"/0.5/{SERIES}.zarr/nope"])
def test_other_sites_read_nothing_and_their_browsers_are_told_so(running: Gateway, served: Served, path: str) -> None:
    served.server.requests.clear()
    for origin in ("https://evil.example", "null", "http://localhost.evil.example"):
        reply = ask(f"{running.url}{path}", Origin=origin, Cookie="a=b", Authorization="Basic eDp5")
        assert reply.status == 403
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]
        preflight = ask(f"{running.url}{path}", "OPTIONS", Origin=origin, Access_Control_Request_Method="GET")
        assert preflight.status == 403
    assert not served.server.requests


STATUSES = {
    200: CHUNK,
    301: "/0.5",
    400: "/api/studies?limit=x",
    404: "/nope",
    406: f"/frames/{SERIES}.zarr/0/c/0/0/0",
    409: f"{CHUNK}?version=other",
}


@pytest.mark.parametrize("expected", [*STATUSES, 206, 304, 401, 405, 416])
def test_allowed_origins_read_every_status(served: Served, expected: int) -> None:
    headers = {"Origin": "https://vizarr.example"}
    with gateway(
        server_upstream(served.server),
        origins=frozenset({"https://vizarr.example"}),
        token=TOKEN if expected == 401 else "",
    ) as running:
        path = STATUSES.get(expected, CHUNK)
        more = {206: {"Range": "bytes=0-1"}, 416: {"Range": "bytes=99999999-"}, 304: {"If_None_Match": "*"}}
        reply = ask(f"{running.url}{path}", "PUT" if expected == 405 else "GET", **headers, **more.get(expected, {}))
    assert reply.status == expected
    assert reply.headers["Access-Control-Allow-Origin"] == "https://vizarr.example"
    assert "Content-Range" in reply.headers["Access-Control-Expose-Headers"]
    assert reply.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in reply.headers


def test_browsers_are_told_what_they_may_send(running: Gateway) -> None:
    reply = ask(
        f"{running.url}{CHUNK}",
        "OPTIONS",
        Origin="http://localhost:5173",
        Access_Control_Request_Method="GET",
        Access_Control_Request_Headers="range",
        Access_Control_Request_Private_Network="true",
    )
    assert reply.status == 204
    assert "GET" in reply.headers["Access-Control-Allow-Methods"]
    for name in ("Range", "If-None-Match", "Authorization"):
        assert name in reply.headers["Access-Control-Allow-Headers"]
    assert reply.headers["Access-Control-Allow-Private-Network"] == "true"


@pytest.mark.parametrize("path", ["/", CHUNK, "/api/studies", "/nope", "/healthz"])
def test_every_reply_forbids_what_it_does_not_need(running: Gateway, path: str) -> None:
    reply = ask(f"{running.url}{path}")
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert reply.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert reply.headers["Server"] == "dicomzarr"
    assert "public" not in reply.headers["Cache-Control"]


# --- callers without the token ---


def test_without_the_token_nothing_is_told(served: Served) -> None:
    with gateway(server_upstream(served.server), token=TOKEN) as running:
        served.server.requests.clear()
        for path in ("/", "/metrics", "/api/studies", CHUNK, "/nope", f"/frames/{SERIES}.zarr/0/c/0/0/0"):
            reply = ask(f"{running.url}{path}")
            assert reply.status == 401
            assert "Bearer" in reply.headers["WWW-Authenticate"]
            assert ask(f"{running.url}{path}?token=wrong").status == 401
        assert not served.server.requests
        assert ask(f"{running.url}/healthz").status == 200
        assert ask(f"{running.url}{CHUNK}", "OPTIONS", Origin="http://localhost").status == 204
        for headers, query in (
            ({"Authorization": f"Bearer {TOKEN}"}, ""),
            ({}, f"?token={TOKEN}"),
            ({"Cookie": f"dicomzarr-token-{running.url.rpartition(':')[2]}={TOKEN}"}, ""),
        ):
            assert ask(f"{running.url}{CHUNK}{query}", **headers).status == 200
        # What somebody with the token has had made is not for others.
        assert ask(f"{running.url}{CHUNK}").status == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "gateway.example"])  # noqa: S104  # what is refused
def test_other_machines_are_let_in_with_a_token_alone(served: Served, host: str) -> None:
    with pytest.raises(UsageError, match="--token"):
        Gateway([server_upstream(served.server)], Settings(host=host))
    Gateway([server_upstream(served.server)], Settings(host=host, token=TOKEN))


def test_a_browser_keeps_the_token_and_sends_it_nowhere_else(served: Served) -> None:
    with gateway(server_upstream(served.server), token=TOKEN) as running:
        cookie = ask(f"{running.url}/?token={TOKEN}", Accept="text/html,*/*").headers["Set-Cookie"]
        assert cookie.startswith(f"dicomzarr-token-{running.url.rpartition(':')[2]}={TOKEN};")
        for word in ("HttpOnly", "SameSite=Strict", "Path=/"):
            assert word in cookie
        assert "Set-Cookie" not in ask(f"{running.url}/?token={TOKEN}").headers
        assert "Set-Cookie" not in ask(f"{running.url}/?token=wrong", Accept="text/html").headers
    with gateway(server_upstream(served.server)) as running:
        assert "Set-Cookie" not in ask(f"{running.url}/?token=", Accept="text/html").headers


def test_the_token_shows_nowhere() -> None:
    assert TOKEN not in repr(Settings(token=TOKEN))


# --- hostile upstreams ---

EVIL = "<script>alert(1)</script>"


def test_what_an_upstream_says_is_text() -> None:
    studies = [
        {"0020000D": {"vr": "UI", "Value": [uid]}, "00081030": {"vr": "LO", "Value": [EVIL]}}
        for uid in ("1.2", EVIL, "../../x1", "1/2", "javascript:1")
    ]

    async def answer(_request: web.Request, _handler: Handler) -> web.StreamResponse:
        return web.json_response(studies, content_type="application/dicom+json")

    with (
        DICOMwebServer(Archive(SLIDE.datasets), middlewares=[fault(answer, on="studies")]) as server,
        gateway(server_upstream(server)) as running,
    ):
        page = ask(f"{running.url}/0.5/studies/")
        assert page.text.count("<li>") == 1
        assert EVIL not in page.text
        reply = ask(f"{running.url}/api/studies")
        assert [row["study"] for row in reply.json["rows"]] == ["1.2"]
        assert reply.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "reply",
    [
        b"<html>",
        b"[" + b"{}," * 1000 + b"{}]",
        b'[{"0020000D":{"vr":"UI"}}]',
        b"\xff\xfe",
        b"[[[[",
        b"null",
    ],
)
@pytest.mark.parametrize("path", ["/0.5/studies/", "/api/studies", f"/0.5/{SERIES}.zarr/zarr.json", f"/api/{SERIES}"])
def test_nonsense_is_an_error_in_words(reply: bytes, path: str) -> None:
    async def answer(_request: web.Request, _handler: Handler) -> web.StreamResponse:
        return web.Response(body=reply, content_type="application/dicom+json")

    with (
        DICOMwebServer(Archive(SLIDE.datasets), middlewares=[fault(answer, on="any")]) as server,
        gateway(server_upstream(server)) as running,
    ):
        got = ask(f"{running.url}{path}")
        assert got.status == 502 or (got.status == 200 and path == "/api/studies" and not got.json["rows"])
        if got.status == 502:
            assert len(got.text) > 20


def test_a_bug_of_ours_ends_in_one_sentence(running: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> None:
        raise KeyError(SLIDE.series_uid)

    monkeypatch.setattr(ThumbnailTurns, "frame", broken)
    reply = ask(f"{running.url}{CHUNK}")
    assert reply.status == 500
    assert SLIDE.series_uid not in reply.text
    assert ask(f"{running.url}/healthz").status == 200


# --- clients that leave, or take nothing ---


def test_a_client_that_leaves_ends_the_upstream_request() -> None:
    began = threading.Event()

    async def slow(_request: web.Request, _handler: Handler) -> web.StreamResponse:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    server = DICOMwebServer(Archive(SLIDE.datasets), middlewares=[fault(slow)])
    with server, gateway(server_upstream(server)) as running:
        assert ask(f"{running.url}/0.5/{SERIES}.zarr/zarr.json").status == 200
        upstream = next(iter(running.shared.upstreams.by_name.values()))
        parts = urlsplit(running.url)
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            connection.sendall(f"GET {CHUNK} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
            assert began.wait(SECONDS)
            assert upstream.endpoint.scheduler._under_way
        until(lambda: upstream.budget.taken == 0)
        until(lambda: not upstream.endpoint.scheduler._under_way)
        until(lambda: "given_up_total 1" in ask(f"{running.url}/metrics").text)


def test_a_client_that_takes_nothing_loses_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "SENDING", 0.01)
    monkeypatch.setattr(replies, "_SLOWEST", 2**40)
    large = projection(np.zeros((4096, 4096), np.uint16))  # more than sockets hold
    path = f"/0.5/studies/{large.study_uid}/series/{large.series_uid}.zarr/0/c/0/0"
    with DICOMwebServer(Archive(large.datasets)) as server, gateway(server_upstream(server)) as running:
        parts = urlsplit(running.url)
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
            until(lambda: running.shared.metrics.given_up)  # a reply that told of it might be late as well
        budget = next(iter(running.shared.upstreams.by_name.values())).budget
        until(lambda: budget.taken == 0)


def until(holds: Any) -> None:
    """Ask until it holds; a hang ends the test."""
    for _ in range(int(SECONDS * 100)):
        if holds():
            return
        threading.Event().wait(0.01)
    raise AssertionError("It never came to hold.")


def test_documents_are_json(running: Gateway) -> None:
    assert json.loads(ask(f"{running.url}/0.5/{SERIES}.zarr/zarr.json").body)["zarr_format"] == 3
