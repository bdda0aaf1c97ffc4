"""Private buckets and HealthImaging: requests are signed, with keys that are found where AWS keeps them."""

from __future__ import annotations

import pickle
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import radiology
import slides
from aiohttp import web
from buckets import BucketServer
from dual_personality import part10_bytes
from serving import forget_servers, is_right, serving
from signatures import KEY, REGION, SECRET, is_signed, require_signature
from token_servers import served

import dicomzarr
from dicomzarr.credentials import AWSSignature
from dicomzarr.errors import AuthenticationError, InvalidOptionError, PermissionDeniedError
from dicomzarr.sources.http.credentials import named
from dicomzarr.sources.http.credentials.sigv4 import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aiohttp.typedefs import Handler

SLIDE = slides.coded_slide("native_rgb")
IMAGE_SET = "459e50687f121185f747b67bb60d1bc8"
NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION")


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in (*NAMES, "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    yield
    named._lock.forget()
    forget_servers()


@contextmanager
def private_bucket(objects: dict[str, bytes], allowed: Callable[[web.Request], bool]) -> Iterator[str]:
    server = BucketServer(objects)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await server.answer(request) if allowed(request) else web.Response(status=403)

    with served(answer) as url:
        yield url


def volume() -> dict[str, bytes]:
    """Objects whose names need all kinds of encoding."""
    datasets = radiology.BUILDERS["volume"]().datasets
    names = ["a b", "c+d", "e,f", "ä", "g%h", "i&j=k", "l~m", "(n)", "o:p@q", "r's"]
    return {
        f"ct & co/{names[number % 10]}{number}.dcm": part10_bytes(dataset) for number, dataset in enumerate(datasets)
    }


def test_a_private_bucket_is_read_with_keys_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    objects = volume()
    with private_bucket(objects, lambda request: is_signed(request, "s3")) as url:
        image = dicomzarr.open("s3://bucket/ct & co", endpoint_url=url, auth="aws")
        with private_bucket(objects, lambda _: True) as open_url:
            expected = dicomzarr.open("s3://bucket/ct & co", endpoint_url=open_url).levels[0][...]
        assert np.array_equal(image.levels[0][...], expected)
        assert SECRET.encode() not in pickle.dumps(image)
        again = pickle.loads(pickle.dumps(image))  # noqa: S301  # our own
        assert np.array_equal(again.levels[0][...], expected)
        with pytest.raises(PermissionDeniedError, match="private bucket is read with auth"):
            dicomzarr.open("s3://bucket/ct & co", endpoint_url=url)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wr0ng-secret")
        with pytest.raises(PermissionDeniedError) as caught:
            dicomzarr.open("s3://bucket/ct & co", endpoint_url=url, auth="aws:service=s3")
        assert "wr0ng" not in str(caught.value)


def test_a_wrong_key_is_sent_once() -> None:
    asked: list[str] = []

    def allowed(request: web.Request) -> bool:
        asked.append(request.headers["Authorization"])
        return False

    auth = AWSSignature(keys=(KEY, "wrong"))
    with private_bucket({}, allowed) as url, pytest.raises(PermissionDeniedError):
        dicomzarr.open("s3://bucket/ct", endpoint_url=url, auth=auth)
    assert len(asked) == 1


def test_keys_that_were_replaced_meanwhile_are_used() -> None:
    keys = iter([("OLD", "old"), (KEY, SECRET), (KEY, SECRET), (KEY, SECRET)])
    held = [next(keys)]

    def current() -> tuple[str, ...]:
        used, held[0] = held[0], next(keys, (KEY, SECRET))
        return used

    auth = AWSSignature(keys=current)
    with (
        private_bucket({"ct/1.dcm": b""}, lambda request: is_signed(request, "s3")) as url,
        pytest.raises(dicomzarr.errors.MissingFileError),  # it was allowed to look
    ):
        dicomzarr.open("s3://bucket/other", endpoint_url=url, auth=auth)


@web.middleware
async def wants_image_set(request: web.Request, handler: Handler) -> web.StreamResponse:
    """As HealthImaging, which has no such parameter in searches."""
    is_search = request.path.endswith(("studies", "series", "instances"))
    given = request.query.get("imageSetId")
    if given != (None if is_search else IMAGE_SET):
        return web.Response(status=404)
    return await handler(request)


@pytest.mark.parametrize("spelled", [{"imageSetId": IMAGE_SET}, f"imageSetId={IMAGE_SET}"])
def test_health_imaging(spelled: Any) -> None:
    auth = AWSSignature(service="medical-imaging", region=REGION, keys=(KEY, SECRET))
    with serving(SLIDE, require_signature("medical-imaging"), wants_image_set) as served_slide:
        level = dicomzarr.open(served_slide.url, auth=auth, query=spelled).levels[0]
        assert is_right(level[...], SLIDE.levels[0])
        assert served_slide.count("frames") >= 1
        again = pickle.loads(pickle.dumps(level))  # noqa: S301  # our own
        assert is_right(again[...], SLIDE.levels[0])
        with pytest.raises(dicomzarr.errors.NotFoundError):
            dicomzarr.open(served_slide.url, auth=auth, query={"imageSetId": "0"})


@pytest.mark.parametrize("query", [5, {"a": 1}, "a", "a=b&", "a=b#c", "a=ä", "=b"])
def test_a_query_is_names_with_texts(query: Any) -> None:
    with pytest.raises(InvalidOptionError, match="query"):
        dicomzarr.open("dicomweb://127.0.0.1:9/studies/1.2/series/1.3", query=query)


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("dicom-medical-imaging.us-west-2.amazonaws.com", Scope("us-west-2", "medical-imaging")),
        ("bucket.s3.eu-west-1.amazonaws.com", Scope("eu-west-1", "s3")),
        ("s3.eu-west-1.amazonaws.com", Scope("eu-west-1", "s3")),
        ("bucket.with.dots.s3.dualstack.ap-south-1.amazonaws.com", Scope("ap-south-1", "s3")),
        ("s3-us-west-2.amazonaws.com", Scope("us-west-2", "s3")),
        ("bucket.s3.cn-north-1.amazonaws.com.cn", Scope("cn-north-1", "s3")),
        ("bucket.s3.amazonaws.com", Scope(REGION, "s3")),
        ("minio.example", Scope(REGION, "s3")),
    ],
)
def test_what_a_host_says_of_region_and_service(host: str, scope: Scope) -> None:
    assert AWSSignature(keys=("a", "b")).scope_of(f"https://{host}/x") == scope
    given = AWSSignature(region="r", service="v", keys=("a", "b")).scope_of(f"https://{host}/x")
    assert given == Scope("r", "v")


