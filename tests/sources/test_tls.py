"""TLS: private authorities, certificates of clients, and what is said where TLS and plain HTTP meet."""

from __future__ import annotations

import json
import pickle
import socket
import ssl
import subprocess
import threading
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import radiology
import slides
from buckets import bucket
from certificates import KEY_PASSWORD, authority, behind_tls, self_signed, server_tls
from dual_personality import part10_bytes
from serving import forget_servers, is_right, run_python, serving
from token_servers import CLIENT, CLIENT_SECRET, token_server
from waiting import SECONDS

import dicomzarr
from dicomzarr.credentials import ClientCredentials
from dicomzarr.errors import AuthenticationError, ConnectionFailedError, DicomZarrError, InvalidOptionError
from dicomzarr.faces import cli
from dicomzarr.options import StorageOptions
from dicomzarr.sources.http.connection import KEY_PASSWORD_VARIABLE, basic_login, proxy_of
from dicomzarr.sources.http.tls_refusals import refusal_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SLIDE = slides.coded_slide("native_rgb")
LEVEL = SLIDE.levels[0]


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    forget_servers()


@pytest.fixture
def ca(tmp_path: Path) -> str:
    file = tmp_path / "ca.pem"
    file.write_bytes(authority().pem)
    return str(file)


@contextmanager
def secure(tmp_path: Path, *, mutual: bool = False, **certificate: Any) -> Iterator[str]:
    """The URL of the slide on a server whose certificate only the hospital vouches for."""
    tls = server_tls(authority().issue(tmp_path, "server", **certificate), authority() if mutual else None)
    with serving(SLIDE) as served, behind_tls(served.url, tls) as url:
        yield url


# --- authorities ---


def test_a_private_authority(tmp_path: Path, ca: str) -> None:
    with secure(tmp_path) as url:
        level = dicomzarr.open(url, ca=ca).levels[0]
        assert is_right(level[...], LEVEL)
        assert is_right(pickle.loads(pickle.dumps(level))[...], LEVEL)  # noqa: S301  # our own
        folder = tmp_path / "trusted"
        folder.mkdir()
        (folder / "hospital.crt").write_bytes(authority().pem)
        (folder / "notes.txt").write_text("no certificate")
        assert is_right(dicomzarr.open(url, ca=folder).levels[0][...], LEVEL)


