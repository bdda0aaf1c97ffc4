"""Tokens that google-auth and azure-identity find, and cookies of a browser: the real libraries, our servers."""

from __future__ import annotations

import json
import os
import pickle
import sys
from typing import TYPE_CHECKING, Any

import pytest
import slides
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from faults import require_bearer
from serving import forget_servers, is_right, run_python, serving
from token_servers import CLIENT, served, token_server

import dicomzarr
from dicomzarr.credentials import AzureDefault, CookieFile, GoogleDefault, Rejected
from dicomzarr.errors import AuthenticationError, InvalidOptionError
from dicomzarr.faces import cli
from dicomzarr.sources.http.credentials import named

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLIDE = slides.coded_slide("native_rgb")
LEVEL = SLIDE.levels[0]
URL = "https://pacs.example/studies"

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # of connections of others


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    named._lock.forget()
    forget_servers()


SUM = "import json, pickle\nprint(json.dumps(int(pickle.loads(bytes.fromhex(sys.argv[1]))[...].sum())))"


# --- Google ---


def service_account(folder: Path, token_url: str) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    file = folder / "account.json"
    account = {"type": "service_account", "client_email": "reader@example", "token_uri": token_url, "private_key": pem}
    file.write_text(json.dumps({**account, "project_id": "p", "private_key_id": "1"}))
    return str(file)


def test_google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forms: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        forms.append(await request.post())
        return web.json_response({"access_token": "of-google", "expires_in": 3600, "token_type": "Bearer"})

    with served(answer) as url, serving(SLIDE, require_bearer("of-google")) as served_slide:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", service_account(tmp_path, f"{url}/token"))
        level = dicomzarr.open(served_slide.url, auth="google", cache_bytes=0, frames_per_request=1).levels[0]
        assert is_right(level[...], LEVEL)
        assert is_right(level[...], LEVEL)
        assert len(forms) == 1
        assert run_python(SUM, pickle.dumps(level).hex()) == int(level[...].sum())
        auth = GoogleDefault()
        auth.headers("GET", URL, {})
        assert auth.expires_at is not None
        assert auth.reference == "google"
        assert GoogleDefault("a b").reference == "google:scope=a%20b"


def test_google_without_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing"))
    with pytest.raises(AuthenticationError, match="google-auth gave no token") as caught:
        GoogleDefault().headers("GET", URL, {})
    assert "gcloud" in str(caught.value)


# --- Azure ---


def test_azure(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.query)
        return web.json_response({"access_token": "of-azure", "expires_on": "4102444800", "token_type": "Bearer"})

    with served(answer) as url, serving(SLIDE, require_bearer("of-azure")) as served_slide:
        # A managed identity, as App Service gives it; who is logged in elsewhere does not count.
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}/identity")
        monkeypatch.setenv("IDENTITY_HEADER", "h")
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
        level = dicomzarr.open(served_slide.url, auth="azure").levels[0]
        assert is_right(level[...], LEVEL)
        assert [each["resource"] for each in asked] == ["https://dicom.healthcareapis.azure.com"]
        assert run_python(SUM, pickle.dumps(level).hex()) == int(level[...].sum())
        assert AzureDefault("s").reference == "azure:scope=s"


class Refusing:
    """A credential that has nothing."""

    def get_token(self, *_: str) -> Any:
        raise RuntimeError("s3cret text")


def test_azure_without_a_login() -> None:
    auth = AzureDefault(credential=Refusing())
    assert auth.reference is None
    with pytest.raises(AuthenticationError, match="RuntimeError") as caught:
        auth.headers("GET", URL, {})
    assert "s3cret" not in str(caught.value)
    assert "az login" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("google", "google.auth", "google"), ("azure", "azure.identity", "azure")]
)
def test_what_is_not_installed_is_said(name: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InvalidOptionError) as caught:
        dicomzarr.open("dicomweb://127.0.0.1:9/studies/1.2/series/1.3", auth=name)
    assert f'pip install "dicomzarr[{extra}]"' in str(caught.value)


# --- cookies ---


def cookie_file(folder: Path, *lines: str) -> Path:
    file = folder / "cookies.txt"
    file.write_text("\n".join(["# Netscape HTTP Cookie File", *lines, ""]))
    return file


