from __future__ import annotations

import asyncio
import json
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import fsspec
import fsspec.asyn
import fsspec.implementations.cached
import numpy as np
import pytest
import radiology
import zarr
import zarr.core.sync
from aiohttp import web
from faults import fault, status
from folders import write
from opened import array_at, group_at
from pydicom import dcmread
from serving import Served, forget_servers, run_python, serving
from slides import brightfield_pyramid, concatenation, sparse_brightfield, two_pyramids
from upath import UPath
from waiting import SECONDS
from zarr.storage import FsspecStore

import dicomzarr
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.errors import (
    ConnectionFailedError,
    EventLoopError,
    InvalidOptionError,
    InvalidReplyError,
    InvalidURLError,
    MissingInstanceError,
    PermissionDeniedError,
    ReadOnlyError,
    SeriesNotFoundError,
)
from dicomzarr.faces.fsspec.filesystem import DICOMFileSystem, DICOMwebFileSystem, DICOMwebsFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aiohttp.typedefs import Handler, Middleware
    from slides import ExpectedLevel

    Verb = Callable[[DICOMwebFileSystem, str], object]

CHUNK = "0/c/0/0/0"
HOLE = "0/c/0/0/1"
ELSEWHERE = "1.2.3.4"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(sparse_brightfield()) as each:
        yield each


@pytest.fixture
def url(served: Served) -> str:
    served.server.requests.clear()
    return served.url


@pytest.fixture
def fs() -> DICOMwebFileSystem:
    return DICOMwebFileSystem()


GOOD = {"0020000D": {"vr": "UI", "Value": ["1.2"]}}


def answering(results: list[Any]) -> Middleware:
    """A server that finds these studies."""

    async def answer(_request: web.Request, _handler: Handler) -> web.StreamResponse:
        return web.json_response(results, content_type="application/dicom+json")

    return fault(answer, on="studies")


def keys_of(levels: tuple[ExpectedLevel, ...]) -> set[str]:
    """Every key of a hierarchy with the axes c, y, x and one frame along c."""
    keys = {"zarr.json"}
    for number, level in enumerate(levels):
        keys.add(f"{number}/zarr.json")
        tiles = np.argwhere(~level.absent[0, 0])
        keys.update(f"{number}/c/0/{row}/{column}" for row, column in tiles)
    return keys


def chunk_bytes(level: ExpectedLevel, row: int = 0, column: int = 0) -> bytes:
    """A tile that lies wholly inside its level."""
    down, across = level.tile
    tile = level.pixels[:, 0, row * down : (row + 1) * down, column * across : (column + 1) * across]
    return bytes(tile.tobytes())


# --- names, sizes, listings ---


def test_the_protocols_are_known_to_fsspec() -> None:
    assert type(fsspec.filesystem("dicomweb")) is DICOMwebFileSystem
    assert type(fsspec.filesystem("dicomwebs")) is DICOMwebsFileSystem


@pytest.mark.parametrize("spelling", ["", "/", ".zarr", ".zarr/"])
def test_ls_answers_under_the_spelling_asked(fs: DICOMwebFileSystem, url: str, spelling: str) -> None:
    asked = url + spelling
    names = ["zarr.json", "0", "1"]
    assert fs.ls(asked, detail=False) == [f"{asked.rstrip('/')}/{name}" for name in names]
    assert [entry["type"] for entry in fs.ls(asked)] == ["file", "directory", "directory"]
    assert fs.ls(f"{asked.rstrip('/')}/0/", detail=False) == [
        f"{asked.rstrip('/')}/0/{name}" for name in ("zarr.json", "c")
    ]


@pytest.mark.parametrize("spelling", ["", ".zarr"])
def test_every_verb_takes_both_spellings(fs: DICOMwebFileSystem, served: Served, url: str, spelling: str) -> None:
    root = url + spelling
    chunk = chunk_bytes(served.slide.levels[0])
    assert fs.info(f"{root}/{CHUNK}") == {"name": f"{root}/{CHUNK}", "size": len(chunk), "type": "file"}
    assert fs.info(f"{root}/0/") == {"name": f"{root}/0", "size": 0, "type": "directory"}
    assert fs.exists(root)
    assert fs.isdir(f"{root}/0/c/0/")
    assert not fs.isfile(f"{root}/0/c/0")
    assert fs.isfile(f"{root}/{CHUNK}")
    assert not fs.isdir(f"{root}/{CHUNK}")
    assert fs.size(f"{root}/{CHUNK}") == len(chunk)
    assert fs.cat_file(f"{root}/{CHUNK}") == chunk
    assert fs.cat(f"{root}/{CHUNK}") == chunk
    assert fs.cat_ranges([f"{root}/{CHUNK}"], [1], [4]) == [chunk[1:4]]
    assert fs.du(f"{root}/1") == fs.du(f"{url}/1")
    assert {name.removeprefix(url) for name in fs.find(root)} == {f"/{key}" for key in keys_of(served.slide.levels)}


