"""A DICOMweb server on a folder, in a thread of this process."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web

from dicomzarr.engine.ports import SeriesRef
from dicomzarr.errors import UsageError
from dicomzarr.faces.dicomweb_server.access import Visitors, public_service
from dicomzarr.faces.dicomweb_server.connections import FirstRequests
from dicomzarr.faces.dicomweb_server.deposits import remove_unfinished
from dicomzarr.faces.dicomweb_server.holdings import FolderHoldings
from dicomzarr.faces.dicomweb_server.paths import ROOT, series_path
from dicomzarr.faces.dicomweb_server.service import application
from dicomzarr.faces.listening import NEXT_REQUEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType
    from typing import Self

    from aiohttp.typedefs import Middleware

    from dicomzarr.faces.dicomweb_server.holdings import Holdings

_GRACE: Final = 0.1  # seconds that requests under way have when the server ends
_TICKS_TO_ACCEPT: Final = 5  # until a connection of the last moment is known to aiohttp, which then closes it
_BACKLOG: Final = 128
_LONGEST_LINE: Final = 2**20
"""Bytes of a request line: clients ask for all frames of a level in one list."""

_MAX_AGE: Final = 2.0


class DICOMwebServer:
    """Serves a folder of DICOM files by DICOMweb, from a thread with an event loop of its own.

    Use it as a context manager, once: it listens from ``with`` on, and nothing of it is left after.

    Args:
        folder: The folder, or one file; or something else that can be served.
        host: The address that it listens on; by default no other machine reaches it.
        port: The TCP port; 0 takes a free one.
        writable: Instances may be stored into the folder (STOW-RS).
        names: Names by which other machines ask for it.
        origins: Origins of web pages that may read it, besides those of this machine.
        public_url: The root of the service as others reach it through a proxy, as ``https://pacs.example.org/dicom-web``:
            links begin with it, and its host is a name. By default links have the name that each request is sent to.
        max_age: Seconds after which the folder is looked through again, when somebody searches it.
        middlewares: aiohttp middlewares around every resource, the first outermost.

    Raises:
        MissingFileError: There is no such folder.
        UsageError: It is to be written to, and is no folder; or the public URL is none.
        OSError: On entering, the port is taken.
    """

    def __init__(  # noqa: PLR0913  # what can be chosen
        self,
        folder: str | os.PathLike[str] | Holdings,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        writable: bool = False,
        names: Iterable[str] = (),
        origins: Iterable[str] = (),
        public_url: str = "",
        max_age: float = _MAX_AGE,
        middlewares: Sequence[Middleware] = (),
    ) -> None:
        self.url = ""
        """The root of the service, ``http://127.0.0.1:PORT/dicom-web``; empty until it listens."""
        holdings, into = _holdings(folder, max_age)
        self.notices = holdings.notices if isinstance(holdings, FolderHoldings) else ()
        """What of the folder is not served, and why, when it was looked through first."""
        if writable and (into is None or not into.is_dir()):
            raise UsageError("Instances can be stored into a folder alone.", remedy="Name a folder, or do without.")
        if writable and into is not None:
            remove_unfinished(into)
        public = public_service(public_url) if public_url else None
        names, origins = [*names, host], [*origins]
        if public is not None:
            names.append(public.host)
            origins.append(public.origin)
        visitors = Visitors(frozenset(name.lower() for name in names), frozenset(origins))
        self._first_requests = FirstRequests()
        self._app = application(
            holdings,
            visitors,
            into=into if writable else None,
            public_url="" if public is None else public.url,
            middlewares=[self._first_requests.middleware, *middlewares],
        )
        self._address = host, port
        self._listening: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = Future()
        self._thread = threading.Thread(target=self._run, name="dicomweb-server", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        host, port = self._address[0], self._listening.result()[2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}{ROOT}"
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
        return f"{scheme}://{root}{series_path(SeriesRef(study, series))}"

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._listening.done():
                raise
            self._listening.set_exception(error)

    async def _serve(self) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(
            self._app,
            access_log=None,
            shutdown_timeout=_GRACE,
            max_line_size=_LONGEST_LINE,
            keepalive_timeout=NEXT_REQUEST,
        )
        await runner.setup()
        protocols = runner.server
        assert protocols is not None  # noqa: S101  # it is set up
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        with socket.create_server(self._address, family=family, backlog=_BACKLOG) as listener:
            try:
                site = await loop.create_server(
                    lambda: self._first_requests.connection(protocols), sock=listener, backlog=_BACKLOG
                )
                self._listening.set_result((loop, stop, listener.getsockname()[1]))
                await stop.wait()
                # asyncio loses a connection that it has accepted but not set up when the listener closes.
                loop.remove_reader(listener)
                for _ in range(_TICKS_TO_ACCEPT):
                    await asyncio.sleep(0)
                site.close()
            finally:
                await runner.cleanup()


def _holdings(folder: str | os.PathLike[str] | Holdings, max_age: float) -> tuple[Holdings, Path | None]:
    if isinstance(folder, str | os.PathLike):
        root = Path(folder).expanduser().absolute()
        return FolderHoldings(root, max_age), root
    return folder, None