@web.middleware
async def wants_session(request: web.Request, handler: Any) -> web.StreamResponse:
    if request.headers.get("Cookie") != "session=abc":
        raise web.HTTPUnauthorized
    response: web.StreamResponse = await handler(request)
    return response


def test_cookies_of_a_browser(tmp_path: Path) -> None:
    mine = "#HttpOnly_127.0.0.1\tFALSE\t/dicom-web\tFALSE\t0\tsession\tabc"
    others = "other.example\tFALSE\t/\tFALSE\t0\tsession\tno", "127.0.0.1\tFALSE\t/admin\tFALSE\t0\tadmin\tno"
    file = cookie_file(tmp_path, mine, *others, "127.0.0.1\tFALSE\t/\tFALSE\t1\told\tno", "# a note")
    with serving(SLIDE, wants_session) as served_slide:
        level = dicomzarr.open(served_slide.url, auth=f"cookies:file={file}").levels[0]
        assert is_right(level[...], LEVEL)
        assert is_right(dicomzarr.open(served_slide.url, auth=CookieFile(str(file))).levels[0][...], LEVEL)
        assert run_python(SUM, pickle.dumps(level).hex()) == int(level[...].sum())
        assert b"abc" not in pickle.dumps(level)
        assert cli.main(["info", served_slide.url, "--json", "--login", f"cookies:file={file}"]) == 0
        assert cli.main(["info", served_slide.url, "--json"]) == 1


@pytest.mark.parametrize(
    ("domain", "below", "path", "url", "is_sent"),
    [
        ("hospital.example", "FALSE", "/", "http://hospital.example/x", True),
        ("hospital.example", "FALSE", "/", "http://HOSPITAL.example:8042/x", True),
        ("Hospital.Example", "FALSE", "/", "http://hospital.example/x", True),
        ("hospital.example", "FALSE", "/", "http://evil.hospital.example/x", False),
        (".hospital.example", "FALSE", "/", "http://evil.hospital.example/x", False),
        ("hospital.example", "FALSE", "/", "http://example/x", False),
        ("hospital.example", "TRUE", "/", "http://pacs.hospital.example/x", True),
        (".hospital.example", "TRUE", "/", "http://pacs.hospital.example/x", True),
        (".hospital.example", "TRUE", "/", "http://hospital.example/x", True),
        (".hospital.example", "TRUE", "/", "http://nohospital.example/x", False),
        (".hospital.example", "TRUE", "/", "http://hospital.example.evil/x", False),
        ("localhost", "FALSE", "/", "http://localhost:8042/x", True),
        ("pacs", "FALSE", "/", "http://pacs/x", True),
        ("pacs", "FALSE", "/", "http://pacs.evil/x", False),
        ("pacs.local", "FALSE", "/", "http://pacs/x", False),
        ("127.0.0.1", "FALSE", "/", "http://127.0.0.1/x", True),
        ("0.0.1", "TRUE", "/", "http://127.0.0.1/x", False),
        ("::1", "FALSE", "/", "http://[::1]:80/x", True),
        ("pacs.example", "FALSE", "/dicom", "http://pacs.example/dicom", True),
        ("pacs.example", "FALSE", "/dicom", "http://pacs.example/dicom/studies", True),
        ("pacs.example", "FALSE", "/dicom/", "http://pacs.example/dicom/studies", True),
        ("pacs.example", "FALSE", "/dicom", "http://pacs.example/dicom-web", False),
        ("pacs.example", "FALSE", "/", "http://pacs.example", True),
    ],
)
def test_a_cookie_goes_where_rfc_6265_says(  # noqa: PLR0913, PLR0917  # parametrized
    domain: str,
    below: str,
    path: str,
    url: str,
    is_sent: bool,  # noqa: FBT001  # as above
    tmp_path: Path,
) -> None:
    auth = CookieFile(str(cookie_file(tmp_path, f"{domain}\t{below}\t{path}\tFALSE\t0\tsid\tabc")))
    if is_sent:
        assert auth.headers("GET", url, {}) == {"cookie": "sid=abc"}
    else:
        with pytest.raises(AuthenticationError, match="none for"):
            auth.headers("GET", url, {})


