"""Credentials that are refused are told from missing ones: whose they are is said, and never what they are."""

from __future__ import annotations

import asyncio
import base64
import re
import traceback
from typing import TYPE_CHECKING, Any, Final

import pytest
import slides
from aiohttp import web
from connecting import client_of, closed
from dicomweb_client.web import DICOMwebClient
from faults import fault, require, status
from serving import serving
from waiting import SECONDS

import dicomzarr
from dicomzarr.errors import AuthenticationError, ConnectionFailedError, PermissionDeniedError
from dicomzarr.faces import cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from serving import Served

SLIDE: Final = slides.coded_slide("native_rgb")
SECRET: Final = "s3cr3t-w0rd"  # noqa: S105  # nobody's
BASIC: Final = base64.b64encode(f"joe:{SECRET}".encode()).decode()


class Badge:
    """A provider."""

    reference = None
    expires_at = None

    def headers(self, *_: object) -> dict[str, str]:
        return {"Authorization": f"Bearer {SECRET}"}

    def rejected(self, _: object) -> bool:
        return False


def borrowed(served: Served) -> DICOMwebClient:
    return DICOMwebClient(served.server.url, headers={"Authorization": f"Bearer {SECRET}"})


@pytest.fixture
def closed_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    netrc = tmp_path / "netrc"
    netrc.touch(mode=0o600)
    netrc.write_text(f"machine 127.0.0.1 login joe password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("READER_TOKEN", SECRET)
    monkeypatch.setenv("READER", "joe")
    with serving(SLIDE, require('Basic realm="ward"', lambda _: False)) as served:
        yield served


@pytest.mark.parametrize(
    ("options", "words", "check"),
    [
        ({"auth": ("joe", SECRET)}, "the user and password that were given", "the URL, or of auth"),
        ({"auth": "netrc"}, "the login that the netrc file has for it", "NETRC"),
        (
            {"auth": "env:READER_TOKEN"},
            "the environment variable READER_TOKEN holds",
            "asks for Basic, and was sent Bearer",
        ),
        (
            {"auth": "env:READER,READER_TOKEN"},
            "the environment variables READER and READER_TOKEN hold",
            "every process",
        ),
        ({"auth": lambda: {"Authorization": f"Bearer {SECRET}"}}, "what the auth callable returned", "what it returns"),
        ({"auth": Badge()}, "the credentials of Badge", "audience"),
        ({"headers": {"X-Key": SECRET}}, "the headers that were given", "option headers"),
        ({"client": borrowed}, "what the client's session sends", "credentials of the client"),
    ],
    ids=["login", "netrc", "token", "two variables", "callable", "provider", "headers", "client"],
)
def test_what_was_refused_is_named_and_not_shown(
    closed_server: Served, options: dict[str, Any], words: str, check: str
) -> None:
    if "client" in options:
        options = {"client": options["client"](closed_server)}
    with pytest.raises(AuthenticationError) as caught:
        dicomzarr.open(closed_server.url, **options)
    assert re.search(f"it refused .*{words}", str(caught.value))
    assert check in str(caught.value)
    text = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert SECRET not in text
    assert BASIC not in text


def test_a_password_of_the_url_is_refused_like_any_other(closed_server: Served) -> None:
    with pytest.raises(AuthenticationError, match="it refused the user and password") as caught:
        dicomzarr.open(closed_server.url.replace("://", f"://joe:{SECRET}@"))
    assert "the URL" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_nothing_was_sent(closed_server: Served) -> None:
    with pytest.raises(AuthenticationError, match=r"no credentials were sent\. Give credentials: auth") as caught:
        dicomzarr.open(closed_server.url)
    assert not caught.value.refused


def test_a_403_tells_who_came_without_credentials() -> None:
    with serving(SLIDE, status(403, on="any")) as served:
        with pytest.raises(PermissionDeniedError, match="no credentials were sent"):
            dicomzarr.open(served.url)
        with pytest.raises(PermissionDeniedError, match="Ask whoever runs") as caught:
            dicomzarr.open(served.url, auth=("joe", SECRET))
    assert "no credentials" not in str(caught.value)


def test_credentials_that_stayed_behind_were_not_refused(closed_server: Served) -> None:
    async def away(request: web.Request, _handler: Any) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect(closed_server.server.url.removesuffix("/dicom-web") + request.path)

    said = pytest.raises(AuthenticationError, match=r"credentials stay behind.*no credentials were sent")
    with serving(SLIDE, fault(away, on="any")) as served, said:
        dicomzarr.open(served.url, auth=("joe", SECRET))


def test_the_command_line_says_the_same_in_its_own_words(
    closed_server: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["info", closed_server.url]) == 1
    assert "no credentials were sent. Give credentials that this server accepts: --user" in capsys.readouterr().err
    monkeypatch.setenv("DICOMZARR_PASSWORD", SECRET)
    assert cli.main(["info", closed_server.url, "--user", "joe"]) == 1
    shown = capsys.readouterr().err
    assert "it refused the user and password that were given. Check them" in " ".join(shown.split())
    assert SECRET not in shown


# --- proxies


async def _proxied(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> str:
    """What reading through a proxy ends with that answers so; it is closed where it answers nothing."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    if not answer:
        server.close()
    monkeypatch.setenv("https_proxy", f"http://joe:{SECRET}@127.0.0.1:{port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    client = client_of("https://server.invalid/x", timeout=SECONDS)
    try:
        with pytest.raises(ConnectionFailedError) as caught:
            await client.series_metadata("1", "2")
    finally:
        await closed(client)
        server.close()
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", "wants a login, or another one"),
        (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", r"gives no way to server.invalid \(status 403\)"),
        (b"", "No connection to the proxy for server.invalid"),
    ],
    ids=["407", "403", "nobody"],
)
def test_a_proxy_is_told_from_the_server(answer: bytes, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = asyncio.run(_proxied(answer, monkeypatch))
    assert re.search(said, text)
    assert "HTTPS_PROXY" in text
