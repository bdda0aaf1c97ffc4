"""The doctor tells servers and what is no server apart, and is right about each."""

from __future__ import annotations

import asyncio
import http.server
import json
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import faults
import pytest
import radiology_volumes
import slides
from aiohttp import web
from faults import require_basic
from folders import write
from ports import free_port
from radiology_model import AXIAL, distinct
from serving import serving

import dicomzarr
from dicomzarr.errors import InvalidURLError, UsageError
from dicomzarr.faces.cli import main
from dicomzarr.faces.dicomweb_server import DICOMwebServer
from dicomzarr.faces.doctor import Outcome, Report, doctor
from dicomzarr.sources.dicomweb.discovery import candidates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from orthanc import Orthanc
    from tiny_pacs import TinyPACS

LOGIN = '<!DOCTYPE html><title>Sign in</title><form><input type="password" name="p"></form>'
PAGE = "<!DOCTYPE html><title>Radiology of our house</title><p>Welcome"
OHIF = '<!doctype html><title>OHIF Viewer</title><script src="/app-config.js"></script>'


def volume() -> list[Any]:
    return radiology_volumes.volume(AXIAL, distinct((4, 8, 10), 16), bits=16, name="doctor").datasets


def outcomes(report: Report) -> dict[str, Outcome]:
    return {finding.check: finding.outcome for finding in report.findings}


def told(report: Report) -> str:
    return " ".join(f"{each.found} {each.consequence}" for each in report.findings)