def test_an_authority_in_the_environment(tmp_path: Path, ca: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", ca)
    with secure(tmp_path) as url:
        assert is_right(dicomzarr.open(url).levels[0][...], LEVEL)


def test_who_is_not_trusted_is_named_with_what_to_do(tmp_path: Path) -> None:
    with secure(tmp_path) as url, pytest.raises(ConnectionFailedError, match="is not trusted") as caught:
        dicomzarr.open(url)
    for word in ("127.0.0.1:", "ca=", "SSL_CERT_FILE", "--ca"):
        assert word in str(caught.value)


def test_a_certificate_of_another_authority_is_not_trusted(tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(authority("another").pem)
    with secure(tmp_path) as url, pytest.raises(ConnectionFailedError, match="is not trusted"):
        dicomzarr.open(url, ca=other)


def test_a_certificate_that_is_not_as_it_has_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.13 asks for what earlier ones do not: here for the identifier of the authority's key."""
    made = ssl.create_default_context

    def strict(*arguments: Any, **options: Any) -> ssl.SSLContext:
        context = made(*arguments, **options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    test_a_private_authority(tmp_path, str(_written(tmp_path / "ca.pem", authority().pem)))
    sloppy = authority("sloppy", careful=False)
    tls, ca = server_tls(sloppy.issue(tmp_path, "other")), _written(tmp_path / "sloppy.pem", sloppy.pem)
    with serving(SLIDE) as served, behind_tls(served.url, tls) as url:
        with pytest.raises(ConnectionFailedError, match="have it made anew"):
            dicomzarr.open(url, ca=ca)
        forget_servers()
        monkeypatch.undo()
        if not ssl.create_default_context().verify_flags & ssl.VERIFY_X509_STRICT:
            assert is_right(dicomzarr.open(url, ca=ca).levels[0][...], LEVEL)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("certificate", "message"),
    [({"days": -1}, "has expired"), ({"host": "127.0.0.2"}, "is for another address")],
)
def test_what_is_wrong_with_a_certificate(tmp_path: Path, ca: str, certificate: Any, message: str) -> None:
    with secure(tmp_path, **certificate) as url, pytest.raises(ConnectionFailedError, match=message):
        dicomzarr.open(url, ca=ca)


def test_a_bucket_and_a_token_server_behind_a_private_authority(tmp_path: Path, ca: str) -> None:
    tls = server_tls(authority().issue(tmp_path, "server"))
    datasets = radiology.BUILDERS["volume"]().datasets
    with bucket({f"ct/{number}.dcm": part10_bytes(each) for number, each in enumerate(datasets)}) as plain:
        expected = dicomzarr.open("s3://bucket/ct", endpoint_url=plain.url).levels[0][...]
        with behind_tls(plain.url, tls) as url:
            found = dicomzarr.open("s3://bucket/ct", endpoint_url=url, ca=ca).levels[0][...]
            with pytest.raises(ConnectionFailedError, match="is not trusted"):
                dicomzarr.open("s3://bucket/ct", endpoint_url=url)
    assert np.array_equal(found, expected)
    with token_server(tls=tls) as tokens, serving(SLIDE, tokens.door()) as served:
        client = {"issuer": tokens.url, "client_id": CLIENT, "client_secret": CLIENT_SECRET}
        assert is_right(dicomzarr.open(served.url, auth=ClientCredentials(**client, ca=ca)).levels[0][...], LEVEL)
        with pytest.raises(ConnectionFailedError, match="is not trusted"):
            dicomzarr.open(served.url, auth=ClientCredentials(**client))


# --- certificates of clients ---


def test_a_client_with_a_certificate(tmp_path: Path, ca: str) -> None:
    certificate = authority().issue(tmp_path, "client")
    with secure(tmp_path, mutual=True) as url:
        level = dicomzarr.open(url, ca=ca, cert=certificate).levels[0]
        assert is_right(level[...], LEVEL)
        both = tmp_path / "both.pem"
        both.write_text("".join(Path(each).read_text() for each in certificate))
        assert is_right(dicomzarr.open(url, ca=ca, cert=str(both)).levels[0][...], LEVEL)
        script = "import json, pickle\nprint(json.dumps(int(pickle.loads(bytes.fromhex(sys.argv[1]))[...].sum())))"
        assert run_python(script, pickle.dumps(level).hex()) == int(level[...].sum())


def test_an_encrypted_key_needs_its_password(tmp_path: Path, ca: str, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = authority().issue(tmp_path, "client", password=KEY_PASSWORD)
    with secure(tmp_path, mutual=True) as url:
        with pytest.raises(InvalidOptionError, match=KEY_PASSWORD_VARIABLE):
            dicomzarr.open(url, ca=ca, cert=certificate)
        monkeypatch.setenv(KEY_PASSWORD_VARIABLE, "wr0ng")
        with pytest.raises(InvalidOptionError, match="TLS files") as caught:
            dicomzarr.open(url, ca=ca, cert=certificate)
        assert "wr0ng" not in str(caught.value)
        monkeypatch.setenv(KEY_PASSWORD_VARIABLE, KEY_PASSWORD)
        assert is_right(dicomzarr.open(url, ca=ca, cert=certificate).levels[0][...], LEVEL)


def test_certificates_are_identities(tmp_path: Path) -> None:
    identities = {
        StorageOptions.parse(**options).access.identity
        for options in ({}, {"cert": tmp_path / "a"}, {"cert": tmp_path / "b"}, {"ca": tmp_path / "a"})
    }
    assert len(identities) == 4


@pytest.mark.parametrize("option", ["ca", "cert"])
def test_files_that_are_no_certificates(tmp_path: Path, option: str) -> None:
    (tmp_path / "text").write_text("nothing")
    for file in ("text", "missing"):
        with pytest.raises(InvalidOptionError, match="TLS files"):
            dicomzarr.open(f"dicomwebs://127.0.0.1:9/{file}/studies/1.2/series/1.3", **{option: tmp_path / file})


@pytest.mark.parametrize("ca", [True, False, 5, ""])
def test_other_forms_of_ca_are_refused(ca: Any) -> None:
    with pytest.raises(InvalidOptionError, match="ca"):
        StorageOptions.parse(ca=ca)


@pytest.mark.parametrize("cert", [True, 5, ("a",), ("a", 5), ("a", "b", "c"), ""])
def test_other_forms_of_cert_are_refused(cert: Any) -> None:
    with pytest.raises(InvalidOptionError, match="cert"):
        StorageOptions.parse(cert=cert)


def test_the_doctor_trusts_whom_the_options_trust(tmp_path: Path, ca: str) -> None:
    with secure(tmp_path, host="127.0.0.2") as url:
        found = [each.found for each in dicomzarr.doctor(url, ca=ca).findings]
        assert any("is for another address" in each for each in found)
    with secure(tmp_path) as url:
        assert dicomzarr.doctor(url, ca=ca).works
        found = [each.found for each in dicomzarr.doctor(url).findings]
        assert any("unable to get local issuer" in each for each in found)


def test_the_command_line_takes_both(tmp_path: Path, ca: str, capsys: pytest.CaptureFixture[str]) -> None:
    certificate, key = authority().issue(tmp_path, "client")
    with secure(tmp_path, mutual=True) as url:
        assert cli.main(["info", url, "--json", "--ca", ca, "--cert", f"{certificate},{key}"]) == 0
        assert json.loads(capsys.readouterr().out)


# --- TLS and plain HTTP ---


def test_https_to_a_port_of_plain_http() -> None:
    with serving(SLIDE) as served, pytest.raises(ConnectionFailedError, match="speaks no TLS") as caught:
        dicomzarr.open(served.url.replace("dicomweb://", "dicomwebs://"))
    assert "http://" in str(caught.value)


@contextmanager
def openssl(tmp_path: Path, *more: str) -> Iterator[str]:
    """A server of OpenSSL itself; gives its host and port."""
    certificate, key = authority().issue(tmp_path, "server")
    words = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-key", key, "-www", *more]
    process = subprocess.Popen(  # noqa: S603  # our own
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        yield next(line.split()[1] for line in process.stdout if line.startswith("ACCEPT"))
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)


SERIES = "studies/1.2/series/1.3"


def test_who_shows_no_certificate_hears_of_cert(tmp_path: Path, ca: str) -> None:
    with openssl(tmp_path, "-Verify", "1", "-CAfile", ca) as host:
        with pytest.raises(ConnectionFailedError, match="client certificate") as caught:
            dicomzarr.open(f"dicomwebs://{host}/{SERIES}", ca=ca)
        assert "cert=" in str(caught.value)
        assert cli.main(["info", f"dicomwebs://{host}/{SERIES}", "--ca", ca]) == 1


def test_plain_http_to_a_server_of_tls_that_breaks_the_connection(tmp_path: Path) -> None:
    with openssl(tmp_path) as host, pytest.raises(ConnectionFailedError, match="If it speaks TLS") as caught:
        dicomzarr.open(f"dicomweb://{host}/{SERIES}")
    assert "https://" in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "speaks_tls"),
    [
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x16", True, id="an alert"),
        pytest.param(b"pixels, \x15\x03\x01 among them\r\n\r\n", False, id="the bytes of an alert among others"),
    ],
)
def test_plain_http_that_is_answered_by_an_alert_of_tls(reply: bytes, *, speaks_tls: bool) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(ConnectionFailedError) as caught:
            dicomzarr.open(f"dicomweb://127.0.0.1:{listener.getsockname()[1]}/{SERIES}")
        thread.join()
    said = str(caught.value)
    assert ("speaks TLS on this port" in said, "https://" in said) == (speaks_tls, speaks_tls)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("<h1>400 Bad Request</h1><center>The plain HTTP request was sent to HTTPS port</center>", "speaks TLS"),
        ("Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />", "speaks TLS"),
        ("Client sent an HTTP request to an HTTPS server.\n", "speaks TLS"),
        ("Bad Request\nThis combination of host and port requires TLS.\n", "speaks TLS"),
        ("<center>No required SSL certificate was sent</center>", "wants a client certificate"),
        ("<center>The SSL certificate error</center>", "wants a client certificate"),
        ("Expecting multipart/related.", None),
    ],
)
def test_pages_of_web_servers(page: str, message: str | None) -> None:
    found = refusal_of("host", page.encode())
    assert (found is None) == (message is None)
    if message:
        assert message in str(found)
        from faults import status  # noqa: PLC0415

        with serving(SLIDE, status(400, body=page, on="any")) as served:
            with pytest.raises(DicomZarrError, match=message):
                dicomzarr.open(served.url)
            assert served.count("metadata") == 1  # and not again and again


