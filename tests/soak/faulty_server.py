"""A DICOMweb server that fails in every way that can be told from a right answer.

Run as ``python faulty_server.py PORT SEED WAIT``: so many seconds after it began it listens, and prints the URL of the
series; each line on its standard input is answered with what was injected so far, as JSON; it ends when that input
closes.

Not injected: labels exchanged between two frames, and unlabelled parts in another order. Both are replies that are
right in every respect but the pixels; nobody could tell.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import soak_slide  # puts the modules of the tests on the path
from aiohttp import web
from faults import fault, reset, resource, status, truncate
from multipart_parts import MultipartReply, Part, join_parts, parts_of

from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Handler, Middleware

    Act = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]

SHARES = {
    "reset": 0.05,
    "503": 0.05,
    "truncated": 0.02,
    "parts dropped": 0.02,
    "parts in another order": 0.005,
    "a part with a wrong label": 0.005,
}
"""How often each fault strikes a request; the parts' faults, a request for frames."""
_FRAMINGS = ("full-length", "own-length", "chunked", "close")
_RETRY_AFTER = (None, None, "0", "1")
_DELAYED, _STALLED = 0.3, 0.01


class Weather:
    """Chooses what happens to each request.

    Args:
        seed: Of the choices.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.injected: Counter[str] = Counter(dict.fromkeys((*SHARES, "delayed"), 0))
        self.requests = 0

    def middleware(self) -> Middleware:
        """Around everything."""
        faults = {
            "reset": self._reset,
            "503": self._busy,
            "truncated": self._truncate,
            "parts dropped": self._parts(self._drop),
            "parts in another order": self._parts(self._shuffle),
            "a part with a wrong label": self._parts(self._mislabel),
        }

        async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.requests += 1
            await self._dawdle()
            name = self._choice()
            if name is None or (resource(request) != "frames" and name not in ("reset", "503")):
                return await handler(request)
            return await faults[name](request, handler)

        return fault(act, on="any")

    async def _dawdle(self) -> None:
        roll = self._random.random()
        if roll < _DELAYED:
            self.injected["delayed"] += 1
            await asyncio.sleep(0.5 if roll < _STALLED else self._random.uniform(0, 0.05))

    def _choice(self) -> str | None:
        roll = self._random.random()
        for name, share in SHARES.items():
            roll -= share
            if roll < 0:
                return name
        return None

    async def _reset(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.injected["reset"] += 1
        return await reset(after_headers=self._random.random() < 0.5, on="any")(request, handler)

    async def _busy(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.injected["503"] += 1
        wait = self._random.choice(_RETRY_AFTER)
        return await status(503, {"Retry-After": wait} if wait else None, on="any")(request, handler)

    async def _truncate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.injected["truncated"] += 1
        lost = self._random.choice((1, 40, 400, 4_000, 40_000))
        return await truncate(-lost, self._random.choice(_FRAMINGS))(request, handler)  # type: ignore[arg-type]  # literals

    def _parts(self, change: Callable[[list[Part]], list[Part] | None]) -> Act:
        async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
            response = await handler(request)
            if not response.headers.get("Content-Type", "").startswith("multipart/"):
                return response
            parts = await parts_of(response)
            changed = change(list(parts))
            if changed is None:
                return MultipartReply(parts)
            if changed:
                return MultipartReply(changed)
            empty = {"Content-Type": 'multipart/related; type="image/jls"; boundary=nothing'}
            return web.Response(body=join_parts((), "nothing"), headers=empty)

        return act

    def _drop(self, parts: list[Part]) -> list[Part] | None:
        self.injected["parts dropped"] += 1
        for _ in range(self._random.randint(1, max(1, len(parts) // 2))):
            parts.pop(self._random.randrange(len(parts)))
        return parts

    def _shuffle(self, parts: list[Part]) -> list[Part] | None:
        if len(parts) < 2:  # one has one order
            return None
        self.injected["parts in another order"] += 1
        return parts[::-1]

    def _mislabel(self, parts: list[Part]) -> list[Part] | None:
        self.injected["a part with a wrong label"] += 1
        at = self._random.randrange(len(parts))
        start, _, number = (parts[at].header("Content-Location") or "").rpartition("/")
        parts[at] = parts[at].with_header("Content-Location", f"{start}/{int(number) + 100_000}")
        return parts


def main() -> None:
    """Serve until standard input closes."""
    listens = time.monotonic() + float(sys.argv[3])
    slide = soak_slide.soak_slide()
    weather = Weather(int(sys.argv[2]))
    archive = Archive(slide.datasets)
    time.sleep(max(0.0, listens - time.monotonic()))
    with DICOMwebServer(archive, middlewares=[weather.middleware()], port=int(sys.argv[1])) as server:
        print(server.series_url(slide.study_uid, slide.series_uid), flush=True)  # noqa: T201  # the parent reads it
        for _ in sys.stdin:
            del server.requests[:]
            print(json.dumps({"requests": weather.requests, **weather.injected}), flush=True)  # noqa: T201  # as above


if __name__ == "__main__":
    main()