def test_longer_paths_go_first_and_the_last_of_a_name_counts(tmp_path: Path) -> None:
    lines = ("/\tFALSE\t0\ta\t1", "/x\tFALSE\t0\tb\t2", "/\tFALSE\t9999999999\ta\t3", "/\tTRUE\t0\tc\t4")
    auth = CookieFile(str(cookie_file(tmp_path, *(f"pacs.example\tFALSE\t{line}" for line in lines))))
    assert auth.headers("GET", "http://pacs.example/x/y", {}) == {"cookie": "b=2; a=3"}
    assert auth.headers("GET", "https://pacs.example/x/y", {}) == {"cookie": "b=2; a=3; c=4"}


def test_cookies_that_were_written_anew_are_read_again(tmp_path: Path) -> None:
    file = cookie_file(tmp_path, "pacs.example\tFALSE\t/\tTRUE\t0\tsession\told")
    auth = CookieFile(str(file))
    assert auth.headers("GET", URL, {}) == {"cookie": "session=old"}
    assert not auth.rejected(Rejected(401, URL))
    cookie_file(tmp_path, "pacs.example\tFALSE\t/\tTRUE\t0\tsession\tnewer")
    assert auth.rejected(Rejected(401, URL))
    assert auth.headers("GET", URL, {}) == {"cookie": "session=newer"}
    with pytest.raises(AuthenticationError, match=r"none for other\.example"):
        auth.headers("GET", "https://other.example/", {})
    with pytest.raises(AuthenticationError, match=r"none for pacs\.example"):
        auth.headers("GET", "http://pacs.example/", {})  # it is for HTTPS alone


@pytest.mark.parametrize(
    "text", [None, "no cookies\n", "h\tFALSE\t/\tFALSE\tsoon\tn\tv\n", "h\tFALSE\t/\tFALSE\tinf\tn\tv\n"]
)
def test_files_that_hold_no_cookies(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "cookies.txt"
    if text is not None:
        file.write_text(text)
    with pytest.raises(AuthenticationError, match="file of cookies cannot be read"):
        CookieFile(str(file)).headers("GET", URL, {})


# --- the command line ---


def test_a_login_with_a_code_in_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dicomzarr.sources.http.credentials import device  # noqa: PLC0415  # its pause

    monkeypatch.setattr(device, "_SECONDS_BETWEEN", 0.01)
    with token_server() as tokens, serving(SLIDE, tokens.door()) as served_slide:
        tokens.extra = {"interval": 0.01}
        tokens.pending = 2
        monkeypatch.setenv("DICOMZARR_ISSUER", tokens.url)
        monkeypatch.setenv("DICOMZARR_CLIENT_ID", CLIENT)
        assert cli.main(["info", served_slide.url, "--json", "--login", "device"]) == 0
        found = capsys.readouterr()
        assert json.loads(found.out)
        assert found.err == f"Open {tokens.url}/enter and enter the code ABCD-EFGH\n"
        for secret in tokens.secrets:
            assert secret not in found.out + found.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--login", "device:scope=x"], "device:prefix=NAME"),
        (["--login", "device:prefix=NOWHERE"], "NOWHERE_CLIENT_ID"),
        (["--login", "device:prefix=NOWHERE"], "Set them in every process"),
        (["--login", "tok3n"], "name of a provider"),
        (["--login", "google", "--user", "a"], "given twice"),
        (["--query", "x"], "query"),
    ],
)
def test_logins_that_cannot_be_meant(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", "dicomweb://127.0.0.1:9/studies/1.2/series/1.3", *words]) in {1, 2}
    error = capsys.readouterr().err
    assert message in error
    assert "tok3n" not in error


def test_nothing_is_written_by_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    with token_server() as tokens, serving(SLIDE, tokens.door()) as served_slide:
        monkeypatch.setenv("DICOMZARR_ISSUER", tokens.url)
        monkeypatch.setenv("DICOMZARR_CLIENT_ID", CLIENT)
        monkeypatch.setenv("DICOMZARR_REFRESH_TOKEN", tokens.refresh_token)
        cache = tmp_path / "cache"
        level = dicomzarr.open(served_slide.url, auth="oauth", cache_dir=cache).levels[0]
        assert is_right(level[...], LEVEL)
        forget_servers()
        written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
        for secret in tokens.secrets:
            assert not any(secret.encode() in text for text in written)
    assert "DICOMZARR_ISSUER" in os.environ