# --- proxies ---


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "socks4a://u:s3cret@127.0.0.1:9", "ftp://127.0.0.1:9"])
def test_proxies_of_another_kind_are_said_to_be_so(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(InvalidOptionError, match="only HTTP proxies") as caught:
        dicomzarr.open("dicomwebs://pacs.invalid/studies/1.2/series/1.3")
    assert "s3cret" not in str(caught.value)
    assert "NO_PROXY" in str(caught.value)


@pytest.mark.parametrize(
    "proxy",
    [
        "http://user:pa#s3cret@proxy.invalid:3128",
        "http://user:12#s3cret@proxy.invalid:3128",
        "http://user:pa/s3cret@proxy.invalid:3128",
        "user:pa?s3cret@proxy.invalid",
        "http://user:s3cret@proxy.invalid:port",
        "http://user:s3cret@proxy.invalid:99999",
        "http://user:s3cret@[::1",
        "http://user:s3cret@proxy..invalid",
        "http://user:s3cret@",
        "http://user:s3cret\udcff@proxy.invalid",
    ],
)
def test_a_proxy_that_cannot_be_read_is_said_to_be_so_without_its_password(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(InvalidOptionError, match="is no URL of one") as caught:
        dicomzarr.open("dicomwebs://pacs.invalid/studies/1.2/series/1.3")
    assert "HTTPS_PROXY" in caught.value.remedy
    for frame, _ in traceback.walk_tb(caught.value.__traceback__):
        assert __file__ == frame.f_code.co_filename or "s3cret" not in repr(frame.f_locals)
    assert "s3cret" not in str(caught.value)
    report = dicomzarr.doctor("https://pacs.invalid/dicom-web")
    assert "is no URL of one" in str(report)
    assert "s3cret" not in str(report)


@pytest.mark.parametrize("named", ["proxy.example:3128", "http://u%40:p%23@proxy.example:3128/"])
def test_proxies_that_can_be_read(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", named)
    monkeypatch.setenv("no_proxy", "")
    proxy = proxy_of("https://pacs.invalid")
    assert proxy is not None
    assert (proxy.url.host, proxy.url.port, proxy.url.user) == ("proxy.example", 3128, None)
    expected = {"proxy-authorization": basic_login("u@", "p#")} if "@" in named else {}
    assert dict(proxy.login) == expected


def test_a_self_signed_certificate_is_said_to_be_one(tmp_path: Path) -> None:
    tls = server_tls(self_signed(tmp_path))
    with serving(SLIDE) as served, behind_tls(served.url, tls) as url:
        with pytest.raises(ConnectionFailedError, match="is not trusted: self-signed certificate"):
            dicomzarr.open(url)
        assert is_right(dicomzarr.open(url, ca=tmp_path / "own.pem").levels[0][...], LEVEL)


def test_a_certificate_error_of_nginx_is_an_error_of_credentials() -> None:
    assert isinstance(refusal_of("h", b"No required SSL certificate was sent"), AuthenticationError)
