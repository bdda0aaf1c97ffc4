"""Servers on which lists of frames are far faster than single frames, or slower: does dicomzarr find out?

The two fixed strategies are plain aiohttp and two decoding threads, each with the best of a few numbers of connections.
"""

from __future__ import annotations

import asyncio
import functools
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import aiohttp
import numpy as np
from alone import alone
from cores import thread_of_each_core
from measuring import Contestant, Results, Take, Target, take_turns, timed
from orthancs import OrthancMissingError, big_instance, running
from readers import parts
from slide_server import TILE, Contents, served

import dicomzarr
from dicomzarr.codecs.decode import decode_frame
from dicomzarr.codecs.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from measuring import Pixels
    from orthancs import RunningOrthanc
    from settings import Settings
    from slide_server import Server

ACCEPT = {
    "Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*',
    "Accept-Encoding": "identity",  # Orthanc would spend its time on compressing
}
_LIST = 64
_CONNECTIONS = {1: (4, 8, 16), _LIST: (1, 2, 4, 8)}
"""What is tried, by frames a request."""
_TRIAL = {1: 128, _LIST: 16 * _LIST}
"""Frames by which the number of connections is chosen, by frames a request: enough to occupy them all."""
_PATIENCE = 20.0
"""Seconds; a strategy that would take longer is measured on the trial alone, and scaled."""


@dataclass(frozen=True)
class Area:
    """The tiles that are read: the first columns of the first rows of a square level."""

    tiles: int
    """Of the level, along each side."""
    rows: int
    columns: int

    @property
    def numbers(self) -> list[int]:
        """Of the frames, ascending."""
        return [row * self.tiles + column + 1 for row in range(self.rows) for column in range(self.columns)]


@dataclass(frozen=True)
class Fixed:
    """One way of asking, whatever the server."""

    instance: str
    """Its URL over HTTP."""
    pixel: Any
    """The PixelDescription of its frames."""
    area: Area
    length: int
    """Frames a request."""
    connections: int
    scratch: Scratch = field(default_factory=Scratch)

    def read(self, count: int | None = None) -> list[Pixels]:
        """Fetch and decode the area, or its first ``count`` frames."""
        array = np.empty((3, self.area.rows * TILE, self.area.columns * TILE), np.uint8)
        asyncio.run(self._read(self.area.numbers[:count], array))
        return [array]

    async def _read(self, numbers: Sequence[int], array: Pixels) -> None:
        requests = iter([numbers[start : start + self.length] for start in range(0, len(numbers), self.length)])
        with thread_of_each_core() as pool:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=self.connections)) as session:
                jobs: list[Any] = []

                async def work() -> None:
                    for wanted in requests:
                        frames = await self._fetch(session, wanted)
                        halves = [zip(wanted[part::2], frames[part::2], strict=True) for part in (0, 1)]
                        jobs.extend(pool.submit(self._place, list(half), array) for half in halves)

                await asyncio.gather(*(work() for _ in range(self.connections)))
        for job in jobs:
            job.result()

    async def _fetch(self, session: aiohttp.ClientSession, numbers: Sequence[int]) -> list[bytes]:
        url = f"{self.instance}/frames/{','.join(map(str, numbers))}"
        async with session.get(url, headers=ACCEPT) as reply:
            reply.raise_for_status()
            body = await reply.read()
            boundary = reply.headers["Content-Type"].partition("boundary=")[2].partition(";")[0].strip('"')
        return [part.partition(b"\r\n\r\n")[2][:-2] for part in body.split(b"--" + boundary.encode())[1:-1]]

    def _place(self, frames: Sequence[tuple[int, bytes]], array: Pixels) -> None:
        for number, frame in frames:
            row, column = divmod(number - 1, self.area.tiles)
            pixels = decode_frame(
                frame, self.pixel, transfer_syntax_uid=None, where=f"frame {number}", scratch=self.scratch
            )
            array[:, row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE] = pixels


def measure_strategies(settings: Settings) -> Results:
    """Targets 6."""
    results = Results()
    tiles = settings.size(64, 12)
    dear = Contents(tiles=tiles, single_cost=1.0, list_cost=2.0)
    with served(dear) as server:
        _compete(results, settings, "a server whose lists cost twice", server, tiles)
    roots: list[Path | None] = [None]
    if settings.orthanc_root:
        roots.append(settings.orthanc_root)
    else:
        results.note("a second Orthanc took no part: --orthanc-root names the root folder of a system that has it")
    for root in roots:
        try:
            with running(root) as orthanc:
                orthanc.server.upload(big_instance(tiles))
                _compete(results, settings, f"Orthanc {orthanc.version}", orthanc, tiles)
        except OrthancMissingError as error:
            results.note(f"an Orthanc took no part: {error}")
    return results


def _compete(results: Results, settings: Settings, name: str, server: Server | RunningOrthanc, tiles: int) -> None:
    area = Area(tiles, settings.size(50, 8), settings.size(40, 8))
    task = f"{len(area.numbers)} frames of {name}"
    fixed = [_best(server.url, area, length) for length in _CONNECTIONS]
    ours = [_ours(server.url, area, by_dask=by_dask) for by_dask in (False, True)]
    results.rows += take_turns(task, 0, [fixed[1], fixed[0], *ours], settings.rounds, server)
    rows = results.of(task, 0)
    better = min(rows[each.name].seconds for each in fixed)
    for each in ours[:1]:  # by dask, concatenation counts too, whatever the server
        text = f"{task}: {each.name}, times the better strategy"
        results.targets.append(Target(text, rows[each.name].seconds / better, 1.25, at_least=False))


def _ours(url: str, area: Area, *, by_dask: bool) -> Contestant:
    index = [[0, area.rows * TILE], [0, area.columns * TILE]]
    name = f"dicomzarr, {'to_dask' if by_dask else 'level[...]'}, new process"
    return Contestant(name, functools.partial(alone, "read", url=url, index=index, by_dask=by_dask))


def _best(url: str, area: Area, length: int) -> Contestant:
    """A strategy with the number of connections that serves it best."""
    base, study, series = parts(url)
    (reference,) = dicomzarr.open(url).levels[0]._plan.attributes.sop_instance_uids
    pixel = dicomzarr.open(url).levels[0]._plan.frames.locate((0, 0, 0)).instance.pixel
    instance = f"{base}/studies/{study}/series/{series}/instances/{reference}"
    trial = min(_TRIAL[length], len(area.numbers))
    tried: dict[float, Fixed] = {}
    for connections in _CONNECTIONS[length]:
        strategy = Fixed(instance, pixel, area, length, connections)
        began = time.perf_counter()
        strategy.read(trial)
        tried[time.perf_counter() - began] = strategy
    seconds, strategy = min(tried.items(), key=lambda each: each[0])
    name = f"lists of {length}" if length > 1 else "singles"
    name = f"{name} over {strategy.connections} connections"
    times = len(area.numbers) / trial
    if seconds * times > _PATIENCE:
        return Contestant(f"{name}, scaled from {trial} frames", lambda: _scaled(strategy, trial, times), most_rounds=1)
    return Contestant(name, lambda: timed(strategy.read))


def _scaled(strategy: Fixed, trial: int, times: float) -> Take:
    took = timed(lambda: strategy.read(trial))
    return replace(took, seconds=took.seconds * times, cpu=took.cpu * times, pixels=())