def test_a_service_that_cannot_be_told() -> None:
    with pytest.raises(InvalidOptionError, match="service"):
        AWSSignature(keys=("a", "b")).scope_of("https://abc.execute-api.us-east-1.amazonaws.com/x")


def access_key_of(auth: AWSSignature) -> str:
    login = auth.headers("GET", "https://bucket.s3.amazonaws.com/x", {})["authorization"]
    return login.partition("Credential=")[2].partition("/")[0]


def test_keys_of_the_shared_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(
        "[default]\naws_access_key_id = D\naws_secret_access_key = x%y\n"
        "[ward]\naws_access_key_id = W\naws_secret_access_key = y\naws_session_token = t\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    assert access_key_of(AWSSignature()) == "D"
    assert access_key_of(AWSSignature(profile="ward")) == "W"
    monkeypatch.setenv("AWS_PROFILE", "ward")
    assert access_key_of(AWSSignature()) == "W"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "E")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "z")
    assert access_key_of(AWSSignature()) == "E"
    assert access_key_of(AWSSignature(profile="default")) == "D"


def test_keys_that_botocore_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    async def container(_: web.Request) -> web.Response:
        return web.json_response(
            {"AccessKeyId": "C", "SecretAccessKey": "s", "Token": "t", "Expiration": "2999-01-01T00:00:00Z"}
        )

    with served(container) as url:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/role")
        auth = AWSSignature()
        assert access_key_of(auth) == "C"
        assert auth.headers("GET", "https://b.s3.amazonaws.com/", {})["x-amz-security-token"] == "t"


def test_no_keys_anywhere() -> None:
    with pytest.raises(AuthenticationError, match="no keys of AWS"):
        access_key_of(AWSSignature())


def test_names_and_secrets_of_a_signature() -> None:
    assert AWSSignature().reference == "aws"
    assert AWSSignature(region="r", profile="p,q").reference == "aws:region=r,profile=p%2Cq"
    secret = AWSSignature(keys=(KEY, SECRET))
    assert secret.reference is None
    assert SECRET not in repr(secret)
    assert SECRET.encode() not in pickle.dumps(secret)
    assert SECRET not in repr(secret._keys())