@contextmanager
def site(pages: Mapping[str, tuple[int, str, str]], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A plain web server: path to status, media type and body; nothing else is there."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, media, body = pages.get(self.path.partition("?")[0], pages.get("*", (404, "text/plain", "no")))
            self.send_response(status)
            self.send_header("Content-Type", media)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DICOMwebServer]:
    folder = tmp_path_factory.mktemp("doctor")
    write(folder, volume())
    with DICOMwebServer(folder) as server:
        yield server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and its key that nobody vouches for."""
    from cryptography import x509  # noqa: PLC0415  # only here
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415  # as above
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415  # as above
    from cryptography.x509.oid import NameOID  # noqa: PLC0415  # as above

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    signed = made.sign(key, hashes.SHA256())
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    encoding, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    path.write_bytes(
        signed.public_bytes(encoding) + key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, no_password)
    )
    return path


def test_our_own_server_is_well(own_server: DICOMwebServer) -> None:
    report = doctor(own_server.url)
    assert report.works
    assert report.readable
    assert report.base == own_server.url
    assert set(outcomes(report).values()) == {Outcome.WORKS}
    assert {
        "search",
        "filters",
        "metadata",
        "single frames",
        "whole series",
        "whole instances",
        "speed",
        "pixels",
    } <= set(outcomes(report))


def test_no_uid_and_no_patient_is_told(own_server: DICOMwebServer) -> None:
    text = json.dumps(doctor(own_server.url).as_json()) + str(doctor(own_server.url))
    for dataset in volume():
        for value in (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID, dataset.PatientID):
            assert str(value) not in text


def test_the_service_is_found_from_the_root(own_server: DICOMwebServer) -> None:
    root = own_server.url.rpartition("/")[0]
    report = doctor(root)
    assert report.readable
    assert report.base == own_server.url
    assert own_server.url in told(report)


def test_a_slide_shows_how_lists_go() -> None:
    with serving(slides.brightfield_pyramid()) as served:
        report = doctor(served.url)
        assert outcomes(report)["lists of frames"] is Outcome.WORKS
        assert report.readable
    with serving(slides.brightfield_pyramid(), faults.refuse_lists()) as served:
        report = doctor(served.url)
        assert outcomes(report)["lists of frames"] is Outcome.NOTICE
        assert "max_connections=32" in str([each.options for each in report.findings])
        assert report.readable
        assert report.works


def test_frames_that_nobody_gives() -> None:
    with serving(slides.brightfield_pyramid(), faults.status(501)) as served:
        report = doctor(served.url)
    assert outcomes(report)["single frames"] is Outcome.NOTICE
    assert "cut out of them" in told(report)
    assert report.readable


def test_no_credentials_and_wrong_ones() -> None:
    with serving(slides.brightfield_pyramid(), require_basic("reader", "secret")) as served:
        without = doctor(served.url)
        wrong = doctor(served.url, auth=("reader", "guess"))
        right = doctor(served.url, auth=("reader", "secret"))
    assert outcomes(without) == {"connection": Outcome.WORKS, "rights": Outcome.FAILS}
    assert "no credentials were given" in told(without)
    assert "to the credentials that were given" in told(wrong)
    assert "guess" not in told(wrong)
    assert right.readable


def test_a_service_that_alone_is_closed() -> None:
    """The rest of its host answers: it is closed nevertheless, and no other service is looked for in vain."""

    @web.middleware
    async def closed(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
        if request.path.startswith("/dicom-web"):
            raise web.HTTPUnauthorized
        reply: web.StreamResponse = await handler(request)
        return reply

    with serving(slides.brightfield_pyramid(), closed) as served:
        base = served.server.url
        assert outcomes(doctor(base)) == {"connection": Outcome.WORKS, "rights": Outcome.FAILS}
        report = doctor(base.rpartition("/")[0])
    assert outcomes(report) == {"connection": Outcome.WORKS, "DICOMweb": Outcome.NOTICE, "rights": Outcome.FAILS}
    assert f"The DICOMweb service is {base}" in told(report)


def test_a_wrong_password_is_sent_once() -> None:
    asked: list[str] = []

    @web.middleware
    async def count(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
        asked.append(request.headers.get("Authorization", ""))
        reply: web.StreamResponse = await handler(request)
        return reply

    with serving(slides.brightfield_pyramid(), count, require_basic("reader", "secret")) as served:
        assert not doctor(served.url, auth=("reader", "guess")).works
    assert len([each for each in asked if each]) == 1


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ({"*": (200, "text/html", LOGIN)}, "a page that asks for a password ('Sign in')"),
        ({"*": (200, "text/html", PAGE)}, "a web page ('Radiology of our house')"),
        ({"/": (200, "text/html", "<html><title>Index of /</title>")}, "a page that lists files"),
        ({"/": (200, "text/html", OHIF), "*": (200, "text/html", OHIF)}, "the viewer OHIF"),
        ({"*": (200, "application/json", "[]x")}, "something else (status 200, application/json)"),
        ({}, "not there (status 404)"),
    ],
    ids=["login", "page", "listing", "viewer", "something", "nothing"],
)
def test_what_is_no_service_is_named(pages: Mapping[str, tuple[int, str, str]], said: str) -> None:
    with site(pages) as url:
        report = doctor(url)
    assert said in told(report)
    assert not report.works
    assert not report.readable
    assert report.base is None


def test_a_viewer_tells_of_its_server() -> None:
    config = "window.config = { dataSources: [{ qidoRoot: 'https://pacs.example/dicom-web', wadoRoot: 'x' }] };"
    pages = {"*": (200, "text/html", OHIF), "/app-config.js": (200, "text/javascript", config)}
    with site(pages) as url:
        report = doctor(f"{url}/viewer?StudyInstanceUIDs=1.2.3")
    assert "It is told to use https://pacs.example/dicom-web" in told(report)


def test_a_viewer_beside_its_service(own_server: DICOMwebServer) -> None:
    study, series = volume()[0].StudyInstanceUID, volume()[0].SeriesInstanceUID
    root = own_server.url.rpartition("/")[0]
    report = doctor(f"{root}/viewer?StudyInstanceUIDs={study}&SeriesInstanceUIDs={series}")
    assert report.readable
    assert "search" not in outcomes(report)  # the URL says which series


def test_a_port_on_which_nothing_listens() -> None:
    port = free_port()
    report = doctor(f"http://127.0.0.1:{port}/dicom-web")
    assert outcomes(report) == {"name": Outcome.WORKS, "connection": Outcome.FAILS}
    assert f"Nothing listens on port {port}" in told(report)


def test_a_name_without_an_address() -> None:
    report = doctor("http://no-such-host.invalid/dicom-web")
    assert outcomes(report) == {"name": Outcome.FAILS}


def test_tls_by_plain_http_and_the_other_way(certificate: Path, own_server: DICOMwebServer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with site({}, context) as url:
        assert "Write https://" in told(doctor(url.replace("https:", "http:")))
        untrusted = doctor(url)
    assert outcomes(untrusted)["TLS"] is Outcome.FAILS
    assert "is not trusted" in told(untrusted)
    assert "SSL_CERT_FILE" in told(untrusted)
    assert "Write http://" in told(doctor(own_server.url.replace("http:", "https:")))


def test_a_port_that_speaks_another_protocol() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"\x03\x00\x00\x00\x00\x04\x00\x01\x00\x01")  # A-ASSOCIATE-RJ
        writer.close()

    started: threading.Event = threading.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        found.update(port=server.sockets[0].getsockname()[1], loop=asyncio.get_running_loop(), end=asyncio.Event())
        started.set()
        async with server:
            await found["end"].wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(10)
    try:
        report = doctor(f"http://127.0.0.1:{found['port']}/dicom-web")
    finally:
        found["loop"].call_soon_threadsafe(found["end"].set)
        thread.join()
    assert "speaks no HTTP" in told(report)


def test_a_service_without_images(tmp_path: Path) -> None:
    tmp_path.joinpath("empty").mkdir()
    with DICOMwebServer(tmp_path / "empty") as server:
        report = doctor(server.url)
    assert report.works
    assert not report.readable
    assert "No series of images in the service." in told(report)


@pytest.mark.parametrize("url", ["/some/folder", "s3://bucket", "nothing", "ftp://host/x"])
def test_what_is_no_server_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="no URL of a server"):
        doctor(url)


def test_an_impossible_port_is_an_error_of_the_url() -> None:
    report = doctor("http://127.0.0.1:99999/dicom-web")
    assert not report.works
    assert "impossible port" in told(report)


def test_the_command(own_server: DICOMwebServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", own_server.url]) == 0
    shown = capsys.readouterr().out
    assert " ok pixels:" in shown
    assert f"dicomzarr ls {own_server.url}" in shown
    assert main(["doctor", own_server.url, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["works"] is document["readable"] is True


def test_the_command_fails_where_nothing_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    with site({}) as url:
        assert main(["doctor", url]) == 1
        captured = capsys.readouterr()
        assert " no DICOMweb:" in captured.out
        assert main(["doctor", url, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["works"] is False


def test_it_is_a_public_name() -> None:
    assert dicomzarr.doctor is doctor


def test_bases_that_are_tried_stay_on_the_host() -> None:
    tried = list(candidates("https://host:8042/a/b"))
    assert tried[:3] == ["https://host:8042/a/b", "https://host:8042/a", "https://host:8042"]
    assert "https://host:8042/dicom-web" in tried
    assert all(each.startswith("https://host:8042") for each in tried)
    assert len(tried) == len(set(tried)) < 25


def test_a_real_orthanc(orthanc: Orthanc) -> None:
    orthanc.load(volume())
    root = f"http://127.0.0.1:{orthanc.port}"
    report = doctor(root)
    assert report.readable
    assert report.base == orthanc.dicomweb_url
    assert f"The DICOMweb service is {orthanc.dicomweb_url}" in told(report)
    assert "Orthanc Explorer" in told(doctor(f"{root}/app/explorer.html#study?uuid=1"))


def test_a_real_orthanc_with_a_password(orthanc_with_password: Orthanc) -> None:
    orthanc_with_password.load(volume())
    assert outcomes(doctor(orthanc_with_password.dicomweb_url))["rights"] is Outcome.FAILS
    assert doctor(orthanc_with_password.dicomweb_url, auth=orthanc_with_password.auth).readable
    assert outcomes(doctor(f"http://127.0.0.1:{orthanc_with_password.port}"))["rights"] is Outcome.FAILS


def test_a_real_tiny_pacs(tiny_pacs: TinyPACS) -> None:
    tiny_pacs.load(volume())
    report = doctor(f"http://127.0.0.1:{tiny_pacs.port}")
    assert report.base == f"http://127.0.0.1:{tiny_pacs.port}/dicomweb"
    assert outcomes(report)["single frames"] is Outcome.NOTICE
    assert report.readable


def test_invalid_url_stays_a_usage_error() -> None:
    assert issubclass(InvalidURLError, UsageError)
