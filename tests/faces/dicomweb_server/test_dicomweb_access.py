"""Who may ask a folder's server, and how it ends."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests
from dicomweb_replies import get, split
from waiting import SECONDS

from dicomzarr.demo.slide import SERIES, STUDY, demo_files
from dicomzarr.errors import MissingFileError, UsageError
from dicomzarr.faces.dicomweb_server import DICOMwebServer, connections
from dicomzarr.faces.dicomweb_server.access import Visitors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = demo_files()[0].parent


@pytest.fixture(scope="module")
def server() -> Iterator[DICOMwebServer]:
    with DICOMwebServer(FOLDER, names=["pacs.example.org"], origins=["https://viewer.example.org"]) as running:
        yield running


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((host, 200) for host in ("127.0.0.1", "localhost:8042", "[::1]:1", "192.0.2.1", "a.localhost")),
        *((host, 200) for host in ("pacs.example.org", "PACS.example.org:80", "pacs.example.org.")),
        *((host, 421) for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "")),
        *((host, 421) for host in ("evil.example:127", "127.0.0.1@evil.example", "[::1", "2130706433")),
    ],
)
def test_names_by_which_it_is_asked_for(server: DICOMwebServer, host: str, status: int) -> None:
    """A page of another site may let its name lead here; what it asks for carries that name."""
    assert get(f"{server.url}/studies", Host=host).status_code == status


def asked(server: DICOMwebServer, target: str, host: str) -> http.client.HTTPResponse:
    """The reply to a request for this very target."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=SECONDS)
    connection.putrequest("GET", target, skip_host=True)
    connection.putheader("Host", host)
    connection.endheaders()
    reply = connection.getresponse()
    reply.data = reply.read()  # type: ignore[attr-defined]
    connection.close()
    return reply


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *(
            (host, 200)
            for host in ("127.0.0.1", "localhost:8042", "[::1]:1", "pacs.example.org", "PACS.example.org:80")
        ),
        *(
            (host, 421)
            for host in ("evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "evil.example:1")
        ),
    ],
)
def test_a_whole_url_names_its_own_host(server: DICOMwebServer, host: str, status: int) -> None:
    """The Host header does not count beside it (RFC 9112 section 3.2.2)."""
    target = f"http://{host}/dicom-web/studies?limit=1"
    for header in ("localhost", "evil.example"):
        reply = asked(server, target, header)
        assert reply.status == status
        if status == 200:
            (study,) = json.loads(reply.data)  # type: ignore[attr-defined]
            assert study["00081190"]["Value"][0].lower().startswith(f"http://{host}".lower())


def test_connections_on_which_no_request_comes_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "FIRST_REQUEST", 0.3)
    with DICOMwebServer(FOLDER) as server:
        parts = urlsplit(server.url)
        assert parts.hostname
        for sent in (b"", b"GET /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\n"):
            with socket.create_connection((parts.hostname, parts.port), timeout=SECONDS) as silent:
                silent.sendall(sent)
                with suppress(ConnectionResetError):
                    assert silent.recv(1) == b""
        with requests.Session() as session:
            assert session.get(f"{server.url}/studies", timeout=SECONDS).ok
            time.sleep(0.6)
            (kept,) = session.get_adapter(server.url).poolmanager.pools._container.values()  # type: ignore[attr-defined]
            assert session.get(f"{server.url}/studies", timeout=SECONDS).ok
            assert kept.num_connections == 1


def links(server: DICOMwebServer, **headers: str) -> set[str]:
    """What links of studies, metadata and frames begin with."""
    (study,) = get(f"{server.url}/studies", **headers).json()
    series = f"{server.url}/studies/{STUDY}/series/{SERIES}"
    metadata = get(f"{series}/metadata", **headers).json()
    ((part, _),) = split(get(f"{series}/instances/{metadata[0]['00080018']['Value'][0]}/frames/1", **headers))
    found = [study["00081190"]["Value"][0], part["Content-Location"]]
    found += [each["7FE00010"]["BulkDataURI"] for each in metadata]
    return {url.partition("/studies/")[0] for url in found}


def test_links_lead_to_where_others_reach_it() -> None:
    with DICOMwebServer(FOLDER, public_url="https://viewer.example.org:8443/pacs/dicom-web/") as server:
        for host in ("viewer.example.org:8443", "127.0.0.1"):
            assert links(server, Host=host) == {"https://viewer.example.org:8443/pacs/dicom-web"}
        reply = get(f"{server.url}/studies", Origin="https://viewer.example.org:8443")
        assert reply.headers["Access-Control-Allow-Origin"] == "https://viewer.example.org:8443"
        assert get(f"{server.url}/studies", Host="evil.example").status_code == 421


def test_what_clients_say_of_a_proxy_is_not_believed(server: DICOMwebServer) -> None:
    said = {
        "Forwarded": "proto=https;host=evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
    }
    assert links(server, **said) == {server.url}


