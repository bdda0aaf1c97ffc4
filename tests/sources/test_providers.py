"""Credentials by name: from the environment and the netrc file of whatever process reads."""

from __future__ import annotations

import base64
import os
import pickle
import traceback
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
import slides
from aiohttp import web
from faults import RotatingToken, fault, require, require_basic, require_bearer
from serving import Served, is_right, serving, zarr_level

import dicomzarr
from dicomzarr.errors import (
    AuthenticationError,
    DicomZarrError,
    InsecureTransportError,
    InvalidOptionError,
)
from dicomzarr.options import StorageOptions
from dicomzarr.sources.http.credentials.providers import environment_headers

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp.typedefs import Handler

SLIDE = slides.coded_slide("native_rgb")
LEVEL = SLIDE.levels[0]
TOKEN = "t0ken-of-the-reader"  # noqa: S105  # what must show nowhere
PASSWORD = "p4ss:w0rd-of-the-reader"  # noqa: S105  # as above


def reads(served: Served, auth: Any) -> bool:
    level = dicomzarr.open(served.url, auth=auth, cache_bytes=0).levels[0]
    return is_right(level[...], LEVEL) and is_right(np.asarray(zarr_level(served.url, auth=auth)[...]), LEVEL)


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(vars(error))


def refusal(served: Served, auth: str) -> str:
    """How opening with these credentials fails; nothing has been sent."""
    before = len(served.server.requests)
    with pytest.raises(AuthenticationError) as caught:
        dicomzarr.open(served.url, auth=auth)
    assert len(served.server.requests) == before
    assert caught.value.remedy
    for secret in (TOKEN, PASSWORD):
        assert secret not in told(caught.value)
    return str(caught.value)


# --- the environment ---


def test_a_bearer_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("READER_TOKEN", f"{TOKEN}\n")  # as a file gives it
    with serving(SLIDE, require_bearer(TOKEN)) as served:
        assert reads(served, "env:READER_TOKEN")


def test_user_and_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("READER", "jöe")
    monkeypatch.setenv("READER_PASSWORD", PASSWORD)
    with serving(SLIDE, require_basic("jöe", PASSWORD)) as served:
        assert reads(served, "env:READER,READER_PASSWORD")


def test_other_headers_go_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("READER_TOKEN", TOKEN)
    with serving(SLIDE, require_bearer(TOKEN)) as served:
        dicomzarr.open(served.url, auth="env:READER_TOKEN", headers={"X-Project": "7", "Authorization": "other"})
        assert served.server.requests[-1].headers["X-Project"] == "7"


def test_a_refreshed_variable_counts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    token = RotatingToken(uses=2)
    monkeypatch.setenv("READER_TOKEN", token.issue())
    with serving(SLIDE, token.middleware) as served:
        level = dicomzarr.open(served.url, auth="env:READER_TOKEN", cache_bytes=0).levels[0]
        level[...]
        with pytest.raises(AuthenticationError, match="401"):
            level[...]
        for _ in range(2):
            monkeypatch.setenv("READER_TOKEN", token.issue())
            assert is_right(level[...], LEVEL)


@pytest.mark.parametrize("value", [None, "", "  \n"])
@pytest.mark.parametrize("auth", ["env:READER_TOKEN", "env:READER_TOKEN,READER_PASSWORD", "env:READER,READER_TOKEN"])
def test_a_variable_that_is_not_set(monkeypatch: pytest.MonkeyPatch, auth: str, value: str | None) -> None:
    monkeypatch.setenv("READER", "joe")
    monkeypatch.setenv("READER_PASSWORD", PASSWORD)
    if value is None:
        monkeypatch.delenv("READER_TOKEN", raising=False)
    else:
        monkeypatch.setenv("READER_TOKEN", value)
    with serving(SLIDE) as served:
        assert "variable READER_TOKEN," in refusal(served, auth)


def test_a_token_of_two_lines_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("READER_TOKEN", f"{TOKEN}\n{TOKEN}")
    with serving(SLIDE) as served:
        with pytest.raises(InvalidOptionError, match="line") as caught:
            dicomzarr.open(served.url, auth="env:READER_TOKEN")
        assert TOKEN not in told(caught.value)


@pytest.mark.parametrize("auth", ["env:", "env:A,B,C", "env:A B", "env:1A", "env:,B", "env:Ä", "netrc:x.y/z", "basic"])
def test_names_that_cannot_be_meant(auth: str) -> None:
    with pytest.raises(InvalidOptionError):
        StorageOptions.parse(auth=auth)


# --- netrc ---


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of which this process takes its netrc file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    return tmp_path


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)


ENTRIES = f"machine elsewhere.example login me password other\nmachine 127.0.0.1 login joe password {PASSWORD}\n"


def test_the_netrc_file_at_home(home: Path) -> None:
    write(home / ".netrc", ENTRIES)
    with serving(SLIDE, require_basic("joe", PASSWORD)) as served:
        assert reads(served, "netrc")


