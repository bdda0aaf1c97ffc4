"""Credentials through the public faces: every kind lets in, none leaks from one reader to another."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import fsspec
import google.auth.credentials
import numpy as np
import pytest
import requests.auth
import slides
import xarray as xr
from aiohttp import web
from credentials import named_headers
from dicomweb_client.web import DICOMwebClient
from faults import RotatingToken, require, require_basic, require_bearer
from google.auth.transport.requests import AuthorizedSession
from serving import is_right, run_python, serving, zarr_level
from token_servers import CLIENT, CLIENT_SECRET, token_server

import dicomzarr
from dicomzarr.credentials import ClientCredentials
from dicomzarr.errors import (
    AuthenticationError,
    CredentialsUnavailableError,
    InsecureTransportError,
    InvalidOptionError,
    PermissionDeniedError,
)
from dicomzarr.sources.http.credentials import secret_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp.typedefs import Handler
    from orthanc import Orthanc
    from slides_model import Pixels

    Face = Callable[..., Pixels]

SLIDE = slides.coded_slide("native_rgb")
LEVEL = SLIDE.levels[0]
USER, PASSWORD = "reader", "p4ss:wörd"


def by_dicomzarr(url: str, **options: Any) -> Pixels:
    pixels: Pixels = dicomzarr.open(url, **options).levels[0][...]
    return pixels


def by_dask(url: str, **options: Any) -> Pixels:
    array: Any = dicomzarr.open(url, **options).levels[0].to_dask(chunks=(3, 32, 48))
    pixels: Pixels = array.compute()
    return pixels


def by_zarr(url: str, **options: Any) -> Pixels:
    array = zarr_level(url, **options)
    return np.asarray(array[...])


def by_xarray(url: str, **options: Any) -> Pixels:
    pixels: Pixels = xr.open_dataset(url, engine="dicomzarr", storage_options=options)["image"].to_numpy()
    return pixels


def by_mapper(url: str, **options: Any) -> Pixels:
    chunk = fsspec.get_mapper(url, **options)["0/c/0/1/1"]
    assert np.frombuffer(chunk, np.uint8).reshape(3, 32, 48)[0, 0, 0] == LEVEL.pixels[0, 0, 32, 48]
    return by_dicomzarr(url, **options)


@pytest.fixture(params=[by_dicomzarr, by_dask, by_zarr, by_xarray, by_mapper])
def face(request: pytest.FixtureRequest) -> Face:
    read: Face = request.param
    return read


# --- every kind ---


def test_basic(face: Face) -> None:
    with serving(SLIDE, require_basic(USER, PASSWORD)) as served:
        assert is_right(face(served.url, auth=(USER, PASSWORD)), LEVEL)


def test_user_info_in_the_url(face: Face) -> None:
    with serving(SLIDE, require_basic(USER, PASSWORD)) as served:
        with_user = served.url.replace("://", f"://{USER}:p4ss%3Aw%C3%B6rd@")
        assert is_right(face(with_user), LEVEL)


def test_headers(face: Face) -> None:
    with serving(SLIDE, require_bearer("abc")) as served:
        assert is_right(face(served.url, headers={"Authorization": "Bearer abc"}), LEVEL)


def test_a_callable_whose_tokens_are_used_up(face: Face) -> None:
    """The server refuses an old token: one call more, and the request is sent again."""
    token = RotatingToken(uses=2)
    current = {"token": token.issue()}
    calls = 0

    def headers() -> Mapping[str, str]:
        nonlocal calls
        calls += 1
        if not token._left:
            current["token"] = token.issue()
        return {"Authorization": f"Bearer {current['token']}"}

    with serving(SLIDE, token.middleware) as served:
        for _ in range(3):
            assert is_right(face(served.url, auth=headers, cache_bytes=0, max_connections=1), LEVEL)
        assert token.issued >= 2
        assert calls >= token.issued


def test_a_callable_whose_token_expires_unseen(face: Face) -> None:
    """The callable hands out a cached token until it is told, by being asked again, that it has expired."""
    good = "new"
    tokens = iter(["old", "new"])
    held = {"token": next(tokens)}
    asked: list[str] = []

    def headers() -> Mapping[str, str]:
        asked.append(held["token"])
        token = held["token"]
        held["token"] = next(tokens, good)
        return {"Authorization": f"Bearer {token}"}

    with serving(SLIDE, require_bearer(good)) as served:
        assert is_right(face(served.url, auth=headers), LEVEL)
    assert asked[:2] == ["old", "new"]


def test_a_callable_that_fails_is_told_without_its_text(face: Face) -> None:
    def headers() -> Mapping[str, str]:
        raise RuntimeError("token s3cr3t is bad")

    with serving(SLIDE) as served:
        with pytest.raises(AuthenticationError, match="RuntimeError") as caught:
            face(served.url, auth=headers)
        assert "s3cr3t" not in str(caught.value)
        assert served.server.requests == []


def test_a_provider_of_tokens_and_a_named_one(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    with token_server() as tokens, serving(SLIDE, tokens.door()) as served:
        client = {"issuer": tokens.url, "client_id": CLIENT, "client_secret": CLIENT_SECRET}
        assert is_right(face(served.url, auth=ClientCredentials(**client)), LEVEL)
        for name, value in client.items():
            monkeypatch.setenv(f"DICOMZARR_{name.upper()}", value)
        assert is_right(face(served.url, auth="oauth"), LEVEL)
        assert len(tokens.issued) == 2


def test_no_spelling_of_a_filesystem_holds_what_a_provider_holds() -> None:
    with token_server() as tokens, serving(SLIDE, tokens.door()) as served:
        auth = ClientCredentials(issuer=tokens.url, client_id=CLIENT, client_secret=CLIENT_SECRET)
        fs, _ = fsspec.url_to_fs(served.url, auth=auth)
        assert fs.exists(served.url + "/zarr.json")
        spelled = [repr(fs), fs.to_json(), str(fs.to_dict()), str(fs.storage_options), pickle.dumps(fs).hex()]
        again = fsspec.AbstractFileSystem.from_json(fs.to_json())
        assert again.exists(served.url + "/zarr.json")
        assert len(tokens.issued) == 1
        assert not [each for each in tokens.secrets for text in spelled if each in text or each.encode().hex() in text]


def test_a_dicomweb_client_with_requests_auth(face: Face) -> None:
    with serving(SLIDE, require_basic(USER, "password")) as served:
        session = requests.Session()
        session.auth = requests.auth.HTTPBasicAuth(USER, "password")
        client = DICOMwebClient(served.server.url, session=session)
        assert is_right(face(served.url, client=client), LEVEL)
        path = f"studies/{SLIDE.study_uid}/series/{SLIDE.series_uid}"
        assert is_right(by_dicomzarr(path, client=client), LEVEL)
        session.close()


def test_a_dicomweb_client_with_headers(face: Face) -> None:
    with serving(SLIDE, require_bearer("abc")) as served:
        client = DICOMwebClient(served.server.url, headers={"Authorization": "Bearer abc"})
        assert is_right(face(served.url, client=client), LEVEL)
        client._session.close()


class ShortLived(google.auth.credentials.Credentials):
    """Google's credentials whose tokens the test expires."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # google-auth has no types
        self.refreshed = 0

    def refresh(self, request: object) -> None:
        del request
        self.refreshed += 1
        self.token = f"google-{self.refreshed}"
        self.expiry = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None)

    def expire(self) -> None:
        self.expiry = (datetime.now(UTC) - timedelta(hours=1)).replace(tzinfo=None)


