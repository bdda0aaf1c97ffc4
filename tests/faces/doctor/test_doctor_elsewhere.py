"""What stands at a URL in the place of a DICOMweb service, or around one: the doctor tells each apart."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import faults
import pytest
import radiology_volumes
from aiohttp import web
from certificates import authority, server_tls
from folders import write
from radiology_model import AXIAL, distinct
from token_servers import served
from waiting import more_and_more_patiently
from yarl import URL

from dicomzarr.faces import doctor as doctor_module
from dicomzarr.faces.dicomweb_server import DICOMwebServer
from dicomzarr.faces.doctor import Outcome, Report, doctor
from dicomzarr.sources.dicomweb.discovery import read_pasted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ABORT: Final = bytes((7, 0, 0, 0, 0, 4, 0, 0, 2, 0))
REJECT: Final = bytes((3, 0, 0, 0, 0, 4, 0, 1, 1, 7))
DATASETS: Final = radiology_volumes.volume(AXIAL, distinct((4, 8, 10), 16), bits=16, name="elsewhere").datasets
STUDY, SERIES, INSTANCE = (
    str(DATASETS[0][name].value) for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
)


def outcomes(report: Report) -> dict[str, Outcome]:
    return {finding.check: finding.outcome for finding in report.findings}


def told(report: Report) -> str:
    return " ".join(f"{each.found} {each.consequence}" for each in report.findings)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("elsewhere")
    write(folder, DATASETS)
    with DICOMwebServer(folder) as server:
        yield server.url


async def forwarded(request: web.Request, url: str, *, accept: str | None = None) -> web.Response:
    """What a server answers, by way of a proxy."""
    headers = {"Accept": accept or request.headers.get("Accept", "*/*")}
    async with aiohttp.ClientSession() as session, session.get(URL(url, encoded=True), headers=headers) as reply:
        media = {"Content-Type": reply.headers.get("Content-Type", "")}
        return web.Response(status=reply.status, headers=media, body=await reply.read())


def always(page: str = "", status: int = 200) -> Callable[[web.Request], Any]:
    """Answers whatever is asked with one page."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=page, status=status, content_type="text/html")

    return answer


