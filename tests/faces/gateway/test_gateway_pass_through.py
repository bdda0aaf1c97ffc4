"""Callers who bring credentials of their own: each sees what the server lets them see, now, and nothing of others."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import radiology
from aiohttp import web
from folders import write
from gateways import Reply, ask, folder_upstream, gateway, send_raw, server_upstream
from slides import coded_slide

from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.errors import UsageError
from dicomzarr.faces.gateway import upstreams

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiohttp.typedefs import Handler

    from dicomzarr.faces.gateway.server import Gateway

SLIDE = coded_slide("jpeg_ybr_full_422")
VOLUME = radiology.BUILDERS["volume"]()
SERIES = f"studies/{SLIDE.study_uid}/series/{SLIDE.series_uid}"
OTHER = f"studies/{VOLUME.study_uid}/series/{VOLUME.series_uid}"

ALICE, BOB = "Bearer alice-7", "Bearer bob-8"

EVERYTHING = [
    f"/0.5/{SERIES}.zarr/zarr.json",
    f"/0.4/{SERIES}.zarr/.zattrs",
    f"/0.5/{SERIES}.zarr/0/c/0/0/0",
    f"/0.4/{SERIES}.zarr/0/0/0/0",
    f"/0.5/{SERIES}.zarr/",
    f"/frames/{SERIES}.zarr/0/c/0/0/0",
    f"/api/{SERIES}",
    f"/api/{SERIES}/thumbnail",
    f"/api/{SERIES}/attributes",
]


@dataclass
class Rights:
    """A server that knows its users, and which series each may read."""

    allowed: dict[str, set[str]] = field(
        default_factory=lambda: {ALICE: {SLIDE.series_uid, VOLUME.series_uid}, BOB: {VOLUME.series_uid}}
    )

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        mine = self.allowed.get(request.headers.get("Authorization", ""))
        if mine is None:
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        if SLIDE.series_uid in request.path and SLIDE.series_uid not in mine:
            return web.Response(status=403)
        return await handler(request)


@pytest.fixture
def rights() -> Rights:
    return Rights()


@pytest.fixture
def server(rights: Rights) -> Iterator[DICOMwebServer]:
    async def known(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await rights(request, handler)

    with DICOMwebServer(Archive([*SLIDE.datasets, *VOLUME.datasets]), middlewares=[web.middleware(known)]) as each:
        yield each


@pytest.fixture
def running(server: DICOMwebServer) -> Iterator[Gateway]:
    with gateway(server_upstream(server), pass_through=True) as each:
        yield each


def as_alice(running: Gateway, path: str, **headers: str) -> Reply:
    return ask(running.url + path, Authorization=ALICE, **headers)


def as_bob(running: Gateway, path: str, **headers: str) -> Reply:
    return ask(running.url + path, Authorization=BOB, **headers)


def test_each_caller_reads_what_the_server_lets_them_read(running: Gateway) -> None:
    for path in EVERYTHING:
        assert as_alice(running, path).status == 200
    assert as_alice(running, f"/0.5/{OTHER}.zarr/zarr.json").status == 200
    assert as_bob(running, f"/0.5/{OTHER}.zarr/zarr.json").status == 200
    assert as_bob(running, f"/0.5/{OTHER}.zarr/0/c/0/0/0").status == 200


@pytest.mark.parametrize("path", EVERYTHING)
def test_what_is_cached_for_one_caller_is_not_served_to_another(running: Gateway, path: str) -> None:
    etag = as_alice(running, path).headers["ETag"]
    for headers in ({}, {"If_None_Match": etag}, {"If_None_Match": "*"}, {"Range": "bytes=0-3"}):
        assert as_bob(running, path, **headers).status == 403
    assert as_alice(running, path).status == 200


def test_even_what_both_may_read_is_asked_for_by_each(running: Gateway, server: DICOMwebServer) -> None:
    path = f"/0.5/{OTHER}.zarr/0/c/0/0/0"
    one = as_alice(running, path)
    before = len(server.requests)
    assert as_bob(running, path).body == one.body
    asked = server.requests[before:]
    assert {"metadata"} < {each.resource for each in asked}
    assert {each.headers["Authorization"] for each in asked} == {BOB}


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/api/", "/api/studies", "/metrics", *EVERYTHING])
@pytest.mark.parametrize("authorization", ["", " "])
def test_nobody_is_told_anything_without_credentials(
    running: Gateway, server: DICOMwebServer, path: str, authorization: str
) -> None:
    as_alice(running, EVERYTHING[2])
    before = len(server.requests)
    headers = {"Authorization": authorization} if authorization else {}
    reply = ask(running.url + path, **headers)
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"].startswith("Basic ")
    assert len(server.requests) == before
    assert ask(f"{running.url}/healthz").status == 200


@pytest.mark.parametrize(
    "authorization", ["Bearer alice-8", "bearer alice-7x", f"{ALICE}, {BOB}", "Basic YWxpY2U6Nw=="]
)
def test_wrong_credentials_get_nothing(running: Gateway, authorization: str) -> None:
    for path in EVERYTHING:
        as_alice(running, path)
        assert ask(running.url + path, Authorization=authorization).status == 401
    for path in ("/metrics", "/api/studies"):
        assert ask(running.url + path, Authorization=authorization).status == 401


def test_two_credentials_are_refused(running: Gateway, server: DICOMwebServer) -> None:
    host = urlsplit(running.url).netloc
    for pair in ((ALICE, BOB), (BOB, ALICE)):
        lines = "".join(f"Authorization: {each}\r\n" for each in pair)
        request = f"GET /api/studies HTTP/1.1\r\nHost: {host}\r\n{lines}Connection: close\r\n\r\n"
        assert send_raw(running.url, request.encode()).split()[1] == b"400"
    assert not server.requests


def test_rights_that_are_taken_away_end(
    server: DICOMwebServer, rights: Rights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstreams, "_SECONDS_ALLOWED", 0.0)
    with gateway(server_upstream(server), pass_through=True) as running:
        for path in EVERYTHING:
            assert as_alice(running, path).status == 200
        rights.allowed[ALICE] = set()
        for path in EVERYTHING:
            assert as_alice(running, path).status == 403
        del rights.allowed[ALICE]
        for path in EVERYTHING:
            assert as_alice(running, path).status == 401


def test_many_requests_at_once_ask_once_whether_they_may(server: DICOMwebServer) -> None:
    with gateway(server_upstream(server), pass_through=True) as running, ThreadPoolExecutor(8) as threads:
        path = f"/0.5/{OTHER}.zarr/0/c/0/0/0"
        replies = list(threads.map(lambda _: as_alice(running, path), range(16)))
        assert {each.status for each in replies} == {200}
        assert [each.resource for each in server.requests].count("metadata") == 1


def test_credentials_go_to_the_server_and_into_no_word_of_ours(
    server: DICOMwebServer, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.DEBUG),
        gateway(server_upstream(server), pass_through=True, log_uids=True) as running,
    ):
        replies = [as_alice(running, path) for path in (*EVERYTHING, "/metrics", "/api/", "/api/studies")]
        replies.append(ask(f"{running.url}{EVERYTHING[0]}", Authorization="Bearer secret-9"))
        told = "".join(str(dict(each.headers)) for each in replies) + b"".join(each.body for each in replies).decode(
            errors="replace"
        )
        for secret in ("alice-7", "secret-9"):
            assert secret not in told + caplog.text + repr(running.shared.upstreams.by_name)


def test_nothing_but_the_credentials_is_forwarded(running: Gateway, server: DICOMwebServer) -> None:
    as_alice(running, EVERYTHING[2], Cookie="marked=1", X_Forwarded_For="marked", Proxy_Authorization="marked")
    assert server.requests
    for each in server.requests:
        assert "marked" not in str(dict(each.headers))
        assert each.headers["Authorization"] == ALICE


def test_a_browser_keeps_nothing_that_it_would_show_without_asking(running: Gateway) -> None:
    version = as_alice(running, f"/api/{SERIES}").json["version"]
    reply = as_alice(running, f"/0.5/{SERIES}.zarr/0/c/0/0/0?version={version}")
    assert reply.headers["Cache-Control"] == "private, no-cache"
    assert "Authorization" in reply.headers["Vary"]
    assert as_alice(running, "/api/studies").headers["Cache-Control"] == "no-store"


def test_series_are_not_kept_on_disk_with_credentials_that_leave(running: Gateway) -> None:
    assert not as_alice(running, "/api/").json["upstreams"][0]["keeps"]
    url = f"{running.url}/api/{SERIES}/kept"
    assert ask(url, "POST", Authorization=ALICE, Content_Type="application/json").status == 405


def test_what_cannot_be_meant_is_refused(server: DICOMwebServer, tmp_path: Path) -> None:
    write(tmp_path, VOLUME.datasets)
    one, two = server_upstream(server), server_upstream(server, "two")
    own = server_upstream(server, headers={"Authorization": "x"})
    for given in ((one, two), (folder_upstream(tmp_path),), (own,), (server_upstream(server, cache_dir=tmp_path),)):
        with pytest.raises(UsageError), gateway(*given, pass_through=True):
            pass
    with pytest.raises(UsageError), gateway(one, pass_through=True, token="x"):  # noqa: S106  # made up
        pass
    with gateway(one, pass_through=True, host="0.0.0.0"):  # noqa: S104  # it asks for credentials
        pass


@pytest.mark.parametrize("given", [b"Bearer \xff\xfe", "Bearer \u00e4".encode(), b"Bearer a\tb", b"B" * 8000])
def test_credentials_that_are_no_text_are_refused_or_denied(
    running: Gateway, server: DICOMwebServer, given: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    host = urlsplit(running.url).netloc.encode()
    request = (
        b"GET /api/studies HTTP/1.1\r\nHost: "
        + host
        + b"\r\nAuthorization: "
        + given
        + b"\r\nConnection: close\r\n\r\n"
    )
    assert send_raw(running.url, request).split()[1] in (b"400", b"401")
    assert "Traceback" not in caplog.text
    assert len(server.requests) <= 1  # what is text is for the server to judge
