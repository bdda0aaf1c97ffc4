"""How fast the gateway is: ``python tests/benchmarks/gateway.py``; loopback alone.

Chunks and frames that are warm, asked for on a few connections that stay open, beside a bare aiohttp.web handler that
returns the same bytes from memory to the same client, and nginx with them in a file, where it is installed. Then many
viewers at random for a while: errors, the time of a tile, and the gateway's memory. Everything is a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from folders import write
from radiology_volumes import volume

from dicomzarr.demo.slide import SERIES, STUDY, demo_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SERVE = "import sys; from dicomzarr.faces.cli import main; sys.exit(main(sys.argv[1:]))"
_BARE = """
import asyncio, sys
from pathlib import Path
from aiohttp import web

body = Path(sys.argv[1]).read_bytes()

async def answer(request):
    return web.Response(body=body, content_type="application/octet-stream")

async def main():
    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
_NGINX = """
daemon off; {user} pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2;
fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
server {{ listen 127.0.0.1:{port}; root {folder}; }} }}
"""


@dataclass(frozen=True)
class Row:
    """What one server gave."""

    what: str
    requests_a_second: float
    megabytes_a_second: float
    bytes_each: int
    cpu: float | None
    """Microseconds of a request in the server's process, which a busy machine changes least; None of nginx."""


@dataclass(frozen=True)
class Crowd:
    """What many viewers met."""

    viewers: int
    seconds: float
    requests: int
    errors: int
    median: float
    p99: float
    """Seconds of a tile."""
    peak_megabytes: float
    """Of the gateway's process."""


