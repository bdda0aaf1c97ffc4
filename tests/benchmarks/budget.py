"""What one frame of a region costs in microseconds of CPU, stage by stage: ``python tests/benchmarks/budget.py``.

CPU is that of single threads, and the least of many rounds counts: others who use the machine change it little. The
region is one of 256 JPEG tiles of 256 x 256. ``--json FILE`` writes the numbers.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec.asyn
import imagecodecs
import numpy as np
from readers import Region, index_of
from rich.console import Console
from rich.table import Table
from slide_server import TILE, Contents, full_tiles, served

import dicomzarr
from dicomzarr.codecs.decode import decode_frame
from dicomzarr.codecs.encoded_frame import EncodedFrame
from dicomzarr.codecs.planes import put
from dicomzarr.codecs.scratch import Scratch
from dicomzarr.engine.cache import FrameCache
from dicomzarr.engine.ports import Fetch, Wait
from dicomzarr.engine.scheduler import Scheduler
from dicomzarr.engine.source import FrameSource
from dicomzarr.sources.dicomweb.messages.multipart import MultipartParser
from dicomzarr.sources.dicomweb.messages.replies import PartSorter
from dicomzarr.sources.http.media_type import MediaType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dicomzarr.engine.ports import FrameSink, QueueView

_SIDE = 16
_FRAMES = _SIDE * _SIDE
_LIST = 64
_CHUNK = 256 * 1024
"""Bytes that arrive together at most."""
_JPEG = "1.2.840.10008.1.2.4.50"


def least(act: Callable[[], object], frames: int, rounds: int) -> float:
    """Microseconds of this thread's CPU for each frame."""
    best = float("inf")
    for _ in range(rounds):
        began = time.thread_time()
        act()
        best = min(best, time.thread_time() - began)
    return best / frames * 1e6


class AtHand:
    """A frame origin whose frames are in memory: lists of 64 come at once."""

    latency = 0.0

    def __init__(self, frames: list[bytes]) -> None:
        self._frames = [EncodedFrame(frame, "image/jpeg", _JPEG) for frame in frames]

    def next(self, queue: QueueView, under_way: int, now: float) -> Fetch | Wait:  # noqa: ARG002  # of the port
        """See `engine.ports.FrameOrigin`."""
        for turn in queue.turns():
            keys = [key for key, _ in zip(queue.keys(turn), range(_LIST), strict=False)]
            return Fetch(tuple(keys))
        return Wait(0)

    async def fetch(self, fetch: Fetch, sink: FrameSink) -> None:
        """See `engine.ports.FrameOrigin`."""
        for key in fetch.keys:
            sink.arrived(key, self._frames[key.number % len(self._frames)])


def multipart(frames: list[bytes]) -> tuple[str, list[bytes]]:
    """The Content-Type and the chunks of a reply with these frames."""
    location = "http://127.0.0.1:8042/dicom-web/studies/1.2.3/series/1.2.3.4/instances/1.2.3.4.5/frames"
    pieces = []
    for number, frame in enumerate(frames, 1):
        head = f"Content-Type: image/jpeg; transfer-syntax={_JPEG}\r\nContent-Location: {location}/{number}\r\n"
        pieces += [f"--boundary\r\n{head}Content-Length: {len(frame)}\r\n\r\n".encode(), frame, b"\r\n"]
    body = b"".join([*pieces, b"--boundary--\r\n"])
    kind = 'multipart/related; type="image/jpeg"; boundary=boundary'
    return kind, [body[start : start + _CHUNK] for start in range(0, len(body), _CHUNK)]


def parse(rounds: int, frames: list[bytes]) -> float:
    """Cut a reply into parts, and give them their numbers."""
    kind, chunks = multipart(frames)

    def act() -> None:
        parser, outer = MultipartParser(kind), MediaType.parse(kind)
        sorter = PartSorter("1.2.3.4.5", range(1, len(frames) + 1), outer, "frames")
        placed = [sorter.add(part) for chunk in chunks for part in parser.feed(chunk)]
        parser.close()
        assert None not in placed

    return least(act, len(frames), rounds)


def decoding(rounds: int, frames: list[bytes], pixel: Any) -> Iterator[tuple[str, float]]:
    """The codec alone, what is checked around it, and putting pixels into an array."""
    scratch = Scratch(for_planes=True)
    tile = Scratch().array((TILE, TILE, 3), np.uint8)
    array = np.zeros((3, _SIDE * TILE, _SIDE * TILE), np.uint8)

    def checked(frame: bytes) -> Any:
        return decode_frame(frame, pixel, transfer_syntax_uid=_JPEG, media_type="image/jpeg", where="", scratch=scratch)

    def placed(number: int, pixels: Any) -> None:
        row, column = divmod(number, _SIDE)
        put(array, index_of(Region(row * TILE, column * TILE, TILE, TILE)), pixels)

    bare = least(lambda: [imagecodecs.jpeg8_decode(frame, out=tile) for frame in frames], len(frames), rounds)
    yield "decode: the codec alone", bare
    yield "decode: what is checked", least(lambda: [checked(frame) for frame in frames], len(frames), rounds) - bare
    pixels = checked(frames[0])
    yield "place", least(lambda: [placed(number, pixels) for number in range(_FRAMES)], _FRAMES, rounds)


