"""A DICOMweb server inside this process, for the demo, for tests and for benchmarks."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from dicomzarr.demo.routes import ROOT, add_routes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from aiohttp.typedefs import Handler, Middleware

    from dicomzarr.demo.archive import Archive

_GRACE = 0.1  # seconds that requests under way have when the server ends
_TICKS_TO_ACCEPT = 5  # until a connection of the last moment is known to aiohttp, which then closes it
_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request as it came in."""

    method: str
    path: str
    """The path below ``/dicom-web``, percent-decoded: ``/studies/1.2/series``."""
    query: tuple[tuple[str, str], ...]
    """The pairs of the query in their order."""
    headers: Mapping[str, str] = field(repr=False)
    """The headers, whatever the case of their names; not in the repr, for they may hold secrets."""

    @property
    def accept(self) -> str:
        """The Accept header, empty where there was none."""
        return self.headers.get("Accept", "")

    @property
    def resource(self) -> str:
        """The last word in the path, as studies, series, instances, metadata or frames."""
        words = [word for word in self.path.split("/") if word and not word[0].isdigit()]
        return words[-1] if words else ""


class DICOMwebServer:
    """Serves an archive on 127.0.0.1 from a thread with an event loop of its own.

    Use it as a context manager, once: it listens from ``with`` on, and nothing of it is left after.

    Args:
        archive: What it holds.
        middlewares: aiohttp middlewares around every resource, the first outermost.
        port: The TCP port; 0 takes a free one.

    Raises:
        OSError: On entering, the port is taken.
    """

    def __init__(self, archive: Archive, *, middlewares: Sequence[Middleware] = (), port: int = 0) -> None:
        self.requests: list[RequestRecord] = []
        """Every request so far, those that a middleware answered included.

        Appending is atomic, so any thread may read, slice or clear it while the server runs.
        """
        self.url = ""
        """The root of the service, ``http://127.0.0.1:PORT/dicom-web``; empty until it listens."""
        self._archive = archive
        self._middlewares = middlewares
        self._port = port
        self._listening: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = Future()
        self._thread = threading.Thread(target=self._run, name="dicomweb-server", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        port = self._listening.result()[2]
        self.url = f"http://127.0.0.1:{port}{ROOT}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        loop, stop, _ = self._listening.result()
        loop.call_soon_threadsafe(stop.set)
        self._thread.join()

    def series_url(self, study: str, series: str, scheme: str = "dicomweb") -> str:
        """The URL of a series, by default as dicomzarr's file system takes it."""
        root = self.url.partition("://")[2]
        return f"{scheme}://{root}/studies/{study}/series/{series}"

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._listening.done():
                raise
            self._listening.set_exception(error)

    async def _serve(self) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=_GRACE)
        await runner.setup()
        with socket.create_server(("127.0.0.1", self._port), backlog=_BACKLOG) as listener:
            try:
                await web.SockSite(runner, listener).start()
                self._listening.set_result((loop, stop, listener.getsockname()[1]))
                await stop.wait()
                # asyncio loses a connection that it has accepted but not set up when the listener closes.
                loop.remove_reader(listener)
                for _ in range(_TICKS_TO_ACCEPT):
                    await asyncio.sleep(0)
            finally:
                await runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._record(), *self._middlewares])
        add_routes(app, self._archive)
        return app

    def _record(self) -> Middleware:
        @web.middleware
        async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
            path = request.path.removeprefix(ROOT)
            query = tuple(request.query.items())
            self.requests.append(RequestRecord(request.method, path, query, request.headers))
            return await handler(request)

        return record
