"""Chunks that are read one by one as they come."""

from __future__ import annotations

import re
import threading
from typing import Any

import faults
import fsspec
import numpy as np
import pytest
from serving import serving
from slides import brightfield_pyramid, sparse_brightfield
from slides_fluorescence import fluorescence_focal_stack
from waiting import SECONDS

import dicomzarr
from dicomzarr.errors import DicomZarrError, EventLoopError


class Taken:
    """What a stream handed on."""

    def __init__(self) -> None:
        self.chunks: dict[tuple[int, ...], Any] = {}
        self.errors: dict[tuple[int, ...], BaseException] = {}

    def place(self, chunk: tuple[int, ...], values: Any) -> None:
        self.chunks[chunk] = np.array(values)

    def failed(self, chunk: tuple[int, ...], error: BaseException) -> None:
        self.errors[chunk] = error


def grid(level: Any) -> list[tuple[int, ...]]:
    counts = [-(-size // chunk) for size, chunk in zip(level.shape, level.chunks, strict=True)]
    return [tuple(map(int, chunk)) for chunk in np.ndindex(*counts)]


def cut(level: Any, whole: Any, chunk: tuple[int, ...]) -> Any:
    return whole[tuple(slice(n * size, (n + 1) * size) for n, size in zip(chunk, level.chunks, strict=True))]


@pytest.mark.parametrize("slide", [brightfield_pyramid, sparse_brightfield])
def test_every_chunk_is_what_the_level_holds_there(slide: Any) -> None:
    with serving(slide()) as served:
        level = dicomzarr.open(served.url).levels[0]
        whole, taken = level[...], Taken()
        level.stream(grid(level), taken.place, taken.failed).result(SECONDS)
        assert not taken.errors
        assert taken.chunks.keys() == set(grid(level))
        for chunk, values in taken.chunks.items():
            assert values.shape == level.chunks
            expected = cut(level, whole, chunk)
            assert np.array_equal(values[tuple(slice(0, size) for size in expected.shape)], expected)


def test_a_chunk_that_cannot_be_had_is_told_and_the_others_come() -> None:
    with serving(brightfield_pyramid(), faults.status(403)) as served:
        level = dicomzarr.open(served.url).levels[0]
        taken = Taken()
        level.stream(grid(level), taken.place, taken.failed).result(SECONDS)
        assert not taken.chunks
        assert taken.errors.keys() == set(grid(level))
        assert all(isinstance(error, DicomZarrError) for error in taken.errors.values())


NO_CHUNKS = [
    (0, -1),
    (-1, 0),
    (0, 99),
    (99, 0),
    (0, 1.0),
    (0, "0"),
    (0, None),
    (0, False),
    (0, np.True_),
    (0, slice(None)),
    (0, 0, 0),
    (0,),
]
"""Of rows and columns."""


@pytest.mark.parametrize("plane", NO_CHUNKS)
@pytest.mark.parametrize("slide", [brightfield_pyramid, sparse_brightfield, fluorescence_focal_stack])
def test_a_chunk_that_does_not_exist_is_refused_before_any_is_handed_on(slide: Any, plane: Any) -> None:
    with serving(slide()) as served:
        level, taken = dicomzarr.open(served.url).levels[0], Taken()
        first = (0,) * level.ndim
        with pytest.raises(IndexError, match=r"there is no chunk .* grid of"):
            level.stream([first, (*first[:-2], *plane)], taken.place, taken.failed)
        assert not taken.chunks
        assert not taken.errors


@pytest.mark.parametrize("chunk", [0, None, (), "000"])
def test_what_is_no_tuple_of_indices_is_no_chunk(chunk: Any) -> None:
    with serving(brightfield_pyramid()) as served:
        level, taken = dicomzarr.open(served.url).levels[0], Taken()
        with pytest.raises(IndexError, match="there is no chunk"):
            level.stream([chunk], taken.place, taken.failed)


@pytest.mark.parametrize("slide", [brightfield_pyramid, fluorescence_focal_stack])
def test_the_chunks_beyond_each_edge_are_refused(slide: Any) -> None:
    with serving(slide()) as served:
        for level in dicomzarr.open(served.url).levels:
            counts = tuple(-(-size // chunk) for size, chunk in zip(level.shape, level.chunks, strict=True))
            for axis, count in enumerate(counts):
                for index in (-count, -1, count, count + 1):
                    taken, beyond = Taken(), [0] * level.ndim
                    beyond[axis] = index
                    with pytest.raises(
                        IndexError, match=re.escape(f"{tuple(beyond)}: the level has a grid of {counts}")
                    ):
                        level.stream([tuple(beyond)], taken.place, taken.failed)


def test_indices_of_numpy_are_indices() -> None:
    with serving(brightfield_pyramid()) as served:
        level, taken = dicomzarr.open(served.url).levels[0], Taken()
        level.stream(np.array([[0, 0, 1], [0, 1, 0]]), taken.place, taken.failed).result(SECONDS)  # type: ignore[arg-type]
        assert taken.chunks.keys() == {(0, 0, 1), (0, 1, 0)}


@pytest.mark.parametrize(
    "ask",
    [
        lambda url: dicomzarr.open(url).levels[1][...],
        lambda url: fsspec.open(f"{url}/1/c/0/0/0").open(),
        lambda url: fsspec.url_to_fs(url)[0].cat(f"{url}/1/c/0/0/0"),
        lambda url: fsspec.get_mapper(url)["1/c/0/0/0"],
    ],
)
def test_a_place_that_reads_is_told_that_it_must_not(ask: Any) -> None:
    with serving(brightfield_pyramid()) as served:
        level, taken = dicomzarr.open(served.url).levels[0], Taken()

        level.stream(grid(level), lambda *_: ask(served.url), taken.failed).result(SECONDS)
        assert taken.errors.keys() == set(grid(level))
        assert all(isinstance(error, EventLoopError) for error in taken.errors.values())
        assert level[0, 0, 0].shape == ()


def test_what_is_raised_where_a_failure_is_told_ends_the_stream() -> None:
    with serving(brightfield_pyramid(), faults.status(403)) as served:
        level = dicomzarr.open(served.url).levels[0]
        coming = level.stream(grid(level), Taken().place, lambda *_: level[0, 0, 0])
        with pytest.raises(EventLoopError):
            coming.result(SECONDS)


def test_what_is_given_up_is_not_handed_on() -> None:
    gate = threading.Event()
    with serving(brightfield_pyramid(), held(gate)) as served:
        level = dicomzarr.open(served.url).levels[0]
        taken = Taken()
        coming = level.stream(grid(level), taken.place, taken.failed)
        assert coming.cancel()
        gate.set()
        level[...]  # comes all the same
        assert not taken.chunks
        assert not taken.errors


def held(gate: threading.Event) -> Any:
    import asyncio  # noqa: PLC0415

    from aiohttp import web  # noqa: PLC0415

    @web.middleware
    async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
        if "frames" in request.path:
            await asyncio.to_thread(gate.wait, SECONDS)
        found: web.StreamResponse = await handler(request)
        return found

    return middleware
