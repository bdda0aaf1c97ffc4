"""What dask knows arrays by: one name for one thing, in each process, and another for whatever may be another."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dask.array as da
import faults
import fsspec
import numpy as np
import pytest
from aiohttp import web
from dask.base import tokenize
from folders import write
from multipart_parts import MultipartReply, json_of, parts_of
from pydicom import dcmread
from radiology_model import AXIAL, distinct
from radiology_opened import Opener
from radiology_volumes import volume
from serving import run_python

import dicomzarr
from dicomzarr.engine.ports import SeriesRef
from dicomzarr.runtime import reset
from dicomzarr.session.invalidations import Invalidations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aiohttp.typedefs import Handler, Middleware

PIXELS = distinct((6, 4, 6), 16)
CT = volume(AXIAL, PIXELS, bits=16, name="named")
SECRET = "hunter2-Zq8"  # noqa: S105  # ours
LOGINS: list[dict[str, Any]] = [
    {"auth": ("alice", SECRET)},
    {"auth": ("bob", SECRET)},
    {"auth": ("alice", SECRET + "2")},
    {"headers": {"Authorization": f"Bearer {SECRET}"}},
    {"headers": {"Authorization": f"Bearer {SECRET}2"}},
    {"auth": "env:DICOMZARR_A"},
    {"auth": "env:DICOMZARR_B"},
    {"query": {"imageSetId": "A"}},
    {"query": {"imageSetId": "B"}},
    {"query": {"imageSetId": "A"}, "auth": ("alice", SECRET)},
    {},
]


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DICOMZARR_A", "x-user: a")
    monkeypatch.setenv("DICOMZARR_B", "x-user: b")


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def other_pixels(is_other: Callable[[web.Request], bool]) -> Middleware:
    """A server that gives some requests other pixels than others, under the same UIDs."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if not is_other(request):
            return response
        parts = await parts_of(response)
        return MultipartReply([replace(part, body=bytes(255 - each for each in part.body)) for part in parts])

    return faults.fault(act)


def names_of(url: str, **options: Any) -> dict[str, str]:
    """What dask knows the values of a series by, on each way to it that is ours."""
    image = dicomzarr.open(url, **options)
    arrays: dict[str, Any] = {
        "to_dask": image.levels[0].to_dask(),
        "to_xarray": image.to_xarray()["0"]["image"].chunk().data,
        "from_array": da.from_array(image.levels[0]),
        "from_zarr": da.from_zarr(url, component="0", storage_options=options),
    }
    return {way: array.name for way, array in arrays.items()} | {"image": tokenize(image)}


# --- who asks, and for what ---


def test_each_login_and_each_query_has_names_of_its_own(opened: Opener) -> None:
    url = opened.url(CT)
    arrays = [dicomzarr.open(url, **login).levels[0].to_dask() for login in LOGINS]
    assert len({array.name for array in arrays}) == len(LOGINS)
    again = [dicomzarr.open(url, **login).levels[0].to_dask() for login in LOGINS]
    assert [array.name for array in arrays] == [array.name for array in again]


@pytest.mark.slow
def test_each_login_has_the_same_names_in_each_process(opened: Opener) -> None:
    url = opened.url(CT)
    script = """
import json, dicomzarr
print(json.dumps([dicomzarr.open(sys.argv[1], **each).levels[0].to_dask().name for each in json.loads(sys.argv[2])]))
"""
    here = [dicomzarr.open(url, **login).levels[0].to_dask().name for login in LOGINS]
    assert run_python(script, url, json.dumps(LOGINS)) == here


def test_an_object_that_logs_in_has_the_same_names_in_its_process(opened: Opener) -> None:
    url = opened.url(CT)
    logins: list[Callable[[], dict[str, str]]] = [lambda: {"x-user": "a"}, lambda: {"x-user": "b"}]
    names = [dicomzarr.open(url, auth=login).levels[0].to_dask().name for login in (*logins, *logins)]
    assert names[:2] == names[2:]
    assert len(set(names)) == 2


def test_names_hold_no_secret(opened: Opener) -> None:
    url = opened.url(CT)
    for login in LOGINS:
        level = dicomzarr.open(url, **login).levels[0]
        assert SECRET not in repr((level.__dask_tokenize__(), level.to_dask().name))


def test_levels_of_two_logins_are_not_equal(opened: Opener) -> None:
    url = opened.url(CT)
    levels = [dicomzarr.open(url, **login).levels[0] for login in LOGINS]
    assert [[one.__eq__(two) for two in levels].count(True) for one in levels] == [1] * len(levels)
    assert all(pickle.loads(pickle.dumps(level)) == level for level in levels)  # noqa: S301  # our own


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"query": {"imageSetId": "A"}}, {"query": {"imageSetId": "B"}}),
        ({"headers": {"x-set": "A"}}, {"headers": {"x-set": "B"}}),
    ],
)
def test_a_difference_of_what_two_are_given_is_computed(
    opened: Opener, one: dict[str, Any], other: dict[str, Any]
) -> None:
    second = other_pixels(lambda request: "B" in (request.query.get("imageSetId"), request.headers.get("x-set")))
    url = opened.url(CT, second)
    arrays = [dicomzarr.open(url, **options).levels[0].to_dask().astype(int) for options in (one, other)]
    expected = (65535 - PIXELS.astype(int)) - PIXELS
    assert np.array_equal((arrays[1] - arrays[0]).compute(), expected)


# --- what is read anew ---


def forgotten(url: str) -> None:
    fsspec.filesystem("dicomweb").invalidate_cache(url)


