"""A bucket for tests: S3's listing and ranges of objects, over HTTP on 127.0.0.1, which counts and can misbehave."""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote
from xml.sax.saxutils import escape

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

Fault: TypeAlias = "Callable[[web.Request, web.Response], web.Response | Awaitable[web.Response]]"


_PIECE = 2**20
_DATE = "<LastModified>2026-12-01T10:20:30.400Z</LastModified>"


@dataclass(frozen=True)
class Asked:
    """One request."""

    key: str
    """Of the object; empty for a listing."""
    start: int = 0
    stop: int = 0
    if_match: str = ""


@dataclass
class BucketServer:
    """Objects in one bucket named ``bucket``."""

    objects: dict[str, bytes]
    page: int = 1000
    """Keys of one page of the listing."""
    version: int = 2
    """Of the listing that it knows: 1 goes on behind a marker, and 0 does not go on."""
    etags: bool = True
    dates: bool = False
    """Objects have a date, and the listing tells that in the place of their entity tags."""
    ranges: bool = True
    delay: float = 0.0
    """Seconds before each reply."""
    fault: Fault | None = None
    """Changes replies for objects."""
    pages: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Other pages by path: media type and text."""
    asked: list[Asked] = field(default_factory=list)
    most_at_once: int = 0
    url: str = ""
    _at_once: int = 0
    _etags: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    @property
    def objects_asked(self) -> list[Asked]:
        return [each for each in self.asked if each.key]

    @property
    def listings(self) -> int:
        return sum(not each.key for each in self.asked)

    @property
    def bytes_sent(self) -> int:
        return sum(each.stop - each.start for each in self.asked)

    @property
    def options(self) -> dict[str, str]:
        return {"endpoint_url": self.url}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if self.delay:
                await asyncio.sleep(self.delay)
            return await self._answer(request)
        finally:
            self._at_once -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path in self.pages:
            kind, text = self.pages[request.path]
            return web.Response(text=text, content_type=kind)
        bucket, _, key = request.path.lstrip("/").partition("/")
        if bucket != "bucket":
            return web.Response(status=404)
        if "list-type" in request.query:
            return self._listing(request.query)
        data = self.objects.get(key)
        if data is None:
            self.asked.append(Asked(key))
            return web.Response(status=404)
        reply = self._object(request, key, data)
        if isinstance(reply, _LongResponse):
            return await _in_pieces(request, reply)
        changed = self.fault(request, reply) if self.fault is not None else reply
        return changed if isinstance(changed, web.StreamResponse) else await changed

    def etag(self, key: str) -> str:
        data = self.objects[key]
        known = self._etags.get(key)
        if known is None or known[0] is not data:
            known = self._etags[key] = data, f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        return known[1]

    def _object(self, request: web.Request, key: str, data: bytes) -> web.Response:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        match = request.headers.get("If-Match", "")
        headers = {"ETag": self.etag(key)} if self.etags else {}
        if self.dates:
            headers["Last-Modified"] = "Tue, 01 Dec 2026 10:20:30 GMT"
        if not found or not self.ranges:
            self.asked.append(Asked(key, 0, len(data), match))
            return web.Response(body=data, headers=headers)
        start, last = int(found[1]), min(int(found[2]), len(data) - 1)
        self.asked.append(Asked(key, start, last + 1, match))
        if match and match != headers.get("ETag"):
            return web.Response(status=412)
        if start >= len(data):
            return web.Response(status=416)
        headers["Content-Range"] = f"bytes {start}-{last}/{len(data)}"
        if last - start >= _PIECE:
            return _long_reply(memoryview(data)[start : last + 1], headers)
        return web.Response(status=206, body=data[start : last + 1], headers=headers)

    def _listing(self, query: Mapping[str, str]) -> web.Response:
        self.asked.append(Asked(""))
        keys = sorted(key for key in self.objects if key.startswith(query.get("prefix", "")))
        start = int(query.get("continuation-token", "0"))
        if self.version == 1 and "marker" in query:
            start = sum(key <= query["marker"] for key in keys)
        page = keys[start : start + self.page]
        more = start + self.page < len(keys)
        token = f"<NextContinuationToken>{start + self.page}</NextContinuationToken>"
        following = token if more and self.version == 2 else ""
        contents = "".join(
            f"<Contents><Key>{escape(quote(key))}</Key><Size>{len(self.objects[key])}</Size>"
            f"{_DATE if self.dates else f'<ETag>{escape(self.etag(key))}</ETag>'}</Contents>"
            for key in page
        )
        text = (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>{following}{contents}"
            "</ListBucketResult>"
        )
        return web.Response(text=text, content_type="application/xml")


class _LongResponse(web.Response):
    """A reply that is sent piece by piece, so that the memory of tests is that of the client."""

    view = memoryview(b"")


def _long_reply(view: memoryview, headers: Mapping[str, str]) -> web.Response:
    reply = _LongResponse(status=206, headers=headers)
    reply.view = view
    return reply


async def _in_pieces(request: web.Request, reply: _LongResponse) -> web.StreamResponse:
    stream = web.StreamResponse(status=reply.status, headers=reply.headers)
    stream.content_length = len(reply.view)
    await stream.prepare(request)
    for at in range(0, len(reply.view), _PIECE):
        await stream.write(reply.view[at : at + _PIECE])
    return stream


@contextmanager
def bucket(objects: Mapping[str, bytes]) -> Iterator[BucketServer]:
    """A bucket that is served from a thread of its own."""
    server, loop = BucketServer(dict(objects)), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(_started(server), loop).result()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _started(server: BucketServer) -> web.AppRunner:
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    return runner
