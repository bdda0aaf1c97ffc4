"""What is fetched before it is read: in order from far servers, on request from all, never in vain for long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
import slides
from aiohttp import web
from asking import NOT_LEARNING, ask_by
from faults import delay, refuse_lists
from serving import GREY, is_right, serving, serving_big, settle, zarr_level

import dicomzarr
from dicomzarr.errors import PermissionDeniedError
from dicomzarr.session import opening

if TYPE_CHECKING:
    from dicomzarr.demo.server import DICOMwebServer

FAR = 0.03
PYRAMID = slides.brightfield_pyramid()


def frames_asked(server: DICOMwebServer) -> list[int]:
    paths = (request.path.rpartition("/frames/")[2] for request in server.requests if "/frames/" in request.path)
    return [int(number) for numbers in paths for number in numbers.split(",")]


def read_strip(url: str, **options: Any) -> None:
    """The upper 512 rows, in 2 x 20 chunks of 256 pixels, as zarr asks for them: ten at a time."""
    array = zarr_level(url, **options)
    assert (np.asarray(array[:, :256, :256]) == GREY).all()  # now it is known how far the server is
    assert (np.asarray(array[:, :512]) == GREY).all()
    settle()


def test_chunks_in_order_are_fetched_ahead() -> None:
    with serving_big("small tiles", delay(FAR)) as (server, url):
        read_strip(url)
        ahead = frames_asked(server)
    with serving_big("small tiles", delay(FAR)) as (server, url):
        read_strip(url, cache_bytes=0)
        plain = frames_asked(server)
    assert sorted(set(plain)) == list(range(1, 41))
    assert set(plain) < set(ahead)
    assert len(ahead) == len(set(ahead)), "a frame was fetched twice"
    assert len(ahead) <= 2 * 40


def test_blocks_of_dask_are_fetched_ahead() -> None:
    with serving_big("small tiles", delay(FAR)) as (server, url):
        ask_by(url, NOT_LEARNING)
        array: Any = dicomzarr.open(url).levels[0].to_dask(chunks=(3, 512, 512))
        assert (array[:, :2048].compute(scheduler="synchronous") == GREY).all()
        settle()
        frames = frames_asked(server)
        assert set(range(1, 161)) <= set(frames)
        assert len(frames) == len(set(frames)), "a frame was fetched twice"
        lists = [request.path for request in server.requests if "," in request.path]
        assert max(path.count(",") + 1 for path in lists) > 4  # more than a block


def test_blocks_count_that_are_read_before_it_is_known_how_far_the_server_is() -> None:
    """Else the row would seem to begin behind them, and nothing of the next one would be foreseen."""
    with serving_big("small tiles", delay(FAR)) as (server, url):
        array: Any = dicomzarr.open(url).levels[0].to_dask(chunks=(3, 512, 512))
        for column in reversed(range(0, 4096, 512)):
            assert (array[:, 512:1024, column : column + 512].compute() == GREY).all()
        settle()
        assert {15, 16} <= set(frames_asked(server)), "the row above, from its end"


@web.middleware
async def without_frame_21(request: web.Request, handler: Any) -> web.StreamResponse:
    await asyncio.sleep(FAR)
    if "21" in request.path.rpartition("/frames/")[2].split(","):
        return web.Response(status=403)
    answer: web.StreamResponse = await handler(request)
    return answer


def test_who_reads_does_not_suffer_from_what_was_fetched_ahead() -> None:
    """Frame 21 is the first of the second row, and is asked for together with others of the first."""
    with serving_big("small tiles", without_frame_21) as (server, url):
        array = zarr_level(url)
        assert (np.asarray(array[:, :256, :256]) == GREY).all()
        assert (np.asarray(array[:, :256]) == GREY).all()
        assert 21 in frames_asked(server)
        with pytest.raises(PermissionDeniedError):
            array[:, 256:257, :1]


def test_what_was_prefetched_costs_no_request() -> None:
    with serving(PYRAMID) as served:
        level = dicomzarr.open(served.url).levels[0]
        level.prefetch([np.s_[:, :100], np.s_[0, 90:110, ::2]])
        settle()
        assert sorted(served.frames_asked()) == list(range(1, 11))
        before = served.count()
        assert (level[:, :128] == PYRAMID.levels[0].pixels[:, 0][:, :128]).all()
        assert served.count() == before


def test_without_memory_nothing_is_prefetched() -> None:
    with serving(PYRAMID) as served:
        level = dicomzarr.open(served.url, cache_bytes=0).levels[0]
        level.prefetch([...])
        settle()
        assert served.frames_asked() == []
        assert is_right(level[...], PYRAMID.levels[0])
        level.prefetch([np.s_[:, 5:5]])
        with pytest.raises(IndexError):
            level.prefetch([np.s_[7]])


def test_no_more_is_prefetched_than_memory_would_hold() -> None:
    with serving(PYRAMID) as served:
        level = dicomzarr.open(served.url, cache_bytes=3 * 3 * 64 * 64).levels[0]
        level.prefetch([...])
        settle()
        assert served.frames_asked() == [1, 2, 3]


# --- memory ---


def test_memory_is_one_for_all_servers() -> None:
    with serving(PYRAMID) as one, serving(PYRAMID) as other:
        limit = opening._cache.limit
        for served in (one, other):
            assert is_right(dicomzarr.open(served.url, cache_bytes=2**20).levels[0][...], PYRAMID.levels[0])
            before = served.count()
            assert is_right(dicomzarr.open(served.url, cache_bytes=2**20).levels[0][...], PYRAMID.levels[0])
            assert served.count() == before
        held = opening._cache.nbytes
        assert is_right(dicomzarr.open(one.url, cache_bytes=0).levels[1][...], PYRAMID.levels[1])
        assert opening._cache.nbytes == held
        assert opening._cache.limit == max(limit, 2**20)


# --- what is learned of a server ---


def lists_asked(server: DICOMwebServer) -> int:
    return sum("," in request.path for request in server.requests)


def test_what_is_learned_of_a_server_outlives_whoever_learned_it() -> None:
    with serving(PYRAMID, refuse_lists()) as served:
        assert is_right(dicomzarr.open(served.url).levels[0][...], PYRAMID.levels[0])
        assert lists_asked(served.server)
        fsspec.get_filesystem_class("dicomweb").clear_instance_cache()
        opening._endpoints.forget()
        del served.server.requests[:]
        other = dicomzarr.open(served.url, headers={"X-Other": "somebody"}, cache_bytes=0)
        assert is_right(other.levels[0][...], PYRAMID.levels[0])
        assert not lists_asked(served.server)