def _session(credentials: ShortLived) -> Any:
    return AuthorizedSession(credentials)  # type: ignore[no-untyped-call]  # as above


def test_google_credentials_that_expire(face: Face) -> None:
    credentials = ShortLived()
    revoked: set[str] = set()
    door = require("Bearer", lambda header: header == f"Bearer {credentials.token}" and header not in revoked)
    with serving(SLIDE, door) as served, _session(credentials) as session:
        client = DICOMwebClient(served.server.url, session=session)
        assert is_right(face(served.url, client=client, cache_bytes=0), LEVEL)
        assert credentials.refreshed == 1
        credentials.expire()
        assert is_right(face(served.url, client=client, cache_bytes=0), LEVEL)
        assert credentials.refreshed == 2
        revoked.add(f"Bearer {credentials.token}")  # before its time: only a 401 tells
        assert is_right(face(served.url, client=client, cache_bytes=0), LEVEL)
        assert credentials.refreshed == 3


def test_a_session_with_ways_of_its_own_is_refused() -> None:
    class Signing(requests.Session):
        def send(self, *arguments: Any, **options: Any) -> requests.Response:
            return super().send(*arguments, **options)

    with serving(SLIDE) as served, Signing() as session:
        client = DICOMwebClient(served.server.url, session=session)
        with pytest.raises(InvalidOptionError, match="Signing"):
            dicomzarr.open(served.url, client=client)
        assert served.server.requests == []


# --- nobody is served with the rights of another ---


def test_wrong_credentials_get_nothing_that_others_have_read(face: Face) -> None:
    with serving(SLIDE, require_basic(USER, PASSWORD)) as served:
        assert is_right(face(served.url, auth=(USER, PASSWORD)), LEVEL)
        for options in ({"auth": (USER, "wrong")}, {}, {"headers": {"Authorization": "Bearer x"}}):
            with pytest.raises(AuthenticationError):
                face(served.url, **options)
        with pytest.raises(AuthenticationError):
            face(served.url.replace("://", f"://{USER}:wrong@"))
        assert is_right(face(served.url, auth=(USER, PASSWORD)), LEVEL)


@web.middleware
async def guests_see_no_pixels(request: web.Request, handler: Handler) -> web.StreamResponse:
    if "/frames/" in request.path and request.headers.get("X-Name") == "guest":
        raise web.HTTPForbidden
    return await handler(request)


