"""The DICOMweb server of the demo, of tests and of benchmarks: it remembers what it was asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from dicomzarr.faces.dicomweb_server import DICOMwebServer as Server
from dicomzarr.faces.dicomweb_server.paths import ROOT

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from aiohttp.typedefs import Handler, Middleware

    from dicomzarr.faces.dicomweb_server.holdings import Holdings


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


class DICOMwebServer(Server):
    """A `dicomzarr.faces.dicomweb_server.DICOMwebServer` on 127.0.0.1 that records its requests.

    Args:
        held: What it serves: a folder, a file, or an `Archive`.
        middlewares: aiohttp middlewares around every resource, the first outermost.
        port: The TCP port; 0 takes a free one.

    Raises:
        OSError: On entering, the port is taken.
    """

    def __init__(
        self, held: str | os.PathLike[str] | Holdings, *, middlewares: Sequence[Middleware] = (), port: int = 0
    ) -> None:
        self.requests: list[RequestRecord] = []
        """Every request so far, those that a middleware answered included.

        Appending is atomic, so any thread may read, slice or clear it while the server runs.
        """
        self.held = held
        """What it serves."""
        super().__init__(held, port=port, middlewares=[self._record(), *middlewares])

    def _record(self) -> Middleware:
        @web.middleware
        async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
            path = request.path.removeprefix(ROOT)
            query = tuple(request.query.items())
            self.requests.append(RequestRecord(request.method, path, query, request.headers))
            return await handler(request)

        return record
