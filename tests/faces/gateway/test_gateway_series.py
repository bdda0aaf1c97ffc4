"""Documents, chunks and listings over HTTP: byte for byte what the filesystem gives, and what HTTP adds."""

from __future__ import annotations

import asyncio
import copy
import json
import re
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import fsspec
import msgspec
import numpy as np
import pytest
import radiology
from aiohttp import web
from faults import fault, first, reset, status, truncate
from folders import write
from gateways import ask, folder_upstream, gateway, server_upstream
from serving import serving
from slides import brightfield_pyramid, concatenation, sparse_brightfield, two_pyramids

from dicomzarr.demo.archive import Archive
from dicomzarr.demo.instances import from_dataset
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.dicom.uids import is_uid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiohttp.typedefs import Handler, Middleware

BUILDERS: dict[str, Any] = {
    "pyramid_with_associated": brightfield_pyramid,
    "sparse": partial(sparse_brightfield, absent="pink"),
    "two_pyramids": two_pyramids,
    "volume": radiology.BUILDERS["volume"],
    "gap": radiology.BUILDERS["gap"],
}
FORMATS = {"0.5": 3, "0.4": 2}


class Shown(NamedTuple):
    """A series behind a gateway and in the filesystem."""

    gateway: str
    path: str
    """``studies/S/series/E.zarr``."""
    filesystem: str

    def url(self, version: str, key: str = "") -> str:
        return f"{self.gateway}/{version}/{self.path}" + (f"/{key}" if key else "")


@contextmanager
def shown(series: Any, *middlewares: Any, **settings: Any) -> Iterator[Shown]:
    path = f"studies/{series.study_uid}/series/{series.series_uid}"
    with (
        DICOMwebServer(Archive(series.datasets), middlewares=middlewares) as server,
        gateway(server_upstream(server), **settings) as running,
    ):
        yield Shown(running.url, f"{path}.zarr", server.series_url(series.study_uid, series.series_uid))