class Connection:
    """One connection that stays open."""

    def __init__(self, base: str) -> None:
        parts = urlsplit(base)
        self._host, self._port = parts.hostname or "", parts.port or 0

    async def open(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def get(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        return int(head[9:12]), await self._reader.readexactly(int(length[1]) if length else 0)

    def close(self) -> None:
        self._writer.close()


async def rate(what: str, base: str, paths: Sequence[str], seconds: float, process: int | None = None) -> Row:
    """Ask for paths in turn for a while, on eight connections."""
    opened = [await Connection(base).open() for _ in range(8)]
    counts = np.zeros(2, np.int64)
    for path in paths:
        status, _ = await opened[0].get(path)
        assert status == 200, (what, status, path)

    async def work(connection: Connection, first: int, end: float) -> None:
        number = first
        while time.perf_counter() < end:
            _, body = await connection.get(paths[number % len(paths)])
            counts[:] += (1, len(body))
            number += 1

    worked = None if process is None else _cpu(process)
    began = time.perf_counter()
    await asyncio.gather(*(work(each, number, began + seconds) for number, each in enumerate(opened)))
    took = time.perf_counter() - began
    for each in opened:
        each.close()
    requests, nbytes = (int(count) for count in counts)
    cpu = None if process is None or worked is None else 1e6 * (_cpu(process) - worked) / requests
    return Row(what, requests / took, nbytes / took / 2**20, nbytes // requests, cpu)


async def crowd(base: str, paths: Sequence[str], viewers: int, seconds: float, process: int) -> Crowd:
    """Many viewers, each with two connections, that look at random."""
    times: list[float] = []
    errors = 0

    async def view(seed: int, end: float) -> None:
        nonlocal errors
        choice = random.Random(seed)  # a benchmark
        connection = await Connection(base).open()
        while time.perf_counter() < end:
            began = time.perf_counter()
            try:
                status, _ = await connection.get(choice.choice(paths))
            except (OSError, EOFError):
                status, connection = 0, await Connection(base).open()
            errors += status != 200
            times.append(time.perf_counter() - began)
            await asyncio.sleep(choice.random() / 5)  # as somebody who pans
        connection.close()

    began = time.perf_counter()
    await asyncio.gather(*(view(seed, began + seconds) for seed in range(2 * viewers)))
    took = time.perf_counter() - began
    peak = _peak(process)
    ninety_nine = statistics.quantiles(times, n=100)[98]
    return Crowd(viewers, took, len(times), errors, statistics.median(times), ninety_nine, peak)


def _cpu(process: int) -> float:
    """Seconds that a process has worked."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak(process: int) -> float:
    """The most megabytes that a process has had."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


@contextmanager
def running(*command: str) -> Iterator[tuple[str, int]]:
    """A server in a process of its own; gives the URL that it prints, and the process."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603  # ours
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def nginx(body: Path) -> Iterator[str | None]:
    """Nginx with a file, where it is installed."""
    program = shutil.which("nginx")
    if program is None:
        yield None
        return
    import socket  # noqa: PLC0415  # only here

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = body.parent / "nginx.conf"
    config.write_text(_NGINX.format(folder=body.parent, port=port, user="user root;" if os.getuid() == 0 else ""))
    process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)  # noqa: S603  # ours
    try:
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


async def measure(folder: Path, slices: int, seconds: float, viewers: int) -> tuple[list[Row], Crowd]:
    """All of it."""
    made = np.random.default_rng(1).integers(0, 4000, (slices, 512, 512)).astype(np.uint16)
    ct = volume(pixels=made)
    files = folder / "files"
    write(files / "ct", ct.datasets)
    for file in demo_files():
        shutil.copy(file, files)
    rows: list[Row] = []
    slide = f"studies/{STUDY}/series/{SERIES}.zarr"
    stack = f"studies/{ct.study_uid}/series/{ct.series_uid}.zarr"
    with running(sys.executable, "-c", _SERVE, "serve", f"one={files}", "--port", "0", "--quiet") as (url, process):
        connection = await Connection(url).open()
        tiles = await _keys(connection, slide)
        chunks = [f"/0.5/{stack}/0/c/{number}/0/0" for number in range(min(slices, 64))]
        raw = [f"/0.5/{slide}/{key}" for key in tiles]
        frames = [f"/frames/{slide}/{key}" for key in tiles]
        for what, paths in (("CT slice, raw", chunks), ("slide tile, raw", raw), ("slide tile, as stored", frames)):
            _, body = await connection.get(paths[len(paths) // 2])
            file = folder / f"{what}.bin"
            file.write_bytes(body)
            with running(sys.executable, "-c", _BARE, str(file)) as (bare, other):
                rows.append(await rate(f"{what}: bare aiohttp.web", bare, ["/"], seconds, other))
            rows.append(await rate(f"{what}: gateway", url, paths, seconds, process))
            with nginx(file) as served:
                if served is not None:
                    path = "/" + file.name.replace(" ", "%20")
                    rows.append(await rate(f"{what}: nginx", served, [path], seconds))
        connection.close()
        seen = await crowd(url, [*chunks, *raw, *frames], viewers, seconds * 5, process)
    return rows, seen


async def _keys(connection: Connection, slide: str) -> list[str]:
    """Chunks of the finest level."""
    _, document = await connection.get(f"/0.5/{slide}/0/zarr.json")
    array = json.loads(document)
    grid = [-(-size // chunk) for size, chunk in zip(array["shape"], _chunk_shape(array), strict=True)]
    return [f"0/c/0/{row}/{column}" for row in range(grid[1]) for column in range(grid[2])]


def _chunk_shape(array: dict[str, dict[str, dict[str, list[int]]]]) -> list[int]:
    return array["chunk_grid"]["configuration"]["chunk_shape"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each row; five times that for the viewers (4)")
    parser.add_argument("--slices", type=int, default=120)
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--json", type=Path, help="write what was found there")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows, seen = asyncio.run(measure(Path(folder), chosen.slices, chosen.seconds, chosen.viewers))
    for row in rows:
        speed = f"{row.requests_a_second:9.0f}/s {row.megabytes_a_second:8.1f} MB/s"
        print(f"{row.what:40} {speed} {row.bytes_each:8} bytes {row.cpu or 0:6.0f} us")  # noqa: T201
    print(  # noqa: T201
        f"{seen.viewers} viewers, {seen.seconds:.0f} s: {seen.requests} tiles, {seen.errors} errors, median "
        f"{1000 * seen.median:.0f} ms, p99 {1000 * seen.p99:.0f} ms, peak {seen.peak_megabytes:.0f} MB"
    )
    if chosen.json:
        chosen.json.write_text(json.dumps({"rows": [asdict(row) for row in rows], "viewers": asdict(seen)}, indent=2))


if __name__ == "__main__":
    main()
