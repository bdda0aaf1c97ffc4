"""Chunks that are read one by one as they come."""

from __future__ import annotations

import threading
from typing import Any

import faults
import numpy as np
import pytest
from serving import serving
from slides import brightfield_pyramid, sparse_brightfield
from waiting import SECONDS

import dicomzarr
from dicomzarr.errors import DicomZarrError


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