def server_forgotten(url: str) -> None:
    fsspec.filesystem("dicomweb").invalidate_cache(url.partition("/studies/")[0])


def all_forgotten(_: str) -> None:
    fsspec.filesystem("dicomweb").invalidate_cache()


def process_reset(_: str) -> None:
    reset()


@pytest.mark.parametrize("forget", [forgotten, server_forgotten, all_forgotten, process_reset])
def test_pixels_that_may_have_been_replaced_have_other_names(opened: Opener, forget: Callable[[str], None]) -> None:
    replaced: list[bool] = []
    url = opened.url(CT, other_pixels(lambda _: bool(replaced)))
    before, held = names_of(url), dicomzarr.open(url).levels[0].to_dask().astype(int)
    assert names_of(url) == before
    assert np.array_equal(held.compute(), PIXELS)
    replaced.append(True)
    forget(url)
    after, anew = names_of(url), dicomzarr.open(url).levels[0].to_dask().astype(int)
    assert not set(before.values()) & set(after.values())
    assert names_of(url) == after
    assert np.array_equal(anew.compute(), 65535 - PIXELS.astype(int))


def test_what_was_opened_keeps_its_name(opened: Opener) -> None:
    image = opened(CT)
    name = image.levels[0].to_dask().name
    forgotten(image.series_url)
    assert image.levels[0].to_dask().name == name
    assert dicomzarr.open(image.series_url).levels[0].to_dask().name != name
    assert image.levels[0].to_dask().name == name


def test_what_others_forget_changes_no_name(opened: Opener) -> None:
    url = opened.url(CT)
    other = opened.url(volume(AXIAL, PIXELS, bits=16, name="another"))
    before = names_of(url)
    assert dicomzarr.open(other).levels[0].shape
    forgotten(other)
    assert names_of(url) == before


@pytest.mark.slow
def test_a_series_that_is_forgotten_before_it_is_opened_has_the_name_that_it_has_elsewhere(opened: Opener) -> None:
    url = opened.url(CT)
    forgotten(url)
    script = "import json, dicomzarr\nprint(json.dumps(dicomzarr.open(sys.argv[1]).levels[0].to_dask().name))"
    assert run_python(script, url) == dicomzarr.open(url).levels[0].to_dask().name


@pytest.mark.slow
@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_an_entity_tag_tells_states_apart_in_each_process(opened: Opener, header: str) -> None:
    tags = {"ETag": ['"1"', '"2"'], "Last-Modified": [f"Sat, 0{n} Jan 2000 00:00:00 GMT" for n in (1, 2)]}[header]

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        response.headers[header] = tags[0]
        return response

    url = opened.url(CT, faults.fault(act, on="metadata"))
    script = "import json, dicomzarr\nprint(json.dumps(dicomzarr.open(sys.argv[1]).levels[0].to_dask().name))"
    names = [run_python(script, url), run_python(script, url)]
    tags.pop(0)
    names.append(run_python(script, url))
    assert names[0] == names[1] != names[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "tag", "said"),
    [
        ({"values": "modality"}, "00281053", [3]),
        ({}, "00280030", [0.25, 0.5]),
        ({}, "00280101", [15]),
    ],
)
def test_metadata_that_change_what_cells_are_change_names(
    opened: Opener, options: dict[str, Any], tag: str, said: list[Any]
) -> None:
    changed: list[bool] = []

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if not changed:
            return response
        items = await json_of(response)
        return web.json_response([{**item, tag: {"vr": "DS", "Value": said}} for item in items])

    url = opened.url(CT, faults.fault(act, on="metadata"))
    script = """
import json, dicomzarr
print(json.dumps(dicomzarr.open(sys.argv[1], **json.loads(sys.argv[2])).levels[0].to_dask().name))
"""
    before = run_python(script, url, json.dumps(options))
    assert before == dicomzarr.open(url, **options).levels[0].to_dask().name
    changed.append(True)
    assert run_python(script, url, json.dumps(options)) != before


@pytest.mark.slow
def test_files_that_are_replaced_have_other_names(tmp_path: Path) -> None:
    paths = write(tmp_path, CT.datasets)
    script = "import json, dicomzarr\nprint(json.dumps(dicomzarr.open(sys.argv[1]).levels[0].to_dask().name))"
    first = dicomzarr.open(tmp_path).levels[0].to_dask()
    assert run_python(script, str(tmp_path)) == first.name
    before = first.astype(int).compute()
    other = dcmread(paths[1])
    other.PixelData = bytes(len(other.PixelData))
    other.save_as(paths[1])
    second = dicomzarr.open(tmp_path).levels[0].to_dask()
    assert second.name != first.name
    assert run_python(script, str(tmp_path)) == second.name
    assert (second.astype(int).compute() != before).any()


# --- how often ---


def test_series_that_are_not_remembered_count_as_forgotten_when_others_were() -> None:
    told = Invalidations(remembered=3)
    refs = [SeriesRef("1", str(number)) for number in range(5)]
    assert [told.opening("a", ref) for ref in refs[:3]] == [0, 0, 0]
    for ref in refs[:3]:
        told.add("a", ref)
    assert [told.opening("a", ref) for ref in refs[:3]] == [1, 2, 3]
    told.add("a", refs[3])
    assert told.opening("a", refs[0]) == 1
    assert told.opening("a", refs[3]) == 0
    assert told.opening("a", refs[4]) == 1
    assert told.opening("a", refs[0]) == 1
    told.add_all()
    assert {told.opening("a", ref) for ref in refs} == {5}