def test_cached_frames_are_not_shared(face: Face) -> None:
    with serving(SLIDE, guests_see_no_pixels) as served:
        assert is_right(face(served.url, headers={"X-Name": "doctor"}), LEVEL)
        with pytest.raises(PermissionDeniedError):
            face(served.url, headers={"X-Name": "guest"})
        assert is_right(face(served.url, headers={"X-Name": "doctor"}), LEVEL)


def test_an_open_series_does_not_change_hands() -> None:
    """Two readers of one URL side by side, each with the headers of its own."""
    with serving(SLIDE) as served:
        levels = {
            name: dicomzarr.open(served.url, headers={"X-Name": name}, cache_bytes=0).levels[0] for name in ("a", "b")
        }
        del served.server.requests[:]
        for name in ("a", "b", "a"):
            assert is_right(levels[name][...], LEVEL)
        assert [request.headers["X-Name"] for request in served.server.requests] == ["a", "b", "a"]


# --- credentials stay where they are ---


def test_pickled_credentials_do_not_travel() -> None:
    with serving(SLIDE, require_basic(USER, PASSWORD)) as served:
        level = dicomzarr.open(served.url, auth=(USER, PASSWORD)).levels[0]
        again = pickle.loads(pickle.dumps(level))  # noqa: S301  # our own
        assert is_right(again[...], LEVEL)
        script = """
import json, pickle, dicomzarr.errors
try:
    pickle.loads(bytes.fromhex(sys.argv[1]))[...]
except dicomzarr.errors.DicomZarrError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""
        kind, text = run_python(script, pickle.dumps(level).hex())
        assert kind == CredentialsUnavailableError.__name__
        assert "module:function" in text


@pytest.mark.slow
def test_a_named_callable_travels() -> None:
    with serving(SLIDE, require_bearer("by-name")) as served:
        level = dicomzarr.open(served.url, auth=named_headers).levels[0]
        script = """
import json, pickle
print(json.dumps(int(pickle.loads(bytes.fromhex(sys.argv[1]))[...].sum())))
"""
        assert run_python(script, pickle.dumps(level).hex()) == int(level[...].sum())


# --- plain HTTP ---

FAR = f"dicomweb://pacs.example/dicom-web/studies/{SLIDE.study_uid}/series/{SLIDE.series_uid}"


@pytest.mark.parametrize(
    "options",
    [{"auth": (USER, PASSWORD)}, {"headers": {"X-Api-Key": "k"}}, {"auth": named_headers}],
    ids=["basic", "headers", "callable"],
)
def test_credentials_never_go_over_plain_http(face: Face, options: dict[str, Any]) -> None:
    with pytest.raises(InsecureTransportError, match="dicomwebs"):
        face(FAR, **options)


def test_neither_do_those_in_the_url(face: Face) -> None:
    with pytest.raises(InsecureTransportError) as caught:
        face(FAR.replace("://", "://reader:s3cr3t@"))
    assert "s3cr3t" not in str(caught.value)


def test_neither_do_those_of_a_client() -> None:
    client = DICOMwebClient("http://pacs.example/dicom-web", headers={"Authorization": "Bearer abc"})
    with pytest.raises(InsecureTransportError):
        dicomzarr.open(FAR, client=client)
    client._session.close()


def _listening_far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's own server stands for one on another machine."""
    monkeypatch.setattr(secret_headers, "is_loopback", lambda _url: False)


def test_nothing_is_sent_before_the_refusal(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    _listening_far_away(monkeypatch)
    with serving(SLIDE) as served:
        with pytest.raises(InsecureTransportError):
            face(served.url, auth=(USER, PASSWORD))
        assert served.server.requests == []
        assert is_right(face(served.url), LEVEL)
        assert all("Authorization" not in request.headers for request in served.server.requests)


def test_allow_insecure(monkeypatch: pytest.MonkeyPatch) -> None:
    _listening_far_away(monkeypatch)
    with serving(SLIDE, require_basic(USER, PASSWORD)) as served:
        assert is_right(by_dicomzarr(served.url, auth=(USER, PASSWORD), allow_insecure=True), LEVEL)


# --- a real server ---


def _stored_in(orthanc: Orthanc) -> str:
    orthanc.load(SLIDE.datasets)
    return orthanc.series_url(SLIDE.study_uid, SLIDE.series_uid)


def test_orthanc_with_a_password(orthanc_with_password: Orthanc, face: Face) -> None:
    url = _stored_in(orthanc_with_password)
    assert is_right(face(url, auth=orthanc_with_password.auth), LEVEL)
    for options in ({}, {"auth": (USER, "wrong")}):
        with pytest.raises(AuthenticationError):
            face(url, **options)


def test_orthanc_with_a_client(orthanc_with_password: Orthanc) -> None:
    url = _stored_in(orthanc_with_password)
    assert orthanc_with_password.auth is not None
    user, password = orthanc_with_password.auth
    session = requests.Session()
    session.auth = requests.auth.HTTPBasicAuth(user.encode(), password.encode())
    client = DICOMwebClient(orthanc_with_password.dicomweb_url, session=session)
    assert is_right(by_dicomzarr(url, client=client), LEVEL)
    session.close()
