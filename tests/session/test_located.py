"""What a URL or path means: which kind of source, which place of files, and what is said of what is neither."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import obstore
import obstore.store
import pyarrow as pa
import pytest
import radiology
import xarray
import zarr
from buckets import bucket
from dual_personality import part10_bytes
from folders import write
from pyarrow import parquet
from serving import forget_servers

import dicomzarr
import dicomzarr.filesystem
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.instances import from_dataset
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.errors import (
    AuthenticationError,
    ConnectionFailedError,
    InvalidOptionError,
    InvalidURLError,
    MissingFileError,
    MissingPackageError,
)
from dicomzarr.faces.cli import main
from dicomzarr.session.kinds import kind_of, parse_url
from dicomzarr.session.locate import located
from dicomzarr.sources.files import idc
from dicomzarr.sources.files.urls import FolderURL, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from buckets import BucketServer


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    forget_servers()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "ct", radiology.BUILDERS["volume"]().datasets)
    return tmp_path / "ct"


@pytest.fixture
def far(folder: Path) -> Iterator[BucketServer]:
    with bucket({f"ct/{path.name}": path.read_bytes() for path in folder.iterdir()}) as server:
        yield server


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("s3://b/p/", "dicomfile://::s3://b/p"),
        ("s3://b/p/*", "dicomfile://::s3://b/p"),
        ("  's3://b/p' ", "dicomfile://::s3://b/p"),
        ("gs://b", "dicomfile://::gs://b"),
        ("https://h/a/x.dcm", "dicomfile://::https://h/a/x.dcm"),
        ("https://h/a/ALL.ZIP", "dicomfile://::https://h/a/ALL.ZIP"),
        ("https://h/base/studies", "dicomwebs://h/base"),
        ("https://h/base/studies/1.2/series/3.4", "dicomwebs://h/base/studies/1.2/series/3.4"),
        ("dicomwebs://h/base", "dicomwebs://h/base"),
        ("memory://a", "dicomfile://::memory://a"),
        ("zip://::s3://b/x.zip", "dicomfile://::zip://::s3://b/x.zip"),
        ("file:///data/x%20y", "dicomfile:///data/x y"),
        ("file:/data", "dicomfile:///data"),
        ("file://localhost/data", "dicomfile:///data"),
        (Path("/data"), "dicomfile:///data"),
        ("/data", "dicomfile:///data"),
        ("/data/a::b", "dicomfile:///data/a::b"),
        ("dicomfile:///data/a::b/studies/1.2", "dicomfile:///data/a::b/studies/1.2"),
        ("dicomfile://studies/1.2/series/3.4::s3://b/p", "dicomfile://studies/1.2/series/3.4::s3://b/p"),
        ("dicomfile://studies/1.2/series/3.4.zarr/0::gs://b", "dicomfile://studies/1.2/series/3.4/0::gs://b"),
        ("dicomfile://studies/1.2::file:///data", "dicomfile:///data/studies/1.2"),
        ("dicomfile://studies::https://h/list/", "dicomfile://::https://h/list/"),
    ],
)
def test_what_a_text_means(text: object, url: str) -> None:
    assert str(located(text, {})[0]) == url


def test_kinds() -> None:
    assert kind_of("dicomfile:///x").name == "folder"
    assert kind_of("dicomfile://::s3://b/p").name == "folder"
    assert kind_of("dicomwebs://h/b").name == kind_of("https://h/b").name == "server"
    assert not kind_of("dicomfile:///a::b").is_far("dicomfile:///a::b")
    assert kind_of("dicomfile://::s3://b").is_far("dicomfile://::s3://b")
    assert kind_of(FolderURL.at("s3://b/p")).place("dicomfile://::s3://b/p") == "s3://b/p"
    for url in ("dicomfile://studies/1.2/series/3.4/0/zarr.json::s3://b/p", "dicomfile:///d/studies/1.2"):
        assert str(parse_url(url)) == url
    assert place_of("dicomfile:///a b") == "/a b"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "A NoneType names no series. Give a URL"),
        ("", "An empty text names no series"),
        (7, "A int names no series"),
        ("127.0.0.1:8042/dicom-web", "Write https://127.0.0.1:8042/dicom-web, or http://"),
        ("localhost:8042", "Write https://localhost:8042, or http://"),
        ("pacs.example.org:443/rs", "Write https://pacs.example.org:443/rs, or http://"),
        ("no/such.zip", "Check the path; the URL of a server begins with https:// or http://"),
        ("C:/no/such/folder", "Check the path"),
        ("file://elsewhere/data", "on another machine"),
        ("dicomfile://x/studies/1::s3://b", "names two places"),
        ("dicomfile://x::s3://b", "no series in a place"),
        ("dicomfile://studies::b", "no place of files"),
        ("https://h/x.dcm?signature=hunter2", "a query"),
        ("unheard://of", "scheme is 'unheard'"),
    ],
)
def test_what_means_nothing_is_said(text: Any, said: str) -> None:
    with pytest.raises(InvalidURLError) as caught:
        dicomzarr.open(text)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


# --- server or files ---


def test_a_server_is_told_from_files_by_asking(far: BucketServer) -> None:
    with DICOMwebServer(Archive(map(from_dataset, radiology.BUILDERS["volume"]().datasets))) as server:
        assert str(located(server.url, {})[0]).startswith("dicomweb://")
        assert main(["ls", server.url]) == 0
    names = [key.rpartition("/")[2] for key in far.objects]
    far.pages["/bucket/ct/"] = "application/json", json.dumps(names)
    assert str(located(f"{far.url}/bucket/ct/", {})[0]).startswith("dicomfile://")


def test_what_is_neither_says_how_both_failed(far: BucketServer) -> None:
    with pytest.raises(InvalidURLError) as caught:
        dicomzarr.open(f"{far.url}/elsewhere")
    assert "is no DICOMweb server (HTTP status 404" in str(caught.value)
    assert "and leads to no files (There is no file" in str(caught.value)


def test_who_refuses_or_is_not_there_is_not_taken_for_files() -> None:
    with pytest.raises(ConnectionFailedError):
        dicomzarr.open("http://127.0.0.1:1/dicom-web")
    with bucket({}) as server:
        server.fault = None
        server.pages["/x/studies"] = "text/html", "<html>Log in</html>"
        with pytest.raises(InvalidURLError, match="is no DICOMweb server"):
            dicomzarr.open(f"{server.url}/x")


def test_credentials_go_to_web_servers(far: BucketServer) -> None:
    seen = []

    def guarded(request: Any, reply: Any) -> Any:
        from aiohttp import web  # noqa: PLC0415

        seen.append(request.headers.get("Authorization"))
        return reply if seen[-1] else web.Response(status=401)

    far.fault = guarded
    url = f"{far.url}/bucket/ct/0000.dcm"
    with pytest.raises(AuthenticationError):
        dicomzarr.open(url)
    assert dicomzarr.open(url, auth=("a", "b")).levels[0][...].any()
    assert "b" not in dicomzarr.open(url.replace("://", "://a:b@")).url.replace("bucket", "")


# --- places that others read ---


def test_fsspec_and_obstore(folder: Path) -> None:
    pixels = dicomzarr.open(folder).levels[0][...]
    memory, kept = fsspec.filesystem("memory"), obstore.store.MemoryStore()
    for path in folder.iterdir():
        memory.pipe(f"/scans/ct/{path.name}", path.read_bytes())
        obstore.put(kept, f"scans/ct/{path.name}", path.read_bytes())
    places = (
        ("memory://scans/ct", {}),
        ("scans/ct", {"store": memory}),
        ("scans/ct", {"store": kept}),
        (str(folder), {"store": obstore.store.LocalStore()}),
    )
    for place, options in places:
        image = dicomzarr.open(place, **options)
        assert np.array_equal(image.levels[0][...], pixels)
        group = zarr.open_group(image.series_url, mode="r", storage_options=options)
        assert np.array_equal(np.asarray(group["0"]), pixels)
        tree = xarray.open_datatree(image.series_url, engine="dicomzarr", storage_options=options, mask_and_scale=False)
        assert np.array_equal(tree["0/image"], pixels)


def test_a_replaced_object_of_a_store_is_an_error(folder: Path) -> None:
    kept = obstore.store.MemoryStore()
    for path in folder.iterdir():
        obstore.put(kept, path.name, path.read_bytes())
    image = dicomzarr.open("/", store=kept)
    obstore.put(kept, "0001.dcm", (folder / "0002.dcm").read_bytes())
    with pytest.raises(dicomzarr.errors.ChangedFileError):
        image.levels[0][...]


def test_secrets_of_other_libraries_stay_here() -> None:
    options = dicomzarr.filesystem.DICOMFileSystem(
        fo="b/p", target_protocol="s3", target_options={"key": "KEY", "secret": "TOKEN"}
    )
    assert options.location == "s3://b/p"
    for text in (repr(options), options.to_json(), json.dumps(options.storage_options)):
        assert "KEY" not in text
        assert "TOKEN" not in text


def test_options_of_a_chained_place() -> None:
    fs, path = fsspec.url_to_fs(
        "dicomfile://studies/1.2/series/3.4::s3://b/p", s3={"anon": True, "endpoint_url": "http://x"}
    )
    assert (path, fs.location, fs.options.endpoint_url) == (
        "dicomfile://studies/1.2/series/3.4",
        "s3://b/p",
        "http://x",
    )
    assert fs.options.fsspec_options is None
    fs, _ = fsspec.url_to_fs("dicomfile://studies/1.2/series/3.4::s3://b/p", s3={"profile": "mine"})
    assert dict(fs.options.fsspec_options) == {"profile": "mine"}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("endpoint_url", "ftp://x"),
        ("endpoint_url", "https://user:password@host"),
        ("store", 7),
        ("fsspec_options", [1]),
        ("index", 7),
    ],
)
def test_impossible_options(option: str, value: object) -> None:
    with pytest.raises(InvalidOptionError, match=f"The option {option} is a") as caught:
        dicomzarr.open("s3://b/p", **{option: value})
    assert "password" not in str(caught.value)


# --- the command line ---


def test_the_command_line_reads_buckets(far: BucketServer, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    far.objects |= {
        f"pet/{number}.dcm": part10_bytes(each) for number, each in enumerate(radiology.BUILDERS["pet"]().datasets)
    }
    endpoint = ["--endpoint-url", far.url]
    assert main(["ls", "s3://bucket", *endpoint, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["results"]
    assert len(rows) == 2
    assert main(["info", rows[0]["url"], *endpoint, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["server"] == "s3://bucket"
    assert main(["ls", rows[0]["url"], *endpoint]) == 0
    assert "zarr.json" in capsys.readouterr().out
    assert main(["thumbnail", "s3://bucket/ct", str(tmp_path / "a.png"), *endpoint]) == 0
    capsys.readouterr()
    assert main(["info", "s3://bucket", *endpoint]) == 2
    said = capsys.readouterr().err.splitlines()
    assert "There are 2 series in s3://bucket; name one of:" in said[0]
    assert sorted(line.strip().partition(" (")[0] for line in said[1:]) == sorted(row["url"] for row in rows)


# --- the Imaging Data Commons ---


def test_a_series_of_the_imaging_data_commons(
    far: BucketServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table = {"SeriesInstanceUID": ["1.2.3", "1.2.4"], "series_aws_url": ["s3://x/y/*", "s3://bucket/ct/*"]}
    parquet.write_table(pa.table({**table, "other": [1, 2]}), tmp_path / "idc_index.parquet")
    monkeypatch.setattr(idc, "_table", lambda: tmp_path / "idc_index.parquet")
    image = dicomzarr.open("idc:1.2.4", **far.options)
    assert image.url.endswith("::s3://bucket/ct")
    with pytest.raises(MissingFileError, match=r"has no series 1\.2\.5"):
        dicomzarr.open("idc:1.2.5")
    with pytest.raises(InvalidURLError):
        dicomzarr.open("idc:nonsense!")


def test_without_its_table_it_is_said_what_to_install() -> None:
    with pytest.raises(MissingPackageError, match=r"pip install 'dicomzarr\[idc\]'"):
        dicomzarr.open("idc:1.2.4")


def test_a_place_whose_package_is_absent_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(MissingPackageError, match=r"needs a library that is not installed.*adlfs"):
        dicomzarr.open("abfs://container/folder", fsspec_options={"account_name": "a"})