@pytest.fixture(scope="module", params=[*BUILDERS, "folder"])
def there(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    if request.param != "folder":
        with shown(BUILDERS[request.param]()) as each:
            yield each
        return
    series = brightfield_pyramid()
    folder = tmp_path_factory.mktemp("slides")
    write(folder, series.datasets)
    path = f"studies/{series.study_uid}/series/{series.series_uid}"
    with gateway(folder_upstream(folder)) as running:
        yield Shown(running.url, f"{path}.zarr", f"dicomfile://{folder}/{path}")


@pytest.fixture(scope="module")
def sparse() -> Iterator[Shown]:
    with shown(sparse_brightfield()) as each:
        yield each


# --- the same bytes ---


@pytest.mark.parametrize("version", FORMATS)
def test_every_key_has_the_bytes_of_the_filesystem(there: Shown, version: str) -> None:
    fs, root = fsspec.url_to_fs(there.filesystem, zarr_format=FORMATS[version])
    names = fs.find(root)
    assert len(names) > 3
    for name in names:
        key = name.removeprefix(f"{root}/")
        expected = fs.cat_file(name)
        got, head = ask(there.url(version, key)), ask(there.url(version, key), "HEAD")
        assert (got.status, got.body) == (200, expected)
        assert (head.status, head.body) == (200, b"")
        for reply in (got, head):
            assert reply.headers["Content-Length"] == str(len(expected))
            assert reply.headers["ETag"] == got.headers["ETag"]
            assert reply.headers["Accept-Ranges"] == reply.headers["Accept-Range"] == "bytes"
        is_document = name.endswith("zarr.json") or "/.z" in name
        kind = "application/json" if is_document else "application/octet-stream"
        assert got.headers["Content-Type"] == kind
    tags = {ask(there.url(version, name.removeprefix(f"{root}/")), "HEAD").headers["ETag"] for name in names[:40]}
    assert len(tags) > 2


@pytest.mark.parametrize("version", FORMATS)
def test_listings_lead_to_every_key(there: Shown, version: str) -> None:
    fs, root = fsspec.url_to_fs(there.filesystem, zarr_format=FORMATS[version])
    expected = {name.removeprefix(f"{root}/") for name in fs.find(root)}
    found = set()

    def walk(path: str) -> None:
        reply = ask(there.url(version, path) + ("" if path else "/"))
        assert reply.status == 200
        assert reply.headers["Content-Type"].startswith("text/html")
        for name in re.findall(r'<li><a href="([^"]+)">\1</a></li>', reply.text):
            if name.endswith("/"):
                walk(path + name)
            else:
                found.add(path + name)

    walk("")
    assert found == expected


def test_the_tree_is_listed_from_the_top(sparse: Shown) -> None:
    path = "/0.5/"
    for _ in range(5):
        reply = ask(sparse.gateway + path)
        (first_name, *_) = re.findall(r'<li><a href="([^"]+/)">', reply.text)
        path += first_name
    assert path == f"/0.5/{sparse.path}/0/".replace("series/", "series/")


def test_a_directory_without_a_slash_leads_to_one(sparse: Shown) -> None:
    for key in ("", "0", "0/c/0"):
        for method in ("GET", "HEAD"):
            reply = ask(sparse.url("0.5", key) + "?token=x&y=1", method)
            assert reply.status == 301
            assert reply.headers["Location"] == sparse.url("0.5", key).removeprefix(sparse.gateway) + "/?token=x&y=1"
    assert ask(f"{sparse.gateway}/0.5").headers["Location"] == "/0.5/"
    assert ask(f"{sparse.gateway}/0.5/studies").headers["Location"] == "/0.5/studies/"


def test_many_studies_are_listed_page_by_page() -> None:
    studies = [{"0020000D": {"vr": "UI", "Value": [f"1.2.{number}"]}} for number in range(1201)]

    async def answer(request: web.Request, _handler: Handler) -> web.StreamResponse:
        offset, limit = int(request.query.get("offset", 0)), int(request.query["limit"])
        return web.json_response(studies[offset : offset + limit], content_type="application/dicom+json")

    found, following = [], ""
    with shown(sparse_brightfield(), fault(answer, on="studies")) as each:
        while following is not None:
            page = ask(f"{each.gateway}/0.5/studies/{following}").text
            found += re.findall(r'href="(1\.2\.\d+)/"', page)
            following = next(iter(re.findall(r'href="(\?offset=\d+)"', page)), None)  # type: ignore[assignment]
    assert found == [f"1.2.{number}" for number in range(1201)]


# --- ranges and conditions ---


@pytest.mark.parametrize("key", ["0/c/0/0/0", "zarr.json"])
def test_ranges_and_conditions(sparse: Shown, key: str) -> None:
    url = sparse.url("0.5", key)
    whole = ask(url)
    size = len(whole.body)
    parts = {"bytes=0-9": slice(0, 10), f"bytes={size - 4}-": slice(-4, None), "bytes=-7": slice(-7, None)}
    for wanted, part in parts.items():
        reply = ask(url, Range=wanted)
        assert (reply.status, reply.body) == (206, whole.body[part])
        start, stop, _ = part.indices(size)
        assert reply.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
        assert reply.headers["ETag"] == whole.headers["ETag"]
    for refused in (f"bytes={size}-", "bytes=0-1,4-5"):
        reply = ask(url, Range=refused)
        assert (reply.status, reply.headers["Content-Range"]) == (416, f"bytes */{size}")
    for known in (whole.headers["ETag"], f'"x", W/{whole.headers["ETag"]}', "*"):
        reply = ask(url, If_None_Match=known)
        assert (reply.status, reply.body) == (304, b"")
        assert reply.headers["ETag"] == whole.headers["ETag"]
    assert ask(url, If_None_Match='"other"').status == 200


def test_what_a_client_has_already_is_not_fetched_again() -> None:
    with serving(sparse_brightfield()) as served, gateway(server_upstream(served.server)) as running:
        path = f"studies/{served.slide.study_uid}/series/{served.slide.series_uid}.zarr"
        url = f"{running.url}/0.5/{path}/0/c/0/0/0"
        tag = ask(url, "HEAD").headers["ETag"]
        assert ask(url, If_None_Match=tag).status == 304
        assert ask(url, Range="bytes=999999999-").status == 416
        assert served.count("frames") == 0
        assert ask(url).headers["ETag"] == tag
        assert served.count("frames") == 1


def test_a_chunk_is_kept_for_ever_where_the_query_says_of_which_version(sparse: Shown) -> None:
    series = f"{sparse.gateway}/api/{sparse.path.removesuffix('.zarr')}"
    version = ask(series).json["version"]
    url = sparse.url("0.5", "0/c/0/0/0")
    assert ask(url).headers["Cache-Control"] == "private, no-cache"
    assert "immutable" in ask(f"{url}?version={version}").headers["Cache-Control"]
    assert ask(f"{url}?version=other").status == 409


# --- absence and failure ---


@pytest.mark.parametrize(
    "key",
    ["0/c/0/0/1", "0/c/0/9/9", "nope", "0/zarray", "zarr.json/", "0/c/0/0/0/", "0/c/0/0/00", ".zgroup", "9/zarr.json"],
)
def test_only_what_is_absent_is_404(sparse: Shown, key: str) -> None:
    for method in ("GET", "HEAD"):
        assert ask(sparse.url("0.5", key), method).status == 404


def test_a_series_that_the_server_does_not_have_is_404(sparse: Shown, tmp_path: Path) -> None:
    for path in ("studies/1.2/series/3.4.zarr/zarr.json", "studies/1.2/series/3.4.zarr/", "studies/1.2/"):
        assert ask(f"{sparse.gateway}/0.5/{path}").status == 404
    write(tmp_path / "some", sparse_brightfield().datasets)
    with gateway(folder_upstream(tmp_path / "some")) as running:
        assert ask(f"{running.url}/0.5/studies/1.2/series/3.4.zarr/zarr.json").status == 404
    with gateway(folder_upstream(tmp_path / "none")) as running:
        reply = ask(f"{running.url}/0.5/studies/1.2/series/3.4.zarr/zarr.json")
        assert reply.status == 502
        assert "none" in reply.text


def everywhere(code: int) -> list[Middleware]:
    """Frames cannot be had in any way."""
    return [status(code), status(code, on="instances")]


FAULTS: dict[str, list[Middleware]] = {
    "refused": [status(401)],
    "forbidden": [status(403)],
    "denied": everywhere(404),
    "broken": everywhere(500),
    "reset": [reset(), reset(on="instances")],
    "cut": [truncate(30, "own-length"), status(404, on="instances")],
}


@pytest.mark.usefixtures("tried_again_at_once")
@pytest.mark.parametrize("name", FAULTS)
def test_a_frame_that_cannot_be_had_is_never_absent(name: str) -> None:
    slide = sparse_brightfield()
    with DICOMwebServer(Archive(slide.datasets), middlewares=FAULTS[name]) as server:
        path = f"studies/{slide.study_uid}/series/{slide.series_uid}.zarr"
        with gateway(server_upstream(server)) as running:
            for route in ("0.5", "frames"):
                reply = ask(f"{running.url}/{route}/{path}/0/c/0/0/0", Origin="http://localhost:1")
                assert reply.status == 502
                assert reply.headers["Access-Control-Allow-Origin"] == "http://localhost:1"
                assert slide.series_uid in reply.text
                assert reply.headers["Cache-Control"] == "no-store"


def test_metadata_that_cannot_be_had_are_never_absent() -> None:
    with shown(sparse_brightfield(), status(403, on="metadata")) as each:
        reply = ask(each.url("0.5", "zarr.json"))
        assert reply.status == 502
        assert "403" in reply.text


def test_a_server_that_does_not_answer_is_504() -> None:
    async def never(_request: web.Request, _handler: Handler) -> web.StreamResponse:
        await asyncio.Event().wait()  # the server ends by itself, and this with it
        raise AssertionError

    slide = sparse_brightfield()
    with DICOMwebServer(Archive(slide.datasets), middlewares=[fault(never, on="metadata")]) as server:
        path = f"studies/{slide.study_uid}/series/{slide.series_uid}.zarr"
        with gateway(server_upstream(server, timeout=0.3)) as running:
            reply = ask(f"{running.url}/0.5/{path}/zarr.json")
            assert reply.status == 504
            assert "timeout" in reply.text


def test_a_lost_part_is_an_error_for_head_too() -> None:
    with shown(concatenation(leave_out=2)) as each:
        fs, root = fsspec.url_to_fs(each.filesystem)
        lost = next(
            name.removeprefix(f"{root}/")
            for name in fs.find(root)
            if "/c/" in name and ask(each.url("0.5", name.removeprefix(f"{root}/")), "HEAD").status != 200
        )
        for method in ("GET", "HEAD"):
            assert ask(each.url("0.5", lost), method).status == 502


def test_what_failed_once_is_asked_for_again() -> None:
    with shown(sparse_brightfield(), status(403, on="metadata", when=first(1))) as each:
        assert ask(each.url("0.5", "zarr.json")).status == 502
        assert ask(each.url("0.5", "zarr.json")).status == 200


# --- several upstreams, and files that change ---


def test_each_upstream_has_its_own_paths(tmp_path: Path) -> None:
    one, other = sparse_brightfield(), brightfield_pyramid()
    write(tmp_path, other.datasets)
    with (
        serving(one) as served,
        gateway(server_upstream(served.server, "pacs"), folder_upstream(tmp_path, "disk")) as running,
    ):
        mine = f"studies/{one.study_uid}/series/{one.series_uid}.zarr/zarr.json"
        yours = f"studies/{other.study_uid}/series/{other.series_uid}.zarr/zarr.json"
        for path in (f"pacs/{mine}", f"disk/{yours}"):
            assert ask(f"{running.url}/0.5/{path}").status == 200
        for path in (f"disk/{mine}", f"pacs/{yours}", mine, yours, f"nobody/{mine}"):
            assert ask(f"{running.url}/0.5/{path}").status == 404
        assert re.findall(r'href="([^"]+)"', ask(f"{running.url}/0.5/").text) == ["pacs/", "disk/"]
        for prefix in ("frames", "api"):
            assert ask(f"{running.url}/{prefix}/{mine}").status == 404
        names = [each["name"] for each in ask(f"{running.url}/api").json["upstreams"]]
        assert names == ["pacs", "disk"]


def test_nothing_held_of_one_upstream_is_shown_as_anothers() -> None:
    """Two archives may have a series with the same metadata and other pixels, as a copy without faces."""
    slide = sparse_brightfield()
    copies = copy.deepcopy(slide.datasets)
    for dataset in copies:
        dataset.PixelData = bytes(255 - each for each in dataset.PixelData)
    path = f"studies/{slide.study_uid}/series/{slide.series_uid}"
    with (
        DICOMwebServer(Archive(slide.datasets)) as first,
        DICOMwebServer(Archive(copies)) as second,
        gateway(
            server_upstream(first, "first"),
            server_upstream(second, "second"),
            server_upstream(first, "chosen", query="imageSetId=2"),
        ) as running,
    ):
        chunks, pictures, versions = {}, {}, {}
        for name, server in (("first", first), ("second", second)):
            fs, root = fsspec.url_to_fs(server.series_url(slide.study_uid, slide.series_uid), zarr_format=3)
            key = next(each for each in sorted(fs.find(root)) if "/c/" in each)
            reply = ask(f"{running.url}/0.5/{name}/{path}.zarr/{key.removeprefix(f'{root}/')}")
            assert reply.body == fs.cat_file(key)
            chunks[name] = reply.body
            pictures[name] = ask(f"{running.url}/api/{name}/{path}/thumbnail").body
            versions[name] = ask(f"{running.url}/api/{name}/{path}").json["version"]
        for each in (chunks, pictures, versions):
            assert each["first"] != each["second"]
        assert ask(f"{running.url}/api/chosen/{path}").json["version"] not in versions.values()


def test_files_that_changed_are_seen_and_never_mixed(tmp_path: Path) -> None:
    volume = radiology.BUILDERS["volume"]()
    write(tmp_path, volume.datasets[:-1])
    path = f"studies/{volume.study_uid}/series/{volume.series_uid}.zarr"
    with gateway(folder_upstream(tmp_path)) as running:
        before = ask(f"{running.url}/api/{path.removesuffix('.zarr')}").json["version"]
        shape = json.loads(ask(f"{running.url}/0.5/{path}/0/zarr.json").body)["shape"]
        write(tmp_path / "more", volume.datasets[-1:])
        document = ask(f"{running.url}/0.5/{path}/zarr.json")
        grown = document.json["consolidated_metadata"]["metadata"]["0"]["shape"]
        assert np.prod(grown) > np.prod(shape)
        assert ask(f"{running.url}/0.5/{path}/0/c/0/0/0?version={before}").status == 409
        assert ask(f"{running.url}/0.5/{path}/0/c/0/0/0").status == 200


def test_a_series_that_grew_on_a_server_is_seen_when_it_is_asked_for_anew() -> None:
    volume = radiology.BUILDERS["volume"]()
    path = f"studies/{volume.study_uid}/series/{volume.series_uid}"
    instances = [from_dataset(dataset).metadata() for dataset in volume.datasets]
    shown = len(instances) - 1

    async def answer(_request: web.Request, _handler: Handler) -> web.StreamResponse:
        body = msgspec.json.encode(instances[:shown], enc_hook=str)
        return web.Response(body=body, content_type="application/dicom+json")

    with (
        DICOMwebServer(Archive(volume.datasets), middlewares=[fault(answer, on="metadata")]) as server,
        gateway(server_upstream(server)) as running,
    ):
        before = ask(f"{running.url}/api/{path}").json["version"]
        chunk = ask(f"{running.url}/0.4/{path}.zarr/0/0/0/0").headers["ETag"]
        shown += 1
        server.requests.clear()
        assert ask(f"{running.url}/0.5/{path}.zarr/zarr.json").status == 200
        assert ask(f"{running.url}/api/{path}").json["version"] == before
        assert not server.requests
        document = ask(f"{running.url}/0.5/{path}.zarr/zarr.json", Cache_Control="no-cache").json
        assert document["consolidated_metadata"]["metadata"]["0"]["shape"] == [len(instances), 16, 20]
        after = ask(f"{running.url}/api/{path}", Cache_Control="no-cache").json["version"]
        assert after != before
        assert ask(f"{running.url}/0.5/{path}.zarr/0/c/0/0/0?version={before}").status == 409
        assert ask(f"{running.url}/0.4/{path}.zarr/0/0/0/0").headers["ETag"] != chunk
        # Those who ask again and again are served from what is open.
        assert [request.resource for request in server.requests].count("metadata") == 1


def test_uids_that_are_no_numbers_are_served_as_they_are() -> None:
    assert is_uid("ab1+c=~2")
    slide = sparse_brightfield()
    for dataset in slide.datasets:
        dataset.SeriesInstanceUID = "1.2.840.99"
    with DICOMwebServer(Archive(slide.datasets)) as server, gateway(server_upstream(server)) as running:
        for spelling in ("1.2.840.99.zarr", "1.2.840.99", "1%2E2.840.99.zarr"):
            assert ask(f"{running.url}/0.5/studies/{slide.study_uid}/series/{spelling}/zarr.json").status == 200