@pytest.mark.parametrize(
    "url",
    [
        *("pacs.example.org/dicom-web", "ftp://pacs.example.org", "https://", "https:///dicom-web", "https://[::1"),
        *("https://user:secret@pacs.example.org", "https://pacs.example.org/?x=1", "https://pacs.example.org/#x"),
    ],
)
def test_a_public_url_that_is_none(url: str) -> None:
    with pytest.raises(UsageError, match="no root of a service") as raised:
        DICOMwebServer(FOLDER, public_url=url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        *((origin, True) for origin in ("http://localhost:3000", "http://127.0.0.1:5173", "https://[::1]:8443")),
        ("https://viewer.example.org", True),
        *((origin, False) for origin in ("https://evil.example", "http://viewer.example.org", "null", "file://")),
        *((origin, False) for origin in ("http://localhost.evil.example", "http://192.0.2.1", "http://[::1", "x")),
    ],
)
def test_pages_that_may_read(server: DICOMwebServer, origin: str, *, allowed: bool) -> None:
    for path in ("/studies", "/studies/1.2/metadata", "/nothing", "/studies?limit=x"):
        reply = get(server.url + path, Origin=origin)
        assert reply.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
        assert "Origin" in reply.headers["Vary"]
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "accept,x-requested-with",
        "Access-Control-Request-Private-Network": "true",
    }
    reply = requests.options(f"{server.url}/studies/1.2/series", headers=asked, timeout=SECONDS)
    assert reply.status_code == 204
    assert ("Access-Control-Allow-Methods" in reply.headers) == allowed
    if allowed:
        assert reply.headers["Access-Control-Allow-Headers"] == "accept,x-requested-with"
        assert reply.headers["Access-Control-Allow-Private-Network"] == "true"


def test_pages_of_other_sites_may_not_store(tmp_path: Path) -> None:
    with DICOMwebServer(tmp_path, writable=True) as server:
        headers = {"Origin": "https://evil.example", "Content-Type": "application/dicom"}
        assert requests.post(f"{server.url}/studies", b"x", headers=headers, timeout=SECONDS).status_code == 403
        headers["Origin"] = "http://localhost:3000"
        assert requests.post(f"{server.url}/studies", b"x", headers=headers, timeout=SECONDS).status_code == 409
    assert list(tmp_path.iterdir()) == []


def test_visitors_know_no_garbage() -> None:
    for text in ("[::1", "", "]", "@", ":", "http://"):
        assert not Visitors().knows_host(text)
        assert not Visitors().knows_origin(text)


def test_it_only_reads_unless_it_is_told_otherwise(server: DICOMwebServer) -> None:
    reply = requests.post(f"{server.url}/studies", b"x", headers={"Content-Type": "application/dicom"}, timeout=SECONDS)
    assert reply.status_code == 405
    assert reply.headers["Allow"] == "GET,HEAD,OPTIONS"
    for method in ("PUT", "DELETE", "PATCH"):
        assert requests.request(method, f"{server.url}/studies", timeout=SECONDS).status_code == 405


def test_it_leaves_nothing_behind() -> None:
    before = {thread for thread in threading.enumerate() if not thread.name.startswith("dicomzarr-")}
    with DICOMwebServer(FOLDER) as server:
        host = urlsplit(server.url).netloc
        idle = http.client.HTTPConnection(host, timeout=SECONDS)
        idle.request("GET", "/dicom-web/studies")
        assert idle.getresponse().read()
        half = http.client.HTTPConnection(host, timeout=SECONDS)
        half.connect()
        half.sock.sendall(b"GET /dicom-web/studies HT")
    left = {thread for thread in threading.enumerate() if not thread.name.startswith("dicomzarr-")}
    assert not left - before
    with pytest.raises(requests.ConnectionError):
        get(f"{server.url}/studies")
    idle.close()
    half.close()


def test_what_it_cannot_serve(server: DICOMwebServer, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no file or folder"):
        DICOMwebServer(tmp_path / "missing")
    with pytest.raises(UsageError, match="into a folder alone"):
        DICOMwebServer(demo_files()[0], writable=True)
    port = urlsplit(server.url).port
    assert port is not None
    with pytest.raises(OSError, match="in use"), DICOMwebServer(tmp_path, port=port):
        pass


def test_it_listens_where_it_is_told_to() -> None:
    with DICOMwebServer(FOLDER, host="::1") as server:
        assert server.url.startswith("http://[::1]:")
        (found, *_) = get(f"{server.url}/studies").json()
        assert found["00081190"]["Value"][0].startswith(server.url)
        (found, *_) = get(f"{server.url}/studies", Host="[::1]").json()
        assert found["00081190"]["Value"][0].startswith(server.url)