def test_find_lists_what_is_there_and_fetches_nothing(fs: DICOMwebFileSystem, served: Served, url: str) -> None:
    found = fs.find(url, detail=True)
    assert set(found) == {f"{url}/{key}" for key in keys_of(served.slide.levels)}
    sizes = {name: entry["size"] for name, entry in found.items()}
    assert fs.du(url) == sum(sizes.values())
    assert fs.du(url, total=False) == sizes
    assert served.count() == 0
    documents = [name for name in found if name.endswith("zarr.json")]
    assert all(len(fs.cat_file(name)) == sizes[name] for name in documents)


def test_walk_and_glob(fs: DICOMwebFileSystem, served: Served, url: str) -> None:
    walked = {path: (set(dirs), set(files)) for path, dirs, files in fs.walk(url)}
    assert walked[url] == ({"0", "1"}, {"zarr.json"})
    assert walked[f"{url}/1"] == ({"c"}, {"zarr.json"})
    assert walked[f"{url}/0/c/0/0"] == (set(), {"0", "2", "3"})
    assert fs.glob(f"{url}/*/zarr.json") == [f"{url}/0/zarr.json", f"{url}/1/zarr.json"]
    assert fs.glob(f"{url}/?") == [f"{url}/0", f"{url}/1"]
    assert len(fs.glob(f"{url}/**/zarr.json")) == 3
    assert fs.glob(f"{url}/nothing*") == []
    assert served.count() == 0


def test_a_hole_is_absent_everywhere(fs: DICOMwebFileSystem, served: Served, url: str) -> None:
    assert not fs.exists(f"{url}/{HOLE}")
    assert not fs.isfile(f"{url}/{HOLE}")
    assert f"{url}/{HOLE}" not in fs.ls(f"{url}/0/c/0/0", detail=False)
    for read in (fs.info, fs.cat_file, fs.cat, fs.ls, fs.open):
        with pytest.raises(FileNotFoundError):
            read(f"{url}/{HOLE}")
    assert served.count() == 0


@pytest.mark.parametrize(
    "key",
    ["nope", "0/nope", "2/zarr.json", "0/c/0/0/99", "0/c/0/00/0", "0/c/0/0/0/0", "0/c.0.0.0", ".zattrs", "0/c/0/-1/0"],
)
def test_keys_that_no_hierarchy_has(fs: DICOMwebFileSystem, url: str, key: str) -> None:
    assert not fs.exists(f"{url}/{key}")
    assert not fs.isdir(f"{url}/{key}")
    for read in (fs.info, fs.cat_file, fs.ls):
        with pytest.raises(FileNotFoundError):
            read(f"{url}/{key}")


def test_a_group_has_no_bytes(fs: DICOMwebFileSystem, url: str) -> None:
    with pytest.raises(FileNotFoundError):
        fs.cat_file(url)
    with pytest.raises(FileNotFoundError):
        fs.open(f"{url}/0")


# --- bytes ---

RANGES = [
    (None, None), (0, 10), (5, None), (None, 7), (-5, None), (None, -5), (-10, -3), (3, 3), (10, 5), (None, 0),
    (10**6, None), (10**6, 2 * 10**6), (4600, 10**6), (-(10**6), None), (-(10**6), 3),
]  # fmt: skip


@pytest.mark.parametrize(("start", "end"), RANGES)
def test_byte_ranges_are_slices(
    fs: DICOMwebFileSystem, served: Served, url: str, start: int | None, end: int | None
) -> None:
    chunk = chunk_bytes(served.slide.levels[0])
    assert fs.cat_file(f"{url}/{CHUNK}", start=start, end=end) == chunk[start:end]


