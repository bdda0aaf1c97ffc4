"""Forms that requests may have by HTTP, and forms that are only made to mislead: each is answered as what it is."""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from gateways import ask, gateway, send_raw, server_upstream
from serving import Served, serving
from slides import sparse_brightfield
from waiting import SECONDS

from dicomzarr.faces.gateway import connections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.faces.gateway.server import Gateway

SLIDE = sparse_brightfield()
ROOT = f"/0.5/studies/{SLIDE.study_uid}/series/{SLIDE.series_uid}.zarr"
CHUNK = f"{ROOT}/0/c/0/0/0"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(SLIDE) as each:
        yield each


@pytest.fixture(scope="module")
def running(served: Served) -> Iterator[Gateway]:
    with gateway(server_upstream(served.server), log_uids=True) as each:
        yield each


def raw(running: Gateway, target: str | bytes, *headers: str, host: str | None = None, method: str = "GET") -> bytes:
    """What comes for a target as it stands, on a connection of its own."""
    lines = [f"Host: {urlsplit(running.url).netloc if host is None else host}", *headers, "Connection: close", "", ""]
    line = target if isinstance(target, bytes) else target.encode()
    return send_raw(running.url, method.encode() + b" " + line + b" HTTP/1.1\r\n" + "\r\n".join(lines).encode())


def status(reply: bytes) -> int:
    return int(reply.split()[1])


# --- targets ---


@pytest.mark.parametrize("path", [CHUNK, f"{CHUNK}?x=1", f"{ROOT}/", "/healthz", "/"])
def test_a_target_may_be_a_whole_url_of_this_gateway(running: Gateway, path: str) -> None:
    body = raw(running, path).partition(b"\r\n\r\n")[2]
    whole = raw(running, running.url + path)
    assert status(whole) == 200
    assert whole.partition(b"\r\n\r\n")[2] == body
    assert status(raw(running, f"HTTP{running.url[4:]}{path}")) == 200


def test_a_listing_leads_to_its_own_path_whatever_the_target_was(running: Gateway) -> None:
    for target in (f"{running.url}{ROOT}?a=%2B&b", f"{ROOT}?a=%2B&b"):
        head = raw(running, target).partition(b"\r\n\r\n")[0].decode()
        assert head.startswith("HTTP/1.1 301")
        assert f"\r\nLocation: {ROOT}/?a=%2B&b\r\n" in f"{head}\r\n"
    encoded = ROOT.replace("studies", "studie%73")
    assert f"\r\nLocation: {encoded}/\r\n".encode() in raw(running, encoded)


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example/0.5/",
        "///0.5/",
        "/%2f%2fevil.example/",
        "/0.5/%2e%2e/%2e%2e/etc/passwd",
        "/0.5/%c0%ae%c0%ae/x",
        "/0.5/studies/1.2%c0%af..",
        "/0.5/studies/%ef%bc%8e%ef%bc%8e/x",
        "/0.5/studies/1.2%u002f..",
        "/0.5/studies/\\..\\..",
        "/0.5/studies/1.2/series/3.4.zarr%20/zarr.json",
        "/0.5/one:8080/studies/",
        "/0.5/one@evil.example/studies/",
        "/page/../main.js",
        "/page/..%2fserver.py",
        "/page/main.js/",
        "https://{host}/healthz",
        "ftp://{host}/healthz",
        "http://evil.example/healthz",
        "http://user@{host}/healthz",
        "http://{host}@evil.example/healthz",
        "http://{host}.evil.example/healthz",
        "http:///healthz",
        "http://{host}//healthz",
        "evil.example:80",
    ],
)
def test_a_target_that_names_nothing_here_is_refused(running: Gateway, served: Served, target: str) -> None:
    served.server.requests.clear()
    reply = raw(running, target.format(host=urlsplit(running.url).netloc))
    assert status(reply) in (400, 404)
    assert b"evil.example" not in reply
    assert b"\r\nServer: dicomzarr\r\n" in reply
    assert not served.server.requests


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /0.5?token=hush-hush\x01 HTTP/1.1\r\n\r\n",
        b"GET hush-hush HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization hush-hush\r\n\r\n",
        b"hush-hush / HTTP/1.1\r\n\r\n",
        b"GET /?token=hush-hush HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"hush-hush" * 2000 + b" HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00hush-hush",
        b"PRI * HTTP/2.0\r\n\r\nhush-hush\r\n\r\n",
    ],
)
def test_nothing_of_what_is_no_request_is_repeated(
    running: Gateway, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    with caplog.at_level(logging.DEBUG):
        reply = send_raw(running.url, sent)
    assert status(reply) == 400
    assert b"hush" not in reply
    assert b"Python" not in reply
    assert b"\r\nContent-Security-Policy: default-src 'none'" in reply
    assert "hush" not in caplog.text


@pytest.mark.parametrize("target", [b"/0.5?\xff\xfe", b"/0.5?a=%0d%0aX-Evil:1", "/0.5?\u2028".encode(), b"/0.5?a=\x01"])
def test_no_query_becomes_a_header(running: Gateway, target: bytes) -> None:
    reply = raw(running, target)
    assert status(reply) in (301, 400)
    head, _, body = reply.partition(b"\r\n\r\n")
    assert b"\r\nX-Evil" not in head
    assert head.isascii()
    assert b"Traceback" not in body


def test_the_log_has_no_control_characters(running: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "dicomzarr.gateway.access"):
        for target in (b"/\x1b[31mred", b"/\xc2\x9b31m", b"/%0d%0aGET", b"/\xff\x7f"):
            raw(running, target)
    assert all(line.isprintable() for line in caplog.text.splitlines())


# --- hosts ---


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200),
        ("LocalHost:1", 200),
        ("[::1]", 200),
        ("127.0.0.1.", 421),
        ("user@localhost", 400),
        ("localhost:port", 400),
        ("localhost:80:80", 400),
        ("localhost/", 400),
        ("localhost evil.example", 400),
        ("localhost,evil.example", 400),
        ("[::1", 400),
        ("::1", 400),
        ("127.1", 421),
        ("0", 421),
        ("0.0.0.0", 421),  # noqa: S104  # what is refused
        ("[::]", 421),
        ("localhost.evil.example.", 421),
        ("xn--lcalhost-54a", 421),
        ("1.2.3.4.nip.example", 421),
        ("%6cocalhost", 400),
        ("", 400),
    ],
)
def test_only_a_name_of_this_machine_is_answered(running: Gateway, host: str, expected: int) -> None:
    assert status(raw(running, "/healthz", host=host)) == expected