@contextmanager
def port_of(answer: Callable[[bytes], bytes | None]) -> Iterator[int]:
    """A port that answers what it is sent; it closes where the answer is empty, and is silent where it is none."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                    said = answer(connection.recv(4096))
                except OSError:
                    return
                if said is None:
                    held.append(connection)
                    continue
                with connection:
                    if said:
                        connection.sendall(said)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in held:
                each.close()


# --- other protocols


@pytest.mark.parametrize(
    "answer",
    [
        lambda said: REJECT if said[:1] == b"\1" else ABORT,
        lambda said: REJECT if said[:1] == b"\1" else b"",
        lambda said: ABORT if said[:1] == b"\1" else b"",
        lambda said: REJECT if said[:1] == b"\1" else None,
    ],
    ids=["aborts", "closes", "aborts an association", "is silent"],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_port_of_dimse_is_told_to_be_one(
    answer: Callable[[bytes], bytes | None], scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(seconds: float) -> None:
        monkeypatch.setattr(doctor_module, "_STEP_SECONDS", seconds)
        with port_of(answer) as port:
            report = doctor(f"{scheme}://127.0.0.1:{port}/dicom-web")
        assert "but DICOM's own protocol (DIMSE)" in told(report)
        assert "8042" in told(report)
        assert not report.works

    more_and_more_patiently(check, 0.3)


def test_a_port_that_is_silent_is_not_called_another_protocol() -> None:
    def check(seconds: float) -> None:
        with port_of(lambda _: None) as port:
            report = doctor(f"http://127.0.0.1:{port}/dicom-web", timeout=seconds)
        assert "takes connections, and is silent" in told(report)
        assert f"gave nothing for {seconds:g} s" in told(report)
        assert "DIMSE" not in told(report)
        assert outcomes(report)["answer"] is Outcome.FAILS

    more_and_more_patiently(check, 0.2)


def test_a_slow_server_is_waited_for(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(seconds: float) -> None:
        monkeypatch.setattr(doctor_module, "_STEP_SECONDS", seconds)

        async def slow(request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(2 * seconds)
            return await forwarded(request, base.removesuffix("/dicom-web") + request.path_qs)

        with served(slow) as url:
            report = doctor(f"{url}/dicom-web/studies/{STUDY}/series/{SERIES}")
        assert report.readable
        assert report.works

    more_and_more_patiently(check, 0.05)


def test_tls_that_is_too_old_or_wants_a_certificate(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority().pem)
    files = authority().issue(tmp_path, "server")
    old = server_tls(files)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1
    picky = server_tls(files, authority())
    for tls, said in ((old, "versions of TLS that are too old"), (picky, "client certificate")):
        with served(always(), tls) as url:
            report = doctor(url, ca=ca)
        assert said in told(report), told(report)
        assert "neither TLS nor HTTP" not in told(report)
        assert not report.works


# --- proxies and pages


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (502, "A proxy answers, and the server behind it does not"),
        (503, "A proxy answers, and the server behind it does not"),
        (500, "log says why"),
        (429, "limits requests"),
    ],
)
def test_what_fails_is_not_called_no_service(status: int, said: str) -> None:
    with served(always("<html>Bad Gateway", status)) as url:
        report = doctor(f"{url}/dicom-web")
    assert f"status {status} came where studies were asked for" in told(report)
    assert said in told(report)
    assert "no DICOMweb service" not in told(report)
    assert not report.works


PAGE: Final = "<!doctype html><html><head><title>{}</title></head><body><div id=root></div></body></html>"


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("OHIF Viewer", "the viewer OHIF"),
        ("Stone Web viewer", "the viewer Stone"),
        (
            "Our pictures",
            "a web page ('Our pictures'), and no DICOMweb service. It answers with a page whatever is asked",
        ),
        ("dicomzarr", "the viewer of dicomzarr serve, and no DICOMweb service. It serves OME-Zarr"),
        ("Sign in to the hospital", "Log in, and give what that gives you"),
        ("Anmeldung", "Log in, and give what that gives you"),
    ],
)
def test_a_page_for_whatever_is_asked(title: str, said: str) -> None:
    page = PAGE.format(title)
    with served(always(page)) as url:
        report = doctor(f"{url}/viewer?StudyInstanceUIDs={STUDY}")
    assert said in told(report)
    assert outcomes(report)["DICOMweb"] is Outcome.FAILS


def test_a_service_that_answers_in_xml() -> None:
    async def answer(_: web.Request) -> web.Response:
        kind = 'multipart/related; type="application/dicom+xml"; boundary=x'
        return web.Response(text="--x--", headers={"Content-Type": kind})

    with served(answer) as url:
        report = doctor(f"{url}/rs")
    assert f"{url}/rs is a DICOMweb service that answers in XML" in told(report)
    assert "no DICOMweb service" not in told(report)


@pytest.mark.parametrize(
    ("challenge", "said", "option"),
    [
        ('Bearer realm="x"', "asks for Bearer", 'auth="env:TOKEN"'),
        ("Negotiate", "Logins of Windows domains are not spoken", "auth=(USER, PASSWORD)"),
        ('Basic realm="x"', "asks for Basic", "auth=(USER, PASSWORD)"),
    ],
)
def test_the_kind_of_login_that_is_asked_for(challenge: str, said: str, option: str) -> None:
    async def closed(_: web.Request) -> web.Response:
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    with served(closed) as url:
        report = doctor(f"{url}/dicom-web")
    assert said in told(report)
    assert report.findings[-1].options == (option,)


def test_where_a_server_leads_to_is_named_where_nobody_is_there() -> None:
    async def closed(_: web.Request) -> web.Response:
        raise web.HTTPFound(nobody)

    with served(always()) as nobody:
        """It ends here."""
    with served(closed) as url:
        report = doctor(f"{url}/dicom-web")
    assert f"{nobody.partition('://')[2]} (where {url.partition('://')[2]} leads)" in told(report)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (407, "The proxy wants a login, or another one. Give it in HTTPS_PROXY or HTTP_PROXY"),
        (502, "A proxy answers, and the server behind it does not"),
        (None, "Nothing listens on port"),
    ],
)
def test_a_proxy_is_looked_at_and_not_what_only_it_can_see(
    status: int | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://behind-{status}.example.invalid/dicom-web"
    with served(always("", status or 200)) as proxy:
        for name, value in {"http_proxy": proxy, "no_proxy": ""}.items():
            monkeypatch.setenv(name, value)
            monkeypatch.setenv(name.upper(), value)
        report = doctor(url) if status else None
    report = report or doctor(url)
    assert said in told(report)
    assert "has no address" not in told(report)
    assert status or f"Requests go through the proxy {proxy.partition('://')[2]}" in told(report)


def test_a_page_for_whatever_is_asked_beside_a_service(base: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/dicom-web/"):
            return await forwarded(request, base.removesuffix("/dicom-web") + request.path_qs)
        return web.Response(text=PAGE.format("Our pictures"), content_type="text/html")

    with served(answer) as url:
        report = doctor(f"{url}/viewer/index.html?study={STUDY}")
        assert report.base == f"{url}/dicom-web"
        assert report.readable


def test_a_login_elsewhere() -> None:
    async def closed(request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{sso}/auth?redirect_uri={request.path}")

    with served(always('<html><title>Realm</title><input type="password">')) as sso, served(closed) as url:
        report = doctor(f"{url}/dicom-web", auth=("joe", "secret"))
    assert f"leads to {sso}" in told(report)
    assert "Log in, and give what that gives you" in told(report)


def test_a_service_that_moved_to_another_port_hears_of_no_credentials(base: str) -> None:
    async def guarded(request: web.Request) -> web.StreamResponse:
        if "Authorization" not in request.headers:
            return web.Response(status=401)
        return await forwarded(request, base.removesuffix("/dicom-web") + request.path_qs)

    async def moved(request: web.Request) -> web.Response:
        raise web.HTTPPermanentRedirect(now + request.path_qs)

    with served(guarded) as now, served(moved) as url:
        report = doctor(f"{url}/dicom-web", auth=("joe", "secret"))
        assert f"leads to {now}. Write that" in told(report)
        assert "no credentials go there" in told(report)
        assert doctor(f"{now}/dicom-web", auth=("joe", "secret")).readable


# --- bases


BELOW: Final = (
    "/",
    "//",
    "/studies",
    "/studies/",
    "/studies?limit=5&PatientID=x",
    "/series",
    "/instances?limit=1",
    f"/studies/{STUDY}",
    f"/studies/{STUDY}/series/",
    f"/studies/{STUDY}/metadata",
    f"/studies/{STUDY}/series/{SERIES}/metadata",
    f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}/frames/1",
    f"/studies/{STUDY}/series/{SERIES}.zarr/0",
)


@pytest.mark.parametrize("below", BELOW)
def test_whatever_of_a_service_is_given_its_base_is_found(base: str, below: str) -> None:
    report = doctor(base + below)
    assert report.base == base
    assert report.readable, told(report)
    assert Outcome.NOTICE not in outcomes(report).values()


@pytest.mark.parametrize("place", ["", "/viewer", "/v1/projects/p/datasets/d/dicomStores/s", "/studies/x"])
def test_what_is_read_of_a_path(place: str) -> None:
    for end in ("", "/", "/studies", f"/studies/{STUDY}/series/{SERIES}", f"/studies/{STUDY}/thumbnail", "/series"):
        found = read_pasted(f"https://host{place}{end}")
        assert found.base == f"https://host{place}"
        assert (found.study, found.series) == (STUDY if STUDY in end else None, SERIES if SERIES in end else None)


@pytest.mark.parametrize(
    ("mounted", "given"),
    [
        (
            "/v1/projects/p/locations/l/datasets/d/dicomStores/s/dicomWeb",
            "/v1/projects/p/locations/l/datasets/d/dicomStores/s",
        ),
        ("/dcm4chee-arc/aets/DCM4CHEE/rs", "/dcm4chee-arc/ui2/en/study/study"),
        ("/hospital/pacs/dicom-web", "/hospital/pacs"),
        ("/hospital/pacs", "/hospital/pacs/dicom-web"),
        ("/rs", ""),
    ],
)
def test_a_base_that_is_too_deep_or_not_deep_enough(base: str, mounted: str, given: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if not request.path.startswith(f"{mounted}/"):
            return web.Response(status=404)
        return await forwarded(request, base + request.path_qs.removeprefix(mounted))

    with served(answer) as url:
        report = doctor(url + given)
        assert report.base == url + mounted
        assert f"The DICOMweb service is {url}{mounted}" in told(report)
        assert report.readable
        assert doctor(url + mounted).readable


def test_a_service_that_redirects_within_its_host(base: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if not request.path.startswith("/moved/"):
            raise web.HTTPTemporaryRedirect(f"/moved{request.path_qs}")
        return await forwarded(request, base.removesuffix("/dicom-web") + request.path_qs.removeprefix("/moved"))

    with served(answer) as url:
        report = doctor(f"{url}/dicom-web")
    assert report.readable
    assert "redirect" not in outcomes(report)


# --- services that lack something


def test_a_service_that_takes_one_media_type_only(base: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        is_pixels = "/frames/" in request.path or request.path.endswith(("/series/" + SERIES, INSTANCE))
        if not is_pixels and request.headers.get("Accept") != "application/json":
            return web.Response(status=406)
        accept = None if is_pixels else "application/dicom+json"
        return await forwarded(request, base.removesuffix("/dicom-web") + request.path_qs, accept=accept)

    with served(answer) as url:
        report = doctor(f"{url}/dicom-web")
    assert report.base == f"{url}/dicom-web"
    assert report.readable, told(report)


@pytest.mark.parametrize("status", [404, 501, 403, 500])
def test_a_service_without_a_search(base: str, status: int) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if faults.resource(request) in ("studies", "series") and not request.path.endswith(f"/series/{SERIES}"):
            return web.Response(status=status)
        return await forwarded(request, base.removesuffix("/dicom-web") + request.path_qs)

    with served(answer) as url:
        report = doctor(f"{url}/dicom-web/studies/{STUDY}/series/{SERIES}")
        assert report.base == f"{url}/dicom-web"
        assert report.readable, told(report)
        without = doctor(f"{url}/dicom-web")
    assert not without.works
    if status in (404, 501):
        assert "A service without a search shows itself by the URL of a series" in told(without)