def test_the_netrc_file_that_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home / ".netrc", "machine 127.0.0.1 login joe password wrong\n")
    write(home / "mine", ENTRIES)
    monkeypatch.setenv("NETRC", str(home / "mine"))
    with serving(SLIDE, require_basic("joe", PASSWORD)) as served:
        assert reads(served, "netrc")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "does not exist"),
        ("", "no login for 127.0.0.1"),
        ("machine elsewhere.example login joe password other\n", "no login for 127.0.0.1"),
        (f"machine 127.0.0.1 login joe\npasword {PASSWORD}\n", "cannot be used"),
        (f"{PASSWORD}\n", "cannot be used (line"),
    ],
    ids=["none", "empty", "another host", "a slip", "no netrc"],
)
def test_a_netrc_file_of_no_use(home: Path, text: str | None, said: str) -> None:
    if text is not None:
        write(home / ".netrc", text)
    with serving(SLIDE) as served:
        assert said in refusal(served, "netrc")


@pytest.mark.skipif(os.name != "posix", reason="no modes of files")
def test_a_netrc_file_that_others_can_read(home: Path) -> None:
    """As Python's netrc sees it: the one at home must be its owner's alone."""
    write(home / ".netrc", ENTRIES, 0o644)
    with serving(SLIDE) as served:
        assert "chmod 600" in refusal(served, "netrc")


@pytest.mark.skipif(os.name != "posix", reason="no modes of files")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602, 0o620])
def test_a_netrc_file_that_is_named_and_others_can_read_or_change(
    home: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    write(home / "mine", ENTRIES, mode)
    monkeypatch.setenv("NETRC", str(home / "mine"))
    with serving(SLIDE) as served:
        assert "chmod 600" in refusal(served, "netrc")


def test_a_netrc_file_that_is_a_folder(home: Path) -> None:
    (home / ".netrc").mkdir()
    with serving(SLIDE) as served:
        assert "cannot be read" in refusal(served, "netrc")


# --- where they go, and where not ---

NAMES = ["env:READER_TOKEN", "env:READER,READER_PASSWORD", "netrc"]


@pytest.mark.parametrize("auth", NAMES)
def test_they_travel_as_names(auth: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("READER_TOKEN", TOKEN)
    options = StorageOptions.parse(auth=auth)
    assert options.to_public() == {"auth": auth}
    assert pickle.loads(pickle.dumps(options)) == options  # noqa: S301  # our own
    fs = fsspec.filesystem("dicomwebs", auth=auth)
    assert fs.storage_options == {"auth": auth}
    again = fsspec.AbstractFileSystem.from_json(fs.to_json())
    assert again == fs
    assert again.options == options
    assert TOKEN.encode() not in pickle.dumps(fs)
    others = {StorageOptions.parse(auth=other).identity for other in NAMES if other != auth}
    assert options.identity not in {*others, StorageOptions.parse().identity}


@pytest.mark.parametrize("auth", NAMES)
def test_they_do_not_travel_over_plain_http(auth: str) -> None:
    with pytest.raises(InsecureTransportError, match="HTTPS"):
        dicomzarr.open("dicomweb://192.0.2.1/studies/1.2/series/3.4", auth=auth)


def test_they_do_not_follow_to_another_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("READER_TOKEN", TOKEN)
    with serving(SLIDE) as other:

        async def away(request: web.Request, _handler: Handler) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(other.server.url.removesuffix("/dicom-web") + request.path)

        with serving(SLIDE, require_bearer(TOKEN), fault(away)) as served:
            assert is_right(dicomzarr.open(served.url, auth="env:READER_TOKEN").levels[0][...], LEVEL)
        assert other.server.requests
        assert not [request for request in other.server.requests if "Authorization" in request.headers]


@pytest.mark.parametrize("auth", ["env:READER_TOKEN", "env:READER,READER_PASSWORD", "netrc"])
def test_what_was_refused_is_not_sent_again(auth: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong password that is sent twice may lock its owner out."""
    write(home / ".netrc", ENTRIES)
    monkeypatch.setenv("READER_TOKEN", TOKEN)
    monkeypatch.setenv("READER", "joe")
    monkeypatch.setenv("READER_PASSWORD", PASSWORD)
    with serving(SLIDE, require("Basic", lambda _: False)) as served:
        with pytest.raises(DicomZarrError, match="401") as caught:
            dicomzarr.open(served.url, auth=auth)
        assert len(served.server.requests) == 1
        basic = base64.b64encode(f"joe:{PASSWORD}".encode()).decode()
        assert not any(secret in told(caught.value) for secret in (TOKEN, PASSWORD, basic))


@pytest.mark.parametrize("value", ["s3cret", "Bearer s3cret", " bearer  s3cret "])
def test_a_token_that_was_copied_with_its_scheme_is_sent_once_with_it(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COPIED_TOKEN", value)
    assert environment_headers("COPIED_TOKEN") == {"authorization": "Bearer s3cret"}