def test_a_request_of_http_1_0_says_who_it_is_for_too(running: Gateway) -> None:
    assert status(send_raw(running.url, b"GET /healthz HTTP/1.0\r\n\r\n")) == 400
    assert status(send_raw(running.url, b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")) == 200


# --- conditions and ranges ---


def test_conditions_go_before_ranges(running: Gateway) -> None:
    url = running.url + CHUNK
    whole = ask(url)
    etag = whole.headers["ETag"]
    assert ask(url, If_Match=f'"x", {etag}').body == whole.body
    assert ask(url, If_Match="*", Range="bytes=1-2").body == whole.body[1:3]
    for wrong in ('"x"', f"W/{etag}", ""):
        refused = ask(url, If_Match=wrong, If_None_Match=etag, Range="bytes=0-0")
        assert (refused.status, refused.headers["ETag"]) == (412, etag)
    assert ask(url, If_None_Match=etag, Range="bytes=0-0").status == 304
    assert ask(url, "HEAD", If_None_Match=f'W/"y", {etag}').status == 304
    assert ask(url, If_Modified_Since="Sat, 29 Oct 2094 19:43:31 GMT").status == 200  # no date is ever told
    head = ask(url, "HEAD", Range="bytes=0-0")
    assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(whole.body)), b"")


@pytest.mark.parametrize(
    "ranges", ["0-,0-,0-", ",".join("0-" for _ in range(1300)), ",".join(f"{n}-{n}" for n in range(500)), ",", "0-0,"]
)
def test_many_ranges_cost_nothing(running: Gateway, ranges: str) -> None:
    reply = ask(running.url + CHUNK, Range=f"bytes={ranges}")
    assert reply.status == 416
    assert len(reply.body) < 200


@pytest.mark.parametrize(
    "headers",
    [
        ("Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"),
        ("Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
        ("Expect: 100-continue",),
        ("TE: trailers", "Trailer: X"),
        ("X-HTTP-Method-Override: DELETE", "X-Original-URL: /metrics", "X-Rewrite-URL: /metrics"),
    ],
)  # fmt: skip
def test_nothing_but_the_request_itself_is_done(running: Gateway, headers: tuple[str, ...]) -> None:
    reply = raw(running, "/healthz", *headers)
    assert status(reply) == 200
    assert reply.endswith(b"ok\n")
    assert reply.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "PATCH", "PROPFIND", "get"])
def test_no_other_method_does_anything(running: Gateway, served: Served, method: str) -> None:
    served.server.requests.clear()
    assert status(raw(running, CHUNK, method=method)) in (400, 405)
    assert not served.server.requests


# --- connections ---


def test_a_connection_on_which_no_request_comes_is_ended(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "FIRST_REQUEST", 0.01)
    with gateway(server_upstream(served.server)) as running:
        parts = urlsplit(running.url)
        assert parts.hostname
        for sent in (b"", b"GET /healthz HTTP/1.1\r\nHost: "):
            with socket.create_connection((parts.hostname, parts.port), timeout=SECONDS) as silent:
                silent.sendall(sent)
                with suppress(ConnectionResetError):
                    assert silent.recv(1) == b""