def test_many_byte_ranges_at_once(fs: DICOMwebFileSystem, served: Served, url: str) -> None:
    chunk = chunk_bytes(served.slide.levels[0])
    starts, ends = [list(bounds) for bounds in zip(*RANGES, strict=True)]
    found = fs.cat_ranges([f"{url}/{CHUNK}"] * len(RANGES), starts, ends)
    assert found == [chunk[start:end] for start, end in RANGES]


def test_cat_ranges_returns_or_raises_what_is_absent(fs: DICOMwebFileSystem, url: str) -> None:
    paths = [f"{url}/{CHUNK}", f"{url}/{HOLE}"]
    there, absent = fs.cat_ranges(paths, 0, 4, on_error="return")
    assert len(there) == 4
    assert isinstance(absent, FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(paths, 0, 4, on_error="raise")


def test_cat_of_several_keys(fs: DICOMwebFileSystem, served: Served, url: str) -> None:
    paths = [f"{url}/{CHUNK}", f"{url}/1/c/0/0/0"]
    assert fs.cat(paths) == {path: chunk_bytes(level) for path, level in zip(paths, served.slide.levels, strict=True)}
    assert set(fs.cat(f"{url}/*/zarr.json")) == {f"{url}/0/zarr.json", f"{url}/1/zarr.json"}
    assert set(fs.cat([*paths, f"{url}/{HOLE}"], on_error="omit")) == set(paths)
    with pytest.raises(FileNotFoundError):
        fs.cat([*paths, f"{url}/{HOLE}"])


def test_open_reads_and_seeks(fs: DICOMwebFileSystem, served: Served, url: str) -> None:
    chunk = chunk_bytes(served.slide.levels[0])
    with fs.open(f"{url}/{CHUNK}") as file:
        assert file.size == len(chunk)
        assert file.read(10) == chunk[:10]
        assert file.seek(100) == 100
        assert file.read(5) == chunk[100:105]
        assert file.seek(-4, 2) == len(chunk) - 4
        assert file.read() == chunk[-4:]
        assert file.read() == b""
        assert file.tell() == len(chunk)
        assert file.readable()
        assert not file.writable()
    with fs.open(f"{url}/zarr.json", "r") as text:
        assert json.load(text)["node_type"] == "group"
    with fs.open(f"{url}/{CHUNK}", block_size=16, cache_type="readahead") as file:
        assert file.read(40) + file.read() == chunk


def test_small_readers(fs: DICOMwebFileSystem, served: Served, url: str) -> None:
    chunk = chunk_bytes(served.slide.levels[0])
    path = f"{url}/{CHUNK}"
    assert fs.head(path, 9) == chunk[:9]
    assert fs.tail(path, 9) == chunk[-9:]
    assert fs.read_block(path, 4, 6) == chunk[4:10]
    assert fs.read_bytes(path) == chunk
    assert json.loads(fs.read_text(f"{url}/zarr.json"))["zarr_format"] == 3


def test_get_copies_keys_and_trees(fs: DICOMwebFileSystem, served: Served, url: str, tmp_path: Path) -> None:
    fs.get_file(f"{url}/{CHUNK}", str(tmp_path / "chunk"))
    assert (tmp_path / "chunk").read_bytes() == chunk_bytes(served.slide.levels[0])
    fs.get(f"{url}.zarr/", str(tmp_path / "copy"), recursive=True)
    copied = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert copied == keys_of(served.slide.levels)
    array = group_at(tmp_path / "copy")["1"]
    assert np.array_equal(array[...], served.slide.levels[1].pixels[:, 0])


def test_simplecache_keeps_a_copy(served: Served, url: str, tmp_path: Path) -> None:
    options = {"simplecache": {"cache_storage": str(tmp_path)}}
    with fsspec.open(f"simplecache::{url}/{CHUNK}", **options) as file:
        assert file.read() == chunk_bytes(served.slide.levels[0])
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [chunk_bytes(served.slide.levels[0])]
    asked = len(served.server.requests)
    with fsspec.open(f"simplecache::{url}/{CHUNK}", **options) as file:
        assert len(file.read()) == len(chunk_bytes(served.slide.levels[0]))
    assert len(served.server.requests) == asked


def test_mapper_is_a_read_only_mapping(fs: DICOMwebFileSystem, served: Served, url: str) -> None:
    for spelling in (url, f"{url}.zarr", f"{url}/"):
        mapper = fs.get_mapper(spelling)
        assert set(mapper) == keys_of(served.slide.levels)
        assert mapper[CHUNK] == chunk_bytes(served.slide.levels[0])
        assert HOLE not in mapper
        with pytest.raises(KeyError):
            mapper[HOLE]
        with pytest.raises(ReadOnlyError):
            mapper["zarr.json"] = b"{}"
        with pytest.raises(KeyError) as refused:
            del mapper["zarr.json"]
        assert isinstance(refused.value.__cause__, ReadOnlyError)  # fsspec turns every error into KeyError here


# --- above the series, and what the server does not have ---


@pytest.fixture(scope="module")
def hospital() -> Iterator[DICOMwebServer]:
    slides = (brightfield_pyramid(), two_pyramids())
    with DICOMwebServer(Archive([dataset for slide in slides for dataset in slide.datasets])) as server:
        yield server


@pytest.fixture
def base(hospital: DICOMwebServer) -> str:
    return hospital.url.replace("http://", "dicomweb://")


def test_the_tree_above_series_is_searched(fs: DICOMwebFileSystem, base: str) -> None:
    slides = (brightfield_pyramid(), two_pyramids())
    assert fs.ls(base, detail=False) == [f"{base}/studies"]
    studies = fs.ls(f"{base}/studies/")
    assert {entry["name"] for entry in studies} == {f"{base}/studies/{slide.study_uid}" for slide in slides}
    assert {entry["type"] for entry in studies} == {"directory"}
    study = f"{base}/studies/{slides[0].study_uid}"
    assert fs.ls(study, detail=False) == [f"{study}/series"]
    assert fs.ls(f"{study}/series", detail=False) == [f"{study}/series/{slides[0].series_uid}"]
    for path in (base, f"{base}/studies", study, f"{study}/series", f"{study}/series/{slides[0].series_uid}"):
        assert fs.isdir(path)
        assert fs.exists(f"{path}/")
        assert not fs.isfile(path)
        with pytest.raises(FileNotFoundError):
            fs.cat_file(f"{path}/")
    series = fs.glob(f"{base}/studies/*/series/*")
    assert set(series) == {f"{base}/studies/{slide.study_uid}/series/{slide.series_uid}" for slide in slides}


def test_absent_studies_and_series(fs: DICOMwebFileSystem, base: str) -> None:
    study = f"{base}/studies/{brightfield_pyramid().study_uid}"
    absent = (
        f"{base}/studies/{ELSEWHERE}",
        f"{base}/studies/{ELSEWHERE}/series",
        f"{study}/series/{ELSEWHERE}",
        f"{study}/series/{ELSEWHERE}.zarr/",
        f"{study}/series/{ELSEWHERE}/zarr.json",
    )
    for path in absent:
        assert not fs.exists(path)
        assert not fs.isdir(path)
        assert not fs.isfile(path)
        for ask in (fs.info, fs.ls):
            with pytest.raises(FileNotFoundError):
                ask(path)


def test_reading_from_an_absent_series_is_no_absent_key(fs: DICOMwebFileSystem, base: str) -> None:
    series = f"{base}/studies/{ELSEWHERE}/series/{ELSEWHERE}"
    with pytest.raises(SeriesNotFoundError, match=ELSEWHERE):
        fs.cat_file(f"{series}/zarr.json")
    (result,) = fs.cat_ranges([f"{series}/zarr.json"], 0, 1)
    assert isinstance(result, SeriesNotFoundError)


def test_a_study_that_the_search_denies_is_absent(fs: DICOMwebFileSystem) -> None:
    with serving(brightfield_pyramid(), status(404, on="series")) as each:
        study = each.url.rpartition("/series/")[0]
        assert not fs.exists(study)
        with pytest.raises(FileNotFoundError):
            fs.ls(study)


@pytest.mark.parametrize("place", ["", "/studies"])
@pytest.mark.parametrize("verb", ["exists", "isdir", "isfile", "info", "ls"])
def test_a_server_is_asked_whether_it_is_there(fs: DICOMwebFileSystem, base: str, verb: str, place: str) -> None:
    with pytest.raises(ConnectionFailedError):
        getattr(fs, verb)(f"dicomweb://127.0.0.1:9/none{place}")
    nothing = f"{base}/nothing/here{place}"
    if verb in {"info", "ls"}:
        with pytest.raises(FileNotFoundError):
            getattr(fs, verb)(nothing)
    else:
        assert not getattr(fs, verb)(nothing)


def test_existence_costs_one_result(fs: DICOMwebFileSystem) -> None:
    with serving(brightfield_pyramid()) as each:
        study = each.url.rpartition("/series/")[0]
        for path in (study, study.rpartition("/")[0], study.rpartition("/studies/")[0]):
            assert fs.isdir(path)
        assert [request.query for request in each.server.requests] == [(("limit", "1"),)] * 3


SEARCHES: dict[str, tuple[list[Any], list[str]]] = {
    "one without a UID": ([{"0020000D": {"vr": "UI"}}, GOOD], ["1.2"]),
    "one of none": ([{"0020000D": {"vr": "UI", "Value": []}}, GOOD], ["1.2"]),
    "a null": ([{"0020000D": {"vr": "UI", "Value": [None]}}, GOOD], ["1.2"]),
    "no attribute": ([{"0020000D": None}, {}, GOOD], ["1.2"]),
    "no UID": ([{"0020000D": {"vr": "UI", "Value": ["../../etc"]}}, GOOD], ["1.2"]),
    "a number": ([{"0020000D": {"vr": "UI", "Value": [1.5]}}, GOOD], ["1.2"]),
    "a text": ([{"0020000D": {"vr": "UI", "Value": "1.3"}}, GOOD], ["1.2"]),
    "lower case": ([{"0020000d": {"vr": "UI", "Value": ["1.2 "]}}], ["1.2"]),
    "an empty server": ([], []),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_search_results_may_be_odd(fs: DICOMwebFileSystem, name: str) -> None:
    results, uids = SEARCHES[name]
    with serving(brightfield_pyramid(), answering(results)) as each:
        studies = each.url.partition("/studies/")[0] + "/studies"
        assert fs.ls(studies, detail=False) == [f"{studies}/{uid}" for uid in uids]


def test_results_without_any_uid_are_no_empty_server(fs: DICOMwebFileSystem) -> None:
    with (
        serving(brightfield_pyramid(), answering([{"0020000D": None}])) as each,
        pytest.raises(InvalidReplyError, match="0020000D"),
    ):
        fs.ls(each.url.partition("/studies/")[0] + "/studies")


@pytest.mark.parametrize("verb", ["exists", "isfile", "isdir", "info", "ls", "cat_file", "find", "glob", "du"])
def test_not_knowing_is_no_absence(fs: DICOMwebFileSystem, verb: str) -> None:
    with serving(brightfield_pyramid(), status(403, on="any")) as each:
        study = each.url.rpartition("/series/")[0]
        paths = [f"{each.url}/zarr.json"] if verb == "cat_file" else [f"{each.url}/zarr.json", study]
        for path in paths:
            with pytest.raises(PermissionDeniedError):
                getattr(fs, verb)(path)


def test_a_lost_instance_is_no_absent_key(fs: DICOMwebFileSystem) -> None:
    slide = concatenation(leave_out=2)
    with serving(slide) as each:
        lost = [f"{each.url}/0/c/0/{row}/{column}" for row, column in np.argwhere(slide.levels[0].lost[0, 0])]
        assert len(lost) == 4
        assert fs.isfile(lost[0])
        assert fs.exists(lost[0])
        assert fs.info(lost[0])["size"] == fs.info(f"{each.url}/{CHUNK}")["size"]
        assert set(fs.find(each.url)) == {f"{each.url}/{key}" for key in keys_of(slide.levels)}
        with pytest.raises(MissingInstanceError):
            fs.cat_file(lost[0])
        with pytest.raises(MissingInstanceError):
            array_at(each.url, path="0")[...]


def test_metadata_is_read_anew_when_asked(fs: DICOMwebFileSystem, served: Served, url: str) -> None:
    fs.info(url)
    before = served.count("metadata")
    fs.info(url)
    assert served.count("metadata") == before
    fs.invalidate_cache(f"{url}.zarr/")
    fs.info(url)
    assert served.count("metadata") == before + 1


def test_frames_are_read_anew_when_asked(fs: DICOMwebFileSystem, served: Served, url: str) -> None:
    for place in (f"{url}/0", url.rpartition("/series")[0], None):
        fs.cat_file(f"{url}/{CHUNK}")
        before = served.count("metadata"), served.count()
        fs.cat_file(f"{url}/{CHUNK}")
        assert (served.count("metadata"), served.count()) == before
        fs.invalidate_cache(place)
        fs.cat_file(f"{url}/{CHUNK}")
        assert (served.count("metadata"), served.count()) == (before[0] + 1, before[1] + 1)


def test_what_was_forgotten_while_it_was_opened_is_opened_again(fs: DICOMwebFileSystem) -> None:
    asked, answer = threading.Event(), threading.Event()

    async def hold(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked.set()
        await asyncio.to_thread(answer.wait, SECONDS)
        return await handler(request)

    with serving(brightfield_pyramid(), fault(hold, on="metadata")) as each, ThreadPoolExecutor(1) as pool:
        first = pool.submit(fs.info, each.url)
        assert asked.wait(SECONDS)
        fs.invalidate_cache(each.url)
        answer.set()
        assert first.result(SECONDS)["type"] == "directory"
        fs.info(each.url)
        fs.info(each.url)
        assert each.count("metadata") == 2


# --- writing ---

WRITES: dict[str, Verb] = {
    "pipe_file": lambda fs, path: fs.pipe_file(path, b"x"),
    "pipe": lambda fs, path: fs.pipe({path: b"x"}),
    "write_bytes": lambda fs, path: fs.write_bytes(path, b"x"),
    "write_text": lambda fs, path: fs.write_text(path, "x"),
    "open_w": lambda fs, path: fs.open(path, "wb"),
    "open_text": lambda fs, path: fs.open(path, "w"),
    "open_a": lambda fs, path: fs.open(path, "ab"),
    "open_x": lambda fs, path: fs.open(path, "xb"),
    "open_r+": lambda fs, path: fs.open(path, "r+b"),
    "touch": lambda fs, path: fs.touch(path),
    "put_file": lambda fs, path: fs.put_file(__file__, path),
    "put": lambda fs, path: fs.put(__file__, path),
    "upload": lambda fs, path: fs.upload(__file__, path),
    "cp_file": lambda fs, path: fs.cp_file(path, f"{path}x"),
    "copy": lambda fs, path: fs.copy(path, f"{path}x"),
    "mv": lambda fs, path: fs.mv(path, f"{path}x"),
    "rename": lambda fs, path: fs.rename(path, f"{path}x"),
    "rm": lambda fs, path: fs.rm(path, recursive=True),
    "rm_several": lambda fs, path: fs.rm([path]),
    "rm_file": lambda fs, path: fs.rm_file(path),
    "delete": lambda fs, path: fs.delete(path),
    "mkdir": lambda fs, path: fs.mkdir(path, create_parents=False),
    "makedirs": lambda fs, path: fs.makedirs(path, exist_ok=True),
    "mkdirs": lambda fs, path: fs.mkdirs(path),
    "rmdir": lambda fs, path: fs.rmdir(path),
}


@pytest.mark.parametrize("verb", WRITES)
def test_writing_is_refused_in_a_sentence(fs: DICOMwebFileSystem, url: str, verb: str) -> None:
    with pytest.raises(ReadOnlyError, match=r"read-only") as refused:
        WRITES[verb](fs, f"{url}/zarr.json")
    assert url in str(refused.value)
    assert refused.value.remedy


# --- URLs and options ---


@pytest.mark.parametrize("tail", ["?token=hush", "/zarr.json?x=1", "#there"])
def test_queries_are_refused_without_repeating_them(fs: DICOMwebFileSystem, url: str, tail: str) -> None:
    for ask in (fs.info, fsspec.open, UPath):
        with pytest.raises(InvalidURLError) as refused:
            ask(url + tail)
        assert "hush" not in str(refused.value)


def test_unknown_options_are_refused(url: str) -> None:
    with pytest.raises(InvalidOptionError, match="timeuot"):
        fsspec.filesystem("dicomweb", timeuot=3)
    with pytest.raises(InvalidOptionError, match="anon"):
        fsspec.open(f"{url}/zarr.json", anon=True)


def test_strip_protocol_keeps_the_scheme() -> None:
    strip = DICOMwebFileSystem._strip_protocol
    series = "dicomweb://host:8042/dicom-web/studies/1.2/series/3.4"
    for spelling in ("", "/", ".zarr", ".zarr/"):
        assert strip(series + spelling) == series
        assert strip(f"{series}{spelling.rstrip('/')}/0/c/") == f"{series}/0/c"
    assert strip(series.replace("://", "://joe:pass@")) == series
    assert strip([f"{series}/", series]) == [series, series]
    assert strip(f"{series}/0/x.zarr") == f"{series}/0/x.zarr"
    assert DICOMwebFileSystem().unstrip_protocol(f"{series}.zarr") == series


def test_parents_end_at_the_host() -> None:
    path = "dicomweb://host/dicom-web/studies/1.2/series/3.4.zarr/0"
    parents = []
    while path:
        path = DICOMwebFileSystem._parent(path)
        parents.append(path.rpartition("/")[2])
    assert parents == ["3.4", "series", "1.2", "studies", "dicom-web", "host", ""]


def test_constructing_asks_nothing(served: Served, url: str) -> None:
    fs, path = fsspec.url_to_fs(url)
    fs.get_mapper(path)
    FsspecStore.from_url(url, read_only=True)
    fsspec.open(f"{url}/zarr.json")
    UPath(url) / "0" / "zarr.json"
    assert served.server.requests == []
    nobody = "dicomweb://127.0.0.1:9/studies/1.2/series/3.4"
    assert fsspec.url_to_fs(nobody)[1] == nobody


def test_instances_are_not_kept_by_fsspec() -> None:
    assert fsspec.filesystem("dicomweb") is not fsspec.filesystem("dicomweb")
    assert fsspec.filesystem("dicomweb") == fsspec.filesystem("dicomweb")
    assert fsspec.filesystem("dicomweb") != fsspec.filesystem("dicomweb", timeout=7)
    assert fsspec.filesystem("dicomweb") != fsspec.filesystem("dicomwebs")


# --- loops ---


def test_awaiting_on_a_loop_of_ones_own(served: Served, url: str) -> None:
    async def read() -> tuple[Any, ...]:
        fs = DICOMwebFileSystem(asynchronous=True)
        one, other = await asyncio.gather(fs._cat_file(f"{url}/{CHUNK}"), fs._cat_file(f"{url}/1/c/0/0/0"))
        return one, other, await fs._exists(f"{url}/{HOLE}"), await fs._find(f"{url}/1"), await fs._isfile(url)

    for _ in range(2):
        one, other, hole, found, is_file = asyncio.run(read())
        assert one == chunk_bytes(served.slide.levels[0])
        assert other == chunk_bytes(served.slide.levels[1])
        assert not hole
        assert not is_file
        assert f"{url}/1/zarr.json" in found


def test_chunks_asked_in_one_tick_are_fetched_together(served: Served, url: str) -> None:
    async def read() -> list[bytes]:
        fs = DICOMwebFileSystem(asynchronous=True, cache_bytes=0)
        await fs._info(url)
        keys = sorted(keys_of(served.slide.levels[:1]) - {"zarr.json", "0/zarr.json"})
        return await asyncio.gather(*(fs._cat_file(f"{url}/{key}") for key in keys))

    assert len(asyncio.run(read())) == (~served.slide.levels[0].absent).sum()
    assert served.count() < 10


def test_awaiting_on_zarrs_loop(served: Served, url: str) -> None:
    fs = DICOMwebFileSystem(asynchronous=True)
    assert zarr.core.sync.sync(fs._cat_file(f"{url}/{CHUNK}")) == chunk_bytes(served.slide.levels[0])


def test_synchronous_calls_inside_a_running_loop(served: Served, url: str) -> None:
    async def read() -> bytes:
        return bytes(DICOMwebFileSystem().cat_file(f"{url}/{CHUNK}"))

    assert asyncio.run(read()) == chunk_bytes(served.slide.levels[0])


def test_synchronous_calls_on_the_home_loop_raise_at_once(served: Served, url: str) -> None:
    fs = DICOMwebFileSystem()
    level = dicomzarr.open(url).levels[1]

    async def read() -> bytes:
        for ask in (fs.cat_file, fs.info, fs.exists, fs.ls, fs.open):
            with pytest.raises(EventLoopError, match="Await"):
                ask(f"{url}/{CHUNK}")
        with pytest.raises(EventLoopError, match="Await"):
            level[...]
        return await fs._cat_file(f"{url}/{CHUNK}")

    assert fsspec.asyn.sync(fsspec.asyn.get_loop(), read) == chunk_bytes(served.slide.levels[0])


FORKING = """
import json, os, sys
import fsspec

fs = fsspec.filesystem("dicomweb")
before = fs.cat_file(sys.argv[1])
child = os.fork()
if child == 0:
    os._exit(0 if fs.cat_file(sys.argv[1]) == before else 1)
print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_filesystem_serves_a_forked_child(url: str) -> None:
    assert run_python(FORKING, f"{url}/{CHUNK}") == 0


def test_zarrs_conversion_to_asynchronous_keeps_options(url: str) -> None:
    fs = DICOMwebFileSystem(timeout=7.0, cache_bytes=5)
    store = FsspecStore.from_mapper(fs.get_mapper(url), read_only=True)
    assert store.fs.asynchronous
    assert store.fs.options == fs.options
    assert "1" in group_at(store)
    assert pickle.loads(pickle.dumps(store)) == store  # noqa: S301  # our own


# --- universal_pathlib ---


def test_upath_reads_and_walks(served: Served, url: str) -> None:
    root = UPath(url)
    assert type(root).__name__ == "DICOMwebPath"
    assert {child.name for child in root.iterdir()} == {"zarr.json", "0", "1"}
    chunk = root.joinpath("0", "c", "0", "0", "0")
    assert chunk.read_bytes() == chunk_bytes(served.slide.levels[0])
    assert chunk.stat().st_size == len(chunk.read_bytes())
    assert chunk.exists()
    assert chunk.is_file()
    assert not chunk.is_dir()
    assert not (root / HOLE).exists()
    assert chunk.parent == root / "0/c/0/0"
    assert chunk.parents[4] == root
    assert root.parent.name == "series"
    assert root.parent.parent.parent.exists()
    assert json.loads((root / "zarr.json").read_text())["node_type"] == "group"
    assert len(list(root.rglob("zarr.json"))) == 3
    assert UPath(f"{url}.zarr/") / "0" == root / "0"
    assert str(root / "0") == f"{url}/0"
    assert pickle.loads(pickle.dumps(root)) == root  # noqa: S301  # our own
    with pytest.raises(ReadOnlyError):
        (root / "zarr.json").write_bytes(b"")


def test_upath_of_https() -> None:
    path = UPath("dicomwebs://host/studies/1.2/series/3.4")
    assert type(path).__name__ == "DICOMwebsPath"
    assert type(path.fs) is DICOMwebsFileSystem
    assert str(path / "zarr.json") == "dicomwebs://host/studies/1.2/series/3.4/zarr.json"


def test_zarr_takes_a_upath(url: str) -> None:
    store = FsspecStore.from_upath(UPath(url, asynchronous=True), read_only=True)
    assert "0" in group_at(store)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Path]:
    write(tmp_path / "ct", radiology.BUILDERS["volume"]().datasets)
    yield tmp_path / "ct"
    forget_servers()


def _blackened(file: Path) -> None:
    dataset = dcmread(file)
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(file)
    os.utime(file, (2e9, 2e9))


@pytest.mark.parametrize("key", ["0/c/0/0/0", "0/zarr.json", ""])
def test_the_unique_key_of_a_path_tells_states_of_the_series_apart(key: str, files: Path) -> None:
    script = (
        "import json, sys\nfrom dicomzarr.faces.fsspec.filesystem import DICOMFileSystem\n"
        "print(json.dumps(DICOMFileSystem().ukey(sys.argv[1])))"
    )
    path = f"{dicomzarr.open(files).series_url}/{key}"
    first = DICOMFileSystem().ukey(path)
    assert run_python(script, path) == first  # else each process would fetch anew
    _blackened(min(files.iterdir()))
    assert run_python(script, path) != first


def test_a_cache_of_files_that_checks_them_sees_what_changed(files: Path, tmp_path: Path) -> None:
    path = f"{dicomzarr.open(files).series_url}/0/c/0/0/0"
    options = {"filecache": {"cache_storage": str(tmp_path / "cache"), "check_files": True}}

    def read() -> bytes:
        forget_servers()
        with fsspec.open(f"filecache::{path}", **options) as file:
            return bytes(file.read())

    assert any(read())
    for file in list(files.iterdir()):
        _blackened(file)
    fsspec.implementations.cached.CachingFileSystem.clear_instance_cache()  # as another process would find it
    assert not any(read())


def test_the_unique_key_above_a_series_and_of_what_is_not_there(fs: DICOMwebFileSystem, url: str) -> None:
    above = url.partition("/series")[0]
    assert fs.ukey(above) == fs.ukey(above)
    with pytest.raises(FileNotFoundError):
        fs.ukey(f"{url}/0/none")
