"""The resources of DICOMweb (PS3.18 chapter 10) as an aiohttp application."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from aiohttp import web

from dicomzarr.errors import (
    ChangedFileError,
    DicomZarrError,
    MissingFileError,
    UnsupportedTransferSyntaxError,
    UsageError,
)
from dicomzarr.faces.dicomweb_server.access import Door, asked_host
from dicomzarr.faces.dicomweb_server.paths import ROOT
from dicomzarr.faces.dicomweb_server.rendering import Rendering
from dicomzarr.faces.dicomweb_server.retrieval import Retrieval
from dicomzarr.faces.dicomweb_server.searching import search
from dicomzarr.faces.dicomweb_server.storing import Storing
from dicomzarr.runtime.pools import FILES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from aiohttp.typedefs import Handler, Middleware

    from dicomzarr.faces.dicomweb_server.access import Visitors
    from dicomzarr.faces.dicomweb_server.holdings import Holdings

    Answer: TypeAlias = Callable[[web.Request, str], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)

_UID: Final = r"[^/{}]+"
_STUDY: Final = f"{ROOT}/studies/{{study:{_UID}}}"
_SERIES: Final = f"{_STUDY}/series/{{series:{_UID}}}"
_INSTANCE: Final = f"{_SERIES}/instances/{{instance:{_UID}}}"
_READ_ONLY: Final = "GET, HEAD, OPTIONS"

_STATUSES: Final = (
    (UsageError, 400),
    (MissingFileError, 404),
    (UnsupportedTransferSyntaxError, 406),
    (DicomZarrError, 500),
)
"""The first kind of error that fits gives the status."""


def application(
    holdings: Holdings,
    visitors: Visitors,
    *,
    into: Path | None,
    public_url: str = "",
    middlewares: Sequence[Middleware] = (),
) -> web.Application:
    """All resources below ``/dicom-web``.

    Args:
        holdings: What is served.
        visitors: Who may ask.
        into: The folder that instances are stored into; None to serve alone.
        public_url: What links begin with; empty for the name that each request is sent to.
        middlewares: Further ones around every resource, the first outermost.
    """
    door = Door(visitors, _READ_ONLY if into is None else f"{_READ_ONLY}, POST")
    app = web.Application(middlewares=[*middlewares, door.middleware, _failures(holdings)])
    retrieval, rendering = Retrieval(holdings), Rendering(holdings)
    storing = Storing(holdings, into)

    async def searched(request: web.Request, base: str) -> web.StreamResponse:
        return await search(holdings, request, base)

    reading: dict[str, Answer] = {
        f"{ROOT}/studies": searched,
        f"{ROOT}/series": searched,
        f"{ROOT}/instances": searched,
        f"{_STUDY}/series": searched,
        f"{_STUDY}/instances": searched,
        f"{_SERIES}/instances": searched,
        f"{_INSTANCE}/frames/{{frames}}": retrieval.frames,
        f"{_INSTANCE}/frames/{{frames}}/rendered": rendering.rendered,
        f"{_INSTANCE}/frames/{{frames}}/thumbnail": rendering.thumbnail,
        f"{_INSTANCE}/bulkdata/{{path:.+}}": retrieval.bulk_data,
        f"{_INSTANCE}/pixeldata": retrieval.pixel_data,
    }
    for level in (_STUDY, _SERIES, _INSTANCE):
        reading[f"{level}/metadata"] = retrieval.metadata
        reading[f"{level}/rendered"] = rendering.rendered
        reading[f"{level}/thumbnail"] = rendering.thumbnail
        reading[level] = retrieval.whole
    app.add_routes([web.get(path, _based(answer, public_url)) for path, answer in reading.items()])
    app.add_routes([web.post(path, _based(storing.store, public_url)) for path in (f"{ROOT}/studies", _STUDY)])
    return app


def _based(answer: Answer, public_url: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await answer(request, public_url or _base(request))

    return handle


def _base(request: web.Request) -> str:
    """The URL of the service, under the name by which it is asked for."""
    host = asked_host(request).rpartition("@")[2]
    address = request.get_extra_info("sockname")
    if ":" not in host.rpartition("]")[2] and address and host in {"localhost", "127.0.0.1", "[::1]"}:
        host = f"{host}:{address[1]}"  # some clients leave the port out
    return f"{request.scheme}://{host}{ROOT}"


def _failures(holdings: Holdings) -> Middleware:
    """Turns errors into statuses; a file that has changed is looked at again, once."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            try:
                return await handler(request)
            except ChangedFileError:
                if request.method == "POST":
                    raise
                await FILES.run(holdings.look_again)
                return await handler(request)
        except DicomZarrError as error:
            return _failure(request, error)

    return answer


def _failure(request: web.Request, error: DicomZarrError) -> web.Response:
    """The status of an error; what it says of this machine's files is for the log."""
    status = next(status for kind, status in _STATUSES if isinstance(error, kind))
    if status == 400:  # noqa: PLR2004  # it is about what was sent
        return web.Response(status=status, text=f"{error}\n")
    _log.warning("%s %s: %s", request.method, request.path, error)
    said = {404: "There is no such thing here.", 406: "It cannot be decoded."}
    return web.Response(status=status, text=said.get(status, "The file is broken, or cannot be decoded.") + "\n")