def cpu_of_threads() -> dict[str, float]:
    """Seconds of CPU of the threads of this process, by what they do."""
    found = {"loop": 0.0, "decoders": 0.0, "caller": time.thread_time()}
    for thread in threading.enumerate():
        kind = {"fsspecIO": "loop", "dicomzarr-decode": "decoders"}.get(thread.name.rpartition("_")[0] or thread.name)
        if kind and thread.ident is not None:
            found[kind] += time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    return found


def spent(act: Callable[[], object]) -> dict[str, float]:
    """Microseconds for each frame of a region, by kind of thread."""
    before = cpu_of_threads()
    act()
    return {kind: (after - before[kind]) / _FRAMES * 1e6 for kind, after in cpu_of_threads().items()}


def least_spent(act: Callable[[], object], rounds: int) -> dict[str, float]:
    """The least of some rounds, for each kind of thread."""
    takes = [spent(act) for _ in range(rounds)]
    return {kind: min(take[kind] for take in takes) for kind in takes[0]}


def read_anew(url: str, order: str) -> dict[str, float]:
    """What a region costs that is fetched, opening apart."""
    fsspec.filesystem("dicomweb").invalidate_cache(url)
    level = dicomzarr.open(url).levels[0]
    region = index_of(Region(0, 0, _SIDE * TILE, _SIDE * TILE))
    return spent(lambda: level.read([region], order=order))


def counted(act: Callable[[], object]) -> float:
    """Calls of Python functions on the home loop for each frame."""
    calls = 0

    def profile(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    def hook(profiler: Any) -> None:
        fsspec.asyn.sync(fsspec.asyn.get_loop(), _set_profile, profiler)

    hook(profile)
    act()
    hook(None)
    return calls / _FRAMES


async def _set_profile(profiler: Any) -> None:
    sys.setprofile(profiler)


def objects_for_each(source: FrameSource, level: Any, frames: list[Any]) -> float:
    """Objects that live for a frame that is wanted and has not come."""

    async def count() -> int:
        gc.collect()
        gc.disable()
        before = len(gc.get_objects())
        task = asyncio.get_running_loop().create_task(source.deliver(frames, lambda *_: None, level))
        await asyncio.sleep(0)
        more = len(gc.get_objects()) - before
        task.cancel()
        gc.enable()
        return more

    many: int = fsspec.asyn.sync(fsspec.asyn.get_loop(), count)
    return many / len(frames)


class Never(AtHand):
    """Nothing of it ever comes."""

    def next(self, queue: QueueView, under_way: int, now: float) -> Fetch | Wait:  # noqa: ARG002  # of the port
        """See `engine.ports.FrameOrigin`."""
        return Wait(0)


def budget(rounds: int) -> dict[str, float]:
    """All stages, in microseconds of CPU a frame, and what is counted."""
    pool = full_tiles()
    found: dict[str, float] = {"parse": parse(rounds, pool)}
    tiles = _SIDE * 2
    with served(Contents(tiles=tiles)) as server:
        level = dicomzarr.open(server.url).levels[0]
        plan = level._plan  # what the arrays go by
        store = level._image.store  # as above
        frames = [plan.frames.locate((0, row, column)) for row in range(_SIDE) for column in range(_SIDE)]
        found.update(decoding(rounds, pool, frames[0].instance.pixel))
        series = store.source_of(plan).series
        at_hand, never = (FrameSource(Scheduler(each, FrameCache(0)), series) for each in (AtHand(pool), Never(pool)))
        loop = fsspec.asyn.get_loop()

        def deliver() -> None:
            fsspec.asyn.sync(loop, at_hand.deliver, frames, lambda *_: None, plan)

        async def chunks() -> None:
            await asyncio.gather(*(at_hand.chunk(frame, plan) for frame in frames))

        deliver()
        engine = least_spent(deliver, rounds)
        found["queue and deliver"] = engine["loop"]
        found["jobs around decoding"] = engine["decoders"] - found["decode: the codec alone"]
        found["jobs around decoding"] -= found["decode: what is checked"]
        found["chunks: queue and deliver"] = least_spent(lambda: fsspec.asyn.sync(loop, chunks), rounds)["loop"]
        for order in ("cyx", "yxc"):
            takes = [read_anew(server.url, order) for _ in range(rounds)]
            found |= {f"read {order}: {kind}": min(take[kind] for take in takes) for kind in takes[0]}
        found["calls on the loop, region"] = counted(deliver)
        found["calls on the loop, chunks"] = counted(lambda: fsspec.asyn.sync(loop, chunks))
        found["objects for a wanted frame"] = objects_for_each(never, plan, frames)
    return found


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    found = budget(chosen.rounds)
    table = Table("stage", "a frame")
    for name, value in found.items():
        table.add_row(name, f"{value:.1f}")
    Console().print(table)
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
